/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/exchange_int.h"

/* Bodies move under credit. Bytes that arrive on one stream are sent on the
 * other at once, straight from the receive buffer; their credit goes back to
 * the sender now, or when the receiver has drained if it is congested. */

static struct exchange *exchange_of_down(struct http_stream_user *user)
{
    return container_of(user, struct exchange, down_user);
}

static struct exchange *exchange_of_up(struct http_stream_user *user)
{
    return container_of(user, struct exchange, up_user);
}

static struct iovec span_iov(struct span data)
{
    return (struct iovec){(char *)(uintptr_t)data.ptr, data.len};
}

/* Request side. */

static void down_on_head(struct http_stream_user *user UNUSED, struct http_stream *stream UNUSED,
                         struct http_head *head UNUSED)
{
    UNREACHABLE(); /* server streams are born with their head */
}

static void down_on_body(struct http_stream_user *user, struct http_stream *stream,
                         struct span data)
{
    struct exchange *ex = exchange_of_down(user);
    struct iovec iov = span_iov(data);

    ex->bytes_in += data.len;
    ex->activity_ns = ex->worker->loop->clock.mono_ns;
    mirror_body(ex, data);
    if (!exchange_keep_body(ex, data)) {
        exchange_fail(ex, OUTCOME_OVERLOAD);
        exchange_run(ex);
        return;
    }
    if (exchange_is_between_attempts(ex)) {
        ex->request_debt += data.len;
        return;
    }
    if (ex->up == NULL || ex->request_sent) { /* answered already: what still comes is discarded */
        http_stream_grant(stream, data.len);
        return;
    }
    if (http_stream_send_body(ex->up, &iov, 1) != 0)
        return; /* up_on_reset follows */
    if (http_stream_is_congested(ex->up)) {
        ex->request_debt += data.len;
        body_pace_pause(&ex->pace, ex->activity_ns);
    } else {
        http_stream_grant(stream, data.len);
    }
}

static void down_on_end(struct http_stream_user *user, struct http_stream *stream UNUSED,
                        struct http_head *trailers)
{
    struct exchange *ex = exchange_of_down(user);
    ex->request_ended = true;
    ex->request_trailers = trailers;
    mirror_end(ex, trailers);
    if (ex->response_sent)
        ex->down = NULL; /* both directions have ended: the stream is gone */
    if (ex->up == NULL || ex->request_sent || exchange_is_between_attempts(ex))
        return; /* before the backend is connected: an empty chunked body, ended by SEND */
    exchange_end_request(ex);
    if (ex->tunnel)
        exchange_run(ex);
}

/* The time for a response begins when the whole request is on its way: an upload may take longer. A
 * client that stalls is body_timeout's, a backend that does not read is write_timeout's. A call of
 * gRPC says itself how long it may take, and a stream of answers may begin late. */
void exchange_await_head(struct exchange *ex)
{
    uint64_t timeout_ns = ex->worker->settings->route_timeout;
    if (timeout_ns != 0 && !ex->grpc && ex->total_deadline_ns == 0 &&
        ex->attempt_deadline_ns == 0 && !ex->head_ready && !ex->response_begun)
        ex->head_deadline_ns = ex->worker->loop->clock.mono_ns + timeout_ns;
    exchange_arm(ex);
}

/* The client is owed credit for what it sent, unless the backend still has to take it. */
static void pay_request_debt(struct exchange *ex)
{
    size_t debt = ex->request_debt;
    ex->request_debt = 0;
    body_pace_resume(&ex->pace, ex->worker->loop->clock.mono_ns);
    if (debt > 0 && ex->down != NULL)
        http_stream_grant(ex->down, debt);
}

void exchange_send_body(struct exchange *ex)
{
    if (kept_body_send(&ex->kept, ex->worker->loop->blocks, ex->up) != 0)
        return; /* up_on_reset follows */
    if (ex->request_ended) {
        exchange_end_request(ex);
    } else if (ex->body_asked) {
        if (!http_stream_is_congested(ex->up))
            pay_request_debt(ex);
        exchange_arm(ex);
    } else {
        ex->body_asked = true;
        /* A server of HTTP/2 may refuse a request that was sent whole (RFC 9113 8.7). */
        ex->keeps_body = rule_retry(ex->rule) != NULL || ex->waiter.h2;
        if (!ex->grpc)
            body_pace_begin(&ex->pace, ex->worker->loop->clock.mono_ns);
        exchange_arm(ex);
        http_stream_grant(ex->down, HTTP_STREAM_WINDOW);
    }
}

