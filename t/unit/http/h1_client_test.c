/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vectors.h"
#include "wire.h"

/* A client session over a real connection on both engines; the test plays the server. */

struct call {
    struct http_stream_user user;
    struct http_stream *stream; /* NULL: gone */
    struct arena arena;
    struct buf body;
    unsigned status, interims, trailers;
    bool ended, alive, written, no_grant;
    enum http_error reset;
};

struct app {
    struct http_client_owner owner;
    struct wire wire;
    struct h1_client_pool *pool;
    struct http_client *client;
    struct http_limits limits;
    struct call call;
    unsigned idles, closes;
    enum http_error closed;
};

static struct call *call_of(struct http_stream_user *user)
{
    return container_of(user, struct call, user);
}

static void call_on_head(struct http_stream_user *user, struct http_stream *stream,
                         struct http_head *head)
{
    struct call *call = call_of(user);
    assert_true(call->alive && stream != NULL && !call->ended);
    if (head->status < 200 && head->status != 101) {
        call->interims++;
        return;
    }
    assert_int_equal(call->status, 0);
    call->status = head->status;
    if (head->status == 101)
        call->written = false; /* open again */
}

static void call_on_body(struct http_stream_user *user, struct http_stream *stream,
                         struct span data)
{
    struct call *call = call_of(user);
    assert_true(call->alive && call->status != 0 && !call->ended);
    buf_add_span(&call->body, data);
    if (!call->no_grant)
        http_stream_grant(stream, data.len);
}

static void call_on_end(struct http_stream_user *user, struct http_stream *stream,
                        struct http_head *trailers)
{
    struct call *call = call_of(user);
    assert_true(call->alive && stream != NULL && !call->ended);
    call->ended = true;
    call->trailers = trailers != NULL ? trailers->fields_count : 0;
    if (call->written)
        call->alive = false;
}

static void call_on_drain(struct http_stream_user *user, struct http_stream *stream)
{
    assert_true(call_of(user)->alive && stream != NULL);
}

static void call_on_reset(struct http_stream_user *user, struct http_stream *stream,
                          enum http_error error)
{
    struct call *call = call_of(user);
    assert_true(call->alive && stream != NULL);
    bool conn_failed = error == HTTP_ERROR_RESET;
    assert_int_equal(stream->error_text != NULL, conn_failed);
    call->alive = false;
    call->reset = error;
}

static const struct http_stream_user_ops call_ops = {
    .on_head = call_on_head,
    .on_body = call_on_body,
    .on_end = call_on_end,
    .on_drain = call_on_drain,
    .on_reset = call_on_reset,
};

static void app_on_room(struct http_client_owner *owner, struct http_client *client)
{
    struct app *app = container_of(owner, struct app, owner);
    assert_ptr_equal(client, app->client);
    assert_false(app->call.alive);
    app->idles++;
}

static void app_on_closed(struct http_client_owner *owner, struct http_client *client,
                          enum http_error error)
{
    struct app *app = container_of(owner, struct app, owner);
    assert_ptr_equal(client, app->client);
    assert_false(app->call.alive);
    app->client = NULL;
    app->closes++;
    app->closed = error;
}

static const struct http_client_owner_ops app_ops = {
    .on_room = app_on_room,
    .on_closed = app_on_closed,
};

static void call_reset(struct app *app)
{
    struct call *call = &app->call;
    buf_fini(&call->body);
    arena_fini(&call->arena);
    memset(call, 0, sizeof(*call));
    buf_init(&call->body, 16u << 20);
    arena_init(&call->arena, BLOCK_SIZE, 32 * BLOCK_SIZE,
               block_arena_source(app->wire.loop->blocks));
    call->user.ops = &call_ops;
}

static void app_start(struct app *app)
{
    memset(app, 0, sizeof(*app));
    http_limits_default(&app->limits);
    wire_open(&app->wire, wire_loop_new());
    app->pool = h1_client_pool_new(app->wire.loop, 4);
    app->owner.ops = &app_ops;
    arena_init(&app->call.arena, BLOCK_SIZE, 0, block_arena_source(app->wire.loop->blocks));
    buf_init(&app->call.body, 1);
    call_reset(app);
    app->client = h1_client_start(app->pool, app->wire.conn, &app->limits, &app->owner);
    assert_non_null(app->client);
    conn_start(app->wire.conn);
}

