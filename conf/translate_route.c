/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include <stdlib.h>

#include "base/panic.h"

/* A route is attached to listeners by each of its parentRefs (Gateway API,
 * ParentReference and AllowedRoutes); the steps below narrow the listeners
 * of the Gateway, and the step that leaves none names the reason. */

struct candidate {
    struct tr_listener *listener;
    struct span *hostnames;
    unsigned hostnames_count;
};

/* One parentRef to one of our Gateways. */
struct parent {
    const struct conf_ref *ref;
    unsigned index;
    struct tr_gateway *gateway;
    struct candidate *candidates;
    unsigned count;
    const char *rejected;
    struct span message;
};

/* A route that is being attached. */
struct attaching {
    const struct conf_object *object;
    unsigned rank;
    const struct conf_hostname *hostnames;
    struct span *names; /* of hostnames, lower case; one "" when there is none */
    unsigned names_count;
    struct status *status;
};

/* The Gateway of a parentRef, or NULL: not one of ours. */
static struct tr_gateway *find_gateway(struct translation *tr, const struct conf_object *object,
                                       const struct conf_ref *ref, unsigned index)
{
    struct span ns = translate_ref_ns(ref, object);
    struct diag *diag;
    if (conf_ref_kind(ref) != CONF_KIND_GATEWAY) {
        diag = translate_diag(tr, DIAG_PARENT_KIND, object, ref->pos, ref->name);
        diag_field(diag, "spec.parentRefs[%u].kind", index);
        diag_message(diag, "kind \"%s\" of group \"%s\" is not served, only Gateway", ref->kind,
                     ref->group);
        diag_consequence(diag, "this parentRef has no effect");
        return NULL;
    }
    const struct conf_object *gateway = objects_find(tr->objects, CONF_KIND_GATEWAY, ns, ref->name);
    if (gateway)
        return translate_gateway_find(tr, gateway);
    diag = translate_diag(tr, DIAG_GATEWAY_NOT_FOUND, object, ref->pos, ref->name);
    diag_field(diag, "spec.parentRefs[%u].name", index);
    diag_message(diag, "no Gateway \"%.*s\" in namespace \"%.*s\"", SPAN_ARG(ref->name),
                 SPAN_ARG(ns));
    translate_suggest(tr, diag, CONF_KIND_GATEWAY, ns, ref->name);
    diag_consequence(diag, "the route is not reached through this parentRef");
    return NULL;
}

static struct diag *reject(struct translation *tr, const struct attaching *route,
                           struct parent *parent, enum diag_code code, const char *reason)
{
    struct diag *diag =
        translate_diag(tr, code, route->object, parent->ref->pos, parent->ref->name);
    diag_field(diag, "spec.parentRefs[%u]", parent->index);
    diag_condition(diag, "Accepted=False, %s", reason);
    diag_consequence(diag, "the route is not reached through this parentRef");
    parent->rejected = reason;
    return diag;
}

static void suggest_listener(struct translation *tr, struct diag *diag, const struct parent *parent)
{
    const char *names[64];
    unsigned count = MIN(parent->gateway->listeners_count, (unsigned)ARRAY_COUNT(names));
    for (unsigned i = 0; i < count; i++)
        names[i] =
            arena_printf(&tr->scratch, "%.*s", SPAN_ARG(parent->gateway->listeners[i].conf->name))
                .ptr;
    const char *near = diag_did_you_mean(span_str(parent->ref->section_name), names, count);
    if (near)
        diag_hint(diag, "did you mean \"%s\"?", near);
    else if (count == 1)
        diag_hint(diag, "its only listener is \"%s\" on port %u", names[0],
                  parent->gateway->listeners[0].conf->port);
}