void exchange_end_request(struct exchange *ex)
{
    ex->request_sent = true;
    exchange_await_head(ex);
    if (http_stream_end(ex->up, ex->request_trailers) != 0)
        return; /* up_on_reset follows */
    if (ex->response_ended)
        ex->up = NULL;
}

static void down_on_drain(struct http_stream_user *user, struct http_stream *stream UNUSED)
{
    struct exchange *ex = exchange_of_down(user);
    size_t debt = ex->response_debt;
    ex->response_debt = 0;
    if (debt > 0 && ex->up != NULL)
        http_stream_grant(ex->up, debt);
}

static void down_on_reset(struct http_stream_user *user, struct http_stream *stream UNUSED,
                          enum http_error error)
{
    struct exchange *ex = exchange_of_down(user);
    ex->down = NULL;
    ex->upstream_text = http_error_text(error);
    if (error == HTTP_ERROR_NO_MEMORY) {
        exchange_fail(ex, OUTCOME_OVERLOAD);
        exchange_run(ex);
        return;
    }
    if (!ex->response_begun)
        ex->status = http_error_status(error); /* the session has answered */
    if (error == HTTP_ERROR_GONE)
        exchange_fail(ex, OUTCOME_DRAINED);
    else if (error == HTTP_ERROR_REQUEST_TIMEOUT)
        exchange_fail(ex, OUTCOME_REQUEST_TOO_SLOW);
    else if (http_error_status(error) == 400 || error == HTTP_ERROR_PROTOCOL)
        exchange_fail(ex, OUTCOME_BAD_REQUEST);
    else if (error == HTTP_ERROR_FLOOD)
        exchange_fail(ex, OUTCOME_FLOOD);
    else
        exchange_fail(ex, OUTCOME_CLIENT_GONE);
    exchange_run(ex);
}

static unsigned down_held(const struct http_stream_user *user)
{
    const struct exchange *ex = container_of(user, struct exchange, down_user);
    return (unsigned)((ex->arena.used + BLOCK_SIZE - 1) / BLOCK_SIZE) + kept_body_blocks(&ex->kept);
}

const struct http_stream_user_ops exchange_down_ops = {
    .on_head = down_on_head,
    .on_body = down_on_body,
    .on_end = down_on_end,
    .on_drain = down_on_drain,
    .on_reset = down_on_reset,
    .held = down_held,
};

/* Response side. */

static void up_on_head(struct http_stream_user *user, struct http_stream *stream UNUSED,
                       struct http_head *head)
{
    struct exchange *ex = exchange_of_up(user);
    ex->response = head;
    ex->head_ready = true;
    ex->activity_ns = ex->worker->loop->clock.mono_ns;
    exchange_run(ex);
}

static void up_on_body(struct http_stream_user *user, struct http_stream *stream, struct span data)
{
    struct exchange *ex = exchange_of_up(user);
    struct iovec iov = span_iov(data);

    if (ex->step == EXCHANGE_STEP_BACKOFF)
        return; /* of an attempt that is over */
    ex->activity_ns = ex->worker->loop->clock.mono_ns;
    ex->bytes_out += data.len;
    if (ex->down == NULL || http_stream_send_body(ex->down, &iov, 1) != 0)
        return; /* down_on_reset follows */
    if (http_stream_is_congested(ex->down))
        ex->response_debt += data.len;
    else
        http_stream_grant(stream, data.len);
}

static void up_on_end(struct http_stream_user *user, struct http_stream *stream UNUSED,
                      struct http_head *trailers)
{
    struct exchange *ex = exchange_of_up(user);
    ex->response_ended = true;
    if (ex->request_sent)
        ex->up = NULL;
    if (ex->step == EXCHANGE_STEP_BACKOFF)
        return;
    if (ex->grpc && trailers != NULL)
        ex->grpc_status = grpc_status_read(trailers);
    if (ex->down != NULL && !ex->response_sent && http_stream_end(ex->down, trailers) == 0)
        ex->response_sent = true;
    if (ex->response_sent && ex->request_ended)
        ex->down = NULL;
    exchange_run(ex);
}

