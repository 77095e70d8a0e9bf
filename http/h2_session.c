/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_session.h"

#include <errno.h>
#include <stdlib.h>

#include "base/panic.h"
#include "http/h1_rx.h"
#include "http/h2_input.h"
#include "http/h2_stream.h"

/* Life: the session dies in session_finish, which is called when the conn is gone and nobody is
 * inside. Callbacks of the loop enter and leave; what the holders' callbacks inside them ask for
 * (pump, callbacks of other streams) is done when the outermost leaves. Calls from outside leave it
 * to the task at the end of the turn. */

#define FRAME_BUF_SIZE 17408u
#define KEPT_FREE                                                                                  \
    (256u << 10) /* bytes kept for slow streams that the connection's window forgives */
#define PAUSE_QUEUED (4 * CONN_HIGH_WATER) /* unsent bytes at which nothing more is received */
#define ROUNDS_MAX 8 /* of callbacks and pumps in one turn */
#define NOTICE_NS NS_PER_S /* between the two GOAWAY, unless PING comes back sooner */
#define PING_TIMEOUT_NS (10 * NS_PER_S)

static const uint8_t ping_drain[8] = "drained", ping_alive[8] = "alive?";

/* Memory of nghttp2. */

static void *mem_malloc(size_t size, void *user)
{
    struct h2_session *s = user;
    if (UNLIKELY(s->booting) && size >= 16384 && size <= FRAME_BUF_SIZE) {
        s->booting = false;
        return s->shared->frame_buf;
    }
    if (size > H2_SESSION_HEAP_MAX || s->heap + size > H2_SESSION_HEAP_MAX)
        return NULL;
    void *piece = h2_mem_get(&s->shared->mem, size);
    if (piece != NULL)
        s->heap += h2_mem_size(piece);
    return piece;
}

static void *mem_calloc(size_t count, size_t size, void *user)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *piece = mem_malloc(total, user);
    if (piece != NULL)
        memset(piece, 0, total);
    return piece;
}

static void mem_free(void *ptr, void *user)
{
    struct h2_session *s = user;
    if (ptr == NULL || ptr == s->shared->frame_buf)
        return;
    s->heap -= h2_mem_size(ptr);
    h2_mem_put(&s->shared->mem, ptr);
}

static void *mem_realloc(void *ptr, size_t size, void *user)
{
    struct h2_session *s = user;
    if (ptr == NULL)
        return mem_malloc(size, user);
    ASSERT(ptr != s->shared->frame_buf);
    size_t before = h2_mem_size(ptr);
    if (size <= before)
        return ptr;
    void *piece = mem_malloc(size, user);
    if (piece == NULL)
        return NULL;
    memcpy(piece, ptr, before);
    mem_free(ptr, user);
    return piece;
}

/* Blocks that its streams hold, as far as can be told. */
static unsigned session_held(const struct h2_session *s)
{
    unsigned held = 0;
    dlist_foreach(it, next, &s->streams)
    {
        held += h2_stream_held(dlist_entry(it, struct h2_stream, link));
    }
    return held;
}

static void shared_on_relief(struct loop_task *task)
{
    struct h2_shared *shared = container_of(task, struct h2_shared, relief);
    struct block_pool *blocks = shared->loop->blocks;
    unsigned most = block_max(blocks) / 2 / MAX(shared->sessions_count, 1u);
    struct h2_session *worst = NULL;

    if (!block_is_scarce(blocks))
        return;
    dlist_foreach(it, next, &shared->sessions)
    {
        struct h2_session *s = dlist_entry(it, struct h2_session, shared_link);
        unsigned held = s->conn != NULL ? session_held(s) : 0;
        if (held > most) {
            worst = s;
            most = held;
        }
    }
    if (worst == NULL)
        return;
    dlist_foreach(it, next, &worst->streams)
    {
        h2_stream_fail(dlist_entry(it, struct h2_stream, link), NGHTTP2_ENHANCE_YOUR_CALM,
                       HTTP_ERROR_NO_MEMORY);
    }
}

void h2_shared_relieve(struct h2_shared *shared)
{
    if (UNLIKELY(block_is_scarce(shared->loop->blocks)))
        loop_defer(shared->loop, &shared->relief);
}