static void narrow_by_section(struct translation *tr, const struct attaching *route,
                              struct parent *parent)
{
    const struct conf_ref *ref = parent->ref;
    for (unsigned i = 0; i < parent->gateway->listeners_count; i++) {
        struct tr_listener *listener = &parent->gateway->listeners[i];
        if (ref->section_name != NULL && !span_equal_str(listener->conf->name, ref->section_name))
            continue;
        if (ref->port > 0 && ref->port != listener->conf->port)
            continue;
        parent->candidates[parent->count++].listener = listener;
    }
    if (parent->count > 0)
        return;
    struct diag *diag = reject(tr, route, parent, DIAG_NO_MATCHING_PARENT, "NoMatchingParent");
    diag_field(diag, "spec.parentRefs[%u].%s", parent->index,
               ref->section_name != NULL ? "sectionName" : "port");
    if (ref->section_name != NULL && ref->port > 0)
        diag_message(diag, "Gateway \"%.*s\" has no listener \"%s\" on port %u",
                     SPAN_ARG(ref->name), ref->section_name, ref->port);
    else if (ref->section_name != NULL)
        diag_message(diag, "Gateway \"%.*s\" has no listener \"%s\"", SPAN_ARG(ref->name),
                     ref->section_name);
    else
        diag_message(diag, "Gateway \"%.*s\" has no listener on port %u", SPAN_ARG(ref->name),
                     ref->port);
    suggest_listener(tr, diag, parent);
    parent->message = translate_message(tr, diag);
}

static void narrow_by_admission(struct translation *tr, const struct attaching *route,
                                struct parent *parent)
{
    unsigned kept = 0, of_kind = 0;
    for (unsigned i = 0; i < parent->count; i++) {
        struct tr_listener *listener = parent->candidates[i].listener;
        if (!attach_is_kind_allowed(listener->conf, route->object->kind))
            continue;
        of_kind++;
        if (attach_is_namespace_allowed(&tr->refs, listener->conf, parent->gateway->object->ns,
                                        route->object->ns))
            parent->candidates[kept++].listener = listener;
    }
    parent->count = kept;
    if (kept > 0)
        return;
    struct diag *diag =
        reject(tr, route, parent, DIAG_NOT_ALLOWED_BY_LISTENERS, "NotAllowedByListeners");
    if (of_kind == 0) {
        diag_message(diag, "no listener that is meant of Gateway \"%.*s\" takes routes of kind %s",
                     SPAN_ARG(parent->ref->name), conf_kind_name(route->object->kind));
    } else {
        diag_message(diag, "listeners of Gateway \"%.*s\" admit no routes of namespace \"%.*s\"",
                     SPAN_ARG(parent->ref->name), SPAN_ARG(route->object->ns));
        diag_hint(diag, "see allowedRoutes.namespaces of the listener");
    }
    parent->message = translate_message(tr, diag);
}

/* Names under which the route is reached on a listener, without repetition. */
static void intersect(struct translation *tr, const struct attaching *route,
                      struct candidate *candidate)
{
    candidate->hostnames = arena_array(tr->arena, struct span, route->names_count);
    candidate->hostnames_count = 0;
    ASSERT(candidate->hostnames);
    for (unsigned i = 0; i < route->names_count; i++) {
        struct span name;
        bool is_new = attach_intersect(candidate->listener->hostname, route->names[i], &name);
        for (unsigned j = 0; j < candidate->hostnames_count && is_new; j++)
            is_new = !span_equal(candidate->hostnames[j], name);
        if (is_new)
            candidate->hostnames[candidate->hostnames_count++] = name;
    }
}

static void narrow_by_hostname(struct translation *tr, const struct attaching *route,
                               struct parent *parent)
{
    unsigned kept = 0;
    struct span listener_name = parent->candidates[0].listener->hostname;
    for (unsigned i = 0; i < parent->count; i++) {
        intersect(tr, route, &parent->candidates[i]);
        if (parent->candidates[i].hostnames_count > 0)
            parent->candidates[kept++] = parent->candidates[i];
    }
    bool is_one = parent->count == 1;
    parent->count = kept;
    if (kept > 0)
        return;
    struct diag *diag =
        reject(tr, route, parent, DIAG_NO_MATCHING_HOSTNAME, "NoMatchingListenerHostname");
    if (route->hostnames) {
        diag_field(diag, "spec.hostnames[0]");
        if (route->hostnames[0].pos.line > 0)
            diag->pos = conf_place_pos(route->object, route->hostnames[0].pos);
        diag->length = (unsigned)MIN(route->names[0].len, (size_t)200);
    }
    if (is_one)
        diag_message(diag, "no host name of the route is under \"%.*s\" of Gateway \"%.*s\"",
                     SPAN_ARG(listener_name), SPAN_ARG(parent->ref->name));
    else
        diag_message(diag, "no listener of Gateway \"%.*s\" has a host name of the route",
                     SPAN_ARG(parent->ref->name));
    parent->message = translate_message(tr, diag);
}

