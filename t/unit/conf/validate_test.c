/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/validate.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_listeners(void **state)
{
    (void)state;
    enum { NONE = VALIDATE_CONFLICT_NONE, HOST = VALIDATE_CONFLICT_HOSTNAME };
    enum { PROTOCOL = VALIDATE_CONFLICT_PROTOCOL };
    static const struct {
        enum conf_protocol a, b;
        const char *a_host, *b_host;
        unsigned expected;
    } cases[] = {
        {CONF_PROTOCOL_HTTP, CONF_PROTOCOL_HTTP, "a", "b", NONE},
        {CONF_PROTOCOL_HTTP, CONF_PROTOCOL_HTTP, "a", "", NONE},
        {CONF_PROTOCOL_HTTP, CONF_PROTOCOL_HTTP, "a", "A", HOST},
        {CONF_PROTOCOL_HTTP, CONF_PROTOCOL_HTTP, "", "", HOST},
        {CONF_PROTOCOL_HTTP, CONF_PROTOCOL_HTTPS, "a", "b", PROTOCOL},
        {CONF_PROTOCOL_HTTP, CONF_PROTOCOL_TLS, "a", "b", PROTOCOL},
        {CONF_PROTOCOL_HTTPS, CONF_PROTOCOL_TLS, "a", "b", NONE},
        {CONF_PROTOCOL_HTTPS, CONF_PROTOCOL_TLS, "a", "a", HOST},
        {CONF_PROTOCOL_TCP, CONF_PROTOCOL_TCP, "", "", PROTOCOL},
        {CONF_PROTOCOL_TCP, CONF_PROTOCOL_HTTP, "", "a", PROTOCOL},
        {CONF_PROTOCOL_TCP, CONF_PROTOCOL_UDP, "", "", NONE},
        {CONF_PROTOCOL_UDP, CONF_PROTOCOL_UDP, "", "", PROTOCOL},
        {CONF_PROTOCOL_UDP, CONF_PROTOCOL_HTTPS, "", "a", NONE},
        {CONF_PROTOCOL_OTHER, CONF_PROTOCOL_HTTP, "", "", NONE},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conf_listener a = {
            .protocol = cases[i].a, .hostname = span_str(cases[i].a_host), .port = 80};
        struct conf_listener b = {
            .protocol = cases[i].b, .hostname = span_str(cases[i].b_host), .port = 80};
        assert_int_equal(validate_listeners(&a, &b), cases[i].expected);
        assert_int_equal(validate_listeners(&b, &a), cases[i].expected);
        b.port = 81;
        assert_int_equal(validate_listeners(&a, &b), VALIDATE_CONFLICT_NONE);
    }
}

