/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include <stdio.h>

#include "base/panic.h"

static const char *conflict_reason(enum validate_conflict conflict)
{
    return conflict == VALIDATE_CONFLICT_HOSTNAME ? "HostnameConflict" : "ProtocolConflict";
}

static unsigned index_of(const struct tr_listener *listener)
{
    return (unsigned)(listener - listener->gateway->listeners);
}

/* A finding about a listener that must not be served. */
static struct diag *reject(struct translation *tr, struct tr_listener *listener,
                           enum diag_code code, const char *reason)
{
    struct diag *diag =
        translate_diag(tr, code, listener->gateway->object, listener->conf->pos, SPAN_NONE);
    diag_field(diag, "spec.listeners[%u]", index_of(listener));
    diag_condition(diag, "Accepted=False, %s", reason);
    diag_consequence(diag, "listener \"%.*s\" is not served, others are unaffected",
                     SPAN_ARG(listener->conf->name));
    if (!listener->rejected)
        listener->rejected = reason;
    return diag;
}

static void reject_end(struct translation *tr, struct tr_listener *listener,
                       const struct diag *diag)
{
    if (listener->rejected_message.len == 0)
        listener->rejected_message = translate_message(tr, diag);
}

/* Inside one Gateway a conflict has no winner. At most 64 listeners each. */
static void check_conflicts(struct translation *tr, struct tr_gateway *gateway)
{
    for (unsigned i = 0; i < gateway->listeners_count; i++) {
        struct tr_listener *a = &gateway->listeners[i];
        for (unsigned j = 0; j < gateway->listeners_count && a->conflict == 0; j++) {
            const struct tr_listener *b = &gateway->listeners[j];
            a->conflict = i == j ? VALIDATE_CONFLICT_NONE : validate_listeners(a->conf, b->conf);
            if (a->conflict == VALIDATE_CONFLICT_NONE)
                continue;
            struct diag *diag = reject(tr, a, DIAG_LISTENER_CONFLICT, conflict_reason(a->conflict));
            diag_message(diag, "listeners \"%.*s\" and \"%.*s\" share port %u with %s",
                         SPAN_ARG(a->conf->name), SPAN_ARG(b->conf->name), a->conf->port,
                         a->conflict == VALIDATE_CONFLICT_HOSTNAME
                             ? "one host name"
                             : "protocols that cannot be told apart");
            reject_end(tr, a, diag);
        }
    }
}

/* OverlappingTLSConfig: a client's connection for one may carry requests for the other. */
static void check_overlaps(struct translation *tr, struct tr_gateway *gateway)
{
    for (unsigned i = 1; i < gateway->listeners_count; i++) {
        struct tr_listener *a = &gateway->listeners[i];
        for (unsigned j = 0; j < i; j++) {
            struct tr_listener *b = &gateway->listeners[j];
            struct span common;
            if (a->conf->protocol != CONF_PROTOCOL_HTTPS ||
                b->conf->protocol != CONF_PROTOCOL_HTTPS || a->conf->port != b->conf->port ||
                a->conflict || b->conflict || !attach_intersect(b->hostname, a->hostname, &common))
                continue;
            bool is_new = !a->overlaps;
            a->overlaps = b->overlaps = true;
            if (!is_new)
                continue;
            struct diag *diag =
                translate_diag(tr, DIAG_TLS_OVERLAP, gateway->object, a->conf->pos, SPAN_NONE);
            diag_field(diag, "spec.listeners[%u].hostname", i);
            diag_message(diag, "\"%.*s\" overlaps with listener \"%.*s\" (\"%.*s\")",
                         SPAN_ARG(a->hostname), SPAN_ARG(b->conf->name), SPAN_ARG(b->hostname));
            diag_condition(diag, "OverlappingTLSConfig=True, OverlappingHostnames");
            diag_consequence(diag, "requests for the other host on one connection get 421");
        }
    }
}

