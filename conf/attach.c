/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/attach.h"

#include "base/panic.h"

struct span attach_hostname(struct arena *arena, struct span name)
{
    bool is_lower = true;
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    for (size_t i = 0; i < name.len && is_lower; i++)
        is_lower = ascii_lower((unsigned char)name.ptr[i]) == (unsigned char)name.ptr[i];
    if (is_lower)
        return name;
    char *lower = arena_alloc_aligned(arena, name.len, 1);
    ASSERT(lower);
    span_lower_to(name, lower);
    return span_make(lower, name.len);
}

static bool is_wildcard(struct span name)
{
    return name.len > 2 && name.ptr[0] == '*' && name.ptr[1] == '.';
}

/* name ends in what follows the star, and has at least one label before it. */
static bool is_under(struct span name, struct span wildcard)
{
    struct span suffix = span_skip(wildcard, 1);
    return name.len > suffix.len && span_ends_with(name, suffix);
}

bool attach_intersect(struct span listener, struct span route, struct span *ret)
{
    if (listener.len == 0 || span_equal(listener, route)) {
        *ret = route;
        return true;
    }
    if (route.len == 0) {
        *ret = listener;
        return true;
    }
    if (is_wildcard(route) && is_under(listener, route)) {
        *ret = listener;
        return true;
    }
    if (is_wildcard(listener) && is_under(route, listener)) {
        *ret = route;
        return true;
    }
    return false;
}

bool attach_is_namespace_allowed(const struct refs *refs, const struct conf_listener *listener,
                                 struct span owner_ns, struct span route_ns)
{
    switch (listener->from) {
    case CONF_FROM_SAME:
        return span_equal(owner_ns, route_ns);
    case CONF_FROM_ALL:
        return true;
    case CONF_FROM_SELECTOR:
        return refs_namespace_matches(refs, route_ns, listener->selector, listener->selector_count);
    case CONF_FROM_NONE:
        return false;
    }
    return false;
}

unsigned attach_protocol_kinds(enum conf_protocol protocol, const enum conf_kind **ret)
{
    static const enum conf_kind http[] = {CONF_KIND_HTTP_ROUTE, CONF_KIND_GRPC_ROUTE};
    static const enum conf_kind tcp[] = {CONF_KIND_TCP_ROUTE};
    switch (protocol) {
    case CONF_PROTOCOL_HTTP:
    case CONF_PROTOCOL_HTTPS:
        *ret = http;
        return ARRAY_COUNT(http);
    case CONF_PROTOCOL_TCP:
        *ret = tcp;
        return ARRAY_COUNT(tcp);
    case CONF_PROTOCOL_TLS:
    case CONF_PROTOCOL_UDP:
    case CONF_PROTOCOL_OTHER:
        break;
    }
    *ret = NULL;
    return 0;
}

bool attach_is_kind_served(enum conf_protocol protocol, enum conf_kind kind)
{
    const enum conf_kind *kinds;
    unsigned count = attach_protocol_kinds(protocol, &kinds);
    for (unsigned i = 0; i < count; i++) {
        if (kinds[i] == kind)
            return true;
    }
    return false;
}

bool attach_is_kind_allowed(const struct conf_listener *listener, enum conf_kind kind)
{
    if (!attach_is_kind_served(listener->protocol, kind))
        return false;
    for (unsigned i = 0; i < listener->kinds_count; i++) {
        const struct conf_route_kind *allowed = &listener->kinds[i];
        if (conf_kind_find(allowed->group, allowed->kind) == kind)
            return true;
    }
    return listener->kinds_count == 0;
}
