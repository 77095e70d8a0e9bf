/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_client.h"

#include <errno.h>
#include <stdlib.h>

#include "base/panic.h"
#include "base/pool.h"
#include "http/field.h"
#include "http/h1_parse.h"
#include "http/h1_rx.h"
#include "http/h1_write.h"

/* The mirror of h1_server:
 *
 *   read   IDLE -> HEAD -> BODY -> DONE -> IDLE     the response; after 101 the tunnel
 *   write  BODY -> DONE                             the request
 *
 * The session is idle again only when the request was sent whole, the response
 * ended by its own framing, and not a byte follows it: anything else ends the
 * connection, so that no request ever sees the answer to another.
 *
 * Deadlines of a response are the exchange's. The session's own is for being idle.
 * Lifetime as in h1_server.c: freed in client_finish, when the conn is gone and nobody is inside.
 */

enum client_read {
    CLIENT_READ_IDLE,
    CLIENT_READ_HEAD,
    CLIENT_READ_BODY,
    CLIENT_READ_DONE,
};

struct h1_client_pool {
    struct pool pool;
    struct loop *loop;
};

struct h1_client {
    struct http_client client;
    struct conn_owner conn_owner;
    struct http_stream stream;
    struct h1_rx rx;
    struct h1_tx tx;
    struct h1_client_pool *pool;
    struct http_client_owner *owner;
    struct span upgrade; /* that the current request asks for */
    struct loop_task task; /* what a call from outside left to tell the owner */
    uint8_t read; /* enum client_read */
    uint8_t depth; /* conn callbacks we are inside of */
    uint8_t error; /* enum http_error for on_closed */
    uint16_t interims; /* 1xx heads seen */
    bool written; /* the request is sent whole */
    bool head_method; /* HEAD */
    bool touched; /* a byte of the response has come */
    bool tunnel; /* 101 was received */
    bool reusable; /* as far as the response's head tells */
    bool peer_ended;
    bool draining; /* the current request is the last */
    bool tell_room; /* on_room is due from the loop */
};
_Static_assert(sizeof(struct h1_client) <= 256, "idle sessions are to stay small");

struct h1_client_pool *h1_client_pool_new(struct loop *loop, unsigned sessions_max)
{
    struct h1_client_pool *pool = xcalloc(1, sizeof(*pool));
    pool_init(&pool->pool, "h1_client", sizeof(struct h1_client), sessions_max);
    pool->loop = loop;
    return pool;
}

void h1_client_pool_free(struct h1_client_pool *pool)
{
    if (pool == NULL)
        return;
    pool_fini(&pool->pool);
    free(pool);
}

static void client_finish(struct h1_client *c)
{
    ASSERT(c->rx.conn == NULL && c->depth == 0 && !c->rx.active);
    loop_cancel(&c->task);
    c->owner->ops->on_closed(c->owner, &c->client, (enum http_error)c->error);
    pool_put(&c->pool->pool, c);
}

static void client_detach(struct h1_client *c, enum http_error error)
{
    ASSERT(c->rx.conn != NULL);
    c->rx.conn = NULL;
    c->error = (uint8_t)error;
    c->tell_room = false;
    if (c->depth == 0)
        loop_defer(c->pool->loop, &c->task);
}

static void client_close(struct h1_client *c, enum http_error error)
{
    conn_close(c->rx.conn, false);
    client_detach(c, error);
}

static void client_enter(struct h1_client *c)
{
    c->depth++;
}

static void client_leave(struct h1_client *c)
{
    if (--c->depth > 0)
        return;
    if (c->rx.conn == NULL) {
        client_finish(c);
        return;
    }
    if (c->tell_room) {
        c->tell_room = false;
        c->owner->ops->on_room(c->owner, &c->client); /* may start a request or close */
    }
}

static void client_on_task(struct loop_task *task)
{
    struct h1_client *c = container_of(task, struct h1_client, task);
    client_enter(c);
    client_leave(c);
}

static void client_reset_user(struct h1_client *c, enum http_error error)
{
    if (!c->rx.active)
        return;
    c->rx.active = false;
    c->stream.user->ops->on_reset(c->stream.user, &c->stream, error);
}

static void client_fail(struct h1_client *c, enum http_error error)
{
    client_close(c, error);
    client_reset_user(c, error);
}

static void client_idle_deadline(struct h1_client *c)
{
    uint64_t timeout = c->rx.limits->idle_timeout_ns;
    conn_set_deadline(c->rx.conn, timeout ? c->pool->loop->clock.mono_ns + timeout : 0);
}

