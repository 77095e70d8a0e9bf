/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdio.h>

#include "gateway/exchange_int.h"
#include "gateway/forwarded.h"
#include "gateway/limit_fields.h"
#include "gateway/local_reply.h"
#include "gateway/websocket.h"

static enum exchange_verdict fail(struct exchange *ex, enum outcome outcome)
{
    exchange_fail(ex, outcome);
    return EXCHANGE_NEXT; /* the driver sees FINISH */
}

static enum exchange_verdict next(struct exchange *ex, enum exchange_step step)
{
    ex->step = step;
    return EXCHANGE_NEXT;
}

static enum exchange_verdict refuse(struct exchange *ex, unsigned status)
{
    ex->outcome = OUTCOME_BAD_REQUEST;
    ex->step = EXCHANGE_STEP_FINISH;
    local_reply(ex, status);
    return EXCHANGE_NEXT;
}

enum exchange_verdict exchange_step_admit(struct exchange *ex)
{
    ex->port = worker_listener_port(ex->downstream->listener);
    if (ex->port == NULL || ex->port->routes == NULL)
        return fail(ex, OUTCOME_NO_ROUTE); /* the listener left the configuration */
    if (ex->request->method == HTTP_METHOD_CONNECT || ex->request->method == HTTP_METHOD_TRACE)
        return refuse(ex, 405);
    unsigned status = ex->request->upgrade.len > 0 ? websocket_check(ex->request) : 0;
    if (status != 0)
        return refuse(ex, status);
    forwarded_decide_client(ex);
    return next(ex, EXCHANGE_STEP_ROUTE);
}

/* The shorter of what the route and a gRPC caller allow. false: the caller's is malformed. */
static bool set_total_deadline(struct exchange *ex)
{
    uint64_t timeout_ns = ex->rule->rare->request_timeout_ns, wanted_ns;
    if (timeout_ns == 0)
        timeout_ns = UINT64_MAX;
    if (ex->grpc) {
        const struct http_field *field = http_head_find_id(ex->request, HTTP_HEADER_GRPC_TIMEOUT);
        if (field != NULL && grpc_timeout_parse(field->value, &wanted_ns) != 0)
            return false;
        if (field != NULL)
            timeout_ns = MIN(timeout_ns, wanted_ns);
    }
    if (timeout_ns != UINT64_MAX)
        ex->total_deadline_ns = ex->start_ns + timeout_ns;
    return true;
}

static unsigned query_header(const void *user, struct span name, struct span *values, unsigned max)
{
    const struct http_head *head = user;
    unsigned count = 0;
    for (unsigned i = 0; i < head->fields_count; i++) {
        if (head->fields[i].removed || !span_equal_fold(head->fields[i].name, name))
            continue;
        if (count < max)
            values[count] = head->fields[i].value;
        count++;
    }
    return count;
}

/* A preflight asks for a request that is still to come, with a method and headers of its own. When
 * the rule for that one has no CORS filter, the preflight is a request like any other. */
static int find_rule(struct exchange *ex, const struct route_query *query, bool *ret_is_preflight)
{
    struct route_query wanted = *query;
    *ret_is_preflight = cors_is_preflight(ex->request, &wanted.method);
    if (*ret_is_preflight) {
        wanted.header = NULL;
        if (route_table_find(ex->port->routes, &wanted, &ex->match) == 0 &&
            ex->port->rules[ex->match.rule].filters->cors != NULL)
            return 0;
    }
    return route_table_find(ex->port->routes, query, &ex->match);
}

enum exchange_verdict exchange_step_route(struct exchange *ex)
{
    const struct tls_info *tls = ex->downstream->tls;
    struct route_query query = {
        .method = ex->request->method_text,
        .host = ex->request->host,
        .path = ex->request->path,
        .query = ex->request->query,
        .header = query_header,
        .user = ex->request,
    };
    if (tls != NULL) {
        const struct route_listener *listener =
            route_table_listener(ex->port->routes, tls->server_name);
        /* A reload may have given the name to another listener, or to none. Only the one that shook
         * hands may answer: others may ask clients for certificates. */
        if (listener == NULL || !span_equal(route_listener_conf(listener)->id, tls->listener_id))
            return fail(ex, OUTCOME_MISDIRECTED);
        query.connection_listener = listener;
    }
    bool is_preflight;
    int rc = find_rule(ex, &query, &is_preflight);
    if (rc == -EXDEV)
        return fail(ex, OUTCOME_MISDIRECTED);
    if (rc != 0)
        return fail(ex, OUTCOME_NO_ROUTE);
    ex->rule = &ex->port->rules[ex->match.rule];
    if (ex->rule->filters->cors != NULL) {
        ex->origin = cors_origin(ex->request);
        if (is_preflight)
            return exchange_answer_preflight(ex);
    }
    if (!set_total_deadline(ex))
        return refuse(ex, 400);
    return next(ex, EXCHANGE_STEP_LIMIT);
}

