/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "conf/objects.h"
#include "t/unit/conf/schema_fixture.h"

#define LISTENER(fields)                                                                           \
    GW "kind: Gateway\n" META "spec:\n  gatewayClassName: c\n  listeners: [{" fields "}]\n"
#define IDLE(kind, timeout)                                                                        \
    GW "kind: " kind "\nmetadata: {name: x, annotations: {ringgate.dev/idle-timeout: " timeout     \
       "}}\nspec: {}"
#define GRPC(rule) GW "kind: GRPCRoute\n" META "spec:\n  rules: [{" rule "}]\n"
#define CALL(method) GRPC("matches: [{method: {" method "}}]")
#define LIMIT(rule)                                                                                \
    OWN "kind: RateLimitPolicy\n" META                                                             \
        "spec:\n  targetRefs: [{group: g.io, kind: Gateway, name: g}]\n  rules: [{name: a, " rule  \
        "}]\n"
#define TRAFFIC(spec)                                                                              \
    "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\n" META         \
    "spec: {" spec "}\n"
#define TARGET "targetRefs: [{group: '', kind: Service, name: up}]"
#define STORE(spec) OWN "kind: RateLimitStore\n" META "spec: {" spec "}\n"

static const struct {
    const char *text, *findings;
} bad_cases[] = {
    /* The head of every object. */
    {"[1]", "RG007 \n"},
    {"kind: Gateway", "RG007 \n"},
    {"apiVersion: gateway.networking.k8s.io/v9\nkind: Gateway", "RG008 \n"},
    {"apiVersion: gateway.networking.k8s.o/v1\nkind: BackendTLSPolicy", "RG008 \n"},
    {GW "kind: Gateway\nspec: {gatewayClassName: c, listeners: [{name: a, port: 1, protocol: "
        "TCP}]}",
     "RG014 metadata\n"},
    {GW "kind: GatewayClass\nmetadata: {name: Up_}\nspec: {controllerName: a/b}",
     "RG013 metadata.name\n"},
    {GW "kind: GatewayClass\nmetadata: {name: x, creationTimestamp: today}\n"
        "spec: {controllerName: a/b}",
     "RG013 metadata.creationTimestamp\n"},
    {GW "kind: GatewayClass\nmetadata: {name: x}\n", "RG014 spec\n"},
    /* Types: what YAML makes of words without quotes. */
    {LISTENER("name: on, port: 80, protocol: HTTP"), "RG010 spec.listeners[0].name\n"},
    {LISTENER("name: 5, port: 80, protocol: HTTP"), "RG010 spec.listeners[0].name\n"},
    {LISTENER("name: a, port: '80', protocol: HTTP"), "RG010 spec.listeners[0].port\n"},
    {LISTENER("name: a, port: 0x50, protocol: HTTP"), "RG013 spec.listeners[0].port\n"},
    {LISTENER("name: a, port: 080, protocol: HTTP"), "RG013 spec.listeners[0].port\n"},
    {LISTENER("name: a, port: 80.0, protocol: HTTP"), "RG010 spec.listeners[0].port\n"},
    {LISTENER("name: [a], port: 80, protocol: HTTP"), "RG010 spec.listeners[0].name\n"},
    {GW "kind: Gateway\n" META "spec: {gatewayClassName: c, listeners: {a: b}}",
     "RG010 spec.listeners\n"},
    /* Ranges: at the limit is good (see below), beyond it and 0 are not. */
    {LISTENER("name: a, port: 65536, protocol: HTTP"), "RG011 spec.listeners[0].port\n"},
    {LISTENER("name: a, port: 0, protocol: HTTP"), "RG011 spec.listeners[0].port\n"},
    {LISTENER("name: a, port: -1, protocol: HTTP"), "RG011 spec.listeners[0].port\n"},
    {LISTENER("name: a, port: 99999999999999999999, protocol: HTTP"),
     "RG011 spec.listeners[0].port\n"},
    {ROUTE("backendRefs: [{name: up, port: 80, weight: 1000001}]"),
     "RG011 spec.rules[0].backendRefs[0].weight\n"},
    /* GRPCRoute. */
    {CALL(""), "RG017 spec.rules[0].matches[0].method\n"},
    {CALL("type: RegularExpression, service: ''"), "RG017 spec.rules[0].matches[0].method\n"},
    {CALL("service: 'a..b'"), "RG017 spec.rules[0].matches[0].method.service\n"},
    {CALL("service: a.b."), "RG017 spec.rules[0].matches[0].method.service\n"},
    {CALL("service: '..a'"), "RG017 spec.rules[0].matches[0].method.service\n"},
    {CALL("service: ."), "RG017 spec.rules[0].matches[0].method.service\n"},
    {CALL("service: a/b"), "RG017 spec.rules[0].matches[0].method.service\n"},
    {CALL("service: 1a"), "RG017 spec.rules[0].matches[0].method.service\n"},
    {CALL("method: a.b"), "RG017 spec.rules[0].matches[0].method.method\n"},
    {CALL("method: 'a*'"), "RG017 spec.rules[0].matches[0].method.method\n"},
    {CALL("service: [a]"), "RG010 spec.rules[0].matches[0].method.service\n"},
    {CALL("type: Prefix, service: a"), "RG012 spec.rules[0].matches[0].method.type\n"},
    {GRPC("matches: [{method: POST}]"), "RG010 spec.rules[0].matches[0].method\n"},
    {GRPC("matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]"),
     "RG018 spec.rules[0].matches[0].headers\n"},
    {GRPC("backendRefs: [{name: up}]"), "RG017 spec.rules[0].backendRefs[0].port\n"},
    {GRPC("filters: [{type: RequestHeaderModifier, requestHeaderModifier: {}}, {type: "
          "RequestHeaderModifier, requestHeaderModifier: {}}]"),
     "RG017 spec.rules[0]\n"},
    {GW "kind: GRPCRoute\n" META "spec: {rules: [{name: a}, {name: a}]}", "RG017 spec.rules\n"},
    {GW "kind: GRPCRoute\n" META "spec: {hostnames: [10.0.0.1]}", "RG013 spec.hostnames[0]\n"},
    /* Gateway. */
    {LISTENER("name: a, protocol: HTTP"), "RG014 spec.listeners[0].port\n"},
    {LISTENER("name: a, port: 80, protocol: http"), "RG012 spec.listeners[0].protocol\n"},
    {LISTENER("name: a, port: 80, protocol: HTTP, hostname: A.b"),
     "RG013 spec.listeners[0].hostname\n"},
    {LISTENER("name: a, port: 80, protocol: HTTP, hostname: '*'"),
     "RG013 spec.listeners[0].hostname\n"},
    {LISTENER("name: a, port: 80, protocol: HTTP, hostname: 'a.*.b'"),
     "RG013 spec.listeners[0].hostname\n"},
    {LISTENER("name: a, port: 80, protocol: HTTP, hostname: 127.0.0.1"),
     "RG013 spec.listeners[0].hostname\n"},
    {LISTENER("name: a, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: c}]}"),
     "RG017 spec.listeners[0].tls\n"},
    {LISTENER("name: a, port: 80, protocol: TCP, hostname: a"),
     "RG017 spec.listeners[0].hostname\n"},
    {LISTENER("name: a, port: 80, protocol: HTTPS, tls: {mode: Passthrough}"),
     "RG017 spec.listeners[0].tls\n"},
    {LISTENER("name: a, port: 80, protocol: HTTPS, tls: {}"), "RG017 spec.listeners[0].tls\n"},
    {LISTENER("name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector}}"),
     "RG017 spec.listeners[0].allowedRoutes\n"},
    {LISTENER("name: a, port: 80, protocol: TCP}, {name: a, port: 81, protocol: TCP"),
     "RG017 spec.listeners\n"},
    {LISTENER("name: a, port: 80, protocol: TCP}, {name: b, port: 80, protocol: TCP"),
     "RG017 spec.listeners\n"},
    {GW "kind: Gateway\n" META "spec: {gatewayClassName: c, listeners: []}",
     "RG016 spec.listeners\n"},
    {GW "kind: Gateway\n" META "spec: {gatewayClassName: c, addresses: [{value: x}], listeners: "
        "[{name: a, port: 1, protocol: TCP}]}",
     "RG017 spec.addresses[0].value\n"},
    /* HTTPRoute. */
    {ROUTE("matches: [{path: {value: a}}], " UP), "RG017 spec.rules[0].matches[0].path.value\n"},
    {ROUTE("matches: [{path: {value: /a//b}}], " UP),
     "RG017 spec.rules[0].matches[0].path.value\n"},
    {ROUTE("matches: [{path: {value: /a/../b}}], " UP),
     "RG017 spec.rules[0].matches[0].path.value\n"},
    {ROUTE("matches: [{path: {value: /a%2Fb}}], " UP),
     "RG017 spec.rules[0].matches[0].path.value\n"},
    {ROUTE("matches: [{path: {value: '/a#b'}}], " UP),
     "RG017 spec.rules[0].matches[0].path.value\n"},
    {ROUTE("matches: [{path: {type: Prefix, value: /}}], " UP),
     "RG012 spec.rules[0].matches[0].path.type\n"},
    {ROUTE("matches: [{method: get}], " UP), "RG012 spec.rules[0].matches[0].method\n"},
    {ROUTE("matches: [{headers: [{name: 'a b', value: x}]}], " UP),
     "RG013 spec.rules[0].matches[0].headers[0].name\n"},
    {ROUTE("matches: [{headers: [{name: a, value: x}, {name: a, value: z}]}], " UP),
     "RG018 spec.rules[0].matches[0].headers\n"},
    {ROUTE("timeouts: {request: 1s, backendRequest: 2s}, " UP),
     "RG017 spec.rules[0].timeouts.backendRequest\n"},
    {ROUTE("timeouts: {request: 1 s}, " UP), "RG013 spec.rules[0].timeouts.request\n"},
    {IDLE("HTTPRoute", "1d"), "RG013 metadata.annotations[ringgate.dev/idle-timeout]\n"},
    {IDLE("GRPCRoute", "''"), "RG013 metadata.annotations[ringgate.dev/idle-timeout]\n"},
    {ROUTE("backendRefs: [{name: up}]"), "RG017 spec.rules[0].backendRefs[0].port\n"},
    {ROUTE("filters: [{type: URLRewrite, urlRewrite: {hostname: a}}, {type: URLRewrite, "
           "urlRewrite: {hostname: b}}], " UP),
     "RG017 spec.rules[0]\n"},
    {ROUTE("filters: [{type: RequestRedirect, requestRedirect: {statusCode: 305}}]"),
     "RG017 spec.rules[0].filters[0].requestRedirect.statusCode\n"},
    {ROUTE("filters: [{type: RequestRedirect, requestRedirect: {}}], " UP),
     "RG017 spec.rules[0].backendRefs\n"},
    {ROUTE("filters: [{type: RequestRedirect}]"),
     "RG017 spec.rules[0].filters[0].requestRedirect\n"},
    /* Retries. */
    {ROUTE("retry: {codes: [399]}, " UP), "RG011 spec.rules[0].retry.codes[0]\n"},
    {ROUTE("retry: {codes: [500, 600]}, " UP), "RG011 spec.rules[0].retry.codes[1]\n"},
    {ROUTE("retry: {codes: ['500']}, " UP), "RG010 spec.rules[0].retry.codes[0]\n"},
    {ROUTE("retry: {codes: 500}, " UP), "RG010 spec.rules[0].retry.codes\n"},
    {ROUTE("retry: {attempts: -1}, " UP), "RG011 spec.rules[0].retry.attempts\n"},
    {ROUTE("retry: {attempts: 1001}, " UP), "RG011 spec.rules[0].retry.attempts\n"},
    {ROUTE("retry: {backoff: 61s}, " UP), "RG011 spec.rules[0].retry.backoff\n"},
    {TRAFFIC(""), "RG014 spec.targetRefs\n"},
    {TRAFFIC(TARGET ", retryConstraint: {budget: {percent: 101}}"),
     "RG011 spec.retryConstraint.budget.percent\n"},
    {TRAFFIC(TARGET ", retryConstraint: {budget: {interval: 999ms}}"),
     "RG011 spec.retryConstraint.budget.interval\n"},
    {TRAFFIC(TARGET ", retryConstraint: {minRetryRate: {interval: 1h1s}}"),
     "RG011 spec.retryConstraint.minRetryRate.interval\n"},
    {TRAFFIC(TARGET ", retryConstraint: {minRetryRate: {count: 0}}"),
     "RG011 spec.retryConstraint.minRetryRate.count\n"},
    {TRAFFIC("targetRefs: [{group: '', kind: Service, name: a}, {group: '', kind: Service, name: "
             "a}]"),
     "RG017 spec.targetRefs\n"},
    {ROUTE("name: a}, {name: a"), "RG017 spec.rules\n"},
    {GW "kind: HTTPRoute\n" META "spec: {parentRefs: [{name: g}, {name: g}]}",
     "RG017 spec.parentRefs\n"},
    {GW "kind: HTTPRoute\n" META "spec: {hostnames: [a, '*.b.', c_d]}",
     "RG013 spec.hostnames[1]\nRG013 spec.hostnames[2]\n"},
    /* TCPRoute, grants, TLS policies. */
    {GW "kind: TCPRoute\n" META "spec: {rules: []}", "RG016 spec.rules\n"},
    {GW "kind: TCPRoute\n" META "spec: {rules: [{backendRefs: []}]}",
     "RG016 spec.rules[0].backendRefs\n"},
    {GW "kind: ReferenceGrant\n" META "spec: {from: [{group: '', kind: Service}], to: []}",
     "RG014 spec.from[0].namespace\nRG016 spec.to\n"},
    {GW "kind: BackendTLSPolicy\n" META "spec: {targetRefs: [{group: '', kind: Service, name: "
        "a}], validation: {hostname: a}}",
     "RG017 spec.validation\n"},
    {GW "kind: BackendTLSPolicy\n" META "spec: {targetRefs: [{group: '', kind: Service, name: "
        "a}], validation: {hostname: a, wellKnownCACertificates: System, subjectAltNames: "
        "[{type: URI, hostname: x}, {type: URI, uri: nothing}]}}",
     "RG017 spec.validation.subjectAltNames[0].hostname\n"
     "RG017 spec.validation.subjectAltNames[0].uri\n"
     "RG013 spec.validation.subjectAltNames[1].uri\n"},
    /* Core. */
    {"apiVersion: v1\nkind: Service\n" META "spec: {ports: [{port: 1}, {port: 1}]}",
     "RG017 spec.ports\nRG017 spec.ports\nRG017 spec.ports\n"},
    {"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n" META
     "addressType: IPv4\nendpoints: [{addresses: ['::1', 1.2.3.4]}]",
     "RG017 endpoints\n"},
    {"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n" META
     "addressType: IPv4\nendpoints: [{addresses: [1.2.3.4], conditions: {ready: yes}}]",
     "RG010 endpoints[0].conditions.ready\n"},
    {"apiVersion: v1\nkind: Secret\n" META "data: {a: '%'}", "RG021 data.a\n"},
    {"apiVersion: v1\nkind: Secret\n" META "stringData: {'a/b': x}", "RG013 stringData.a/b\n"},
    {"apiVersion: v1\nkind: Secret\n" META "type: kubernetes.io/tls\nstringData: {tls.crt: x}",
     "RG017 \n"},
    {"apiVersion: v1\nkind: ConfigMap\n" META "data: {a: 1}", "RG010 data.a\n"},
    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {ringgate.dev/files: "
     "'{\"a\": \"b\"}'}}",
     "RG022 metadata.annotations[ringgate.dev/files].a\n"},
    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {ringgate.dev/files: "
     "'nonsense'}}",
     "RG013 metadata.annotations[ringgate.dev/files]\n"},
    {"apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackend\n" META
     "spec: {type: ExternalHostname, port: {number: 443}, externalHostname: {hostname: a}, tls: "
     "{mode: ServerOnly}}",
     "RG020 spec.tls\n"},
    {"apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackend\n" META
     "spec: {type: ExternalHostname, port: {number: 443}, externalHostname: {hostname: "
     "a.svc.cluster.local}}",
     "RG013 spec.externalHostname.hostname\n"},
    /* Rate limits. */
    {LIMIT("rate: {requests: 0, period: 1s}"), "RG011 spec.rules[0].rate.requests\n"},
    {LIMIT("rate: {requests: 1, period: 500ms}"), "RG011 spec.rules[0].rate.period\n"},
    {LIMIT("rate: {requests: 1, period: 1h1s}"), "RG011 spec.rules[0].rate.period\n"},
    {LIMIT("unlimited: false"), "RG017 spec.rules[0]\n"},
    {LIMIT("unlimited: true, rate: {requests: 1, period: 1s}"), "RG017 spec.rules[0]\n"},
    {LIMIT("unlimited: true, key: [{}]"), "RG017 spec.rules[0].key[0]\n"},
    {LIMIT("unlimited: true, key: [{path: {}, header: x}]"), "RG017 spec.rules[0].key[0]\n"},
    {LIMIT("unlimited: true, quota: {}"), "RG020 spec.rules[0].quota\n"},
    {LIMIT("unlimited: true}, {name: a, unlimited: true"), "RG017 spec.rules\n"},
    {STORE("redis: {endpoints: []}"), "RG016 spec.redis.endpoints\n"},
    {STORE("redis: {endpoints: ['a:1', 'b:2']}"), "RG016 spec.redis.endpoints\n"},
    {STORE("redis: {endpoints: ['a']}"), "RG013 spec.redis.endpoints[0]\n"},
    {STORE("redis: {endpoints: ['a:0']}"), "RG013 spec.redis.endpoints[0]\n"},
    {STORE("redis: {mode: Cluster, endpoints: ['a:1']}"), "RG012 spec.redis.mode\n"},
    {STORE("redis: {endpoints: ['a:1'], timeouts: {deadline: 2s}}"),
     "RG011 spec.redis.timeouts.deadline\n"},
    {STORE("redis: {endpoints: ['a:1'], auth: {}}"), "RG017 spec.redis.auth\n"},
};

