/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/mirror.h"

#include <errno.h>

#include "base/log.h"
#include "gateway/exchange_int.h"

#define MIRROR_ARENA_MAX (128u * 1024u)
#define MIRROR_QUEUE_MAX 65536u /* bytes of a body that its backend has not taken */

struct mirror {
    struct worker *worker;
    struct view *view;
    struct cluster *cluster;
    struct cluster_endpoint *endpoint; /* NULL: released */
    struct upstream_waiter waiter;
    struct http_stream *up; /* NULL: not sent yet */
    struct http_stream_user up_user;
    struct http_head *head, *trailers;
    struct kept_body queue; /* until there is a stream, and while it is congested */
    bool complete; /* the whole request was received */
    bool ended; /* and all of it handed to the stream */
    struct timer timer;
    struct dlist link; /* in worker->mirror_list */
    struct dlist exchange_link; /* in exchange->mirrors until it is complete */
    struct arena arena;
};

size_t mirror_object_size(void)
{
    return sizeof(struct mirror);
}

bool mirror_is_chosen(const struct mirror_program *program, struct rand_state *rand)
{
    return program->numerator == program->denominator ||
           rand_below(rand, program->denominator) < program->numerator;
}

/* Lets go of everything, in the order in which others may still point here. */
static void mirror_free(struct mirror *m, enum cluster_result result)
{
    struct worker *worker = m->worker;

    loop_disarm(worker->loop, &m->timer);
    upstream_cancel(&m->waiter);
    if (m->up != NULL)
        http_stream_reset(m->up, HTTP_ERROR_GONE);
    if (m->endpoint != NULL)
        exchange_report_endpoint(worker, m->cluster, m->endpoint, result);
    kept_body_drop(&m->queue, worker->loop->blocks);
    dlist_remove(&m->link);
    dlist_remove(&m->exchange_link);
    view_unpin(m->view);
    arena_fini(&m->arena);
    metric_add(METRIC_MIRRORS_ACTIVE, -1);
    pool_put(&worker->mirrors, m);
}

/* The backend's fault. */
static void mirror_fail(struct mirror *m, enum cluster_result result, const char *why)
{
    metric_inc(METRIC_MIRROR_ERRORS);
    log_event(LOG_LEVEL_DEBUG, "mirror failed", LOG_SPAN("cluster", cluster_id(m->cluster)),
              LOG_STR("reason", why));
    mirror_free(m, result);
}

/* Ours, or that of a mirror that is too slow. */
static void mirror_drop(struct mirror *m, const char *why)
{
    metric_inc(METRIC_MIRRORS_DROPPED);
    log_event(LOG_LEVEL_DEBUG, "mirror dropped", LOG_SPAN("cluster", cluster_id(m->cluster)),
              LOG_STR("reason", why));
    mirror_free(m, CLUSTER_RESULT_OK);
}

/* Sends what waits, and the end when that is due. A stream that fails tells so by on_reset. */
static void mirror_flush(struct mirror *m)
{
    struct block_pool *blocks = m->worker->loop->blocks;

    if (m->up == NULL || m->ended || kept_body_send(&m->queue, blocks, m->up) != 0)
        return;
    kept_body_drop(&m->queue, blocks);
    m->ended = m->complete && http_stream_end(m->up, m->trailers) == 0;
}

static struct mirror *mirror_of(struct http_stream_user *user)
{
    return container_of(user, struct mirror, up_user);
}

static void mirror_on_head(struct http_stream_user *user UNUSED, struct http_stream *stream UNUSED,
                           struct http_head *head UNUSED)
{
}

static void mirror_on_body(struct http_stream_user *user UNUSED, struct http_stream *stream,
                           struct span data)
{
    http_stream_grant(stream, data.len);
}

static void mirror_on_end(struct http_stream_user *user, struct http_stream *stream UNUSED,
                          struct http_head *trailers UNUSED)
{
    struct mirror *m = mirror_of(user);
    if (m->ended)
        m->up = NULL; /* both directions have: the stream is gone */
    mirror_free(m, CLUSTER_RESULT_OK);
}

static void mirror_on_drain(struct http_stream_user *user, struct http_stream *stream UNUSED)
{
    mirror_flush(mirror_of(user));
}

static void mirror_on_reset(struct http_stream_user *user, struct http_stream *stream UNUSED,
                            enum http_error error)
{
    struct mirror *m = mirror_of(user);
    m->up = NULL;
    mirror_fail(m, CLUSTER_RESULT_RESET, http_error_text(error));
}

static const struct http_stream_user_ops mirror_up_ops = {
    .on_head = mirror_on_head,
    .on_body = mirror_on_body,
    .on_end = mirror_on_end,
    .on_drain = mirror_on_drain,
    .on_reset = mirror_on_reset,
};

static void mirror_send(struct mirror *m, struct upstream *upstream)
{
    m->ended = !m->head->has_body;
    m->up = upstream_request(upstream, m->head, &m->arena, &m->up_user, m->ended);
    if (m->up == NULL && upstream_refusal(upstream) == HTTP_ERROR_NO_MEMORY)
        mirror_drop(m, "out of memory");
    else if (m->up == NULL)
        mirror_fail(m, CLUSTER_RESULT_RESET, "connection closed before the request");
    else
        mirror_flush(m);
}

static void mirror_on_ready(struct upstream_waiter *waiter, struct upstream *upstream)
{
    mirror_send(container_of(waiter, struct mirror, waiter), upstream);
}

