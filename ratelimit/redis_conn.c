/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/redis_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/metric.h"
#include "base/panic.h"

/* Delays before the next attempt; each is cut by up to a half at random, so that
 * gateways do not come back as a herd. The longest plus a handshake is under a
 * second, except for wrong credentials, which seldom mend by themselves. */
#define DELAY_NS_MIN (50 * NS_PER_MS)
#define DELAY_BUSY_NS_MIN (100 * NS_PER_MS)
#define DELAY_NS_MAX (800 * NS_PER_MS)
#define DELAY_AUTH_NS_MIN (1 * NS_PER_S)
#define DELAY_AUTH_NS_MAX (30 * NS_PER_S)

#define FORMAT_BYTES_MAX 65536u

enum step { STEP_AUTH, STEP_SELECT, STEP_NAME, STEP_ROLE, STEP_SCRIPT, STEP_COUNT };
enum state { STATE_DOWN, STATE_RESOLVING, STATE_DIALLING, STATE_HANDSHAKE, STATE_READY };

struct handshake_call {
    struct redis_call call;
    struct redis_conn *conn;
    enum step step;
};

struct redis_conn {
    struct conn_owner owner;
    struct redis_conn_options options;
    struct conn *conn; /* NULL when down */
    enum state state;
    struct dlist calls; /* struct redis_call.link, oldest first; the handshake's too */
    unsigned calls_count;
    struct resp_reader *reader;
    struct handshake_call steps[STEP_COUNT];
    struct handshake_call reload; /* SCRIPT LOAD of a running connection */
    struct resolver_query query; /* while STATE_RESOLVING */
    struct timer retry;
    uint64_t delay_ns; /* of the next attempt */
    struct buf commands, eval; /* the handshake; the head of EVAL without its count */
    struct buf load; /* SCRIPT LOAD */
    char *username, *password, *host;
    unsigned turn; /* of the host's addresses */
    char sha[REDIS_CONN_SHA_LEN + 1];
};

bool redis_conn_is_ready(const struct redis_conn *conn)
{
    return conn->state == STATE_READY;
}

const char *redis_conn_sha(const struct redis_conn *conn)
{
    return conn->sha;
}

struct span redis_conn_eval_head(const struct redis_conn *conn)
{
    return buf_span(&conn->eval);
}

void redis_conn_confirm(struct redis_conn *conn)
{
    conn->delay_ns = 0;
}

static void call_push(struct redis_conn *conn, struct redis_call *call)
{
    dlist_push_back(&conn->calls, &call->link);
    conn->calls_count++;
}

static void retry_arm(struct redis_conn *conn, enum redis_fault fault)
{
    bool is_auth = fault == REDIS_FAULT_AUTH;
    uint64_t min_ns = is_auth ? DELAY_AUTH_NS_MIN
                      : fault == REDIS_FAULT_READONLY || fault == REDIS_FAULT_BUSY
                          ? 2 * DELAY_BUSY_NS_MIN /* at least 100 ms after the cut */
                          : DELAY_NS_MIN;
    uint64_t max_ns = is_auth ? DELAY_AUTH_NS_MAX : DELAY_NS_MAX;
    uint64_t delay_ns = MIN(MAX(conn->delay_ns, min_ns), max_ns);
    conn->delay_ns = delay_ns * 2;
    uint64_t cut_us = rand_below(&conn->options.loop->rand, (uint32_t)(delay_ns / 2 / NS_PER_US));
    loop_arm(conn->options.loop, &conn->retry, delay_ns - cut_us * NS_PER_US);
}

/* Everybody who waits learns that no answer comes. They may send again: the
 * connection is down by now, so they are refused. */
static void calls_fail(struct redis_conn *conn)
{
    struct dlist lost, *link;
    dlist_take(&lost, &conn->calls);
    conn->calls_count = 0;
    while ((link = dlist_pop_front(&lost)) != NULL) {
        struct redis_call *call = dlist_entry(link, struct redis_call, link);
        call->on_reply(call, NULL);
    }
}

