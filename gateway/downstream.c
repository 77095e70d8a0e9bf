/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/downstream.h"

#include <errno.h>

#include "gateway/access_log.h"
#include "gateway/exchange.h"
#include "gateway/forwarded.h"
#include "gateway/outcome.h"

static struct http_server *downstream_session(const struct downstream *d)
{
    return d->handshaking ? NULL : d->session;
}

static void handshake_end(struct downstream *d)
{
    if (!d->handshaking)
        return;
    view_unpin(d->handshake_view);
    d->handshaking = false;
    d->session = NULL;
}

void downstream_ref(struct downstream *d)
{
    d->refs++;
}

void downstream_unref(struct downstream *d)
{
    if (--d->refs > 0)
        return;
    struct worker *worker = d->listener->worker;
    handshake_end(d);
    dlist_remove(&d->link);
    worker_listener_unref(d->listener);
    metric_add(METRIC_CONNECTIONS_OPEN, -1);
    client_count_leave(worker->client_count, &d->hold);
    pool_put(&worker->downstreams, d);
}

/* A connection that ends for a reason of its own: logged and counted by itself. */
static void downstream_refuse(struct downstream *d, enum outcome outcome, const char *text)
{
    struct addr client;
    addr_expand(&d->client, &client);
    outcome_count(outcome);
    struct access_record record = {
        .kind = ACCESS_CONNECTION,
        .outcome = outcome,
        .start_ns = d->start_ns,
        .client = &client,
        .detail = text,
        .listener = d->listener->key,
    };
    access_log_write(d->listener->worker->log, d->listener->worker->loop, &record);
    downstream_unref(d);
}

static void server_on_request(struct http_server_owner *owner, struct http_stream *stream,
                              struct http_head *head)
{
    struct downstream *d = container_of(owner, struct downstream, server_owner);
    exchange_begin(exchange_of_arena(head->arena), d, stream, head);
}

static struct arena *server_request_arena(struct http_server_owner *owner)
{
    struct downstream *d = container_of(owner, struct downstream, server_owner);
    struct exchange *exchange = exchange_new(d->listener->worker);
    return exchange != NULL ? exchange_arena(exchange) : NULL;
}

static void server_release_arena(struct http_server_owner *owner UNUSED, struct arena *arena)
{
    exchange_discard(exchange_of_arena(arena));
}

static void server_on_refused(struct http_server_owner *owner, enum http_error error,
                              const struct http_head *head)
{
    struct downstream *d = container_of(owner, struct downstream, server_owner);
    enum outcome outcome = OUTCOME_BAD_REQUEST;
    if (error == HTTP_ERROR_REQUEST_TIMEOUT)
        outcome = OUTCOME_REQUEST_TOO_SLOW;
    else if (error == HTTP_ERROR_NO_MEMORY)
        outcome = OUTCOME_OVERLOAD;
    else if (http_error_status(error) == 0 && error != HTTP_ERROR_NOT_HTTP &&
             error != HTTP_ERROR_PROTOCOL)
        outcome = OUTCOME_CLIENT_GONE;
    struct addr client;
    addr_expand(&d->client, &client);
    outcome_count(outcome);
    struct access_record record = {
        .kind = ACCESS_REQUEST,
        .outcome = outcome,
        .start_ns = d->listener->worker->loop->clock.wall_ns,
        .client = &client,
        .request = head,
        .protocol = head != NULL ? http_head_protocol(head) : NULL,
        .status = http_error_status(error),
        .detail = http_error_name(error),
        .listener = d->listener->key,
    };
    access_log_write(d->listener->worker->log, d->listener->worker->loop, &record);
}

