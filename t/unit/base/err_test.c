/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_set(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_set(NULL, -EINVAL, "not %s", "kept"), -EINVAL);
    assert_int_equal(err_set_at(&err, -ENOENT, 3, 7, "no %s\nhere", "file"), -ENOENT);
    assert_string_equal(err.text, "no file here");
    assert_int_equal(err.code, -ENOENT);
    assert_int_equal(err.line, 3);
    assert_int_equal(err.column, 7);
    err_prefix(&err, "loading %d", 5);
    assert_string_equal(err.text, "loading 5: no file here");
    assert_int_equal(err.line, 3);
    assert_int_equal(err_set(&err, -EIO, "again: %s", err.text), -EIO);
    assert_string_equal(err.text, "again: loading 5: no file here");
    assert_int_equal(err.line, 0);
    err_prefix(NULL, "nothing");
    assert_int_equal(err_set_at(NULL, -EIO, 1, 1, "x"), -EIO);
}

static void test_long_text_is_cut(void **state)
{
    (void)state;
    struct err err;
    static const size_t lengths[] = {511, 512, 513, 2000};
    char text[2001];
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        memset(text, 'a', lengths[i]);
        text[lengths[i]] = '\0';
        err_set(&err, -EIO, "%s", text);
        assert_int_equal(strlen(err.text), 511);
        err_prefix(&err, "%s", text);
        assert_int_equal(strlen(err.text), 511);
    }
    /* A character of two, three and four bytes that does not fit is left out whole. */
    static const struct {
        const char *character;
        size_t before, kept;
    } cases[] = {
        {"\xc3\xa9", 509, 511},         {"\xc3\xa9", 510, 510},
        {"\xe2\x82\xac", 508, 511},     {"\xe2\x82\xac", 509, 509},
        {"\xf0\x9f\x98\x80", 507, 511}, {"\xf0\x9f\x98\x80", 508, 508},
        {"\xf0\x9f\x98\x80", 510, 510},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        memset(text, 'a', cases[i].before);
        text[cases[i].before] = '\0';
        err_set(&err, -EIO, "%s%sbbbbb", text, cases[i].character);
        assert_int_equal(strlen(err.text), cases[i].kept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_long_text_is_cut),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
