/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/log.h"
#include "gateway/exchange_int.h"
#include "gateway/local_reply.h"

#define EXCHANGE_ARENA_MAX (256u * 1024u)

/* The life of a request, top to bottom, but for BACKOFF. HEAD_BACK and what is before it may go
 * back to BACKOFF or PICK through exchange_retry; every failure goes to FINISH. */
static enum exchange_verdict (*const exchange_steps[])(struct exchange *) = {
    [EXCHANGE_STEP_ADMIT] = exchange_step_admit,
    [EXCHANGE_STEP_ROUTE] = exchange_step_route,
    [EXCHANGE_STEP_LIMIT] = exchange_step_limit,
    [EXCHANGE_STEP_FILTER_REQUEST] = exchange_step_filter_request,
    [EXCHANGE_STEP_BACKOFF] = exchange_step_backoff,
    [EXCHANGE_STEP_PICK] = exchange_step_pick,
    [EXCHANGE_STEP_CONNECT] = exchange_step_connect,
    [EXCHANGE_STEP_SEND] = exchange_step_send,
    [EXCHANGE_STEP_HEAD_BACK] = exchange_step_head_back,
    [EXCHANGE_STEP_RELAY] = exchange_step_relay,
};

struct exchange *exchange_new(struct worker *worker)
{
    struct exchange *ex = pool_get_zero(&worker->exchanges);
    h2_server_pool_relieve(worker->h2_servers);
    if (ex == NULL)
        return NULL;
    ex->worker = worker;
    arena_init(&ex->arena, BLOCK_SIZE, EXCHANGE_ARENA_MAX,
               block_arena_source(worker->loop->blocks));
    return ex;
}

struct arena *exchange_arena(struct exchange *exchange)
{
    return &exchange->arena;
}

struct exchange *exchange_of_arena(struct arena *arena)
{
    return container_of(arena, struct exchange, arena);
}

void exchange_discard(struct exchange *exchange)
{
    arena_fini(&exchange->arena);
    pool_put(&exchange->worker->exchanges, exchange);
}

void exchange_report_endpoint(struct worker *worker, struct cluster *cluster,
                              struct cluster_endpoint *endpoint, enum cluster_result result)
{
    struct loop *loop = worker->loop;
    if (cluster_release(cluster, endpoint, result, loop->clock.mono_ns, &loop->rand))
        log_event(LOG_LEVEL_WARN, "endpoint ejected: it refuses connections",
                  LOG_SPAN("cluster", cluster_id(cluster)), LOG_STR("endpoint", endpoint->host),
                  LOG_INT("port", endpoint->port));
}

void exchange_release_endpoint(struct exchange *ex, enum cluster_result result)
{
    if (ex->endpoint == NULL)
        return;
    ex->tried = ex->endpoint;
    ex->endpoint = NULL;
    exchange_report_endpoint(ex->worker, ex->cluster, ex->tried, result);
}

static const char *exchange_detail(const struct exchange *ex)
{
    return ex->upstream_text != NULL && ex->outcome != OUTCOME_OK ? ex->upstream_text
                                                                  : outcome_name(ex->outcome);
}

static void exchange_log(struct exchange *ex)
{
    const struct loop *loop = ex->worker->loop;
    uint64_t duration = loop->clock.mono_ns - ex->start_ns;
    const struct downstream *d = ex->downstream;

    outcome_count(ex->outcome);
    if (ex->rule != NULL)
        rule_observe(ex->rule, ex->status, duration);
    if (ex->worker->log == NULL)
        return;
    struct access_record record = {
        .kind = ACCESS_REQUEST,
        .outcome = ex->outcome,
        .start_ns = loop->clock.wall_ns - duration,
        .duration_ns = duration,
        .upstream_ns = ex->upstream_head_ns ? ex->upstream_head_ns - ex->upstream_start_ns : 0,
        .client = &ex->client,
        .upstream = ex->upstream_addr.len ? &ex->upstream_addr : NULL,
        .request = ex->request,
        .status = ex->status,
        .bytes_in = ex->bytes_in,
        .bytes_out = ex->bytes_out,
        .request_id = ex->request_id_span,
        .server_name = d->tls != NULL ? d->tls->server_name : SPAN_NONE,
        .spiffe_id = d->tls != NULL ? d->tls->peer_spiffe_id : SPAN_NONE,
        .cluster = ex->target > 0 ? exchange_target(ex)->id : SPAN_NONE,
        .rule = ex->rule != NULL ? ex->rule->route_rule : NULL,
        .listener = d->listener->key,
        .detail = exchange_detail(ex),
        .protocol = http_head_protocol(ex->request),
        .upstream_protocol = ex->upstream_protocol,
        .attempts = ex->attempts,
        .grpc_status = ex->grpc_status,
    };
    if (ex->limit.limit != NULL) {
        record.limit_policy = ex->limit.limit->policy;
        record.limit_rule = ex->limit.limit->rule->name;
    }
    access_log_write(ex->worker->log, loop, &record);
}

