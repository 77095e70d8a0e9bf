/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "h2_app.h"

#define END NGHTTP2_FLAG_END_STREAM

/* A server that behaves. */

static void run_start(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    h2_app_start_with(&limits);
    struct h2_peer_frame *settings = h2_peer_expect(&h2_app.peer, NGHTTP2_SETTINGS, 0);
    assert_int_equal(settings->flags, 0);
    assert_int_equal(h2_peer_setting(settings, NGHTTP2_SETTINGS_ENABLE_PUSH), 0);
    assert_int_equal(h2_peer_setting(settings, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE), 32768);
    h2_peer_send_setting(&h2_app.peer, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 3);
    h2_peer_send(&h2_app.peer, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, SPAN_NONE);
    h2_peer_expect(&h2_app.peer, NGHTTP2_SETTINGS, 0);
    h2_app_turns(2);
    assert_true(h2_app.rooms >= 1);
    assert_int_equal(http_client_room(h2_app.client), 3);
    assert_int_equal(http_client_active(h2_app.client), 0);
    assert_false(http_client_can_tunnel(h2_app.client));
    assert_string_equal(h2_app.client->ops->protocol, "HTTP/2");
    assert_ptr_equal(http_client_conn(h2_app.client), h2_app.wire.conn);
    h2_app_stop();
}

static void run_exchange(void)
{
    h2_app_start();
    struct http_head *head = h2_app_request_head(0, "POST", "/p");
    head->has_query = true;
    head->query = SPAN_LIT("q=1");
    head->content_length = HTTP_LENGTH_UNKNOWN;
    assert_true(http_head_add(head, SPAN_LIT("Host"), SPAN_LIT("other")));
    assert_true(http_head_add(head, SPAN_LIT("X-Up"), SPAN_LIT("1")));
    assert_true(h2_app_try_request(0, head, false));
    assert_int_equal(http_client_active(h2_app.client), 1);
    struct h2_peer_frame *sent = h2_peer_expect(&h2_app.peer, NGHTTP2_HEADERS, 1);
    assert_string_equal(buf_str(&sent->head),
                        ":method: POST\n:scheme: http\n:authority: a.example:81\n"
                        ":path: /p?q=1\naccept: */*\nx-up: 1\n");
    struct iovec iov[2] = {{(char *)(uintptr_t) "ab", 2}, {(char *)(uintptr_t) "cd", 2}};
    assert_int_equal(http_stream_send_body(h2_app.calls[0].stream, iov, 2), 0);
    struct h2_peer_frame *data = h2_peer_expect(&h2_app.peer, NGHTTP2_DATA, 1);
    assert_true(span_equal_str(data->payload, "abcd"));
    struct http_head *trailers = http_head_new(&h2_app.calls[0].arena, 1);
    assert_true(http_head_add(trailers, SPAN_LIT("x-sum"), SPAN_LIT("9")));
    assert_int_equal(http_stream_end(h2_app.calls[0].stream, trailers), 0);
    h2_app.calls[0].written = true;
    struct h2_peer_frame *end = h2_peer_expect(&h2_app.peer, NGHTTP2_HEADERS, 1);
    assert_true(end->flags & END);
    assert_string_equal(buf_str(&end->head), "x-sum: 9\n");

    h2_peer_send_head(&h2_app.peer, 1, 0, ":status: 103\nlink: a\n");
    h2_peer_send_head(&h2_app.peer, 1, 0, ":status: 200\ncontent-length: 4\n");
    h2_app_send_data(1, 0, "bo");
    h2_app_send_data(1, 0, "dy");
    h2_peer_send_head(&h2_app.peer, 1, END, "grpc-status: 0\nauthorization: x\n");
    h2_app_until_over(0);
    assert_int_equal(h2_app.calls[0].interims, 1);
    assert_int_equal(h2_app.calls[0].status, 200);
    assert_string_equal(buf_str(&h2_app.calls[0].body), "body");
    assert_string_equal(buf_str(&h2_app.calls[0].trailers), "grpc-status: 0\n");
    assert_int_equal(h2_app.calls[0].reset, HTTP_ERROR_NONE);
    h2_app_turns(2);
    assert_int_equal(http_client_active(h2_app.client), 0);
    h2_app_answer(0, h2_app_get(0, "GET")); /* and again on the same connection */
    h2_app_stop();
}