static void mirror_on_failed(struct upstream_waiter *waiter, int error, const char *text)
{
    struct mirror *m = container_of(waiter, struct mirror, waiter);
    if (error == -ENOMEM || error == -EMFILE)
        mirror_drop(m, "no connection to be had");
    else
        mirror_fail(m, waiter->joined ? CLUSTER_RESULT_RESET : CLUSTER_RESULT_CONNECT_FAILED,
                    text[0] != '\0' ? text : "not reachable");
}

static void mirror_on_timer(struct timer *timer)
{
    struct mirror *m = container_of(timer, struct mirror, timer);
    bool is_open = m->up != NULL;
    mirror_fail(m, is_open ? CLUSTER_RESULT_OK : CLUSTER_RESULT_CONNECT_FAILED, "timeout");
}

/* Until the request is complete its own times count. */
static void mirror_arm(struct mirror *m)
{
    loop_arm(m->worker->loop, &m->timer, m->worker->settings->mirror_timeout);
}

static bool mirror_copy(struct mirror *m, const struct exchange *ex)
{
    m->head = http_head_copy(ex->request, &m->arena);
    if (m->head == NULL)
        return false;
    m->head->expect_continue = false; /* nobody waits for a 100 */
    m->complete = ex->request_ended || !ex->request->has_body;
    if (ex->request_ended && ex->request_trailers != NULL)
        m->trailers = http_head_copy(ex->request_trailers, &m->arena);
    return arena_ok(&m->arena);
}

static void mirror_connect(struct mirror *m, unsigned cluster)
{
    struct loop *loop = m->worker->loop;
    const struct snapshot *snapshot = m->view->snapshot;

    m->endpoint = cluster_pick(m->cluster, NULL, loop->clock.mono_ns, &loop->rand);
    if (m->endpoint == NULL || m->endpoint->user == NULL ||
        snapshot->clusters[cluster].tls_invalid) {
        mirror_fail(m, CLUSTER_RESULT_OK, "no endpoint");
        return;
    }
    m->waiter = (struct upstream_waiter){
        .on_ready = mirror_on_ready,
        .on_failed = mirror_on_failed,
        .tls = snapshot->clusters[cluster].tls,
        .h2 = snapshot->model->clusters[cluster].protocol == MODEL_CLUSTER_H2,
        .either = snapshot->model->clusters[cluster].protocol == MODEL_CLUSTER_EITHER,
    };
    struct upstream *upstream = upstream_take(m->endpoint->user, &m->waiter);
    if (upstream != NULL) {
        mirror_send(m, upstream);
        return;
    }
    int rc = upstream_wait(m->endpoint->user, &m->waiter);
    if (rc != 0)
        mirror_on_failed(&m->waiter, rc, "");
}

void mirror_start(struct exchange *ex, const struct mirror_program *program)
{
    struct worker *worker = ex->worker;
    struct loop *loop = worker->loop;

    if (ex->request->upgrade.len > 0 || !mirror_is_chosen(program, &loop->rand))
        return;
    struct mirror *m = block_is_scarce(loop->blocks) ? NULL : pool_get_zero(&worker->mirrors);
    if (m == NULL) {
        metric_inc(METRIC_MIRRORS_DROPPED);
        return;
    }
    m->worker = worker;
    m->view = view_pin(ex->view);
    m->cluster = m->view->clusters[program->cluster];
    m->up_user.ops = &mirror_up_ops;
    dlist_init(&m->exchange_link);
    dlist_push_back(&worker->mirror_list, &m->link);
    timer_init(&m->timer, mirror_on_timer);
    arena_init(&m->arena, BLOCK_SIZE, MIRROR_ARENA_MAX, block_arena_source(loop->blocks));
    metric_add(METRIC_MIRRORS_ACTIVE, 1);
    if (!mirror_copy(m, ex)) {
        mirror_drop(m, "out of memory");
        return;
    }
    metric_inc(METRIC_MIRRORS);
    if (!m->complete)
        dlist_push_back(&ex->mirrors, &m->exchange_link);
    if (m->complete)
        mirror_arm(m);
    mirror_connect(m, program->cluster);
}

void mirror_body(struct exchange *ex, struct span data)
{
    dlist_foreach(it, next, &ex->mirrors)
    {
        struct mirror *m = dlist_entry(it, struct mirror, exchange_link);
        struct iovec iov = {(char *)(uintptr_t)data.ptr, data.len};
        if (m->up != NULL && m->queue.size == 0 && !http_stream_is_congested(m->up))
            (void)!http_stream_send_body(m->up, &iov, 1); /* on_reset follows a failure */
        else if (kept_body_add(&m->queue, m->worker->loop->blocks, data, MIRROR_QUEUE_MAX) != 0)
            mirror_drop(m, "it does not keep up");
    }
}

void mirror_end(struct exchange *ex, struct http_head *trailers)
{
    dlist_foreach(it, next, &ex->mirrors)
    {
        struct mirror *m = dlist_entry(it, struct mirror, exchange_link);
        dlist_remove(&m->exchange_link);
        m->complete = true;
        mirror_arm(m);
        if (trailers != NULL)
            m->trailers = http_head_copy(trailers, &m->arena);
        if (m->queue.size == 0)
            mirror_flush(m);
    }
}

void mirror_abandon(struct exchange *ex)
{
    dlist_foreach(it, next, &ex->mirrors)
        mirror_drop(dlist_entry(it, struct mirror, exchange_link), "its request was not completed");
}

void mirror_abort_all(struct worker *worker)
{
    dlist_foreach(it, next, &worker->mirror_list)
        mirror_free(dlist_entry(it, struct mirror, link), CLUSTER_RESULT_OK);
}
