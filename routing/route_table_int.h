/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ROUTING_ROUTE_TABLE_INT_H
#define RINGGATE_ROUTING_ROUTE_TABLE_INT_H

/* What route_compile.c makes and route_table.c reads. */

#include "routing/host_index.h"
#include "routing/path_index.h"
#include "routing/route_table.h"

struct route_listener {
    const struct model_listener *conf;
    struct host_index hosts; /* values: struct path_index */
};

struct route_table {
    struct host_index listeners; /* values: struct route_listener */
    struct arena arena; /* holds everything but the patterns */
    struct predicate_patterns patterns;
    struct route_rule *rules; /* by id */
    uint32_t rules_count;
};

#endif
