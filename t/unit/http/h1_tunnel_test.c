/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "server_app.h"

/* What follows a 101 on a server session. */

#define UPGRADE "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

static struct request *tunnel_start(struct app *app, const char *bytes)
{
    app_open(app, NULL, false);
    wire_send_text(&app->wire, bytes);
    wire_expect(&app->wire, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
                            "upgrade: websocket\r\n\r\n");
    wire_settle(&app->wire);
    struct request *r = app->requests[0];
    assert_true(r->tunnel && r->alive && !r->ended);
    return r;
}

static void tunnel_send(struct request *r, const char *text)
{
    struct iovec iov = {(char *)(uintptr_t)text, strlen(text)};
    assert_int_equal(http_stream_send_body(r->stream, &iov, 1), 0);
}

static void run_upgrade(void)
{
    struct app app;
    struct request *r = tunnel_start(&app, UPGRADE "frames");
    assert_int_equal(r->body.len, 0); /* no credit yet */
    http_stream_grant(r->stream, HTTP_STREAM_WINDOW);
    wire_settle(&app.wire);
    assert_string_equal(buf_str(&r->body), "frames");
    tunnel_send(r, "answer");
    wire_expect(&app.wire, "\r\n\r\nanswer");
    wire_send_text(&app.wire, "GET / HTTP/1.1\r\n\r\n"); /* bytes like any others */
    wire_settle(&app.wire);
    assert_string_equal(buf_str(&r->body), "framesGET / HTTP/1.1\r\n\r\n");
    assert_false(http_server_is_idle(app.session));

    wire_shutdown(&app.wire); /* half-closes, theirs first */
    wire_settle(&app.wire);
    assert_true(r->ended && r->alive);
    tunnel_send(r, "last");
    r->answered = true;
    r->alive = false;
    assert_int_equal(http_stream_end(r->stream, NULL), 0);
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(wire_count(&app.wire, "answerlast"), 1);
    wire_settle(&app.wire);
    assert_int_equal(app.closed, HTTP_ERROR_NONE);
    app_stop(&app);

    r = tunnel_start(&app, UPGRADE); /* ours first */
    http_stream_grant(r->stream, HTTP_STREAM_WINDOW);
    r->answered = true;
    assert_int_equal(http_stream_end(r->stream, NULL), 0);
    assert_true(wire_expect_end(&app.wire));
    wire_send_text(&app.wire, "late");
    wire_settle(&app.wire);
    assert_string_equal(buf_str(&r->body), "late");
    wire_shutdown(&app.wire);
    wire_settle(&app.wire);
    assert_true(r->ended && !r->alive);
    assert_null(app.session);
    app_stop(&app);
}

static void run_upgrade_ends(void)
{
    struct app app;
    struct request *r = tunnel_start(&app, UPGRADE "x");
    wire_shutdown(&app.wire); /* before there was credit */
    wire_settle(&app.wire);
    assert_false(r->ended);
    http_stream_grant(r->stream, 1);
    wire_settle(&app.wire);
    assert_true(r->ended && r->body.len == 1);
    r->alive = false;
    http_stream_reset(r->stream, HTTP_ERROR_GONE); /* told by a reset */
    assert_false(wire_expect_end(&app.wire));
    app_stop(&app);

    r = tunnel_start(&app, UPGRADE); /* the end alone, nothing before it */
    wire_shutdown(&app.wire);
    wire_settle(&app.wire);
    http_stream_grant(r->stream, 1);
    wire_settle(&app.wire);
    assert_true(r->ended);
    http_server_abort(app.session);
    assert_false(r->alive);
    assert_int_equal(r->reset, HTTP_ERROR_GONE);
    app_stop(&app);

    r = tunnel_start(&app, UPGRADE);
    http_server_drain(app.session); /* waits for the tunnel */
    wire_settle(&app.wire);
    assert_true(r->alive);
    wire_close(&app.wire, true);
    for (int i = 0; i < 5000 && r->alive; i++)
        loop_turn(app.wire.loop, NS_PER_MS);
    assert_int_equal(r->reset, HTTP_ERROR_RESET);
    app_stop(&app);
}

WIRE_TEST(upgrade)
WIRE_TEST(upgrade_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_upgrade_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
