/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/diag_place.h"
#include "t/unit/conf/conf_fixture.h"

/* Each t/golden/NAME.yaml is translated; findings, model and statuses must be as in NAME.expected.
 * With RINGGATE_GOLDEN=write in the environment the expectations are written instead: read them. */

static const char *const golden_names[] = {
    "attach", "basic",    "eight_mistakes", "filters", "gateways",     "grpc",
    "limits", "patterns", "refs",           "rules",   "tls_policies",
};

struct translated {
    struct conf_fixture fixture;
    struct model *model;
    struct statuses *statuses;
};

/* Stands for the compiler of regular expressions, which is not of this layer. */
static const char *pattern_problem(void *user UNUSED, struct span source)
{
    bool is_open = span_find_char(source, '(') >= 0 && span_find_char(source, ')') < 0;
    return is_open ? "the group is not closed" : NULL;
}

static void translated_init(struct translated *t, const char *name, struct span text,
                            bool from_files)
{
    static const struct validate_patterns patterns = {pattern_problem, NULL};
    struct translate_options options = {
        .from_files = from_files, .generation = 7, .patterns = &patterns};
    conf_fixture_init(&t->fixture, name, text);
    translate(t->fixture.objects, &options, &t->fixture.diags, &t->model, &t->statuses);
    assert_int_equal(t->model->generation, 7);
}

static void translated_fini(struct translated *t)
{
    statuses_free(t->statuses);
    model_free(t->model);
    conf_fixture_fini(&t->fixture);
}

/* Fails with the findings when there are errors. */
static void assert_no_errors(struct translated *t)
{
    struct buf text;
    buf_init(&text, 1u << 20);
    diags_print(&t->fixture.diags, &text, false);
    if (t->fixture.diags.errors > 0)
        fail_msg("%s", buf_str(&text));
    buf_fini(&text);
}

static void describe(struct translated *t, struct buf *out)
{
    diag_place_all(&t->fixture.diags);
    diags_print(&t->fixture.diags, out, false);
    buf_add_str(out, "\n# model\n");
    model_dump(t->model, out);
    for (unsigned i = 0; i < t->statuses->count; i++) {
        buf_add_str(out, "\n---\n");
        status_format(&t->statuses->items[i], "2026-01-01T00:00:00Z", SPAN_NONE, out);
    }
}

static void write_golden(const char *path, const struct buf *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text->data, 1, text->len, file), text->len);
    assert_int_equal(fclose(file), 0);
}

static void test_golden(void **state)
{
    (void)state;
    const char *mode = getenv("RINGGATE_GOLDEN");
    for (size_t i = 0; i < ARRAY_COUNT(golden_names); i++) {
        char relative[128], path[1024], name[64];
        struct translated t;
        struct buf text;
        size_t len;
        snprintf(name, sizeof(name), "%s.yaml", golden_names[i]);
        snprintf(relative, sizeof(relative), "t/golden/%s", name);
        conf_fixture_path(path, sizeof(path), relative);
        char *yaml = conf_fixture_read(path, &len);
        translated_init(&t, name, span_make(yaml, len), true);
        buf_init(&text, 4u << 20);
        describe(&t, &text);
        assert_true(buf_ok(&text));
        snprintf(relative, sizeof(relative), "t/golden/%s.expected", golden_names[i]);
        conf_fixture_path(path, sizeof(path), relative);
        if (mode && strcmp(mode, "write") == 0)
            write_golden(path, &text);
        char *expected = conf_fixture_read(path, &len);
        assert_string_equal(buf_str(&text), expected);
        free(expected);
        buf_fini(&text);
        translated_fini(&t);
        free(yaml);
    }
}

static void test_nothing(void **state)
{
    (void)state;
    struct translated t;
    struct buf text;
    translated_init(&t, "empty.yaml", SPAN_NONE, true);
    buf_init(&text, 4096);
    model_dump(t.model, &text);
    assert_string_equal(buf_str(&text), "");
    assert_int_equal(t.statuses->count, 0);
    assert_int_equal(t.fixture.diags.count, 0);
    buf_fini(&text);
    translated_fini(&t);
}

