/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_KINDS_H
#define RINGGATE_CONF_KINDS_H

/* The API objects as decoded from documents: one struct a kind, fields named
 * as in the API, defaults applied, positions kept for messages. Data only. An
 * object is immutable once decoded; its spans live in its own arena. Spans are
 * empty (len 0) when a field is absent unless has_x says otherwise. */

#include "base/arena.h"

enum conf_kind {
    CONF_KIND_GATEWAY_CLASS,
    CONF_KIND_GATEWAY,
    CONF_KIND_HTTP_ROUTE,
    CONF_KIND_GRPC_ROUTE,
    CONF_KIND_TCP_ROUTE,
    CONF_KIND_REFERENCE_GRANT,
    CONF_KIND_BACKEND_TLS_POLICY,
    CONF_KIND_TRAFFIC_POLICY, /* gateway.networking.x-k8s.io XBackendTrafficPolicy */
    CONF_KIND_SERVICE,
    CONF_KIND_ENDPOINT_SLICE,
    CONF_KIND_XBACKEND, /* gateway.networking.x-k8s.io Backend kind "XBackend" (GEP-4894) */
    CONF_KIND_SECRET,
    CONF_KIND_CONFIG_MAP,
    CONF_KIND_NAMESPACE,
    CONF_KIND_RATE_LIMIT_POLICY, /* ringgate.dev/v1alpha1 */
    CONF_KIND_RATE_LIMIT_STORE, /* ringgate.dev/v1alpha1 */
    CONF_KIND_COUNT
};
#define CONF_KIND_NONE CONF_KIND_COUNT

#define CONF_GROUP_GATEWAY "gateway.networking.k8s.io"
#define CONF_GROUP_OWN "ringgate.dev"

/* Where a value stands: 1-based; line 0 = it was defaulted or is not from a file. */
struct conf_pos {
    uint32_t line, column;
};

/* Where a value of an object stands, counted from the object's first line and, in that line, from
 * its first column; so it stays when the object moves. 1-based; line 0: it was defaulted, is not
 * from a file, or is too far down. column 0: too far right. See conf_place_pos. */
struct conf_place {
    uint16_t line, column;
};

struct conf_pair { /* label, annotation, data entry */
    struct span key, value;
};

struct conf_source { /* a file; shared by its objects, ref-counted by objects.c */
    const char *path;
    const char *text; /* whole text while it is needed for excerpts; may be NULL */
    size_t text_len;
    unsigned refs; /* objects.c; 0: not counted */
    bool is_lent; /* the text; else it is the source's */
};

struct conf_object {
    enum conf_kind kind;
    struct span api_version, ns, name; /* ns empty for cluster-scoped kinds */
    struct conf_pair *labels, *annotations;
    unsigned labels_count, annotations_count;
    int64_t generation; /* 1 and up; +1 when the spec changes (files) */
    uint64_t created_s; /* creationTimestamp, seconds since 1970; 0 when not given */
    uint64_t name_hash; /* objects.c; 0: not in a set yet */
    uint64_t digest; /* of the document's text and of the files it names */
    uint64_t spec_digest; /* of all but metadata and status: what generation counts */
    const struct conf_source *source; /* NULL: not from a file */
    struct conf_pos pos; /* of the document */
    unsigned refs; /* objects.c */
    struct arena arena;
    union {
        struct conf_gateway_class *gateway_class;
        struct conf_gateway *gateway;
        struct conf_http_route *http_route; /* HTTPRoute and GRPCRoute */
        struct conf_tcp_route *tcp_route;
        struct conf_reference_grant *reference_grant;
        struct conf_backend_tls_policy *backend_tls_policy;
        struct conf_traffic_policy *traffic_policy;
        struct conf_service *service;
        struct conf_endpoint_slice *endpoint_slice;
        struct conf_xbackend *xbackend;
        struct conf_secret *secret;
        struct conf_config_map *config_map;
        struct conf_rate_limit_policy *rate_limit_policy;
        struct conf_rate_limit_store *rate_limit_store;
        void *spec;
    };
};

/* Any object reference; absent fields hold the API's default. has_ns tells a written namespace. */
struct conf_ref {
    struct conf_place pos; /* of its name */
    uint16_t port; /* 0: absent */
    bool has_ns;
    const char *group, *kind; /* see conf_ref_kind */
    struct span ns, name;
    const char *section_name; /* NULL: absent */
};

