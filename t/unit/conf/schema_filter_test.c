/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "conf/objects.h"
#include "t/unit/conf/schema_fixture.h"

static const struct {
    const char *text, *findings;
} bad_cases[] = {
#define MIRROR(fields) ROUTE("filters: [{type: RequestMirror, requestMirror: {" fields "}}], " UP)
#define MIRROR_AT "spec.rules[0].filters[0].requestMirror"
    {MIRROR(""), "RG014 " MIRROR_AT ".backendRef\n"},
    {MIRROR("backendRef: {name: a}"), "RG017 " MIRROR_AT ".backendRef.port\n"},
    {MIRROR("backendRef: {name: a, port: 1}, percent: 101"), "RG011 " MIRROR_AT ".percent\n"},
    {MIRROR("backendRef: {name: a, port: 1}, percent: 1, fraction: {numerator: 1}"),
     "RG017 " MIRROR_AT ".percent\n"},
    {MIRROR("backendRef: {name: a, port: 1}, fraction: {}"),
     "RG014 " MIRROR_AT ".fraction.numerator\n"},
    {MIRROR("backendRef: {name: a, port: 1}, fraction: {numerator: 101}"),
     "RG017 " MIRROR_AT ".fraction.numerator\n"},
    {MIRROR("backendRef: {name: a, port: 1}, fraction: {numerator: 0, denominator: 0}"),
     "RG011 " MIRROR_AT ".fraction.denominator\n"},
    {MIRROR("backendRef: {name: a, port: 1}, fraction: {numerator: -1}"),
     "RG011 " MIRROR_AT ".fraction.numerator\n"},
#define CORS(fields) ROUTE("filters: [{type: CORS, cors: {" fields "}}], " UP)
#define CORS_AT "spec.rules[0].filters[0].cors."
    {CORS("allowOrigins: ['*', 'https://a.test']"), "RG017 " CORS_AT "allowOrigins\n"},
    {CORS("allowOrigins: ['https://a.test/']"), "RG013 " CORS_AT "allowOrigins[0]\n"},
    {CORS("allowOrigins: ['https://a.*.test']"), "RG013 " CORS_AT "allowOrigins[0]\n"},
    {CORS("allowOrigins: ['https://a.test', 'https://a.test']"), "RG018 " CORS_AT "allowOrigins\n"},
    {CORS("allowMethods: [get]"), "RG013 " CORS_AT "allowMethods[0]\n"},
    {CORS("allowMethods: ['*', GET]"), "RG017 " CORS_AT "allowMethods\n"},
    {CORS("allowHeaders: ['a b']"), "RG013 " CORS_AT "allowHeaders[0]\n"},
    {CORS("allowHeaders: [a, '*']"), "RG017 " CORS_AT "allowHeaders\n"},
    {CORS("allowHeaders: [a, b, a]"), "RG018 " CORS_AT "allowHeaders\n"},
    {CORS("exposeHeaders: [a, '*', a]"), "RG018 " CORS_AT "exposeHeaders\n"},
    {CORS("maxAge: 0"), "RG011 " CORS_AT "maxAge\n"},
    {CORS("allowCredentials: 'yes'"), "RG010 " CORS_AT "allowCredentials\n"},
    {ROUTE("filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}], " UP),
     "RG017 spec.rules[0]\n"},
    {ROUTE("filters: [{type: CORS, cors: {}, urlRewrite: {}}], " UP),
     "RG017 spec.rules[0].filters[0].urlRewrite\n"},
    {ROUTE("filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}], " UP),
     "RG017 spec.rules[0].filters[0].urlRewrite.path.replaceFullPath\n"},
    {ROUTE("matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, "
           "urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}], " UP),
     "RG017 spec.rules[0].filters\n"},
    {ROUTE("filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, "
           "value: \"x\\ny\"}]}}], " UP),
     "RG013 spec.rules[0].filters[0].requestHeaderModifier.set[0].value\n"},
#define REQUEST(changes)                                                                           \
    ROUTE("filters: [{type: RequestHeaderModifier, requestHeaderModifier: {" changes "}}], " UP)
#define REQUEST_AT "spec.rules[0].filters[0].requestHeaderModifier."
#define RESPONSE(changes)                                                                          \
    ROUTE("filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {" changes "}}], " UP)
#define RESPONSE_AT "spec.rules[0].filters[0].responseHeaderModifier."
    {REQUEST("set: [{name: ':path', value: /x}]"), "RG013 " REQUEST_AT "set[0].name\n"},
    {REQUEST("set: [{name: a, value: x}, {name: b, value: x}, {name: a, value: z}]"),
     "RG018 " REQUEST_AT "set[2].name\n"},
    {REQUEST("remove: [a, a]"), "RG018 " REQUEST_AT "remove[1]\n"},
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
    {ROUTE("filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}}}, "
           "{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 1}}}], " UP),
     ""},
    {ROUTE("filters: [{type: Brandnew}], " UP), ""},
    {CORS("exposeHeaders: ['*', x-e]"), ""},
    /* The translator refuses the rule, not the decoder the route. */
    {ROUTE("filters: [{type: URLRewrite, urlRewrite: {hostname: a}}, {type: RequestRedirect, "
           "requestRedirect: {hostname: b}}]"),
     ""},
    {REQUEST("set: [{name: Host, value: x}, {name: a, value: x}], remove: [b, EXPECT]"),
     "RG025 " REQUEST_AT "set[0].name\nRG025 " REQUEST_AT "remove[1]\n"},
    {REQUEST("add: [{name: a, value: x}, {name: Content-Length, value: '5'}]"),
     "RG025 " REQUEST_AT "add[1].name\n"},
    {RESPONSE("set: [{name: host, value: x}, {name: Upgrade, value: h2c}], remove: [TE]"),
     "RG025 " RESPONSE_AT "set[1].name\nRG025 " RESPONSE_AT "remove[0]\n"},
    {REQUEST("set: [{name: X-A, value: '1'}, {name: b, value: x}, {name: x-a, value: '2'}], "
             "add: [{name: x-a, value: '3'}], remove: [b, B]"),
     "RG026 " REQUEST_AT "set[2].name\nRG026 " REQUEST_AT "remove[1]\n"},
};