static void up_on_drain(struct http_stream_user *user, struct http_stream *stream UNUSED)
{
    struct exchange *ex = exchange_of_up(user);
    if (!exchange_is_between_attempts(ex))
        pay_request_debt(ex);
}

enum outcome exchange_reset_outcome(const struct exchange *ex)
{
    bool has_policy = rule_retry(ex->rule) != NULL;
    return has_policy ? OUTCOME_RETRIES_EXHAUSTED : OUTCOME_UPSTREAM_RESET;
}

static enum outcome up_reset_outcome(const struct exchange *ex, enum http_error error)
{
    if (error == HTTP_ERROR_BAD_RESPONSE || error == HTTP_ERROR_HEAD_TOO_LARGE ||
        error == HTTP_ERROR_TRAILERS_TOO_LARGE || error == HTTP_ERROR_BAD_CHUNK ||
        error == HTTP_ERROR_BAD_FRAMING || error == HTTP_ERROR_PROTOCOL ||
        error == HTTP_ERROR_FLOOD)
        return OUTCOME_UPSTREAM_PROTOCOL;
    if (error == HTTP_ERROR_NO_MEMORY)
        return OUTCOME_OVERLOAD;
    /* TLS 1.3: a server refuses a client certificate only after the handshake is over for us. */
    if (error == HTTP_ERROR_TLS && !ex->response_begun)
        return OUTCOME_TLS_FAILED;
    return ex->response_begun ? OUTCOME_UPSTREAM_TRUNCATED : exchange_reset_outcome(ex);
}

static void up_on_reset(struct http_stream_user *user, struct http_stream *stream,
                        enum http_error error)
{
    struct exchange *ex = exchange_of_up(user);
    /* A kept-alive connection may have died while it was idle: the request is safe elsewhere if no
     * byte of a response came and it may be repeated (RFC 9110 9.2.2). One that the server says it
     * has not processed is safe whatever it is (RFC 9113 8.7). */
    bool died = ex->reused && (error == HTTP_ERROR_CLOSED || error == HTTP_ERROR_RESET) &&
                http_method_is_idempotent(ex->request->method);
    enum exchange_retry_cause cause = EXCHANGE_RETRY_FAILED;
    if (ex->response == NULL && error == HTTP_ERROR_REFUSED)
        cause = EXCHANGE_RETRY_UNPROCESSED;
    else if (ex->response == NULL && died)
        cause = EXCHANGE_RETRY_UNSENT;

    ex->up = NULL;
    if (ex->step == EXCHANGE_STEP_BACKOFF)
        return;
    if (stream->peer_reset)
        ex->reset_status = grpc_status_of_reset(stream->reset_code);
    ex->upstream_text = stream->error_text != NULL && stream->error_text[0] != '\0'
                            ? stream->error_text
                            : http_error_text(error);
    exchange_release_endpoint(ex, CLUSTER_RESULT_RESET);
    ex->wants_fresh = ex->reused;
    enum outcome outcome = up_reset_outcome(ex, error);
    bool can_retry = outcome != OUTCOME_UPSTREAM_PROTOCOL && outcome != OUTCOME_OVERLOAD;
    if (!can_retry || !exchange_retry(ex, cause))
        exchange_fail(ex, outcome);
    exchange_run(ex);
}

const struct http_stream_user_ops exchange_up_ops = {
    .on_head = up_on_head,
    .on_body = up_on_body,
    .on_end = up_on_end,
    .on_drain = up_on_drain,
    .on_reset = up_on_reset,
};

/* An upgrade was accepted: what follows on both streams is the tunnel's (http/stream.h). */
void exchange_open_tunnel(struct exchange *ex)
{
    ex->tunnel = true;
    ex->request_ended = ex->request_sent = false;
    ex->activity_ns = ex->worker->loop->clock.mono_ns;
    exchange_arm(ex);
    http_stream_grant(ex->down, HTTP_STREAM_WINDOW);
}
