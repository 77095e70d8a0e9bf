/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_server.h"

#include <errno.h>
#include <stdlib.h>

#include "base/panic.h"
#include "base/pool.h"
#include "http/date.h"
#include "http/h1_parse.h"
#include "http/h1_rx.h"
#include "http/h1_write.h"
#include "http/h2_server.h"

/* Two halves that move on their own:
 *
 *   read   HEAD -> BODY -> DONE -> HEAD ...      the request
 *   write  NONE -> BODY -> DONE -> NONE ...      the response
 *
 * After 101 both carry the tunnel: read TUNNEL -> DONE, write BODY -> DONE.
 *
 * A request is over when both are DONE. Only then the next head is looked at:
 * what a client sends ahead stays in the conn's input.
 *
 * Life: the session dies in server_finish. It is called when the conn is gone
 * (rx.conn NULL) and nobody is inside: at the end of the outermost conn callback, or, when
 * a call from outside ended the session, from the loop. Until then the memory stays, so callbacks
 * may end the session under our feet; every step after a callback looks at rx.conn. */

enum server_read { SERVER_READ_HEAD, SERVER_READ_BODY, SERVER_READ_DONE, SERVER_READ_TUNNEL };
enum server_write { SERVER_WRITE_NONE, SERVER_WRITE_BODY, SERVER_WRITE_DONE };

struct h1_server_pool {
    struct pool pool;
    struct loop *loop;
    struct date_cache date;
};

struct h1_server {
    struct http_server server;
    struct conn_owner conn_owner;
    struct http_stream stream;
    struct h1_rx rx;
    struct h1_tx tx;
    struct h1_server_pool *pool;
    struct http_server_owner *owner;
    union {
        const struct http_head *request; /* the current one; NULL: none yet */
        struct conn *h2_conn; /* is_h2: to be given to the owner as HTTP/2 */
    };
    struct loop_task task; /* from the loop: server_finish, or the end of a tunnel's input */
    uint32_t requests;
    uint8_t read, write; /* enum server_read, server_write */
    uint8_t depth; /* conn callbacks we are inside of */
    uint8_t error; /* enum http_error for on_closed */
    uint8_t minor; /* of the current request's version */
    bool head_begun; /* bytes of a head have come: the head timeout runs */
    bool crlf_skipped; /* the one empty line before a request line */
    bool head_method; /* HEAD */
    bool client_stays; /* the current request does not ask for the connection's end */
    bool keep_alive; /* of the current exchange, as told to the client */
    bool arena_lent; /* request_arena gave one that no request has taken */
    bool secure : 1, draining : 1, peer_ended : 1, is_h2 : 1;
    bool tunnel : 1; /* 101 was sent */
};
_Static_assert(sizeof(struct h1_server) <= 208, "idle sessions are to stay small");

struct h1_server_pool *h1_server_pool_new(struct loop *loop, unsigned sessions_max)
{
    struct h1_server_pool *pool = xcalloc(1, sizeof(*pool));
    pool_init(&pool->pool, "h1_server", sizeof(struct h1_server), sessions_max);
    pool->loop = loop;
    return pool;
}

void h1_server_pool_free(struct h1_server_pool *pool)
{
    if (pool == NULL)
        return;
    pool_fini(&pool->pool);
    free(pool);
}

static struct span server_date(struct h1_server *s)
{
    return date_cache_get(&s->pool->date, s->pool->loop->clock.wall_ns);
}

static void server_deadline(struct h1_server *s, uint64_t timeout_ns)
{
    conn_set_deadline(s->rx.conn, timeout_ns ? s->pool->loop->clock.mono_ns + timeout_ns : 0);
}

/* Until the next bytes of a body that we want. */
static void server_body_deadline(struct h1_server *s)
{
    server_deadline(s, s->stream.may_rest ? 0 : s->rx.limits->body_timeout_ns);
}

static void server_release_arena(struct h1_server *s)
{
    if (!s->arena_lent)
        return;
    s->arena_lent = false;
    s->owner->ops->release_arena(s->owner, s->rx.arena);
    s->rx.arena = NULL;
}