static void app_stop(struct app *app)
{
    if (app->client != NULL)
        http_client_close(app->client);
    for (int i = 0; i < 100 && app->client != NULL; i++)
        wire_turn(&app->wire);
    assert_null(app->client);
    assert_int_equal(app->closes, 1);
    wire_fini(&app->wire);
    h1_client_pool_free(app->pool);
    buf_fini(&app->call.body);
    arena_fini(&app->call.arena);
    loop_free(app->wire.loop);
}

static struct http_head *request_head(struct app *app, const char *method, const char *path)
{
    struct http_head *head = http_head_new(&app->call.arena, 4);
    head->method_text = span_str(method);
    head->method = http_method_from_span(head->method_text);
    head->path = span_str(path);
    head->authority = SPAN_LIT("a.example:81");
    assert_true(http_head_add(head, SPAN_LIT("Accept"), SPAN_LIT("*/*")));
    assert_true(http_head_add(head, SPAN_LIT("Host"), SPAN_LIT("other")));
    assert_true(http_head_add(head, SPAN_LIT("Connection"), SPAN_LIT("x")));
    return head;
}

static void call_start(struct app *app, struct http_head *head, bool end)
{
    app->call.alive = true;
    app->call.written = end;
    app->call.stream =
        http_client_request(app->client, head, &app->call.arena, &app->call.user, end);
    assert_non_null(app->call.stream);
}

static void get(struct app *app, const char *method)
{
    call_start(app, request_head(app, method, "/x"), true);
    wire_expect(&app->wire, "/x HTTP/1.1\r\n");
}

static void until_over(struct app *app)
{
    for (int i = 0; i < 5000 && app->call.alive; i++)
        wire_turn(&app->wire);
    assert_false(app->call.alive);
    wire_turn(&app->wire);
}

