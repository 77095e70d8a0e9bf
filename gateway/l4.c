/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/l4.h"

#include <errno.h>

#include "gateway/access_log.h"
#include "gateway/outcome.h"
#include "gateway/upstream.h"
#include "io/relay.h"

/* PROXY header (when the listener wants one), dial, relay. Until the relay
 * starts the client's bytes wait in its conn. */
struct l4 {
    struct conn_owner client_owner, backend_owner;
    struct worker *worker;
    struct worker_listener *listener;
    struct view *view;
    const struct snapshot_port *port;
    struct conn *client, *backend;
    struct cluster *cluster;
    struct cluster_endpoint *endpoint, *tried;
    const struct model_backend *choice;
    struct upstream_target target;
    struct relay *relay;
    struct relay_owner relay_owner;
    struct dlist link;
    struct addr client_addr, upstream_addr;
    struct client_hold hold;
    uint64_t start_ns;
    unsigned attempts;
    bool proxy_pending;
};

size_t l4_object_size(void)
{
    return sizeof(struct l4);
}

static void l4_release(struct l4 *l4, enum cluster_result result)
{
    struct loop *loop = l4->worker->loop;
    struct cluster_endpoint *endpoint = l4->endpoint;
    if (endpoint == NULL)
        return;
    l4->tried = endpoint;
    l4->endpoint = NULL;
    (void)cluster_release(l4->cluster, endpoint, result, loop->clock.mono_ns, &loop->rand);
}

static void l4_free(struct l4 *l4)
{
    struct worker *worker = l4->worker;

    dlist_remove(&l4->link);
    worker_listener_unref(l4->listener);
    view_unpin(l4->view);
    metric_add(METRIC_CONNECTIONS_OPEN, -1);
    client_count_leave(worker->client_count, &l4->hold);
    pool_put(&worker->l4s, l4);
}

static void l4_end(struct l4 *l4, enum outcome outcome, const char *text, uint64_t bytes_in,
                   uint64_t bytes_out)
{
    struct worker *worker = l4->worker;
    const struct loop *loop = worker->loop;

    upstream_target_cancel(&l4->target);
    outcome_count(outcome);
    struct access_record record = {
        .kind = ACCESS_TCP,
        .outcome = outcome,
        .start_ns = loop->clock.wall_ns - (loop->clock.mono_ns - l4->start_ns),
        .duration_ns = loop->clock.mono_ns - l4->start_ns,
        .client = &l4->client_addr,
        .upstream = l4->upstream_addr.len ? &l4->upstream_addr : NULL,
        .bytes_in = bytes_in,
        .bytes_out = bytes_out,
        .listener = l4->listener->key,
        .listener_id = l4->port->listener->id,
        /* From the view it began with: the newest model may have dropped the cluster. */
        .cluster = l4->choice != NULL && l4->choice->cluster >= 0
                       ? l4->view->snapshot->model->clusters[l4->choice->cluster].id
                       : SPAN_NONE,
        .detail = text != NULL ? text : outcome_name(outcome),
        .attempts = l4->attempts,
    };
    access_log_write(worker->log, loop, &record);
    l4_release(l4, l4->relay != NULL ? CLUSTER_RESULT_OK : CLUSTER_RESULT_RESET);
    l4_free(l4);
}

/* Before the relay: the client is told by a reset. */
static void l4_refuse(struct l4 *l4, enum outcome outcome, const char *text)
{
    conn_abort(l4->client);
    l4_end(l4, outcome, text, 0, 0);
}

static void l4_on_relay_end(struct relay_owner *owner, enum relay_end end, int error UNUSED,
                            uint64_t bytes_ab, uint64_t bytes_ba)
{
    static const enum outcome outcomes[] = {
        [RELAY_END_DONE] = OUTCOME_OK,
        [RELAY_END_A_RESET] = OUTCOME_CLIENT_GONE,
        [RELAY_END_B_RESET] = OUTCOME_UPSTREAM_TRUNCATED,
        [RELAY_END_IDLE] = OUTCOME_STREAM_IDLE,
        [RELAY_END_DEADLINE] = OUTCOME_DRAINED,
    };
    l4_end(container_of(owner, struct l4, relay_owner), outcomes[end], NULL, bytes_ab, bytes_ba);
}

static void l4_dial(struct l4 *l4);

