/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include <stdio.h>

/* A backendRef is checked in the order of the API: kind, grant, existence,
 * port, protocol (Gateway API, BackendRef and HTTPRouteRule.backendRefs). */

static void told_mirror(const struct tr_site *site, struct diag *diag, const char *member)
{
    if (site->is_of_backend)
        diag_field(diag, "spec.rules[%u].backendRefs[%u].filters[%u].requestMirror.backendRef.%s",
                   site->rule, site->backend, site->filter, member);
    else
        diag_field(diag, "spec.rules[%u].filters[%u].requestMirror.backendRef.%s", site->rule,
                   site->filter, member);
    diag_consequence(diag, "this mirror would get nothing, requests themselves are unaffected");
}

static void told(const struct tr_site *site, struct diag *diag, const char *member)
{
    if (site->is_mirror) {
        told_mirror(site, diag, member);
        return;
    }
    const char *what = site->is_only ? "this rule" : "its share of this rule";
    diag_field(diag, "spec.rules[%u].backendRefs[%u].%s", site->rule, site->backend, member);
    if (site->is_tcp)
        diag_consequence(diag, "%s would close connections, others are unaffected", what);
    else
        diag_consequence(diag, "%s would answer %s, others are unaffected", what,
                         translate_rule_is_grpc(site) ? "UNAVAILABLE (14)" : "500");
}

/* Starts a finding about the reference; a repeated one goes to the scratch. */
static struct diag *fail(struct translation *tr, const struct conf_ref *ref,
                         const struct tr_site *site, enum diag_code code, const char *reason)
{
    struct diag *diag;
    if (site->is_quiet)
        diag = diags_add(NULL, code, site->object, site->object->pos);
    else
        diag = translate_diag(tr, code, site->object, ref->pos, ref->name);
    told(site, diag, "name");
    diag_condition(diag, "ResolvedRefs=False, %s", reason);
    return diag;
}

static int fail_end(struct translation *tr, const struct diag *diag, const char *reason,
                    struct tr_unresolved *unresolved)
{
    if (!unresolved->reason) {
        unresolved->reason = reason;
        unresolved->message = translate_message(tr, diag);
    }
    return -1;
}

static int fail_kind(struct translation *tr, const struct conf_ref *ref, const struct tr_site *site,
                     struct tr_unresolved *unresolved)
{
    struct diag *diag = fail(tr, ref, site, DIAG_BACKEND_INVALID_KIND, "InvalidKind");
    told(site, diag, "kind");
    diag_message(diag, "kind \"%s\" of group \"%s\" cannot be a backend, only Service and XBackend",
                 ref->kind, ref->group);
    return fail_end(tr, diag, "InvalidKind", unresolved);
}

static int fail_grant(struct translation *tr, const struct conf_ref *ref,
                      const struct tr_site *site, struct tr_unresolved *unresolved)
{
    struct diag *diag = fail(tr, ref, site, DIAG_REF_NOT_PERMITTED, "RefNotPermitted");
    told(site, diag, "namespace");
    diag_message(diag,
                 "no ReferenceGrant in namespace \"%.*s\" lets kind %s of \"%.*s\" use %s "
                 "\"%.*s\"",
                 SPAN_ARG(ref->ns), conf_kind_name(site->object->kind), SPAN_ARG(site->object->ns),
                 ref->kind, SPAN_ARG(ref->name));
    return fail_end(tr, diag, "RefNotPermitted", unresolved);
}

static int fail_missing(struct translation *tr, const struct conf_ref *ref,
                        const struct tr_site *site, struct tr_unresolved *unresolved)
{
    struct span ns = translate_ref_ns(ref, site->object);
    struct diag *diag = fail(tr, ref, site, DIAG_BACKEND_NOT_FOUND, "BackendNotFound");
    diag_message(diag, "no %s \"%.*s\" in namespace \"%.*s\"", ref->kind, SPAN_ARG(ref->name),
                 SPAN_ARG(ns));
    if (!site->is_quiet)
        translate_suggest(tr, diag, conf_ref_kind(ref), ns, ref->name);
    return fail_end(tr, diag, "BackendNotFound", unresolved);
}

static int fail_external_name(struct translation *tr, const struct conf_ref *ref,
                              const struct tr_site *site, struct tr_unresolved *unresolved)
{
    struct diag *diag = fail(tr, ref, site, DIAG_BACKEND_NOT_FOUND, "BackendNotFound");
    diag_message(diag, "Service \"%.*s\" is of type ExternalName, which is not served",
                 SPAN_ARG(ref->name));
    diag_hint(diag, "name the host in an XBackend");
    return fail_end(tr, diag, "BackendNotFound", unresolved);
}

static int fail_port(struct translation *tr, const struct conf_ref *ref, const struct tr_site *site,
                     const struct conf_service *service, struct tr_unresolved *unresolved)
{
    struct diag *diag = fail(tr, ref, site, DIAG_BACKEND_PORT_NOT_FOUND, "BackendNotFound");
    told(site, diag, "port");
    if (ref->port == 0)
        diag_message(diag, "Service \"%.*s\" needs a port", SPAN_ARG(ref->name));
    else
        diag_message(diag, "Service \"%.*s\" has no port %u", SPAN_ARG(ref->name), ref->port);
    size_t used = 0;
    char ports[sizeof(diag->hint)] = "";
    for (unsigned i = 0; i < service->ports_count && used + 8 < sizeof(ports) - 24; i++)
        used += (size_t)snprintf(ports + used, sizeof(ports) - used, "%s%u", i > 0 ? ", " : "",
                                 service->ports[i].port);
    if (used > 0)
        diag_hint(diag, "it has %.170s", ports);
    return fail_end(tr, diag, "BackendNotFound", unresolved);
}

