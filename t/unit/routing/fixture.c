/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "t/unit/routing/fixture.h"

#define MANY 16u

static struct span span_until(struct span *rest, const char *separator)
{
    const char *at =
        rest->len == 0 ? NULL : memmem(rest->ptr, rest->len, separator, strlen(separator));
    struct span head = *rest;
    if (at == NULL) {
        *rest = SPAN_NONE;
        return head;
    }
    head.len = (size_t)(at - rest->ptr);
    *rest = span_skip(*rest, head.len + strlen(separator));
    return head;
}

static void add_pair(struct arena *arena, struct conf_kv_match **list, unsigned *count,
                     struct span word)
{
    struct conf_kv_match match = {
        .type = word.ptr[0] == 'H' || word.ptr[0] == 'Q' ? CONF_MATCH_REGEX : CONF_MATCH_EXACT};
    (void)span_split(span_skip(word, 2), ':', &match.name, &match.value);
    if (*list == NULL)
        *list = arena_array(arena, struct conf_kv_match, MANY);
    ASSERT(*count < MANY);
    (*list)[(*count)++] = match;
}

static const struct conf_rpc_match *rpc_match(struct arena *arena, struct span word)
{
    struct conf_rpc_match *rpc = arena_new(arena, struct conf_rpc_match);
    rpc->type = word.ptr[0] == 'C' ? CONF_MATCH_REGEX : CONF_MATCH_EXACT;
    (void)span_split(span_skip(word, 2), '/', &rpc->service, &rpc->method);
    return rpc;
}

static void match_add(struct arena *arena, struct conf_match_more *more, struct span word)
{
    switch (word.ptr[0]) {
    case 'm':
        more->method = span_skip(word, 2);
        break;
    case 'c':
    case 'C':
        more->rpc = rpc_match(arena, word);
        break;
    case 'h':
    case 'H':
        add_pair(arena, &more->headers, &more->headers_count, word);
        break;
    default:
        add_pair(arena, &more->queries, &more->queries_count, word);
    }
}

void fixture_match(struct arena *arena, struct span text, struct conf_http_match *match)
{
    *match = (struct conf_http_match){.path_type = CONF_MATCH_PREFIX, .path = SPAN_LIT("/")};
    while (text.len > 0) {
        struct span word = span_until(&text, " ");
        if (word.len < 2)
            continue;
        if (strchr("EPR", word.ptr[0]) == NULL) {
            if (match->more == NULL)
                match->more = arena_new(arena, struct conf_match_more);
            match_add(arena, match->more, word);
            continue;
        }
        match->path = span_skip(word, 2);
        match->path_type = word.ptr[0] == 'E'   ? CONF_MATCH_EXACT
                           : word.ptr[0] == 'R' ? CONF_MATCH_REGEX
                                                : CONF_MATCH_PREFIX;
    }
}

static struct span hostname(struct span word)
{
    return span_equal_str(word, "any") ? SPAN_NONE : word;
}

static void route_init(struct fixture *fixture, const struct fixture_route *from,
                       struct model_http_route *route, unsigned position)
{
    struct arena *arena = &fixture->arena;
    *route = (struct model_http_route){
        .ns = SPAN_LIT("test"),
        .name = span_str(from->name),
        .rank = from->rank != 0 ? from->rank : position + 1,
        .rules = arena_array(arena, struct model_rule, ARRAY_COUNT(from->rules)),
    };
    for (; route->rules_count < ARRAY_COUNT(from->rules) && from->rules[route->rules_count] != NULL;
         route->rules_count++) {
        struct model_rule *rule = &route->rules[route->rules_count];
        struct conf_http_match *matches = arena_array(arena, struct conf_http_match, MANY);
        struct span text = span_str(from->rules[route->rules_count]);
        rule->index = route->rules_count;
        do {
            ASSERT(rule->matches_count < MANY);
            fixture_match(arena, span_until(&text, " | "), &matches[rule->matches_count++]);
        } while (text.len > 0);
        rule->matches = matches;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(from->attachments); i++) {
        if (from->attachments[i].hostnames == NULL)
            break;
        struct model_listener *listener = &fixture->listeners[from->attachments[i].listener];
        struct model_attachment *attachment = &listener->http[listener->http_count++];
        struct span names = span_str(from->attachments[i].hostnames);
        attachment->route = route;
        attachment->hostnames = arena_array(arena, struct span, MANY);
        do {
            attachment->hostnames[attachment->hostnames_count++] =
                hostname(span_until(&names, " "));
        } while (names.len > 0);
    }
}

static void on_bad(void *user, const struct model_http_route *route, const struct model_rule *rule,
                   const struct err *err)
{
    struct fixture *fixture = user;
    ASSERT(route != NULL && rule != NULL && err->text[0] != '\0');
    fixture->bad_count++;
}

void fixture_init(struct fixture *fixture, const char *const *listeners,
                  const struct fixture_route *routes)
{
    unsigned listeners_count = 0, routes_count = 0;
    while (listeners[listeners_count] != NULL)
        listeners_count++;
    while (routes[routes_count].name != NULL)
        routes_count++;
    *fixture = (struct fixture){.listeners_count = listeners_count};
    struct arena *arena = &fixture->arena;
    arena_init(arena, 16384, 0, NULL);
    fixture->listeners = arena_array(arena, struct model_listener, listeners_count);
    fixture->pointers = arena_array(arena, const struct model_listener *, listeners_count);
    fixture->routes = arena_array(arena, struct model_http_route, routes_count);
    for (unsigned i = 0; i < listeners_count; i++) {
        fixture->listeners[i] = (struct model_listener){
            .id = span_str(listeners[i]),
            .hostname = hostname(span_str(listeners[i])),
            .http = arena_array(arena, struct model_attachment, routes_count * 4),
        };
        fixture->pointers[i] = &fixture->listeners[i];
    }
    for (unsigned i = 0; i < routes_count; i++)
        route_init(fixture, &routes[i], &fixture->routes[i], i);
    ASSERT(arena_ok(arena));
    fixture->table = route_table_compile(fixture->pointers, listeners_count, on_bad, fixture);
    ASSERT(fixture->table != NULL);
}

void fixture_fini(struct fixture *fixture)
{
    route_table_free(fixture->table);
    arena_fini(&fixture->arena);
}

static unsigned header_find(const void *user, struct span name, struct span *values, unsigned max)
{
    const struct fixture_request *request = user;
    struct span rest = span_str(request->headers);
    unsigned count = 0;
    while (rest.len > 0) {
        struct span key, value;
        (void)span_split(span_until(&rest, "; "), ':', &key, &value);
        if (!span_equal_fold(key, name))
            continue;
        if (count < max)
            values[count] = value;
        count++;
    }
    return count;
}

int fixture_find(const struct route_table *table, const struct fixture_request *request,
                 const char *sni, struct route_match *ret)
{
    struct route_query query = {
        .method = span_str(request->method != NULL ? request->method : "GET"),
        .host = span_str(request->host),
        .path = span_str(request->path),
        .query = span_str(request->query),
        .header = header_find,
        .user = request,
    };
    if (sni != NULL) {
        query.connection_listener = route_table_listener(table, span_str(sni));
        ASSERT(query.connection_listener != NULL);
    }
    return route_table_find(table, &query, ret);
}
