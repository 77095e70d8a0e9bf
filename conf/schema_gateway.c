/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

#include <string.h>

/* GatewayClass and Gateway (gateway.networking.k8s.io/v1; frontend and backend
 * TLS are GEP-91 and GEP-3155), with the rules their CRDs state in CEL. */

/* --- GatewayClass --- */

static const struct decode_field class_spec_fields[] = {
    {.name = "controllerName",
     .type = DECODE_STR,
     .required = true,
     .at = DECODE_AT(conf_gateway_class, controller_name),
     .min = 1,
     .max = 253},
    {.name = "description", .type = DECODE_SKIP},
    {.name = "parametersRef", .type = DECODE_UNSERVED},
};
static const struct decode_table class_spec = DECODE_TABLE(class_spec_fields);

static const struct decode_field class_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(class_spec)};
const struct decode_table schema_gateway_class = DECODE_TABLE(class_fields);

/* --- label selectors --- */

static const char *const operator_words[] = {"In", "NotIn", "Exists", "DoesNotExist", NULL};

static void requirement_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_requirement *requirement = out;
    bool needs_values = requirement->op == CONF_OP_IN || requirement->op == CONF_OP_NOT_IN;
    if (needs_values != (requirement->values_count > 0))
        schema_rule(decode, node, "values",
                    needs_values ? "must be there for In and NotIn"
                                 : "must not be there for Exists and DoesNotExist");
}

static const struct decode_field requirement_fields[] = {
    {.name = "key",
     .type = DECODE_STR,
     .required = true,
     .at = DECODE_AT(conf_requirement, key),
     .min = 1,
     .max = 317},
    {.name = "operator",
     .type = DECODE_ENUM,
     .required = true,
     .at = DECODE_AT(conf_requirement, op),
     .words = operator_words},
    {.name = "values",
     .type = DECODE_STRS,
     .at = DECODE_AT(conf_requirement, values),
     .at_count = DECODE_AT(conf_requirement, values_count),
     .max = 64},
};
static const struct decode_table requirement_table =
    DECODE_TABLE(requirement_fields, .check = requirement_check);

struct selector {
    struct conf_pair *labels;
    struct conf_requirement *expressions;
    unsigned labels_count, expressions_count;
};

static const struct decode_field selector_fields[] = {
    {.name = "matchLabels",
     .type = DECODE_PAIRS,
     .at = DECODE_AT(selector, labels),
     .at_count = DECODE_AT(selector, labels_count),
     .max = 64},
    {.name = "matchExpressions",
     .type = DECODE_LIST,
     .at = DECODE_AT(selector, expressions),
     .at_count = DECODE_AT(selector, expressions_count),
     .max = 64,
     .item_size = sizeof(struct conf_requirement),
     .table = &requirement_table},
};
static const struct decode_table selector_table = DECODE_TABLE(selector_fields);

/* One list of requirements: a label is an In with one value. */
static void selector_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_listener *listener = out;
    struct selector selector = {0};
    decode_table(decode, &selector_table, node, &selector);
    unsigned count = selector.labels_count + selector.expressions_count;
    struct conf_requirement *all = decode_array(decode, count, sizeof(*all));
    struct span *values = decode_array(decode, selector.labels_count, sizeof(*values));
    if (all == NULL || values == NULL)
        return;
    for (unsigned i = 0; i < selector.labels_count; i++) {
        values[i] = selector.labels[i].value;
        all[i] = (struct conf_requirement){.key = selector.labels[i].key,
                                           .op = CONF_OP_IN,
                                           .values = &values[i],
                                           .values_count = 1};
    }
    if (selector.expressions_count > 0)
        memcpy(all + selector.labels_count, selector.expressions,
               selector.expressions_count * sizeof(*all));
    listener->selector = all;
    listener->selector_count = count;
}

/* --- listeners --- */

static const char *const from_words[] = {
    [CONF_FROM_SAME] = "Same",
    [CONF_FROM_ALL] = "All",
    [CONF_FROM_SELECTOR] = "Selector",
    [CONF_FROM_NONE] = "None",
    NULL,
};

static const struct decode_field namespaces_fields[] = {
    {.name = "from",
     .type = DECODE_ENUM,
     .at = DECODE_AT(conf_listener, from),
     .words = from_words},
    {.name = "selector", .type = DECODE_FN, .fn = selector_decode},
};
static const struct decode_table namespaces_table = DECODE_TABLE(namespaces_fields);

