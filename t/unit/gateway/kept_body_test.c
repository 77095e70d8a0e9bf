/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/kept_body.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buf.h"

/* A stream that notes what it was sent. */
struct sink {
    struct http_stream stream;
    struct buf got;
    unsigned pieces_max;
};

static int sink_send_body(struct http_stream *stream, const struct iovec *iov, int count)
{
    struct sink *sink = container_of(stream, struct sink, stream);
    if (sink->pieces_max-- == 0)
        return -EPIPE;
    for (int i = 0; i < count; i++)
        buf_add(&sink->got, iov[i].iov_base, iov[i].iov_len);
    return 0;
}

static const struct http_stream_ops sink_ops = {.send_body = sink_send_body};

static void sink_init(struct sink *sink, unsigned pieces_max)
{
    *sink = (struct sink){.stream.ops = &sink_ops, .pieces_max = pieces_max};
    buf_init(&sink->got, 1u << 20);
}

static void keeps_and_sends(void **state UNUSED)
{
    static const size_t pieces[] = {1, 0, BLOCK_SIZE - 1, 1, BLOCK_SIZE, 3 * BLOCK_SIZE + 5, 7};
    struct block_pool *blocks = block_pool_new(16);
    struct kept_body body = {0};
    struct buf sent;
    uint8_t next = 0;
    buf_init(&sent, 1u << 20);
    for (unsigned i = 0; i < ARRAY_COUNT(pieces); i++) {
        size_t before = sent.len;
        for (size_t k = 0; k < pieces[i]; k++)
            buf_add_char(&sent, (char)(next++ % 251));
        struct span piece = span_make(sent.data + before, pieces[i]);
        assert_int_equal(kept_body_add(&body, blocks, piece, 1u << 20), 0);
        assert_int_equal(body.size, sent.len);
    }
    for (unsigned round = 0; round < 2; round++) { /* it is still there afterwards */
        struct sink sink;
        sink_init(&sink, UINT32_MAX);
        assert_int_equal(kept_body_send(&body, blocks, &sink.stream), 0);
        assert_true(span_equal(buf_span(&sink.got), buf_span(&sent)));
        buf_fini(&sink.got);
    }
    struct sink broken;
    sink_init(&broken, 2);
    assert_int_equal(kept_body_send(&body, blocks, &broken.stream), -EPIPE);
    buf_fini(&broken.got);
    kept_body_drop(&body, blocks);
    assert_int_equal(block_in_use(blocks), 0);
    buf_fini(&sent);
    block_pool_free(blocks);
}

static void has_a_limit(void **state UNUSED)
{
    static const char text[100];
    static const struct {
        size_t before, more, max;
        int expected;
    } cases[] = {
        {0, 0, 0, 0},          {0, 1, 0, -ENOBUFS},   {60, 40, 100, 0}, {60, 41, 100, -ENOBUFS},
        {60, 1, 50, -ENOBUFS}, {60, 0, 50, -ENOBUFS},
    };
    struct block_pool *blocks = block_pool_new(16);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct kept_body body = {0};
        assert_int_equal(kept_body_add(&body, blocks, span_make(text, cases[i].before), 100), 0);
        assert_int_equal(kept_body_add(&body, blocks, span_make(text, cases[i].more), cases[i].max),
                         cases[i].expected);
        if (cases[i].expected != 0)
            assert_int_equal(body.size, 0);
        kept_body_drop(&body, blocks);
        assert_int_equal(block_in_use(blocks), 0);
    }
    block_pool_free(blocks);
}

static void runs_out_of_blocks(void **state UNUSED)
{
    static const char text[2 * BLOCK_SIZE + 1];
    struct block_pool *blocks = block_pool_new(2);
    struct kept_body body = {0};
    assert_int_equal(kept_body_add(&body, blocks, span_make(text, sizeof(text)), 1u << 20),
                     -ENOBUFS);
    assert_int_equal(block_in_use(blocks), 0);
    assert_int_equal(kept_body_add(&body, blocks, span_make(text, sizeof(text) - 1), 1u << 20), 0);
    kept_body_drop(&body, blocks);
    block_pool_free(blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_and_sends),
        cmocka_unit_test(has_a_limit),
        cmocka_unit_test(runs_out_of_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