static void conn_lost(struct redis_conn *conn, enum redis_fault fault, struct span detail)
{
    conn->conn = NULL;
    conn->state = STATE_DOWN;
    resolver_cancel(&conn->query);
    if (conn->host != NULL) /* it may have moved */
        resolver_doubt(conn->options.resolver, span_str(conn->host));
    retry_arm(conn, fault);
    conn->options.on_down(conn->options.user, fault, detail);
    calls_fail(conn);
}

void redis_conn_drop(struct redis_conn *conn, enum redis_fault fault, struct span detail)
{
    if (conn->state == STATE_DOWN)
        return;
    if (conn->conn != NULL)
        conn_abort(conn->conn);
    conn_lost(conn, fault, detail);
}

static void step_done(struct redis_call *call, const struct resp_reply *reply)
{
    struct handshake_call *step = container_of(call, struct handshake_call, call);
    struct redis_conn *conn = step->conn;

    if (reply == NULL || conn->state != STATE_HANDSHAKE)
        return;
    struct span text = span_make(reply->text, reply->text_len);
    if (reply->type == RESP_TYPE_ERROR && step->step != STEP_NAME) {
        enum redis_fault fault = redis_fault_classify(text);
        if (step->step == STEP_AUTH && fault == REDIS_FAULT_OTHER)
            fault = REDIS_FAULT_AUTH; /* "ERR invalid password" of old servers */
        redis_conn_drop(conn, fault, text);
        return;
    }
    if (step->step == STEP_ROLE && !span_equal_str(text, "master")) {
        redis_conn_drop(conn, REDIS_FAULT_READONLY, SPAN_LIT("its role is not master"));
        return;
    }
    if (step->step != STEP_SCRIPT)
        return;
    if (reply->type != RESP_TYPE_STRING || text.len != REDIS_CONN_SHA_LEN) {
        redis_conn_drop(conn, REDIS_FAULT_PROTOCOL, SPAN_LIT("SCRIPT LOAD gave no digest"));
        return;
    }
    memcpy(conn->sha, text.ptr, text.len);
    conn->state = STATE_READY;
    conn_set_deadline(conn->conn, 0);
    conn->options.on_ready(conn->options.user);
}

static void reload_done(struct redis_call *call, const struct resp_reply *reply)
{
    (void)call; /* its place in the list says whether one is on its way */
    (void)reply; /* the calls behind it tell whether it helped */
}

void redis_conn_load_script(struct redis_conn *conn)
{
    if (conn->state != STATE_READY || dlist_is_linked(&conn->reload.call.link))
        return;
    if (conn_write_span(conn->conn, buf_span(&conn->load)) != 0)
        return; /* on_close follows */
    call_push(conn, &conn->reload.call);
    metric_inc(METRIC_RATELIMIT_SCRIPT_RELOADS);
}

static void owner_open(struct conn_owner *owner, struct conn *io)
{
    struct redis_conn *conn = container_of(owner, struct redis_conn, owner);

    metric_inc(METRIC_RATELIMIT_STORE_CONNECTS);
    conn->state = STATE_HANDSHAKE;
    conn_set_deadline(io, conn->options.loop->clock.mono_ns + conn->options.connect_timeout_ns);
    if (conn_write_span(io, buf_span(&conn->commands)) != 0)
        return; /* on_close follows */
    for (unsigned i = 0; i < STEP_COUNT; i++) {
        bool is_sent = i == STEP_AUTH     ? conn->password != NULL
                       : i == STEP_SELECT ? conn->options.database != 0
                                          : true;
        if (is_sent)
            call_push(conn, &conn->steps[i].call);
    }
}

static void owner_data(struct conn_owner *owner, struct conn *io)
{
    struct redis_conn *conn = container_of(owner, struct redis_conn, owner);
    struct span input = conn_input(io);
    const struct resp_reply *reply = NULL;

    int r = resp_reader_feed(conn->reader, input);
    conn_consume(io, input.len);
    while (r == 0 && conn->conn == io && (r = resp_reader_next(conn->reader, &reply)) == 1) {
        struct dlist *link = dlist_pop_front(&conn->calls);
        if (link == NULL) {
            /* Only a server that turns us away speaks unasked. */
            redis_conn_drop(conn, REDIS_FAULT_BUSY, span_make(reply->text, reply->text_len));
            return;
        }
        conn->calls_count--;
        struct redis_call *call = dlist_entry(link, struct redis_call, link);
        call->on_reply(call, reply);
        r = 0;
    }
    if (r < 0 && conn->conn == io)
        redis_conn_drop(conn, REDIS_FAULT_PROTOCOL, SPAN_LIT("broken reply"));
}

