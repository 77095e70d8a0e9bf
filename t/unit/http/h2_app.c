/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "h2_app.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct h2_app_call *call_of(struct http_stream_user *user)
{
    return container_of(user, struct h2_app_call, user);
}

static void call_on_head(struct http_stream_user *user, struct http_stream *stream,
                         struct http_head *head)
{
    struct h2_app_call *call = call_of(user);
    assert_true(call->alive && stream == call->stream && !call->ended);
    assert_int_equal(head->version_major, 2);
    if (head->status < 200 && head->status != 101) {
        call->interims++;
        return;
    }
    assert_int_equal(call->status, 0);
    call->status = head->status;
}

static void call_on_body(struct http_stream_user *user, struct http_stream *stream,
                         struct span data)
{
    struct h2_app_call *call = call_of(user);
    assert_true(call->alive && call->status != 0 && !call->ended && data.len > 0);
    buf_add_span(&call->body, data);
    if (!call->no_grant)
        http_stream_grant(stream, data.len);
}

static void call_on_end(struct http_stream_user *user, struct http_stream *stream,
                        struct http_head *trailers)
{
    struct h2_app_call *call = call_of(user);
    assert_true(call->alive && stream == call->stream && !call->ended);
    call->ended = true;
    for (unsigned i = 0; trailers != NULL && i < trailers->fields_count; i++)
        buf_printf(&call->trailers, "%.*s: %.*s\n", SPAN_ARG(trailers->fields[i].name),
                   SPAN_ARG(trailers->fields[i].value));
    if (call->reset_on_end)
        http_stream_reset(stream, HTTP_ERROR_GONE);
    if (call->written || call->reset_on_end)
        call->alive = false;
}

static void call_on_drain(struct http_stream_user *user, struct http_stream *stream)
{
    struct h2_app_call *call = call_of(user);
    assert_true(call->alive && stream == call->stream);
    call->drains++;
}

static void call_on_reset(struct http_stream_user *user, struct http_stream *stream,
                          enum http_error error)
{
    struct h2_app_call *call = call_of(user);
    assert_true(call->alive && stream == call->stream);
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
    struct h2_app *app = container_of(owner, struct h2_app, owner);
    assert_ptr_equal(client, app->client);
    app->rooms++;
}

static void app_on_closed(struct http_client_owner *owner, struct http_client *client,
                          enum http_error error)
{
    struct h2_app *app = container_of(owner, struct h2_app, owner);
    assert_ptr_equal(client, app->client);
    for (unsigned i = 0; i < H2_APP_CALLS; i++)
        assert_false(app->calls[i].alive);
    app->client = NULL;
    app->closes++;
    app->closed = error;
}

static const struct http_client_owner_ops app_ops = {
    .on_room = app_on_room,
    .on_closed = app_on_closed,
};

static void nobody_on_event(struct conn_owner *owner, struct conn *conn)
{
    fail_msg("%s has %p", owner->ops->name, (void *)conn);
}

static void nobody_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    fail_msg("%s has %p, error %d", owner->ops->name, (void *)conn, error);
}

/* Has the conn until it is open. */
static const struct conn_owner_ops nobody_ops = {
    .name = "nobody",
    .on_data = nobody_on_event,
    .on_end = nobody_on_event,
    .on_close = nobody_on_close,
};
static struct conn_owner nobody = {&nobody_ops};

struct h2_app h2_app;

void h2_app_turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        wire_turn(&h2_app.wire);
}

void h2_app_start_with(const struct http_limits *limits)
{
    memset(&h2_app, 0, sizeof(h2_app));
    h2_app.limits = *limits;
    h2_app.next_id = 1;
    wire_open(&h2_app.wire, wire_loop_new());
    h2_app.pool = h2_client_pool_new(h2_app.wire.loop, 4);
    h2_app.owner.ops = &app_ops;
    for (unsigned i = 0; i < H2_APP_CALLS; i++) {
        struct h2_app_call *call = &h2_app.calls[i];
        call->app = &h2_app;
        call->user.ops = &call_ops;
        buf_init(&call->body, 16u << 20);
        buf_init(&call->trailers, 4096);
        arena_init(&call->arena, BLOCK_SIZE, 32 * BLOCK_SIZE,
                   block_arena_source(h2_app.wire.loop->blocks));
    }
    h2_peer_init(&h2_app.peer, &h2_app.wire);
    conn_set_owner(h2_app.wire.conn, &nobody);
    conn_start(h2_app.wire.conn);
    h2_app.client = h2_client_start(h2_app.pool, h2_app.wire.conn, &h2_app.limits, &h2_app.owner);
    assert_non_null(h2_app.client);
    h2_peer_expect_preface(&h2_app.peer);
}