static void test_bad(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(bad_cases); i++)
        schema_fixture_expect(bad_cases[i].text, bad_cases[i].findings, false);
}

static const struct {
    const char *text, *findings;
} good_cases[] = {
    {LISTENER("name: a, port: 65535, protocol: HTTP, hostname: '*.example.com'"), ""},
    {LISTENER("name: a, port: 1, protocol: example.org/own"), ""},
    {LISTENER("name: a, port: 1, protocol: TCP, hostnam: x"), "RG015 spec.listeners[0].hostnam\n"},
    {LISTENER("name: a, port: 1, protocol: TCP, hostname: null"), ""},
    {ROUTE("matches: [{path: {type: RegularExpression, value: 'a//b'}}], " UP), ""},
    {ROUTE("timeouts: {request: 0s, backendRequest: 2s}, " UP), ""},
    {IDLE("HTTPRoute", "0s"), ""},
    {IDLE("GRPCRoute", "1h30m"), ""},
    {CALL("service: .a.B, method: M"), "RG151 spec.rules[0].matches[0].method.service\n"},
    {CALL("type: RegularExpression, service: '.a.B'"), ""},
    {CALL("service: A_1.b_, method: _M1"), ""},
    {ROUTE("backendRefs: [{name: x, group: g.io, kind: Other, weight: 1000000}]"), ""},
    {GW "kind: HTTPRoute\n" META
        "spec: {parentRefs: [{name: g, sectionName: a}, {name: g, sectionName: b}], "
        "useDefaultGateways: All}",
     "RG019 spec.useDefaultGateways\n"},
    {LIMIT("rate: {requests: 1000000000, period: 1h}, precision: High"),
     "RG023 spec.rules[0].precision\n"},
    {STORE("redis: {endpoints: ['unix:/run/redis.sock']}"), ""},
    {STORE("redis: {endpoints: ['[::1]:6379']}, keyPrefix: a.b-c_1"), ""},
    {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {team: shop}}", ""},
    {"apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackend\n" META
     "spec: {type: ExternalHostname, port: 443, externalHostname: {hostname: a.example.com}}",
     ""},
};

