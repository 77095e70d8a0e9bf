/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ROUTING_HOST_INDEX_H
#define RINGGATE_ROUTING_HOST_INDEX_H

/* Host names to values: exact names, wildcards ("*.example.com", one or more labels, never
 * "example.com" itself) and the value for any host. Filled once, then read by any thread. Lookups
 * are asked for by strangers, so the hash is keyed. */

#include "base/arena.h"

struct host_index_entry {
    void *value;
    uint16_t len;
    bool wildcard;
    char name[]; /* lower case; of a wildcard what follows "*." */
};

struct host_index_slot {
    struct host_index_entry *entry; /* NULL: free */
    uint32_t hash; /* high half */
};

struct host_index {
    struct arena *arena;
    struct host_index_slot *slots; /* open addressing, linear; never full */
    uint32_t count, max, mask;
    uint64_t wildcard_dots; /* bit n: a wildcard has n dots in its name; 63 stands for more */
    void *any;
};

#define HOST_INDEX_NAME_MAX 253u /* bytes; longer hosts match only "any" */

/* Room for max names besides "any". The arena lives as long as the index. 0; -ENOMEM. */
MUST_CHECK int host_index_init(struct host_index *index, struct arena *arena, uint32_t max);
/* Where the value of a host name stands; NULL in it when the name is new. hostname: lower case, ""
 * is any; copied to where the arena goes on, so that a value that is made next stands beside its
 * name. NULL: too long, or "*." alone; or no memory, which the arena tells. */
void **host_index_place(struct host_index *index, struct span hostname);

/* Values that match a host, most specific first: exact, wildcards from the longest, any. */
struct host_index_walk {
    const struct host_index *index;
    struct span host;
    uint64_t hash; /* of the whole host */
    uint32_t at; /* next byte to look for a dot */
    uint32_t dots; /* in host from `at` on */
    enum { HOST_INDEX_EXACT, HOST_INDEX_WILDCARD, HOST_INDEX_ANY, HOST_INDEX_END } step;
};

/* host: lower case, without port; borrowed during the walk. */
uint64_t host_index_hash(struct span host);
void host_index_begin(struct host_index_walk *walk, const struct host_index *index,
                      struct span host, uint64_t hash);
void *host_index_next(struct host_index_walk *walk); /* NULL: no more */

#endif