static const struct decode_field route_kind_fields[] = {
    {.name = "group",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_route_kind, group),
     .max = SCHEMA_NAME_MAX,
     .def = CONF_GROUP_GATEWAY,
     .check = schema_is_group},
    {.name = "kind",
     .type = DECODE_STR,
     .required = true,
     .at = DECODE_AT(conf_route_kind, kind),
     .min = 1,
     .max = SCHEMA_LABEL_MAX,
     .check = schema_is_kind},
};
static const struct decode_table route_kind_table =
    DECODE_TABLE(route_kind_fields, .at_pos = DECODE_AT(conf_route_kind, pos));

static const struct decode_field allowed_routes_fields[] = {
    {.name = "namespaces", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &namespaces_table},
    {.name = "kinds",
     .type = DECODE_LIST,
     .at = DECODE_AT(conf_listener, kinds),
     .at_count = DECODE_AT(conf_listener, kinds_count),
     .max = 8,
     .item_size = sizeof(struct conf_route_kind),
     .table = &route_kind_table},
};
static const struct decode_table allowed_routes_table = DECODE_TABLE(allowed_routes_fields);

static void tls_mode_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const words[] = {"Terminate", "Passthrough", NULL};
    ((struct conf_listener *)out)->tls.passthrough = schema_word(decode, node, words) == 1;
}

static const struct decode_field listener_tls_fields[] = {
    {.name = "mode", .type = DECODE_FN, .fn = tls_mode_decode},
    {.name = "certificateRefs",
     .type = DECODE_LIST,
     .at = DECODE_AT(conf_listener, tls.certificate_refs),
     .at_count = DECODE_AT(conf_listener, tls.certificate_refs_count),
     .max = 64,
     .item_size = sizeof(struct conf_ref),
     .table = &schema_secret_ref},
    {.name = "options",
     .type = DECODE_PAIRS,
     .at = DECODE_AT(conf_listener, tls.options),
     .at_count = DECODE_AT(conf_listener, tls.options_count),
     .max = 16},
};
static const struct decode_table listener_tls_table = DECODE_TABLE(listener_tls_fields);

static enum conf_protocol protocol_find(struct span text)
{
    static const char *const names[] = {
        [CONF_PROTOCOL_HTTP] = "HTTP", [CONF_PROTOCOL_HTTPS] = "HTTPS", [CONF_PROTOCOL_TLS] = "TLS",
        [CONF_PROTOCOL_TCP] = "TCP",   [CONF_PROTOCOL_UDP] = "UDP",
    };
    for (unsigned i = CONF_PROTOCOL_HTTP; i < ARRAY_COUNT(names); i++) {
        if (span_equal_str(text, names[i]))
            return (enum conf_protocol)i;
    }
    return CONF_PROTOCOL_OTHER;
}

/* What a protocol is called when its case is wrong: it is a string, so the CRD takes anything. */
static void protocol_warn(struct decode *decode, const struct doc_node *node,
                          const struct conf_listener *listener)
{
    static const char *const known[] = {"HTTP", "HTTPS", "TLS", "TCP", "UDP"};
    const struct doc_node *at = schema_child(node, "protocol");
    for (unsigned i = 0; i < ARRAY_COUNT(known); i++) {
        if (!span_equal_fold(listener->protocol_text, span_str(known[i])))
            continue;
        struct diag *diag = decode_report(decode, DIAG_ENUM, at, "protocol");
        diag_message(diag, "\"%.*s\" must be written in capitals",
                     SPAN_ARG(listener->protocol_text));
        diag_hint(diag, "did you mean \"%s\"?", known[i]);
    }
}

static void listener_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_listener *listener = out;
    listener->protocol = protocol_find(listener->protocol_text);
    bool is_plain = listener->protocol == CONF_PROTOCOL_HTTP ||
                    listener->protocol == CONF_PROTOCOL_TCP ||
                    listener->protocol == CONF_PROTOCOL_UDP;
    bool is_l4 = listener->protocol == CONF_PROTOCOL_TCP || listener->protocol == CONF_PROTOCOL_UDP;
    if (listener->protocol == CONF_PROTOCOL_OTHER)
        protocol_warn(decode, node, listener);
    if (is_plain && listener->tls.present)
        schema_rule(decode, node, "tls", "must not be there with protocol %.*s",
                    SPAN_ARG(listener->protocol_text));
    if (is_l4 && listener->hostname.len > 0)
        schema_rule(decode, node, "hostname", "must not be there with protocol %.*s",
                    SPAN_ARG(listener->protocol_text));
    if (listener->protocol == CONF_PROTOCOL_HTTPS && listener->tls.passthrough)
        schema_rule(decode, node, "tls", "must have mode Terminate with protocol HTTPS");
    if (listener->tls.present && !listener->tls.passthrough &&
        listener->tls.certificate_refs_count == 0 && listener->tls.options_count == 0)
        schema_rule(decode, node, "tls", "needs certificateRefs when its mode is Terminate");
    const struct doc_node *namespaces = doc_find(doc_find(node, "allowedRoutes"), "namespaces");
    if (listener->from == CONF_FROM_SELECTOR && doc_is_null(doc_find(namespaces, "selector")))
        schema_rule(decode, node, "allowedRoutes", "from: Selector needs a selector");
}