void h2_app_greet(uint16_t id, uint32_t value)
{
    h2_peer_expect(&h2_app.peer, NGHTTP2_SETTINGS, 0);
    h2_peer_send_setting(&h2_app.peer, id, value);
    h2_peer_send(&h2_app.peer, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, SPAN_NONE);
    struct h2_peer_frame *ack = h2_peer_expect(&h2_app.peer, NGHTTP2_SETTINGS, 0);
    assert_int_equal(ack->flags, NGHTTP2_FLAG_ACK);
}

void h2_app_start(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    h2_app_start_with(&limits);
    h2_app_greet(0, 0);
}

void h2_app_until_closed(void)
{
    for (int i = 0; i < 5000 && h2_app.client != NULL; i++)
        wire_turn(&h2_app.wire);
    assert_null(h2_app.client);
}

void h2_app_stop(void)
{
    if (h2_app.client != NULL)
        http_client_close(h2_app.client);
    h2_app_until_closed();
    assert_int_equal(h2_app.closes, 1);
    h2_app_turns(2);
    h2_peer_fini(&h2_app.peer);
    wire_fini(&h2_app.wire);
    h2_client_pool_free(h2_app.pool);
    for (unsigned i = 0; i < H2_APP_CALLS; i++) {
        buf_fini(&h2_app.calls[i].body);
        buf_fini(&h2_app.calls[i].trailers);
        arena_fini(&h2_app.calls[i].arena);
    }
    loop_free(h2_app.wire.loop);
}

struct http_head *h2_app_request_head(unsigned i, const char *method, const char *path)
{
    struct http_head *head = http_head_new(&h2_app.calls[i].arena, 4);
    head->method_text = span_str(method);
    head->method = http_method_from_span(head->method_text);
    head->path = span_str(path);
    head->authority = SPAN_LIT("a.example:81");
    head->scheme = SPAN_LIT("https");
    assert_true(http_head_add(head, SPAN_LIT("Accept"), SPAN_LIT("*/*")));
    return head;
}

bool h2_app_try_request(unsigned i, struct http_head *head, bool end)
{
    struct h2_app_call *call = &h2_app.calls[i];
    assert_false(call->alive);
    call->status = call->interims = 0;
    call->ended = false;
    call->reset = HTTP_ERROR_NONE;
    call->written = end;
    buf_reset(&call->body);
    buf_reset(&call->trailers);
    call->stream = http_client_request(h2_app.client, head, &call->arena, &call->user, end);
    call->alive = call->stream != NULL;
    h2_app.next_id += call->alive ? 2 : 0;
    return call->alive;
}

uint32_t h2_app_get(unsigned i, const char *method)
{
    uint32_t id = h2_app.next_id;
    assert_true(h2_app_try_request(i, h2_app_request_head(i, method, "/x"), true));
    h2_peer_expect(&h2_app.peer, NGHTTP2_HEADERS, id);
    return id;
}

uint32_t h2_app_post(unsigned i)
{
    struct http_head *head = h2_app_request_head(i, "POST", "/up");
    head->content_length = HTTP_LENGTH_UNKNOWN;
    uint32_t id = h2_app.next_id;
    assert_true(h2_app_try_request(i, head, false));
    h2_peer_expect(&h2_app.peer, NGHTTP2_HEADERS, id);
    return id;
}

void h2_app_end_body(unsigned i)
{
    struct h2_app_call *call = &h2_app.calls[i];
    assert_int_equal(http_stream_end(call->stream, NULL), 0);
    call->written = true;
    if (call->ended)
        call->alive = false;
}

void h2_app_until_over(unsigned i)
{
    for (int k = 0; k < 5000 && h2_app.calls[i].alive; k++)
        wire_turn(&h2_app.wire);
    assert_false(h2_app.calls[i].alive);
}

void h2_app_send_data(uint32_t id, uint8_t flags, const char *text)
{
    h2_peer_send(&h2_app.peer, NGHTTP2_DATA, flags, id, span_str(text));
}

void h2_app_answer(unsigned i, uint32_t id)
{
    h2_peer_send_head(&h2_app.peer, id, 0, ":status: 200\n");
    h2_app_send_data(id, NGHTTP2_FLAG_END_STREAM, "body");
    h2_app_until_over(i);
    assert_int_equal(h2_app.calls[i].reset, HTTP_ERROR_NONE);
    assert_int_equal(h2_app.calls[i].status, 200);
    assert_true(h2_app.calls[i].ended);
    assert_string_equal(buf_str(&h2_app.calls[i].body), "body");
}