/* The first host name that an older route of the other kind has, with that route; NULL: none. */
static const struct conf_object *find_older(struct translation *tr, const struct attaching *route,
                                            const struct candidate *candidate, struct span *ret)
{
    const struct conf_object *older = NULL;
    for (unsigned i = 0; i < candidate->hostnames_count && !older; i++) {
        *ret = candidate->hostnames[i];
        older = translate_claim_find(tr, candidate->listener, route->object->kind, *ret);
    }
    return older;
}

/* Leaves out listeners where an older route of the other kind has a host name of this one. */
static void narrow_by_claims(struct translation *tr, const struct attaching *route,
                             struct parent *parent)
{
    unsigned kept = 0;
    struct diag *diag = NULL;
    for (unsigned i = 0; i < parent->count; i++) {
        const struct candidate *candidate = &parent->candidates[i];
        struct span name;
        const struct conf_object *older = find_older(tr, route, candidate, &name);
        if (!older) {
            parent->candidates[kept++] = *candidate;
            continue;
        }
        diag = translate_diag(tr, DIAG_HOSTNAME_TAKEN, route->object, parent->ref->pos,
                              parent->ref->name);
        diag_field(diag, "spec.parentRefs[%u]", parent->index);
        diag_message(diag, "listener \"%.*s\" has the older %s %.*s/%.*s under \"%.*s\"",
                     SPAN_ARG(candidate->listener->conf->name), conf_kind_name(older->kind),
                     SPAN_ARG(older->ns), SPAN_ARG(older->name),
                     SPAN_ARG(name.len > 0 ? name : SPAN_LIT("*")));
        diag_hint(diag, "HTTPRoutes and GRPCRoutes of a listener need host names of their own");
        diag_consequence(diag, "the route is not reached through this listener");
    }
    parent->count = kept;
    if (kept > 0)
        return;
    parent->rejected = "HostnameConflict";
    diag_condition(diag, "Accepted=False, %s", parent->rejected);
    parent->message = translate_message(tr, diag);
}

static void attach(struct translation *tr, const struct attaching *route, struct parent *parent)
{
    parent->candidates =
        arena_array(&tr->scratch, struct candidate, parent->gateway->listeners_count);
    ASSERT(parent->candidates);
    narrow_by_section(tr, route, parent);
    if (!parent->rejected)
        narrow_by_admission(tr, route, parent);
    if (!parent->rejected && route->object->kind != CONF_KIND_TCP_ROUTE)
        narrow_by_hostname(tr, route, parent);
    if (!parent->rejected && tr->has_claims && route->object->kind != CONF_KIND_TCP_ROUTE)
        narrow_by_claims(tr, route, parent);
    if (parent->rejected)
        parent->count = 0;
}

/* Counts the route on its listeners; one that two parentRefs name counts once. */
static void count_attached(const struct attaching *route, struct parent *parent)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < parent->count; i++) {
        struct tr_listener *listener = parent->candidates[i].listener;
        if (listener->last_attached == route->object)
            continue;
        listener->last_attached = route->object;
        listener->attached++;
        parent->candidates[kept++] = parent->candidates[i];
    }
    parent->count = kept;
}

/* What was built of a route for a Gateway and the limits that stand above the route. */
struct built {
    const struct tr_gateway *gateway;
    const struct tr_limit_policy *outer;
    int index; /* of the model's route; -1: none needed yet */
    struct model_http_route route;
    struct tr_rules_outcome outcome;
};

struct builts {
    struct built *items;
    unsigned count, cap;
};

static struct built *build(struct translation *tr, const struct attaching *route,
                           struct builts *builts, const struct tr_gateway *gateway,
                           struct tr_limit_policy *outer)
{
    for (unsigned i = 0; i < builts->count; i++) {
        if (builts->items[i].gateway == gateway && builts->items[i].outer == outer)
            return &builts->items[i];
    }
    builts->items =
        translate_grow(builts->items, builts->count, &builts->cap, sizeof(*builts->items));
    struct built *built = &builts->items[builts->count];
    struct tr_site site = {
        .object = route->object,
        .gateway = gateway,
        .is_quiet = builts->count > 0,
    };
    *built = (struct built){.gateway = gateway, .outer = outer, .index = -1};
    built->route.rank = route->rank;
    built->route.is_grpc = route->object->kind == CONF_KIND_GRPC_ROUTE;
    translate_rules(tr, &site, outer, &built->route, &built->outcome);
    builts->count++;
    return built;
}

