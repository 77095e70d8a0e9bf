/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hmap.h"
#include "base/pages.h"
#include "routing/route_table_int.h"

/* From the model to the table. Matches are compiled once a route, however
 * many listeners and host names lead to it. Host names of a listener that are
 * served by the same routes share one path index, so a route of sixteen names
 * costs one index. What is only needed while compiling lives in `scratch`. */
#define CHUNK_SIZE 65536u

struct known_route {
    struct hmap_node node; /* key: the bytes of the pointer below */
    const struct model_http_route *route;
    const struct model_listener *listener; /* the first that leads here */
    struct path_match *matches; /* of all good rules, in order; in scratch */
    uint32_t matches_count, first_id;
};

struct build_host { /* a host name of one listener */
    struct span hostname;
    uint32_t *attachments; /* positions in the listener, ascending */
    uint32_t attachments_count, pairs_count;
};

struct known_paths {
    struct hmap_node node; /* key: the list of attachments */
    struct path_index *paths;
};

struct build {
    struct route_table *table;
    struct arena scratch;
    struct hmap routes; /* struct known_route */
    void (*bad)(void *user, const struct model_http_route *route, const struct model_rule *rule,
                const struct err *err);
    void *user;
    struct path_item *items; /* room for one host's */
    uint32_t items_max;
};

/* One attachment of the listener that is compiled now. */
struct build_attachment {
    struct known_route *route;
    uint32_t order; /* of its first match */
};

/* GRPCRouteRule.matches: the more characters of the service match, then of the method, the earlier.
 * So an exact pair comes first, then a pair of patterns, then the service alone as the first
 * element of the path; what is left stands at the shortest prefix, ordered by the predicate. 0;
 * -ENOMEM. */
static int rpc_compile(struct build *build, const struct conf_rpc_match *rpc,
                       struct path_match *match)
{
    bool has_both = rpc->service.len > 0 && rpc->method.len > 0;
    match->type = CONF_MATCH_PREFIX;
    match->path = SPAN_NONE;
    if (rpc->type == CONF_MATCH_REGEX) {
        match->type = has_both ? CONF_MATCH_REGEX : CONF_MATCH_PREFIX;
    } else if (has_both) {
        match->type = CONF_MATCH_EXACT;
        match->path = arena_printf(&build->scratch, "/%.*s/%.*s", SPAN_ARG(rpc->service),
                                   SPAN_ARG(rpc->method));
    } else if (rpc->service.len > 0) {
        match->path = arena_printf(&build->scratch, "/%.*s", SPAN_ARG(rpc->service));
    }
    return arena_ok(&build->scratch) ? 0 : -ENOMEM;
}

static int match_compile(struct build *build, const struct conf_http_match *conf,
                         struct path_match *match, struct err *reterr)
{
    struct route_table *table = build->table;
    match->type = conf->path_type;
    match->path = conf->path;
    if (conf_match_more(conf)->rpc != NULL) {
        int r = rpc_compile(build, conf->more->rpc, match);
        if (r < 0)
            return r;
    } else if (match->type == CONF_MATCH_PREFIX) {
        while (match->path.len > 0 && match->path.ptr[match->path.len - 1] == '/')
            match->path.len--;
    } else if (match->type == CONF_MATCH_REGEX) {
        int r = predicate_pattern_add(&table->patterns, &table->arena, conf->path, &match->pattern,
                                      reterr);
        if (r < 0)
            return r;
    }
    int r = predicate_compile(conf, &table->arena, &table->patterns, &match->predicate, reterr);
    match->priority = predicate_priority(match->predicate);
    return r;
}

/* Adds the matches of a rule to the route's, all or none. 0; -ENOMEM. */
static int rule_compile(struct build *build, struct known_route *known, uint32_t position)
{
    const struct model_rule *rule = &known->route->rules[position];
    struct err err; /* set by what fails; there may be a hundred thousand matches */
    for (unsigned i = 0; i < rule->matches_count; i++) {
        struct path_match *match = &known->matches[known->matches_count + i];
        *match = (struct path_match){.rule = position};
        int r = match_compile(build, &rule->matches[i], match, &err);
        if (r == -ENOMEM)
            return r;
        if (r < 0) {
            if (build->bad != NULL)
                build->bad(build->user, known->route, rule, &err);
            return 0;
        }
    }
    known->matches_count += rule->matches_count;
    return 0;
}

static struct span pointer_key(const struct model_http_route *const *route)
{
    return span_make(route, sizeof(*route));
}