/* A cluster has other controllers, no implicit class, and no loopback endpoints. */
static void test_cluster_options(void **state)
{
    (void)state;
    static const char yaml[] = "apiVersion: gateway.networking.k8s.io/v1\n"
                               "kind: Gateway\n"
                               "metadata: {name: implicit, namespace: a}\n"
                               "spec: {gatewayClassName: ringgate, listeners: [{name: l, port: 1, "
                               "protocol: HTTP}]}\n"
                               "---\n"
                               "apiVersion: gateway.networking.k8s.io/v1\n"
                               "kind: GatewayClass\n"
                               "metadata: {name: mine}\n"
                               "spec: {controllerName: ringgate.dev/gateway-controller}\n"
                               "---\n"
                               "apiVersion: gateway.networking.k8s.io/v1\n"
                               "kind: Gateway\n"
                               "metadata: {name: g, namespace: a}\n"
                               "spec: {gatewayClassName: mine, listeners: [{name: l, port: 2, "
                               "protocol: HTTP}]}\n"
                               "---\n"
                               "apiVersion: v1\n"
                               "kind: Service\n"
                               "metadata: {name: s, namespace: a}\n"
                               "spec: {ports: [{port: 80}]}\n"
                               "---\n"
                               "apiVersion: discovery.k8s.io/v1\n"
                               "kind: EndpointSlice\n"
                               "metadata: {name: s-1, namespace: a, labels: "
                               "{kubernetes.io/service-name: s}}\n"
                               "addressType: IPv4\n"
                               "ports: [{port: 8080}]\n"
                               "endpoints: [{addresses: [127.0.0.1]}, {addresses: [169.254.1.1]}, "
                               "{addresses: [10.0.0.1]}]\n"
                               "---\n"
                               "apiVersion: gateway.networking.k8s.io/v1\n"
                               "kind: HTTPRoute\n"
                               "metadata: {name: r, namespace: a}\n"
                               "spec: {parentRefs: [{name: g}, {name: implicit}], rules: "
                               "[{backendRefs: [{name: s, port: 80}]}]}\n";
    for (unsigned from_files = 0; from_files < 2; from_files++) {
        struct translated t;
        translated_init(&t, "x.yaml", SPAN_LIT(yaml), from_files == 1);
        assert_int_equal(t.model->listeners_count, from_files ? 2 : 1);
        assert_int_equal(t.model->clusters_count, 1);
        assert_int_equal(t.model->clusters[0].endpoints_count, from_files ? 3 : 1);
        assert_int_equal(t.fixture.diags.warnings, from_files ? 0 : 2);
        const struct status *status =
            statuses_find(t.statuses, CONF_KIND_HTTP_ROUTE, SPAN_LIT("a"), SPAN_LIT("r"));
        assert_int_equal(status->parents_count, from_files ? 2 : 1);
        translated_fini(&t);
    }
}