void h2_shared_init(struct h2_shared *shared, struct loop *loop, unsigned streams_max)
{
    *shared = (struct h2_shared){.loop = loop, .relief.run = shared_on_relief};
    dlist_init(&shared->sessions);
    dlist_init(&shared->relief.link);
    pool_init(&shared->streams, "h2_stream", sizeof(struct h2_stream), streams_max);
    h2_mem_init(&shared->mem);
    shared->callbacks = h2_input_callbacks();
    shared->frame_buf = xmalloc(FRAME_BUF_SIZE);
    shared->out = xmalloc(H2_SHARED_OUT_SIZE);
}

void h2_shared_fini(struct h2_shared *shared)
{
    loop_cancel(&shared->relief);
    pool_fini(&shared->streams);
    h2_mem_fini(&shared->mem);
    nghttp2_session_callbacks_del(shared->callbacks);
    free(shared->frame_buf);
    free(shared->out);
}

void h2_session_defer(struct h2_session *s)
{
    if (s->depth == 0 && s->conn != NULL)
        loop_defer(s->shared->loop, &s->task);
}

void h2_session_want_pump(struct h2_session *s)
{
    s->pump_due = true;
    h2_session_defer(s);
}

void h2_session_want_events(struct h2_session *s)
{
    s->events_due = true;
    h2_session_defer(s);
}

/* Ends. */

static void session_detach(struct h2_session *s, enum http_error error, const char *text)
{
    s->conn = NULL;
    s->error = (uint8_t)error;
    if (s->error_text == NULL)
        s->error_text = text;
}

static void session_close(struct h2_session *s, bool linger, enum http_error error,
                          const char *text)
{
    conn_close(s->conn, linger);
    session_detach(s, error, text);
}

/* GOAWAY written by hand: nghttp2 gives none when a limit of its own or a callback ended it. */
static void session_quit(struct h2_session *s, uint32_t code, enum http_error error,
                         const char *text)
{
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(s->ng);
    const uint8_t frame[H2_FRAME_HEAD + 8] = {
        0,
        0,
        8,
        NGHTTP2_GOAWAY,
        0,
        0,
        0,
        0,
        0,
        (uint8_t)(last >> 24),
        (uint8_t)(last >> 16),
        (uint8_t)(last >> 8),
        (uint8_t)last,
        (uint8_t)(code >> 24),
        (uint8_t)(code >> 16),
        (uint8_t)(code >> 8),
        (uint8_t)code,
    };
    bool told = conn_write_span(s->conn, span_make(frame, sizeof(frame))) == 0;
    session_close(s, told, error, text);
}

void h2_session_broken(struct h2_session *s, int ng_error)
{
    if (s->conn == NULL || s->error != HTTP_ERROR_NONE)
        return;
    s->error = HTTP_ERROR_NO_MEMORY;
    s->error_text = s->error_text != NULL ? s->error_text : nghttp2_strerror(ng_error);
    conn_fail(s->conn, -ENOMEM, s->error_text);
}

