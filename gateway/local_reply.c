/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/local_reply.h"

#include <stdio.h>

#include "gateway/limit_fields.h"

#define LOCAL_REPLY_FIELDS 8

static struct http_head *reply_head(struct exchange *ex, unsigned status, struct span type,
                                    size_t length)
{
    struct http_head *head = http_head_new(&ex->arena, LOCAL_REPLY_FIELDS);
    if (head == NULL)
        return NULL;
    head->is_response = true;
    head->status = (uint16_t)status;
    head->version_minor = 1;
    head->keep_alive = false; /* nobody reads what is left of the request */
    head->content_length = (int64_t)length;
    head->has_body = length > 0;
    if (length > 0 && !http_head_add_id(head, HTTP_HEADER_CONTENT_TYPE, type))
        return NULL;
    return head;
}

/* Sends and marks the exchange answered; a failure leaves the client's stream to FINISH, which
 * resets it. */
static void reply_send(struct exchange *ex, struct http_head *head, struct span body)
{
    bool no_body = body.len == 0 || ex->request->method == HTTP_METHOD_HEAD;

    ex->local = true;
    if (head == NULL)
        return;
    ex->response_begun = true;
    ex->status = head->status;
    if (http_stream_send_head(ex->down, head, no_body) != 0)
        return;
    if (!no_body) {
        struct iovec iov = {(char *)(uintptr_t)body.ptr, body.len};
        if (http_stream_send_body(ex->down, &iov, 1) != 0 || http_stream_end(ex->down, NULL) != 0)
            return;
        ex->bytes_out = body.len;
    }
    ex->response_sent = true;
    if (ex->request_ended)
        ex->down = NULL; /* both directions have ended: the stream is gone */
}

/* Scripts are to be able to read what went wrong. */
static struct http_head *reply_allow(struct exchange *ex, struct http_head *head)
{
    if (head == NULL || ex->rule == NULL || ex->rule->filters->cors == NULL)
        return head;
    return cors_allow(ex->rule->filters->cors, ex->origin, head) ? head : NULL;
}

/* Trailers-only: a head that ends the response. */
static struct http_head *grpc_head(struct exchange *ex, enum grpc_status status,
                                   struct span message)
{
    struct http_head *head = reply_head(ex, 200, SPAN_NONE, 0);
    if (head == NULL ||
        !http_head_add_id(head, HTTP_HEADER_CONTENT_TYPE, SPAN_LIT("application/grpc")) ||
        !grpc_status_write(head, status, message))
        return NULL;
    ex->grpc_status = grpc_status_read(head);
    return head;
}

/* What broke a call that we end. */
static enum grpc_status call_status(const struct exchange *ex, unsigned http_status)
{
    bool was_reset = ex->outcome == OUTCOME_UPSTREAM_RESET ||
                     ex->outcome == OUTCOME_RETRIES_EXHAUSTED ||
                     ex->outcome == OUTCOME_UPSTREAM_TRUNCATED;
    return was_reset && ex->reset_status != 0 ? ex->reset_status
                                              : grpc_status_of(ex->outcome, http_status);
}

static struct span outcome_message(const struct exchange *ex)
{
    return span_str(outcome_name(ex->outcome));
}

void local_reply_trailers(struct exchange *ex)
{
    struct http_head *trailers = http_head_new(&ex->arena, 2);
    enum grpc_status status = call_status(ex, outcome_status(ex->outcome));
    if (trailers == NULL || !grpc_status_write(trailers, status, outcome_message(ex)) ||
        http_stream_end(ex->down, trailers) != 0)
        return;
    ex->grpc_status = grpc_status_read(trailers);
    ex->response_sent = true;
    if (ex->request_ended)
        ex->down = NULL; /* both directions have ended: the stream is gone */
}