/* What the end tells of the endpoint: a dial that was given up says nothing, unless it took too
 * long. */
static enum cluster_result exchange_endpoint_result(const struct exchange *ex)
{
    if (!ex->dialling)
        return CLUSTER_RESULT_OK;
    return ex->outcome == OUTCOME_UPSTREAM_TIMEOUT && !ex->waiter.joined
               ? CLUSTER_RESULT_CONNECT_FAILED
               : CLUSTER_RESULT_RESET;
}

/* Lets go of everything in the order in which others may still point here: streams, dial, limiter,
 * endpoint, then memory. No callback can come afterwards. */
static void exchange_finish(struct exchange *ex)
{
    struct worker *worker = ex->worker;

    loop_disarm(worker->loop, &ex->timer);
    if (ex->limit_pending)
        limit_check_cancel(worker->limiter, &ex->limit);
    if (ex->dialling)
        upstream_cancel(&ex->waiter);
    if (ex->up != NULL)
        http_stream_reset(ex->up, HTTP_ERROR_GONE);
    exchange_release_endpoint(ex, exchange_endpoint_result(ex));
    if (ex->request != NULL)
        exchange_log(ex);
    if (ex->down != NULL && !(ex->request_ended && ex->response_sent))
        http_stream_reset(ex->down, HTTP_ERROR_GONE);
    metric_add(METRIC_REQUESTS_ACTIVE, -1);
    downstream_unref(ex->downstream);
    if (ex->view != NULL)
        view_unpin(ex->view);
    exchange_drop_body(ex);
    mirror_abandon(ex);
    arena_fini(&ex->arena);
    pool_put(&worker->exchanges, ex);
}

void exchange_run(struct exchange *ex)
{
    if (ex->running)
        return; /* a step poked its own machine: the loop below goes on */
    ex->running = true;
    while (ex->step != EXCHANGE_STEP_FINISH)
        if (exchange_steps[ex->step](ex) == EXCHANGE_WAIT)
            break;
    ex->running = false;
    if (ex->step == EXCHANGE_STEP_FINISH)
        exchange_finish(ex);
}

void exchange_goto(struct exchange *ex, enum exchange_step step)
{
    ex->step = step;
}

void exchange_fail(struct exchange *ex, enum outcome outcome)
{
    if (ex->outcome == OUTCOME_OK)
        ex->outcome = outcome;
    ex->step = EXCHANGE_STEP_FINISH;
    if (ex->down != NULL && !ex->response_begun)
        local_reply(ex, outcome_status(ex->outcome));
    else if (ex->down != NULL && ex->grpc && !ex->response_sent)
        local_reply_trailers(ex);
}

/* Until when the request's body is fast enough. A response that has begun says that the backend
 * minds the pace itself. */
static uint64_t exchange_body_deadline(const struct exchange *ex)
{
    const struct settings *settings = ex->worker->settings;
    struct body_pace_floor floor = {settings->body_rate_min, settings->body_rate_after};
    if (ex->request_ended || ex->response_begun)
        return UINT64_MAX;
    return body_pace_deadline(&ex->pace, &floor, ex->bytes_in, ex->worker->loop->clock.mono_ns);
}