int h2_session_condemn(struct h2_session *s, uint32_t code, enum http_error error, const char *text)
{
    if (s->error == HTTP_ERROR_NONE) {
        s->goaway_code = code;
        s->error = (uint8_t)error;
        s->error_text = text;
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void session_finish(struct h2_session *s)
{
    struct dlist *link;
    loop_cancel(&s->task);
    s->depth++; /* nobody comes in again */
    dlist_foreach(it, next, &s->streams)
    {
        h2_stream_abort(dlist_entry(it, struct h2_stream, link), (enum http_error)s->error,
                        s->error_text);
    }
    while ((link = dlist_pop_front(&s->streams)) != NULL)
        h2_stream_free(dlist_entry(link, struct h2_stream, link));
    nghttp2_session_del(s->ng);
    ASSERT(s->heap == 0 && s->kept == 0 && s->queued == 0 && s->spent == NULL);
    dlist_remove(&s->shared_link);
    s->shared->sessions_count--;
    s->role->on_closed(s, (enum http_error)s->error, s->error_text);
}

/* Pooled connections to backends are kept as those of HTTP/1 are. */
static uint64_t session_idle_timeout(const struct h2_session *s)
{
    return s->role->server ? s->limits->h2_idle_timeout_ns : s->limits->idle_timeout_ns;
}

/* Callbacks that are due, then streams that nobody needs any more. */
static void session_run_streams(struct h2_session *s)
{
    unsigned before = s->streams_count;
    s->events_due = false;
    dlist_foreach(it, next, &s->streams)
    {
        struct h2_stream *stream = dlist_entry(it, struct h2_stream, link);
        h2_stream_run(stream);
        if (s->conn == NULL)
            return;
        if (h2_stream_is_over(stream))
            h2_stream_free(stream);
    }
    /* Another one is first when there is room for few. */
    struct dlist *first = dlist_pop_front(&s->streams);
    if (first != NULL)
        dlist_push_back(&s->streams, first);
    if (s->streams_count == before)
        return;
    s->room_due = true;
    s->idle_ns = h2_session_now(s);
    uint64_t timeout_ns = session_idle_timeout(s);
    if (s->streams_count == 0 && timeout_ns != 0)
        h2_session_arm(s, s->idle_ns + timeout_ns);
}

/* The end, when nghttp2 or the peer has nothing more to say. */
static void session_check_over(struct h2_session *s)
{
    if (s->draining && !s->role->server && s->streams_count == 0 && !s->final_sent) {
        s->final_sent = true;
        int error = nghttp2_session_terminate_session(s->ng, NGHTTP2_NO_ERROR);
        if (error != 0)
            h2_session_broken(s, error);
        h2_session_pump(s);
    }
    bool done = nghttp2_session_want_read(s->ng) == 0 && nghttp2_session_want_write(s->ng) == 0;
    if ((done || s->peer_ended) && s->streams_count == 0)
        session_close(s, !s->peer_ended, (enum http_error)s->error, NULL);
    else if (done && s->error != HTTP_ERROR_NONE)
        session_close(s, true, (enum http_error)s->error, NULL);
}

static void session_settle_turn(struct h2_session *s)
{
    for (int round = 0; s->conn != NULL && (s->pump_due || s->events_due); round++) {
        if (round == ROUNDS_MAX) {
            loop_defer(s->shared->loop, &s->task); /* others are waiting */
            return;
        }
        if (s->events_due)
            session_run_streams(s);
        h2_session_pump(s);
    }
    if (s->conn != NULL && s->goaway_code != NGHTTP2_NO_ERROR)
        session_quit(s, s->goaway_code, (enum http_error)s->error, s->error_text);
    if (s->conn != NULL)
        session_check_over(s);
    if (s->conn == NULL || !s->room_due)
        return;
    s->room_due = false;
    if (s->role->on_room != NULL)
        s->role->on_room(s);
    if (s->conn != NULL && (s->pump_due || s->events_due))
        loop_defer(s->shared->loop, &s->task); /* a request was made */
}

static void session_enter(struct h2_session *s)
{
    s->depth++;
}

static void session_leave(struct h2_session *s)
{
    if (s->depth == 1 && s->conn != NULL)
        session_settle_turn(s);
    if (--s->depth == 0 && s->conn == NULL)
        session_finish(s);
}

static void session_on_task(struct loop_task *task)
{
    struct h2_session *s = container_of(task, struct h2_session, task);
    session_enter(s);
    session_leave(s);
}

/* Input. */

void h2_session_settle(struct h2_session *s)
{
    uint32_t held = s->kept > KEPT_FREE ? MIN(s->kept - KEPT_FREE, s->unsettled) : 0;
    uint32_t due = s->unsettled - held;
    if (due == 0 || s->conn == NULL)
        return;
    s->unsettled -= due;
    int error = nghttp2_session_consume_connection(s->ng, due);
    if (error != 0)
        h2_session_broken(s, error);
    h2_session_want_pump(s);
}

void h2_session_add_queued(struct h2_session *s, uint32_t bytes)
{
    s->queued += bytes;
    s->crowded |= s->queued >= H2_SESSION_HIGH;
}

void h2_session_take_queued(struct h2_session *s, uint32_t bytes)
{
    s->queued -= bytes;
    if (!s->crowded || s->queued > H2_SESSION_LOW)
        return;
    s->crowded = false;
    h2_session_want_events(s); /* streams may go on */
}

static void session_failed(struct h2_session *s, int error)
{
    if (s->error != HTTP_ERROR_NONE && s->goaway_code != NGHTTP2_NO_ERROR)
        session_quit(s, s->goaway_code, (enum http_error)s->error, s->error_text);
    else if (error == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        session_quit(s, NGHTTP2_PROTOCOL_ERROR, HTTP_ERROR_PROTOCOL, "no client preface");
    else if (error == NGHTTP2_ERR_NOMEM)
        session_quit(s, NGHTTP2_INTERNAL_ERROR, HTTP_ERROR_NO_MEMORY, "HTTP/2 memory limit");
    else
        session_quit(s, NGHTTP2_ENHANCE_YOUR_CALM, HTTP_ERROR_FLOOD, nghttp2_strerror(error));
}

static void session_feed(struct h2_session *s)
{
    struct span in = conn_input(s->conn);
    if (in.len == 0)
        return;
    s->rx_ns = h2_session_now(s);
    s->receiving = true;
    ssize_t n = h2_input_feed(s, in);
    s->receiving = false;
    if (s->conn == NULL)
        return;
    conn_consume(s->conn, in.len);
    s->pump_due = true;
    if (n < 0)
        session_failed(s, (int)n);
    else if (conn_queued(s->conn) >= PAUSE_QUEUED)
        conn_pause_input(s->conn); /* who does not read its answers is not given more of them */
}

static struct h2_session *session_of(struct conn_owner *owner)
{
    return container_of(owner, struct h2_session, conn_owner);
}

static void session_on_data(struct conn_owner *owner, struct conn *conn)
{
    struct h2_session *s = session_of(owner);
    ASSERT(s->conn == conn);
    session_enter(s);
    if (s->pump_due)
        h2_session_pump(s); /* our SETTINGS come before whatever we have to say of the input */
    session_feed(s);
    session_leave(s);
}

/* A client that has closed its side has gone: HTTP/2 needs both. What a server has sent whole
 * before is still given out. */
static void session_on_end(struct conn_owner *owner, struct conn *conn UNUSED)
{
    struct h2_session *s = session_of(owner);
    session_enter(s);
    session_feed(s);
    if (s->conn != NULL && s->role->server) {
        session_close(s, false, s->streams_count > 0 ? HTTP_ERROR_CANCELLED : HTTP_ERROR_NONE,
                      NULL);
    } else if (s->conn != NULL) {
        s->peer_ended = true;
        s->events_due = true;
        dlist_foreach(it, next, &s->streams)
        {
            h2_stream_on_peer_end(dlist_entry(it, struct h2_stream, link));
        }
    }
    session_leave(s);
}

static void session_on_drain(struct conn_owner *owner, struct conn *conn)
{
    struct h2_session *s = session_of(owner);
    session_enter(s);
    conn_resume_input(conn);
    s->pump_due = s->events_due = true;
    session_leave(s);
}

static void session_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    struct h2_session *s = session_of(owner);
    enum http_error reason =
        s->error != HTTP_ERROR_NONE ? (enum http_error)s->error : h1_rx_error(error);
    const char *text = conn_error_text(conn);
    session_enter(s);
    session_detach(s, reason, text[0] != '\0' ? text : NULL);
    session_leave(s);
}

/* Deadlines. One timer: armed at the earliest that was known, looks again when it fires. */

void h2_session_arm(struct h2_session *s, uint64_t at_ns)
{
    if (s->conn == NULL || (s->deadline_ns != 0 && s->deadline_ns <= at_ns))
        return;
    s->deadline_ns = at_ns;
    conn_set_deadline(s->conn, at_ns);
}

static void session_arm_after(struct h2_session *s, uint64_t from_ns, uint64_t timeout_ns)
{
    if (timeout_ns != 0)
        h2_session_arm(s, from_ns + timeout_ns);
}

static uint64_t session_ping_timeout(const struct h2_session *s)
{
    return MIN(s->limits->h2_ping_interval_ns, PING_TIMEOUT_NS);
}

static void session_arm_ping(struct h2_session *s)
{
    if (s->streams_count > 0)
        session_arm_after(s, s->rx_ns, s->limits->h2_ping_interval_ns);
}

/* The peer has not shown that it speaks HTTP/2. A backend may take its time to acknowledge. */
static bool session_is_new(const struct h2_session *s)
{
    return !s->settled || (s->role->server && !s->acked);
}

static bool is_past(uint64_t now, uint64_t from_ns, uint64_t timeout_ns)
{
    return timeout_ns != 0 && now >= from_ns + timeout_ns;
}

static void session_rearm(struct h2_session *s)
{
    const struct http_limits *limits = s->limits;
    s->deadline_ns = 0;
    if (session_is_new(s))
        session_arm_after(s, s->start_ns, limits->head_timeout_ns);
    if (s->block_deadline_ns != 0)
        h2_session_arm(s, s->block_deadline_ns);
    if (s->streams_count == 0)
        session_arm_after(s, s->idle_ns, session_idle_timeout(s));
    if (s->notice_ns != 0 && !s->final_sent)
        session_arm_after(s, s->notice_ns, NOTICE_NS);
    if (s->ping_ns != 0)
        session_arm_after(s, s->ping_ns, session_ping_timeout(s));
    else
        session_arm_ping(s);
    dlist_foreach(it, next, &s->streams)
    {
        uint64_t at = h2_stream_deadline(dlist_entry(it, struct h2_stream, link));
        if (at != 0)
            h2_session_arm(s, at);
    }
}

static void session_ping(struct h2_session *s, const uint8_t *data)
{
    int error = nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, data);
    if (error != 0)
        h2_session_broken(s, error);
    h2_session_want_pump(s);
}

static void session_final_goaway(struct h2_session *s)
{
    if (s->final_sent)
        return;
    s->final_sent = true;
    int error = nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE,
                                      nghttp2_session_get_last_proc_stream_id(s->ng),
                                      NGHTTP2_NO_ERROR, NULL, 0);
    if (error != 0)
        h2_session_broken(s, error);
    h2_session_want_pump(s);
}