static void owner_end(struct conn_owner *owner, struct conn *io)
{
    struct redis_conn *conn = container_of(owner, struct redis_conn, owner);
    (void)io;
    redis_conn_drop(conn, REDIS_FAULT_NETWORK, SPAN_LIT("the store closed the connection"));
}

static void owner_timeout(struct conn_owner *owner, struct conn *io)
{
    struct redis_conn *conn = container_of(owner, struct redis_conn, owner);
    (void)io;
    redis_conn_drop(conn, REDIS_FAULT_NETWORK, SPAN_LIT("no answer to the handshake"));
}

static void owner_close(struct conn_owner *owner, struct conn *io, int error)
{
    struct redis_conn *conn = container_of(owner, struct redis_conn, owner);
    const char *text = conn_error_text(io);
    if (text == NULL || text[0] == 0)
        text = strerrordesc_np(-error);
    conn_lost(conn, REDIS_FAULT_NETWORK, span_str(text));
}

static const struct conn_owner_ops owner_ops = {
    .name = "redis",
    .on_open = owner_open,
    .on_data = owner_data,
    .on_end = owner_end,
    .on_timeout = owner_timeout,
    .on_close = owner_close,
};

static void dial(struct redis_conn *conn)
{
    int error = 0;

    if (resp_reader_reset(conn->reader) == 0)
        conn->conn = conn_dial(conn->options.loop, &conn->options.addr,
                               conn->options.connect_timeout_ns, &conn->owner, &error);
    if (conn->conn == NULL) {
        conn_lost(conn, REDIS_FAULT_NETWORK, span_str(strerrordesc_np(error ? -error : ENOMEM)));
        return;
    }
    conn->state = STATE_DIALLING;
    if (conn->options.make_tls == NULL)
        return;
    struct layer *layer = conn->options.make_tls(conn->options.user);
    if (layer == NULL)
        redis_conn_drop(conn, REDIS_FAULT_NETWORK, SPAN_LIT("TLS cannot be set up"));
    else
        conn_push_layer(conn->conn, layer);
}

static void resolved(struct redis_conn *conn, int error, const struct resolver_answer *answer)
{
    conn->state = STATE_DOWN;
    if (error != 0) {
        conn_lost(conn, REDIS_FAULT_NETWORK, span_str(resolver_error_text(error)));
        return;
    }
    resolver_answer_addr(answer, conn->turn++, conn->options.port, &conn->options.addr);
    dial(conn);
}

static void on_resolved(struct resolver_query *query, int error,
                        const struct resolver_answer *answer)
{
    resolved(container_of(query, struct redis_conn, query), error, answer);
}

static void on_retry(struct timer *timer)
{
    struct redis_conn *conn = container_of(timer, struct redis_conn, retry);
    const struct resolver_answer *answer = NULL;

    ASSERT(conn->state == STATE_DOWN);
    if (conn->host == NULL) {
        dial(conn);
        return;
    }
    int rc = resolver_lookup(conn->options.resolver, &conn->query, span_str(conn->host), &answer);
    if (rc == -EINPROGRESS)
        conn->state = STATE_RESOLVING;
    else
        resolved(conn, rc, answer);
}

static void format(struct buf *out, const struct span *args, unsigned count)
{
    /* Start-up sized texts and xmalloc'd memory everywhere around: no memory is fatal here too. */
    ASSERT(resp_format(out, args, count) == 0);
}