/* The route compiled, now or before; NULL: no memory. */
static struct known_route *route_get(struct build *build, const struct model_listener *listener,
                                     const struct model_http_route *route)
{
    struct hmap_node *node = hmap_find(&build->routes, pointer_key(&route));
    if (node != NULL)
        return container_of(node, struct known_route, node);
    struct known_route *known = arena_new(&build->scratch, struct known_route);
    size_t matches = 0;
    for (unsigned i = 0; i < route->rules_count; i++)
        matches += route->rules[i].matches_count;
    struct path_match *all = arena_array(&build->scratch, struct path_match, matches);
    if (known == NULL || all == NULL)
        return NULL;
    known->route = route;
    known->listener = listener;
    known->matches = all;
    known->first_id = build->table->rules_count;
    build->table->rules_count += route->rules_count;
    for (uint32_t i = 0; i < route->rules_count; i++) {
        if (rule_compile(build, known, i) < 0)
            return NULL;
    }
    hmap_insert(&build->routes, &known->node, pointer_key(&known->route));
    return known;
}

/* The path index of a host: its items gathered and sorted. NULL: no memory. */
static struct path_index *paths_build(struct build *build, const struct build_host *host,
                                      const struct build_attachment *attachments)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < host->attachments_count; i++)
        count += attachments[host->attachments[i]].route->matches_count;
    if (count > build->items_max) {
        build->items_max = MAX(count, build->items_max * 2);
        build->items = arena_array(&build->scratch, struct path_item, build->items_max);
    }
    if (build->items == NULL && count > 0)
        return NULL;
    uint32_t at = 0;
    for (uint32_t i = 0; i < host->attachments_count; i++) {
        const struct build_attachment *attachment = &attachments[host->attachments[i]];
        const struct known_route *known = attachment->route;
        for (uint32_t k = 0; k < known->matches_count; k++) {
            build->items[at++] = (struct path_item){
                .match = &known->matches[k],
                .rule = known->first_id + known->matches[k].rule,
                .rank = known->route->rank,
                .order = attachment->order + k,
            };
        }
    }
    return path_index_new(&build->table->arena, build->items, count);
}

/* The path index for a host, shared with earlier hosts of the same routes. NULL: no memory. */
static struct path_index *paths_get(struct build *build, struct hmap *known,
                                    const struct build_host *host,
                                    const struct build_attachment *attachments)
{
    struct span key =
        span_make(host->attachments, host->attachments_count * sizeof(*host->attachments));
    struct hmap_node *node = hmap_find(known, key);
    if (node != NULL)
        return container_of(node, struct known_paths, node)->paths;
    struct known_paths *item = arena_new(&build->scratch, struct known_paths);
    if (item == NULL)
        return NULL;
    item->paths = paths_build(build, host, attachments);
    if (item->paths != NULL)
        hmap_insert(known, &item->node, key);
    return item->paths;
}

struct build_hosts {
    struct build_host *hosts;
    uint32_t count;
};