void h2_session_on_ping_ack(struct h2_session *s, const uint8_t *data)
{
    s->ping_ns = 0;
    session_arm_ping(s);
    if (s->notice_ns != 0 && memcmp(data, ping_drain, sizeof(ping_drain)) == 0)
        session_final_goaway(s);
}

/* What ends the session because too much time has passed. */
static void session_time_out(struct h2_session *s, uint64_t now)
{
    const struct http_limits *limits = s->limits;
    if (session_is_new(s) && is_past(now, s->start_ns, limits->head_timeout_ns))
        session_quit(s, NGHTTP2_SETTINGS_TIMEOUT, HTTP_ERROR_REQUEST_TIMEOUT,
                     "SETTINGS not received or acknowledged in time");
    else if (s->block_deadline_ns != 0 && now >= s->block_deadline_ns)
        session_quit(s, NGHTTP2_ENHANCE_YOUR_CALM, HTTP_ERROR_REQUEST_TIMEOUT,
                     "header block not received in time");
    else if (s->ping_ns != 0 && is_past(now, s->ping_ns, session_ping_timeout(s)))
        session_quit(s, NGHTTP2_NO_ERROR, HTTP_ERROR_RESET, "PING not answered");
    else if (s->streams_count == 0 && is_past(now, s->idle_ns, session_idle_timeout(s)))
        session_quit(s, NGHTTP2_NO_ERROR, HTTP_ERROR_NONE, NULL);
}

