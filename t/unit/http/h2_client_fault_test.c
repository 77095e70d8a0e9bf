/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "h2_app.h"

#define END NGHTTP2_FLAG_END_STREAM

/* Servers that are broken, hostile or gone. */

static void run_goaway_idle(void)
{
    h2_app_start();
    h2_peer_send_goaway(&h2_app.peer, 0, NGHTTP2_ENHANCE_YOUR_CALM);
    h2_app_until_closed();
    wire_expect_end(&h2_app.wire);
    h2_app_stop();
}

static void run_goaway_error(void)
{
    h2_app_start();
    h2_app_get(0, "GET");
    h2_app_get(1, "GET");
    h2_peer_send_goaway(&h2_app.peer, 1, NGHTTP2_INTERNAL_ERROR);
    wire_shutdown(&h2_app.wire);
    h2_app_until_closed();
    assert_int_equal(h2_app.calls[1].reset, HTTP_ERROR_REFUSED);
    assert_true(h2_app.calls[0].reset != HTTP_ERROR_NONE);
    assert_true(h2_app.calls[0].reset != HTTP_ERROR_REFUSED);
    h2_app_stop();
}

static void run_resets(void)
{
    static const struct {
        uint32_t code;
        enum http_error error;
    } cases[] = {
        {NGHTTP2_REFUSED_STREAM, HTTP_ERROR_REFUSED},
        {NGHTTP2_CANCEL, HTTP_ERROR_CANCELLED},
        {NGHTTP2_INTERNAL_ERROR, HTTP_ERROR_RESET},
        {NGHTTP2_NO_ERROR, HTTP_ERROR_CANCELLED},
        {12345, HTTP_ERROR_RESET},
    };
    h2_app_start();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint32_t id = h2_app_get(0, "GET");
        h2_peer_send_number(&h2_app.peer, NGHTTP2_RST_STREAM, id, cases[i].code);
        h2_app_until_over(0);
        assert_int_equal(h2_app.calls[0].reset, cases[i].error);
        /* At every later point of the response it is no refusal. */
        for (unsigned point = 0; point < 3; point++) {
            id = h2_app_get(0, "GET");
            h2_peer_send_head(&h2_app.peer, id, 0, ":status: 200\ncontent-length: 8\n");
            if (point > 0)
                h2_app_send_data(id, 0, "half");
            if (point > 1)
                h2_app_send_data(id, 0, "half");
            h2_peer_send_number(&h2_app.peer, NGHTTP2_RST_STREAM, id, cases[i].code);
            h2_app_until_over(0);
            assert_int_equal(h2_app.calls[0].status, 200);
            assert_false(h2_app.calls[0].ended);
            assert_true(h2_app.calls[0].reset != HTTP_ERROR_NONE);
            assert_true(h2_app.calls[0].reset != HTTP_ERROR_REFUSED);
        }
    }
    h2_app_answer(0, h2_app_get(0, "GET"));
    h2_app_stop();
}

static void run_bad_responses(void)
{
    static const char *const heads[] = {
        ":status: 099\n",
        ":status: 999\n",
        ":status: 101\n",
        ":status: 2000\n",
        ":status: 20\n",
        ":status: abc\n",
        "x: 1\n",
        ":status: 200\n:status: 200\n",
        ":status: 200\n:path: /\n",
        "x: 1\n:status: 200\n",
        ":status: 200\nX-Upper: 1\n",
        ":status: 200\nx: a\\r\\ny: b\n",
        ":status: 200\nx: a\\0b\n",
        ":status: 200\nx:  a\n",
        ":status: 200\nbad name: a\n",
        ":status: 200\nconnection: close\n",
        ":status: 200\ntransfer-encoding: chunked\n",
        ":status: 200\nte: gzip\n",
        ":status: 200\ncontent-length: 1\ncontent-length: 1\n",
        ":status: 200\ncontent-length: -1\n",
        ":status: 204\ncontent-length: 5\n",
    };
    h2_app_start();
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        uint32_t id = h2_app_get(0, "GET");
        h2_peer_send_head(&h2_app.peer, id, 0, heads[i]);
        h2_app_until_over(0);
        if (h2_app.calls[0].reset != HTTP_ERROR_BAD_RESPONSE || h2_app.calls[0].status != 0)
            fail_msg("%s: %s", heads[i], http_error_name(h2_app.calls[0].reset));
        struct h2_peer_frame *reset = h2_peer_expect(&h2_app.peer, NGHTTP2_RST_STREAM, id);
        assert_int_equal(h2_peer_number(reset, 0), NGHTTP2_PROTOCOL_ERROR);
    }
    h2_app_answer(0, h2_app_get(0, "GET")); /* the others on the connection are not harmed */
    h2_app_stop();
}