static void test_good(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(good_cases); i++)
        schema_fixture_expect(good_cases[i].text, good_cases[i].findings, true);
}

static void test_gateway(void **state)
{
    struct schema_fixture d;
    (void)state;
    schema_fixture_decode(
        GW "kind: Gateway\n"
           "metadata: {name: edge, labels: {a: b}, creationTimestamp: 2026-11-23T05:48:46Z}\n"
           "spec:\n"
           "  gatewayClassName: ringgate\n"
           "  addresses: [{value: 127.0.0.1}]\n"
           "  tls:\n"
           "    backend: {clientCertificateRef: {name: client}}\n"
           "    frontend:\n"
           "      default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, "
           "name: ca}], mode: AllowInsecureFallback}}\n"
           "      perPort: [{port: 8443, tls: {}}]\n"
           "  listeners:\n"
           "  - name: https\n"
           "    port: 443\n"
           "    protocol: HTTPS\n"
           "    tls: {certificateRefs: [{name: cert, namespace: certs}], options: {a/b: c}}\n"
           "    allowedRoutes:\n"
           "      kinds: [{kind: HTTPRoute}]\n"
           "      namespaces:\n"
           "        from: Selector\n"
           "        selector:\n"
           "          matchLabels: {team: shop}\n"
           "          matchExpressions: [{key: env, operator: Exists}]\n",
        &d);
    assert_int_equal(d.diags.count, 0);
    const struct conf_object *obj = d.output.object;
    const struct conf_gateway *gateway = obj->gateway;
    const struct conf_listener *listener = &gateway->listeners[0];
    assert_true(span_equal_str(obj->ns, "default"));
    assert_int_equal(obj->created_s, 1795412926);
    assert_int_equal(obj->labels_count, 1);
    assert_int_equal(gateway->listeners_count, 1);
    assert_int_equal(listener->protocol, CONF_PROTOCOL_HTTPS);
    assert_int_equal(listener->pos.line, 13);
    assert_int_equal(listener->pos.column, 5);
    assert_true(listener->tls.present && !listener->tls.passthrough);
    assert_true(span_equal_str(listener->tls.certificate_refs[0].ns, "certs"));
    assert_true(listener->tls.certificate_refs[0].has_ns);
    assert_true(strcmp(listener->tls.certificate_refs[0].kind, "Secret") == 0);
    assert_int_equal(listener->tls.options_count, 1);
    assert_int_equal(listener->from, CONF_FROM_SELECTOR);
    assert_int_equal(listener->selector_count, 2);
    assert_int_equal(listener->selector[0].op, CONF_OP_IN);
    assert_true(span_equal_str(listener->selector[0].values[0], "shop"));
    assert_int_equal(listener->selector[1].op, CONF_OP_EXISTS);
    assert_true(span_equal_str(listener->kinds[0].group, CONF_GROUP_GATEWAY));
    assert_true(span_equal_str(gateway->addresses[0].type, "IPAddress"));
    assert_true(gateway->has_backend_client_cert);
    assert_true(span_equal_str(gateway->backend_client_cert.ns, "default"));
    assert_false(gateway->backend_client_cert.has_ns);
    assert_true(gateway->frontend_default.present && gateway->frontend_default.insecure_fallback);
    assert_int_equal(gateway->frontend_ports_count, 1);
    assert_false(gateway->frontend_ports[0].validation.present);
    schema_fixture_fini(&d);
}