static void session_on_timeout(struct conn_owner *owner, struct conn *conn UNUSED)
{
    struct h2_session *s = session_of(owner);
    uint64_t now = h2_session_now(s);

    session_enter(s);
    session_time_out(s, now);
    if (s->conn != NULL) {
        if (s->notice_ns != 0 && is_past(now, s->notice_ns, NOTICE_NS))
            session_final_goaway(s);
        if (s->ping_ns == 0 && s->streams_count > 0 &&
            is_past(now, s->rx_ns, s->limits->h2_ping_interval_ns)) {
            s->ping_ns = now;
            session_ping(s, ping_alive);
        }
        dlist_foreach(it, next, &s->streams)
        {
            h2_stream_on_deadline(dlist_entry(it, struct h2_stream, link));
        }
        session_rearm(s);
    }
    session_leave(s);
}

static const struct conn_owner_ops session_conn_ops = {
    .name = "h2_session",
    .on_data = session_on_data,
    .on_end = session_on_end,
    .on_drain = session_on_drain,
    .on_timeout = session_on_timeout,
    .on_close = session_on_close,
};

/* Begin. */

static int session_new_ng(struct h2_session *s)
{
    nghttp2_mem mem = {s, mem_malloc, mem_free, mem_calloc, mem_realloc};
    nghttp2_option *option;
    int error = nghttp2_option_new(&option);
    if (error != 0)
        return error;
    nghttp2_option_set_no_auto_window_update(option, 1);
    /* Counted by h2_guard, which tells those that cost from those that do not, and says so. */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
    nghttp2_option_set_max_continuations(option, H2_GUARD_CONTINUATIONS_MAX);
    /* Priorities are not used; this keeps PRIORITY frames checked (RFC 9113 6.3). */
    nghttp2_option_set_server_fallback_rfc7540_priorities(option, 1);
    s->booting = true;
    if (s->role->server)
        error = nghttp2_session_server_new3(&s->ng, s->shared->callbacks, s, option, &mem);
    else
        error = nghttp2_session_client_new3(&s->ng, s->shared->callbacks, s, option, &mem);
    s->booting = false;
    nghttp2_option_del(option);
    return error;
}

