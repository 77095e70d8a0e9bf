/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_HTTP_SERVER_APP_H
#define RINGGATE_T_UNIT_HTTP_SERVER_APP_H

/* A server session over a real connection, and requests whose path says how they are answered.
 * Included by one .c file a program. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "http/h1_server.h"
#include "http/h2_server.h"
#include "wire.h"

/* A session over a real connection on both engines. The application answers by
 * path; what it was told is in struct app. */

#define REQUESTS_MAX 512u

struct app;

struct request {
    struct http_stream_user user;
    struct app *app;
    struct http_stream *stream;
    struct arena arena;
    struct buf body;
    bool alive, ended, answered, trailer, tunnel;
    size_t left; /* of a large response */
    enum http_error reset;
    char path[64];
    char host[64];
};

struct app {
    struct http_server_owner owner;
    struct wire wire;
    struct h1_server_pool *pool;
    struct h2_server_pool *h2_pool; /* NULL: the session is of HTTP/1 */
    struct http_server *session; /* NULL: closed */
    struct http_limits limits;
    struct request *requests[REQUESTS_MAX];
    unsigned count, arenas, refusals, closes;
    enum http_error refused, closed;
    const char *closed_text;
    bool no_memory;
};

static struct request *request_of(struct http_stream_user *user)
{
    return container_of(user, struct request, user);
}

static void reply(struct request *r, unsigned status, struct span body)
{
    struct http_head *head = http_head_new(&r->arena, 4);
    head->is_response = true;
    head->status = (uint16_t)status;
    head->content_length = (int64_t)body.len;
    assert_true(http_head_add(head, SPAN_LIT("x-path"), span_str(r->path)));
    r->answered = true;
    bool end = body.len == 0 || strcmp(r->path, "/head") == 0;
    assert_int_equal(http_stream_send_head(r->stream, head, end), 0);
    if (end)
        return;
    struct iovec iov = {(void *)(uintptr_t)body.ptr, body.len};
    assert_int_equal(http_stream_send_body(r->stream, &iov, 1), 0);
    assert_int_equal(http_stream_end(r->stream, NULL), 0);
}

static void reply_streaming(struct request *r, bool trailers)
{
    struct http_head *head = http_head_new(&r->arena, 4);
    head->is_response = true;
    head->status = 200;
    head->content_length = HTTP_LENGTH_UNKNOWN;
    r->answered = true;
    assert_int_equal(http_stream_send_head(r->stream, head, false), 0);
    struct iovec iov[2] = {{(char[]){'o', 'n', 'e'}, 3}, {(char[]){'t', 'w', 'o'}, 3}};
    assert_int_equal(http_stream_send_body(r->stream, iov, 2), 0);
    assert_int_equal(http_stream_send_body(r->stream, iov, 0), 0);
    struct http_head *tail = NULL;
    if (trailers) {
        tail = http_head_new(&r->arena, 1);
        assert_true(http_head_add(tail, SPAN_LIT("x-sum"), SPAN_LIT("6")));
    }
    assert_int_equal(http_stream_end(r->stream, tail), 0);
}

static void interim(struct request *r, unsigned status)
{
    struct http_head *head = http_head_new(&r->arena, 1);
    head->is_response = true;
    head->status = (uint16_t)status;
    assert_int_equal(http_stream_send_head(r->stream, head, false), 0);
}

#define BIG_BODY (3u << 20)

static uint8_t pattern_at(size_t i)
{
    return (uint8_t)(i * 131 + i / 257);
}

/* As much as goes of a large body. */
static void reply_more(struct request *r)
{
    static uint8_t piece[40000];
    while (r->left > 0 && !http_stream_is_congested(r->stream)) {
        size_t n = MIN(sizeof(piece), r->left);
        for (size_t i = 0; i < n; i++)
            piece[i] = pattern_at(BIG_BODY - r->left + i);
        struct iovec iov[2] = {{piece, n / 3}, {piece + n / 3, n - n / 3}};
        r->left -= n;
        assert_int_equal(http_stream_send_body(r->stream, iov, 2), 0);
        memset(piece, 0, n); /* it was borrowed for the call only */
    }
    if (r->left > 0)
        return;
    assert_int_equal(http_stream_end(r->stream, NULL), 0);
    r->alive = !r->ended;
}