/* The head was good, what follows is not. */
static void run_bad_bodies(void)
{
    h2_app_start();
    for (unsigned i = 0; i < 5; i++) {
        uint32_t id = h2_app_get(0, "GET");
        h2_peer_send_head(&h2_app.peer, id, 0, ":status: 200\ncontent-length: 4\n");
        if (i == 0)
            h2_app_send_data(id, END, "abc");
        else if (i == 1)
            h2_app_send_data(id, 0, "abcde");
        else if (i == 2)
            h2_peer_send_head(&h2_app.peer, id, END, "x: 1\n"); /* nothing of the body came */
        else if (i == 3)
            h2_peer_send_head(&h2_app.peer, id, 0, "x: 1\n"); /* trailers do not end it */
        else
            h2_peer_send_head(&h2_app.peer, id, END, ":status: 200\n");
        h2_app_until_over(0);
        if (h2_app.calls[0].reset != HTTP_ERROR_BAD_RESPONSE || h2_app.calls[0].ended)
            fail_msg("case %u: %s", i, http_error_name(h2_app.calls[0].reset));
        h2_peer_expect(&h2_app.peer, NGHTTP2_RST_STREAM, id);
    }
    h2_app_answer(0, h2_app_get(0, "GET"));
    h2_app_stop();
}

static void run_large_trailers(void)
{
    h2_app_start();
    uint32_t id = h2_app_get(0, "GET");
    h2_peer_send_head(&h2_app.peer, id, 0, ":status: 200\n");
    char text[33 * 5 + 1] = "";
    for (unsigned i = 0; i < 33; i++)
        memcpy(text + 5 * i, "x: 1\n", 6);
    h2_peer_send_head(&h2_app.peer, id, END, text);
    h2_app_until_over(0);
    assert_int_equal(h2_app.calls[0].reset, HTTP_ERROR_TRAILERS_TOO_LARGE);
    h2_peer_expect(&h2_app.peer, NGHTTP2_RST_STREAM, id);
    h2_app_answer(0, h2_app_get(0, "GET"));
    h2_app_stop();
}

static void run_interims(void)
{
    h2_app_start();
    uint32_t id = h2_app_get(0, "GET");
    for (unsigned i = 0; i < 16; i++)
        h2_peer_send_head(&h2_app.peer, id, 0, ":status: 100\n");
    h2_app_answer(0, id);
    assert_int_equal(h2_app.calls[0].interims, 16);
    id = h2_app_get(0, "GET");
    for (unsigned i = 0; i < 17; i++)
        h2_peer_send_head(&h2_app.peer, id, 0, ":status: 100\n");
    h2_app_until_over(0);
    assert_int_equal(h2_app.calls[0].reset, HTTP_ERROR_BAD_RESPONSE);
    h2_app_stop();
}

static void run_push(void)
{
    h2_app_start();
    uint32_t id = h2_app_get(0, "GET");
    struct buf payload;
    buf_init(&payload, 4096);
    buf_add(&payload, "\0\0\0\2", 4);
    h2_peer_block(&payload, ":method: GET\n:scheme: http\n:path: /\n:authority: a\n");
    h2_peer_send(&h2_app.peer, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, id,
                 buf_span(&payload));
    buf_fini(&payload);
    h2_app_until_closed();
    assert_int_equal(h2_app.closed, HTTP_ERROR_PROTOCOL);
    struct h2_peer_frame *goaway = h2_peer_expect(&h2_app.peer, NGHTTP2_GOAWAY, 0);
    assert_int_equal(h2_peer_number(goaway, 4), NGHTTP2_PROTOCOL_ERROR);
    h2_app_stop();
}