static int session_submit_settings(struct h2_session *s)
{
    const struct http_limits *limits = s->limits;
    const nghttp2_settings_entry server[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->h2_streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW_SERVER},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->head_bytes_max},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    const nghttp2_settings_entry client[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->head_bytes_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    bool is_server = s->role->server;
    int error = nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, is_server ? server : client,
                                        is_server ? ARRAY_COUNT(server) : ARRAY_COUNT(client));
    if (error != 0)
        return error;
    return nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)limits->h2_window_bytes);
}

int h2_session_init(struct h2_session *s, struct h2_shared *shared, const struct h2_role *role,
                    struct conn *conn, const struct http_limits *limits)
{
    *s = (struct h2_session){
        .conn_owner.ops = &session_conn_ops,
        .shared = shared,
        .role = role,
        .limits = limits,
        .task.run = session_on_task,
    };
    dlist_init(&s->task.link);
    dlist_init(&s->streams);
    dlist_init(&s->ready);
    s->framing.preface_left = role->server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
    s->start_ns = s->idle_ns = s->rx_ns = h2_session_now(s);
    h2_guard_init(&s->guard, limits, s->start_ns);
    if (session_new_ng(s) != 0)
        return -ENOMEM;
    if (session_submit_settings(s) != 0) {
        nghttp2_session_del(s->ng);
        return -ENOMEM;
    }
    s->conn = conn;
    dlist_push_back(&shared->sessions, &s->shared_link);
    shared->sessions_count++;
    conn_set_owner(conn, &s->conn_owner);
    if (role->server)
        h2_session_want_pump(s);
    else
        h2_session_pump(s); /* now: the preface lies in the frame buffer */
    conn_set_deadline(conn, 0);
    session_rearm(s);
    if (conn_is_ended(conn)) /* nothing will come: closed by the next turn */
        h2_session_arm(s, s->start_ns);
    if (conn_input(conn).len > 0) {
        conn_pause_input(conn);
        conn_resume_input(conn);
    }
    return 0;
}

void h2_session_drain(struct h2_session *s)
{
    if (s->draining || s->conn == NULL)
        return;
    s->draining = true;
    if (!s->role->server) {
        s->room_due = true;
        h2_session_want_events(s);
        return;
    }
    s->notice_ns = h2_session_now(s);
    int error = nghttp2_submit_shutdown_notice(s->ng);
    if (error != 0)
        h2_session_broken(s, error);
    session_ping(s, ping_drain);
    h2_session_arm(s, s->notice_ns + NOTICE_NS);
}

void h2_session_abort(struct h2_session *s)
{
    session_enter(s);
    if (s->conn != NULL) {
        conn_abort(s->conn);
        session_detach(s, HTTP_ERROR_GONE, NULL);
    }
    session_leave(s);
}

bool h2_session_is_idle(const struct h2_session *s)
{
    return s->streams_count == 0;
}

unsigned h2_session_room(const struct h2_session *s)
{
    if (s->conn == NULL || s->draining || s->peer_goaway || s->peer_ended ||
        s->error != HTTP_ERROR_NONE || nghttp2_session_check_request_allowed(s->ng) == 0)
        return 0;
    uint32_t max =
        nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    max = MIN(max, s->limits->h2_streams_max);
    return max > s->streams_count ? max - s->streams_count : 0;
}

bool h2_session_can_tunnel(const struct h2_session *s)
{
    return s->conn != NULL && nghttp2_session_get_remote_settings(
                                  s->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}