static void check_protocol(struct translation *tr, struct tr_listener *listener)
{
    const struct conf_listener *conf = listener->conf;
    if (listener->conflict)
        return;
    const enum conf_kind *kinds;
    if (attach_protocol_kinds(conf->protocol, &kinds) == 0) {
        struct diag *diag = reject(tr, listener, DIAG_LISTENER_PROTOCOL, "UnsupportedProtocol");
        diag_field(diag, "spec.listeners[%u].protocol", index_of(listener));
        diag_message(diag, "protocol \"%.*s\" is not served, only HTTP, HTTPS and TCP",
                     SPAN_ARG(conf->protocol_text));
        reject_end(tr, listener, diag);
    } else if (conf->protocol == CONF_PROTOCOL_HTTPS && conf->tls.present &&
               conf->tls.passthrough) {
        struct diag *diag = reject(tr, listener, DIAG_LISTENER_PROTOCOL, "UnsupportedValue");
        diag_field(diag, "spec.listeners[%u].tls.mode", index_of(listener));
        diag_message(diag, "mode Passthrough does not go with protocol HTTPS, only Terminate does");
        reject_end(tr, listener, diag);
    }
}

static void check_kinds(struct translation *tr, struct tr_listener *listener)
{
    const struct conf_listener *conf = listener->conf;
    const enum conf_kind *served;
    unsigned served_count = attach_protocol_kinds(conf->protocol, &served);
    for (unsigned i = 0; i < conf->kinds_count && served_count > 0; i++) {
        const struct conf_route_kind *kind = &conf->kinds[i];
        if (attach_is_kind_served(conf->protocol, conf_kind_find(kind->group, kind->kind)))
            continue;
        struct diag *diag = translate_diag(tr, DIAG_ROUTE_KINDS_INVALID, listener->gateway->object,
                                           kind->pos, kind->kind);
        diag_field(diag, "spec.listeners[%u].allowedRoutes.kinds[%u].kind", index_of(listener), i);
        diag_message(diag, "kind \"%.*s\" cannot be served on protocol %.*s, only %s%s%s",
                     SPAN_ARG(kind->kind), SPAN_ARG(conf->protocol_text), conf_kind_name(served[0]),
                     served_count > 1 ? " and " : "",
                     served_count > 1 ? conf_kind_name(served[1]) : "");
        diag_condition(diag, "ResolvedRefs=False, InvalidRouteKinds");
        diag_consequence(diag, "routes of other kinds are attached as usual");
        if (!listener->unresolved.reason) {
            listener->unresolved.reason = "InvalidRouteKinds";
            listener->unresolved.message = translate_message(tr, diag);
        }
    }
}

static void check_certs(struct translation *tr, struct tr_listener *listener)
{
    const struct conf_listener *conf = listener->conf;
    char field[64], consequence[200];
    if (conf->protocol != CONF_PROTOCOL_HTTPS || conf->tls.passthrough)
        return;
    snprintf(field, sizeof(field), "spec.listeners[%u].tls.certificateRefs", index_of(listener));
    snprintf(consequence, sizeof(consequence), "listener \"%.*s\" %s, others are unaffected",
             SPAN_ARG(conf->name),
             conf->tls.certificate_refs_count > 1 ? "does without this certificate"
                                                  : "is not served");
    struct tr_cert_request request = {
        .from = listener->gateway->object,
        .refs = conf->tls.certificate_refs,
        .count = conf->tls.certificate_refs_count,
        .field = field,
        .is_list = true,
        .code = DIAG_CERTIFICATE_INVALID,
        .reason = "InvalidCertificateRef",
        .kind_reason = "InvalidCertificateRef",
        .consequence = consequence,
    };
    listener->certs_count =
        translate_cert_pairs(tr, &request, &listener->certs, &listener->unresolved);
    if (conf->tls.certificate_refs_count > 0)
        return;
    struct diag *diag = translate_diag(tr, DIAG_CERTIFICATE_INVALID, listener->gateway->object,
                                       conf->tls.present ? conf->tls.pos : conf->pos, SPAN_NONE);
    diag_field(diag, "%s", field);
    diag_message(diag, "an HTTPS listener needs a certificate");
    diag_condition(diag, "ResolvedRefs=False, InvalidCertificateRef");
    diag_consequence(diag, "%s", consequence);
    listener->unresolved =
        (struct tr_unresolved){"InvalidCertificateRef", translate_message(tr, diag)};
}

/* Options are for implementations to define; we define none yet. */
static void warn_options(struct translation *tr, const struct tr_listener *listener)
{
    const struct conf_listener *conf = listener->conf;
    for (unsigned i = 0; i < conf->tls.options_count; i++) {
        struct diag *diag = translate_diag(tr, DIAG_LISTENER_TLS_OPTION, listener->gateway->object,
                                           conf->tls.pos, SPAN_NONE);
        diag_field(diag, "spec.listeners[%u].tls.options[%.*s]", index_of(listener),
                   SPAN_ARG(conf->tls.options[i].key));
        diag_message(diag, "option \"%.*s\" is not known and has no effect",
                     SPAN_ARG(conf->tls.options[i].key));
    }
}

