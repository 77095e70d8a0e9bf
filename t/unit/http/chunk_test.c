/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/chunk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define BAD (-1)
#define OPEN (-2)

struct chunk_case {
    const char *text;
    const char *body;
    int rest; /* bytes after the last chunk's line; BAD; OPEN: more is needed */
};

static const struct chunk_case cases[] = {
    {"0\r\n", "", 0},
    {"0\r\n\r\n", "", 2},
    {"000\r\n\r\n", "", 2},
    {"3\r\nabc\r\n0\r\n\r\n", "abc", 2},
    {"3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n", "abcde", 8},
    {"A\r\n0123456789\r\n0\r\n", "0123456789", 0},
    {"a\r\n0123456789\r\n0\r\n", "0123456789", 0},
    {"3;a\r\nabc\r\n0\r\n", "abc", 0},
    {"3;a=b\r\nabc\r\n0;c\r\n", "abc", 0},
    {"3;a=\"b;\\\"c\"\r\nabc\r\n0\r\n", "abc", 0},
    {"3;a;b=1;c\r\nabc\r\n0\r\n", "abc", 0},
    {"3 ;a\r\nabc\r\n0\r\n", "abc", 0},
    {"3\t ; a = b ; c\r\nabc\r\n0\r\n", "abc", 0},
    {"3;a=\"\"\r\nabc\r\n0\r\n", "abc", 0},
    {"0000000000000003\r\nabc\r\n0\r\n", "abc", 0},
    {"", "", OPEN},
    {"3", "", OPEN},
    {"3\r", "", OPEN},
    {"3\r\n", "", OPEN},
    {"3\r\nab", "ab", OPEN},
    {"3\r\nabc", "abc", OPEN},
    {"3\r\nabc\r", "abc", OPEN},
    {"3\r\nabc\r\n", "abc", OPEN},
    {"0\r", "", OPEN},
    {"3;a=\"", "", OPEN},
    {"\r\n", "", BAD},
    {";a\r\n", "", BAD},
    {" 3\r\n", "", BAD},
    {"x\r\n", "", BAD},
    {"0x3\r\n", "", BAD},
    {"+3\r\n", "", BAD},
    {"-3\r\n", "", BAD},
    {"3_0\r\n", "", BAD},
    {"3\n", "", BAD},
    {"3\rX", "", BAD},
    {"3 \r\n", "", BAD},
    {"3 3\r\n", "", BAD},
    {"3\r\nabcX", "abc", BAD},
    {"3\r\nabc\n", "abc", BAD},
    {"3\r\nabc\rX", "abc", BAD},
    {"3\r\nabc0\r\n", "abc", BAD},
    {"00000000000000003\r\n", "", BAD},
    {"1000000000000001\r\n", "", BAD},
    {"ffffffffffffffff\r\n", "", BAD},
    {"1000000000000000\r\n", "", OPEN},
    {"3;\r\n", "", BAD},
    {"3;;a\r\n", "", BAD},
    {"3;a=\r\n", "", BAD},
    {"3;=b\r\n", "", BAD},
    {"3;a=\"\r\n\"\r\n", "", BAD},
    {"3;a\n", "", BAD},
    {"3;a=\"\\\r\n", "", BAD},
    {"3;a=\"\x01\"\r\n", "", BAD},
    {"3;a \r\n", "", BAD},
    {"3;a=b \r\n", "", BAD},
    {"3;a=\"b\"x\r\n", "", BAD},
    {"3;a=b=c\r\n", "", BAD},
    {"3;a b\r\n", "", BAD},
    {"3;\x80\r\n", "", BAD},
};

