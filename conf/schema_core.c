/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

/* Service, EndpointSlice, Namespace (core/v1, discovery.k8s.io/v1), the
 * external host of GEP-4894, and ReferenceGrant. */

#define SKIP(field_name) {.name = (field_name), .type = DECODE_SKIP}

static const char *const transport_words[] = {"TCP", "UDP", "SCTP", NULL};

/* --- Service --- */

static const struct decode_field service_port_fields[] = {
    {.name = "name", .type = DECODE_STR, .at = DECODE_AT(conf_service_port, name), .min = 1,
     .max = 63, .check = schema_is_label},
    {.name = "protocol", .type = DECODE_STR, .at = DECODE_AT(conf_service_port, protocol),
     .words = transport_words, .def = "TCP"},
    {.name = "port", .type = DECODE_INT, .required = true, .at = DECODE_AT(conf_service_port, port),
     .min = 1, .max = 65535},
    {.name = "appProtocol", .type = DECODE_STR, .at = DECODE_AT(conf_service_port, app_protocol),
     .max = 253},
    SKIP("targetPort"),
    SKIP("nodePort"),
};
static const struct decode_table service_port_table = DECODE_TABLE(service_port_fields);

static void service_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_service *service = out;
    for (unsigned i = 0; i < service->ports_count; i++) {
        if (service->ports_count > 1 && service->ports[i].name.len == 0)
            schema_rule(decode, node, "ports", "[%u] needs a name, since there are several", i);
        for (unsigned j = 0; j < i; j++) {
            const struct conf_service_port *a = &service->ports[j], *b = &service->ports[i];
            if (a->name.len > 0 && span_equal(a->name, b->name))
                schema_rule(decode, node, "ports", "[%u] and [%u] have the same name", j, i);
            else if (a->port != 0 && a->port == b->port && span_equal(a->protocol, b->protocol))
                schema_rule(decode, node, "ports", "[%u] and [%u] have the same port", j, i);
        }
    }
}

static const char *const service_types[] = {"ClusterIP", "NodePort", "LoadBalancer",
                                            "ExternalName", NULL};

static const struct decode_field service_spec_fields[] = {
    {.name = "ports", .type = DECODE_LIST, .at = DECODE_AT(conf_service, ports),
     .at_count = DECODE_AT(conf_service, ports_count), .max = 1000,
     .item_size = sizeof(struct conf_service_port), .table = &service_port_table},
    {.name = "type", .type = DECODE_STR, .at = DECODE_AT(conf_service, type),
     .words = service_types, .def = "ClusterIP"},
    SKIP("selector"),
    SKIP("clusterIP"),
    SKIP("clusterIPs"),
    SKIP("externalIPs"),
    SKIP("externalName"),
    SKIP("externalTrafficPolicy"),
    SKIP("internalTrafficPolicy"),
    SKIP("trafficDistribution"),
    SKIP("healthCheckNodePort"),
    SKIP("ipFamilies"),
    SKIP("ipFamilyPolicy"),
    SKIP("loadBalancerIP"),
    SKIP("loadBalancerClass"),
    SKIP("loadBalancerSourceRanges"),
    SKIP("allocateLoadBalancerNodePorts"),
    SKIP("publishNotReadyAddresses"),
    SKIP("sessionAffinity"),
    SKIP("sessionAffinityConfig"),
};
static const struct decode_table service_spec =
    DECODE_TABLE(service_spec_fields, .check = service_check, .check_always = true);

static const struct decode_field service_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(service_spec)};
const struct decode_table schema_service = DECODE_TABLE(service_fields);

/* --- EndpointSlice: no spec, its fields stand at the top --- */

static const struct decode_field slice_port_fields[] = {
    {.name = "name", .type = DECODE_STR, .at = DECODE_AT(conf_slice_port, name), .max = 63},
    {.name = "port", .type = DECODE_INT, .at = DECODE_AT(conf_slice_port, port), .min = 1,
     .max = 65535},
    SKIP("protocol"),
    SKIP("appProtocol"),
};
static const struct decode_table slice_port_table = DECODE_TABLE(slice_port_fields);

static const struct decode_field conditions_fields[] = {
    {.name = "ready", .type = DECODE_BOOL, .at = DECODE_AT(conf_endpoint, ready), .def_int = 1},
    {.name = "serving", .type = DECODE_BOOL, .at = DECODE_AT(conf_endpoint, serving),
     .def_int = 1},
    {.name = "terminating", .type = DECODE_BOOL, .at = DECODE_AT(conf_endpoint, terminating)},
};

/* An endpoint that says only whether it is ready serves when it is. */
static void conditions_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_endpoint *endpoint = out;
    (void)decode;
    if (doc_is_null(doc_find(node, "serving")))
        endpoint->serving = endpoint->ready;
}

