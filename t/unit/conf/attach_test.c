/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/attach.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "t/unit/conf/conf_fixture.h"

static void test_intersect(void **state)
{
    (void)state;
    static const struct {
        const char *listener, *route, *common; /* NULL: none */
    } cases[] = {
        {"", "", ""},
        {"", "a.example", "a.example"},
        {"a.example", "", "a.example"},
        {"*.example", "", "*.example"},
        {"a.example", "a.example", "a.example"},
        {"a.example", "b.example", NULL},
        {"a.example", "*.example", "a.example"},
        {"a.b.example", "*.example", "a.b.example"},
        {"example", "*.example", NULL},
        {"*.example", "a.example", "a.example"},
        {"*.example", "a.b.example", "a.b.example"},
        {"*.example", "example", NULL},
        {"*.example", "aexample", NULL},
        {"*.example", "*.example", "*.example"},
        {"*.example", "*.a.example", "*.a.example"},
        {"*.a.example", "*.example", "*.a.example"},
        {"*.a.example", "*.b.example", NULL},
        {"*.a.example", "a.example", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span common = SPAN_LIT("untouched");
        bool any = attach_intersect(span_str(cases[i].listener), span_str(cases[i].route), &common);
        assert_int_equal(any, cases[i].common != NULL);
        assert_true(span_equal_str(common, any ? cases[i].common : "untouched"));
    }
}

static void test_hostname(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},  {"a.example", "a.example"}, {"A.Example.", "a.example"}, {"*.X.y", "*.x.y"},
        {".", ""},
    };
    struct arena arena;
    arena_init(&arena, 4096, 0, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span name = span_str(cases[i][0]), out = attach_hostname(&arena, name);
        assert_true(span_equal_str(out, cases[i][1]));
        assert_int_equal(out.ptr == name.ptr, span_starts_with(name, out));
    }
    arena_fini(&arena);
}

static void test_kinds(void **state)
{
    (void)state;
    struct conf_route_kind http[] = {
        {.group = SPAN_LIT(CONF_GROUP_GATEWAY), .kind = SPAN_LIT("HTTPRoute")}};
    struct conf_route_kind tcp[] = {
        {.group = SPAN_LIT(CONF_GROUP_GATEWAY), .kind = SPAN_LIT("TCPRoute")}};
    struct conf_route_kind other[] = {{.group = SPAN_LIT("x"), .kind = SPAN_LIT("HTTPRoute")}};
    struct conf_route_kind grpc[] = {
        {.group = SPAN_LIT(CONF_GROUP_GATEWAY), .kind = SPAN_LIT("GRPCRoute")}};
    const struct {
        enum conf_protocol protocol;
        struct conf_route_kind *kinds;
        bool takes_http, takes_grpc, takes_tcp;
    } cases[] = {
        {CONF_PROTOCOL_HTTP, NULL, true, true, false},
        {CONF_PROTOCOL_HTTPS, NULL, true, true, false},
        {CONF_PROTOCOL_TCP, NULL, false, false, true},
        {CONF_PROTOCOL_TLS, NULL, false, false, false},
        {CONF_PROTOCOL_UDP, NULL, false, false, false},
        {CONF_PROTOCOL_OTHER, NULL, false, false, false},
        {CONF_PROTOCOL_HTTP, http, true, false, false},
        {CONF_PROTOCOL_HTTPS, grpc, false, true, false},
        {CONF_PROTOCOL_HTTP, tcp, false, false, false},
        {CONF_PROTOCOL_TCP, http, false, false, false},
        {CONF_PROTOCOL_TCP, grpc, false, false, false},
        {CONF_PROTOCOL_TCP, tcp, false, false, true},
        {CONF_PROTOCOL_HTTP, other, false, false, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conf_listener listener = {
            .protocol = cases[i].protocol,
            .kinds = cases[i].kinds,
            .kinds_count = cases[i].kinds ? 1 : 0,
        };
        assert_int_equal(attach_is_kind_allowed(&listener, CONF_KIND_HTTP_ROUTE),
                         cases[i].takes_http);
        assert_int_equal(attach_is_kind_allowed(&listener, CONF_KIND_GRPC_ROUTE),
                         cases[i].takes_grpc);
        assert_int_equal(attach_is_kind_allowed(&listener, CONF_KIND_TCP_ROUTE),
                         cases[i].takes_tcp);
    }
}

static void test_namespaces(void **state)
{
    (void)state;
    static const char yaml[] = "apiVersion: v1\nkind: Namespace\n"
                               "metadata: {name: shop, labels: {team: a, stage: live}}\n";
    struct span a[] = {SPAN_LIT("a")}, both[] = {SPAN_LIT("b"), SPAN_LIT("live")};
    struct span shop[] = {SPAN_LIT("shop")};
    const struct {
        struct conf_requirement requirement;
        bool shop, unknown; /* whether each namespace is admitted */
    } cases[] = {
        {{.key = SPAN_LIT("team"), .op = CONF_OP_IN, .values = a, .values_count = 1}, true, false},
        {{.key = SPAN_LIT("team"), .op = CONF_OP_NOT_IN, .values = a, .values_count = 1},
         false,
         true},
        {{.key = SPAN_LIT("stage"), .op = CONF_OP_IN, .values = both, .values_count = 2},
         true,
         false},
        {{.key = SPAN_LIT("team"), .op = CONF_OP_IN, .values = both, .values_count = 2},
         false,
         false},
        {{.key = SPAN_LIT("team"), .op = CONF_OP_EXISTS}, true, false},
        {{.key = SPAN_LIT("team"), .op = CONF_OP_DOES_NOT_EXIST}, false, true},
        {{.key = SPAN_LIT("kubernetes.io/metadata.name"),
          .op = CONF_OP_IN,
          .values = shop,
          .values_count = 1},
         true,
         false},
    };
    struct conf_fixture fixture;
    struct refs refs;
    conf_fixture_init(&fixture, "x.yaml", SPAN_LIT(yaml));
    refs_init(&refs, fixture.objects);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conf_requirement requirement = cases[i].requirement;
        struct conf_listener listener = {
            .from = CONF_FROM_SELECTOR, .selector = &requirement, .selector_count = 1};
        assert_int_equal(
            attach_is_namespace_allowed(&refs, &listener, SPAN_LIT("shop"), SPAN_LIT("shop")),
            cases[i].shop);
        assert_int_equal(
            attach_is_namespace_allowed(&refs, &listener, SPAN_LIT("shop"), SPAN_LIT("unknown")),
            cases[i].unknown);
    }
    static const struct {
        enum conf_from from;
        bool same, other;
    } simple[] = {
        {CONF_FROM_SAME, true, false},
        {CONF_FROM_ALL, true, true},
        {CONF_FROM_NONE, false, false},
        {CONF_FROM_SELECTOR, true, true}, /* an empty selector admits all */
    };
    for (size_t i = 0; i < ARRAY_COUNT(simple); i++) {
        struct conf_listener listener = {.from = simple[i].from};
        assert_int_equal(
            attach_is_namespace_allowed(&refs, &listener, SPAN_LIT("a"), SPAN_LIT("a")),
            simple[i].same);
        assert_int_equal(
            attach_is_namespace_allowed(&refs, &listener, SPAN_LIT("a"), SPAN_LIT("b")),
            simple[i].other);
    }
    refs_fini(&refs);
    conf_fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intersect),
        cmocka_unit_test(test_hostname),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_namespaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
