/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/panic.h"

void translate_gateway_classes(struct translation *tr)
{
    unsigned count;
    const struct conf_object *const *list =
        objects_list(tr->objects, CONF_KIND_GATEWAY_CLASS, &count);
    for (unsigned i = 0; i < count; i++) {
        if (!span_equal_str(list[i]->gateway_class->controller_name, TRANSLATE_CONTROLLER))
            continue;
        struct status *status = translate_status(tr, list[i]);
        translate_condition(tr, &status->conditions, "Accepted", NULL, SPAN_NONE);
    }
}

static bool is_ours(struct translation *tr, const struct conf_object *object)
{
    struct span name = object->gateway->class_name;
    const struct conf_object *class =
        objects_find(tr->objects, CONF_KIND_GATEWAY_CLASS, SPAN_NONE, name);
    if (class && span_equal_str(class->gateway_class->controller_name, TRANSLATE_CONTROLLER))
        return true;
    if (!tr->options->from_files)
        return false; /* a cluster has other controllers; it is theirs to complain */
    if (!class && span_equal_str(name, TRANSLATE_CLASS))
        return true;
    struct diag *diag = translate_diag(tr, class ? DIAG_CLASS_FOREIGN : DIAG_CLASS_UNKNOWN, object,
                                       object->gateway->class_name_pos, name);
    diag_field(diag, "spec.gatewayClassName");
    diag_consequence(diag, "nothing of this Gateway is served");
    if (class) {
        diag_message(diag, "class \"%.*s\" belongs to controller \"%.*s\"; ours is \"%s\"",
                     SPAN_ARG(name), SPAN_ARG(class->gateway_class->controller_name),
                     TRANSLATE_CONTROLLER);
        return false;
    }
    const char *implicit = TRANSLATE_CLASS;
    diag_message(diag, "no GatewayClass \"%.*s\"; without one the class is \"%s\"", SPAN_ARG(name),
                 TRANSLATE_CLASS);
    if (diag_did_you_mean(name, &implicit, 1))
        diag_hint(diag, "did you mean \"%s\"?", implicit);
    else
        translate_suggest(tr, diag, CONF_KIND_GATEWAY_CLASS, SPAN_NONE, name);
    return false;
}

/* The one spelling of an address, so that equal ones compare equal; false: not an address. */
static bool normalise_address(struct translation *tr, struct span value, struct span *ret)
{
    char text[INET6_ADDRSTRLEN + 1];
    unsigned char address[sizeof(struct in6_addr)];
    if (value.len >= sizeof(text))
        return false;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, text, address) != 1 || !inet_ntop(family, address, text, sizeof(text)))
        return false;
    *ret = arena_copy(tr->arena, span_str(text));
    return true;
}

/* One address of the spec; what is wrong with it costs only itself unless nothing is left. */
static void add_address(struct translation *tr, struct tr_gateway *gateway, unsigned index)
{
    const struct conf_gateway_address *address = &gateway->object->gateway->addresses[index];
    bool is_ip = address->type.len == 0 || span_equal_str(address->type, "IPAddress");
    if (is_ip && address->value.len > 0 &&
        normalise_address(tr, address->value, &gateway->addresses[gateway->addresses_count])) {
        gateway->addresses_count++;
        return;
    }
    if (is_ip && address->value.len == 0)
        return;
    struct diag *diag =
        translate_diag(tr, DIAG_ADDRESS_UNSUPPORTED, gateway->object, address->pos, address->value);
    diag_field(diag, "spec.addresses[%u]%s", index, is_ip ? ".value" : ".type");
    if (is_ip) {
        diag_message(diag, "\"%.*s\" is not an IPv4 or IPv6 address", SPAN_ARG(address->value));
        diag_condition(diag, "Programmed=False, AddressNotUsable");
        diag_consequence(diag, "this address is not used");
        gateway->unusable = "AddressNotUsable";
    } else {
        diag_message(diag, "type \"%.*s\" is not served, only IPAddress", SPAN_ARG(address->type));
        diag_condition(diag, "Accepted=False, UnsupportedAddress");
        diag_consequence(diag, "nothing of this Gateway is served");
        gateway->rejected = "UnsupportedAddress";
    }
    gateway->message = translate_message(tr, diag);
}

