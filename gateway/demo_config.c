/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/demo_config.h"

void demo_config_init(struct demo_config *config)
{
    *config = (struct demo_config){0};
    buf_init(&config->ca_pem, DEMO_CONFIG_PEM_MAX);
    buf_init(&config->server_cert, DEMO_CONFIG_PEM_MAX);
    buf_init(&config->server_key, DEMO_CONFIG_PEM_MAX);
    buf_init(&config->client_cert, DEMO_CONFIG_PEM_MAX);
    buf_init(&config->client_key, DEMO_CONFIG_PEM_MAX);
}

void demo_config_fini(struct demo_config *config)
{
    if (config->server_key.len > 0)
        explicit_bzero(config->server_key.data, config->server_key.len);
    if (config->client_key.len > 0)
        explicit_bzero(config->client_key.data, config->client_key.len);
    buf_fini(&config->ca_pem);
    buf_fini(&config->server_cert);
    buf_fini(&config->server_key);
    buf_fini(&config->client_cert);
    buf_fini(&config->client_key);
}

static void demo_add_gateway(const struct demo_config *c, struct buf *yaml)
{
    buf_printf(yaml,
               "# Written by ringgate demo, removed when it stops. Change it: it is applied.\n"
               "apiVersion: gateway.networking.k8s.io/v1\n"
               "kind: Gateway\n"
               "metadata: {name: demo, namespace: demo}\n"
               "spec:\n"
               "  gatewayClassName: ringgate\n"
               "  addresses: [{type: IPAddress, value: 127.0.0.1}]\n"
               "  tls: {backend: {clientCertificateRef: {name: gateway-identity}}}\n"
               "  listeners:\n"
               "  - {name: https, port: %u, protocol: HTTPS, tls: {certificateRefs: [{name:"
               " localhost}]}}\n"
               "  - {name: http, port: %u, protocol: HTTP}\n"
               "  - {name: tcp, port: %u, protocol: TCP}\n",
               c->https_port, c->http_port, c->tcp_port);
}

static void demo_add_route(struct buf *yaml, const char *name, const char *service, unsigned port)
{
    buf_printf(yaml,
               "---\n"
               "apiVersion: gateway.networking.k8s.io/v1\n"
               "kind: HTTPRoute\n"
               "metadata: {name: %s, namespace: demo}\n"
               "spec:\n"
               "  parentRefs: [{name: demo, sectionName: https}]\n"
               "  rules:\n"
               "  - name: all\n"
               "    matches: [{path: {type: PathPrefix, value: /%s}}]\n"
               "    backendRefs: [{name: %s, port: %u}]\n",
               name, name, service, port);
}

static void demo_add_other_routes(const struct demo_config *c, struct buf *yaml)
{
    buf_printf(yaml,
               "---\n"
               "apiVersion: gateway.networking.k8s.io/v1\n"
               "kind: HTTPRoute\n"
               "metadata: {name: to-https, namespace: demo}\n"
               "spec:\n"
               "  parentRefs: [{name: demo, sectionName: http}]\n"
               "  rules:\n"
               "  - name: all\n"
               "    filters:\n"
               "    - type: RequestRedirect\n"
               "      requestRedirect: {scheme: https, port: %u, statusCode: 301}\n"
               "---\n"
               "apiVersion: gateway.networking.k8s.io/v1\n"
               "kind: TCPRoute\n"
               "metadata: {name: bytes, namespace: demo}\n"
               "spec:\n"
               "  parentRefs: [{name: demo, sectionName: tcp}]\n"
               "  rules: [{name: all, backendRefs: [{name: echo, port: %u}]}]\n",
               c->https_port, c->echo_port);
}