static void reply_big(struct request *r)
{
    struct http_head *head = http_head_new(&r->arena, 4);
    head->is_response = true;
    head->status = 200;
    head->content_length = BIG_BODY;
    r->answered = true;
    r->left = BIG_BODY;
    assert_int_equal(http_stream_send_head(r->stream, head, false), 0);
    reply_more(r);
}

static void request_on_body(struct http_stream_user *user, struct http_stream *stream,
                            struct span data)
{
    struct request *r = request_of(user);
    assert_true(r->alive && stream == r->stream);
    buf_add_span(&r->body, data);
    if (strcmp(r->path, "/drop") == 0) {
        r->alive = false;
        http_stream_reset(stream, HTTP_ERROR_GONE);
    } else if (strcmp(r->path, "/nogrant") != 0) {
        http_stream_grant(stream, data.len);
    }
}

static void request_on_end(struct http_stream_user *user, struct http_stream *stream,
                           struct http_head *trailers)
{
    struct request *r = request_of(user);
    assert_true(r->alive && stream == r->stream && !r->ended);
    if (strcmp(r->path, "/ws") == 0) { /* the request's end, then the tunnel's */
        assert_null(trailers);
        r->ended = r->tunnel;
        r->tunnel = true;
        r->alive = !r->ended || !r->answered;
        return;
    }
    r->ended = true;
    r->trailer = trailers != NULL;
    if (strcmp(r->path, "/hold") == 0 || strcmp(r->path, "/short") == 0)
        return;
    if (r->answered) {
        r->alive = false;
        return;
    }
    if (strcmp(r->path, "/big") == 0) {
        reply_big(r);
        return;
    }
    if (strcmp(r->path, "/chunked") == 0)
        reply_streaming(r, true);
    else if (strcmp(r->path, "/204") == 0)
        reply(r, 204, SPAN_NONE);
    else if (strcmp(r->path, "/head") == 0)
        reply(r, 200, SPAN_LIT("12345"));
    else
        reply(r, 200, buf_span(&r->body));
    r->alive = false;
}

static void request_on_drain(struct http_stream_user *user, struct http_stream *stream)
{
    struct request *r = request_of(user);
    assert_true(r->alive && stream != NULL);
    if (r->left > 0)
        reply_more(r);
}

static void request_on_reset(struct http_stream_user *user, struct http_stream *stream,
                             enum http_error error)
{
    struct request *r = request_of(user);
    assert_true(r->alive && stream == r->stream);
    r->alive = false;
    r->reset = error;
}

static const struct http_stream_user_ops request_ops = {
    .on_body = request_on_body,
    .on_end = request_on_end,
    .on_drain = request_on_drain,
    .on_reset = request_on_reset,
};

static struct app *app_of(struct http_server_owner *owner)
{
    return container_of(owner, struct app, owner);
}

static struct arena *app_request_arena(struct http_server_owner *owner)
{
    struct app *app = app_of(owner);
    if (app->no_memory)
        return NULL;
    struct request *r = xcalloc(1, sizeof(*r));
    arena_init(&r->arena, BLOCK_SIZE, 16 * BLOCK_SIZE, block_arena_source(app->wire.loop->blocks));
    app->arenas++;
    return &r->arena;
}

static void request_free(struct request *r)
{
    r->app = NULL;
    buf_fini(&r->body);
    arena_fini(&r->arena);
    free(r);
}

static void app_release_arena(struct http_server_owner *owner, struct arena *arena)
{
    struct request *r = container_of(arena, struct request, arena);
    app_of(owner)->arenas--;
    arena_fini(&r->arena);
    free(r);
}