/* A perPort entry replaces the default wholly, also when it is empty (GEP-91). */
static void check_frontend(struct translation *tr, struct tr_listener *listener)
{
    const struct conf_gateway *conf = listener->gateway->object->gateway;
    const struct conf_frontend_validation *validation = &conf->frontend_default;
    char field[80] = "spec.tls.frontend.default.validation.caCertificateRefs";
    unsigned index = 0;
    if (listener->conf->protocol != CONF_PROTOCOL_HTTPS)
        return;
    for (unsigned i = 0; i < conf->frontend_ports_count; i++) {
        if (conf->frontend_ports[i].port != listener->conf->port)
            continue;
        validation = &conf->frontend_ports[i].validation;
        index = i + 1;
        snprintf(field, sizeof(field),
                 "spec.tls.frontend.perPort[%u].tls.validation.caCertificateRefs", i);
    }
    if (!validation->present)
        return;
    struct tr_frontend *frontend = &listener->gateway->frontends[index];
    if (!frontend->is_resolved) {
        struct tr_cert_request request = {
            .from = listener->gateway->object,
            .refs = validation->ca_refs,
            .count = validation->ca_refs_count,
            .field = field,
            .is_list = true,
            .code = DIAG_CA_INVALID,
            .reason = "InvalidCACertificateRef",
            .kind_reason = "InvalidCACertificateKind",
            .consequence = validation->ca_refs_count > 1
                               ? "clients of this authority are not accepted"
                               : "HTTPS listeners that it applies to are not served",
        };
        frontend->ca_pem = translate_cert_ca(tr, &request, &frontend->unresolved);
        frontend->is_resolved = true;
    }
    if (!listener->unresolved.reason &&
        (frontend->unresolved.reason || listener->unresolved.message.len == 0))
        listener->unresolved = frontend->unresolved;
    if (frontend->ca_pem.len == 0 && !listener->rejected) {
        listener->rejected = "NoValidCACertificate";
        listener->rejected_message = frontend->unresolved.message;
    }
    listener->frontend = (struct model_frontend){
        .validate = true,
        .insecure_fallback = validation->insecure_fallback,
        .ca_pem = frontend->ca_pem,
    };
}

void translate_listeners(struct translation *tr, struct tr_gateway *gateway)
{
    const struct conf_gateway *conf = gateway->object->gateway;
    gateway->listeners = arena_array(&tr->scratch, struct tr_listener, conf->listeners_count);
    gateway->frontends =
        arena_array(&tr->scratch, struct tr_frontend, conf->frontend_ports_count + 1);
    ASSERT(gateway->listeners && gateway->frontends);
    gateway->listeners_count = conf->listeners_count;
    for (unsigned i = 0; i < conf->listeners_count; i++) {
        struct tr_listener *listener = &gateway->listeners[i];
        listener->gateway = gateway;
        listener->conf = &conf->listeners[i];
        listener->hostname = attach_hostname(tr->arena, listener->conf->hostname);
    }
    check_conflicts(tr, gateway);
    check_overlaps(tr, gateway);
    for (unsigned i = 0; i < conf->listeners_count; i++) {
        struct tr_listener *listener = &gateway->listeners[i];
        check_protocol(tr, listener);
        check_certs(tr, listener);
        warn_options(tr, listener);
        check_frontend(tr, listener);
        check_kinds(tr, listener);
    }
}

/* Who took an address and port, and with which protocol. */
struct taken {
    struct hmap_node node;
    enum conf_protocol protocol;
    const struct tr_listener *listener;
};

static const struct taken *taken_find(const struct translation *tr, struct span key)
{
    struct hmap_node *node = hmap_find(&tr->address_map, key);
    return node ? container_of(node, struct taken, node) : NULL;
}

static void taken_add(struct translation *tr, struct span key, const struct tr_listener *listener)
{
    struct taken *taken = arena_new(&tr->scratch, struct taken);
    ASSERT(taken);
    taken->protocol = listener->conf->protocol;
    taken->listener = listener;
    if (!hmap_find(&tr->address_map, key))
        hmap_insert(&tr->address_map, &taken->node, key);
}