static const struct decode_table conditions_table =
    DECODE_TABLE(conditions_fields, .check = conditions_check);

static const struct decode_field endpoint_fields[] = {
    {.name = "addresses", .type = DECODE_STRS, .required = true,
     .at = DECODE_AT(conf_endpoint, addresses),
     .at_count = DECODE_AT(conf_endpoint, addresses_count), .min = 1, .max = 100},
    {.name = "conditions", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &conditions_table},
    {.name = "zone", .type = DECODE_STR, .at = DECODE_AT(conf_endpoint, zone), .max = 253},
    SKIP("hostname"),
    SKIP("targetRef"),
    SKIP("nodeName"),
    SKIP("hints"),
    SKIP("deprecatedTopology"),
};

static void endpoint_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_endpoint *endpoint = out;
    (void)decode;
    if (doc_is_null(doc_find(node, "conditions")))
        endpoint->ready = endpoint->serving = true;
}

static const struct decode_table endpoint_table = DECODE_TABLE(
    endpoint_fields, .at_pos = DECODE_AT(conf_endpoint, pos), .check = endpoint_check);

static void slice_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_endpoint_slice *slice = out;
    const struct conf_object *obj = decode->object;
    for (unsigned i = 0; i < obj->labels_count; i++) {
        if (span_equal(obj->labels[i].key, SPAN_LIT("kubernetes.io/service-name")))
            slice->service_name = obj->labels[i].value;
    }
    bool is_v4 = span_equal(slice->address_type, SPAN_LIT("IPv4"));
    bool is_v6 = span_equal(slice->address_type, SPAN_LIT("IPv6"));
    for (unsigned i = 0; i < slice->endpoints_count && (is_v4 || is_v6); i++) {
        const struct conf_endpoint *endpoint = &slice->endpoints[i];
        for (unsigned j = 0; j < endpoint->addresses_count; j++) {
            struct span address = endpoint->addresses[j];
            bool has_colon = span_find_char(address, ':') >= 0;
            if (schema_is_ip(address) != NULL || has_colon != is_v6)
                schema_rule(decode, node, "endpoints", "[%u].addresses[%u]: \"%.*s\" is no %.*s "
                            "address", i, j, SPAN_ARG(address), SPAN_ARG(slice->address_type));
        }
    }
}

static const char *const address_types[] = {"IPv4", "IPv6", "FQDN", NULL};

static const struct decode_field slice_fields[] = {
    SCHEMA_HEAD,
    {.name = "addressType", .type = DECODE_STR, .required = true,
     .at = DECODE_AT(conf_endpoint_slice, address_type), .words = address_types},
    {.name = "endpoints", .type = DECODE_LIST, .at = DECODE_AT(conf_endpoint_slice, endpoints),
     .at_count = DECODE_AT(conf_endpoint_slice, endpoints_count), .max = 1000,
     .item_size = sizeof(struct conf_endpoint), .table = &endpoint_table},
    {.name = "ports", .type = DECODE_LIST, .at = DECODE_AT(conf_endpoint_slice, ports),
     .at_count = DECODE_AT(conf_endpoint_slice, ports_count), .max = 100,
     .item_size = sizeof(struct conf_slice_port), .table = &slice_port_table},
};
const struct decode_table schema_endpoint_slice =
    DECODE_TABLE(slice_fields, .check = slice_check);

/* --- Namespace: only its labels matter --- */

static const struct decode_field namespace_fields[] = {SCHEMA_HEAD, SKIP("spec")};
const struct decode_table schema_namespace = DECODE_TABLE(namespace_fields);

/* --- XBackend (GEP-4894): an external host --- */

struct xbackend {
    struct span type, protocol, host;
    struct conf_place host_pos;
    uint16_t port;
    bool has_tls;
};

static const char *const xbackend_types[] = {"ExternalHostname", NULL};
static const char *const xbackend_protocols[] = {"HTTP", "HTTP11", "H2C", "TCP", NULL};

static const char *is_external_host(struct span text)
{
    if (schema_is_ip(text) == NULL)
        return NULL;
    if (span_ends_with(text, SPAN_LIT(".cluster.local")))
        return "not be a name of the cluster: refer to the Service instead";
    return schema_is_precise_hostname(text);
}

static const struct decode_field external_fields[] = {
    {.name = "hostname", .type = DECODE_STR, .required = true, .at = DECODE_AT(xbackend, host),
     .at_pos = DECODE_AT(xbackend, host_pos), .min = 1, .max = SCHEMA_NAME_MAX,
     .check = is_external_host},
};
static const struct decode_table external_table = DECODE_TABLE(external_fields);