struct conf_gateway_class {
    struct span controller_name;
};

enum conf_protocol {
    CONF_PROTOCOL_OTHER,
    CONF_PROTOCOL_HTTP,
    CONF_PROTOCOL_HTTPS,
    CONF_PROTOCOL_TLS,
    CONF_PROTOCOL_TCP,
    CONF_PROTOCOL_UDP,
};
enum conf_from { CONF_FROM_SAME, CONF_FROM_ALL, CONF_FROM_SELECTOR, CONF_FROM_NONE };

struct conf_requirement { /* label selector: matchLabels become In with one value */
    struct span key;
    enum { CONF_OP_IN, CONF_OP_NOT_IN, CONF_OP_EXISTS, CONF_OP_DOES_NOT_EXIST } op;
    struct span *values;
    unsigned values_count;
};

struct conf_route_kind {
    struct span group, kind;
    struct conf_place pos;
};

struct conf_listener {
    struct conf_place pos;
    struct span name, hostname, protocol_text;
    enum conf_protocol protocol;
    uint16_t port;
    struct {
        bool present, passthrough;
        struct conf_ref *certificate_refs;
        unsigned certificate_refs_count;
        struct conf_pair *options;
        unsigned options_count;
        struct conf_place pos;
    } tls;
    enum conf_from from; /* allowedRoutes.namespaces */
    struct conf_requirement *selector;
    unsigned selector_count;
    struct conf_route_kind *kinds; /* allowedRoutes.kinds */
    unsigned kinds_count;
    bool proxy_protocol; /* annotation ringgate.dev/proxy-protocol of the Gateway */
};

struct conf_frontend_validation { /* GEP-91; spec.tls.frontend */
    bool present; /* a validation stanza */
    struct conf_ref *ca_refs;
    unsigned ca_refs_count;
    bool insecure_fallback; /* mode AllowInsecureFallback */
    struct conf_place pos;
};

struct conf_gateway {
    struct span class_name;
    struct conf_place class_name_pos;
    struct conf_listener *listeners;
    unsigned listeners_count;
    struct conf_gateway_address {
        struct span type, value; /* "IPAddress" by default */
        struct conf_place pos;
    } * addresses;
    unsigned addresses_count;
    struct conf_frontend_validation frontend_default;
    struct conf_frontend_port {
        uint16_t port;
        struct conf_frontend_validation validation;
    } * frontend_ports;
    unsigned frontend_ports_count;
    bool has_backend_client_cert; /* spec.tls.backend.clientCertificateRef */
    struct conf_ref backend_client_cert;
};

enum conf_match_type { CONF_MATCH_EXACT, CONF_MATCH_PREFIX, CONF_MATCH_REGEX };

struct conf_kv_match { /* header or query parameter */
    struct conf_place pos;
    enum conf_match_type type; /* EXACT or REGEX */
    struct span name, value;
};

struct conf_rpc_match { /* what a gRPC request calls: path "/service/method" */
    enum conf_match_type type; /* EXACT or REGEX, of both */
    struct span service, method; /* empty: any; not both */
    struct conf_place service_pos, method_pos;
};

struct conf_match_more { /* what few matches have; of a GRPCRoute rpc and headers */
    const struct conf_rpc_match *rpc; /* NULL: any */
    struct conf_kv_match *headers, *queries;
    struct span method; /* empty: any */
    unsigned headers_count, queries_count;
};

struct conf_http_match {
    struct conf_place pos, path_pos;
    enum conf_match_type path_type; /* default PREFIX */
    struct span path; /* default "/" */
    struct conf_match_more *more; /* NULL: nothing; see conf_match_more */
};

static inline const struct conf_match_more *conf_match_more(const struct conf_http_match *match)
{
    static const struct conf_match_more nothing;
    return match->more != NULL ? match->more : &nothing;
}

struct conf_header_mod {
    struct conf_pair *set, *add;
    struct span *remove;
    unsigned set_count, add_count, remove_count;
};

enum conf_path_mod { CONF_PATH_KEEP, CONF_PATH_REPLACE_FULL, CONF_PATH_REPLACE_PREFIX };