static void set_addresses(struct translation *tr, struct tr_gateway *gateway)
{
    static struct span defaults[] = {{"0.0.0.0", 7}, {"::", 2}};
    unsigned count = gateway->object->gateway->addresses_count;
    gateway->addresses = arena_array(tr->arena, struct span, count);
    ASSERT(gateway->addresses);
    for (unsigned i = 0; i < count; i++)
        add_address(tr, gateway, i);
    if (gateway->addresses_count > 0) {
        gateway->unusable = NULL;
    } else if (!gateway->unusable) {
        gateway->addresses = defaults;
        gateway->addresses_count = ARRAY_COUNT(defaults);
    }
}

static void set_client_cert(struct translation *tr, struct tr_gateway *gateway)
{
    const struct conf_gateway *conf = gateway->object->gateway;
    struct model_cert *certs;
    if (!conf->has_backend_client_cert)
        return;
    struct tr_cert_request request = {
        .from = gateway->object,
        .refs = &conf->backend_client_cert,
        .count = 1,
        .field = "spec.tls.backend.clientCertificateRef",
        .code = DIAG_CLIENT_CERTIFICATE_INVALID,
        .reason = "InvalidClientCertificateRef",
        .kind_reason = "InvalidClientCertificateRef",
        .consequence = "backends that are reached over TLS through this Gateway answer 503",
    };
    gateway->wants_client_cert = true;
    gateway->has_client_cert =
        translate_cert_pairs(tr, &request, &certs, &gateway->unresolved) == 1;
    if (gateway->has_client_cert)
        gateway->client_cert = certs[0];
}

static void warn_insecure(struct translation *tr, struct tr_gateway *gateway)
{
    const struct conf_gateway *conf = gateway->object->gateway;
    const struct conf_frontend_validation *found = NULL;
    char at[32] = "default";
    if (conf->frontend_default.present && conf->frontend_default.insecure_fallback)
        found = &conf->frontend_default;
    for (unsigned i = 0; i < conf->frontend_ports_count && !found; i++) {
        const struct conf_frontend_validation *validation = &conf->frontend_ports[i].validation;
        if (validation->present && validation->insecure_fallback)
            found = validation;
        if (found)
            snprintf(at, sizeof(at), "perPort[%u].tls", i);
    }
    if (!found)
        return;
    gateway->insecure_fallback = true;
    struct diag *diag =
        translate_diag(tr, DIAG_CLIENT_NOT_VERIFIED, gateway->object, found->pos, SPAN_NONE);
    diag_field(diag, "spec.tls.frontend.%s.validation.mode", at);
    diag_message(diag, "mode AllowInsecureFallback lets clients without a valid certificate pass");
    diag_condition(diag, "InsecureFrontendValidationMode=True, ConfigurationChanged");
}

static void add_gateway(struct translation *tr, const struct conf_object *object)
{
    struct tr_gateway *gateway = &tr->gateways[tr->gateways_count++];
    gateway->object = object;
    hmap_insert(&tr->gateway_map, &gateway->node,
                span_make(&gateway->object, sizeof(gateway->object)));
    set_addresses(tr, gateway);
    set_client_cert(tr, gateway);
    warn_insecure(tr, gateway);
    translate_listeners(tr, gateway);
    translate_listener_ports(tr, gateway);
}

void translate_gateways(struct translation *tr)
{
    unsigned count;
    const struct conf_object *const *list = objects_list(tr->objects, CONF_KIND_GATEWAY, &count);
    tr->gateways = arena_array(&tr->scratch, struct tr_gateway, count);
    ASSERT(tr->gateways);
    for (unsigned i = 0; i < count; i++) {
        if (is_ours(tr, list[i]))
            add_gateway(tr, list[i]);
    }
}

struct tr_gateway *translate_gateway_find(const struct translation *tr,
                                          const struct conf_object *object)
{
    struct hmap_node *node = hmap_find(&tr->gateway_map, span_make(&object, sizeof(object)));
    return node ? container_of(node, struct tr_gateway, node) : NULL;
}

