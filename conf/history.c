/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/hmap.h"
#include "base/panic.h"

/* The file: a line "ringgate-history 1", a line for each object, and one with the hash of all bytes
 * before it, by which a file that was cut or edited is told. */
#define HISTORY_MAGIC "ringgate-history 1\n"
#define HISTORY_SUM "sum "
#define HISTORY_SIZE_MAX (256u << 20)

struct entry {
    struct hmap_node node;
    uint64_t created_s, spec_digest;
    int64_t generation;
    bool is_seen;
    char key[]; /* "Kind namespace name" */
};

struct history {
    struct hmap entries;
    struct objects *last; /* what entries stand for, each object one; NULL: not known */
    bool is_changed;
};

struct history *history_new(void)
{
    struct history *history = xcalloc(1, sizeof(*history));
    hmap_init(&history->entries, 0);
    return history;
}

static void entry_drop(struct history *history, struct entry *entry)
{
    hmap_remove(&history->entries, &entry->node);
    free(entry);
}

static void history_clear(struct history *history)
{
    for (struct hmap_node *node; (node = hmap_next(&history->entries, NULL)) != NULL;)
        entry_drop(history, container_of(node, struct entry, node));
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    history_clear(history);
    hmap_fini(&history->entries);
    objects_unref(history->last);
    free(history);
}

/* Names of the API are much shorter. */
#define KEY_SIZE 1024

static struct span key_of(const struct conf_object *object, char key[KEY_SIZE])
{
    struct span ns = object->ns.len > 0 ? object->ns : SPAN_LIT("-");
    int len = snprintf(key, KEY_SIZE, "%s %.*s %.*s", conf_kind_name(object->kind), SPAN_ARG(ns),
                       SPAN_ARG(object->name));
    ASSERT(len > 0 && len < KEY_SIZE);
    return span_make(key, (size_t)len);
}

static struct entry *entry_find(const struct history *history, struct span key)
{
    struct hmap_node *node = hmap_find(&history->entries, key);
    return node != NULL ? container_of(node, struct entry, node) : NULL;
}

static struct entry *entry_add(struct history *history, struct span key)
{
    struct entry *entry = xcalloc(1, sizeof(*entry) + key.len + 1);
    memcpy(entry->key, key.ptr, key.len);
    hmap_insert(&history->entries, &entry->node, span_make(entry->key, key.len));
    return entry;
}

void history_number(const struct history *history, struct conf_object *object,
                    const struct conf_object *last, uint64_t now_s)
{
    char key[KEY_SIZE];
    const struct entry *entry = entry_find(history, key_of(object, key));
    uint64_t created_s = now_s, digest = object->spec_digest;
    int64_t generation = 1;

    if (last != NULL) {
        created_s = last->created_s;
        digest = last->spec_digest;
        generation = last->generation;
    } else if (entry != NULL) {
        created_s = entry->created_s;
        digest = entry->spec_digest != 0 ? entry->spec_digest : digest;
        generation = entry->generation;
    }
    object->generation = generation + (digest != object->spec_digest);
    if (object->created_s == 0)
        object->created_s = created_s;
}

/* A hash of a password is something to guess it with: it is not kept, and such objects count as
 * unchanged over a restart. */
static bool is_secret(enum conf_kind kind)
{
    return kind == CONF_KIND_SECRET || kind == CONF_KIND_RATE_LIMIT_STORE;
}

static void entry_take(struct history *history, const struct conf_object *object)
{
    char text[KEY_SIZE];
    struct span key = key_of(object, text);
    struct entry *entry = entry_find(history, key);

    if (entry == NULL)
        entry = entry_add(history, key);
    uint64_t digest = is_secret(object->kind) ? 0 : object->spec_digest;
    entry->is_seen = true;
    if (entry->created_s == object->created_s && entry->generation == object->generation &&
        entry->spec_digest == digest)
        return;
    entry->created_s = object->created_s;
    entry->generation = object->generation;
    entry->spec_digest = digest;
    history->is_changed = true;
}

static void entry_leave(struct history *history, const struct objects *set,
                        const struct conf_object *object)
{
    char text[KEY_SIZE];
    if (objects_find(set, object->kind, object->ns, object->name) != NULL)
        return; /* in another version */
    struct entry *entry = entry_find(history, key_of(object, text));
    ASSERT(entry != NULL);
    entry_drop(history, entry);
    history->is_changed = true;
}

/* Only what differs from the last set. Both lists are in order: what they share meets. */
static void update_kind(struct history *history, const struct objects *set, enum conf_kind kind)
{
    unsigned old_count, count, i = 0, j = 0;
    const struct conf_object *const *old = objects_list(history->last, kind, &old_count);
    const struct conf_object *const *list = objects_list(set, kind, &count);
    while (i < old_count || j < count) {
        if (i < old_count && j < count && old[i] == list[j]) {
            i++;
            j++;
        } else if (j == count || (i < old_count && objects_compare_age(old[i], list[j]) < 0)) {
            entry_leave(history, set, old[i++]);
        } else {
            entry_take(history, list[j++]);
        }
    }
}