/* Two Gateways share a port when one look at a connection tells them apart: the same protocol, and
 * host names that differ. Then who has the port, or NULL. */
static const struct tr_listener *port_owner(const struct translation *tr,
                                            const struct tr_listener *listener, struct span port,
                                            struct span host)
{
    const struct taken *taken = taken_find(tr, port);
    if (!taken)
        return NULL;
    if (taken->protocol != listener->conf->protocol || taken->protocol == CONF_PROTOCOL_TCP)
        return taken->listener;
    taken = taken_find(tr, host);
    return taken ? taken->listener : NULL;
}

static void take_port(struct translation *tr, struct tr_listener *listener)
{
    const struct tr_gateway *gateway = listener->gateway;
    struct span keys[32][2];
    unsigned count = MIN(gateway->addresses_count, (unsigned)ARRAY_COUNT(keys));
    for (unsigned i = 0; i < count; i++) {
        keys[i][0] = arena_printf(&tr->scratch, "%.*s %u", SPAN_ARG(gateway->addresses[i]),
                                  listener->conf->port);
        keys[i][1] = arena_printf(&tr->scratch, "%.*s %.*s", SPAN_ARG(keys[i][0]),
                                  SPAN_ARG(listener->hostname));
        /* "address port" and "address port " of an empty name must differ: they do, by the blank.
         */
        const struct tr_listener *owner = port_owner(tr, listener, keys[i][0], keys[i][1]);
        if (!owner)
            continue;
        struct diag *diag = reject(tr, listener, DIAG_PORT_UNAVAILABLE, "PortUnavailable");
        diag_field(diag, "spec.listeners[%u].port", index_of(listener));
        diag_message(diag, "port %u of %.*s belongs to listener \"%.*s\" of Gateway %.*s/%.*s",
                     listener->conf->port, SPAN_ARG(gateway->addresses[i]),
                     SPAN_ARG(owner->conf->name), SPAN_ARG(owner->gateway->object->ns),
                     SPAN_ARG(owner->gateway->object->name));
        reject_end(tr, listener, diag);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        taken_add(tr, keys[i][0], listener);
        taken_add(tr, keys[i][1], listener);
    }
}

void translate_listener_ports(struct translation *tr, struct tr_gateway *gateway)
{
    for (unsigned i = 0; i < gateway->listeners_count && !gateway->rejected; i++) {
        if (!gateway->listeners[i].rejected)
            take_port(tr, &gateway->listeners[i]);
    }
}

bool translate_listener_is_served(const struct tr_listener *listener)
{
    return !listener->rejected && !listener->gateway->rejected && !listener->gateway->unusable &&
           (listener->conf->protocol != CONF_PROTOCOL_HTTPS || listener->certs_count > 0);
}

void translate_listener_status(struct translation *tr, const struct tr_listener *listener,
                               struct status_listener *status)
{
    struct status_conditions *conditions = &status->conditions;
    status->name = listener->conf->name;
    status->attached_routes = listener->attached;
    const enum conf_kind *kinds;
    unsigned kinds_count = attach_protocol_kinds(listener->conf->protocol, &kinds);
    for (unsigned i = 0; i < kinds_count; i++) {
        if (attach_is_kind_allowed(listener->conf, kinds[i]))
            status->supported_kinds[status->supported_kinds_count++] = conf_kind_name(kinds[i]);
    }
    translate_condition(tr, conditions, "Accepted", listener->rejected, listener->rejected_message);
    if (listener->conflict)
        translate_condition_true(tr, conditions, "Conflicted", conflict_reason(listener->conflict),
                                 listener->rejected_message);
    else
        translate_condition(tr, conditions, "Conflicted", "NoConflicts", SPAN_NONE);
    translate_condition(tr, conditions, "ResolvedRefs", listener->unresolved.reason,
                        listener->unresolved.message);
    const char *unprogrammed = translate_listener_is_served(listener) ? NULL
                               : listener->conflict ? conflict_reason(listener->conflict)
                                                    : "Invalid";
    translate_condition(tr, conditions, "Programmed", unprogrammed,
                        !unprogrammed        ? SPAN_NONE
                        : listener->rejected ? listener->rejected_message
                                             : listener->unresolved.message);
    if (listener->overlaps)
        translate_condition_true(tr, conditions, "OverlappingTLSConfig", "OverlappingHostnames",
                                 SPAN_LIT("host names of TLS listeners of this port overlap"));
}