static const struct decode_field listener_fields[] = {
    {.name = "name",
     .type = DECODE_STR,
     .required = true,
     .at = DECODE_AT(conf_listener, name),
     .min = 1,
     .max = SCHEMA_NAME_MAX,
     .check = schema_is_subdomain},
    {.name = "hostname",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_listener, hostname),
     .min = 1,
     .max = SCHEMA_NAME_MAX,
     .check = schema_is_hostname},
    {.name = "port",
     .type = DECODE_INT,
     .required = true,
     .at = DECODE_AT(conf_listener, port),
     .min = 1,
     .max = 65535},
    {.name = "protocol",
     .type = DECODE_STR,
     .required = true,
     .at = DECODE_AT(conf_listener, protocol_text),
     .min = 1,
     .max = 255},
    {.name = "tls",
     .type = DECODE_OBJECT,
     .at = DECODE_HERE,
     .at_has = DECODE_AT(conf_listener, tls.present),
     .at_pos = DECODE_AT(conf_listener, tls.pos),
     .table = &listener_tls_table},
    {.name = "allowedRoutes",
     .type = DECODE_OBJECT,
     .at = DECODE_HERE,
     .table = &allowed_routes_table},
};
static const struct decode_table listener_table =
    DECODE_TABLE(listener_fields, .at_pos = DECODE_AT(conf_listener, pos), .check = listener_check,
                 .check_always = true);

/* --- addresses and TLS of the Gateway --- */

static void address_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_gateway_address *address = out;
    const char *wanted = NULL;
    if (address->value.len == 0)
        return;
    if (span_equal(address->type, SPAN_LIT("IPAddress")))
        wanted = schema_is_ip(address->value);
    else if (span_equal(address->type, SPAN_LIT("Hostname")))
        wanted = schema_is_hostname(address->value);
    if (wanted != NULL)
        schema_rule(decode, node, "value", "\"%.*s\" must %s", SPAN_ARG(address->value), wanted);
}

static const struct decode_field address_fields[] = {
    {.name = "type",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_gateway_address, type),
     .min = 1,
     .max = 253,
     .def = "IPAddress"},
    {.name = "value",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_gateway_address, value),
     .min = 1,
     .max = 253},
};
static const struct decode_table address_table = DECODE_TABLE(
    address_fields, .at_pos = DECODE_AT(conf_gateway_address, pos), .check = address_check);

static void validation_mode_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const words[] = {"AllowValidOnly", "AllowInsecureFallback", NULL};
    struct conf_frontend_validation *validation = out;
    validation->insecure_fallback = schema_word(decode, node, words) == 1;
}

static const struct decode_field validation_fields[] = {
    {.name = "caCertificateRefs",
     .type = DECODE_LIST,
     .required = true,
     .at = DECODE_AT(conf_frontend_validation, ca_refs),
     .at_count = DECODE_AT(conf_frontend_validation, ca_refs_count),
     .min = 1,
     .max = 8,
     .item_size = sizeof(struct conf_ref),
     .table = &schema_ca_ref},
    {.name = "mode", .type = DECODE_FN, .fn = validation_mode_decode},
};
static const struct decode_table validation_table = DECODE_TABLE(validation_fields);

static const struct decode_field frontend_config_fields[] = {
    {.name = "validation",
     .type = DECODE_OBJECT,
     .at = DECODE_HERE,
     .at_has = DECODE_AT(conf_frontend_validation, present),
     .at_pos = DECODE_AT(conf_frontend_validation, pos),
     .table = &validation_table},
};
static const struct decode_table frontend_config_table = DECODE_TABLE(frontend_config_fields);

static const struct decode_field frontend_port_fields[] = {
    {.name = "port",
     .type = DECODE_INT,
     .required = true,
     .at = DECODE_AT(conf_frontend_port, port),
     .min = 1,
     .max = 65535},
    {.name = "tls",
     .type = DECODE_OBJECT,
     .required = true,
     .at = DECODE_AT(conf_frontend_port, validation),
     .table = &frontend_config_table},
};
static const struct decode_table frontend_port_table = DECODE_TABLE(frontend_port_fields);