/* Two Gateways with different client certificates never share connections to a TLS backend. */
static void test_identity(void **state)
{
    (void)state;
    struct buf yaml;
    buf_init(&yaml, 65536);
    static const char *const certs[] = {"one", "two", "one"};
    for (unsigned i = 0; i < 3; i++) {
        buf_printf(&yaml,
                   "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
                   "metadata: {name: g%u, namespace: a}\n"
                   "spec: {gatewayClassName: ringgate, tls: {backend: {clientCertificateRef: "
                   "{name: %s}}}, listeners: [{name: l, port: %u, protocol: HTTP}]}\n---\n",
                   i, certs[i], 80 + i);
    }
    for (unsigned i = 0; i < 2; i++)
        buf_printf(&yaml,
                   "apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: a}\nstringData:\n"
                   "  tls.crt: |\n    -----BEGIN CERTIFICATE-----\n    %u\n"
                   "    -----END CERTIFICATE-----\n"
                   "  tls.key: |\n    -----BEGIN PRIVATE KEY-----\n    %u\n"
                   "    -----END PRIVATE KEY-----\n---\n",
                   certs[i], i, i);
    buf_add_str(&yaml, "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\n"
                       "spec: {ports: [{name: q, port: 80}, {name: p, port: 81}]}\n---\n"
                       "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n"
                       "metadata: {name: p, namespace: a}\n"
                       "spec: {targetRefs: [{group: '', kind: Service, name: s, sectionName: p}], "
                       "validation: {hostname: s.example, wellKnownCACertificates: System}}\n---\n"
                       "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
                       "metadata: {name: r, namespace: a}\n"
                       "spec: {parentRefs: [{name: g0}, {name: g1}, {name: g2}], rules: "
                       "[{backendRefs: [{name: s, port: 80}, {name: s, port: 81}]}]}\n");
    struct translated t;
    translated_init(&t, "x.yaml", buf_span(&yaml), true);
    assert_no_errors(&t);
    assert_int_equal(t.model->http_routes_count, 3);
    const struct model_backend *backends[3];
    for (unsigned i = 0; i < 3; i++)
        backends[i] = t.model->http_routes[i].rules[0].backends;
    /* Plain: one for all. TLS: one for each certificate. */
    assert_int_equal(t.model->clusters_count, 3);
    assert_int_equal(backends[0][0].cluster, backends[1][0].cluster);
    assert_int_not_equal(backends[0][1].cluster, backends[1][1].cluster);
    assert_int_equal(backends[0][1].cluster, backends[2][1].cluster);
    for (unsigned i = 0; i < 3; i++) {
        const struct model_cluster *cluster = &t.model->clusters[backends[i][1].cluster];
        char id[64];
        snprintf(id, sizeof(id), "Secret/a/%s", certs[i]);
        assert_true(cluster->has_tls && !cluster->tls.invalid && cluster->tls.has_client_cert);
        assert_true(span_equal_str(cluster->tls.client_cert.id, id));
        assert_false(t.model->clusters[backends[i][0].cluster].has_tls);
    }
    translated_fini(&t);
    buf_fini(&yaml);
}

/* Backends of a policy that is left out are closed, and no others. */
static void test_lost_policy(void **state)
{
    static const char yaml[] =
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
        "metadata: {name: g, namespace: a}\nspec: {gatewayClassName: ringgate, listeners: "
        "[{name: l, port: 80, protocol: HTTP}]}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\n"
        "spec: {ports: [{name: q, port: 80}]}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: t, namespace: a}\n"
        "spec: {ports: [{name: q, port: 80}]}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: good, namespace: a}\n"
        "spec: {ports: [{name: q, port: 80}]}\n---\n"
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n"
        "metadata: {name: p, namespace: a}\n"
        "spec: {targetRefs: [{group: '', kind: Service, name: good}], "
        "validation: {hostname: s.example, wellKnownCACertificates: System}}\n---\n"
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
        "metadata: {name: r, namespace: a}\nspec: {parentRefs: [{name: g}], rules: [{backendRefs: "
        "[{name: s, port: 80}, {name: t, port: 80}, {name: good, port: 80}]}]}\n";
    struct conf_ref target = {.group = "", .kind = "Service", .name = SPAN_LIT("s")};
    const struct {
        struct span ns;
        unsigned targets;
        const char *section, *tls; /* of the three: '-' none, '!' closed, '+' good */
    } cases[] = {
        {SPAN_LIT("a"), 1, NULL, "!-+"}, {SPAN_LIT("a"), 1, "q", "!-+"},
        {SPAN_LIT("a"), 1, "z", "--+"},  {SPAN_LIT("a"), 0, NULL, "!!+"},
        {SPAN_LIT("b"), 0, NULL, "--+"}, {SPAN_LIT(""), 0, NULL, "!!+"},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conf_backend_tls_policy policy = {.targets = &target,
                                                 .targets_count = cases[i].targets};
        const struct conf_object object = {
            .kind = CONF_KIND_BACKEND_TLS_POLICY, .ns = cases[i].ns, .backend_tls_policy = &policy};
        const struct conf_object *const lost[] = {&object};
        struct translate_options options = {.generation = 1, .lost = lost, .lost_count = 1};
        struct translated t;
        options.from_files = true;
        target.section_name = cases[i].section;
        conf_fixture_init(&t.fixture, "x.yaml", span_str(yaml));
        translate(t.fixture.objects, &options, NULL, &t.model, &t.statuses);
        const struct model_rule *rule = &t.model->http_routes[0].rules[0];
        for (unsigned j = 0; j < 3; j++) {
            const struct model_cluster *cluster = &t.model->clusters[rule->backends[j].cluster];
            char is = !cluster->has_tls ? '-' : cluster->tls.invalid ? '!' : '+';
            if (is != cases[i].tls[j])
                fail_msg("case %u, backend %u: %c", i, j, is);
        }
        translated_fini(&t);
    }
}

