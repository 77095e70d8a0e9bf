/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ROUTING_PATH_INDEX_H
#define RINGGATE_ROUTING_PATH_INDEX_H

/* The matches under one host name, found by path: Exact first, then regular expressions,
 * then prefixes from the longest. At one path the order is method, number of headers, number of
 * parameters, age of the route, order in the route. One block of memory in the table's arena. */

#include "base/arena.h"
#include "conf/kinds.h"
#include "routing/predicate.h"
#include "routing/route_table.h"

/* A match of a rule, compiled; shared by all host names of its route. */
struct path_match {
    enum conf_match_type type;
    struct span path; /* PREFIX: without trailing '/' */
    const struct pattern *pattern; /* REGEX; NULL: the predicate looks at the path */
    const struct predicate *predicate; /* NULL: none */
    uint64_t priority; /* predicate_priority */
    uint32_t rule; /* position in the route */
};

struct path_item {
    const struct path_match *match;
    uint32_t rule; /* its id */
    uint32_t rank; /* of the route: smaller is older */
    uint32_t order; /* breaks ties; grows in the order of the routes and their matches */
};

struct path_index;

/* Sorts items. Copies the paths; patterns and predicates are borrowed. NULL: no memory. */
struct path_index *path_index_new(struct arena *arena, struct path_item *items, uint32_t count);
/* true: *ret is the best match. Cost: log2 of the paths, then the prefixes of this path. */
bool path_index_find(const struct path_index *index, const struct route_query *query,
                     struct route_match *ret);

#endif
