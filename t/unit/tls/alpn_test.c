/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tls/alpn.h"

static void test_find(void **state)
{
    static const struct {
        struct span list, protocol;
        bool found;
    } cases[] = {
        {SPAN_LIT("h2,http/1.1"), SPAN_LIT("h2"), true},
        {SPAN_LIT("h2,http/1.1"), SPAN_LIT("http/1.1"), true},
        {SPAN_LIT("h2,http/1.1"), SPAN_LIT("http/1"), false},
        {SPAN_LIT("h2,http/1.1"), SPAN_LIT("h2,http/1.1"), false},
        {SPAN_LIT("h2,http/1.1"), SPAN_LIT(""), false},
        {SPAN_LIT("h2"), SPAN_LIT("H2"), false},
        {SPAN_LIT(""), SPAN_LIT("h2"), false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span name = alpn_find(cases[i].list, cases[i].protocol);
        assert_int_equal(name.ptr != NULL, cases[i].found);
        if (cases[i].found)
            assert_true(span_equal(name, cases[i].protocol));
    }
}

static void test_choose(void **state)
{
    static const struct {
        struct span list, offer;
        const char *chosen; /* NULL: none */
    } cases[] = {
        {SPAN_LIT("h2,http/1.1"), SPAN_LIT("\x08http/1.1\x02h2"), "h2"},
        {SPAN_LIT("h2,http/1.1"), SPAN_LIT("\x08http/1.1"), "http/1.1"},
        {SPAN_LIT("http/1.1"), SPAN_LIT("\x02h2\x08http/1.1"), "http/1.1"},
        {SPAN_LIT("http/1.1"), SPAN_LIT("\x02h2"), NULL},
        {SPAN_LIT("h2"), SPAN_LIT("\x03h2c"), NULL},
        {SPAN_LIT("h2"), SPAN_LIT("\x01h\x03h2\x02"), NULL}, /* runs over the end */
        {SPAN_LIT("h2"), SPAN_LIT("\x02h"), NULL},
        {SPAN_LIT("h2"), SPAN_LIT("\x02"), NULL},
        {SPAN_LIT("h2"), SPAN_LIT(""), NULL},
        {SPAN_LIT(""), SPAN_LIT("\x02h2"), NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span name = alpn_choose(cases[i].list, cases[i].offer);
        assert_int_equal(name.ptr != NULL, cases[i].chosen != NULL);
        if (cases[i].chosen != NULL)
            assert_true(span_equal_str(name, cases[i].chosen));
    }
}

static void test_write(void **state)
{
    static const struct {
        struct span list, wire;
    } cases[] = {
        {SPAN_LIT("h2,http/1.1"), SPAN_LIT("\x02h2\x08http/1.1")},
        {SPAN_LIT("h2"), SPAN_LIT("\x02h2")},
        {SPAN_LIT(""), SPAN_LIT("")},
        {SPAN_LIT("h2,,http/1.1"), SPAN_LIT("")},
    };
    static char name[300];
    uint8_t out[ALPN_SIZE];
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        size_t len = alpn_write(cases[i].list, out);
        assert_true(span_equal(span_make(out, len), cases[i].wire));
    }
    memset(name, 'a', sizeof(name));
    assert_int_equal(alpn_write(span_make(name, 255), out), 256);
    assert_int_equal(out[0], 255);
    assert_int_equal(alpn_write(span_make(name, 256), out), 0);
    memset(name + 200, ',', 1);
    assert_int_equal(alpn_write(span_make(name, 254), out), 255);
    assert_int_equal(alpn_write(span_make(name, 256), out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