static bool limit_header(const void *user, struct span name, struct span *ret)
{
    struct http_field *field = http_head_find(user, name);
    if (field != NULL)
        *ret = field->value;
    return field != NULL;
}

static void exchange_on_limit(struct limit_check *check)
{
    struct exchange *ex = container_of(check, struct exchange, limit);
    ex->limit_pending = false;
    ex->limit_done = true;
    exchange_run(ex);
}

enum exchange_verdict exchange_step_limit(struct exchange *ex)
{
    const struct tls_info *tls = ex->downstream->tls;

    if (!ex->rule->has_limits)
        return next(ex, EXCHANGE_STEP_FILTER_REQUEST);
    if (ex->limit_pending)
        return EXCHANGE_WAIT;
    if (!ex->limit_done) {
        const struct model_rule *conf = ex->rule->route_rule->conf;
        struct limit_query query = {
            .client = &ex->client,
            .path = ex->request->path,
            .spiffe_id = tls != NULL ? tls->peer_spiffe_id : SPAN_NONE,
            .header = limit_header,
            .user = ex->request,
        };
        ex->limit.on_done = exchange_on_limit;
        if (!limit_check_start(ex->worker->limiter, &ex->limit, conf->limits, conf->limits_count,
                               &query)) {
            ex->limit_pending = true;
            return EXCHANGE_WAIT;
        }
        ex->limit_done = true;
    }
    if (ex->limit.result == LIMIT_RESULT_OK || ex->limit.result == LIMIT_RESULT_SHADOW)
        return next(ex, EXCHANGE_STEP_FILTER_REQUEST);
    ex->outcome = ex->limit.result == LIMIT_RESULT_LIMITED ? OUTCOME_LIMITED : OUTCOME_LIMIT_STORE;
    ex->step = EXCHANGE_STEP_FINISH;
    local_reply_limited(ex);
    return EXCHANGE_NEXT;
}

/* The number of the backend among the rule's, in *ret its cluster; -1: none can be chosen. */
static int pick_backend(struct exchange *ex, int *ret)
{
    const struct rule *rule = ex->rule;
    *ret = rule->only;
    if (rule->cursor == RULE_CURSOR_NONE)
        return rule->only < 0 ? -1 : 0;
    unsigned port_index = (unsigned)(ex->port - ex->view->snapshot->ports);
    int i = backend_set_pick(rule->backends, rule->backends_count,
                             &ex->view->cursors[port_index][rule->cursor], &ex->worker->loop->rand);
    if (i >= 0)
        *ret = rule->backends[i].cluster;
    return *ret < 0 ? -1 : i;
}

enum exchange_verdict exchange_step_pick(struct exchange *ex)
{
    struct loop *loop = ex->worker->loop;

    if (ex->target == 0) {
        int cluster, i = pick_backend(ex, &cluster);
        if (i < 0)
            return fail(ex, OUTCOME_NO_BACKEND);
        ex->target = 1 + (unsigned)cluster;
        if (ex->rule->filters->by_backend != NULL) {
            ex->backend_filters = &ex->rule->filters->by_backend[i];
            if (!exchange_filter_request(ex, ex->backend_filters))
                return EXCHANGE_NEXT;
        }
    }
    ex->cluster = ex->view->clusters[ex->target - 1];
    if (ex->view->snapshot->clusters[ex->target - 1].tls_invalid)
        return fail(ex, OUTCOME_TLS_INVALID);
    ex->endpoint = cluster_pick(ex->cluster, ex->tried, loop->clock.mono_ns, &loop->rand);
    if (ex->endpoint == NULL || ex->endpoint->user == NULL)
        return fail(ex, OUTCOME_NO_ENDPOINT);
    const struct conf_retry_constraint *constraint = exchange_target(ex)->retry;
    if (constraint != NULL && ex->attempts == 0)
        retry_budget_request(cluster_retry_budget(ex->cluster), constraint, loop->clock.mono_ns);
    ex->attempts++;
    uint64_t backend_timeout_ns = ex->rule->rare->backend_timeout_ns;
    ex->attempt_deadline_ns =
        backend_timeout_ns != 0 ? loop->clock.mono_ns + backend_timeout_ns : 0;
    ex->upstream_addr = *upstream_host_addr(ex->endpoint->user);
    return next(ex, EXCHANGE_STEP_CONNECT);
}