static void run_request_forms(void)
{
    struct app app;
    app_start(&app);
    struct http_head *head = request_head(&app, "GET", "/a");
    head->has_query = true;
    head->query = SPAN_LIT("q=1");
    call_start(&app, head, true);
    wire_expect(&app.wire, "GET /a?q=1 HTTP/1.1\r\nhost: a.example:81\r\nAccept: */*\r\n\r\n");
    wire_send_text(&app.wire, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    until_over(&app);
    assert_int_equal(app.idles, 1);
    call_reset(&app);
    head = request_head(&app, "POST", "/b");
    head->content_length = HTTP_LENGTH_UNKNOWN;
    head->expect_continue = true;
    call_start(&app, head, false);
    wire_expect(&app.wire, "expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n");
    wire_send_text(&app.wire, "HTTP/1.1 100 Continue\r\n\r\n");
    for (int i = 0; i < 5000 && app.call.interims == 0; i++)
        wire_turn(&app.wire);
    static char piece[2] = {'x', 'y'};
    struct iovec iov[9];
    for (size_t i = 0; i < ARRAY_COUNT(iov); i++)
        iov[i] = (struct iovec){piece, sizeof(piece)};
    assert_int_equal(http_stream_send_body(app.call.stream, iov, 9), 0);
    app.call.written = true;
    assert_int_equal(http_stream_end(app.call.stream, NULL), 0);
    wire_expect(&app.wire, "12\r\nxyxyxyxyxyxyxyxyxy\r\n0\r\n\r\n");
    wire_send_text(&app.wire, "HTTP/1.1 204 No Content\r\n\r\n");
    until_over(&app);
    assert_int_equal(app.call.status, 204);
    assert_int_equal(app.idles, 2);
    call_reset(&app);
    call_start(&app, request_head(&app, "PUT", "/c"), true);
    wire_expect(&app.wire, "Accept: */*\r\ncontent-length: 0\r\n\r\n");
    app_stop(&app);
}

struct response_case {
    const char *bytes;
    const char *method;
    unsigned status, interims, trailers;
    const char *body; /* NULL: reset */
    bool idle; /* the session lives on */
    bool end; /* the server closes */
    enum http_error reset;
};

#define OK "HTTP/1.1 200 OK\r\n"
static const struct response_case response_cases[] = {
    {OK "Content-Length: 3\r\n\r\nabc", "GET", 200, 0, 0, "abc", true, false, 0},
    {OK "Content-Length: 0\r\n\r\n", "GET", 200, 0, 0, "", true, false, 0},
    {OK "Content-Length: 3\r\n\r\n", "HEAD", 200, 0, 0, "", true, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n", "HEAD", 200, 0, 0, "", true, false, 0},
    {OK "\r\n", "HEAD", 200, 0, 0, "", true, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\nHost: b\r\n\r\n", "GET", 200, 0,
     1, "abc", true, false, 0},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "GET", 304, 0, 0, "", true, false,
     0},
    {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET", 204, 0, 0, "", false,
     false, 0},
    {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", 204, 0, 0, "", false, false,
     0},
    {"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", "GET", 204, 0, 0, "", false, false, 0},
    {"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", "GET", 204, 0, 0, "", true, false, 0},
    {"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\nContent-Length: 9\r\n\r\n" OK
     "Content-Length: 1\r\n\r\nx",
     "GET", 200, 2, 0, "x", true, false, 0},
    {OK "Content-Length: 3\r\nConnection: close\r\n\r\nabc", "GET", 200, 0, 0, "abc", false, false,
     0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "GET", 200, 0, 0, "abc", false, false, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc", "GET", 200, 0, 0,
     "abc", true, false, 0},
    {OK "\r\nuntil the end", "GET", 200, 0, 0, "until the end", false, true, 0},
    {OK "Content-Length: 3\r\n\r\nabcd", "GET", 200, 0, 0, "abc", false, false, 0},
    {OK "Content-Length: 3\r\n\r\nabc" OK "Content-Length: 0\r\n\r\n", "GET", 200, 0, 0, "abc",
     false, false, 0},
    {OK "Content-Length: 3\r\n\r\nab", "GET", 200, 0, 0, NULL, false, true, HTTP_ERROR_TRUNCATED},
    {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nab", "GET", 200, 0, 0, NULL, false, true,
     HTTP_ERROR_TRUNCATED},
    {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX", "GET", 200, 0, 0, NULL, false, false,
     HTTP_ERROR_BAD_RESPONSE},
    {OK "Content-Le", "GET", 0, 0, 0, NULL, false, true, HTTP_ERROR_TRUNCATED},
    {"", "GET", 0, 0, 0, NULL, false, true, HTTP_ERROR_CLOSED},
    {"SSH-2.0-x\r\n", "GET", 0, 0, 0, NULL, false, false, HTTP_ERROR_BAD_RESPONSE},
    {"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET", 0, 0, 0, NULL,
     false, false, HTTP_ERROR_BAD_RESPONSE},
};

static void check_response(const struct response_case *c, bool slow)
{
    struct app app;
    app_start(&app);
    get(&app, c->method);
    size_t len = strlen(c->bytes);
    for (size_t i = 0; slow && i < len; i++) {
        wire_send(&app.wire, c->bytes + i, 1);
        loop_turn(app.wire.loop, NS_PER_MS);
    }
    if (!slow)
        wire_send(&app.wire, c->bytes, len);
    if (c->end)
        wire_shutdown(&app.wire);
    until_over(&app);
    if (app.call.reset != c->reset || app.call.ended != (c->body != NULL) ||
        app.call.status != c->status || app.call.interims != c->interims)
        fail_msg("\"%s\": reset %s, status %u", c->bytes, http_error_name(app.call.reset),
                 app.call.status);
    if (c->body != NULL)
        assert_string_equal(buf_str(&app.call.body), c->body);
    assert_int_equal(app.call.trailers, c->trailers);
    wire_settle(&app.wire);
    if (!slow)
        assert_int_equal(app.client != NULL, c->idle);
    app_stop(&app);
}

static void run_responses(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(response_cases); i++) {
        check_response(&response_cases[i], false);
        check_response(&response_cases[i], true);
    }
}