static struct tr_limit_policy *outer_limits(const struct tr_listener *listener)
{
    return listener->limits ? listener->limits : listener->gateway->limits;
}

static void add_attachment(struct translation *tr, struct built *built,
                           const struct candidate *candidate)
{
    struct tr_listener *listener = candidate->listener;
    struct model *model = tr->model;
    if (built->index < 0) {
        model->http_routes = translate_grow(model->http_routes, model->http_routes_count,
                                            &tr->routes_cap, sizeof(*model->http_routes));
        built->index = (int)model->http_routes_count;
        model->http_routes[model->http_routes_count++] = built->route;
    }
    listener->attachments =
        translate_grow(listener->attachments, listener->attachments_count,
                       &listener->attachments_cap, sizeof(*listener->attachments));
    listener->attachments[listener->attachments_count++] = (struct tr_attachment){
        (unsigned)built->index, candidate->hostnames, candidate->hostnames_count};
}

static void claim_hostnames(struct translation *tr, const struct attaching *route,
                            const struct candidate *candidate)
{
    for (unsigned i = 0; i < candidate->hostnames_count && tr->has_claims; i++)
        translate_claim_add(tr, candidate->listener, route->object, candidate->hostnames[i]);
}

static void finish_parent(struct translation *tr, const struct attaching *route,
                          const struct parent *parent, const struct tr_rules_outcome *outcome)
{
    struct status_parent *status = &route->status->parents[route->status->parents_count++];
    status->ref = *parent->ref;
    translate_condition(tr, &status->conditions, "Accepted", parent->rejected, parent->message);
    translate_condition(tr, &status->conditions, "ResolvedRefs", outcome->unresolved.reason,
                        outcome->unresolved.message);
    if (outcome->invalid > 0 && !parent->rejected)
        translate_condition_true(tr, &status->conditions, "PartiallyInvalid", TR_PARTIALLY_INVALID,
                                 outcome->message);
}

static void http_parent(struct translation *tr, const struct attaching *route,
                        struct parent *parent, struct builts *builts)
{
    const struct conf_http_route *conf = route->object->http_route;
    struct tr_limit_policy *outer =
        parent->count > 0 ? outer_limits(parent->candidates[0].listener) : parent->gateway->limits;
    struct tr_rules_outcome outcome = build(tr, route, builts, parent->gateway, outer)->outcome;
    if (!parent->rejected && outcome.invalid > 0 && outcome.invalid == conf->rules_count) {
        parent->rejected = outcome.reason;
        parent->message = outcome.message;
    } else if (outcome.invalid > 0) {
        outcome.message =
            arena_printf(&tr->statuses->arena, "Dropped Rule: %.*s", SPAN_ARG(outcome.message));
    }
    if (!parent->rejected)
        count_attached(route, parent);
    for (unsigned i = 0; i < parent->count && !parent->rejected; i++) {
        struct tr_listener *listener = parent->candidates[i].listener;
        claim_hostnames(tr, route, &parent->candidates[i]);
        if (translate_listener_is_served(listener))
            add_attachment(tr, build(tr, route, builts, parent->gateway, outer_limits(listener)),
                           &parent->candidates[i]);
    }
    finish_parent(tr, route, parent, &outcome);
}

