/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ROUTING_ROUTE_TABLE_H
#define RINGGATE_ROUTING_ROUTE_TABLE_H

/* Which rule serves a request: compiled from the model for one port, pure
 * lookup. Precedence as Gateway API v1 HTTPRouteRule.matches says; regular
 * expression paths rank after Exact and before PathPrefix. GRPCRouteRule.matches
 * the same: a service and a method rank before a service, that before a method. */

#include "base/err.h"
#include "conf/model.h"

struct route_table;

/* A request as routing sees it: borrowed views. */
struct route_field {
    struct span name, value;
};
struct route_query {
    struct span method; /* exact case */
    struct span host; /* canonical: lower case, no port */
    struct span path; /* normalised */
    struct span query; /* raw */
    /* Header lookup by lower-case name. Writes at most max values (in order) and returns how many
     * there are; several are joined by "," for matching. NULL: headers are not known yet, and tests
     * of them hold (CORS preflights speak for a request that is still to come). */
    unsigned (*header)(const void *user, struct span name, struct span *values, unsigned max);
    const void *user;
    /* The listener the connection was made for (SNI), from route_table_listener of the same table;
     * NULL: plain HTTP. */
    const struct route_listener *connection_listener;
};

/* One rule of one route. */
struct route_rule {
    const struct model_rule *conf;
    const struct model_http_route *route;
    const struct model_listener *listener; /* the first that leads to it */
};

struct route_match {
    /* 0 .. route_table_rules_count - 1: index of per-rule data of the holder. The same rule of the
     * same route has the same id through every listener. */
    uint32_t rule;
    uint32_t prefix_len; /* bytes that PathPrefix matched, without trailing '/'; else 0 */
    bool is_prefix;
};

/* All HTTP(S) listeners of one address and port; TCP ones are skipped, of two with one host name
 * the first serves. Rules with patterns that do not compile are left out; `bad` (may be NULL) is
 * told once a rule. NULL: no memory. The model must outlive the table. Heap; control thread.
 * 10,000 hosts with 5 rules each compile in about 20 ms. */
struct route_table *
route_table_compile(const struct model_listener *const *listeners, unsigned count,
                    void (*bad)(void *user, const struct model_http_route *route,
                                const struct model_rule *rule, const struct err *err),
                    void *user);
void route_table_free(struct route_table *table);

/* The listener of this table that serves a server name or Host: exact, longest wildcard, any;
 * NULL: none. host: lower case, no port; empty: only "any" fits. */
const struct route_listener *route_table_listener(const struct route_table *table,
                                                  struct span host);
const struct model_listener *route_listener_conf(const struct route_listener *listener);

/* Finds the rule that serves a request. No allocation, lock, clock or log; any thread.
 * 0; -ENOENT: nothing matches (404); -EXDEV: the host belongs to another listener than the
 * connection's (421). */
MUST_CHECK int route_table_find(const struct route_table *table, const struct route_query *query,
                                struct route_match *ret);

uint32_t route_table_rules_count(const struct route_table *table);
/* As long as the table lives. */
const struct route_rule *route_table_rule(const struct route_table *table, uint32_t id);
size_t route_table_memory(const struct route_table *table); /* bytes */

#endif