/* Responses whose end is not told by DATA. */
static void run_empty_responses(void)
{
    static const struct {
        const char *method, *fields;
        unsigned status;
    } cases[] = {
        {"HEAD", ":status: 200\ncontent-length: 10\n", 200},
        {"GET", ":status: 304\ncontent-length: 10\n", 304},
        {"GET", ":status: 204\n", 204},
        {"GET", ":status: 200\ncontent-length: 0\n", 200},
        {"GET", ":status: 200\ngrpc-status: 5\n", 200},
    };
    h2_app_start();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        h2_peer_send_head(&h2_app.peer, h2_app_get(0, cases[i].method), END, cases[i].fields);
        h2_app_until_over(0);
        assert_true(h2_app.calls[0].ended);
        assert_int_equal(h2_app.calls[0].status, cases[i].status);
        assert_int_equal(h2_app.calls[0].body.len, 0);
    }
    h2_app_stop();
}

static void run_streams(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    limits.h2_streams_max = 4;
    h2_app_start_with(&limits);
    h2_app_greet(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000);
    assert_int_equal(http_client_room(h2_app.client), 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(http_client_room(h2_app.client), 4 - i);
        assert_int_equal(h2_app_get(i, "GET"), 2 * i + 1);
    }
    assert_int_equal(http_client_room(h2_app.client), 0);
    assert_false(h2_app_try_request(4, h2_app_request_head(4, "GET", "/"), true));
    unsigned rooms = h2_app.rooms;
    h2_app_answer(2, 5);
    h2_app_turns(2);
    assert_true(h2_app.rooms > rooms);
    assert_int_equal(http_client_room(h2_app.client), 1);
    assert_int_equal(http_client_active(h2_app.client), 3);
    h2_peer_send_setting(&h2_app.peer, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2);
    h2_peer_expect(&h2_app.peer, NGHTTP2_SETTINGS, 0);
    h2_app_turns(2);
    assert_int_equal(http_client_room(h2_app.client), 0);
    h2_app_answer(0, 1);
    h2_app_answer(1, 3);
    h2_app_answer(3, 7);
    h2_app_turns(2);
    assert_int_equal(http_client_room(h2_app.client), 2);
    h2_app_answer(0, h2_app_get(0, "GET"));
    h2_app_stop();
}

/* What the peer has not processed may go elsewhere, the rest goes on, and then it ends. */
static void run_goaway(void)
{
    h2_app_start();
    h2_app_get(0, "GET");
    h2_app_get(1, "GET");
    h2_app_get(2, "GET");
    h2_peer_send_goaway(&h2_app.peer, 3, NGHTTP2_NO_ERROR);
    h2_app_until_over(2);
    assert_int_equal(h2_app.calls[2].reset, HTTP_ERROR_REFUSED);
    assert_true(h2_app.calls[0].alive && h2_app.calls[1].alive);
    assert_int_equal(http_client_room(h2_app.client), 0);
    assert_false(h2_app_try_request(3, h2_app_request_head(3, "GET", "/"), true));
    h2_app_answer(0, 1);
    h2_app_answer(1, 3);
    h2_app_until_closed();
    assert_int_equal(h2_app.closed, HTTP_ERROR_NONE);
    h2_app_stop();
}

