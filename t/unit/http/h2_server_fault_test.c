/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_server.h"

#include "h2_peer.h"
#include "server_app.h"

/* Between the failure of a stream and its on_reset the holder may go on as if nothing were. */

static struct app app;
static struct h2_peer peer;

static void start(void)
{
    app_open(&app, NULL, true);
    h2_peer_init(&peer, &app.wire);
    h2_peer_hello(&peer);
}

static void stop(void)
{
    app_stop(&app);
    h2_peer_fini(&peer);
}

static void settle(void)
{
    for (int i = 0; i < 20; i++)
        h2_peer_turn(&peer);
}

static int send_head(struct request *r, const char *value)
{
    struct http_head *head = http_head_new(&r->arena, 1);
    head->is_response = true;
    head->status = 200;
    head->content_length = HTTP_LENGTH_UNKNOWN;
    assert_true(http_head_add(head, SPAN_LIT("x-value"), span_str(value)));
    return http_stream_send_head(r->stream, head, false);
}

static int send_body(struct request *r)
{
    struct iovec iov = {(char[]){'a', 'b'}, 2};
    return http_stream_send_body(r->stream, &iov, 1);
}

/* What is left of a response to send when the first call fails. */
static void go_on(struct request *r)
{
    assert_true(http_stream_is_congested(r->stream) == false);
    assert_true(send_body(r) < 0);
    http_stream_grant(r->stream, 1);
    assert_true(send_body(r) < 0);
    assert_true(http_stream_end(r->stream, NULL) < 0);
    assert_true(r->alive && r->reset == HTTP_ERROR_NONE);
}

/* The client takes no head as large: it gets 502. */
static void run_head_refused(void)
{
    static const char large[] = "0123456789012345678901234567890123456789012345678901234567890123";
    start();
    h2_peer_send_setting(&peer, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 64);
    h2_peer_get(&peer, 1, "/hold");
    h2_peer_get(&peer, 3, "/hold");
    settle();
    for (unsigned i = 0; i < 2; i++) {
        struct request *r = app.requests[i];
        assert_true(send_head(r, large) < 0);
        go_on(r);
        if (i == 1) { /* no callback follows */
            http_stream_reset(r->stream, HTTP_ERROR_GONE);
            r->alive = false;
        }
        struct h2_peer_frame *frame = h2_peer_expect(&peer, NGHTTP2_HEADERS, 2 * i + 1);
        assert_non_null(strstr(buf_str(&frame->head), ":status: 502\n"));
        settle();
        assert_false(r->alive);
    }
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_BAD_RESPONSE);
    assert_true(http_server_is_idle(app.session));
    stop();
}

static void on_body_of_another(struct http_stream_user *user UNUSED,
                               struct http_stream *stream UNUSED, struct span data UNUSED)
{
    assert_true(send_head(app.requests[0], "small") < 0);
    go_on(app.requests[0]);
    go_on(app.requests[1]);
}

/* The client resets two streams, of which one was being answered, and what comes after that in the
 * same segment makes their holders send. */
static void run_peer_resets(void)
{
    static const char bytes[] = "\0\0\4\3\0\0\0\0\1\0\0\0\10" /* RST_STREAM CANCEL */
                                "\0\0\4\3\0\0\0\0\3\0\0\0\10"
                                "\0\0\1\0\0\0\0\0\5x"; /* DATA */
    struct http_stream_user_ops ops;
    start();
    h2_peer_get(&peer, 1, "/hold");
    h2_peer_get(&peer, 3, "/hold");
    h2_peer_send_head(&peer, 5, 0, ":method: POST\n:scheme: http\n:path: /x\n:authority: a\n");
    settle();
    assert_int_equal(send_head(app.requests[1], "small"), 0);
    settle();
    ops = *app.requests[2]->user.ops;
    ops.on_body = on_body_of_another;
    app.requests[2]->user.ops = &ops;
    wire_send(&app.wire, bytes, sizeof(bytes) - 1);
    settle();
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_CANCELLED);
    assert_int_equal(app.requests[1]->reset, HTTP_ERROR_CANCELLED);
    assert_true(app.requests[2]->alive);
    stop();
}

WIRE_TEST(head_refused)
WIRE_TEST(peer_resets)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_refused),
        cmocka_unit_test(test_peer_resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