static void test_retry(void **state)
{
    struct schema_fixture d;
    (void)state;
    schema_fixture_decode(
        ROUTE("retry: {codes: [400, 463, 599]}}, {retry: {attempts: 0, backoff: 0s}}, {" UP), &d);
    assert_int_equal(d.diags.count, 0);
    const struct conf_http_rule *rules = d.output.object->http_route->rules;
    assert_true(rules[0].rare->has_retry && rules[1].rare->has_retry);
    assert_null(rules[2].rare);
    assert_int_equal(rules[0].rare->retry.attempts, 1);
    assert_int_equal(rules[0].rare->retry.backoff_ns, 50 * NS_PER_MS);
    const uint64_t *codes = rules[0].rare->retry.codes;
    assert_true(codes[0] == (1 | UINT64_C(1) << 63) && codes[1] == 0);
    assert_true(codes[2] == 0 && codes[3] == 1u << 7);
    assert_int_equal(rules[1].rare->retry.attempts, 0);
    assert_int_equal(rules[1].rare->retry.backoff_ns, 0);
    schema_fixture_fini(&d);
}

static void test_http_route(void **state)
{
    struct schema_fixture d;
    (void)state;
    schema_fixture_decode(
        GW "kind: HTTPRoute\n" META "spec:\n"
           "  parentRefs: [{name: edge, namespace: infra, sectionName: https, port: 443}]\n"
           "  hostnames: [a.example.com, '*.example.org']\n"
           "  rules:\n"
           "  - matches:\n"
           "    - path: {type: Exact, value: /login}\n"
           "      method: POST\n"
           "      headers: [{name: X-A, type: RegularExpression, value: 'a+'}]\n"
           "      queryParams: [{name: q, value: '1'}]\n"
           "    - {}\n"
           "    filters:\n"
           "    - type: RequestHeaderModifier\n"
           "      requestHeaderModifier: {set: [{name: a, value: b}], remove: [c, d]}\n"
           "    - {type: ExtensionRef, extensionRef: {group: g.io, kind: K, name: n}}\n"
           "    backendRefs:\n"
           "    - {name: up, port: 8080, weight: 0, filters: [{type: ResponseHeaderModifier, "
           "responseHeaderModifier: {add: [{name: e, value: f}]}}]}\n"
           "    timeouts: {backendRequest: 1s}\n"
           "    sessionPersistence: {}\n"
           "  - filters: [{type: RequestRedirect, requestRedirect: {scheme: https, path: {type: "
           "ReplacePrefixMatch, replacePrefixMatch: /new}}}]\n",
        &d);
    assert_int_equal(d.diags.count, 0);
    const struct conf_http_route *route = d.output.object->http_route;
    const struct conf_http_rule *rule = &route->rules[0];
    assert_int_equal(route->parents[0].port, 443);
    assert_true(strcmp(route->parents[0].kind, "Gateway") == 0);
    assert_int_equal(route->hostnames_count, 2);
    assert_int_equal(route->hostnames[1].pos.column, 30);
    assert_int_equal(route->rules_count, 2);
    assert_int_equal(rule->matches_count, 2);
    assert_int_equal(rule->matches[0].path_type, CONF_MATCH_EXACT);
    assert_true(span_equal_str(rule->matches[0].more->method, "POST"));
    assert_int_equal(rule->matches[0].more->headers[0].type, CONF_MATCH_REGEX);
    assert_int_equal(rule->matches[0].more->queries[0].type, CONF_MATCH_EXACT);
    assert_int_equal(rule->matches[1].path_type, CONF_MATCH_PREFIX);
    assert_true(span_equal_str(rule->matches[1].path, "/"));
    assert_int_equal(rule->filters_count, 2);
    assert_int_equal(rule->filters[0].type, CONF_FILTER_REQUEST_HEADERS);
    assert_int_equal(rule->filters[0].headers.remove_count, 2);
    assert_int_equal(rule->filters[1].type, CONF_FILTER_UNSUPPORTED);
    assert_true(span_equal_str(rule->filters[1].type_text, "ExtensionRef"));
    assert_int_equal(rule->backends[0].weight, 0);
    assert_int_equal(rule->backends[0].ref.port, 8080);
    assert_int_equal(rule->backends[0].filters[0].type, CONF_FILTER_RESPONSE_HEADERS);
    assert_true(rule->rare->has_backend_timeout && !rule->rare->has_request_timeout);
    assert_int_equal(rule->rare->backend_timeout_ns, NS_PER_S);
    assert_string_equal(rule->rare->unsupported, "sessionPersistence");
    assert_int_equal(rule->rare->unsupported_pos.line, 21);
    const struct conf_filter *redirect = &route->rules[1].filters[0];
    assert_int_equal(redirect->type, CONF_FILTER_REDIRECT);
    assert_int_equal(redirect->url.status, 302);
    assert_int_equal(redirect->url.path_mod, CONF_PATH_REPLACE_PREFIX);

    assert_int_equal(rule->matches[0].path_pos.line, 9);

    /* Every position moves with the object, and only lines do. */
    d.output.object->pos.line += 1000;
    struct conf_pos pos = conf_place_pos(d.output.object, rule->rare->unsupported_pos);
    assert_int_equal(pos.line, 1021);
    pos = conf_place_pos(d.output.object, route->hostnames[1].pos);
    assert_int_equal(pos.line, 1006);
    assert_int_equal(pos.column, 30);
    schema_fixture_fini(&d);
}