static void demo_add_limit(const struct demo_config *c, struct buf *yaml)
{
    buf_printf(yaml,
               "---\n"
               "apiVersion: ringgate.dev/v1alpha1\n"
               "kind: RateLimitPolicy\n"
               "metadata: {name: limited, namespace: demo}\n"
               "spec:\n"
               "  targetRefs:\n"
               "  - {group: gateway.networking.k8s.io, kind: HTTPRoute, name: limited}\n"
               "%s"
               "  rules:\n"
               "  - name: per-client\n"
               "    key: [{clientIP: {}}]\n"
               "    rate: {requests: 10, period: 1m}\n"
               "    scope: %s\n",
               c->redis != NULL ? "  storeRef: {name: redis}\n" : "",
               c->redis != NULL ? "Global" : "Instance");
    if (c->redis != NULL)
        buf_printf(yaml,
                   "---\n"
                   "apiVersion: ringgate.dev/v1alpha1\n"
                   "kind: RateLimitStore\n"
                   "metadata: {name: redis, namespace: demo}\n"
                   "spec: {redis: {mode: Single, endpoints: [\"%s\"]}}\n",
                   c->redis);
}

static void demo_add_service(struct buf *yaml, const char *name, unsigned port)
{
    buf_printf(yaml,
               "---\n"
               "apiVersion: v1\n"
               "kind: Service\n"
               "metadata: {name: %s, namespace: demo}\n"
               "spec: {ports: [{name: main, port: %u}]}\n"
               "---\n"
               "apiVersion: discovery.k8s.io/v1\n"
               "kind: EndpointSlice\n"
               "metadata: {name: %s-1, namespace: demo, labels: {kubernetes.io/service-name: %s}}\n"
               "addressType: IPv4\n"
               "ports: [{name: main, port: %u, protocol: TCP}]\n"
               "endpoints: [{addresses: [127.0.0.1]}]\n",
               name, port, name, name, port);
}

/* A block scalar: every line of text, indented. */
static void demo_add_block(struct buf *yaml, const char *key, struct span text)
{
    buf_printf(yaml, "  %s: |\n", key);
    while (text.len > 0) {
        struct span line;
        (void)span_split(text, '\n', &line, &text);
        buf_printf(yaml, "    %.*s\n", SPAN_ARG(line));
    }
}

static void demo_add_secret(struct buf *yaml, const char *name, const struct buf *cert,
                            const struct buf *key)
{
    buf_printf(yaml,
               "---\n"
               "apiVersion: v1\n"
               "kind: Secret\n"
               "metadata: {name: %s, namespace: demo}\n"
               "type: kubernetes.io/tls\n"
               "stringData:\n",
               name);
    demo_add_block(yaml, "tls.crt", buf_span(cert));
    demo_add_block(yaml, "tls.key", buf_span(key));
}

static void demo_add_mesh_tls(const struct demo_config *c, struct buf *yaml)
{
    buf_add_str(yaml, "---\n"
                      "apiVersion: v1\n"
                      "kind: ConfigMap\n"
                      "metadata: {name: mesh-ca, namespace: demo}\n"
                      "data:\n");
    demo_add_block(yaml, "ca.crt", buf_span(&c->ca_pem));
    buf_add_str(yaml, "---\n"
                      "apiVersion: gateway.networking.k8s.io/v1\n"
                      "kind: BackendTLSPolicy\n"
                      "metadata: {name: echo-mesh, namespace: demo}\n"
                      "spec:\n"
                      "  targetRefs: [{group: \"\", kind: Service, name: echo-mesh}]\n"
                      "  validation:\n"
                      "    hostname: " DEMO_CONFIG_ECHO_HOST "\n"
                      "    caCertificateRefs: [{group: \"\", kind: ConfigMap, name: mesh-ca}]\n"
                      "    subjectAltNames: [{type: URI, uri: \"" DEMO_CONFIG_ECHO_ID "\"}]\n");
}

void demo_config_format(const struct demo_config *config, struct buf *yaml)
{
    demo_add_gateway(config, yaml);
    demo_add_route(yaml, "hello", "echo", config->echo_port);
    demo_add_route(yaml, "mesh", "echo-mesh", config->mesh_port);
    demo_add_route(yaml, "limited", "echo", config->echo_port);
    demo_add_limit(config, yaml);
    demo_add_other_routes(config, yaml);
    demo_add_service(yaml, "echo", config->echo_port);
    demo_add_service(yaml, "echo-mesh", config->mesh_port);
    demo_add_mesh_tls(config, yaml);
    demo_add_secret(yaml, "localhost", &config->server_cert, &config->server_key);
    demo_add_secret(yaml, "gateway-identity", &config->client_cert, &config->client_key);
}