static void run_vectors(void)
{
    const struct vector *v;
    size_t count = vectors_load(&v);
    for (size_t i = 0; i < count; i++) {
        if (!v[i].is_response)
            continue;
        struct app app;
        app_start(&app);
        get(&app, "GET");
        wire_send(&app.wire, v[i].bytes, v[i].len);
        until_over(&app);
        if (app.call.reset != (v[i].status ? HTTP_ERROR_BAD_RESPONSE : HTTP_ERROR_NONE))
            fail_msg("%s: %s", v[i].name, http_error_name(app.call.reset));
        app_stop(&app);
    }
}

static void run_interim_flood(void)
{
    struct app app;
    app_start(&app);
    get(&app, "GET");
    for (int i = 0; i < 17; i++)
        wire_send_text(&app.wire, "HTTP/1.1 102 P\r\n\r\n");
    until_over(&app);
    assert_int_equal(app.call.interims, 16);
    assert_int_equal(app.call.reset, HTTP_ERROR_BAD_RESPONSE);
    app_stop(&app);
}

static void upgrade_start(struct app *app, const char *upgrade)
{
    char text[256];
    app_start(app);
    struct http_head *head = request_head(app, "GET", "/ws");
    head->upgrade = SPAN_LIT("websocket");
    call_start(app, head, true);
    wire_expect(&app->wire, "connection: upgrade\r\nupgrade: websocket\r\n\r\n");
    snprintf(text, sizeof(text),
             "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nhello", upgrade);
    wire_send_text(&app->wire, text);
    wire_settle(&app->wire);
}

static void tunnel_send(struct app *app, const char *text)
{
    struct iovec iov = {(char *)(uintptr_t)text, strlen(text)};
    assert_int_equal(http_stream_send_body(app->call.stream, &iov, 1), 0);
}

static void run_upgrade(void)
{
    struct app app;
    upgrade_start(&app, "h2c"); /* nobody asked for that */
    assert_int_equal(app.call.reset, HTTP_ERROR_BAD_RESPONSE);
    app_stop(&app);

    upgrade_start(&app, "WebSocket"); /* their half-close first */
    assert_string_equal(buf_str(&app.call.body), "hello");
    tunnel_send(&app, "frames");
    wire_expect(&app.wire, "\r\n\r\nframes");
    wire_shutdown(&app.wire);
    wire_settle(&app.wire);
    assert_true(app.call.ended && app.call.alive);
    tunnel_send(&app, "more");
    app.call.alive = false;
    assert_int_equal(http_stream_end(app.call.stream, NULL), 0);
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(wire_count(&app.wire, "framesmore"), 1);
    wire_settle(&app.wire);
    assert_null(app.client); /* never used again */
    assert_int_equal(app.idles, 0);
    app_stop(&app);

    upgrade_start(&app, "websocket"); /* ours first */
    app.call.written = true;
    assert_int_equal(http_stream_end(app.call.stream, NULL), 0);
    assert_true(wire_expect_end(&app.wire));
    wire_send_text(&app.wire, " late");
    wire_shutdown(&app.wire);
    until_over(&app);
    assert_true(app.call.ended);
    assert_string_equal(buf_str(&app.call.body), "hello late");
    app_stop(&app);

    upgrade_start(&app, "websocket"); /* given up */
    app.call.alive = false;
    http_stream_reset(app.call.stream, HTTP_ERROR_GONE);
    assert_false(wire_expect_end(&app.wire));
    app_stop(&app);
}