/* Request and response are over. */
static void client_next(struct h1_client *c)
{
    c->rx.active = false;
    c->rx.arena = NULL;
    if (!c->reusable || c->draining || c->peer_ended || conn_input(c->rx.conn).len > 0) {
        client_close(c, HTTP_ERROR_NONE);
        return;
    }
    c->read = CLIENT_READ_IDLE;
    client_idle_deadline(c);
    c->tell_room = true;
    if (c->depth == 0)
        loop_defer(c->pool->loop, &c->task);
}

static void client_read_end(struct h1_client *c)
{
    c->read = CLIENT_READ_DONE;
    bool over = c->written;
    if (!over)
        c->reusable = false; /* what is left of the request would be taken for the next one */
    c->stream.user->ops->on_end(c->stream.user, &c->stream, c->rx.trailers);
    if (over && c->rx.conn != NULL && c->rx.active)
        client_next(c);
}

/* An unasked upgrade, or one to something else, would leave two views of what the bytes are. */
static bool client_may_upgrade(const struct h1_client *c, const struct http_head *head)
{
    return c->upgrade.len > 0 && head->upgrade.len > 0 &&
           span_equal_fold(c->upgrade, head->upgrade);
}

/* true: a head was given out, go on. */
static bool client_take_head(struct h1_client *c, struct http_head *head)
{
    bool interim = head->status < 200 && head->status != 101;
    if ((interim && ++c->interims > c->rx.limits->interims_max) ||
        (head->status == 101 && !client_may_upgrade(c, head))) {
        client_fail(c, HTTP_ERROR_BAD_RESPONSE);
        return false;
    }
    c->rx.scan = (struct h1_scan){0};
    if (head->status == 101) {
        static const struct h1_plan plain = {.framing = H1_FRAMING_UNTIL_CLOSE};
        c->read = CLIENT_READ_BODY;
        c->tunnel = true;
        c->written = false;
        h1_rx_begin_tunnel(&c->rx, HTTP_STREAM_WINDOW);
        h1_tx_begin(&c->tx, &plain);
    } else if (!interim) {
        if (c->head_method) {
            head->has_body = false;
            head->chunked = false;
        }
        c->read = CLIENT_READ_BODY;
        c->reusable = head->keep_alive;
        h1_rx_begin(&c->rx, head, HTTP_STREAM_WINDOW);
        if (c->rx.kind == H1_RX_UNTIL_CLOSE)
            c->reusable = false;
    }
    c->stream.user->ops->on_head(c->stream.user, &c->stream, head);
    return c->rx.conn != NULL && c->rx.active;
}

static bool client_read_head(struct h1_client *c)
{
    struct span in = conn_input(c->rx.conn);
    if (in.len == 0) {
        if (c->peer_ended)
            client_fail(c, c->touched ? HTTP_ERROR_TRUNCATED : HTTP_ERROR_CLOSED);
        return false;
    }
    c->touched = true;
    ssize_t n = h1_scan_run(&c->rx.scan, H1_SCAN_RESPONSE, in, c->rx.limits);
    if (n < 0 || (n == 0 && conn_input_is_full(c->rx.conn))) {
        client_fail(c, HTTP_ERROR_BAD_RESPONSE);
        return false;
    }
    if (n == 0) {
        if (c->peer_ended)
            client_fail(c, HTTP_ERROR_TRUNCATED);
        return false;
    }
    struct http_head *head;
    struct h1_parse parse = {
        .arena = c->rx.arena, .limits = c->rx.limits, .lines = c->rx.scan.lines};
    enum http_error error = h1_parse_response(&parse, span_make(in.ptr, (size_t)n), &head);
    if (error != HTTP_ERROR_NONE) {
        client_fail(c, error);
        return false;
    }
    conn_consume(c->rx.conn, (size_t)n);
    return client_take_head(c, head);
}

static void client_read_body(struct h1_client *c)
{
    switch (h1_rx_pump(&c->rx, &c->stream)) {
    case H1_RX_GONE:
        return;
    case H1_RX_BAD:
        client_fail(c, HTTP_ERROR_BAD_RESPONSE);
        return;
    case H1_RX_LARGE:
        client_fail(c, HTTP_ERROR_TRAILERS_TOO_LARGE);
        return;
    case H1_RX_WAIT:
        if (!c->peer_ended || c->rx.paused)
            return;
        if (c->rx.kind != H1_RX_UNTIL_CLOSE) {
            client_fail(c, HTTP_ERROR_TRUNCATED);
            return;
        }
        break;
    case H1_RX_END:
        break;
    }
    client_read_end(c);
}