static void test_good(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(good_cases); i++)
        schema_fixture_expect(good_cases[i].text, good_cases[i].findings, true);
}

/* type: how the filter replaces, with the field that says by what. */
static void expect_path(const char *type, const char *field, const char *path, bool is_good)
{
    char text[1000], finding[200];
    snprintf(
        text, sizeof(text),
        ROUTE("filters: [{type: URLRewrite, urlRewrite: {path: {type: %s, %s: \"%s\"}}}], " UP),
        type, field, path);
    snprintf(finding, sizeof(finding), "RG013 spec.rules[0].filters[0].urlRewrite.path.%s\n",
             field);
    schema_fixture_expect(text, is_good ? "" : finding, is_good);
}

/* What may stand in place of a path, or of a prefix; as it is written in YAML's double quotes. */
static void test_paths(void **state)
{
    static const char *const good[] = {
        "", "/", "//a//", "/a/", "/...;/.a/a./%c3%A9;x=1", "/-._~!$&'()*+,;=:@%7e",
    };
    static const char *const bad[] = {
        "evil",    ".evil.test", "*",         "@evil",     "http://x.test", "x/",      "/../x",
        "/x/..",   "/x/./y",     "/%2e%2E/x", "/.%2e",     "/.%3b",         "/..;a/x", "/%zz",
        "/a%2",    "/a%",        "/a%2fb",    "/a%5Cb",    "/%00",          "/a b",    "/a\\\\b",
        "/a\\x01", "/a?b",       "/a#b",      "/\303\251",
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(good) + ARRAY_COUNT(bad); i++) {
        bool is_good = i < ARRAY_COUNT(good);
        const char *path = is_good ? good[i] : bad[i - ARRAY_COUNT(good)];
        expect_path("ReplaceFullPath", "replaceFullPath", path, is_good);
        expect_path("ReplacePrefixMatch", "replacePrefixMatch", path, is_good);
    }
}

/* Of names that differ in case only, the first is what is decoded. */
static void test_headers(void **state)
{
    struct schema_fixture d;
    (void)state;
    schema_fixture_decode(
        REQUEST("set: [{name: X-A, value: '1'}, {name: x-a, value: '2'}, {name: b, value: '3'}, "
                "{name: X-a, value: '4'}], remove: [c, C, d]"),
        &d);
    const struct conf_header_mod *mod = &d.output.object->http_route->rules[0].filters[0].headers;
    assert_int_equal(mod->set_count, 2);
    assert_true(span_equal_str(mod->set[0].key, "X-A") && span_equal_str(mod->set[0].value, "1"));
    assert_true(span_equal_str(mod->set[1].key, "b") && span_equal_str(mod->set[1].value, "3"));
    assert_int_equal(mod->remove_count, 2);
    assert_true(span_equal_str(mod->remove[0], "c") && span_equal_str(mod->remove[1], "d"));
    schema_fixture_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