static void server_finish(struct h1_server *s)
{
    ASSERT(s->rx.conn == NULL && s->depth == 0 && !s->rx.active);
    loop_cancel(&s->task);
    server_release_arena(s);
    struct http_server_owner *owner = s->owner;
    struct conn *h2_conn = s->is_h2 ? s->h2_conn : NULL;
    if (h2_conn == NULL)
        owner->ops->on_closed(owner, (enum http_error)s->error);
    pool_put(&s->pool->pool, s);
    if (h2_conn != NULL)
        owner->ops->on_h2(owner, h2_conn);
}

/* The conn has been closed, given away or lost. */
static void server_detach(struct h1_server *s, enum http_error error)
{
    ASSERT(s->rx.conn != NULL);
    s->rx.conn = NULL;
    s->error = (uint8_t)error;
    if (s->depth == 0)
        loop_defer(s->pool->loop, &s->task);
}

static void server_close(struct h1_server *s, bool linger, enum http_error error)
{
    conn_close(s->rx.conn, linger);
    server_detach(s, error);
}

static void server_enter(struct h1_server *s)
{
    s->depth++;
}

static void server_leave(struct h1_server *s)
{
    if (--s->depth == 0 && s->rx.conn == NULL)
        server_finish(s);
}

/* Tells the holder, if there is one, that its stream is gone. Last use of the stream. */
static void server_reset_user(struct h1_server *s, enum http_error error)
{
    if (!s->rx.active)
        return;
    s->rx.active = false;
    s->stream.user->ops->on_reset(s->stream.user, &s->stream, error);
}

/* Answers what could not be understood and ends the connection; the client may still be
 * sending, so it lingers. */
static void server_refuse(struct h1_server *s, enum http_error error, const struct http_head *head)
{
    ASSERT(!s->rx.active);
    if (http_error_status(error) != 0)
        (void)h1_write_error(s->rx.conn, error, server_date(s)); /* the conn closes anyway */
    server_close(s, true, error);
    s->owner->ops->on_refused(s->owner, error, head);
    server_release_arena(s);
}

/* The request's body failed after its head was given out. */
static void server_fail(struct h1_server *s, enum http_error error)
{
    bool answered = s->write != SERVER_WRITE_NONE;
    if (!answered && http_error_status(error) != 0)
        (void)h1_write_error(s->rx.conn, error, server_date(s)); /* as in server_refuse */
    if (s->write == SERVER_WRITE_BODY && s->tx.framing == H1_FRAMING_UNTIL_CLOSE) {
        conn_abort(s->rx.conn); /* an orderly end would say that the response is complete */
        server_detach(s, error);
    } else {
        server_close(s, !answered, error);
    }
    server_reset_user(s, error);
}

/* Both halves are done: the next request, or the end. */
static void server_next(struct h1_server *s)
{
    s->rx.active = false;
    s->rx.arena = NULL;
    if (!s->keep_alive) {
        /* Bytes that nobody reads would turn the close into a reset and take the answer away: a
         * client that did not ask for the end may be sending its next request. */
        server_close(s, s->client_stays || conn_input(s->rx.conn).len > 0, HTTP_ERROR_NONE);
        return;
    }
    s->read = SERVER_READ_HEAD;
    s->write = SERVER_WRITE_NONE;
    s->rx.scan = (struct h1_scan){0};
    s->head_begun = false;
    s->crlf_skipped = false;
    server_deadline(s, s->rx.limits->idle_timeout_ns);
    if (s->depth == 0 && (s->peer_ended || conn_input(s->rx.conn).len > 0)) {
        conn_pause_input(s->rx.conn); /* so that on_data comes for what is kept */
        conn_resume_input(s->rx.conn);
    }
    if (s->depth == 0 && s->peer_ended && conn_input(s->rx.conn).len == 0)
        server_close(s, false, HTTP_ERROR_NONE);
}

static void server_request(struct h1_server *s, struct http_head *head)
{
    s->arena_lent = false;
    s->requests++;
    s->minor = head->version_minor;
    s->head_method = head->method == HTTP_METHOD_HEAD;
    s->tunnel = false;
    s->keep_alive = s->client_stays = head->keep_alive;
    s->request = head;
    s->read = SERVER_READ_BODY;
    s->write = SERVER_WRITE_NONE;
    s->stream.user = NULL;
    s->stream.may_rest = false;
    s->stream.error_text = NULL;
    s->rx.active = true;
    h1_rx_begin(&s->rx, head, 0);
    s->owner->ops->on_request(s->owner, &s->stream, head);
    ASSERT(!s->rx.active || s->stream.user != NULL);
}