static void l4_dial_failed(struct l4 *l4, int error, const char *text)
{
    bool tls = error == -EPROTO, dns = error == -ENXIO;
    bool shortage = error == -ENOMEM || error == -EMFILE;

    l4->backend = NULL;
    l4_release(l4, shortage ? CLUSTER_RESULT_RESET : CLUSTER_RESULT_CONNECT_FAILED);
    if (!tls && !dns && !shortage && l4->attempts < 2) {
        l4_dial(l4);
        return;
    }
    enum outcome outcome = shortage ? OUTCOME_OVERLOAD
                           : tls    ? OUTCOME_TLS_FAILED
                           : dns    ? OUTCOME_DNS_FAILED
                                    : OUTCOME_CONNECT_FAILED;
    l4_refuse(l4, outcome, text != NULL && text[0] != '\0' ? text : NULL);
}

static void backend_on_open(struct conn_owner *owner, struct conn *conn)
{
    struct l4 *l4 = container_of(owner, struct l4, backend_owner);
    l4->relay_owner.on_end = l4_on_relay_end;
    l4->relay =
        relay_start(l4->client, conn, l4->worker->settings->tcp_idle_timeout, &l4->relay_owner);
    if (l4->relay == NULL) {
        conn_abort(conn);
        l4_refuse(l4, OUTCOME_OVERLOAD, NULL);
        return;
    }
    l4->client = l4->backend = NULL;
    if (l4->worker->draining)
        relay_stop_at(l4->relay, l4->worker->drain_deadline_ns);
}

/* Dials the addresses there are until one dial is under way. rc: of upstream_target_next. error and
 * text: of the dial before, 0 for none. */
static void l4_connect(struct l4 *l4, int rc, int error, const char *text)
{
    struct upstream_host *host = l4->endpoint->user;
    struct upstream_dial dial = {
        .tls = l4->view->snapshot->clusters[l4->choice->cluster].tls,
        .alpn = SPAN_LIT("http/1.1"),
        .owner = &l4->backend_owner,
    };
    for (; rc == 0; rc = upstream_target_next(&l4->target)) {
        l4->upstream_addr = *upstream_host_addr(host);
        l4->backend = upstream_dial_bytes(&l4->target, host, &dial, &error);
        if (l4->backend != NULL)
            return;
        text = NULL;
        if (error == -ENOMEM || error == -EMFILE)
            break;
    }
    if (rc == -EINPROGRESS)
        return;
    if (error == 0) {
        error = rc;
        text = l4->target.text;
    }
    l4_dial_failed(l4, error, text);
}

static void l4_on_target(struct upstream_target *target, int error)
{
    l4_connect(container_of(target, struct l4, target), error, 0, NULL);
}

static void backend_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    struct l4 *l4 = container_of(owner, struct l4, backend_owner);
    l4->backend = NULL;
    l4_connect(l4, error == -EPROTO ? -EHOSTUNREACH : upstream_target_next(&l4->target), error,
               conn_error_text(conn));
}

static void l4_ignore(struct conn_owner *owner UNUSED, struct conn *conn UNUSED)
{
    /* Bytes and half-closes wait in the conn for the relay. */
}

static const struct conn_owner_ops backend_ops = {
    .name = "l4-backend",
    .on_open = backend_on_open,
    .on_data = l4_ignore,
    .on_end = l4_ignore,
    .on_close = backend_on_close,
};

static void l4_dial(struct l4 *l4)
{
    struct worker *worker = l4->worker;
    struct loop *loop = worker->loop;
    const struct snapshot *snapshot = l4->view->snapshot;

    l4->cluster = l4->view->clusters[l4->choice->cluster];
    l4->endpoint = cluster_pick(l4->cluster, l4->tried, loop->clock.mono_ns, &loop->rand);
    if (l4->endpoint == NULL || l4->endpoint->user == NULL) {
        l4_refuse(l4, OUTCOME_NO_ENDPOINT, NULL);
        return;
    }
    if (snapshot->clusters[l4->choice->cluster].tls_invalid) {
        l4_refuse(l4, OUTCOME_TLS_INVALID, NULL);
        return;
    }
    l4->attempts++;
    upstream_host_target(l4->endpoint->user, &l4->target, l4_on_target);
    l4_connect(l4, upstream_target_next(&l4->target), 0, NULL);
}