static void client_pump(struct h1_client *c)
{
    while (c->rx.conn != NULL && c->read == CLIENT_READ_HEAD)
        if (!client_read_head(c))
            return;
    if (c->rx.conn == NULL)
        return;
    switch ((enum client_read)c->read) {
    case CLIENT_READ_BODY:
        client_read_body(c);
        break;
    case CLIENT_READ_IDLE:
        /* Nobody asked for these bytes, or the server has closed. */
        if (conn_input(c->rx.conn).len > 0)
            client_close(c, HTTP_ERROR_BAD_RESPONSE);
        else if (c->peer_ended)
            client_close(c, HTTP_ERROR_CLOSED);
        break;
    case CLIENT_READ_DONE:
        c->reusable = false; /* more than the response, or the end */
        break;
    case CLIENT_READ_HEAD:
        break;
    }
}

static struct h1_client *client_of(struct conn_owner *owner)
{
    return container_of(owner, struct h1_client, conn_owner);
}

static void client_on_data(struct conn_owner *owner, struct conn *conn)
{
    struct h1_client *c = client_of(owner);
    ASSERT(c->rx.conn == conn);
    client_enter(c);
    client_pump(c);
    client_leave(c);
}

static void client_on_end(struct conn_owner *owner, struct conn *conn)
{
    client_of(owner)->peer_ended = true;
    client_on_data(owner, conn);
}

static void client_on_drain(struct conn_owner *owner, struct conn *conn)
{
    struct h1_client *c = client_of(owner);
    ASSERT(c->rx.conn == conn);
    client_enter(c);
    if (c->rx.active && !c->written)
        c->stream.user->ops->on_drain(c->stream.user, &c->stream);
    client_leave(c);
}

static void client_on_timeout(struct conn_owner *owner, struct conn *conn)
{
    struct h1_client *c = client_of(owner);
    ASSERT(c->rx.conn == conn);
    client_enter(c);
    if (c->read == CLIENT_READ_IDLE)
        client_close(c, HTTP_ERROR_NONE);
    client_leave(c);
}

static void client_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    struct h1_client *c = client_of(owner);
    ASSERT(c->rx.conn == conn);
    client_enter(c);
    c->stream.error_text = conn_error_text(conn);
    client_detach(c, c->error != HTTP_ERROR_NONE ? (enum http_error)c->error : h1_rx_error(error));
    client_reset_user(c, (enum http_error)c->error);
    client_leave(c);
}

static const struct conn_owner_ops client_conn_ops = {
    .name = "h1_client",
    .on_data = client_on_data,
    .on_end = client_on_end,
    .on_drain = client_on_drain,
    .on_timeout = client_on_timeout,
    .on_close = client_on_close,
};

static struct h1_client *client_of_stream(const struct http_stream *stream)
{
    struct h1_client *c = container_of(stream, struct h1_client, stream);
    ASSERT(c->rx.active && c->rx.conn != NULL);
    return c;
}

static int client_send_head(struct http_stream *stream, struct http_head *head, bool end)
{
    (void)stream;
    (void)head;
    (void)end;
    UNREACHABLE(); /* a request's head is sent by client_request */
}

/* See server_broken: the other side must not take half a request for a whole one. */
static int client_broken(struct h1_client *c, int error)
{
    if (error != -EMSGSIZE)
        return error;
    c->error = HTTP_ERROR_GONE;
    conn_fail(c->rx.conn, error, "request body does not fit its Content-Length");
    return error;
}

static int client_send_body(struct http_stream *stream, const struct iovec *iov, int count)
{
    struct h1_client *c = client_of_stream(stream);
    ASSERT(!c->written);
    return client_broken(c, h1_tx_body(&c->tx, c->rx.conn, iov, count));
}

static int client_send_end(struct http_stream *stream, struct http_head *trailers)
{
    struct h1_client *c = client_of_stream(stream);
    ASSERT(!c->written);
    int error = h1_tx_end(&c->tx, c->rx.conn, trailers);
    if (error < 0)
        return client_broken(c, error);
    c->written = true;
    if (c->tunnel)
        conn_shutdown(c->rx.conn);
    if (c->read == CLIENT_READ_DONE)
        client_next(c);
    return 0;
}

static bool client_is_congested(const struct http_stream *stream)
{
    return conn_is_congested(client_of_stream(stream)->rx.conn);
}

static void client_grant(struct http_stream *stream, size_t bytes)
{
    h1_rx_grant(&client_of_stream(stream)->rx, bytes);
}

static void client_reset(struct http_stream *stream, enum http_error error)
{
    struct h1_client *c = client_of_stream(stream);
    if (c->read == CLIENT_READ_DONE && c->written)
        return; /* from inside the on_end that made it whole: nothing is left to abandon */
    c->rx.active = false;
    if (c->tunnel) { /* an orderly end would be taken for the other side's */
        conn_abort(c->rx.conn);
        client_detach(c, error);
        return;
    }
    client_close(c, error);
}

static struct conn *client_conn(const struct http_stream *stream)
{
    return client_of_stream(stream)->rx.conn;
}