static int fail_protocol(struct translation *tr, const struct conf_ref *ref,
                         const struct tr_site *site, const char *text,
                         struct tr_unresolved *unresolved)
{
    struct diag *diag = fail(tr, ref, site, DIAG_BACKEND_PROTOCOL, "UnsupportedProtocol");
    diag_message(diag, "%s \"%.*s\": %s", ref->kind, SPAN_ARG(ref->name), text);
    return fail_end(tr, diag, "UnsupportedProtocol", unresolved);
}

static const struct conf_service_port *port_find(const struct conf_service *service,
                                                 uint16_t number)
{
    const struct conf_service_port *found = NULL;
    for (unsigned i = 0; i < service->ports_count; i++) {
        if (service->ports[i].port != number || number == 0)
            continue;
        /* One number may stand for TCP and UDP; TCP is meant here. */
        if (!found || span_equal_str(service->ports[i].protocol, "TCP"))
            found = &service->ports[i];
    }
    return found;
}

/* NULL: the route can speak it. A policy makes the connection TLS. */
static const char *protocol_problem(struct span app_protocol, const struct tr_site *site,
                                    bool has_policy)
{
    bool is_wss = span_equal_str(app_protocol, "kubernetes.io/wss");
    if (site->is_tcp)
        return NULL;
    if (translate_rule_is_grpc(site) &&
        (is_wss || span_equal_str(app_protocol, "kubernetes.io/ws")))
        return "appProtocol says WebSocket, which cannot carry gRPC";
    if (is_wss && !has_policy)
        return "appProtocol kubernetes.io/wss needs a BackendTLSPolicy";
    return NULL;
}

/* Nobody who writes a policy expects its Service to be reached in clear. */
static void warn_tcp(struct translation *tr, const struct conf_ref *ref, const struct tr_site *site)
{
    struct diag *diag =
        translate_diag(tr, DIAG_POLICY_NOT_FOR_TCP, site->object, ref->pos, ref->name);
    told(site, diag, "name");
    diag_message(diag, "the BackendTLSPolicy of Service \"%.*s\" is not for TCPRoutes",
                 SPAN_ARG(ref->name));
    diag_consequence(diag, "bytes are passed on as they come, in TLS only if the client speaks it");
}

static int resolve_service(struct translation *tr, const struct conf_ref *ref,
                           const struct tr_site *site, const struct conf_object *object,
                           struct tr_unresolved *unresolved)
{
    const struct conf_service *service = object->service;
    if (span_equal_str(service->type, "ExternalName"))
        return fail_external_name(tr, ref, site, unresolved);
    const struct conf_service_port *port = port_find(service, ref->port);
    if (!port)
        return fail_port(tr, ref, site, service, unresolved);
    if (port->protocol.len > 0 && !span_equal_str(port->protocol, "TCP"))
        return fail_protocol(tr, ref, site, "the port is not a TCP port", unresolved);
    struct tr_cluster_request request = {
        .object = object,
        .port = port,
        .gateway = site->gateway,
        .is_h2 = translate_rule_is_grpc(site),
    };
    if (!site->is_tcp)
        request.policy = translate_tls_find(tr, object, port, site->gateway);
    else if (!site->is_quiet && translate_tls_covers(tr, object, port))
        warn_tcp(tr, ref, site);
    const char *problem = protocol_problem(port->app_protocol, site, request.policy != NULL);
    if (problem)
        return fail_protocol(tr, ref, site, problem, unresolved);
    return translate_cluster(tr, &request);
}

int translate_backend(struct translation *tr, const struct conf_ref *ref,
                      const struct tr_site *site, struct tr_unresolved *unresolved)
{
    enum conf_kind kind = conf_ref_kind(ref);
    if (kind != CONF_KIND_SERVICE && kind != CONF_KIND_XBACKEND)
        return fail_kind(tr, ref, site, unresolved);
    struct span ns = translate_ref_ns(ref, site->object);
    struct refs_party from = {SPAN_LIT(CONF_GROUP_GATEWAY),
                              span_str(conf_kind_name(site->object->kind)), site->object->ns};
    struct refs_party to = {span_str(ref->group), span_str(ref->kind), ns};
    if (!refs_is_permitted(&tr->refs, &from, &to, ref->name))
        return fail_grant(tr, ref, site, unresolved);
    const struct conf_object *object = objects_find(tr->objects, kind, ns, ref->name);
    if (!object)
        return fail_missing(tr, ref, site, unresolved);
    if (!site->is_tcp)
        translate_traffic_reach(tr, object, site->gateway);
    if (kind == CONF_KIND_SERVICE)
        return resolve_service(tr, ref, site, object, unresolved);
    const char *problem = protocol_problem(object->xbackend->app_protocol, site, false);
    if (problem)
        return fail_protocol(tr, ref, site, problem, unresolved);
    struct tr_cluster_request request = {
        .object = object,
        .gateway = site->gateway,
        .is_h2 = translate_rule_is_grpc(site),
    };
    return translate_cluster(tr, &request);
}