static void finish_status(struct translation *tr, struct tr_gateway *gateway)
{
    const struct conf_object *object = gateway->object;
    struct status *status = translate_status(tr, object);
    unsigned accepted = 0, served = 0, unresolved = 0, count = gateway->listeners_count;
    status->listeners = arena_array(&tr->statuses->arena, struct status_listener, count);
    status->listeners_count = count;
    status->addresses = gateway->addresses;
    status->addresses_count = gateway->addresses_count;
    ASSERT(status->listeners);
    for (unsigned i = 0; i < count; i++) {
        const struct tr_listener *listener = &gateway->listeners[i];
        translate_listener_status(tr, listener, &status->listeners[i]);
        accepted += !listener->rejected;
        unresolved += listener->unresolved.reason != NULL;
        served += translate_listener_is_served(listener);
    }
    struct status_conditions *conditions = &status->conditions;
    bool is_accepted = !gateway->rejected && accepted > 0;
    if (is_accepted && accepted < count)
        translate_condition_true(tr, conditions, "Accepted", "ListenersNotValid",
                                 SPAN_LIT("some listeners cannot be served"));
    else if (is_accepted || gateway->rejected)
        translate_condition(tr, conditions, "Accepted", gateway->rejected, gateway->message);
    else
        translate_condition(tr, conditions, "Accepted", "ListenersNotValid",
                            SPAN_LIT("no listener can be served"));
    const char *unprogrammed = !is_accepted        ? "Invalid"
                               : gateway->unusable ? gateway->unusable
                               : served == 0       ? "Invalid"
                                                   : NULL;
    translate_condition(tr, conditions, "Programmed", unprogrammed,
                        unprogrammed ? gateway->message : SPAN_NONE);
    if (gateway->unresolved.reason || unresolved == 0)
        translate_condition(tr, conditions, "ResolvedRefs", gateway->unresolved.reason,
                            gateway->unresolved.message);
    else
        translate_condition(tr, conditions, "ResolvedRefs", "ListenersNotResolved",
                            SPAN_LIT("a reference of a listener does not resolve"));
    if (gateway->insecure_fallback)
        translate_condition_true(tr, conditions, "InsecureFrontendValidationMode",
                                 "ConfigurationChanged",
                                 SPAN_LIT("clients without a valid certificate pass"));
}

static void build_listener(struct translation *tr, const struct tr_listener *listener,
                           struct model_listener *model)
{
    const struct conf_object *object = listener->gateway->object;
    *model = (struct model_listener){
        .id = arena_printf(tr->arena, "%.*s/%.*s/%.*s", SPAN_ARG(object->ns),
                           SPAN_ARG(object->name), SPAN_ARG(listener->conf->name)),
        .gateway_ns = object->ns,
        .gateway = object->name,
        .name = listener->conf->name,
        .protocol = listener->conf->protocol == CONF_PROTOCOL_HTTP    ? MODEL_PROTOCOL_HTTP
                    : listener->conf->protocol == CONF_PROTOCOL_HTTPS ? MODEL_PROTOCOL_HTTPS
                                                                      : MODEL_PROTOCOL_TCP,
        .hostname = listener->hostname,
        .addresses = listener->gateway->addresses,
        .addresses_count = listener->gateway->addresses_count,
        .port = listener->conf->port,
        .proxy_protocol = listener->conf->proxy_protocol,
        .certs = listener->certs,
        .certs_count = listener->certs_count,
        .frontend = listener->frontend,
        .http_count = listener->attachments_count,
        .tcp = listener->tcp,
    };
    model->http = arena_array(tr->arena, struct model_attachment, model->http_count);
    ASSERT(model->http);
    for (unsigned i = 0; i < model->http_count; i++) {
        const struct tr_attachment *attachment = &listener->attachments[i];
        model->http[i] =
            (struct model_attachment){&tr->model->http_routes[attachment->route],
                                      attachment->hostnames, attachment->hostnames_count};
    }
}

void translate_gateways_finish(struct translation *tr)
{
    struct model *model = tr->model;
    unsigned total = 0;
    for (unsigned i = 0; i < tr->gateways_count; i++)
        total += tr->gateways[i].listeners_count;
    model->listeners = arena_array(tr->arena, struct model_listener, total);
    ASSERT(model->listeners);
    for (unsigned i = 0; i < tr->gateways_count; i++) {
        struct tr_gateway *gateway = &tr->gateways[i];
        finish_status(tr, gateway);
        for (unsigned j = 0; j < gateway->listeners_count; j++) {
            if (translate_listener_is_served(&gateway->listeners[j]))
                build_listener(tr, &gateway->listeners[j],
                               &model->listeners[model->listeners_count++]);
        }
    }
}
