/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/provider_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

/* A provider of one file. */
struct world {
    char path[64];
    struct provider_file *provider;
    struct objects *set;
    struct diags diags;
};

static struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof(*world));
    const char *paths[] = {world->path};
    struct err err;
    (void)snprintf(world->path, sizeof(world->path), "/tmp/ringgate-test-XXXXXX");
    int fd = mkstemp(world->path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(provider_file_new(&world->provider, paths, 1, &err), 0);
    return world;
}

static void world_free(struct world *world)
{
    diags_fini(&world->diags);
    objects_unref(world->set);
    provider_file_free(world->provider);
    (void)unlink(world->path);
    free(world);
}

static void put_and_load(struct world *world, const char *text)
{
    FILE *file = fopen(world->path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    diags_fini(&world->diags);
    objects_unref(world->set);
    (void)provider_file_load(world->provider, &world->diags, &world->set);
}

#define TARGETS "targetRefs: [{group: '', kind: Service, name: s}]"
#define TLS(name, ns, rest)                                                                        \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: " name     \
    ", namespace: " ns "}\nspec:\n  " TARGETS "\n" rest
#define TLS_GOOD "  validation: {hostname: a.b, wellKnownCACertificates: System}\n"
#define LIMIT(spec)                                                                                \
    "apiVersion: ringgate.dev/v1alpha1\nkind: RateLimitPolicy\nmetadata: {name: l}\nspec: {" spec  \
    "}\n"

/* "T ns/name 1": a BackendTLSPolicy with one target is lost. */
static void expect_lost(const struct world *world, const char *wanted)
{
    struct buf out;
    unsigned count;
    const struct conf_object *const *lost = provider_file_lost(world->provider, &count);
    buf_init(&out, 4096);
    for (unsigned i = 0; i < count; i++) {
        bool is_tls = lost[i]->kind == CONF_KIND_BACKEND_TLS_POLICY;
        buf_printf(&out, "%s%c %.*s/%.*s %u", i > 0 ? ", " : "", is_tls ? 'T' : 'L',
                   SPAN_ARG(lost[i]->ns), SPAN_ARG(lost[i]->name),
                   is_tls ? lost[i]->backend_tls_policy->targets_count
                          : lost[i]->rate_limit_policy->targets_count);
    }
    assert_string_equal(buf_str(&out), wanted);
    buf_fini(&out);
}

/* Policies that protect, at the first load: nothing is known from before. */
static void test_lost(void **state)
{
    static const struct {
        const char *text, *lost, *consequence;
    } cases[] = {
        {TLS("p", "a", TLS_GOOD), "", NULL},
        {TLS("p", "a", ""), "T a/p 1", "backends that it targets answer 503"},
        {TLS("p", "a", TLS_GOOD) "---\n" TLS("p", "a", TLS_GOOD), "T a/p 1, T a/p 1", "answer 503"},
        {TLS("p", "a", "{{"), "T a/ 0", "Services of namespace \"a\" without another policy"},
        {TLS("p", "{{x}}", TLS_GOOD), "T / 0", "all Services"},
        {TLS("p", "a", "  x:\n    namespace: b\n {"), "T / 0", "all Services"},
        {"{\"apiVersion\":\"g\",\"kind\" : \"BackendTLSPolicy\",\"metadata\":{\"namespace\":\"a\"}",
         "T a/ 0", "namespace \"a\""},
        {"kind: List\nitems:\n- kind: BackendTLSPolicy\n  metadata: {namespace: a}\n  metadata: "
         "{}\n",
         "T a/ 0", "namespace \"a\""},
        {"# kind: BackendTLSPolicy\nkind: Gateway\n{", "", "defined before"},
        {"mankind: BackendTLSPolicy\nkind: BackendTLSPolic\n{", "", "defined before"},
        {TLS("p", "a", "  - {name: t}\n" TLS_GOOD), "T a/ 0", "namespace \"a\""},
        {"kind: BackendTLSPolicy\nmetadata: {name: p}\nspec: {" TARGETS ", x: 1}", "T default/p 1",
         "backends that it targets answer 503"},
        {"kind: BackendTLSPolicy\nmetadata: {name: p}\nspec: 5", "T default/p 0",
         "namespace \"default\""},
        {"kind: BackendTLSPolicy\nmetadata: {name: p}\nspec: {targetRefs: [{group: '', kind: "
         "Service, name: s}, {name: t}]}",
         "T default/p 0", "namespace \"default\""},
        {"apiVersion: gateway.networking.k8s.o/v1\nkind: BackendTLSPolicy\nmetadata: {name: p}\n"
         "spec: {" TARGETS "}",
         "T default/p 1", "backends that it targets answer 503"},
        {"kind: BackendTLSPolicy", "T default/ 0", "namespace \"default\""},
        {LIMIT("targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]"),
         "L default/l 1", "requests of Gateway \"g\" are NOT limited"},
        {LIMIT(""), "L default/l 0", "requests that it is for are NOT limited"},
        {LIMIT("{"), "L / 0", "are NOT limited"},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct world *world = world_new();
        put_and_load(world, cases[i].text);
        expect_lost(world, cases[i].lost);
        if (cases[i].consequence != NULL &&
            strstr(world->diags.items[0]->consequence, cases[i].consequence) == NULL)
            fail_msg("case %u: %s", i, world->diags.items[0]->consequence);
        world_free(world);
    }
}

/* What was known before stays in force instead; each broken document takes one policy. */
static void test_lost_or_kept(void **state)
{
    (void)state;
    struct world *world = world_new();
    put_and_load(world, TLS("p", "a", TLS_GOOD) "---\n" TLS("q", "a", TLS_GOOD));
    put_and_load(world, TLS("p", "a", "") "---\n" TLS("q", "a", "{\n"));
    expect_lost(world, "");
    put_and_load(world, TLS("p", "a", "{\n") "---\n" TLS("q", "a", "{\n") "---\n" LIMIT("{"));
    expect_lost(world, "L / 0");
    put_and_load(world,
                 TLS("p", "a", "{\n") "---\n" TLS("q", "a", "{\n") "---\n" TLS("r", "b", "{\n"));
    expect_lost(world, "T b/ 0");
    assert_int_equal(objects_count(world->set), 2);
    /* The version is not known any more: as an object that is refused. */
    put_and_load(world, "apiVersion: gateway.networking.k8s.io/v0\n"
                        "kind: BackendTLSPolicy\nmetadata: {name: p, namespace: a}\n");
    expect_lost(world, "");
    assert_int_equal(objects_count(world->set), 1);
    put_and_load(world, TLS("p", "a", TLS_GOOD));
    assert_int_equal(world->diags.count, 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_lost_or_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
