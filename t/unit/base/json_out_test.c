/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/json_out.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_structure(void **state)
{
    (void)state;
    struct buf buf;
    struct json_out out;
    buf_init(&buf, 1000);
    json_out_init(&out, &buf);
    json_out_object_begin(&out);
    json_out_key(&out, "a");
    json_out_array_begin(&out);
    json_out_int(&out, INT64_MIN);
    json_out_object_begin(&out);
    json_out_object_end(&out);
    json_out_array_begin(&out);
    json_out_array_end(&out);
    json_out_null(&out);
    json_out_array_end(&out);
    json_out_key(&out, "b\"");
    json_out_str(&out, NULL);
    json_out_key(&out, "c");
    json_out_span(&out, SPAN_LIT("x"));
    json_out_key(&out, "d");
    json_out_int(&out, 0);
    json_out_object_end(&out);
    assert_string_equal(buf_str(&buf), "{\"a\":[-9223372036854775808,{},[],null],"
                                       "\"b\\\"\":null,\"c\":\"x\",\"d\":0}");
    buf_fini(&buf);
}

static void test_depth(void **state)
{
    (void)state;
    struct buf buf;
    struct json_out out;
    buf_init(&buf, 1000);
    json_out_init(&out, &buf);
    for (unsigned i = 0; i < 64; i++) {
        json_out_array_begin(&out);
        if (i < 63)
            json_out_int(&out, 1);
    }
    for (unsigned i = 0; i < 64; i++)
        json_out_array_end(&out);
    assert_int_equal(buf.len, 63 * 3 + 2 + 63);
    buf_fini(&buf);
}

static const struct {
    struct span in;
    const char *out;
} escapes[] = {
    {SPAN_LIT(""), ""},
    {SPAN_LIT("plain"), "plain"},
    {SPAN_LIT("\"\\\b\f\n\r\t"), "\\\"\\\\\\b\\f\\n\\r\\t"},
    {SPAN_LIT("\0\x01\x1f\x7f"), "\\u0000\\u0001\\u001f\\u007f"},
    {SPAN_LIT("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
    {SPAN_LIT("\xff"), "\\u00ff"},
    {SPAN_LIT("\xc3"), "\\u00c3"}, /* cut */
    {SPAN_LIT("\xc3x"), "\\u00c3x"}, /* cut by another */
    {SPAN_LIT("\xc0\x80"), "\\u00c0\\u0080"}, /* overlong NUL */
    {SPAN_LIT("\xe0\x9f\xbf"), "\\u00e0\\u009f\\u00bf"},
    {SPAN_LIT("\xed\xa0\x80"), "\\u00ed\\u00a0\\u0080"}, /* surrogate */
    {SPAN_LIT("\xed\x9f\xbf"), "\xed\x9f\xbf"},
    {SPAN_LIT("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf"}, /* the last character */
    {SPAN_LIT("\xf4\x90\x80\x80"), "\\u00f4\\u0090\\u0080\\u0080"},
    {SPAN_LIT("\xc2\x9b"), "\\u009b"}, /* a terminal's control sequence introducer */
    {SPAN_LIT("\xc2\xa0"), "\xc2\xa0"},
    {SPAN_LIT("1234567\n"), "1234567\\n"}, /* the ends of words of 8 bytes */
    {SPAN_LIT("12345678\x7f"), "12345678\\u007f"},
    {SPAN_LIT("\"234567812\\"), "\\\"234567812\\\\"},
    {SPAN_LIT("1234567\xc3\xa9 !~"), "1234567\xc3\xa9 !~"},
};

static void test_escape(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(escapes); i++) {
        char out[100];
        size_t len = json_out_escape(escapes[i].in, out, sizeof(out));
        assert_int_equal(len, strlen(escapes[i].out));
        assert_memory_equal(out, escapes[i].out, len);
        /* A string value is the same text in quotes. */
        struct buf buf;
        struct json_out json;
        buf_init(&buf, 100);
        json_out_init(&json, &buf);
        json_out_span(&json, escapes[i].in);
        assert_int_equal(buf.len, len + 2);
        assert_memory_equal(buf.data + 1, escapes[i].out, len);
        buf_fini(&buf);
    }
}

static void test_escape_never_half(void **state)
{
    (void)state;
    static const struct {
        struct span in;
        size_t size, wanted;
    } cases[] = {
        {SPAN_LIT("abc"), 0, 0},  {SPAN_LIT("abc"), 2, 2},       {SPAN_LIT("abc"), 3, 3},
        {SPAN_LIT("a\n"), 2, 1},  {SPAN_LIT("a\n"), 3, 3},       {SPAN_LIT("\x01"), 5, 0},
        {SPAN_LIT("\x01"), 6, 6}, {SPAN_LIT("a\xc3\xa9"), 2, 1}, {SPAN_LIT("a\xc3\xa9"), 3, 3},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char out[10];
        assert_int_equal(json_out_escape(cases[i].in, out, cases[i].size), cases[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_never_half),
    };
    return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