enum conf_filter_type {
    CONF_FILTER_REQUEST_HEADERS,
    CONF_FILTER_RESPONSE_HEADERS,
    CONF_FILTER_REDIRECT,
    CONF_FILTER_REWRITE,
    CONF_FILTER_MIRROR, /* may be there several times */
    CONF_FILTER_CORS, /* of rules; a backendRef's is not served */
    CONF_FILTER_UNSUPPORTED, /* a type of the API that is not served yet, or unknown: see type_text
                              */
};

struct conf_mirror { /* GEP-3171 */
    struct conf_ref ref; /* kind Service by default */
    uint32_t numerator, denominator; /* of requests; all: 1 of 1 */
};

struct conf_cors { /* GEP-1767 */
    struct span *origins, *methods, *headers, *expose; /* of the first three "*" stands alone */
    unsigned origins_count, methods_count, headers_count, expose_count;
    bool allow_credentials;
    uint32_t max_age_s; /* 5 by default */
};

struct conf_filter {
    struct conf_place pos;
    enum conf_filter_type type;
    struct span type_text;
    struct conf_header_mod headers; /* both header filters */
    struct { /* REDIRECT uses all; REWRITE hostname and path */
        struct span scheme, hostname, path;
        enum conf_path_mod path_mod;
        uint16_t port; /* 0: absent */
        uint16_t status; /* 302 by default */
    } url;
    struct conf_mirror mirror;
    struct conf_cors cors;
};

struct conf_backend_ref {
    struct conf_ref ref; /* kind Service by default, with port */
    uint32_t weight; /* default 1 */
    unsigned filters_count;
    struct conf_filter *filters;
};

#define CONF_RETRY_CODE_MIN 400u
#define CONF_RETRY_CODE_MAX 599u

struct conf_retry { /* GEP-1731 */
    uint64_t codes[4]; /* a bit each, from CONF_RETRY_CODE_MIN */
    uint16_t attempts; /* after the first; 1 by default */
    uint64_t backoff_ns; /* before the first retry; 50 ms by default */
};

struct conf_rule_rare { /* what few rules have */
    bool has_request_timeout, has_backend_timeout, has_retry;
    uint64_t request_timeout_ns, backend_timeout_ns; /* 0: disabled */
    struct conf_retry retry;
    /* Field of the API that is not served ("sessionPersistence"), or NULL. */
    const char *unsupported;
    struct conf_place unsupported_pos;
};

struct conf_http_rule {
    struct span name; /* sectionName of policies; may be empty */
    struct conf_http_match *matches;
    struct conf_filter *filters;
    struct conf_backend_ref *backends;
    struct conf_rule_rare *rare; /* NULL: none of it */
    unsigned matches_count; /* 0: one match of everything */
    unsigned filters_count, backends_count;
    struct conf_place pos;
};

struct conf_http_route { /* or GRPCRoute: no redirects, rewrites and timeouts */
    struct conf_ref *parents;
    unsigned parents_count;
    struct conf_hostname {
        struct span name;
        struct conf_place pos;
    } * hostnames;
    unsigned hostnames_count;
    struct conf_http_rule *rules;
    unsigned rules_count;
    bool has_idle_timeout; /* annotation ringgate.dev/idle-timeout */
    uint64_t idle_timeout_ns; /* 0: disabled */
};

struct conf_tcp_route {
    struct conf_ref *parents;
    unsigned parents_count;
    struct span rule_name;
    struct conf_backend_ref *backends;
    unsigned backends_count;
};

struct conf_reference_grant {
    struct conf_grant_from {
        struct span group, kind, ns;
    } * from;
    struct conf_grant_to {
        struct span group, kind, name; /* name empty: all */
    } * to;
    unsigned from_count, to_count;
};

struct conf_backend_tls_policy {
    struct conf_ref *targets; /* local Services, sectionName = port name */
    unsigned targets_count;
    struct span hostname;
    struct conf_ref *ca_refs;
    unsigned ca_refs_count;
    struct span well_known_ca; /* "System" or empty */
    struct conf_san {
        bool is_uri; /* else Hostname */
        struct span value;
    } * sans;
    unsigned sans_count;
};