/* The empty line that some clients send after a body (RFC 9112 2.2). false: not all of it is here.
 */
static bool server_skip_crlf(struct h1_server *s, struct span *in)
{
    if (s->crlf_skipped || in->ptr[0] != '\r')
        return true;
    if (in->len == 1)
        return false;
    if (in->ptr[1] == '\n') {
        s->crlf_skipped = true;
        conn_consume(s->rx.conn, 2);
        *in = conn_input(s->rx.conn);
    }
    return in->len > 0;
}

/* The second: the end was told to an owner of the conn before us. */
static bool server_is_ended(const struct h1_server *s)
{
    return s->peer_ended || conn_is_ended(s->rx.conn);
}

/* Nothing more of a head is here. */
static void server_await_head(struct h1_server *s)
{
    if (server_is_ended(s)) {
        bool partial = conn_input(s->rx.conn).len > 0;
        server_close(s, false, partial ? HTTP_ERROR_TRUNCATED : HTTP_ERROR_NONE);
        return;
    }
    if (s->head_begun || conn_input(s->rx.conn).len == 0)
        return;
    s->head_begun = true;
    server_deadline(s, s->rx.limits->head_timeout_ns);
}

static void server_parse(struct h1_server *s, struct span bytes)
{
    struct http_head *head = NULL;
    s->rx.arena = s->owner->ops->request_arena(s->owner);
    if (s->rx.arena == NULL) {
        server_refuse(s, HTTP_ERROR_NO_MEMORY, NULL);
        return;
    }
    s->arena_lent = true;
    struct h1_parse parse = {
        .arena = s->rx.arena,
        .limits = s->rx.limits,
        .lines = s->rx.scan.lines,
        .secure = s->secure,
    };
    enum http_error error = h1_parse_request(&parse, bytes, &head);
    if (error != HTTP_ERROR_NONE) {
        server_refuse(s, error, head);
        return;
    }
    conn_consume(s->rx.conn, bytes.len);
    server_request(s, head);
}

/* false: the first bytes are those of HTTP/2, or may become so. */
static bool server_is_h1(struct h1_server *s, struct span in)
{
    if (s->requests > 0 || s->secure || in.len == 0 || s->owner->ops->on_h2 == NULL)
        return true;
    int found = h2_server_detect(in);
    if (found < 0)
        return true;
    if (found > 0) {
        s->is_h2 = true;
        s->h2_conn = s->rx.conn;
        server_detach(s, HTTP_ERROR_NONE);
    }
    return false;
}

/* true: a request was given out, go on. */
static bool server_read_head(struct h1_server *s)
{
    struct span in = conn_input(s->rx.conn);
    if (!server_is_h1(s, in)) {
        if (s->rx.conn != NULL)
            server_await_head(s);
        return false;
    }
    if (in.len == 0 || !server_skip_crlf(s, &in)) {
        server_await_head(s);
        return false;
    }
    ssize_t n = h1_scan_run(&s->rx.scan, H1_SCAN_REQUEST, in, s->rx.limits);
    if (n == 0 && conn_input_is_full(s->rx.conn))
        n = -(ssize_t)HTTP_ERROR_HEAD_TOO_LARGE;
    if (n == 0) {
        server_await_head(s);
        return false;
    }
    if (n < 0) {
        server_refuse(s, (enum http_error) - n, NULL);
        return false;
    }
    server_parse(s, span_make(in.ptr, (size_t)n));
    return s->rx.conn != NULL;
}

static void server_read_ended(struct h1_server *s)
{
    s->read = SERVER_READ_DONE;
    bool answered = s->write == SERVER_WRITE_DONE;
    s->stream.user->ops->on_end(s->stream.user, &s->stream, s->rx.trailers);
    /* When the response was complete before, this was the end of both; else send_end sees to it. */
    if (answered && s->rx.conn != NULL)
        server_next(s);
}

/* 101 was sent, and the request has ended. */
static void server_open_tunnel(struct h1_server *s)
{
    s->read = SERVER_READ_TUNNEL;
    h1_rx_begin_tunnel(&s->rx, 0);
    conn_set_deadline(s->rx.conn, 0);
}

