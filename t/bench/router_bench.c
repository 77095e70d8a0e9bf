/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/rand.h"
#include "routing/route_table.h"

/* What routing costs: router_bench [HOSTS [PREFIXES]]. Compares a table of one host with one of
 * HOSTS (10000) hosts; every host is a route of PREFIXES (5) rules. Prints one line each:
 * milliseconds to compile, bytes, nanoseconds a lookup (median of rounds, hosts in random order).
 */
#define LOOKUPS 204800u
#define BATCH 32u
#define ROUNDS 7u

static unsigned no_header(const void *user, struct span name, struct span *values, unsigned max)
{
    (void)user;
    (void)name;
    (void)values;
    (void)max;
    return 0;
}

static struct model_listener *listener_make(struct arena *arena, unsigned hosts, unsigned prefixes)
{
    struct model_listener *listener = arena_new(arena, struct model_listener);
    listener->http = arena_array(arena, struct model_attachment, hosts);
    listener->http_count = hosts;
    for (unsigned i = 0; i < hosts; i++) {
        struct model_http_route *route = arena_new(arena, struct model_http_route);
        route->rank = i + 1;
        route->rules_count = prefixes;
        route->rules = arena_array(arena, struct model_rule, prefixes);
        for (unsigned k = 0; k < prefixes; k++) {
            struct conf_http_match *match = arena_new(arena, struct conf_http_match);
            match->path_type = CONF_MATCH_PREFIX;
            match->path = arena_printf(arena, "/service%u/v1", k);
            route->rules[k].matches = match;
            route->rules[k].matches_count = 1;
        }
        struct span *name = arena_new(arena, struct span);
        *name = arena_printf(arena, "host%u.bench.example.com", i);
        listener->http[i] =
            (struct model_attachment){.route = route, .hostnames = name, .hostnames_count = 1};
    }
    return listener;
}

static int compare_u64(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof(a));
    memcpy(&b, right, sizeof(b));
    return (a > b) - (a < b);
}

/* A request as it stands in the cache when a gateway has just parsed it. */
struct hot_request {
    char host[64], path[64];
    struct route_query query;
};

static void request_copy(struct hot_request *hot, const struct route_query *from)
{
    hot->query = *from;
    memcpy(hot->host, from->host.ptr, from->host.len);
    memcpy(hot->path, from->path.ptr, from->path.len);
    hot->query.host.ptr = hot->host;
    hot->query.path.ptr = hot->path;
}

static uint64_t lookups_run(const struct route_table *table, const struct route_query *queries,
                            const uint32_t *order, uint32_t *ret_found)
{
    struct hot_request hot[BATCH];
    uint64_t spent = 0;
    for (uint32_t i = 0; i < LOOKUPS; i += BATCH) {
        for (uint32_t k = 0; k < BATCH; k++)
            request_copy(&hot[k], &queries[order[i + k]]);
        uint64_t start = clock_mono_ns();
        for (uint32_t k = 0; k < BATCH; k++) {
            struct route_match match;
            *ret_found += route_table_find(table, &hot[k].query, &match) == 0;
        }
        spent += clock_mono_ns() - start;
    }
    return spent;
}

static void bench(unsigned hosts, unsigned prefixes)
{
    struct arena arena;
    arena_init(&arena, 1u << 20, 0, NULL);
    const struct model_listener *listener = listener_make(&arena, hosts, prefixes);
    uint64_t times[ROUNDS];
    struct route_table *table = NULL;
    for (unsigned i = 0; i < ROUNDS; i++) {
        route_table_free(table);
        uint64_t start = clock_mono_ns();
        table = route_table_compile(&listener, 1, NULL, NULL);
        times[i] = clock_mono_ns() - start;
    }
    qsort(times, ROUNDS, sizeof(times[0]), compare_u64);
    uint64_t compile_ns = times[ROUNDS / 2];

    struct route_query *queries = arena_array(&arena, struct route_query, hosts);
    uint32_t *order = arena_array(&arena, uint32_t, LOOKUPS);
    if (table == NULL || !arena_ok(&arena)) {
        fprintf(stderr, "router_bench: no memory\n");
        exit(1);
    }
    struct rand_state rand;
    rand_seed(&rand, 1);
    for (unsigned i = 0; i < hosts; i++)
        queries[i] = (struct route_query){
            .method = SPAN_LIT("GET"),
            .host = listener->http[i].hostnames[0],
            .path = arena_printf(&arena, "/service%u/v1/users/42", rand_below(&rand, prefixes)),
            .header = no_header,
        };
    for (uint32_t i = 0; i < LOOKUPS; i++)
        order[i] = rand_below(&rand, hosts);
    uint32_t found = 0;
    for (unsigned i = 0; i < ROUNDS; i++)
        times[i] = lookups_run(table, queries, order, &found);
    qsort(times, ROUNDS, sizeof(times[0]), compare_u64);
    printf("hosts %u rules %u compile_ms %.2f bytes %zu lookup_ns %.1f found %s\n", hosts,
           route_table_rules_count(table), (double)compile_ns / (double)NS_PER_MS,
           route_table_memory(table), (double)times[ROUNDS / 2] / LOOKUPS,
           found == ROUNDS * LOOKUPS ? "all" : "NOT ALL");
    route_table_free(table);
    arena_fini(&arena);
}

static unsigned argument(int argc, char **argv, int at, unsigned otherwise)
{
    uint64_t value = otherwise;
    if (at < argc && span_to_u64(span_str(argv[at]), 1000000, &value) < 0)
        fprintf(stderr, "router_bench: '%s' is not a number, %u is used\n", argv[at], otherwise);
    return value == 0 ? 1 : (unsigned)value;
}

int main(int argc, char **argv)
{
    unsigned hosts = argument(argc, argv, 1, 10000);
    unsigned prefixes = argument(argc, argv, 2, 5);
    bench(1, prefixes);
    bench(hosts, prefixes);
    return 0;
}