static const struct http_stream_ops client_stream_ops = {
    .protocol = "HTTP/1.1",
    .send_head = client_send_head,
    .send_body = client_send_body,
    .send_end = client_send_end,
    .is_congested = client_is_congested,
    .grant = client_grant,
    .reset = client_reset,
    .conn = client_conn,
};

static struct h1_plan client_plan(const struct http_head *head, bool end)
{
    struct h1_plan plan = {.framing = H1_FRAMING_NONE, .announce = HTTP_LENGTH_UNKNOWN};
    if (end) {
        plan.announce = http_method_announces_empty(head->method) ? 0 : HTTP_LENGTH_UNKNOWN;
    } else if (head->content_length >= 0) {
        plan.framing = H1_FRAMING_LENGTH;
        plan.announce = head->content_length;
    } else {
        plan.framing = H1_FRAMING_CHUNKED;
    }
    if (head->upgrade.len > 0) {
        plan.connection = SPAN_LIT("upgrade");
        plan.upgrade = head->upgrade;
    }
    return plan;
}

static struct h1_client *client_self(const struct http_client *client)
{
    return container_of(client, struct h1_client, client);
}

static unsigned client_room(const struct http_client *client)
{
    const struct h1_client *c = client_self(client);
    return c->rx.conn != NULL && c->read == CLIENT_READ_IDLE && !c->draining;
}

static unsigned client_active(const struct http_client *client)
{
    return client_self(client)->read != CLIENT_READ_IDLE;
}

static bool client_can_tunnel(const struct http_client *client UNUSED)
{
    return true;
}

static struct http_stream *client_request(struct http_client *client, struct http_head *head,
                                          struct arena *arena, struct http_stream_user *user,
                                          bool end)
{
    struct h1_client *c = client_self(client);
    ASSERT(user != NULL && arena != NULL);
    client->refusal = HTTP_ERROR_CLOSED;
    if (client_room(client) == 0)
        return NULL;
    if (c->peer_ended || conn_is_ended(c->rx.conn) || conn_input(c->rx.conn).len > 0) {
        client_close(c, HTTP_ERROR_CLOSED);
        return NULL;
    }
    struct h1_plan plan = client_plan(head, end);
    int error = h1_write_request(c->rx.conn, head, &plan);
    if (error < 0) {
        client->refusal = error == -ENOBUFS ? HTTP_ERROR_NO_MEMORY : HTTP_ERROR_CLOSED;
        return NULL;
    }
    h1_tx_begin(&c->tx, &plan);
    c->tell_room = false;
    c->stream.user = user;
    c->stream.error_text = NULL;
    c->rx.active = true;
    c->rx.arena = arena;
    c->rx.scan = (struct h1_scan){0};
    c->read = CLIENT_READ_HEAD;
    c->written = end;
    c->head_method = head->method == HTTP_METHOD_HEAD;
    c->upgrade = head->upgrade;
    c->interims = 0;
    c->touched = false;
    c->tunnel = false;
    c->reusable = false;
    conn_set_deadline(c->rx.conn, 0);
    return &c->stream;
}

static void client_drain(struct http_client *client)
{
    struct h1_client *c = client_self(client);
    c->draining = true;
    if (c->rx.conn != NULL && c->read == CLIENT_READ_IDLE)
        client_close(c, HTTP_ERROR_NONE);
}

static void client_end(struct http_client *client)
{
    struct h1_client *c = client_self(client);
    client_enter(c);
    if (c->rx.conn != NULL)
        client_close(c, HTTP_ERROR_NONE);
    client_reset_user(c, HTTP_ERROR_GONE);
    client_leave(c);
}

static struct conn *client_session_conn(const struct http_client *client)
{
    return client_self(client)->rx.conn;
}

static const struct http_client_ops client_ops = {
    .protocol = "HTTP/1.1",
    .request = client_request,
    .room = client_room,
    .active = client_active,
    .can_tunnel = client_can_tunnel,
    .drain = client_drain,
    .close = client_end,
    .conn = client_session_conn,
};

struct http_client *h1_client_start(struct h1_client_pool *pool, struct conn *conn,
                                    const struct http_limits *limits,
                                    struct http_client_owner *owner)
{
    struct h1_client *c = pool_get_zero(&pool->pool);
    if (c == NULL)
        return NULL;
    c->client.ops = &client_ops;
    c->conn_owner.ops = &client_conn_ops;
    c->stream.ops = &client_stream_ops;
    c->rx.conn = conn;
    c->rx.limits = limits;
    c->pool = pool;
    c->owner = owner;
    c->task.run = client_on_task;
    dlist_init(&c->task.link);
    conn_set_owner(conn, &c->conn_owner);
    client_idle_deadline(c);
    return &c->client;
}