static void test_grpc_route(void **state)
{
    struct schema_fixture d;
    (void)state;
    schema_fixture_decode(
        GW "kind: GRPCRoute\n" META "spec:\n"
           "  parentRefs: [{name: edge}]\n"
           "  hostnames: [a.example.com]\n"
           "  rules:\n"
           "  - name: first\n"
           "    matches:\n"
           "    - method: {service: pkg.v1_2.Echo, method: Say_2}\n"
           "      headers: [{name: X-A, type: RegularExpression, value: 'a+'}]\n"
           "    - method:\n"
           "        type: RegularExpression\n"
           "        service: '[.](a|b)'\n"
           "    - headers: [{name: b, value: c}]\n"
           "    filters:\n"
           "    - {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [c]}}\n"
           "    - {type: URLRewrite, urlRewrite: {hostname: b.example.com}}\n"
           "    backendRefs: [{name: up, port: 80}]\n"
           "    sessionPersistence: {}\n",
        &d);
    assert_int_equal(d.diags.count, 0);
    const struct conf_http_route *route = d.output.object->http_route;
    const struct conf_http_rule *rule = &route->rules[0];
    assert_int_equal(route->hostnames_count, 1);
    assert_int_equal(rule->matches_count, 3);
    const struct conf_rpc_match *rpc = rule->matches[0].more->rpc;
    assert_int_equal(rpc->type, CONF_MATCH_EXACT);
    assert_true(span_equal_str(rpc->service, "pkg.v1_2.Echo"));
    assert_true(span_equal_str(rpc->method, "Say_2"));
    assert_int_equal(rpc->method_pos.line, 10);
    assert_int_equal(rule->matches[0].more->headers[0].type, CONF_MATCH_REGEX);
    rpc = rule->matches[1].more->rpc;
    assert_int_equal(rpc->type, CONF_MATCH_REGEX);
    assert_true(span_equal_str(rpc->service, "[.](a|b)"));
    assert_int_equal(rpc->method.len, 0);
    assert_null(rule->matches[2].more->rpc);
    assert_int_equal(rule->matches[2].path_type, CONF_MATCH_PREFIX);
    assert_int_equal(rule->filters[0].type, CONF_FILTER_RESPONSE_HEADERS);
    assert_int_equal(rule->filters[1].type, CONF_FILTER_UNSUPPORTED);
    assert_string_equal(rule->rare->unsupported, "sessionPersistence");
    assert_int_equal(rpc->service_pos.line, 14);
    schema_fixture_fini(&d);

    schema_fixture_decode(GW "kind: GRPCRoute\n" META "spec: {}\n", &d);
    assert_int_equal(d.diags.count, 0);
    assert_int_equal(d.output.object->http_route->rules_count, 0);
    schema_fixture_fini(&d);

    schema_fixture_decode(CALL("servce: a.B, method: M"), &d);
    assert_int_equal(d.diags.count, 1);
    assert_string_equal(d.diags.items[0]->field, "spec.rules[0].matches[0].method.servce");
    assert_string_equal(d.diags.items[0]->hint, "did you mean \"service\"?");
    schema_fixture_fini(&d);
}