struct conf_retry_constraint { /* GEP-3388 */
    uint32_t percent; /* of all requests, that may be retries; 20 by default */
    uint64_t interval_ns; /* in which they are counted, 10 s by default */
    uint32_t min_count; /* retries that are allowed in any case, 10 by default */
    uint64_t min_interval_ns; /* in this time, 1 s by default */
};

struct conf_traffic_policy {
    struct conf_ref *targets; /* local Services and XBackends */
    unsigned targets_count;
    bool has_retry;
    struct conf_retry_constraint retry;
};

struct conf_service {
    struct conf_service_port {
        struct span name, app_protocol, protocol; /* protocol "TCP" by default */
        uint16_t port;
    } * ports;
    unsigned ports_count;
    struct span type; /* "ExternalName" is refused as a backend */
};

struct conf_endpoint_slice {
    struct span service_name; /* label kubernetes.io/service-name */
    struct span address_type; /* "IPv4", "IPv6", "FQDN" (refused) */
    struct conf_slice_port {
        struct span name;
        uint16_t port;
    } * ports;
    unsigned ports_count;
    struct conf_endpoint {
        struct span *addresses;
        unsigned addresses_count;
        bool ready, serving, terminating; /* absent: ready */
        struct span zone;
        struct conf_place pos;
    } * endpoints;
    unsigned endpoints_count;
};

struct conf_xbackend { /* an external host by name or address */
    struct conf_xbackend_endpoint {
        struct span host; /* DNS name or IP */
        uint16_t port;
        struct conf_place pos;
    } * endpoints;
    unsigned endpoints_count;
    struct span app_protocol;
};

struct conf_secret {
    struct span type;
    struct conf_pair *data; /* decoded from base64 / stringData / files annotation; raw bytes */
    unsigned data_count;
};

struct conf_config_map {
    struct conf_pair *data;
    unsigned data_count;
};

/* Rate limits: shared/reference of the policy's API is in doc/ratelimit.md. */
enum conf_limit_key_type {
    CONF_LIMIT_KEY_CLIENT_IP,
    CONF_LIMIT_KEY_HEADER,
    CONF_LIMIT_KEY_PATH,
    CONF_LIMIT_KEY_SPIFFE_ID,
};
enum conf_limit_missing {
    CONF_LIMIT_MISSING_SKIP,
    CONF_LIMIT_MISSING_EMPTY,
    CONF_LIMIT_MISSING_DENY
};
enum conf_limit_failure {
    CONF_LIMIT_FAILURE_LOCAL,
    CONF_LIMIT_FAILURE_OPEN,
    CONF_LIMIT_FAILURE_CLOSED
};

struct conf_limit_key {
    enum conf_limit_key_type type;
    struct span name; /* HEADER */
    uint8_t v4_prefix, v6_prefix; /* CLIENT_IP: 32, 64 by default */
    enum conf_limit_missing on_missing;
};

struct conf_limit_rule {
    struct conf_place pos;
    struct span name;
    struct conf_limit_key *keys;
    unsigned keys_count; /* 0: one bucket */
    uint64_t requests, burst; /* burst: requests by default */
    uint64_t period_ns;
    bool is_global; /* scope Global (default) or Instance */
    bool shadow; /* mode Shadow */
    bool unlimited;
    enum conf_limit_failure on_store_failure;
    bool headers; /* headers.standard Draft10 (default) or Off */
};

struct conf_rate_limit_policy {
    struct conf_ref *targets; /* Gateway[/listener], HTTPRoute[/rule] of the same namespace */
    unsigned targets_count;
    bool has_store;
    struct conf_ref store;
    struct conf_limit_rule *rules;
    unsigned rules_count;
};

struct conf_rate_limit_store {
    struct span *endpoints; /* "host:port" or "unix:/path"; exactly one for now (mode Single) */
    unsigned endpoints_count;
    bool has_auth, has_tls, has_ca, has_client_cert;
    struct conf_ref auth; /* Secret: username, password */
    struct span username_file, password_file;
    struct span username, password; /* what those files hold, without the line end; secret */
    struct conf_ref ca, client_cert;
    struct span server_name;
    uint32_t database;
    uint64_t connect_timeout_ns, deadline_ns; /* 1 s, 5 ms */
    struct span key_prefix; /* "rgrl" */
};

#endif