static void exchange_on_upstream(struct upstream_waiter *waiter, struct upstream *upstream)
{
    struct exchange *ex = container_of(waiter, struct exchange, waiter);
    ex->upstream = upstream;
    ex->upstream_addr = *upstream_addr(upstream);
    ex->dialling = false;
    exchange_run(ex);
}

static void exchange_on_upstream_failed(struct upstream_waiter *waiter, int error, const char *text)
{
    struct exchange *ex = container_of(waiter, struct exchange, waiter);
    ex->dialling = false;
    ex->connect_error = error;
    ex->upstream_addr = *upstream_host_addr(ex->endpoint->user);
    ex->upstream_text = text[0] != '\0' ? text : "connection refused or not reachable";
    exchange_run(ex);
}

static enum exchange_verdict connect_failed(struct exchange *ex)
{
    bool tls = ex->connect_error == -EPROTO, dns = ex->connect_error == -ENXIO;
    bool shortage = ex->connect_error == -ENOMEM || ex->connect_error == -EMFILE;

    ex->connect_error = 0;
    /* One dial is one failure, however many waited for it. */
    exchange_release_endpoint(ex, shortage || ex->waiter.joined ? CLUSTER_RESULT_RESET
                                                                : CLUSTER_RESULT_CONNECT_FAILED);
    /* Nothing was sent: another endpoint may be tried, whatever the method. */
    if (!shortage && exchange_retry(ex, tls || dns ? EXCHANGE_RETRY_FAILED : EXCHANGE_RETRY_UNSENT))
        return EXCHANGE_NEXT;
    if (shortage)
        return fail(ex, OUTCOME_OVERLOAD);
    if (dns)
        return fail(ex, OUTCOME_DNS_FAILED);
    return fail(ex, tls ? OUTCOME_TLS_FAILED : OUTCOME_CONNECT_FAILED);
}

enum exchange_verdict exchange_step_connect(struct exchange *ex)
{
    if (ex->upstream != NULL)
        return next(ex, EXCHANGE_STEP_SEND);
    if (ex->connect_error != 0)
        return connect_failed(ex);
    if (ex->dialling)
        return EXCHANGE_WAIT;
    struct upstream_host *host = ex->endpoint->user;
    ex->waiter = (struct upstream_waiter){
        .on_ready = exchange_on_upstream,
        .on_failed = exchange_on_upstream_failed,
        .tls = ex->view->snapshot->clusters[ex->target - 1].tls,
        .h2 = exchange_target(ex)->protocol == MODEL_CLUSTER_H2,
        .either = exchange_target(ex)->protocol == MODEL_CLUSTER_EITHER,
        .tunnel = ex->request->upgrade.len > 0,
        .fresh = ex->wants_fresh,
    };
    ex->upstream = upstream_take(host, &ex->waiter);
    ex->reused = ex->upstream != NULL;
    if (ex->reused) {
        ex->upstream_addr = *upstream_addr(ex->upstream);
        return next(ex, EXCHANGE_STEP_SEND);
    }
    ex->connect_error = upstream_wait(host, &ex->waiter);
    if (ex->connect_error != 0)
        return connect_failed(ex);
    ex->dialling = true;
    if (ex->waiter.h2 || ex->waiter.either) /* it may also wait for the SETTINGS of a connection */
        ex->head_deadline_ns =
            ex->worker->loop->clock.mono_ns + 2 * ex->worker->settings->upstream_connect_timeout;
    exchange_arm(ex);
    return EXCHANGE_WAIT;
}

/* The session took no request. */
static enum exchange_verdict not_sent(struct exchange *ex, enum http_error refusal)
{
    if (refusal == HTTP_ERROR_HEAD_TOO_LARGE) {
        ex->upstream_text = "head larger than the backend takes";
        return refuse(ex, 431); /* a session more would not take it either */
    }
    if (refusal == HTTP_ERROR_NO_MEMORY)
        return fail(ex, OUTCOME_OVERLOAD);
    ex->upstream_text = "connection closed before the request"; /* it broke just now */
    ex->wants_fresh = true;
    exchange_release_endpoint(ex, CLUSTER_RESULT_RESET);
    if (exchange_retry(ex, EXCHANGE_RETRY_UNSENT))
        return EXCHANGE_NEXT;
    return fail(ex, exchange_reset_outcome(ex));
}

enum exchange_verdict exchange_step_send(struct exchange *ex)
{
    uint64_t now = ex->worker->loop->clock.mono_ns;
    bool end = !ex->request->has_body;

