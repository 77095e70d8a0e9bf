/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/hmap.h"

#include <stdlib.h>

#include "base/panic.h"

#define BUCKETS_MIN 8

void hmap_init(struct hmap *map, size_t size_hint)
{
    ASSERT(size_hint < SIZE_MAX / 64);
    size_t buckets = BUCKETS_MIN;
    while (buckets < size_hint)
        buckets *= 2;
    *map = (struct hmap){
        .buckets = xcalloc(buckets, sizeof(struct hmap_node *)),
        .mask = buckets - 1,
    };
}

void hmap_fini(struct hmap *map)
{
    if (map == NULL)
        return;
    free(map->buckets);
    *map = (struct hmap){.buckets = NULL};
}

struct hmap_node *hmap_find(const struct hmap *map, struct span key)
{
    if (map->count == 0)
        return NULL;
    uint64_t hash = hash_sip(hash_process_key(), key);
    struct hmap_node *node = map->buckets[hash & map->mask];
    while (node != NULL && (node->hash != hash || !span_equal(node->key, key)))
        node = node->next;
    return node;
}

static void hmap_grow(struct hmap *map)
{
    size_t mask = map->mask * 2 + 1;
    struct hmap_node **buckets = xcalloc(mask + 1, sizeof(struct hmap_node *));
    for (size_t i = 0; i <= map->mask; i++) {
        struct hmap_node *node = map->buckets[i];
        while (node != NULL) {
            struct hmap_node *next = node->next;
            node->next = buckets[node->hash & mask];
            buckets[node->hash & mask] = node;
            node = next;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->mask = mask;
}

void hmap_insert(struct hmap *map, struct hmap_node *node, struct span key)
{
    ASSERT(map->buckets != NULL);
    ASSERT_SLOW(hmap_find(map, key) == NULL);
    if (map->count > map->mask)
        hmap_grow(map);
    node->hash = hash_sip(hash_process_key(), key);
    node->key = key;
    struct hmap_node **bucket = &map->buckets[node->hash & map->mask];
    node->next = *bucket;
    *bucket = node;
    map->count++;
}

void hmap_remove(struct hmap *map, struct hmap_node *node)
{
    struct hmap_node **link = &map->buckets[node->hash & map->mask];
    while (*link != node) {
        ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    map->count--;
}

struct hmap_node *hmap_next(const struct hmap *map, const struct hmap_node *node)
{
    size_t bucket = 0;
    if (map->buckets == NULL)
        return NULL;
    if (node != NULL) {
        if (node->next != NULL)
            return node->next;
        bucket = (node->hash & map->mask) + 1;
    }
    for (; bucket <= map->mask; bucket++) {
        if (map->buckets[bucket] != NULL)
            return map->buckets[bucket];
    }
    return NULL;
}