static void tcp_parent(struct translation *tr, const struct attaching *route, struct parent *parent,
                       bool is_quiet)
{
    const struct conf_tcp_route *conf = route->object->tcp_route;
    struct tr_site site = {
        .object = route->object,
        .gateway = parent->gateway,
        .is_tcp = true,
        .is_quiet = is_quiet,
    };
    struct tr_rules_outcome outcome = {0};
    struct model_tcp_route *built = arena_new(tr->arena, struct model_tcp_route);
    ASSERT(built);
    *built = (struct model_tcp_route){
        .ns = route->object->ns,
        .name = route->object->name,
        .rule_name = conf->rule_name.len > 0 ? conf->rule_name : SPAN_LIT("rule-0"),
        .backends_count = conf->backends_count,
    };
    built->backends = translate_rule_backends(tr, &site, conf->backends, conf->backends_count,
                                              &outcome.unresolved);
    if (!parent->rejected)
        count_attached(route, parent);
    for (unsigned i = 0; i < parent->count; i++) {
        struct tr_listener *listener = parent->candidates[i].listener;
        if (!listener->tcp) {
            listener->tcp = built;
            continue;
        }
        struct diag *diag = translate_diag(tr, DIAG_TCP_ROUTE_SHADOWED, route->object,
                                           parent->ref->pos, parent->ref->name);
        diag_field(diag, "spec.parentRefs[%u]", parent->index);
        diag_message(diag,
                     "listener \"%.*s\" of Gateway \"%.*s\" serves the older TCPRoute %.*s/%.*s",
                     SPAN_ARG(listener->conf->name), SPAN_ARG(parent->ref->name),
                     SPAN_ARG(listener->tcp->ns), SPAN_ARG(listener->tcp->name));
        diag_consequence(diag, "this route gets no connections there");
    }
    finish_parent(tr, route, parent, &outcome);
}

static void route_parents(struct translation *tr, struct attaching *route,
                          const struct conf_ref *refs, unsigned count)
{
    struct builts builts = {0};
    bool is_tcp = route->object->kind == CONF_KIND_TCP_ROUTE;
    route->status = translate_status(tr, route->object);
    route->status->parents = arena_array(&tr->statuses->arena, struct status_parent, count);
    ASSERT(route->status->parents);
    for (unsigned i = 0; i < count; i++) {
        struct parent parent = {.ref = &refs[i], .index = i};
        parent.gateway = find_gateway(tr, route->object, &refs[i], i);
        if (!parent.gateway)
            continue;
        attach(tr, route, &parent);
        if (is_tcp)
            tcp_parent(tr, route, &parent, route->status->parents_count > 0);
        else
            http_parent(tr, route, &parent, &builts);
    }
    free(builts.items);
    if (count > 0)
        return;
    struct diag *diag =
        translate_diag(tr, DIAG_NO_PARENTS, route->object, (struct conf_place){0}, SPAN_NONE);
    diag_field(diag, "spec.parentRefs");
    diag_message(diag, "the route names no Gateway");
    diag_consequence(diag, "nothing of it is served");
}

static void http_route(struct translation *tr, const struct conf_object *object, unsigned rank)
{
    static struct span any_name[] = {{"", 0}};
    const struct conf_http_route *conf = object->http_route;
    struct attaching route = {.object = object, .rank = rank, .names = any_name, .names_count = 1};
    if (conf->hostnames_count > 0) {
        route.hostnames = conf->hostnames;
        route.names_count = conf->hostnames_count;
        route.names = arena_array(&tr->scratch, struct span, conf->hostnames_count);
        ASSERT(route.names);
        for (unsigned i = 0; i < conf->hostnames_count; i++)
            route.names[i] = attach_hostname(tr->arena, conf->hostnames[i].name);
    }
    route_parents(tr, &route, conf->parents, conf->parents_count);
}

void translate_routes(struct translation *tr)
{
    unsigned http_count, grpc_count, count;
    const struct conf_object *const *http =
        objects_list(tr->objects, CONF_KIND_HTTP_ROUTE, &http_count);
    const struct conf_object *const *grpc =
        objects_list(tr->objects, CONF_KIND_GRPC_ROUTE, &grpc_count);
    tr->has_claims = http_count > 0 && grpc_count > 0;
    for (unsigned i = 0, j = 0; i < http_count || j < grpc_count;) {
        unsigned rank = i + j;
        if (j == grpc_count || (i < http_count && objects_compare_age(http[i], grpc[j]) <= 0))
            http_route(tr, http[i++], rank);
        else
            http_route(tr, grpc[j++], rank);
    }
    const struct conf_object *const *list = objects_list(tr->objects, CONF_KIND_TCP_ROUTE, &count);
    for (unsigned i = 0; i < count; i++) {
        struct attaching route = {.object = list[i], .rank = i};
        route_parents(tr, &route, list[i]->tcp_route->parents, list[i]->tcp_route->parents_count);
    }
    struct model *model = tr->model;
    model->http_routes = translate_settle(tr, model->http_routes, model->http_routes_count,
                                          sizeof(*model->http_routes));
}
