/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/span.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_number_parsing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        int result;
        uint64_t value;
    } cases[] = {
        {"", 10, -EINVAL, 0},
        {"0", 0, 0, 0},
        {"0", 10, 0, 0},
        {"10", 10, 0, 10},
        {"11", 10, -ERANGE, 0},
        {"0000000000000000000000000000010", 10, 0, 10},
        {"+1", 10, -EINVAL, 0},
        {"-1", 10, -EINVAL, 0},
        {" 1", 10, -EINVAL, 0},
        {"1 ", 10, -EINVAL, 0},
        {"1a", 10, -EINVAL, 0},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999999", UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999999x", UINT64_MAX, -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t value = 77;
        int r = span_to_u64(span_str(cases[i].text), cases[i].max, &value);
        assert_int_equal(r, cases[i].result);
        assert_int_equal(value, r == 0 ? cases[i].value : 77);
    }
}

static void test_number_writing(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *text;
    } cases[] = {
        {0, "0"}, {9, "9"}, {10, "10"}, {200, "200"}, {UINT64_MAX, "18446744073709551615"},
    };
    char digits[SPAN_U64_SIZE];
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_true(span_equal_str(span_from_u64(cases[i].value, digits), cases[i].text));
}

/* All pairs of bytes at every place of texts of all lengths that are compared in ways of their
 * own. */
static void test_equal_fold(void **state)
{
    (void)state;
    char a[24], b[24];
    for (size_t len = 1; len < sizeof(a); len++) {
        for (size_t at = 0; at < len; at++) {
            memset(a, 'k', len);
            memset(b, 'K', len);
            for (unsigned pair = 0; pair < 65536; pair++) {
                a[at] = (char)(pair & 255);
                b[at] = (char)(pair >> 8);
                bool equal = ascii_lower((unsigned char)a[at]) == ascii_lower((unsigned char)b[at]);
                if (span_equal_fold(span_make(a, len), span_make(b, len)) != equal)
                    fail_msg("0x%04x at %zu of %zu", pair, at, len);
            }
        }
    }
}

static void test_compare(void **state)
{
    (void)state;
    assert_true(span_equal(SPAN_NONE, span_str("")));
    assert_true(span_equal_str(SPAN_LIT("ab"), "ab"));
    assert_false(span_equal_str(SPAN_LIT("ab"), "abc"));
    assert_true(span_equal_fold(SPAN_LIT("Host"), SPAN_LIT("hOST")));
    /* '@' and '`' differ by the case bit, but are no letters. */
    assert_false(span_equal_fold(SPAN_LIT("@"), SPAN_LIT("`")));
    assert_false(span_equal_fold(SPAN_LIT("a"), SPAN_LIT("ab")));
    assert_true(span_equal_fold(SPAN_NONE, SPAN_NONE));
    assert_true(span_compare(SPAN_LIT("a"), SPAN_LIT("b")) < 0);
    assert_true(span_compare(SPAN_LIT("a"), SPAN_LIT("ab")) < 0);
    assert_true(span_compare(SPAN_LIT("\xff"), SPAN_LIT("a")) > 0);
    assert_int_equal(span_compare(SPAN_NONE, SPAN_LIT("")), 0);
    assert_true(span_starts_with(SPAN_LIT("abc"), SPAN_LIT("ab")));
    assert_true(span_starts_with(SPAN_LIT("abc"), SPAN_NONE));
    assert_false(span_starts_with(SPAN_LIT("a"), SPAN_LIT("ab")));
    assert_true(span_ends_with(SPAN_LIT("abc"), SPAN_LIT("bc")));
    assert_true(span_ends_with(SPAN_NONE, SPAN_NONE));
    assert_false(span_ends_with(SPAN_LIT("c"), SPAN_LIT("bc")));
}

static void test_parts(void **state)
{
    (void)state;
    struct span head, rest;
    assert_true(span_split(SPAN_LIT("a=b=c"), '=', &head, &rest));
    assert_true(span_equal_str(head, "a"));
    assert_true(span_equal_str(rest, "b=c"));
    assert_true(span_split(SPAN_LIT("a="), '=', &head, &rest));
    assert_int_equal(rest.len, 0);
    assert_false(span_split(SPAN_LIT("abc"), '=', &head, &rest));
    assert_true(span_equal_str(head, "abc"));
    assert_int_equal(rest.len, 0);
    assert_false(span_split(SPAN_NONE, '=', &head, &rest));
    assert_int_equal(span_find_char(SPAN_LIT("abc"), 'c'), 2);
    assert_int_equal(span_find_char(SPAN_LIT("abc"), 'd'), -1);
    assert_int_equal(span_find_char(SPAN_LIT("\xff"), '\xff'), 0);
    assert_true(span_equal_str(span_trim(SPAN_LIT(" \t a b\t ")), "a b"));
    assert_int_equal(span_trim(SPAN_LIT(" \t ")).len, 0);
    assert_int_equal(span_trim(SPAN_NONE).len, 0);
    assert_true(span_equal_str(span_trim(SPAN_LIT("\na")), "\na"));
    assert_int_equal(span_skip(SPAN_LIT("abc"), 3).len, 0);
    assert_int_equal(span_skip(SPAN_NONE, 0).len, 0);
    char lower[4];
    span_lower_to(SPAN_LIT("A\xc4z["), lower);
    assert_memory_equal(lower, "a\xc4z[", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_parsing), cmocka_unit_test(test_number_writing),
        cmocka_unit_test(test_compare),        cmocka_unit_test(test_equal_fold),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