/* RFC 9110 15.5.22: which protocol would be served; RFC 6455 4.2.2: which version of it. */
static struct http_head *reply_upgrade(struct http_head *head)
{
    if (head == NULL || head->status != 426)
        return head;
    head->upgrade = SPAN_LIT("websocket");
    return http_head_add(head, SPAN_LIT("sec-websocket-version"), SPAN_LIT("13")) ? head : NULL;
}

void local_reply(struct exchange *ex, unsigned status)
{
    if (ex->grpc) {
        enum grpc_status code = call_status(ex, status);
        reply_send(ex, grpc_head(ex, code, outcome_message(ex)), SPAN_NONE);
        return;
    }
    if (status == 0)
        return; /* no answer of its own: the stream is reset */
    struct span body = arena_printf(&ex->arena, "%u %s: %s\n", status, http_status_text(status),
                                    outcome_name(ex->outcome));
    struct http_head *head =
        reply_head(ex, status, SPAN_LIT("text/plain; charset=utf-8"), body.len);
    reply_send(ex, reply_allow(ex, reply_upgrade(head)), body);
}

/* Heads of a denial, but for the fields of the limit. */
static struct http_head *limited_head_grpc(struct exchange *ex, unsigned status, struct span rule,
                                           unsigned wait_s)
{
    struct span message =
        arena_printf(&ex->arena, "%s: %.*s", outcome_name(ex->outcome), SPAN_ARG(rule));
    struct span wait_ms = arena_printf(&ex->arena, "%u000", wait_s);
    struct http_head *head = grpc_head(ex, grpc_status_of(ex->outcome, status), message);
    bool ok = head != NULL && http_head_add(head, SPAN_LIT("grpc-retry-pushback-ms"), wait_ms);
    return ok ? head : NULL;
}

static struct http_head *limited_head(struct exchange *ex, unsigned wait_s, struct span *ret_body)
{
    bool closed = ex->limit.result == LIMIT_RESULT_STORE_CLOSED;
    unsigned status = closed ? 503 : 429;
    struct span rule = ex->limit.limit != NULL ? ex->limit.limit->rule->name : SPAN_NONE;
    if (ex->grpc)
        return limited_head_grpc(ex, status, rule, wait_s);
    *ret_body = arena_printf(
        &ex->arena,
        "{\"type\":\"https://iana.org/assignments/http-problem-types#%s\",\"title\":\"%s\","
        "\"status\":%u,\"violated-policies\":[\"%.*s\"]}\n",
        closed ? "temporary-reduced-capacity" : "quota-exceeded",
        closed ? "Rate limit store unavailable" : "Too many requests", status, SPAN_ARG(rule));
    struct http_head *head =
        reply_head(ex, status, SPAN_LIT("application/problem+json"), ret_body->len);
    struct span wait = arena_number(&ex->arena, wait_s);
    return head != NULL && http_head_add_id(head, HTTP_HEADER_RETRY_AFTER, wait) ? head : NULL;
}

void local_reply_limited(struct exchange *ex)
{
    struct limit_headers fields;
    struct span body = SPAN_NONE;

    (void)limit_format_headers(&ex->limit, NULL, 0, &fields); /* the wait alone */
    struct http_head *head = limited_head(ex, MAX(fields.retry_after_s, 1u), &body);
    if (head != NULL && !limit_fields_add(&ex->limit, head))
        head = NULL;
    reply_send(ex, reply_allow(ex, head), body);
}

void local_reply_preflight(struct exchange *ex)
{
    struct http_head *head = reply_head(ex, 204, SPAN_NONE, 0);
    if (head != NULL && !cors_allow_preflight(ex->rule->filters->cors, ex->request, head))
        head = NULL;
    reply_send(ex, head, SPAN_NONE);
}

void local_reply_redirect(struct exchange *ex, unsigned status, struct span location)
{
    struct http_head *head = reply_head(ex, status, SPAN_NONE, 0);
    if (head != NULL && (!http_head_add_id(head, HTTP_HEADER_LOCATION, location) ||
                         !exchange_filter_response(ex, head)))
        head = NULL;
    reply_send(ex, head, SPAN_NONE);
}
