/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/refs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "t/unit/conf/conf_fixture.h"

#define GRANT "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"
#define ROUTE_FROM_A "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}"

static const char yaml[] = GRANT
    "metadata: {name: one, namespace: b}\n"
    "spec: {from: [" ROUTE_FROM_A "], to: [{group: '', kind: Service, name: named}]}\n---\n" GRANT
    "metadata: {name: two, namespace: c}\n"
    "spec: {from: [" ROUTE_FROM_A ", {group: x, kind: Yy, namespace: z}], "
    "to: [{group: '', kind: Service}, {group: '', kind: Secret, name: s}]}\n";

static void test_grants(void **state)
{
    (void)state;
    static const struct {
        const char *from_kind, *from_ns, *to_kind, *to_ns, *name;
        bool is_permitted;
    } cases[] = {
        {"HTTPRoute", "a", "Service", "a", "any", true}, /* one namespace */
        {"HTTPRoute", "a", "Service", "b", "named", true},
        {"HTTPRoute", "a", "Service", "b", "other", false},
        {"HTTPRoute", "a", "Service", "b", "", false},
        {"HTTPRoute", "d", "Service", "b", "named", false},
        {"TCPRoute", "a", "Service", "b", "named", false},
        {"HTTPRoute", "a", "Secret", "b", "named", false},
        {"HTTPRoute", "a", "Service", "c", "any", true},
        {"HTTPRoute", "a", "Secret", "c", "s", true},
        {"HTTPRoute", "a", "Secret", "c", "t", false},
        {"HTTPRoute", "a", "Service", "d", "any", false},
        {"Yy", "z", "Service", "c", "any", false}, /* the group differs */
        {"HTTPRoute", "b", "Service", "a", "any", false}, /* not the other way round */
    };
    struct conf_fixture fixture;
    struct refs refs;
    conf_fixture_init(&fixture, "x.yaml", SPAN_LIT(yaml));
    assert_int_equal(fixture.diags.errors, 0);
    refs_init(&refs, fixture.objects);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct refs_party from = {SPAN_LIT(CONF_GROUP_GATEWAY), span_str(cases[i].from_kind),
                                  span_str(cases[i].from_ns)};
        struct refs_party to = {SPAN_LIT(""), span_str(cases[i].to_kind), span_str(cases[i].to_ns)};
        assert_int_equal(refs_is_permitted(&refs, &from, &to, span_str(cases[i].name)),
                         cases[i].is_permitted);
    }
    /* Names longer than any of the API are refused, not cut. */
    static char longest[5000];
    memset(longest, 'x', sizeof(longest));
    struct refs_party from = {SPAN_LIT(CONF_GROUP_GATEWAY), SPAN_LIT("HTTPRoute"), SPAN_LIT("a")};
    struct refs_party to = {SPAN_LIT(""), SPAN_LIT("Secret"), SPAN_LIT("c")};
    assert_false(refs_is_permitted(&refs, &from, &to, span_make(longest, sizeof(longest))));
    refs_fini(&refs);
    conf_fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