/* A holder that does not grant stops its own stream, after one window. */
static void run_flow_control(void)
{
    static char kilobyte[1025];
    memset(kilobyte, 'k', 1024);
    h2_app_start();
    uint32_t slow = h2_app_get(0, "GET"), fast = h2_app_get(1, "GET");
    h2_app.calls[0].no_grant = true;
    h2_peer_send_head(&h2_app.peer, slow, 0, ":status: 200\n");
    h2_peer_send_head(&h2_app.peer, fast, 0, ":status: 200\n");
    for (unsigned i = 0; i < 63; i++)
        h2_app_send_data(slow, 0, kilobyte);
    for (unsigned i = 0; i < 500; i++) { /* beyond one window of a stream and of a connection */
        h2_app_send_data(fast, 0, kilobyte);
        if (i % 32 == 31)
            h2_peer_expect(&h2_app.peer, NGHTTP2_WINDOW_UPDATE, fast);
    }
    h2_app_send_data(fast, END, "");
    h2_app_until_over(1);
    assert_int_equal(h2_app.calls[1].body.len, 500 * 1024);
    assert_int_equal(h2_app.calls[0].body.len, 63 * 1024);
    h2_app.calls[0].no_grant = false;
    http_stream_grant(h2_app.calls[0].stream, 63 * 1024);
    h2_peer_expect(&h2_app.peer, NGHTTP2_WINDOW_UPDATE, slow);
    h2_app_send_data(slow, END, kilobyte);
    h2_app_until_over(0);
    assert_int_equal(h2_app.calls[0].body.len, 64 * 1024);
    h2_app_stop();
}

/* The peer's window is closed: we keep a little and say that it is too much. */
static void run_upload(void)
{
    static char piece[16384];
    h2_app_start();
    h2_app_post(0);
    struct iovec iov = {piece, sizeof(piece)};
    unsigned sent = 0;
    while (!http_stream_is_congested(h2_app.calls[0].stream) && sent < 64) {
        assert_int_equal(http_stream_send_body(h2_app.calls[0].stream, &iov, 1), 0);
        sent++;
        wire_turn(&h2_app.wire);
    }
    assert_in_range(sent, 5, 10); /* a window of 64 KiB, and what is kept */
    assert_int_equal(h2_app.calls[0].drains, 0);
    h2_peer_send_number(&h2_app.peer, NGHTTP2_WINDOW_UPDATE, 0, 1u << 20);
    h2_peer_send_number(&h2_app.peer, NGHTTP2_WINDOW_UPDATE, 1, 1u << 20);
    for (int i = 0; i < 5000 && h2_app.calls[0].drains == 0; i++)
        wire_turn(&h2_app.wire);
    assert_int_equal(h2_app.calls[0].drains, 1);
    h2_app_end_body(0);
    size_t got = 0;
    for (struct h2_peer_frame *data = NULL; data == NULL || (data->flags & END) == 0;) {
        data = h2_peer_expect(&h2_app.peer, NGHTTP2_DATA, 1);
        got += data->payload.len;
    }
    assert_int_equal(got, sent * sizeof(piece));
    h2_app_answer(0, 1);
    h2_app_stop();
}

/* A response that is whole before the request is, and the peer wants no more (RFC 9113 8.1). */
static void run_early_response(void)
{
    h2_app_start();
    for (unsigned i = 0; i < 300; i++) { /* none of these resets count */
        h2_app.calls[0].reset_on_end = true;
        uint32_t id = h2_app_post(0);
        h2_peer_send_head(&h2_app.peer, id, 0, ":status: 413\n");
        h2_app_send_data(id, END, "no");
        h2_peer_send_number(&h2_app.peer, NGHTTP2_RST_STREAM, id, NGHTTP2_NO_ERROR);
        h2_app_until_over(0);
        assert_true(h2_app.calls[0].ended);
        assert_int_equal(h2_app.calls[0].status, 413);
        assert_int_equal(h2_app.calls[0].reset, HTTP_ERROR_NONE);
        if (i % 16 == 15) {
            arena_reset(&h2_app.calls[0].arena);
            h2_app_turns(1);
        }
    }
    h2_app_stop();
}