/* Decodes with the text cut at the given places; in each piece at most data_max bytes at a time. */
static void check(const struct chunk_case *c, size_t cut1, size_t cut2, size_t data_max)
{
    struct chunk chunk;
    size_t len = strlen(c->text), at = 0, cuts[] = {cut1, cut2, len}, piece = 0;
    char body[64];
    size_t body_len = 0;
    int result = OPEN;
    chunk_init(&chunk, 4096);
    while (result == OPEN) {
        size_t used = 0;
        struct span data = SPAN_NONE;
        /* An exact copy, so that a read past the end is seen. */
        size_t n = cuts[piece] - at;
        char *in = malloc(n ? n : 1);
        memcpy(in, c->text + at, n);
        int event = chunk_decode(&chunk, span_make(in, n), data_max, &used, &data);
        if (event == CHUNK_DATA) {
            memcpy(body + body_len, data.ptr, data.len);
            body_len += data.len;
        }
        free(in);
        if (event < 0) {
            assert_int_equal(event, -EPROTO);
            result = BAD;
            break;
        }
        at += used;
        if (event == CHUNK_END)
            result = (int)(len - at);
        else if (event == CHUNK_MORE && at < cuts[piece])
            fail_msg("stuck");
        else if (event == CHUNK_MORE && ++piece == ARRAY_COUNT(cuts))
            break;
    }
    if (result != c->rest || body_len != strlen(c->body) || memcmp(body, c->body, body_len) != 0)
        fail_msg("\"%s\" cut at %zu, %zu: %d, \"%.*s\"", c->text, cut1, cut2, result, (int)body_len,
                 body);
}

static void test_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        size_t len = strlen(cases[i].text);
        for (size_t cut1 = 0; cut1 <= len; cut1++)
            for (size_t cut2 = cut1; cut2 <= len; cut2++) {
                check(&cases[i], cut1, cut2, SIZE_MAX);
                check(&cases[i], cut1, cut2, 1);
            }
    }
}

/* Without credit framing goes on up to the next data byte. */
static void test_no_credit(void **state)
{
    (void)state;
    struct chunk chunk;
    size_t used;
    struct span data;
    chunk_init(&chunk, 0);
    struct span in = SPAN_LIT("3\r\nabc\r\n0\r\n");
    assert_int_equal(chunk_decode(&chunk, in, 0, &used, &data), CHUNK_MORE);
    assert_int_equal(used, 3);
    in = span_skip(in, used);
    assert_int_equal(chunk_decode(&chunk, in, 2, &used, &data), CHUNK_DATA);
    assert_int_equal(data.len, 2);
    in = span_skip(in, used);
    assert_int_equal(chunk_decode(&chunk, in, 1, &used, &data), CHUNK_DATA);
    assert_int_equal(data.len, 1);
    in = span_skip(in, used);
    assert_int_equal(chunk_decode(&chunk, in, 0, &used, &data), CHUNK_END);
    assert_int_equal(used, in.len);
}

/* Feeds `count` chunks with the same extension; the result of the last call. */
static int feed(struct span chunk_text, unsigned count, uint32_t max)
{
    struct chunk chunk;
    chunk_init(&chunk, max);
    for (unsigned i = 0; i < count; i++) {
        struct span in = chunk_text;
        while (in.len > 0) {
            size_t used;
            struct span data;
            int event = chunk_decode(&chunk, in, SIZE_MAX, &used, &data);
            if (event < 0)
                return event;
            in = span_skip(in, used);
        }
    }
    return 0;
}

static void test_extension_limit(void **state)
{
    (void)state;
    struct span text = SPAN_LIT("1;ab=\"c\"\r\nx\r\n"); /* 7 bytes of extension after ';' */
    assert_int_equal(feed(text, 1, 8), 0);
    assert_int_equal(feed(text, 1, 0), -EPROTO);
    assert_int_equal(feed(text, 1, 6), -EPROTO);
    assert_int_equal(feed(text, 512, 4096), 0);
    assert_int_equal(feed(text, 700, 4096), -EPROTO);
    assert_int_equal(feed(SPAN_LIT("1\r\nx\r\n"), 100000, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_no_credit),
        cmocka_unit_test(test_extension_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