    ex->upstream_start_ns = now;
    ex->activity_ns = now;
    ex->request_sent = end;
    ex->head_deadline_ns = 0;
    if (ex->request->upgrade.len > 0 &&
        !websocket_write_request(ex->request, ex->waiter.h2, &ex->worker->loop->rand,
                                 &ex->websocket_key))
        return fail(ex, OUTCOME_OVERLOAD);
    ex->up = upstream_request(ex->upstream, ex->request, &ex->arena, &ex->up_user, end);
    ex->session = ex->upstream;
    ex->upstream = NULL;
    if (ex->up == NULL)
        return not_sent(ex, upstream_refusal(ex->session));
    ex->session_bytes = conn_bytes_in(http_stream_conn(ex->up));
    ex->upstream_protocol = ex->up->ops->protocol;
    ex->step = EXCHANGE_STEP_HEAD_BACK;
    if (end)
        exchange_await_head(ex);
    else
        exchange_send_body(ex);
    return EXCHANGE_NEXT;
}

/* 1xx other than 101 pass through; the final head is still to come (RFC 9110 15.2). */
static enum exchange_verdict interim(struct exchange *ex)
{
    ex->head_ready = false;
    if (ex->request->version_minor == 0)
        return EXCHANGE_WAIT;
    http_head_remove_hop_by_hop(ex->response);
    if (http_stream_send_head(ex->down, ex->response, false) != 0)
        return EXCHANGE_WAIT; /* on_reset follows */
    return EXCHANGE_WAIT;
}

static enum exchange_verdict switch_protocols(struct exchange *ex)
{
    bool h2_client = ex->request->version_major == 2;
    if (!websocket_write_response(ex->response, ex->websocket_key, ex->waiter.h2, h2_client)) {
        ex->upstream_text = "not an answer to the WebSocket handshake";
        return fail(ex, OUTCOME_UPSTREAM_PROTOCOL);
    }
    http_head_remove_hop_by_hop(ex->response); /* the session writes its own Upgrade */
    if (!exchange_filter_response(ex, ex->response) || !limit_fields_add(&ex->limit, ex->response))
        return fail(ex, OUTCOME_OVERLOAD);
    ex->response_begun = true;
    exchange_drop_body(ex);
    ex->status = 101;
    loop_disarm(ex->worker->loop, &ex->timer);
    ex->total_deadline_ns = ex->attempt_deadline_ns = ex->head_deadline_ns = 0;
    exchange_release_endpoint(ex, CLUSTER_RESULT_OK);
    ex->step = EXCHANGE_STEP_RELAY;
    if (http_stream_send_head(ex->down, ex->response, false) != 0)
        return EXCHANGE_WAIT; /* on_reset follows */
    exchange_open_tunnel(ex);
    return EXCHANGE_WAIT;
}

enum exchange_verdict exchange_step_head_back(struct exchange *ex)
{
    struct http_head *response = ex->response;

    if (!ex->head_ready || ex->down == NULL)
        return EXCHANGE_WAIT;
    if (response->status < 200 && response->status != 101)
        return interim(ex);
    ex->upstream_head_ns = ex->worker->loop->clock.mono_ns;
    if (response->status == 101)
        return switch_protocols(ex);
    if (exchange_retry_status(ex, response->status))
        return EXCHANGE_NEXT;
    http_head_remove_hop_by_hop(response);
    if (!exchange_filter_response(ex, response) || !limit_fields_add(&ex->limit, response))
        return fail(ex, OUTCOME_OVERLOAD);
    ex->head_deadline_ns = 0;
    ex->response_begun = true;
    exchange_drop_body(ex);
    ex->status = response->status;
    if (ex->grpc)
        ex->grpc_status = grpc_status_read(response); /* trailers-only */
    ex->step = EXCHANGE_STEP_RELAY;
    bool end = !response->has_body;
    if (http_stream_send_head(ex->down, response, end) != 0)
        return EXCHANGE_WAIT; /* on_reset follows */
    ex->response_sent = end;
    if (end && ex->request_ended)
        ex->down = NULL; /* both directions have ended: the stream is gone */
    if (!end)
        exchange_arm(ex);
    return EXCHANGE_NEXT;
}

enum exchange_verdict exchange_step_relay(struct exchange *ex)
{
    if (!ex->response_sent || !ex->response_ended)
        return EXCHANGE_WAIT;
    if (ex->tunnel && !(ex->request_ended && ex->request_sent))
        return EXCHANGE_WAIT;
    exchange_release_endpoint(ex, CLUSTER_RESULT_OK);
    return next(ex, EXCHANGE_STEP_FINISH);
}