static const struct decode_field xbackend_port = {
    .name = "number", .type = DECODE_INT, .required = true, .at = DECODE_AT(xbackend, port),
    .min = 1, .max = 65535,
};
static const struct decode_table xbackend_port_table = {.fields = &xbackend_port, .count = 1};

/* {number: 443}, or 443 as in the first version of the API. */
static void xbackend_port_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    if (node->type == DOC_MAP)
        decode_table(decode, &xbackend_port_table, node, out);
    else
        decode_field(decode, &xbackend_port, node, out);
}

static const struct decode_field xbackend_spec_fields[] = {
    {.name = "type", .type = DECODE_STR, .required = true, .at = DECODE_AT(xbackend, type),
     .words = xbackend_types},
    {.name = "port", .type = DECODE_FN, .required = true, .fn = xbackend_port_decode},
    {.name = "externalHostname", .type = DECODE_OBJECT, .required = true, .at = DECODE_HERE,
     .table = &external_table},
    {.name = "protocol", .type = DECODE_STR, .at = DECODE_AT(xbackend, protocol),
     .words = xbackend_protocols},
    {.name = "tls", .type = DECODE_REFUSED},
    {.name = "endpointSelector", .type = DECODE_REFUSED},
};
static const struct decode_table xbackend_spec = DECODE_TABLE(xbackend_spec_fields);

static void xbackend_spec_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_xbackend *backend = out;
    struct xbackend spec = {0};
    decode_table(decode, &xbackend_spec, node, &spec);
    backend->endpoints = decode_array(decode, 1, sizeof(*backend->endpoints));
    if (backend->endpoints == NULL)
        return;
    backend->endpoints_count = 1;
    backend->endpoints[0].host = spec.host;
    backend->endpoints[0].port = spec.port;
    backend->endpoints[0].pos = spec.host_pos;
    if (span_equal(spec.protocol, SPAN_LIT("H2C")))
        backend->app_protocol = SPAN_LIT("kubernetes.io/h2c");
    else if (span_equal(spec.protocol, SPAN_LIT("HTTP11")))
        backend->app_protocol = SPAN_LIT("http/1.1");
}

static const struct decode_field xbackend_fields[] = {
    SCHEMA_HEAD,
    {.name = "spec", .type = DECODE_FN, .required = true, .fn = xbackend_spec_decode},
};
const struct decode_table schema_xbackend = DECODE_TABLE(xbackend_fields);

/* --- ReferenceGrant --- */

static const struct decode_field grant_from_fields[] = {
    {.name = "group", .type = DECODE_STR, .required = true, .at = DECODE_AT(conf_grant_from, group),
     .max = SCHEMA_NAME_MAX, .check = schema_is_group},
    {.name = "kind", .type = DECODE_STR, .required = true, .at = DECODE_AT(conf_grant_from, kind),
     .min = 1, .max = SCHEMA_LABEL_MAX, .check = schema_is_kind},
    {.name = "namespace", .type = DECODE_STR, .required = true,
     .at = DECODE_AT(conf_grant_from, ns), .min = 1, .max = SCHEMA_LABEL_MAX,
     .check = schema_is_label},
};
static const struct decode_table grant_from_table = DECODE_TABLE(grant_from_fields);

static const struct decode_field grant_to_fields[] = {
    {.name = "group", .type = DECODE_STR, .required = true, .at = DECODE_AT(conf_grant_to, group),
     .max = SCHEMA_NAME_MAX, .check = schema_is_group},
    {.name = "kind", .type = DECODE_STR, .required = true, .at = DECODE_AT(conf_grant_to, kind),
     .min = 1, .max = SCHEMA_LABEL_MAX, .check = schema_is_kind},
    {.name = "name", .type = DECODE_STR, .at = DECODE_AT(conf_grant_to, name), .min = 1,
     .max = SCHEMA_NAME_MAX},
};
static const struct decode_table grant_to_table = DECODE_TABLE(grant_to_fields);

static const struct decode_field grant_spec_fields[] = {
    {.name = "from", .type = DECODE_LIST, .required = true,
     .at = DECODE_AT(conf_reference_grant, from),
     .at_count = DECODE_AT(conf_reference_grant, from_count), .min = 1, .max = 16,
     .item_size = sizeof(struct conf_grant_from), .table = &grant_from_table},
    {.name = "to", .type = DECODE_LIST, .required = true, .at = DECODE_AT(conf_reference_grant, to),
     .at_count = DECODE_AT(conf_reference_grant, to_count), .min = 1, .max = 16,
     .item_size = sizeof(struct conf_grant_to), .table = &grant_to_table},
};
static const struct decode_table grant_spec = DECODE_TABLE(grant_spec_fields);

static const struct decode_field grant_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(grant_spec)};
const struct decode_table schema_reference_grant = DECODE_TABLE(grant_fields);