static void commands_build(struct redis_conn *conn)
{
    struct buf *out = &conn->commands;
    char name[32], number[16];
    struct span script = conn->options.script;

    buf_init(out, FORMAT_BYTES_MAX);
    buf_init(&conn->load, FORMAT_BYTES_MAX);
    buf_init(&conn->eval, FORMAT_BYTES_MAX);
    if (conn->password != NULL && conn->username != NULL)
        format(
            out,
            (struct span[]){SPAN_LIT("AUTH"), span_str(conn->username), span_str(conn->password)},
            3);
    else if (conn->password != NULL)
        format(out, (struct span[]){SPAN_LIT("AUTH"), span_str(conn->password)}, 2);
    snprintf(number, sizeof(number), "%u", conn->options.database);
    if (conn->options.database != 0)
        format(out, (struct span[]){SPAN_LIT("SELECT"), span_str(number)}, 2);
    snprintf(name, sizeof(name), "ringgate-%ld", (long)getpid());
    format(out, (struct span[]){SPAN_LIT("CLIENT"), SPAN_LIT("SETNAME"), span_str(name)}, 3);
    format(out, (struct span[]){SPAN_LIT("ROLE")}, 1);
    format(&conn->load, (struct span[]){SPAN_LIT("SCRIPT"), SPAN_LIT("LOAD"), script}, 3);
    buf_add_span(out, buf_span(&conn->load));
    buf_printf(&conn->eval, "*%u\r\n$4\r\nEVAL\r\n$%zu\r\n", conn->options.eval_args, script.len);
    buf_add_span(&conn->eval, script);
    buf_add_str(&conn->eval, "\r\n");
    ASSERT(buf_ok(out) && buf_ok(&conn->eval));
}

/* A copy, which may hold a secret; NULL when it is empty. */
static char *text_copy(struct span s)
{
    return s.len > 0 ? xasprintf("%.*s", SPAN_ARG(s)) : NULL;
}

struct redis_conn *redis_conn_new(const struct redis_conn_options *options)
{
    struct redis_conn *conn = xcalloc(1, sizeof(*conn));
    conn->owner.ops = &owner_ops;
    conn->options = *options;
    conn->username = text_copy(options->username);
    conn->password = text_copy(options->password);
    conn->host = text_copy(options->host);
    conn->query.on_done = on_resolved;
    ASSERT(conn->host == NULL || options->resolver != NULL);
    conn->options.username = conn->options.password = conn->options.host = SPAN_NONE;
    dlist_init(&conn->calls);
    for (unsigned i = 0; i < STEP_COUNT; i++) {
        struct handshake_call *step = &conn->steps[i];
        *step =
            (struct handshake_call){.call.on_reply = step_done, .conn = conn, .step = (enum step)i};
        dlist_init(&step->call.link);
    }
    conn->reload = (struct handshake_call){.call.on_reply = reload_done, .conn = conn};
    dlist_init(&conn->reload.call.link);
    conn->reader = resp_reader_new();
    ASSERT(conn->reader != NULL);
    commands_build(conn);
    timer_init(&conn->retry, on_retry);
    loop_arm(options->loop, &conn->retry, 0);
    return conn;
}

static void buf_wipe(struct buf *buf)
{
    if (buf->data != NULL)
        explicit_bzero(buf->data, buf->len);
    buf_fini(buf);
}

static void text_wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

void redis_conn_free(struct redis_conn *conn)
{
    if (conn == NULL)
        return;
    loop_disarm(conn->options.loop, &conn->retry);
    resolver_cancel(&conn->query);
    if (conn->conn != NULL)
        conn_abort(conn->conn);
    conn->conn = NULL;
    conn->state = STATE_DOWN;
    calls_fail(conn);
    resp_reader_free(conn->reader);
    buf_wipe(&conn->commands);
    buf_fini(&conn->load);
    buf_fini(&conn->eval);
    text_wipe(conn->username);
    text_wipe(conn->password);
    free(conn->host);
    free(conn);
}

int redis_conn_send(struct redis_conn *conn, struct redis_call *call, struct span head,
                    struct span rest)
{
    const struct iovec iov[] = {{(void *)(uintptr_t)head.ptr, head.len},
                                {(void *)(uintptr_t)rest.ptr, rest.len}};
    int skipped = head.len == 0;

    if (conn->state != STATE_READY)
        return -EAGAIN;
    if (conn->calls_count >= REDIS_CONN_CALLS_MAX)
        return -ENOBUFS;
    if (conn_write(conn->conn, iov + skipped, 2 - skipped) != 0)
        return -EAGAIN;
    call_push(conn, call);
    return 0;
}
