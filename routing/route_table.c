/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "routing/route_table.h"

#include <errno.h>
#include <stdlib.h>

#include "routing/route_table_int.h"

/* A lookup goes down three steps: the listener by host (isolation: it alone
 * may answer), the route host names of that listener that fit, most specific
 * first, and under each the paths. When no match under a host name holds, the
 * next less specific one is tried: the API orders matches that hold, it does
 * not make virtual hosts. */

static const struct route_listener *listener_find(const struct route_table *table, struct span host,
                                                  uint64_t hash)
{
    struct host_index_walk walk;
    host_index_begin(&walk, &table->listeners, host, hash);
    return host_index_next(&walk);
}

const struct route_listener *route_table_listener(const struct route_table *table, struct span host)
{
    return listener_find(table, host, host_index_hash(host));
}

const struct model_listener *route_listener_conf(const struct route_listener *listener)
{
    return listener->conf;
}

int route_table_find(const struct route_table *table, const struct route_query *query,
                     struct route_match *ret)
{
    uint64_t hash = host_index_hash(query->host);
    const struct route_listener *listener = listener_find(table, query->host, hash);
    if (listener == NULL)
        return -ENOENT;
    if (query->connection_listener != NULL && query->connection_listener != listener)
        return -EXDEV;
    struct host_index_walk walk;
    host_index_begin(&walk, &listener->hosts, query->host, hash);
    const struct path_index *paths;
    while ((paths = host_index_next(&walk)) != NULL) {
        if (path_index_find(paths, query, ret))
            return 0;
    }
    return -ENOENT;
}

uint32_t route_table_rules_count(const struct route_table *table)
{
    return table->rules_count;
}

const struct route_rule *route_table_rule(const struct route_table *table, uint32_t id)
{
    ASSERT(id < table->rules_count);
    return &table->rules[id];
}

size_t route_table_memory(const struct route_table *table)
{
    return sizeof(*table) + table->arena.used + table->patterns.memory;
}

void route_table_free(struct route_table *table)
{
    if (table == NULL)
        return;
    predicate_patterns_free(&table->patterns);
    arena_fini(&table->arena);
    free(table);
}
