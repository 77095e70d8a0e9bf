/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_MODEL_H
#define RINGGATE_CONF_MODEL_H

/* What the translator makes of all objects: resolved, validated, attached,
 * with no reference left to follow. The snapshot is compiled from it. Data
 * only; everything lives in the model's arena or in the objects it keeps
 * alive. Arrays are in API precedence order unless said otherwise. */

#include "conf/kinds.h"

/* One key pair, PEM as it came. id: stable "kind/namespace/name" for messages and metrics. */
struct model_cert {
    struct span id;
    struct span cert_pem, key_pem;
};

enum model_protocol { MODEL_PROTOCOL_HTTP, MODEL_PROTOCOL_HTTPS, MODEL_PROTOCOL_TCP };

struct model_frontend { /* client certificates */
    bool validate; /* ask for one and verify */
    bool insecure_fallback; /* go on without a valid one */
    struct span ca_pem; /* all trusted CAs; validate and no CA: the listener is not served */
};

/* A host name of a listener under which a route is reached: lower case; "" any; "*.x" wildcard. */
struct model_attachment {
    const struct model_http_route *route;
    struct span *hostnames; /* intersection of route and listener, never empty: "" stands for any */
    unsigned hostnames_count;
};

struct model_listener {
    struct span id; /* "namespace/gateway/listener" */
    struct span gateway_ns, gateway, name; /* name: the listener's */
    enum model_protocol protocol;
    struct span hostname; /* lower case; "" any; "*.x" wildcard */
    struct span *addresses; /* literal IPs to bind; "0.0.0.0" and "::" by default */
    unsigned addresses_count;
    uint16_t port;
    bool proxy_protocol; /* see conf_listener */
    struct model_cert *certs; /* HTTPS: at least one */
    unsigned certs_count;
    struct model_frontend frontend;
    struct model_attachment *http; /* HTTP, HTTPS */
    unsigned http_count;
    const struct model_tcp_route *tcp; /* TCP: the oldest; NULL: close connections */
};

struct model_header_mod {
    const struct conf_header_mod *mod;
};

enum model_filter_type {
    MODEL_FILTER_REQUEST_HEADERS,
    MODEL_FILTER_RESPONSE_HEADERS,
    MODEL_FILTER_REDIRECT,
    MODEL_FILTER_REWRITE,
    MODEL_FILTER_MIRROR,
    MODEL_FILTER_CORS,
};

struct model_filter {
    enum model_filter_type type;
    const struct conf_filter *conf;
    unsigned cluster; /* MIRROR: index into model.clusters; one without is left out */
};

struct model_backend {
    int cluster; /* index into model.clusters; -1: invalid reference, its share answers 500 */
    uint32_t weight;
    struct model_filter *filters;
    unsigned filters_count;
};

struct model_rule {
    struct span name; /* rules[].name or "rule-<index>" */
    const struct conf_http_match *matches;
    struct model_filter *filters;
    struct model_backend *backends;
    unsigned *limits; /* indexes into model.limits, instance limits first */
    /* Timeouts (0: none; settings have defaults) and retries; never NULL. */
    const struct conf_rule_rare *rare;
    uint16_t index;
    uint16_t matches_count; /* >= 1: a rule without matches gets PathPrefix / */
    uint16_t filters_count, backends_count; /* no backend and no redirect: 500 */
    uint32_t limits_count;
};

/* An HTTPRoute or GRPCRoute as reached through one Gateway. Invalid rules are left out. */
struct model_http_route {
    struct span ns, name;
    bool is_grpc;
    bool has_idle_timeout; /* else the setting stream_idle_timeout counts */
    unsigned rank; /* smaller is older: creationTimestamp, then namespace/name */
    uint64_t idle_timeout_ns; /* 0: none */
    struct model_rule *rules;
    unsigned rules_count;
};

struct model_tcp_route {
    struct span ns, name, rule_name;
    struct model_backend *backends;
    unsigned backends_count;
};

struct model_backend_tls {
    struct span id; /* digest of all below: pools and sessions are keyed by it */
    struct span server_name; /* SNI */
    struct span ca_pem; /* empty: the system's */
    const struct conf_san *sans; /* none: authenticate server_name */
    unsigned sans_count;
    bool has_client_cert;
    struct model_cert client_cert;
    bool invalid; /* BackendTLSPolicy that cannot be satisfied: never connect (503) */
    struct span invalid_reason;
};

struct model_endpoint {
    struct span host; /* literal IP, or a DNS name (XBackend) */
    uint16_t port;
};

enum model_cluster_protocol {
    MODEL_CLUSTER_HTTP1, /* HTTP/1.1: without TLS; with TLS by ALPN "http/1.1" alone, for
                            appProtocol kubernetes.io/wss and /ws and protocol HTTP11 of an
                            XBackend. Also for TCP routes: bytes */
    MODEL_CLUSTER_H2, /* HTTP/2 and nothing else: plain by prior knowledge (h2c), with TLS ALPN "h2"
                         alone. Backends of GRPCRoutes and appProtocol kubernetes.io/h2c */
    MODEL_CLUSTER_EITHER, /* with TLS: what the backend chooses of ALPN "h2,http/1.1" */
};

struct model_cluster {
    /* "namespace/service:port", then "/h2" when a GRPCRoute asks for HTTP/2 where the Service's
     * port says nothing, then the TLS id; stable across generations. */
    struct span id;
    struct span ns, service;
    uint16_t port;
    enum model_cluster_protocol protocol;
    bool has_tls;
    struct model_backend_tls tls;
    const struct conf_retry_constraint *retry; /* NULL: only the rule bounds retries */
    struct model_endpoint *endpoints; /* ready ones; none: 503 */
    unsigned endpoints_count;
};

#define MODEL_STORE_NONE (-1) /* counted in this process */
#define MODEL_STORE_LOST (-2) /* it cannot be used: onStoreFailure decides */

struct model_limit {
    struct span policy; /* "namespace/name" */
    const struct conf_limit_rule *rule;
    struct span scope_id; /* what the bucket belongs to (policy + rule), stable */
    /* The rule as a value of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), which
     * begins with its quoted name. */
    struct span item;
    int store; /* index into model.stores, or MODEL_STORE_ */
};

struct model_store {
    struct span id; /* "namespace/name" */
    const struct conf_rate_limit_store *conf;
    struct span username, password; /* resolved; secret: never logged */
    struct span ca_pem; /* empty: the system's */
    bool has_client_cert;
    struct model_cert client_cert;
};

struct model {
    uint64_t generation;
    struct arena arena;
    struct model_listener *listeners; /* only those that are to be served */
    unsigned listeners_count;
    struct model_http_route *http_routes;
    unsigned http_routes_count;
    struct model_cluster *clusters;
    unsigned clusters_count;
    struct model_limit *limits;
    unsigned limits_count;
    struct model_store *stores;
    unsigned stores_count;
    struct objects *objects; /* reference held */
};

#endif