/* What ends a connection of HTTP/2 concerns no request in particular. */
static void server_on_closed(struct http_server_owner *owner, enum http_error error)
{
    struct downstream *d = container_of(owner, struct downstream, server_owner);
    const char *text =
        d->session->error_text != NULL ? d->session->error_text : http_error_text(error);
    d->session = NULL;
    d->conn = NULL;
    if (error == HTTP_ERROR_FLOOD)
        downstream_refuse(d, OUTCOME_FLOOD, text);
    else if (error == HTTP_ERROR_PROTOCOL)
        downstream_refuse(d, OUTCOME_BAD_REQUEST, text);
    else
        downstream_unref(d);
}

static void server_on_h2(struct http_server_owner *owner, struct conn *conn);

static const struct http_server_owner_ops downstream_server_ops = {
    .on_request = server_on_request,
    .request_arena = server_request_arena,
    .release_arena = server_release_arena,
    .on_refused = server_on_refused,
    .on_h2 = server_on_h2,
    .on_closed = server_on_closed,
};

static void downstream_start_session(struct downstream *d, bool h2)
{
    struct worker *worker = d->listener->worker;
    struct h1_server_options h1_options = {.limits = &worker->limits, .secure = d->tls != NULL};
    struct h2_server_options h2_options = {.limits = &worker->limits, .secure = d->tls != NULL};
    struct addr client;

    addr_expand(&d->client, &client);
    h2_options.any_scheme = forwarded_is_proxy(worker, &client);
    conn_set_deadline(d->conn, 0);
    d->server_owner.ops = &downstream_server_ops;
    if (h2)
        d->session = h2_server_start(worker->h2_servers, d->conn, &h2_options, &d->server_owner);
    else
        d->session = h1_server_start(worker->h1_servers, d->conn, &h1_options, &d->server_owner);
    if (d->session == NULL) {
        conn_abort(d->conn);
        downstream_refuse(d, OUTCOME_OVERLOAD, "no memory for a session");
        return;
    }
    if (worker->draining || d->listener->acceptor == NULL)
        http_server_drain(d->session);
}

static void server_on_h2(struct http_server_owner *owner, struct conn *conn)
{
    struct downstream *d = container_of(owner, struct downstream, server_owner);
    ASSERT(d->conn == conn);
    downstream_start_session(d, true);
}

/* False: there is nothing to shake hands with; d is gone. */
static bool downstream_start_tls(struct downstream *d)
{
    struct layer *layer = NULL;
    const struct snapshot_port *port = worker_listener_port(d->listener);

    if (port != NULL && port->tls != NULL) {
        d->handshake_view = view_pin(d->listener->worker->view);
        d->handshaking = true;
        layer = tls_server_layer_new(d->listener->worker->tls, port->tls, SPAN_LIT("h2,http/1.1"));
    }
    if (layer == NULL) {
        conn_abort(d->conn);
        downstream_refuse(d, OUTCOME_TLS_CLIENT, "no certificate is ready for this listener");
        return false;
    }
    conn_push_layer(d->conn, layer);
    return true;
}

static void downstream_on_open(struct conn_owner *owner, struct conn *conn)
{
    struct downstream *d = container_of(owner, struct downstream, conn_owner);
    d->tls = tls_info_of(conn);
    handshake_end(d);
    downstream_start_session(d, span_equal_str(d->tls->alpn, "h2"));
}

/* Only while the PROXY header is awaited. */
static void downstream_on_data(struct conn_owner *owner, struct conn *conn)
{
    struct downstream *d = container_of(owner, struct downstream, conn_owner);
    struct addr client;

    if (!d->proxy_pending)
        return;
    addr_expand(&d->client, &client);
    int rc = worker_take_proxy_header(d->listener->worker, conn, &d->hold, &client);
    if (rc == 0)
        return;
    if (rc == -EPROTO) {
        conn_abort(conn);
        downstream_refuse(d, OUTCOME_PROXY_HEADER, "not a PROXY protocol header");
        return;
    }
    d->proxy_pending = false;
    addr_shorten(&client, &d->client);
    if (rc < 0) {
        conn_abort(conn);
        downstream_unref(d);
        return;
    }
    const struct snapshot_port *port = worker_listener_port(d->listener);
    if (port != NULL && port->protocol == MODEL_PROTOCOL_HTTPS)
        (void)downstream_start_tls(d); /* a failure has ended d */
    else
        downstream_start_session(d, false);
}