/* Silence has an end in a response, and in a gRPC call also before it, where nothing else ends it.
 */
static uint64_t exchange_idle_deadline(const struct exchange *ex)
{
    if (ex->step != EXCHANGE_STEP_RELAY && !(ex->grpc && ex->step == EXCHANGE_STEP_HEAD_BACK))
        return UINT64_MAX;
    uint64_t timeout_ns = ex->rule->idle_timeout_ns;
    if (timeout_ns == RULE_IDLE_DEFAULT)
        timeout_ns = ex->worker->settings->stream_idle_timeout;
    return timeout_ns != 0 ? ex->activity_ns + timeout_ns : UINT64_MAX;
}

/* One timer; what it means is what is due. It is armed lazily: activity only moves a number. */
void exchange_arm(struct exchange *ex)
{
    uint64_t deadline = exchange_body_deadline(ex);
    if (ex->total_deadline_ns != 0)
        deadline = MIN(deadline, ex->total_deadline_ns);
    if (ex->attempt_deadline_ns != 0)
        deadline = MIN(deadline, ex->attempt_deadline_ns);
    if (ex->head_deadline_ns != 0)
        deadline = MIN(deadline, ex->head_deadline_ns);
    if (ex->retry_at_ns != 0)
        deadline = MIN(deadline, ex->retry_at_ns);
    deadline = MIN(deadline, exchange_idle_deadline(ex));
    if (deadline == UINT64_MAX)
        loop_disarm(ex->worker->loop, &ex->timer);
    else
        wheel_arm(&ex->worker->loop->wheel, &ex->timer, deadline);
}

/* A shared session whose peer is gone without a word would take every request to its deadline. */
static void exchange_doubt_session(struct exchange *ex)
{
    if (ex->up != NULL && conn_bytes_in(http_stream_conn(ex->up)) == ex->session_bytes)
        upstream_retire(ex->session);
}

static void exchange_on_timer(struct timer *timer)
{
    struct exchange *ex = container_of(timer, struct exchange, timer);
    uint64_t now = ex->worker->loop->clock.mono_ns;

    if ((ex->total_deadline_ns != 0 && now >= ex->total_deadline_ns) ||
        (ex->head_deadline_ns != 0 && now >= ex->head_deadline_ns)) {
        exchange_doubt_session(ex);
        exchange_fail(ex, OUTCOME_UPSTREAM_TIMEOUT);
    } else if (ex->attempt_deadline_ns != 0 && now >= ex->attempt_deadline_ns) {
        exchange_doubt_session(ex);
        if (!exchange_retry(ex, EXCHANGE_RETRY_FAILED))
            exchange_fail(ex, OUTCOME_UPSTREAM_TIMEOUT);
    } else if (ex->retry_at_ns != 0 && now >= ex->retry_at_ns) {
        /* BACKOFF is over */
    } else if (now >= exchange_idle_deadline(ex)) {
        exchange_fail(ex, OUTCOME_STREAM_IDLE);
    } else if (now >= exchange_body_deadline(ex)) {
        ex->upstream_text = "request body slower than body_rate_min";
        exchange_fail(ex, OUTCOME_REQUEST_TOO_SLOW);
    } else {
        exchange_arm(ex);
        return;
    }
    exchange_run(ex);
}

void exchange_begin(struct exchange *ex, struct downstream *downstream, struct http_stream *stream,
                    struct http_head *head)
{
    ex->downstream = downstream;
    downstream_ref(downstream);
    ex->down = stream;
    ex->down_user.ops = &exchange_down_ops;
    ex->up_user.ops = &exchange_up_ops;
    stream->user = &ex->down_user;
    ex->request = head;
    ex->grpc = grpc_is_request(head);
    stream->may_rest = ex->grpc;
    ex->start_ns = ex->worker->loop->clock.mono_ns;
    ex->activity_ns = ex->start_ns;
    dlist_init(&ex->mirrors);
    ex->view = view_pin(ex->worker->view);
    timer_init(&ex->timer, exchange_on_timer);
    metric_add(METRIC_REQUESTS_ACTIVE, 1);
    exchange_run(ex);
}