/* The peer goes on reading: so do we. */
static void run_response_before_request_end(void)
{
    h2_app_start();
    h2_app_post(0);
    h2_peer_send_head(&h2_app.peer, 1, END, ":status: 200\n");
    for (int i = 0; i < 5000 && !h2_app.calls[0].ended; i++)
        wire_turn(&h2_app.wire);
    assert_true(h2_app.calls[0].alive);
    struct iovec iov = {(char *)(uintptr_t) "late", 4};
    assert_int_equal(http_stream_send_body(h2_app.calls[0].stream, &iov, 1), 0);
    h2_app_end_body(0);
    struct h2_peer_frame *data = h2_peer_expect(&h2_app.peer, NGHTTP2_DATA, 1);
    assert_true(span_equal_str(data->payload, "late"));
    h2_app_turns(2);
    assert_int_equal(http_client_active(h2_app.client), 0);
    assert_int_equal(h2_peer_count(&h2_app.peer, NGHTTP2_RST_STREAM, 1), 0);
    h2_app_answer(0, h2_app_get(0, "GET"));
    h2_app_stop();
}

static void run_holder_resets(void)
{
    h2_app_start();
    uint32_t id = h2_app_get(0, "GET");
    http_stream_reset(h2_app.calls[0].stream, HTTP_ERROR_GONE);
    h2_app.calls[0].alive = false;
    struct h2_peer_frame *reset = h2_peer_expect(&h2_app.peer, NGHTTP2_RST_STREAM, id);
    assert_int_equal(h2_peer_number(reset, 0), NGHTTP2_CANCEL);
    h2_peer_send_head(&h2_app.peer, id, 0, ":status: 200\n"); /* was on its way */
    h2_app_send_data(id, END, "gone");
    h2_app_answer(1, h2_app_get(1, "GET"));
    assert_int_equal(h2_app.calls[0].status, 0);
    h2_app_stop();
}