static void downstream_on_end(struct conn_owner *owner, struct conn *conn)
{
    struct downstream *d = container_of(owner, struct downstream, conn_owner);
    conn_close(conn, false);
    downstream_refuse(d, OUTCOME_CLIENT_GONE, "closed before a request");
}

static void downstream_on_timeout(struct conn_owner *owner, struct conn *conn)
{
    struct downstream *d = container_of(owner, struct downstream, conn_owner);
    conn_abort(conn);
    downstream_refuse(d, d->proxy_pending ? OUTCOME_PROXY_HEADER : OUTCOME_TLS_CLIENT,
                      "handshake timeout");
}

static void downstream_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    struct downstream *d = container_of(owner, struct downstream, conn_owner);
    const char *text = conn_error_text(conn);
    downstream_refuse(d,
                      d->handshaking && text[0] != '\0' ? OUTCOME_TLS_CLIENT : OUTCOME_CLIENT_GONE,
                      text[0] != '\0' ? text : "connection reset");
    (void)error;
}

static const struct conn_owner_ops downstream_conn_ops = {
    .name = "downstream",
    .on_open = downstream_on_open,
    .on_data = downstream_on_data,
    .on_end = downstream_on_end,
    .on_timeout = downstream_on_timeout,
    .on_close = downstream_on_close,
};

void downstream_accept(struct worker_listener *listener, const struct snapshot_port *port,
                       struct conn *conn)
{
    struct worker *worker = listener->worker;
    struct downstream *d = pool_get_zero(&worker->downstreams);

    if (d == NULL) {
        metric_inc(METRIC_CONNECTIONS_REFUSED);
        conn_abort(conn);
        return;
    }
    d->conn_owner.ops = &downstream_conn_ops;
    d->listener = listener;
    d->conn = conn;
    struct addr client;
    conn_peer(conn, &client);
    addr_shorten(&client, &d->client);
    if (!worker_admit(worker, &d->hold, port->proxy_protocol ? NULL : &client)) {
        conn_abort(conn);
        pool_put(&worker->downstreams, d);
        return;
    }
    d->start_ns = worker->loop->clock.wall_ns;
    d->refs = 1;
    listener->refs++;
    dlist_push_back(&worker->downstream_list, &d->link);
    metric_add(METRIC_CONNECTIONS_OPEN, 1);
    conn_set_owner(conn, &d->conn_owner);
    conn_set_write_timeout(conn, worker->settings->write_timeout);
    d->proxy_pending = port->proxy_protocol;
    if (d->proxy_pending || port->protocol == MODEL_PROTOCOL_HTTPS)
        conn_set_deadline(conn,
                          worker->loop->clock.mono_ns + worker->settings->tls_handshake_timeout);
    if (!d->proxy_pending && port->protocol == MODEL_PROTOCOL_HTTPS) {
        if (downstream_start_tls(d))
            conn_start(conn);
        return;
    }
    conn_start(conn);
    if (!d->proxy_pending)
        downstream_start_session(d, false);
}

void downstream_drain(struct downstream *downstream)
{
    struct http_server *session = downstream_session(downstream);
    if (session != NULL)
        http_server_drain(session);
}

void downstream_abort(struct downstream *downstream)
{
    struct http_server *session = downstream_session(downstream);
    if (session != NULL) {
        http_server_abort(session);
        return;
    }
    if (downstream->conn == NULL)
        return; /* an exchange still holds it for its log line */
    conn_abort(downstream->conn);
    downstream_refuse(downstream, OUTCOME_DRAINED, "drain deadline");
}