static void l4_route(struct l4 *l4)
{
    const struct model_tcp_route *route = l4->port->listener->tcp;
    unsigned port_index = (unsigned)(l4->port - l4->view->snapshot->ports);

    if (route == NULL) {
        l4_refuse(l4, OUTCOME_NO_ROUTE, NULL);
        return;
    }
    int i = backend_set_pick(route->backends, route->backends_count,
                             &l4->view->cursors[port_index][0], &l4->worker->loop->rand);
    if (i < 0 || route->backends[i].cluster < 0) {
        l4_refuse(l4, OUTCOME_NO_BACKEND, NULL);
        return;
    }
    l4->choice = &route->backends[i];
    l4_dial(l4);
}

static void client_on_data(struct conn_owner *owner, struct conn *conn)
{
    struct l4 *l4 = container_of(owner, struct l4, client_owner);

    if (!l4->proxy_pending)
        return;
    int rc = worker_take_proxy_header(l4->worker, conn, &l4->hold, &l4->client_addr);
    if (rc == 0)
        return;
    if (rc == -EPROTO) {
        l4_refuse(l4, OUTCOME_PROXY_HEADER, NULL);
        return;
    }
    conn_set_deadline(conn, 0);
    l4->proxy_pending = false;
    if (rc < 0) {
        conn_abort(conn);
        l4_free(l4);
        return;
    }
    l4_route(l4);
}

static void client_on_timeout(struct conn_owner *owner, struct conn *conn UNUSED)
{
    l4_refuse(container_of(owner, struct l4, client_owner), OUTCOME_PROXY_HEADER,
              "no header in time");
}

static void client_on_close(struct conn_owner *owner, struct conn *conn UNUSED, int error UNUSED)
{
    struct l4 *l4 = container_of(owner, struct l4, client_owner);
    if (l4->backend != NULL)
        conn_abort(l4->backend);
    l4_end(l4, OUTCOME_CLIENT_GONE, NULL, 0, 0);
}

static const struct conn_owner_ops client_ops = {
    .name = "l4-client",
    .on_data = client_on_data,
    .on_end = l4_ignore,
    .on_timeout = client_on_timeout,
    .on_close = client_on_close,
};

void l4_accept(struct worker_listener *listener, const struct snapshot_port *port,
               struct conn *conn)
{
    struct worker *worker = listener->worker;
    struct l4 *l4 = pool_get_zero(&worker->l4s);

    if (l4 == NULL) {
        metric_inc(METRIC_CONNECTIONS_REFUSED);
        conn_abort(conn);
        return;
    }
    conn_peer(conn, &l4->client_addr);
    if (!worker_admit(worker, &l4->hold, port->proxy_protocol ? NULL : &l4->client_addr)) {
        conn_abort(conn);
        pool_put(&worker->l4s, l4);
        return;
    }
    l4->client_owner.ops = &client_ops;
    l4->backend_owner.ops = &backend_ops;
    l4->worker = worker;
    l4->listener = listener;
    l4->view = view_pin(worker->view);
    l4->port = port;
    l4->client = conn;
    l4->start_ns = worker->loop->clock.mono_ns;
    l4->proxy_pending = port->proxy_protocol;
    listener->refs++;
    dlist_push_back(&worker->l4_list, &l4->link);
    metric_add(METRIC_CONNECTIONS_OPEN, 1);
    conn_set_owner(conn, &l4->client_owner);
    conn_set_write_timeout(conn, worker->settings->write_timeout);
    conn_start(conn);
    if (l4->proxy_pending)
        conn_set_deadline(conn, l4->start_ns + worker->settings->tls_handshake_timeout);
    else
        l4_route(l4);
}

void l4_stop_at(struct worker *worker, uint64_t deadline_ns)
{
    dlist_foreach(it, next, &worker->l4_list)
    {
        struct l4 *l4 = dlist_entry(it, struct l4, link);
        if (l4->relay != NULL)
            relay_stop_at(l4->relay, deadline_ns);
    }
}

void l4_abort_pending(struct worker *worker)
{
    dlist_foreach(it, next, &worker->l4_list)
    {
        struct l4 *l4 = dlist_entry(it, struct l4, link);
        if (l4->relay != NULL)
            continue;
        if (l4->backend != NULL)
            conn_abort(l4->backend);
        l4_refuse(l4, OUTCOME_DRAINED, NULL);
    }
}