/* true: the body is over, go on. */
static bool server_read_body(struct h1_server *s)
{
    switch (h1_rx_pump(&s->rx, &s->stream)) {
    case H1_RX_GONE:
        return false;
    case H1_RX_BAD:
        server_fail(s, HTTP_ERROR_BAD_CHUNK);
        return false;
    case H1_RX_LARGE:
        server_fail(s, HTTP_ERROR_TRAILERS_TOO_LARGE);
        return false;
    case H1_RX_WAIT:
        if (s->rx.paused)
            return false;
        if (server_is_ended(s))
            server_fail(s, HTTP_ERROR_TRUNCATED);
        else if (s->rx.credit > 0)
            server_body_deadline(s);
        return false;
    case H1_RX_END:
        break;
    }
    server_read_ended(s);
    if (s->rx.conn != NULL && s->tunnel && s->read == SERVER_READ_DONE)
        server_open_tunnel(s);
    return s->rx.conn != NULL;
}

static void server_read_tunnel(struct h1_server *s)
{
    if (h1_rx_pump(&s->rx, &s->stream) == H1_RX_WAIT && !s->rx.paused && server_is_ended(s))
        server_read_ended(s);
}

/* A client that sends requests and does not read the answers is not given more of them: on_drain
 * goes on from here. */
static void server_pump(struct h1_server *s)
{
    bool more = s->rx.conn != NULL;
    while (more) {
        if (s->read == SERVER_READ_HEAD)
            more = !conn_is_congested(s->rx.conn) && server_read_head(s);
        else if (s->read == SERVER_READ_BODY)
            more = server_read_body(s);
        else
            more = false; /* until the response is complete */
    }
    if (s->rx.conn != NULL && s->read == SERVER_READ_TUNNEL)
        server_read_tunnel(s);
}

static struct h1_server *server_of(struct conn_owner *owner)
{
    return container_of(owner, struct h1_server, conn_owner);
}

static void server_on_data(struct conn_owner *owner, struct conn *conn)
{
    struct h1_server *s = server_of(owner);
    ASSERT(s->rx.conn == conn);
    server_enter(s);
    server_pump(s);
    server_leave(s);
}

/* A client may close its side and wait for the answer. */
static void server_on_end(struct conn_owner *owner, struct conn *conn)
{
    server_of(owner)->peer_ended = true;
    server_on_data(owner, conn);
}

static void server_on_drain(struct conn_owner *owner, struct conn *conn)
{
    struct h1_server *s = server_of(owner);
    ASSERT(s->rx.conn == conn);
    server_enter(s);
    if (s->rx.active && s->write == SERVER_WRITE_BODY)
        s->stream.user->ops->on_drain(s->stream.user, &s->stream);
    server_pump(s);
    server_leave(s);
}

static void server_on_task(struct loop_task *task)
{
    struct h1_server *s = container_of(task, struct h1_server, task);
    server_enter(s);
    server_pump(s);
    server_leave(s);
}

static void server_on_timeout(struct conn_owner *owner, struct conn *conn)
{
    struct h1_server *s = server_of(owner);
    ASSERT(s->rx.conn == conn);
    server_enter(s);
    if (s->read == SERVER_READ_HEAD && s->head_begun)
        server_refuse(s, HTTP_ERROR_REQUEST_TIMEOUT, NULL);
    else if (s->read == SERVER_READ_HEAD)
        server_close(s, false, HTTP_ERROR_NONE);
    else if (s->read == SERVER_READ_BODY && s->rx.credit > 0)
        server_fail(s, HTTP_ERROR_REQUEST_TIMEOUT);
    server_leave(s);
}

static void server_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    struct h1_server *s = server_of(owner);
    enum http_error reason = h1_rx_error(error);
    ASSERT(s->rx.conn == conn);
    server_enter(s);
    s->stream.error_text = conn_error_text(conn);
    server_detach(s, s->error != HTTP_ERROR_NONE ? (enum http_error)s->error : reason);
    server_reset_user(s, (enum http_error)s->error);
    server_leave(s);
}

static const struct conn_owner_ops server_conn_ops = {
    .name = "h1_server",
    .on_data = server_on_data,
    .on_end = server_on_end,
    .on_drain = server_on_drain,
    .on_timeout = server_on_timeout,
    .on_close = server_on_close,
};

static struct h1_server *server_of_stream(const struct http_stream *stream)
{
    struct h1_server *s = container_of(stream, struct h1_server, stream);
    ASSERT(s->rx.active && s->rx.conn != NULL);
    return s;
}

