/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/exchange_int.h"

/* Trying again. An attempt ends in BACKOFF, where what the backend still says is discarded, so that
 * its connection can serve others, and goes on to PICK. */
#define KEPT_MAX 65536u /* bytes of a body; a longer one is sent once */
#define KEPT_UNPROCESSED_MAX 8192u /* the same without a policy: most calls of gRPC, one block */

bool exchange_is_between_attempts(const struct exchange *ex)
{
    return ex->body_asked && ex->step < EXCHANGE_STEP_HEAD_BACK;
}

bool exchange_keep_body(struct exchange *ex, struct span data)
{
    bool is_between = exchange_is_between_attempts(ex);
    size_t max = rule_retry(ex->rule) != NULL ? KEPT_MAX : KEPT_UNPROCESSED_MAX;

    struct block_pool *blocks = ex->worker->loop->blocks;

    if (is_between)
        max += HTTP_STREAM_WINDOW; /* what the client was already granted may still come */
    if (!ex->keeps_body)
        return true;
    /* A copy for an attempt that may never come is the first thing to do without. */
    bool is_luxury = !is_between && block_is_scarce(blocks);
    if (!is_luxury && kept_body_add(&ex->kept, blocks, data, max) == 0)
        return true;
    exchange_drop_body(ex);
    return !is_between;
}

void exchange_drop_body(struct exchange *ex)
{
    ex->keeps_body = false;
    kept_body_drop(&ex->kept, ex->worker->loop->blocks);
}

/* Lets go of what is under way, but for a response that has begun. */
static void attempt_abandon(struct exchange *ex)
{
    if (ex->dialling) {
        upstream_cancel(&ex->waiter);
        ex->dialling = false;
        exchange_release_endpoint(ex, ex->waiter.joined ? CLUSTER_RESULT_RESET
                                                        : CLUSTER_RESULT_CONNECT_FAILED);
    }
    exchange_release_endpoint(ex, CLUSTER_RESULT_OK);
    if (ex->up != NULL && !ex->head_ready) {
        http_stream_reset(ex->up, HTTP_ERROR_GONE);
        ex->up = NULL;
    }
    ex->attempt_deadline_ns = ex->head_deadline_ns = 0;
    body_pace_pause(&ex->pace, ex->worker->loop->clock.mono_ns);
}

static void attempt_clear(struct exchange *ex)
{
    if (ex->up != NULL)
        http_stream_reset(ex->up, HTTP_ERROR_GONE);
    ex->up = NULL;
    ex->upstream = NULL;
    ex->reset_status = (enum grpc_status)0;
    ex->upstream_text = NULL; /* the log tells why the last attempt failed */
    ex->response = NULL;
    ex->upstream_start_ns = ex->upstream_head_ns = 0;
    ex->response_ended = ex->head_ready = false;
    ex->request_sent = false;
    ex->step = EXCHANGE_STEP_PICK;
}

/* Whether the backend can bear one more (XBackendTrafficPolicy.retryConstraint). */
static bool is_within_budget(struct exchange *ex)
{
    const struct conf_retry_constraint *constraint = exchange_target(ex)->retry;
    if (constraint == NULL || retry_budget_take(cluster_retry_budget(ex->cluster), constraint,
                                                ex->worker->loop->clock.mono_ns))
        return true;
    metric_inc(METRIC_UPSTREAM_RETRIES_REFUSED);
    return false;
}

static void retry_later(struct exchange *ex, const struct conf_retry *policy)
{
    struct loop *loop = ex->worker->loop;

    ex->retries++;
    metric_inc(METRIC_UPSTREAM_RETRIES);
    attempt_abandon(ex);
    ex->retry_at_ns =
        loop->clock.mono_ns + retry_backoff_ns(policy->backoff_ns, ex->retries, &loop->rand);
    ex->step = EXCHANGE_STEP_BACKOFF;
    exchange_arm(ex);
}

bool exchange_retry(struct exchange *ex, enum exchange_retry_cause cause)
{
    const struct conf_retry *policy = rule_retry(ex->rule);
    bool is_safe =
        cause == EXCHANGE_RETRY_UNPROCESSED || (cause == EXCHANGE_RETRY_UNSENT && policy == NULL);

    if (ex->down == NULL || ex->response_begun || (ex->body_asked && !ex->keeps_body))
        return false;
    if (is_safe && !ex->safe_retried) {
        ex->safe_retried = true;
        attempt_abandon(ex);
        attempt_clear(ex);
        return true;
    }
    if (policy == NULL || ex->retries >= policy->attempts)
        return false;
    if (is_within_budget(ex)) {
        retry_later(ex, policy);
    } else {
        ex->upstream_text = "retry budget exhausted";
        exchange_fail(ex, OUTCOME_RETRIES_EXHAUSTED);
    }
    return true;
}

bool exchange_retry_status(struct exchange *ex, unsigned status)
{
    const struct conf_retry *policy = rule_retry(ex->rule);
    if (policy == NULL || status < CONF_RETRY_CODE_MIN || status > CONF_RETRY_CODE_MAX)
        return false;
    unsigned bit = status - CONF_RETRY_CODE_MIN;
    return (policy->codes[bit / 64] >> bit % 64 & 1) != 0 &&
           exchange_retry(ex, EXCHANGE_RETRY_FAILED);
}

enum exchange_verdict exchange_step_backoff(struct exchange *ex)
{
    if (ex->worker->loop->clock.mono_ns < ex->retry_at_ns)
        return EXCHANGE_WAIT;
    ex->retry_at_ns = 0;
    attempt_clear(ex);
    return EXCHANGE_NEXT;
}
