/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/resp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"

static const struct {
    const char *wire;
    enum resp_type type;
    unsigned elements, ints_count;
    int64_t ints[3];
    const char *text;
} replies[] = {
    {"+OK\r\n", RESP_TYPE_STATUS, 0, 0, {0}, "OK"},
    {"-NOSCRIPT No matching script.\r\n",
     RESP_TYPE_ERROR,
     0,
     0,
     {0},
     "NOSCRIPT No matching script."},
    {":-42\r\n", RESP_TYPE_INTEGER, 0, 1, {-42}, ""},
    {"$3\r\nabc\r\n", RESP_TYPE_STRING, 0, 0, {0}, "abc"},
    {"$-1\r\n", RESP_TYPE_NIL, 0, 0, {0}, ""},
    {"*-1\r\n", RESP_TYPE_NIL, 0, 0, {0}, ""},
    {"*0\r\n", RESP_TYPE_ARRAY, 0, 0, {0}, ""},
    {"*3\r\n:1\r\n:9\r\n:123456\r\n", RESP_TYPE_ARRAY, 3, 3, {1, 9, 123456}, ""},
    {"*3\r\n:1\r\n$1\r\nx\r\n:5\r\n", RESP_TYPE_ARRAY, 3, 1, {1}, ""},
    {"*6\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n", RESP_TYPE_ARRAY, 6, 4, {1, 2, 3}, ""},
    {"*3\r\n$6\r\nmaster\r\n:0\r\n*1\r\n*3\r\n$3\r\n1.1\r\n$1\r\n9\r\n$1\r\n7\r\n",
     RESP_TYPE_ARRAY,
     3,
     0,
     {0},
     "master"},
};

static void check_reply(size_t i, const struct resp_reply *reply)
{
    assert_int_equal(reply->type, replies[i].type);
    assert_int_equal(reply->elements, replies[i].elements);
    assert_int_equal(reply->ints_count, replies[i].ints_count);
    for (unsigned k = 0; k < MIN(reply->ints_count, 3u); k++)
        assert_int_equal(reply->ints[k], replies[i].ints[k]);
    assert_int_equal(reply->text_len, strlen(replies[i].text));
    assert_memory_equal(reply->text, replies[i].text, reply->text_len);
}

/* All replies in one stream, cut at every place. */
static void test_splits(void **state)
{
    struct buf wire;
    (void)state;
    buf_init(&wire, 65536);
    for (size_t i = 0; i < ARRAY_COUNT(replies); i++)
        buf_add_str(&wire, replies[i].wire);
    for (size_t step = 1; step <= wire.len; step++) {
        struct resp_reader *reader = resp_reader_new();
        size_t seen = 0;
        for (size_t at = 0; at < wire.len; at += step) {
            const struct resp_reply *reply;
            int r;
            assert_int_equal(
                resp_reader_feed(reader, span_make(wire.data + at, MIN(step, wire.len - at))), 0);
            while ((r = resp_reader_next(reader, &reply)) == 1)
                check_reply(seen++, reply);
            assert_int_equal(r, 0);
        }
        assert_int_equal(seen, ARRAY_COUNT(replies));
        resp_reader_free(reader);
    }
    buf_fini(&wire);
}

static void test_malformed(void **state)
{
    static const char *const wires[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "\r\n",
        "?\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        "%1\r\n+a\r\n+b\r\n",
        "~1\r\n+a\r\n",
        ">1\r\n+a\r\n",
        "*1\r\n,1.5\r\n",
        "#t\r\n",
        "(123\r\n",
        "=5\r\ntxt:a\r\n",
        "garbage",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wires); i++) {
        struct resp_reader *reader = resp_reader_new();
        const struct resp_reply *reply;
        assert_int_equal(resp_reader_feed(reader, span_str(wires[i])), 0);
        assert_int_equal(resp_reader_next(reader, &reply), -EPROTO);
        assert_int_equal(resp_reader_next(reader, &reply), -EPROTO);
        assert_int_equal(resp_reader_feed(reader, SPAN_LIT("+OK\r\n")), -EPROTO);
        assert_int_equal(resp_reader_reset(reader), 0);
        assert_int_equal(resp_reader_feed(reader, SPAN_LIT("+OK\r\n")), 0);
        assert_int_equal(resp_reader_next(reader, &reply), 1);
        resp_reader_free(reader);
    }
}

/* A reply that never ends does not fill the memory. */
static void test_endless(void **state)
{
    static const char *const heads[] = {"$1000000000\r\n", "*1000000000\r\n", "+"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        struct resp_reader *reader = resp_reader_new();
        const struct resp_reply *reply;
        const char *filler = i == 1 ? ":1\r\n:1\r\n:1\r\n:1\r\n" : "xxxxxxxxxxxxxxxx";
        size_t fed = 0;
        int r = 0;
        assert_int_equal(resp_reader_feed(reader, span_str(heads[i])), 0);
        while (r == 0 && fed < 10 * RESP_REPLY_BYTES_MAX) {
            assert_int_equal(resp_reader_feed(reader, span_str(filler)), 0);
            fed += 16;
            r = resp_reader_next(reader, &reply);
        }
        assert_int_equal(r, -EPROTO);
        assert_true(fed <= RESP_REPLY_BYTES_MAX + 64);
        resp_reader_free(reader);
    }
}

static void test_random(void **state)
{
    static const char alphabet[] = "+-:$*\r\n019ab";
    struct rand_state rand;
    (void)state;
    rand_seed(&rand, 7);
    for (unsigned round = 0; round < 20000; round++) {
        struct resp_reader *reader = resp_reader_new();
        char text[48];
        size_t len = 1 + rand_below(&rand, sizeof(text));
        const struct resp_reply *reply;
        for (size_t i = 0; i < len; i++)
            text[i] = alphabet[rand_below(&rand, sizeof(alphabet) - 1)];
        int r = resp_reader_feed(reader, span_make(text, len));
        assert_int_equal(r, 0);
        while ((r = resp_reader_next(reader, &reply)) == 1)
            assert_true(reply->text_len <= RESP_TEXT_MAX && reply->ints_count <= RESP_INTS_MAX);
        assert_true(r == 0 || r == -EPROTO);
        resp_reader_free(reader);
    }
}

static void test_long_text_is_cut(void **state)
{
    char line[400];
    struct resp_reader *reader = resp_reader_new();
    const struct resp_reply *reply;
    (void)state;
    memset(line, 'e', sizeof(line));
    line[0] = '-';
    memcpy(line + sizeof(line) - 2, "\r\n", 2);
    assert_int_equal(resp_reader_feed(reader, span_make(line, sizeof(line))), 0);
    assert_int_equal(resp_reader_next(reader, &reply), 1);
    assert_int_equal(reply->text_len, RESP_TEXT_MAX);
    resp_reader_free(reader);
}

static void test_format(void **state)
{
    struct buf out;
    const struct span args[] = {SPAN_LIT("AUTH"), SPAN_NONE, SPAN_LIT("p w\r\n")};
    (void)state;
    buf_init(&out, 256);
    assert_int_equal(resp_format(&out, args, 3), 0);
    assert_string_equal(buf_str(&out), "*3\r\n$4\r\nAUTH\r\n$0\r\n\r\n$5\r\np w\r\n\r\n");
    buf_fini(&out);
    buf_init(&out, 8);
    assert_int_equal(resp_format(&out, args, 3), -ENOMEM);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splits),           cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_endless),          cmocka_unit_test(test_random),
        cmocka_unit_test(test_long_text_is_cut), cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