static void test_rules(void **state)
{
    (void)state;
    struct conf_http_match exact = {.path_type = CONF_MATCH_EXACT};
    struct conf_http_match prefix = {.path_type = CONF_MATCH_PREFIX};
    struct conf_filter headers[] = {{.type = CONF_FILTER_REQUEST_HEADERS}};
    struct conf_filter replace[] = {
        {.type = CONF_FILTER_REWRITE, .url.path_mod = CONF_PATH_REPLACE_PREFIX}};
    struct conf_filter pair[] = {{.type = CONF_FILTER_REWRITE}, {.type = CONF_FILTER_REDIRECT}};
    struct conf_filter unknown[] = {
        {.type = CONF_FILTER_UNSUPPORTED, .type_text = SPAN_LIT("ExternalAuth")}};
    const struct {
        struct conf_http_match *match;
        struct conf_filter *filters, *backend_filters;
        unsigned filters_count, backend_filters_count;
        const char *unsupported, *reason; /* NULL: valid */
    } cases[] = {
        {NULL, NULL, NULL, 0, 0, NULL, NULL},
        {&exact, headers, headers, 1, 1, NULL, NULL},
        {&prefix, replace, NULL, 1, 0, NULL, NULL},
        {NULL, replace, NULL, 1, 0, NULL, NULL}, /* no match means PathPrefix / */
        {&exact, replace, NULL, 1, 0, NULL, "UnsupportedValue"},
        {&prefix, pair, NULL, 2, 0, NULL, "IncompatibleFilters"},
        {&prefix, unknown, NULL, 1, 0, NULL, "UnsupportedValue"},
        {&prefix, NULL, unknown, 0, 1, NULL, "UnsupportedValue"},
        {&prefix, NULL, replace, 0, 1, NULL, NULL},
        {&exact, NULL, replace, 0, 1, NULL, "UnsupportedValue"},
        {&prefix, NULL, pair, 0, 2, NULL, "IncompatibleFilters"},
        {&prefix, replace, &pair[1], 1, 1, NULL, NULL}, /* of two lists: they may differ */
        {&prefix, NULL, NULL, 0, 0, "retry", "UnsupportedValue"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct validate_finding finding;
        struct conf_backend_ref backend = {
            .filters = cases[i].backend_filters,
            .filters_count = cases[i].backend_filters_count,
        };
        struct conf_rule_rare rare = {.unsupported = cases[i].unsupported};
        struct conf_http_rule rule = {
            .matches = cases[i].match,
            .matches_count = cases[i].match ? 1 : 0,
            .filters = cases[i].filters,
            .filters_count = cases[i].filters_count,
            .backends = &backend,
            .backends_count = 1,
            .rare = i % 2 == 0 || rare.unsupported ? &rare : NULL,
        };
        bool is_valid = validate_http_rule(&rule, NULL, &finding);
        assert_int_equal(is_valid, cases[i].reason == NULL);
        if (is_valid)
            continue;
        assert_string_equal(finding.reason, cases[i].reason);
        assert_true(finding.field[0] != '\0' && finding.text[0] != '\0');
    }
}

static const char *refuse_x(void *user, struct span source)
{
    ++*(unsigned *)user;
    return span_find_char(source, 'x') >= 0 ? "is refused" : NULL;
}

static void test_patterns(void **state)
{
    (void)state;
    static struct conf_kv_match kvs[] = {
        {.type = CONF_MATCH_EXACT, .value = SPAN_LIT("x")},
        {.type = CONF_MATCH_REGEX, .value = SPAN_LIT("a")},
        {.type = CONF_MATCH_REGEX, .value = SPAN_LIT("x"), .pos = {5, 6}},
    };
    static const struct conf_rpc_match rpcs[] = {
        {.type = CONF_MATCH_EXACT, .service = SPAN_LIT("x"), .method = SPAN_LIT("x")},
        {.type = CONF_MATCH_REGEX,
         .service = SPAN_LIT("a"),
         .method = SPAN_LIT("x"),
         .method_pos = {7, 8}},
        {.type = CONF_MATCH_REGEX,
         .service = SPAN_LIT("x"),
         .method = SPAN_LIT("a"),
         .service_pos = {3, 4}},
    };
    static const struct {
        struct conf_http_match match;
        struct conf_match_more more;
        unsigned asked;
        const char *field; /* NULL: valid */
        unsigned line;
    } cases[] = {
        {{.path_type = CONF_MATCH_PREFIX, .path = SPAN_LIT("/x")}, {0}, 0, NULL, 0},
        {{.path_type = CONF_MATCH_REGEX, .path = SPAN_LIT("/a")}, {0}, 1, NULL, 0},
        {{.path_type = CONF_MATCH_REGEX, .path = SPAN_LIT("/x"), .path_pos = {1, 2}},
         {0},
         1,
         "matches[1].path.value",
         1},
        {{.path_type = CONF_MATCH_EXACT}, {.headers = kvs, .headers_count = 2}, 1, NULL, 0},
        {{.path_type = CONF_MATCH_EXACT},
         {.headers = kvs, .headers_count = 3},
         2,
         "matches[1].headers[2].value",
         5},
        {{.path_type = CONF_MATCH_EXACT},
         {.queries = kvs, .queries_count = 3},
         2,
         "matches[1].queryParams[2].value",
         5},
        {{.path_type = CONF_MATCH_EXACT}, {.rpc = &rpcs[0]}, 0, NULL, 0},
        {{.path_type = CONF_MATCH_EXACT}, {.rpc = &rpcs[1]}, 2, "matches[1].method.method", 7},
        {{.path_type = CONF_MATCH_EXACT}, {.rpc = &rpcs[2]}, 1, "matches[1].method.service", 3},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        unsigned asked = 0;
        struct conf_match_more more = cases[i].more;
        struct conf_http_match matches[] = {{.path_type = CONF_MATCH_EXACT}, cases[i].match};
        matches[1].more = &more;
        struct conf_http_rule rule = {.matches = matches, .matches_count = 2};
        const struct validate_patterns patterns = {refuse_x, &asked};
        struct validate_finding finding;
        bool is_valid = validate_http_rule(&rule, &patterns, &finding);
        assert_int_equal(is_valid, cases[i].field == NULL);
        assert_int_equal(asked, cases[i].asked);
        if (is_valid)
            continue;
        assert_string_equal(finding.field, cases[i].field);
        assert_string_equal(finding.reason, "UnsupportedValue");
        assert_string_equal(finding.text, "is refused");
        assert_int_equal(finding.code, DIAG_REGEX_INVALID);
        assert_int_equal(finding.pos.line, cases[i].line);
    }
}

static void test_pem(void **state)
{
    (void)state;
    static const struct {
        const char *text, *label;
        bool is_good;
    } cases[] = {
        {"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", "CERTIFICATE", true},
        {"-----BEGIN CERTIFICATE-----\r\nAA\r\n-----END CERTIFICATE-----", "CERTIFICATE", true},
        {"subject=x\n-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----", "CERTIFICATE",
         true},
        {"-----BEGIN EC PRIVATE KEY-----\nAA\n-----END EC PRIVATE KEY-----\n", "PRIVATE KEY", true},
        {"-----BEGIN CERTIFICATE-----\nAA\n", "CERTIFICATE", false},
        {"-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nAA\n", "CERTIFICATE", false},
        {"-----BEGIN CERTIFICATE-----", "CERTIFICATE", false},
        {"-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----\n", "PRIVATE KEY", false},
        {"x-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", "CERTIFICATE", false},
        {"", "CERTIFICATE", false},
        {"\n\n\n", "CERTIFICATE", false},
        {"-----BEGIN -----\n-----END -----\n", "CERTIFICATE", false},
        {"-----BEGIN ---\n", "CERTIFICATE", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(validate_pem(span_str(cases[i].text), cases[i].label), cases[i].is_good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_pem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