static void test_default_rule(void **state)
{
    struct schema_fixture d;
    (void)state;
    schema_fixture_decode(GW "kind: HTTPRoute\n" META "spec: {}\n", &d);
    assert_int_equal(d.output.object->http_route->rules_count, 1);
    assert_int_equal(d.output.object->http_route->rules[0].matches_count, 0);
    schema_fixture_fini(&d);
}

static void test_core(void **state)
{
    struct schema_fixture d;
    (void)state;
    schema_fixture_decode(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: up-1, labels: {kubernetes.io/service-name: up}}\n"
        "addressType: IPv4\nports: [{name: p, port: 80, protocol: TCP}]\n"
        "endpoints: [{addresses: [127.0.0.1]}, {addresses: [127.0.0.2], conditions: {ready: "
        "false, terminating: true}}, {addresses: [127.0.0.3], conditions: {}}]\n",
        &d);
    assert_int_equal(d.diags.count, 0);
    const struct conf_endpoint_slice *slice = d.output.object->endpoint_slice;
    assert_true(span_equal_str(slice->service_name, "up"));
    assert_true(slice->endpoints[0].ready && slice->endpoints[0].serving);
    assert_false(slice->endpoints[1].ready || slice->endpoints[1].serving);
    assert_true(slice->endpoints[1].terminating && slice->endpoints[2].ready);
    schema_fixture_fini(&d);

    schema_fixture_decode("apiVersion: v1\nkind: Secret\n" META
                          "data: {a: YWJj, b: AAEC, c: }\nstringData: {a: text}\n",
                          &d);
    const struct conf_secret *secret = d.output.object->secret;
    assert_int_equal(secret->data_count, 3);
    assert_true(span_equal_str(secret->data[0].value, "text"));
    assert_int_equal(secret->data[1].value.len, 3);
    assert_true(span_equal_str(secret->type, "Opaque"));
    schema_fixture_fini(&d);

    schema_fixture_decode(
        "{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"up\"},\n"
        "\t\"spec\": {\"ports\": [{\"port\": 80, \"appProtocol\": \"kubernetes.io\\/h2c\"}]}}",
        &d);
    assert_int_equal(d.diags.count, 0);
    assert_true(
        span_equal_str(d.output.object->service->ports[0].app_protocol, "kubernetes.io/h2c"));
    assert_true(span_equal_str(d.output.object->service->ports[0].protocol, "TCP"));
    schema_fixture_fini(&d);
}