/* Which attachments stand under each host name of the listener. 0; -ENOMEM. */
static int hosts_gather(struct build *build, const struct model_listener *listener,
                        struct build_hosts *ret)
{
    size_t pairs = 0, at = 0;
    for (unsigned i = 0; i < listener->http_count; i++)
        pairs += listener->http[i].hostnames_count;
    struct host_index index;
    struct build_host *hosts = arena_array(&build->scratch, struct build_host, pairs);
    struct build_host **of_pair = arena_array(&build->scratch, struct build_host *, pairs);
    uint32_t *lists = arena_array(&build->scratch, uint32_t, pairs);
    if (pairs > UINT32_MAX / 2 || hosts == NULL || of_pair == NULL || lists == NULL ||
        host_index_init(&index, &build->scratch, (uint32_t)pairs) < 0)
        return -ENOMEM;
    uint32_t count = 0;
    for (unsigned i = 0; i < listener->http_count; i++) {
        const struct model_attachment *attachment = &listener->http[i];
        for (unsigned k = 0; k < attachment->hostnames_count; k++, at++) {
            void **place = host_index_place(&index, attachment->hostnames[k]);
            if (place == NULL)
                continue; /* longer than any host that can be asked for */
            if (*place == NULL) {
                hosts[count].hostname = attachment->hostnames[k];
                *place = &hosts[count++];
            }
            of_pair[at] = *place;
            of_pair[at]->pairs_count++;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        hosts[i].attachments = lists;
        lists += hosts[i].pairs_count;
    }
    at = 0;
    for (unsigned i = 0; i < listener->http_count; i++) {
        for (unsigned k = 0; k < listener->http[i].hostnames_count; k++, at++) {
            struct build_host *host = of_pair[at];
            /* An attachment may name a host twice. */
            if (host != NULL && (host->attachments_count == 0 ||
                                 host->attachments[host->attachments_count - 1] != i))
                host->attachments[host->attachments_count++] = i;
        }
    }
    *ret = (struct build_hosts){.hosts = hosts, .count = count};
    return 0;
}

static int hosts_compile(struct build *build, const struct build_hosts *hosts,
                         const struct build_attachment *attachments, struct host_index *index)
{
    struct arena *arena = &build->table->arena;
    if (host_index_init(index, arena, hosts->count) < 0)
        return -ENOMEM;
    struct hmap known;
    hmap_init(&known, hosts->count);
    int r = 0;
    for (uint32_t i = 0; i < hosts->count && r == 0; i++) {
        const struct build_host *host = &hosts->hosts[i];
        /* First the name, then its paths: a request reads both. */
        void **place = host_index_place(index, host->hostname);
        if (place != NULL)
            *place = paths_get(build, &known, host, attachments);
        if (place == NULL || *place == NULL)
            r = -ENOMEM;
    }
    hmap_fini(&known);
    return r;
}

static int listener_compile(struct build *build, const struct model_listener *conf)
{
    struct route_table *table = build->table;
    void **place = host_index_place(&table->listeners, conf->hostname);
    if (place == NULL || *place != NULL)
        return 0; /* cannot be asked for, or the older one of that name serves */
    struct route_listener *listener = arena_new(&table->arena, struct route_listener);
    struct build_attachment *attachments =
        arena_array(&build->scratch, struct build_attachment, conf->http_count);
    if (listener == NULL || attachments == NULL)
        return -ENOMEM;
    listener->conf = conf;
    *place = listener;
    uint32_t order = 0;
    for (unsigned i = 0; i < conf->http_count; i++) {
        attachments[i].route = route_get(build, conf, conf->http[i].route);
        if (attachments[i].route == NULL)
            return -ENOMEM;
        attachments[i].order = order;
        order += attachments[i].route->matches_count;
    }
    struct build_hosts hosts;
    int r = hosts_gather(build, conf, &hosts);
    if (r == 0)
        r = hosts_compile(build, &hosts, attachments, &listener->hosts);
    return r;
}

/* Rules by id. 0; -ENOMEM. */
static int rules_number(const struct build *build)
{
    struct route_table *table = build->table;
    table->rules = arena_array(&table->arena, struct route_rule, table->rules_count);
    if (table->rules == NULL)
        return -ENOMEM;
    struct hmap_node *node = NULL;
    while ((node = hmap_next(&build->routes, node)) != NULL) {
        const struct known_route *known = container_of(node, struct known_route, node);
        for (uint32_t i = 0; i < known->route->rules_count; i++)
            table->rules[known->first_id + i] = (struct route_rule){
                .conf = &known->route->rules[i],
                .route = known->route,
                .listener = known->listener,
            };
    }
    return 0;
}

static int table_build(struct build *build, const struct model_listener *const *listeners,
                       unsigned count)
{
    int r = host_index_init(&build->table->listeners, &build->table->arena, count);
    for (unsigned i = 0; i < count && r == 0; i++) {
        if (listeners[i]->protocol != MODEL_PROTOCOL_TCP)
            r = listener_compile(build, listeners[i]);
    }
    return r == 0 ? rules_number(build) : r;
}

struct route_table *
route_table_compile(const struct model_listener *const *listeners, unsigned count,
                    void (*bad)(void *user, const struct model_http_route *route,
                                const struct model_rule *rule, const struct err *err),
                    void *user)
{
    struct route_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return NULL;
    arena_init(&table->arena, CHUNK_SIZE, 0, &pages_source);
    struct build build = {.table = table, .bad = bad, .user = user};
    arena_init(&build.scratch, CHUNK_SIZE, 0, &pages_brief_source);
    hmap_init(&build.routes, 0);
    int r = table_build(&build, listeners, count);
    if (!arena_ok(&build.scratch) || !arena_ok(&table->arena))
        r = -ENOMEM;
    hmap_fini(&build.routes);
    arena_fini(&build.scratch);
    if (r < 0) {
        route_table_free(table);
        return NULL;
    }
    return table;
}