static void update_all(struct history *history, const struct objects *set, bool keep_gone)
{
    unsigned gone = 0;
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        unsigned count;
        const struct conf_object *const *list = objects_list(set, (enum conf_kind)kind, &count);
        for (unsigned i = 0; i < count; i++)
            entry_take(history, list[i]);
    }
    for (struct hmap_node *node = hmap_next(&history->entries, NULL); node != NULL;) {
        struct entry *entry = container_of(node, struct entry, node);
        node = hmap_next(&history->entries, node);
        bool is_seen = entry->is_seen;
        entry->is_seen = false;
        if (is_seen || (keep_gone && gone++ < HISTORY_GONE_MAX))
            continue;
        entry_drop(history, entry);
        history->is_changed = true;
    }
}

void history_update(struct history *history, struct objects *set, bool keep_gone)
{
    if (history->last != NULL && !keep_gone) {
        for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++)
            update_kind(history, set, (enum conf_kind)kind);
    } else {
        update_all(history, set, keep_gone);
    }
    objects_unref(history->last);
    history->last = history->entries.count == objects_count(set) ? objects_ref(set) : NULL;
}

/* --- the file --- */

static bool take_word(struct span *line, struct span *ret)
{
    (void)span_split(*line, ' ', ret, line);
    return ret->len > 0;
}

static bool take_number(struct span *line, uint64_t *ret)
{
    struct span word;
    return take_word(line, &word) && span_to_u64(word, UINT64_MAX, ret) == 0;
}

static bool read_line(struct history *history, struct span line)
{
    struct span key = line, word;
    uint64_t created_s, generation, digest;
    for (unsigned i = 0; i < 3; i++)
        if (!take_word(&line, &word))
            return false;
    key.len = (size_t)(word.ptr + word.len - key.ptr);
    if (!take_number(&line, &created_s) || !take_number(&line, &generation) ||
        !take_number(&line, &digest) || line.len > 0 || generation == 0 ||
        generation > INT64_MAX / 2 || key.len >= KEY_SIZE || entry_find(history, key) != NULL)
        return false;
    struct entry *entry = entry_add(history, key);
    entry->created_s = created_s;
    entry->generation = (int64_t)generation;
    entry->spec_digest = digest;
    return true;
}

static bool read_text(struct history *history, struct span text)
{
    struct span rest = text, line;
    uint64_t sum;

    if (!span_starts_with(text, SPAN_LIT(HISTORY_MAGIC)))
        return false;
    rest = span_skip(text, strlen(HISTORY_MAGIC));
    while (span_split(rest, '\n', &line, &rest)) {
        if (!span_starts_with(line, SPAN_LIT(HISTORY_SUM))) {
            if (!read_line(history, line))
                return false;
            continue;
        }
        struct span before = span_make(text.ptr, (size_t)(line.ptr - text.ptr));
        return rest.len == 0 &&
               span_to_u64(span_skip(line, strlen(HISTORY_SUM)), UINT64_MAX, &sum) == 0 &&
               sum == hash_fast(before, 0);
    }
    return false;
}

int history_load(struct history *history, const char *path, struct err *reterr)
{
    struct buf text;
    buf_init(&text, HISTORY_SIZE_MAX);
    int result = file_read(AT_FDCWD, path, O_NOFOLLOW, &text);
    if (result == 0 && !read_text(history, buf_span(&text))) {
        history_clear(history);
        result = err_set(reterr, -EBADMSG, "%s: is not whole, or not a history of ringgate", path);
    } else if (result == -ENOENT) {
        result = 0;
    } else if (result != 0) {
        err_set(reterr, result, "%s: %s", path, strerror(-result));
    }
    buf_fini(&text);
    return result;
}

int history_save(struct history *history, const char *path, struct err *reterr)
{
    struct buf text;
    if (!history->is_changed)
        return 0;
    buf_init(&text, HISTORY_SIZE_MAX);
    buf_add_str(&text, HISTORY_MAGIC);
    for (struct hmap_node *node = hmap_next(&history->entries, NULL); node != NULL;
         node = hmap_next(&history->entries, node)) {
        const struct entry *entry = container_of(node, struct entry, node);
        buf_printf(&text, "%s %" PRIu64 " %" PRId64 " %" PRIu64 "\n", entry->key, entry->created_s,
                   entry->generation, entry->spec_digest);
    }
    buf_printf(&text, HISTORY_SUM "%" PRIu64 "\n", hash_fast(buf_span(&text), 0));
    int result = buf_ok(&text) ? file_replace(AT_FDCWD, path, buf_span(&text)) : -EFBIG;
    buf_fini(&text);
    if (result != 0)
        return err_set(reterr, result, "%s: %s", path, strerror(-result));
    history->is_changed = false;
    return 0;
}
