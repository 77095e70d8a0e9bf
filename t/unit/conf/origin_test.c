/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/origin.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void parses(void **state UNUSED)
{
    static const struct {
        const char *text, *host; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        {"https://a.test", "a.test", 443},
        {"http://a.test", "a.test", 80},
        {"HTTPS://A.test:8443", "A.test", 8443},
        {"http://127.0.0.1:1", "127.0.0.1", 1},
        {"http://a.test:65535", "a.test", 65535},
        {"http://[::1]:8080", "[::1]", 8080},
        {"http://[::1]", "[::1]", 80},
        {"https://*", "*", 443},
        {"https://*:8443", "*", 8443},
        {"https://*.a.test", "*.a.test", 443},
        {"*", NULL, 0},
        {"null", NULL, 0},
        {"", NULL, 0},
        {"https:", NULL, 0},
        {"https://", NULL, 0},
        {"https://:80", NULL, 0},
        {"https://a.test:", NULL, 0},
        {"https://a.test:0", NULL, 0},
        {"https://a.test:65536", NULL, 0},
        {"https://a.test:+1", NULL, 0},
        {"https://a.test/", NULL, 0},
        {"https://a.test/path", NULL, 0},
        {"https://u@a.test", NULL, 0},
        {"https://a*.test", NULL, 0},
        {"https://a.*.test", NULL, 0},
        {"https://*.", NULL, 0},
        {"https://*a.test", NULL, 0},
        {"https://.a.test", NULL, 0},
        {"https://[::1", NULL, 0},
        {"https://a b.test", NULL, 0},
        {"ftp://a.test", NULL, 0},
        {"chrome-extension://abc", NULL, 0},
        {"https//a.test", NULL, 0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct origin origin;
        bool ok = origin_parse(span_str(cases[i].text), &origin);
        if (ok != (cases[i].host != NULL))
            fail_msg("%s: %s", cases[i].text, ok ? "taken" : "refused");
        if (ok && (!span_equal_str(origin.host, cases[i].host) || origin.port != cases[i].port))
            fail_msg("%s: %.*s %u", cases[i].text, SPAN_ARG(origin.host), origin.port);
    }
}

static void matches(void **state UNUSED)
{
    static const struct {
        const char *listed, *origin;
        bool expected;
    } cases[] = {
        {"https://a.test", "https://a.test", true},
        {"https://a.test", "https://A.TEST:443", true},
        {"https://a.test:443", "HTTPS://a.test", true},
        {"https://a.test", "http://a.test", false},
        {"http://a.test:443", "https://a.test", false},
        {"https://a.test", "https://a.test:8443", false},
        {"https://a.test", "https://b.a.test", false},
        {"https://a.test", "https://a.test.evil", false},
        {"https://*.a.test", "https://b.a.test", true},
        {"https://*.a.test", "https://c.b.A.test", true},
        {"https://*.a.test", "https://a.test", false},
        {"https://*.a.test", "https://evila.test", false},
        {"https://*.a.test", "https://.a.test", false},
        {"https://*.a.test", "https://b.a.test:8443", false},
        {"https://*.a.test:8443", "https://b.a.test:8443", true},
        {"https://*", "https://any.test", true},
        {"https://*", "https://any.test:8443", false},
        {"https://*:8443", "https://any.test:8443", true},
        {"http://*", "https://any.test", false},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct origin listed, origin;
        assert_true(origin_parse(span_str(cases[i].listed), &listed));
        bool got =
            origin_parse(span_str(cases[i].origin), &origin) && origin_matches(&listed, &origin);
        if (got != cases[i].expected)
            fail_msg("%s and %s", cases[i].listed, cases[i].origin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(matches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
