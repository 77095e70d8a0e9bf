/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_cap(void **state)
{
    (void)state;
    static const struct {
        size_t cap, len;
        bool ok;
    } cases[] = {
        {0, 0, true},    {0, 1, false},  {1, 1, true},    {1, 2, false},    {63, 63, true},
        {63, 64, false}, {64, 64, true}, {64, 65, false}, {300, 300, true}, {300, 301, false},
    };
    static const char bytes[400];
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf buf;
        buf_init(&buf, cases[i].cap);
        buf_add(&buf, bytes, cases[i].len);
        assert_int_equal(buf_ok(&buf), cases[i].ok);
        assert_int_equal(buf.len, cases[i].ok ? cases[i].len : 0);
        buf_fini(&buf);
        /* One byte at a time reaches the same end. */
        buf_init(&buf, cases[i].cap);
        for (size_t n = 0; n < cases[i].len; n++)
            buf_add_char(&buf, 'x');
        assert_int_equal(buf_ok(&buf), cases[i].ok);
        assert_int_equal(buf.len, MIN(cases[i].len, cases[i].cap));
        assert_int_equal(strlen(buf_str(&buf)), buf.len);
        buf_fini(&buf);
    }
}

static void test_overflow_is_sticky(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 4);
    buf_add_str(&buf, "abc");
    buf_add_str(&buf, "de");
    buf_add_char(&buf, 'x');
    assert_false(buf_ok(&buf));
    assert_string_equal(buf_str(&buf), "abc");
    buf_reset(&buf);
    assert_true(buf_ok(&buf));
    assert_string_equal(buf_str(&buf), "");
    buf_printf(&buf, "%d", 1234);
    assert_string_equal(buf_str(&buf), "1234");
    buf_printf(&buf, "%d", 5);
    assert_false(buf_ok(&buf));
    buf_fini(&buf);
}

static void test_printf_sizes(void **state)
{
    (void)state;
    static const int widths[] = {0, 1, 254, 255, 256, 257, 5000};
    for (size_t i = 0; i < ARRAY_COUNT(widths); i++) {
        struct buf buf;
        buf_init(&buf, 6000);
        buf_add_str(&buf, "<");
        buf_printf(&buf, "%*s", widths[i], "");
        buf_add_str(&buf, ">");
        assert_int_equal(buf.len, (size_t)widths[i] + 2);
        assert_int_equal(buf_str(&buf)[buf.len - 1], '>');
        buf_fini(&buf);
        buf_fini(&buf);
    }
}

static void test_str(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    assert_string_equal(buf_str(&buf), "");
    buf_add_span(&buf, SPAN_LIT("abcdef"));
    buf_add_span(&buf, SPAN_NONE);
    assert_string_equal(buf_str(&buf), "abcdef");
    buf_reset(&buf);
    assert_int_equal(buf_span(&buf).len, 0);
    assert_string_equal(buf_str(&buf), "");
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_overflow_is_sticky),
        cmocka_unit_test(test_printf_sizes),
        cmocka_unit_test(test_str),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