static void run_tunnel(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    h2_app_start_with(&limits);
    h2_app_greet(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
    h2_app_turns(2);
    assert_true(http_client_can_tunnel(h2_app.client));
    struct http_head *head = h2_app_request_head(0, "GET", "/chat");
    head->upgrade = SPAN_LIT("websocket");
    assert_true(h2_app_try_request(0, head, false));
    struct h2_peer_frame *frame = h2_peer_expect(&h2_app.peer, NGHTTP2_HEADERS, 1);
    assert_false(frame->flags & END);
    assert_string_equal(buf_str(&frame->head),
                        ":method: CONNECT\n:protocol: websocket\n:scheme: http\n"
                        ":authority: a.example:81\n:path: /chat\naccept: */*\n");
    h2_peer_send_head(&h2_app.peer, 1, 0, ":status: 200\n");
    h2_app_send_data(1, 0, "down");
    for (int i = 0; i < 5000 && h2_app.calls[0].body.len < 4; i++)
        wire_turn(&h2_app.wire);
    assert_int_equal(h2_app.calls[0].status, 101);
    assert_string_equal(buf_str(&h2_app.calls[0].body), "down");
    struct iovec iov = {(char *)(uintptr_t) "up", 2};
    assert_int_equal(http_stream_send_body(h2_app.calls[0].stream, &iov, 1), 0);
    frame = h2_peer_expect(&h2_app.peer, NGHTTP2_DATA, 1);
    assert_true(span_equal_str(frame->payload, "up"));
    h2_app_send_data(1, END, "");
    for (int i = 0; i < 5000 && !h2_app.calls[0].ended; i++)
        wire_turn(&h2_app.wire);
    h2_app_end_body(0);
    frame = h2_peer_expect(&h2_app.peer, NGHTTP2_DATA, 1);
    assert_true(frame->flags & END);
    h2_app_stop();
}

/* The backend says no to a tunnel, as to any request. */
static void run_tunnel_refused(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    h2_app_start_with(&limits);
    h2_app_greet(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
    struct http_head *head = h2_app_request_head(0, "GET", "/chat");
    head->upgrade = SPAN_LIT("websocket");
    h2_app.calls[0].reset_on_end = true;
    assert_true(h2_app_try_request(0, head, false));
    h2_peer_send_head(&h2_app.peer, 1, 0, ":status: 403\n");
    h2_app_send_data(1, END, "no");
    h2_app_until_over(0);
    assert_int_equal(h2_app.calls[0].status, 403);
    assert_true(h2_app.calls[0].ended);
    h2_app_stop();
}

static void run_header_list_size(void)
{
    static char value[4000];
    memset(value, 'v', sizeof(value) - 1);
    struct http_limits limits;
    http_limits_default(&limits);
    h2_app_start_with(&limits);
    h2_app_greet(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 4000);
    struct http_head *head = h2_app_request_head(0, "GET", "/");
    assert_true(http_head_add(head, SPAN_LIT("x"), span_str(value)));
    assert_false(h2_app_try_request(0, head, true));
    assert_int_equal(h2_app.client->refusal, HTTP_ERROR_HEAD_TOO_LARGE);
    assert_int_equal(h2_peer_count(&h2_app.peer, NGHTTP2_HEADERS, 1), 0);
    h2_app_answer(0, h2_app_get(0, "GET"));
    h2_app_stop();
}

/* No block is left for the head: not the head's fault, nor the session's. */
static void run_no_memory(void)
{
    h2_app_start();
    struct http_head *head = h2_app_request_head(0, "GET", "/");
    while (arena_alloc(&h2_app.calls[0].arena, 16) != NULL)
        continue;
    assert_false(h2_app_try_request(0, head, true));
    assert_int_equal(h2_app.client->refusal, HTTP_ERROR_NO_MEMORY);
    h2_app_answer(1, h2_app_get(1, "GET"));
    http_client_drain(h2_app.client);
    assert_false(h2_app_try_request(2, h2_app_request_head(2, "GET", "/"), true));
    assert_int_equal(h2_app.client->refusal, HTTP_ERROR_CLOSED);
    h2_app_stop();
}

static void run_drain(void)
{
    h2_app_start();
    uint32_t id = h2_app_get(0, "GET");
    http_client_drain(h2_app.client);
    assert_int_equal(http_client_room(h2_app.client), 0);
    assert_false(h2_app_try_request(1, h2_app_request_head(1, "GET", "/"), true));
    h2_app_answer(0, id);
    h2_app_until_closed();
    assert_int_equal(h2_app.closed, HTTP_ERROR_NONE);
    h2_app_stop();
    h2_app_start();
    http_client_drain(h2_app.client);
    h2_app_until_closed();
    h2_app_stop();
}

static void run_close_in_progress(void)
{
    h2_app_start();
    h2_app_get(0, "GET");
    h2_app_get(1, "GET");
    http_client_close(h2_app.client);
    assert_null(h2_app.client);
    assert_int_equal(h2_app.calls[0].reset, HTTP_ERROR_GONE);
    assert_int_equal(h2_app.calls[1].reset, HTTP_ERROR_GONE);
    wire_expect_end(&h2_app.wire);
    h2_app_stop();
}

static void run_idle_timeout(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    limits.idle_timeout_ns = 100 * NS_PER_MS;
    h2_app_start_with(&limits);
    h2_app_greet(0, 0);
    if (h2_app.client != NULL)
        h2_app_answer(0, h2_app_get(0, "GET"));
    h2_app_until_closed();
    assert_int_equal(h2_app.closed, HTTP_ERROR_NONE);
    h2_app_stop();
}

#define TESTS(X)                                                                                   \
    X(start)                                                                                       \
    X(exchange)                                                                                    \
    X(empty_responses)                                                                             \
    X(streams)                                                                                     \
    X(goaway)                                                                                      \
    X(flow_control)                                                                                \
    X(upload)                                                                                      \
    X(early_response)                                                                              \
    X(response_before_request_end)                                                                 \
    X(holder_resets)                                                                               \
    X(tunnel)                                                                                      \
    X(tunnel_refused)                                                                              \
    X(header_list_size)                                                                            \
    X(no_memory)                                                                                   \
    X(drain)                                                                                       \
    X(close_in_progress)                                                                           \
    X(idle_timeout)

TESTS(WIRE_TEST)

int main(void)
{
    const struct CMUnitTest tests[] = {TESTS(WIRE_ENTRY)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