/* The response's last byte is written. */
static void server_written(struct h1_server *s)
{
    s->write = SERVER_WRITE_DONE;
    if (s->read == SERVER_READ_DONE)
        server_next(s);
}

static struct h1_plan server_plan(struct h1_server *s, const struct http_head *head, bool end)
{
    struct h1_plan plan = {.framing = H1_FRAMING_NONE, .announce = HTTP_LENGTH_UNKNOWN};
    if (s->head_method || http_status_has_no_body(head->status)) {
        if (head->status >= 200 && head->status != 204)
            plan.announce = head->content_length;
    } else if (end || head->content_length >= 0) {
        plan.framing = H1_FRAMING_LENGTH;
        plan.announce = end ? 0 : head->content_length;
    } else if (s->minor == 1) {
        plan.framing = H1_FRAMING_CHUNKED;
    } else {
        plan.framing = H1_FRAMING_UNTIL_CLOSE;
        s->keep_alive = false;
    }
    if (s->draining || s->requests >= s->rx.limits->requests_max)
        s->keep_alive = false;
    /* An answer before the whole request: the rest of it could only be read to be thrown away. The
     * same when the answer is its maker's last word on the connection. */
    if (s->read == SERVER_READ_BODY && (end || !head->keep_alive) && !h1_rx_can_discard(&s->rx))
        s->keep_alive = false;
    if (head->status == 426)
        plan.upgrade = head->upgrade; /* RFC 9110 15.5.22 */
    if (!s->keep_alive)
        plan.connection = plan.upgrade.len > 0 ? SPAN_LIT("close, upgrade") : SPAN_LIT("close");
    else if (plan.upgrade.len > 0)
        plan.connection = SPAN_LIT("upgrade");
    else if (s->minor == 0)
        plan.connection = SPAN_LIT("keep-alive");
    if (http_head_find_id(head, HTTP_HEADER_DATE) == NULL)
        plan.date = server_date(s);
    return plan;
}

/* 1xx: no framing. One that only HTTP/1.1 knows is not sent to an older client. */
static int server_send_interim(struct h1_server *s, const struct http_head *head)
{
    struct h1_plan plan = {.framing = H1_FRAMING_NONE, .announce = HTTP_LENGTH_UNKNOWN};
    if (head->status != 101)
        return s->minor == 0 ? 0 : h1_write_response(s->rx.conn, head, &plan);
    ASSERT(s->request->upgrade.len > 0);
    plan.framing = H1_FRAMING_UNTIL_CLOSE;
    plan.connection = SPAN_LIT("upgrade");
    plan.upgrade = s->request->upgrade;
    int error = h1_write_response(s->rx.conn, head, &plan);
    h1_tx_begin(&s->tx, &plan);
    s->write = SERVER_WRITE_BODY;
    s->tunnel = true;
    s->keep_alive = false;
    if (s->read == SERVER_READ_DONE)
        server_open_tunnel(s);
    return error;
}

static int server_send_head(struct http_stream *stream, struct http_head *head, bool end)
{
    struct h1_server *s = server_of_stream(stream);
    ASSERT(s->write == SERVER_WRITE_NONE);
    if (head->status < 200)
        return server_send_interim(s, head);
    struct h1_plan plan = server_plan(s, head, end);
    int error = h1_write_response(s->rx.conn, head, &plan);
    /* Also after a failure, so that a holder that goes on until on_reset comes does no harm. */
    h1_tx_begin(&s->tx, &plan);
    s->write = SERVER_WRITE_BODY;
    if (error == 0 && end)
        server_written(s);
    return error;
}

/* The holder broke its own announcement: the client must not take what it got for whole. */
static int server_broken(struct h1_server *s, int error)
{
    if (error != -EMSGSIZE)
        return error;
    s->error = HTTP_ERROR_GONE;
    conn_fail(s->rx.conn, error, "response body does not fit its Content-Length");
    return error;
}

static int server_send_body(struct http_stream *stream, const struct iovec *iov, int count)
{
    struct h1_server *s = server_of_stream(stream);
    ASSERT(s->write == SERVER_WRITE_BODY);
    return server_broken(s, h1_tx_body(&s->tx, s->rx.conn, iov, count));
}