/* A policy is not for TCPRoutes, and that is told. */
static void test_tcp_and_policy(void **state)
{
    static const char yaml[] =
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
        "metadata: {name: g, namespace: a}\nspec: {gatewayClassName: ringgate, listeners: "
        "[{name: l, port: 80, protocol: TCP}]}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\n"
        "spec: {ports: [{name: q, port: 80}, {name: p, port: 81}]}\n---\n"
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n"
        "metadata: {name: p, namespace: a}\n"
        "spec: {targetRefs: [{group: '', kind: Service, name: s, sectionName: p}], "
        "validation: {hostname: s.example, wellKnownCACertificates: System}}\n---\n"
        "apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\n"
        "metadata: {name: r, namespace: a}\nspec: {parentRefs: [{name: g}], rules: [{backendRefs: "
        "[{name: s, port: 80}, {name: s, port: 81}]}]}\n";
    struct translated t;
    unsigned told = 0;
    (void)state;
    translated_init(&t, "x.yaml", span_str(yaml), true);
    assert_no_errors(&t);
    for (unsigned i = 0; i < t.fixture.diags.count; i++) {
        const struct diag *diag = t.fixture.diags.items[i];
        if (diag->code != DIAG_POLICY_NOT_FOR_TCP)
            continue;
        told++;
        assert_string_equal(diag->field, "spec.rules[0].backendRefs[1].name");
    }
    assert_int_equal(told, 1);
    translated_fini(&t);
}

/* Ids and clusters do not change from one translation to the next, or pools would be lost. */
static void test_stable(void **state)
{
    (void)state;
    char path[1024];
    size_t len;
    struct translated a, b;
    conf_fixture_path(path, sizeof(path), "t/golden/tls_policies.yaml");
    char *yaml = conf_fixture_read(path, &len);
    translated_init(&a, "x.yaml", span_make(yaml, len), true);
    translated_init(&b, "x.yaml", span_make(yaml, len), true);
    assert_int_equal(a.model->clusters_count, b.model->clusters_count);
    for (unsigned i = 0; i < a.model->clusters_count; i++)
        assert_true(span_equal(a.model->clusters[i].id, b.model->clusters[i].id));
    translated_fini(&a);
    translated_fini(&b);
    free(yaml);
}

/* Memory grows with the rules, and by less than 1.2 KiB for a route of 5 rules. */
static void test_many(void **state)
{
    (void)state;
    enum { ROUTES = 1000 };
    struct buf yaml;
    struct translated t;
    buf_init(&yaml, 4u << 20);
    buf_add_str(&yaml, "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
                       "metadata: {name: g, namespace: a}\nspec: {gatewayClassName: ringgate, "
                       "listeners: [{name: l, port: 80, protocol: HTTP}]}\n---\n"
                       "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\n"
                       "spec: {ports: [{port: 80}]}\n");
    for (unsigned i = 0; i < ROUTES; i++) {
        buf_printf(&yaml,
                   "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
                   "metadata: {name: r%u, namespace: a}\nspec:\n  parentRefs: [{name: g}]\n"
                   "  hostnames: [h%u.example]\n  rules:\n",
                   i, i);
        for (unsigned j = 0; j < 5; j++)
            buf_printf(&yaml,
                       "  - {matches: [{path: {value: /p%u}}], backendRefs: [{name: s, "
                       "port: 80}]}\n",
                       j);
    }
    assert_true(buf_ok(&yaml));
    translated_init(&t, "x.yaml", buf_span(&yaml), true);
    assert_int_equal(t.model->http_routes_count, ROUTES);
    assert_int_equal(t.model->clusters_count, 1);
    assert_int_equal(t.model->listeners[0].http_count, ROUTES);
    assert_in_range(t.model->arena.used, 1, ROUTES * 1200);
    translated_fini(&t);
    buf_fini(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),      cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_identity),    cmocka_unit_test(test_cluster_options),
        cmocka_unit_test(test_lost_policy), cmocka_unit_test(test_tcp_and_policy),
        cmocka_unit_test(test_stable),      cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