static void run_early_response(void)
{
    for (int reset = 0; reset < 2; reset++) {
        struct app app;
        app_start(&app);
        struct http_head *head = request_head(&app, "POST", "/x");
        head->content_length = 3;
        call_start(&app, head, false);
        wire_expect(&app.wire, "content-length: 3\r\n\r\n");
        wire_send_text(&app.wire, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        for (int i = 0; i < 5000 && !app.call.ended; i++)
            wire_turn(&app.wire);
        assert_true(app.call.ended && app.call.alive);
        app.call.alive = false;
        if (reset) {
            http_stream_reset(app.call.stream, HTTP_ERROR_GONE);
        } else {
            struct iovec iov = {(char[]){'a', 'b', 'c'}, 3};
            assert_int_equal(http_stream_send_body(app.call.stream, &iov, 1), 0);
            assert_int_equal(http_stream_end(app.call.stream, NULL), 0);
        }
        (void)wire_expect_end(&app.wire); /* never used again */
        assert_null(app.client);
        assert_int_equal(app.idles, 0);
        app_stop(&app);
    }
}

static void run_idle(void)
{
    struct app app;
    app_start(&app); /* bytes that nobody asked for */
    wire_send_text(&app.wire, OK);
    wire_settle(&app.wire);
    assert_null(app.client);
    assert_int_equal(app.closed, HTTP_ERROR_BAD_RESPONSE);
    app_stop(&app);
    app_start(&app); /* the server closes */
    wire_shutdown(&app.wire);
    wire_settle(&app.wire);
    assert_int_equal(app.closed, HTTP_ERROR_CLOSED);
    app_stop(&app);
    app_start(&app); /* the server resets */
    wire_close(&app.wire, true);
    for (int i = 0; i < 5000 && app.client != NULL; i++)
        loop_turn(app.wire.loop, NS_PER_MS);
    assert_null(app.client);
    app_stop(&app);
    app_start(&app); /* we close */
    http_client_close(app.client);
    assert_int_equal(app.closed, HTTP_ERROR_NONE);
    app_stop(&app);
}

static void run_back_pressure(void)
{
    struct app app;
    static char body[150000];
    app_start(&app);
    get(&app, "GET");
    app.call.no_grant = true;
    wire_send_text(&app.wire, OK "Content-Length: 150000\r\n\r\n");
    wire_send(&app.wire, body, sizeof(body));
    wire_settle(&app.wire);
    assert_int_equal(app.call.body.len, HTTP_STREAM_WINDOW);
    size_t given = 0;
    while (app.call.alive) {
        size_t n = app.call.body.len - given;
        given += n;
        http_stream_grant(app.call.stream, n);
        wire_settle(&app.wire);
    }
    assert_int_equal(app.call.body.len, sizeof(body));
    assert_int_equal(app.idles, 1);
    app_stop(&app);
}

/* The end comes while the last bytes wait for credit: they are not lost. */
static void run_end_while_paused(void)
{
    struct app app;
    static char body[100000];
    app_start(&app);
    get(&app, "GET");
    app.call.no_grant = true;
    wire_send_text(&app.wire, OK "\r\n");
    wire_send(&app.wire, body, sizeof(body));
    wire_shutdown(&app.wire);
    wire_settle(&app.wire);
    assert_true(app.call.alive);
    app.call.no_grant = false;
    http_stream_grant(app.call.stream, app.call.body.len);
    until_over(&app);
    assert_true(app.call.ended);
    assert_int_equal(app.call.body.len, sizeof(body));
    app_stop(&app);
}

static void run_resets(void)
{
    static const char text[] = OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n";
    for (size_t len = 0; len < sizeof(text); len += 7) {
        struct app app;
        app_start(&app);
        get(&app, "GET");
        wire_send(&app.wire, text, len);
        wire_turn(&app.wire);
        wire_close(&app.wire, true);
        until_over(&app);
        assert_false(app.call.ended);
        assert_true(app.call.reset != HTTP_ERROR_NONE);
        app_stop(&app);
    }
}

WIRE_TEST(request_forms)
WIRE_TEST(responses)
WIRE_TEST(vectors)
WIRE_TEST(interim_flood)
WIRE_TEST(upgrade)
WIRE_TEST(early_response)
WIRE_TEST(idle)
WIRE_TEST(back_pressure)
WIRE_TEST(end_while_paused)
WIRE_TEST(resets)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_forms),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_interim_flood),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_early_response),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_end_while_paused),
        cmocka_unit_test(test_resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