static const struct decode_field frontend_fields[] = {
    {.name = "default",
     .type = DECODE_OBJECT,
     .required = true,
     .at = DECODE_AT(conf_gateway, frontend_default),
     .table = &frontend_config_table},
    {.name = "perPort",
     .type = DECODE_LIST,
     .at = DECODE_AT(conf_gateway, frontend_ports),
     .at_count = DECODE_AT(conf_gateway, frontend_ports_count),
     .max = 64,
     .item_size = sizeof(struct conf_frontend_port),
     .table = &frontend_port_table},
};
static const struct decode_table frontend_table = DECODE_TABLE(frontend_fields);

static const struct decode_field backend_fields[] = {
    {.name = "clientCertificateRef",
     .type = DECODE_OBJECT,
     .at = DECODE_AT(conf_gateway, backend_client_cert),
     .at_has = DECODE_AT(conf_gateway, has_backend_client_cert),
     .table = &schema_secret_ref},
};
static const struct decode_table backend_table = DECODE_TABLE(backend_fields);

static const struct decode_field tls_fields[] = {
    {.name = "frontend", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &frontend_table},
    {.name = "backend", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &backend_table},
};
static const struct decode_table tls_table = DECODE_TABLE(tls_fields);

/* --- Gateway --- */

static void listeners_check(struct decode *decode, const struct doc_node *node,
                            const struct conf_gateway *gateway)
{
    for (unsigned i = 1; i < gateway->listeners_count; i++) {
        for (unsigned j = 0; j < i; j++) {
            const struct conf_listener *a = &gateway->listeners[j], *b = &gateway->listeners[i];
            if (a->name.len > 0 && span_equal(a->name, b->name))
                schema_rule(decode, node, "listeners", "[%u] and [%u] have the same name \"%.*s\"",
                            j, i, SPAN_ARG(a->name));
            else if (a->port != 0 && a->port == b->port &&
                     span_equal(a->protocol_text, b->protocol_text) &&
                     span_equal(a->hostname, b->hostname))
                schema_rule(decode, node, "listeners",
                            "[%u] and [%u] have the same port, protocol and hostname", j, i);
        }
    }
}

static void gateway_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_gateway *gateway = out;
    listeners_check(decode, node, gateway);
    for (unsigned i = 1; i < gateway->addresses_count; i++) {
        for (unsigned j = 0; j < i; j++) {
            const struct conf_gateway_address *a = &gateway->addresses[j];
            const struct conf_gateway_address *b = &gateway->addresses[i];
            if (a->value.len > 0 && span_equal(a->type, b->type) && span_equal(a->value, b->value))
                schema_rule(decode, node, "addresses", "[%u] and [%u] are the same", j, i);
        }
    }
    for (unsigned i = 1; i < gateway->frontend_ports_count; i++) {
        for (unsigned j = 0; j < i; j++) {
            uint16_t port = gateway->frontend_ports[i].port;
            if (port != 0 && port == gateway->frontend_ports[j].port)
                schema_rule(decode, node, "tls", "frontend.perPort has port %u twice", port);
        }
    }
}

static const struct decode_field gateway_spec_fields[] = {
    {.name = "gatewayClassName",
     .type = DECODE_STR,
     .required = true,
     .at = DECODE_AT(conf_gateway, class_name),
     .at_pos = DECODE_AT(conf_gateway, class_name_pos),
     .min = 1,
     .max = 253},
    {.name = "listeners",
     .type = DECODE_LIST,
     .required = true,
     .at = DECODE_AT(conf_gateway, listeners),
     .at_count = DECODE_AT(conf_gateway, listeners_count),
     .min = 1,
     .max = 64,
     .item_size = sizeof(struct conf_listener),
     .table = &listener_table},
    {.name = "addresses",
     .type = DECODE_LIST,
     .at = DECODE_AT(conf_gateway, addresses),
     .at_count = DECODE_AT(conf_gateway, addresses_count),
     .max = 16,
     .item_size = sizeof(struct conf_gateway_address),
     .table = &address_table},
    {.name = "tls", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &tls_table},
    {.name = "infrastructure", .type = DECODE_SKIP},
    {.name = "allowedListeners", .type = DECODE_UNSERVED},
    {.name = "defaultScope", .type = DECODE_UNSERVED},
};
static const struct decode_table gateway_spec =
    DECODE_TABLE(gateway_spec_fields, .check = gateway_check, .check_always = true);

static const struct decode_field gateway_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(gateway_spec)};
const struct decode_table schema_gateway =
    DECODE_TABLE(gateway_fields, .check = schema_proxy_protocol);