static void test_rate_limits(void **state)
{
    struct schema_fixture d;
    (void)state;
    schema_fixture_decode(
        LIMIT("rate: {requests: 100, period: 10s}, key: [{clientIP: {v6Prefix: 56}}, {header: "
              "{name: x-key}, onMissing: Deny}, {spiffeID: {}}], onStoreFailure: Closed, mode: "
              "Shadow, headers: {standard: Off, legacy: Off}}, {name: b, scope: Instance, "
              "unlimited: true"),
        &d);
    assert_int_equal(d.diags.count, 0);
    const struct conf_limit_rule *rule = d.output.object->rate_limit_policy->rules;
    assert_int_equal(rule->burst, 100);
    assert_int_equal(rule->period_ns, 10 * NS_PER_S);
    assert_int_equal(rule->keys_count, 3);
    assert_int_equal(rule->keys[0].v4_prefix, 32);
    assert_int_equal(rule->keys[0].v6_prefix, 56);
    assert_int_equal(rule->keys[1].type, CONF_LIMIT_KEY_HEADER);
    assert_int_equal(rule->keys[1].on_missing, CONF_LIMIT_MISSING_DENY);
    assert_int_equal(rule->keys[2].type, CONF_LIMIT_KEY_SPIFFE_ID);
    assert_true(rule->is_global && rule->shadow && !rule->headers);
    assert_int_equal(rule->on_store_failure, CONF_LIMIT_FAILURE_CLOSED);
    assert_true(!rule[1].is_global && rule[1].unlimited && rule[1].headers);
    schema_fixture_fini(&d);

    schema_fixture_decode(
        STORE("redis: {endpoints: ['redis.internal:6379'], auth: {secretRef: {name: a}}, tls: "
              "{caRef: {name: ca}}, database: 2}"),
        &d);
    assert_int_equal(d.diags.count, 0);
    const struct conf_rate_limit_store *store = d.output.object->rate_limit_store;
    assert_true(store->has_auth && store->has_tls && store->has_ca && !store->has_client_cert);
    assert_string_equal(store->ca.kind, "ConfigMap");
    assert_int_equal(store->deadline_ns, 5 * NS_PER_MS);
    assert_true(span_equal_str(store->key_prefix, "rgrl"));
    schema_fixture_fini(&d);
}

static void test_unknown_kind(void **state)
{
    struct schema_fixture d;
    (void)state;
    schema_fixture_decode("apiVersion: apps/v1\nkind: Deployment\n" META, &d);
    assert_int_equal(d.result, -ENOENT);
    assert_int_equal(d.diags.count, 0);
    schema_fixture_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad),          cmocka_unit_test(test_good),
        cmocka_unit_test(test_gateway),      cmocka_unit_test(test_http_route),
        cmocka_unit_test(test_grpc_route),   cmocka_unit_test(test_retry),
        cmocka_unit_test(test_default_rule), cmocka_unit_test(test_core),
        cmocka_unit_test(test_rate_limits),  cmocka_unit_test(test_unknown_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