static void app_on_request(struct http_server_owner *owner, struct http_stream *stream,
                           struct http_head *head)
{
    struct app *app = app_of(owner);
    struct request *r = container_of(head->arena, struct request, arena);
    assert_true(app->count < REQUESTS_MAX);
    app->requests[app->count++] = r;
    buf_init(&r->body, 16u << 20);
    r->app = app;
    r->alive = true;
    r->stream = stream;
    r->user.ops = &request_ops;
    stream->user = &r->user;
    if (!span_equal_str(head->path, "/later"))
        http_stream_grant(stream, HTTP_STREAM_WINDOW);
    snprintf(r->path, sizeof(r->path), "%.*s", SPAN_ARG(head->path));
    snprintf(r->host, sizeof(r->host), "%.*s", SPAN_ARG(head->host));
    if (strcmp(r->path, "/early") == 0) {
        reply(r, 413, SPAN_LIT("too much"));
        if (head->has_body) {
            r->alive = false;
            http_stream_reset(stream, HTTP_ERROR_NONE);
        }
    } else if (strcmp(r->path, "/short") == 0) {
        struct http_head *response = http_head_new(&r->arena, 1);
        response->is_response = true;
        response->status = 200;
        response->content_length = 10;
        assert_int_equal(http_stream_send_head(stream, response, false), 0);
        assert_true(http_stream_end(stream, NULL) < 0); /* on_reset follows */
    } else if (strcmp(r->path, "/continue") == 0) {
        assert_true(head->expect_continue || head->version_minor == 0);
        interim(r, 100);
    } else if (strcmp(r->path, "/ws") == 0) {
        assert_true(head->upgrade.len > 0);
        interim(r, 101);
    }
}

static void app_on_refused(struct http_server_owner *owner, enum http_error error,
                           const struct http_head *head)
{
    struct app *app = app_of(owner);
    (void)head;
    app->refusals++;
    app->refused = error;
}

static void app_on_closed(struct http_server_owner *owner, enum http_error error)
{
    struct app *app = app_of(owner);
    app->closes++;
    app->closed = error;
    app->closed_text = app->session->error_text;
    app->session = NULL;
    for (unsigned i = 0; i < app->count; i++)
        assert_true(!app->requests[i]->alive);
}

static const struct http_server_owner_ops app_ops = {
    .on_request = app_on_request,
    .request_arena = app_request_arena,
    .release_arena = app_release_arena,
    .on_refused = app_on_refused,
    .on_closed = app_on_closed,
};

static void app_open(struct app *app, const struct http_limits *limits, bool h2)
{
    memset(app, 0, sizeof(*app));
    http_limits_default(&app->limits);
    if (limits != NULL)
        app->limits = *limits;
    wire_open(&app->wire, wire_loop_new());
    app->owner.ops = &app_ops;
    if (h2) {
        struct h2_server_options options = {.limits = &app->limits};
        app->h2_pool = h2_server_pool_new(app->wire.loop, 4);
        app->session = h2_server_start(app->h2_pool, app->wire.conn, &options, &app->owner);
    } else {
        struct h1_server_options options = {.limits = &app->limits};
        app->pool = h1_server_pool_new(app->wire.loop, 4);
        app->session = h1_server_start(app->pool, app->wire.conn, &options, &app->owner);
    }
    assert_non_null(app->session);
    conn_start(app->wire.conn);
}

static void app_stop(struct app *app)
{
    wire_close(&app->wire, false);
    for (int i = 0; i < 5000 && app->session != NULL; i++) {
        wire_turn(&app->wire);
        if (i == 4000)
            http_server_abort(app->session);
    }
    assert_null(app->session);
    assert_int_equal(app->closes, 1);
    for (unsigned i = 0; i < app->count; i++) {
        app->arenas--;
        request_free(app->requests[i]);
    }
    assert_int_equal(app->arenas, 0);
    wire_fini(&app->wire);
    h1_server_pool_free(app->pool);
    h2_server_pool_free(app->h2_pool);
    loop_free(app->wire.loop);
}

#endif