static int server_send_end(struct http_stream *stream, struct http_head *trailers)
{
    struct h1_server *s = server_of_stream(stream);
    ASSERT(s->write == SERVER_WRITE_BODY);
    /* HTTP/1.0 has no chunks, so trailers are dropped there with the framing. */
    int error = h1_tx_end(&s->tx, s->rx.conn, trailers);
    if (error < 0)
        return server_broken(s, error);
    if (s->tunnel)
        conn_shutdown(s->rx.conn);
    server_written(s);
    return 0;
}

static bool server_is_congested(const struct http_stream *stream)
{
    return conn_is_congested(server_of_stream(stream)->rx.conn);
}

static void server_grant(struct http_stream *stream, size_t bytes)
{
    struct h1_server *s = server_of_stream(stream);
    bool stopped = s->rx.credit == 0;
    h1_rx_grant(&s->rx, bytes);
    if (stopped && bytes > 0 && s->read == SERVER_READ_BODY)
        server_body_deadline(s);
    if (stopped && s->read == SERVER_READ_TUNNEL && server_is_ended(s))
        loop_defer(s->pool->loop, &s->task); /* nothing is left that would call on_data */
}

static void server_reset(struct http_stream *stream, enum http_error error)
{
    struct h1_server *s = server_of_stream(stream);
    if (s->read == SERVER_READ_DONE && s->write == SERVER_WRITE_DONE)
        return; /* from inside the on_end that made it whole: nothing is left to abandon */
    s->rx.active = false;
    if (s->write == SERVER_WRITE_DONE && s->keep_alive && h1_rx_discard(&s->rx)) {
        h1_rx_unpause(&s->rx);
        server_next(s);
        return;
    }
    if (s->tunnel || (s->write == SERVER_WRITE_BODY && s->tx.framing == H1_FRAMING_UNTIL_CLOSE)) {
        conn_abort(s->rx.conn);
        server_detach(s, error);
        return;
    }
    server_close(s, s->write == SERVER_WRITE_DONE, error);
}

static struct conn *server_conn(const struct http_stream *stream)
{
    return server_of_stream(stream)->rx.conn;
}

static const struct http_stream_ops server_stream_ops = {
    .protocol = "HTTP/1.1",
    .send_head = server_send_head,
    .send_body = server_send_body,
    .send_end = server_send_end,
    .is_congested = server_is_congested,
    .grant = server_grant,
    .reset = server_reset,
    .conn = server_conn,
};

static struct h1_server *server_self(const struct http_server *server)
{
    return container_of(server, struct h1_server, server);
}

static bool server_is_idle(const struct http_server *server)
{
    const struct h1_server *s = server_self(server);
    return !s->rx.active && s->read == SERVER_READ_HEAD &&
           (s->rx.conn == NULL || conn_input(s->rx.conn).len == 0);
}

static void server_drain(struct http_server *server)
{
    struct h1_server *s = server_self(server);
    s->draining = true;
    if (s->rx.conn != NULL && server_is_idle(server))
        server_close(s, false, HTTP_ERROR_NONE);
}

static void server_abort(struct http_server *server)
{
    struct h1_server *s = server_self(server);
    server_enter(s);
    if (s->rx.conn != NULL) {
        conn_abort(s->rx.conn);
        server_detach(s, HTTP_ERROR_GONE);
    }
    server_reset_user(s, HTTP_ERROR_GONE);
    server_leave(s);
}

static const struct http_server_ops server_ops = {
    .drain = server_drain,
    .abort = server_abort,
    .is_idle = server_is_idle,
};

struct http_server *h1_server_start(struct h1_server_pool *pool, struct conn *conn,
                                    const struct h1_server_options *options,
                                    struct http_server_owner *owner)
{
    struct h1_server *s = pool_get_zero(&pool->pool);
    if (s == NULL)
        return NULL;
    s->server.ops = &server_ops;
    s->conn_owner.ops = &server_conn_ops;
    s->stream.ops = &server_stream_ops;
    s->rx.conn = conn;
    s->rx.limits = options->limits;
    s->pool = pool;
    s->owner = owner;
    s->secure = options->secure;
    s->task.run = server_on_task;
    dlist_init(&s->task.link);
    conn_set_owner(conn, &s->conn_owner);
    server_deadline(s, options->limits->idle_timeout_ns);
    if (conn_is_ended(conn)) /* nothing will come: closed as idle by the next turn */
        conn_set_deadline(conn, pool->loop->clock.mono_ns);
    if (conn_input(conn).len > 0) {
        conn_pause_input(conn);
        conn_resume_input(conn);
    }
    return &s->server;
}
