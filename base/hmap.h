/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_HMAP_H
#define RINGGATE_BASE_HMAP_H

/* Intrusive chained hash map with keys that are spans, hashed by the process
 * key. Nodes are embedded in the caller's objects, which own the key bytes.
 * Grows by doubling; NULL buckets on no memory are an abort (control plane)
 * or avoided by hmap_init with the final size (data plane). */

#include "base/hash.h"

struct hmap_node {
    struct hmap_node *next;
    uint64_t hash;
    struct span key; /* borrowed from the object */
};

struct hmap {
    struct hmap_node **buckets;
    size_t count, mask;
};

/* size_hint: expected entries, 0 = none. Allocates buckets on the heap. */
void hmap_init(struct hmap *map, size_t size_hint);
void hmap_fini(struct hmap *map); /* frees the buckets, not the objects */
/* NULL: none. */
struct hmap_node *hmap_find(const struct hmap *map, struct span key);
/* key must not be in the map yet. node->key is set to key. */
void hmap_insert(struct hmap *map, struct hmap_node *node, struct span key);
void hmap_remove(struct hmap *map, struct hmap_node *node);
/* Iteration in no order: hmap_next(map, NULL) is the first; NULL at the end.
 * The map must not change meanwhile, except that the node returned before may be removed
 * after its successor was fetched. */
struct hmap_node *hmap_next(const struct hmap *map, const struct hmap_node *node);

#endif