/* RFC 9113 5.1: what comes after the end of a stream, ended either way. */
static void run_closed_streams(void)
{
    for (unsigned i = 0; i < 5; i++) {
        uint32_t code = i == 4 ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_STREAM_CLOSED;
        h2_app_start();
        uint32_t id = h2_app_get(0, "GET");
        if (i < 2)
            h2_app_answer(0, id);
        else
            h2_peer_send_number(&h2_app.peer, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
        h2_app_until_over(0);
        if (i == 4)
            h2_peer_send(&h2_app.peer, NGHTTP2_PRIORITY, 0, 0, SPAN_LIT("\0\0\0\1\0"));
        else if (i % 2 == 0)
            h2_app_send_data(id, END, "late");
        else
            h2_peer_send_head(&h2_app.peer, id, END, ":status: 200\n");
        h2_app_until_closed();
        assert_int_equal(h2_app.closed, HTTP_ERROR_PROTOCOL);
        struct h2_peer_frame *goaway = h2_peer_expect(&h2_app.peer, NGHTTP2_GOAWAY, 0);
        assert_int_equal(h2_peer_number(goaway, 4), code);
        h2_app_stop();
    }
}

/* Padding beside bytes of a body is nothing special. */
static void run_padding(void)
{
    h2_app_start();
    uint32_t id = h2_app_get(0, "GET");
    h2_peer_send_head(&h2_app.peer, id, 0, ":status: 200\n");
    for (unsigned i = 0; i < 64; i++) {
        struct span payload = i % 16 == 15 ? SPAN_LIT("\1x\0") : SPAN_LIT("\2\0\0");
        h2_peer_send(&h2_app.peer, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, id, payload);
    }
    h2_peer_send(&h2_app.peer, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED | END, id, SPAN_LIT("\0"));
    h2_app_until_over(0);
    assert_true(h2_app.calls[0].ended);
    assert_string_equal(buf_str(&h2_app.calls[0].body), "xxxx");
    h2_app_stop();
}

/* Frames that cost us work and carry nothing: the connection ends, and says why. */
static void run_floods(void)
{
    static const struct {
        const char *name;
        uint8_t type, flags;
        bool on_stream;
        const char *payload;
        size_t len;
    } cases[] = {
        {"PING", NGHTTP2_PING, 0, false, "12345678", 8},
        {"SETTINGS", NGHTTP2_SETTINGS, 0, false, "\0\1\0\0\0\0", 6},
        {"WINDOW_UPDATE", NGHTTP2_WINDOW_UPDATE, 0, false, "\0\0\0\1", 4},
        {"PRIORITY", NGHTTP2_PRIORITY, 0, true, "\0\0\0\0\1", 5},
        {"ALTSVC", NGHTTP2_ALTSVC, 0, false, "\0\1ab", 4},
        {"ORIGIN", NGHTTP2_ORIGIN, 0, false, "\0\1a", 3},
        {"unknown", 0xee, 0, false, "x", 1},
        {"RST_STREAM of a stream that is gone", NGHTTP2_RST_STREAM, 0, true, "\0\0\0\x08", 4},
        {"empty DATA", NGHTTP2_DATA, 0, true, "", 0},
        {"padding", NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, true, "\2\0\0", 3},
        {"interim", NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, true,
         "\0\7:status\3"
         "100",
         13},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        h2_app_start();
        uint32_t id = h2_app_get(0, "GET");
        if (cases[i].type == NGHTTP2_RST_STREAM)
            h2_app_answer(0, id);
        if (cases[i].type == NGHTTP2_DATA)
            h2_peer_send_head(&h2_app.peer, id, 0, ":status: 200\n");
        for (unsigned k = 0; k < 3000 && h2_app.client != NULL && !h2_app.wire.reset; k++)
            h2_peer_send(&h2_app.peer, cases[i].type, cases[i].flags, cases[i].on_stream ? id : 0,
                         span_make(cases[i].payload, cases[i].len));
        if (cases[i].type == NGHTTP2_HEADERS) { /* one stream's limit comes first */
            h2_app_until_over(0);
            assert_int_equal(h2_app.calls[0].reset, HTTP_ERROR_BAD_RESPONSE);
            h2_app_stop();
            continue;
        }
        h2_app_until_closed();
        if (h2_app.closed != HTTP_ERROR_FLOOD)
            fail_msg("%s: %s", cases[i].name, http_error_name(h2_app.closed));
        struct h2_peer_frame *goaway = h2_peer_expect(&h2_app.peer, NGHTTP2_GOAWAY, 0);
        assert_int_equal(h2_peer_number(goaway, 4), NGHTTP2_ENHANCE_YOUR_CALM);
        h2_app_stop();
    }
}

/* No request more, but those that it has are answered. */
static void expect_retired(uint32_t held)
{
    assert_non_null(h2_app.client);
    assert_int_equal(http_client_room(h2_app.client), 0);
    h2_app_answer(1, held);
    h2_app_until_closed();
    assert_int_equal(h2_app.closed, HTTP_ERROR_NONE);
    struct h2_peer_frame *goaway = h2_peer_expect(&h2_app.peer, NGHTTP2_GOAWAY, 0);
    assert_int_equal(h2_peer_number(goaway, 4), NGHTTP2_NO_ERROR);
    h2_app_stop();
}

/* Too many frames once. */
static void run_control_frames(void)
{
    h2_app_start();
    uint32_t held = h2_app_get(1, "GET");
    for (unsigned i = 0; i < 20; i++)
        h2_app_answer(0, h2_app_get(0, "GET"));
    for (unsigned i = 0; i < 2000 && http_client_room(h2_app.client) > 0; i += 50) {
        for (unsigned k = 0; k < 50; k++)
            h2_peer_send(&h2_app.peer, NGHTTP2_PRIORITY, 0, held, SPAN_LIT("\0\0\0\0\1"));
        h2_peer_turn(&h2_app.peer);
    }
    expect_retired(held);
}

/* A backend may count them, too. */
static void run_own_resets(void)
{
    unsigned resets = 0;
    h2_app_start();
    uint32_t held = h2_app_get(1, "GET");
    while (http_client_room(h2_app.client) > 0 && resets < 5000) {
        uint32_t id = h2_app_get(0, "GET");
        http_stream_reset(h2_app.calls[0].stream, HTTP_ERROR_GONE);
        h2_app.calls[0].alive = false;
        h2_peer_expect(&h2_app.peer, NGHTTP2_RST_STREAM, id);
        if (++resets % 16 == 0)
            arena_reset(&h2_app.calls[0].arena);
    }
    assert_true(resets > h2_app.limits.h2_resets_burst && resets < 5000);
    expect_retired(held);
}

static void run_closes(void)
{
    for (unsigned i = 0; i < 4; i++) {
        h2_app_start();
        uint32_t id = h2_app_get(0, "GET");
        if (i > 0)
            h2_peer_send_head(&h2_app.peer, id, 0, ":status: 200\n");
        if (i > 1)
            h2_app_send_data(id, 0, "half");
        wire_close(&h2_app.wire, i == 3);
        h2_app_until_closed();
        assert_true(h2_app.calls[0].reset != HTTP_ERROR_NONE);
        assert_true(h2_app.calls[0].reset != HTTP_ERROR_REFUSED);
        assert_int_equal(h2_app.calls[0].ended, false);
        h2_app_stop();
    }
    h2_app_start();
    wire_close(&h2_app.wire, false);
    h2_app_until_closed();
    h2_app_stop();
}

/* It has answered and left, and never let the body of the request come: nothing waits for that. */
static void run_leaves_answered(void)
{
    for (unsigned late = 0; late < 2; late++) {
        struct http_limits limits;
        struct iovec iov = {(char[]){"body"}, 4};
        http_limits_default(&limits);
        h2_app_start_with(&limits);
        h2_app_greet(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
        uint32_t id = h2_app_post(0);
        assert_int_equal(http_stream_send_body(h2_app.calls[0].stream, &iov, 1), 0);
        if (late == 0)
            h2_app_end_body(0);
        h2_peer_send_head(&h2_app.peer, id, END, ":status: 200\n");
        wire_shutdown(&h2_app.wire);
        h2_app_turns(20);
        assert_true(h2_app.calls[0].ended);
        if (late == 1)
            h2_app_end_body(0);
        h2_app_until_closed();
        assert_int_equal(h2_app.calls[0].reset, HTTP_ERROR_NONE);
        h2_app_stop();
    }
}

/* A server of HTTP/1 does not know the preface. */
static void run_not_http2(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    h2_app_start_with(&limits);
    assert_true(h2_app_try_request(0, h2_app_request_head(0, "GET", "/"), true));
    wire_send_text(&h2_app.wire, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    h2_app_until_closed();
    assert_int_equal(h2_app.closed, HTTP_ERROR_PROTOCOL);
    assert_true(h2_app.calls[0].reset != HTTP_ERROR_NONE);
    h2_app_stop();
}

/* A legal head, one byte at a time. */
static void run_continuation(void)
{
    struct buf block;
    buf_init(&block, 1u << 20);
    h2_peer_block(&block, ":status: 200\n");
    for (unsigned i = 0; i < 60; i++)
        h2_peer_block(&block, "x-name: a value of some forty bytes or so, yes\n");
    h2_app_start();
    uint32_t id = h2_app_get(0, "GET");
    h2_peer_send(&h2_app.peer, NGHTTP2_HEADERS, 0, id, span_make(block.data, 1));
    for (size_t i = 1; i < block.len; i++)
        h2_peer_send(&h2_app.peer, NGHTTP2_CONTINUATION,
                     i + 1 == block.len ? NGHTTP2_FLAG_END_HEADERS : 0, id,
                     span_make(block.data + i, 1));
    h2_app_send_data(id, END, "body");
    h2_app_until_over(0);
    assert_int_equal(h2_app.calls[0].status, 200);
    assert_true(h2_app.calls[0].ended);
    buf_fini(&block);
    h2_app_stop();
}

/* A head of `count` fields of 4,000 bytes, a frame each. */
static void send_large_head(uint32_t id, unsigned count)
{
    struct buf block, field;
    buf_init(&block, 8192);
    buf_init(&field, 8192);
    h2_peer_block(&block, ":status: 200\n");
    h2_peer_send(&h2_app.peer, NGHTTP2_HEADERS, 0, id, buf_span(&block));
    buf_add_str(&field, "x: ");
    for (unsigned k = 0; k < 400; k++)
        buf_add_str(&field, "0123456789");
    buf_add_str(&field, "\n");
    buf_reset(&block);
    h2_peer_block(&block, buf_str(&field));
    for (unsigned i = 1; i <= count; i++)
        h2_peer_send(&h2_app.peer, NGHTTP2_CONTINUATION, i == count ? NGHTTP2_FLAG_END_HEADERS : 0,
                     id, buf_span(&block));
    buf_fini(&block);
    buf_fini(&field);
}

/* Larger than our limit is a bad response; larger than twice the limit ends the connection. */
static void run_large_head(void)
{
    h2_app_start();
    uint32_t id = h2_app_get(0, "GET");
    send_large_head(id, 8);
    h2_app_send_data(id, END, "body");
    h2_app_until_over(0);
    assert_int_equal(h2_app.calls[0].status, 200);
    id = h2_app_get(0, "GET");
    send_large_head(id, 9);
    h2_app_until_over(0);
    assert_int_equal(h2_app.calls[0].reset, HTTP_ERROR_BAD_RESPONSE);
    h2_app_answer(0, h2_app_get(0, "GET"));
    id = h2_app_get(0, "GET");
    send_large_head(id, 17);
    h2_app_until_closed();
    assert_int_equal(h2_app.closed, HTTP_ERROR_FLOOD);
    h2_app_stop();
}

/* A peer that is silent while a request waits is asked; without an answer it is gone. */
static void run_ping(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    limits.h2_ping_interval_ns = 50 * NS_PER_MS;
    h2_app_start_with(&limits);
    h2_app_greet(0, 0);
    uint32_t id = h2_app_get(0, "GET");
    for (unsigned i = 0; i < 3; i++) {
        struct h2_peer_frame *ping = h2_peer_expect(&h2_app.peer, NGHTTP2_PING, 0);
        assert_int_equal(ping->flags, 0);
        h2_peer_send(&h2_app.peer, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping->payload);
    }
    h2_app_answer(0, id);
    h2_app_get(0, "GET");
    h2_app_until_closed();
    assert_true(h2_app.calls[0].reset != HTTP_ERROR_NONE);
    h2_app_stop();
}

#define TESTS(X)                                                                                   \
    X(goaway_idle)                                                                                 \
    X(goaway_error)                                                                                \
    X(resets)                                                                                      \
    X(bad_responses)                                                                               \
    X(bad_bodies)                                                                                  \
    X(large_trailers)                                                                              \
    X(interims)                                                                                    \
    X(push)                                                                                        \
    X(closed_streams)                                                                              \
    X(padding)                                                                                     \
    X(floods)                                                                                      \
    X(control_frames)                                                                              \
    X(own_resets)                                                                                  \
    X(closes)                                                                                      \
    X(leaves_answered)                                                                             \
    X(not_http2)                                                                                   \
    X(continuation)                                                                                \
    X(large_head)                                                                                  \
    X(ping)

TESTS(WIRE_TEST)

int main(void)
{
    const struct CMUnitTest tests[] = {TESTS(WIRE_ENTRY)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
