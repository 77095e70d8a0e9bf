/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "routing/host_index.h"

#include <errno.h>

#include "base/hash.h"

/* Exact names and wildcards share one table. A wildcard is looked for only at
 * the depths where one exists (wildcard_dots), so a host of a hundred labels
 * costs no more hashes than the configuration has depths. */

int host_index_init(struct host_index *index, struct arena *arena, uint32_t max)
{
    uint32_t size = 4;
    while (size - size / 4 <= max)
        size *= 2;
    *index = (struct host_index){
        .arena = arena,
        .slots = arena_array(arena, struct host_index_slot, size),
        .max = max,
        .mask = size - 1,
    };
    return index->slots != NULL ? 0 : -ENOMEM;
}

uint64_t host_index_hash(struct span host)
{
    return hash_sip(hash_process_key(), host);
}

/* The slot of the name, or the free one where it belongs. */
static struct host_index_slot *slot_find(const struct host_index *index, struct span name,
                                         uint64_t hash, bool wildcard)
{
    uint32_t at = (uint32_t)hash & index->mask;
    for (;; at = (at + 1) & index->mask) {
        struct host_index_slot *slot = &index->slots[at];
        const struct host_index_entry *entry = slot->entry;
        if (entry == NULL)
            return slot;
        if (slot->hash != (uint32_t)(hash >> 32))
            continue;
        if (entry->wildcard == wildcard && span_equal(span_make(entry->name, entry->len), name))
            return slot;
    }
}

static unsigned count_dots(struct span s)
{
    unsigned dots = 0;
    for (size_t i = 0; i < s.len; i++)
        dots += s.ptr[i] == '.';
    return dots;
}

void **host_index_place(struct host_index *index, struct span hostname)
{
    if (hostname.len == 0)
        return &index->any;
    bool wildcard = span_starts_with(hostname, SPAN_LIT("*."));
    struct span name = wildcard ? span_skip(hostname, 2) : hostname;
    if (name.len == 0 || name.len > HOST_INDEX_NAME_MAX)
        return NULL;
    uint64_t hash = host_index_hash(name);
    struct host_index_slot *slot = slot_find(index, name, hash, wildcard);
    if (slot->entry != NULL)
        return &slot->entry->value;
    ASSERT(index->count < index->max);
    struct host_index_entry *entry = arena_alloc(index->arena, sizeof(*entry) + name.len);
    if (entry == NULL)
        return NULL;
    *entry = (struct host_index_entry){.len = (uint16_t)name.len, .wildcard = wildcard};
    memcpy(entry->name, name.ptr, name.len);
    *slot = (struct host_index_slot){.entry = entry, .hash = (uint32_t)(hash >> 32)};
    index->count++;
    if (wildcard)
        index->wildcard_dots |= UINT64_C(1) << MIN(count_dots(name), 63u);
    return &entry->value;
}

static void *value_find(const struct host_index *index, struct span name, uint64_t hash,
                        bool wildcard)
{
    const struct host_index_slot *slot = slot_find(index, name, hash, wildcard);
    return slot->entry != NULL ? slot->entry->value : NULL;
}

void host_index_begin(struct host_index_walk *walk, const struct host_index *index,
                      struct span host, uint64_t hash)
{
    *walk = (struct host_index_walk){.index = index, .host = host, .hash = hash};
    if (host.len == 0 || host.len > HOST_INDEX_NAME_MAX || index->count == 0)
        walk->step = HOST_INDEX_ANY;
}

/* The next wildcard that fits, from the left, so the longest comes first. */
static void *wildcard_next(struct host_index_walk *walk)
{
    const struct host_index *index = walk->index;
    while (walk->dots > 0) {
        const char *dot = memchr(walk->host.ptr + walk->at, '.', walk->host.len - walk->at);
        ASSERT(dot != NULL);
        walk->at = (uint32_t)(dot - walk->host.ptr) + 1;
        walk->dots--;
        if ((index->wildcard_dots >> MIN(walk->dots, 63u) & 1) == 0 || walk->at == 1)
            continue;
        struct span name = span_skip(walk->host, walk->at);
        void *value = value_find(index, name, host_index_hash(name), true);
        if (value != NULL)
            return value;
    }
    return NULL;
}

void *host_index_next(struct host_index_walk *walk)
{
    const struct host_index *index = walk->index;
    void *value = NULL;
    if (walk->step == HOST_INDEX_EXACT) {
        walk->step = HOST_INDEX_WILDCARD;
        walk->dots = index->wildcard_dots != 0 ? count_dots(walk->host) : 0;
        value = value_find(index, walk->host, walk->hash, false);
    }
    if (value == NULL && walk->step == HOST_INDEX_WILDCARD) {
        value = wildcard_next(walk);
        if (value == NULL)
            walk->step = HOST_INDEX_ANY;
    }
    if (value == NULL && walk->step == HOST_INDEX_ANY) {
        walk->step = HOST_INDEX_END;
        value = index->any;
    }
    return value;
}
