/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "t/unit/conf/conf_fixture.h"

#define ANNOTATED(kind, annotation, spec)                                                          \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: " kind                                        \
    "\nmetadata: {name: x, annotations: {" annotation "}}\nspec: {" spec "}"
#define ROUTE(annotation) ANNOTATED("HTTPRoute", annotation, "")
/* Of three listeners the first and the last have one port. */
#define PROXY(value)                                                                               \
    ANNOTATED("Gateway", "ringgate.dev/proxy-protocol: " value,                                    \
              "gatewayClassName: c, listeners: [{name: a, port: 1, protocol: HTTP}, {name: b, "    \
              "port: 2, protocol: TCP}, {name: c, port: 1, protocol: HTTP, hostname: c.test}]")

#define BAD_PROXY "RG013 metadata.annotations[ringgate.dev/proxy-protocol] "

/* One line a finding: code, field and hint. */
static const struct {
    const char *text, *findings;
} cases[] = {
    {PROXY("'true'"), ""},
    {PROXY("a"), ""},
    {PROXY("maybe"), BAD_PROXY "\n"},
    {PROXY("'True'"), BAD_PROXY "did you mean \"true\"?\n"},
    {PROXY("''"), BAD_PROXY "\n"},
    {PROXY("'a,'"), BAD_PROXY "\n"},
    {PROXY("'a,true'"), BAD_PROXY "\n"},
    {PROXY("'x1,a,C'"), BAD_PROXY "\n" BAD_PROXY "did you mean \"c\"?\n"},
    {PROXY("true"), "RG010 metadata.annotations.ringgate.dev/proxy-protocol write \"true\"\n"},
    {ROUTE("ringgate.dev/idle-timeout: 1s, else.ringgate.dev/x: z, a: b"), ""},
    {ROUTE("ringgate.dev/idle-timout: 1s"),
     "RG027 metadata.annotations[ringgate.dev/idle-timout] did you mean "
     "\"ringgate.dev/idle-timeout\"?\n"},
    {ROUTE("ringgate.dev/files: '{}'"),
     "RG027 metadata.annotations[ringgate.dev/files] kind Secret has it\n"},
    {ROUTE("ringgate.dev/: x"), "RG027 metadata.annotations[ringgate.dev/] \n"},
    {ANNOTATED("GRPCRoute", "ringgate.dev/idle-timeout: 1s", ""), ""},
    {ANNOTATED("ReferenceGrant", "ringgate.dev/nothing: x",
               "from: [{group: a, kind: B, namespace: c}], to: [{group: '', kind: Service}]"),
     "RG027 metadata.annotations[ringgate.dev/nothing] \n"},
};

static void test_findings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conf_fixture fixture;
        struct buf out;
        conf_fixture_init(&fixture, "a.yaml", span_str(cases[i].text));
        buf_init(&out, 65536);
        for (unsigned j = 0; j < fixture.diags.count; j++) {
            const struct diag *diag = fixture.diags.items[j];
            buf_printf(&out, "%s %s %s\n", diag_code_text(diag->code), diag->field, diag->hint);
        }
        assert_string_equal(buf_str(&out), cases[i].findings);
        buf_fini(&out);
        conf_fixture_fini(&fixture);
    }
}

static void test_proxy_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool a, b, c;
    } proxies[] = {
        {PROXY("'true'"), true, true, true},    {PROXY("'false'"), false, false, false},
        {PROXY("b"), false, true, false},       {PROXY("c"), true, false, true},
        {PROXY("' b , a '"), true, true, true}, {PROXY("'a,a'"), true, false, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(proxies); i++) {
        struct conf_fixture fixture;
        unsigned count;
        conf_fixture_init(&fixture, "a.yaml", span_str(proxies[i].text));
        const struct conf_object *const *list =
            objects_list(fixture.objects, CONF_KIND_GATEWAY, &count);
        assert_int_equal(count, 1);
        const struct conf_listener *listeners = list[0]->gateway->listeners;
        assert_int_equal(listeners[0].proxy_protocol, proxies[i].a);
        assert_int_equal(listeners[1].proxy_protocol, proxies[i].b);
        assert_int_equal(listeners[2].proxy_protocol, proxies[i].c);
        conf_fixture_fini(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings),
        cmocka_unit_test(test_proxy_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
