/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/upstream.h"

#include <errno.h>
#include <stdlib.h>

/* The session ends itself when it is idle too long (upstream_limits). A host outlives its endpoint
 * while it has connections (refs counts them and the endpoint). Idle sessions are ended when the
 * host is dropped, busy ones when they next become idle. */
struct upstream_host {
    struct worker *worker;
    struct upstream_place place;
    struct dlist idle; /* struct upstream.link, warmest first */
    unsigned idle_count, refs;
    bool dropped;
};

enum upstream_state { UPSTREAM_DIALLING, UPSTREAM_BUSY, UPSTREAM_IDLE };

struct upstream {
    struct conn_owner conn_owner; /* while dialling */
    struct h1_client_owner client_owner; /* afterwards */
    struct upstream_host *host;
    struct upstream_waiter *waiter; /* NULL: cancelled or delivered */
    struct h1_client *client;
    struct conn *conn; /* while dialling; NULL while the name is looked up */
    const struct tls_client_spec *tls; /* valid as long as there is a waiter */
    struct upstream_target target; /* while dialling */
    struct addr addr; /* of the connection */
    struct dlist link; /* in host->idle, or worker->dial_list */
    enum upstream_state state;
};

size_t upstream_object_size(void)
{
    return sizeof(struct upstream);
}

static void upstream_host_unref(struct upstream_host *host)
{
    if (--host->refs > 0)
        return;
    ASSERT(host->dropped && dlist_is_empty(&host->idle));
    upstream_place_fini(&host->place);
    free(host);
}

struct upstream_host *upstream_host_new(struct worker *worker, const char *host, uint16_t port)
{
    struct upstream_host *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return NULL;
    if (upstream_place_init(&h->place, host, port) != 0) {
        free(h);
        return NULL;
    }
    h->worker = worker;
    h->refs = 1;
    dlist_init(&h->idle);
    return h;
}

void upstream_host_drop(struct upstream_host *host)
{
    if (host == NULL)
        return;
    host->dropped = true;
    dlist_foreach(it, next, &host->idle)
    {
        struct upstream *u = dlist_entry(it, struct upstream, link);
        h1_client_close(u->client);
    }
    upstream_host_unref(host);
}

const struct addr *upstream_host_addr(const struct upstream_host *host)
{
    return &host->place.addr;
}

void upstream_host_target(struct upstream_host *host, struct upstream_target *target,
                          void (*on_done)(struct upstream_target *, int))
{
    upstream_target_init(target, &host->place, host->worker->resolver, on_done);
}

const struct addr *upstream_addr(const struct upstream *upstream)
{
    return &upstream->addr;
}

void *upstream_on_new(void *worker, const struct model_cluster *cluster UNUSED,
                      const struct cluster_endpoint *endpoint)
{
    return upstream_host_new(worker, endpoint->host, endpoint->port);
}

void upstream_on_gone(void *worker UNUSED, void *host)
{
    upstream_host_drop(host);
}

static void upstream_free(struct upstream *u)
{
    struct worker *worker = u->host->worker;
    if (u->state == UPSTREAM_IDLE && dlist_is_linked(&u->link))
        u->host->idle_count--;
    dlist_remove(&u->link);
    metric_add(METRIC_UPSTREAM_OPEN, -1);
    upstream_host_unref(u->host);
    pool_put(&worker->upstreams, u);
}

static void upstream_on_idle(struct h1_client_owner *owner, struct h1_client *client)
{
    struct upstream *u = container_of(owner, struct upstream, client_owner);
    struct upstream_host *host = u->host;
    const struct settings *settings = host->worker->settings;

    u->state = UPSTREAM_IDLE;
    if (host->dropped || host->worker->draining ||
        host->idle_count >= settings->upstream_idle_max) {
        h1_client_close(client);
        return;
    }
    dlist_push_front(&host->idle, &u->link);
    host->idle_count++;
}

static void upstream_on_client_closed(struct h1_client_owner *owner,
                                      struct h1_client *client UNUSED, enum http_error error UNUSED)
{
    upstream_free(container_of(owner, struct upstream, client_owner));
}

static const struct h1_client_owner_ops upstream_client_ops = {
    .on_idle = upstream_on_idle,
    .on_closed = upstream_on_client_closed,
};

static void upstream_fail(struct upstream *u, int error, const char *text)
{
    struct upstream_waiter *waiter = u->waiter;
    metric_inc(METRIC_UPSTREAM_CONNECT_ERRORS);
    upstream_free(u);
    if (waiter != NULL)
        waiter->on_failed(waiter, error, text);
}

static void upstream_on_open(struct conn_owner *owner, struct conn *conn)
{
    struct upstream *u = container_of(owner, struct upstream, conn_owner);
    struct worker *worker = u->host->worker;
    struct upstream_waiter *waiter = u->waiter;

    u->conn = NULL;
    u->addr = *conn_peer(conn);
    dlist_remove(&u->link);
    u->client = h1_client_start(worker->clients, conn, &worker->upstream_limits, &u->client_owner);
    if (u->client == NULL) {
        conn_abort(conn);
        upstream_fail(u, -ENOMEM, "out of memory");
        return;
    }
    u->waiter = NULL;
    if (waiter == NULL) {
        upstream_on_idle(&u->client_owner, u->client);
        return;
    }
    u->state = UPSTREAM_BUSY;
    waiter->on_ready(waiter, u);
}

static void upstream_on_data(struct conn_owner *owner UNUSED, struct conn *conn UNUSED)
{
    /* Bytes before a request: the session looks at them when it starts. */
}

static void upstream_on_end(struct conn_owner *owner UNUSED, struct conn *conn UNUSED)
{
}

/* Dials the addresses there are until one dial is under way. rc: of upstream_target_next. 0;
 * -EINPROGRESS: the name is looked up; else the error of the last. */
static int upstream_start(struct upstream *u, int rc)
{
    int error = 0;
    for (; rc == 0; rc = upstream_target_next(&u->target)) {
        u->conn = upstream_dial_bytes(&u->target, u->host, u->tls, &u->conn_owner, &error);
        if (u->conn != NULL)
            return 0;
        if (error == -ENOMEM || error == -EMFILE)
            return error;
    }
    return rc == -EHOSTUNREACH && error != 0 ? error : rc;
}

static void upstream_on_target(struct upstream_target *target, int error)
{
    struct upstream *u = container_of(target, struct upstream, target);
    int rc = upstream_start(u, error);
    if (rc != 0 && rc != -EINPROGRESS)
        upstream_fail(u, rc, rc == -ENXIO ? target->text : "");
}

static void upstream_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    struct upstream *u = container_of(owner, struct upstream, conn_owner);
    const char *text = conn_error_text(conn);

    u->conn = NULL;
    /* Without a waiter nobody needs the connection, and tls may be gone. */
    if (u->waiter != NULL && error != -EPROTO) {
        int rc = upstream_start(u, upstream_target_next(&u->target));
        if (rc == 0 || rc == -EINPROGRESS)
            return;
    }
    upstream_fail(u, error, text);
}

static const struct conn_owner_ops upstream_conn_ops = {
    .name = "upstream",
    .on_open = upstream_on_open,
    .on_data = upstream_on_data,
    .on_end = upstream_on_end,
    .on_close = upstream_on_close,
};

struct conn *upstream_dial_bytes(struct upstream_target *target, struct upstream_host *host,
                                 const struct tls_client_spec *tls, struct conn_owner *owner,
                                 int *ret_error)
{
    struct worker *worker = host->worker;
    uint64_t timeout_ns = upstream_target_timeout(
        target, worker->settings->upstream_connect_timeout, worker->loop->clock.mono_ns);
    struct conn *conn = conn_dial(worker->loop, &host->place.addr, timeout_ns, owner, ret_error);
    metric_inc(METRIC_UPSTREAM_CONNECTS);
    if (conn != NULL)
        conn_set_write_timeout(conn, worker->settings->write_timeout);
    if (conn == NULL) {
        metric_inc(METRIC_UPSTREAM_CONNECT_ERRORS);
        return NULL;
    }
    if (tls == NULL)
        return conn;
    struct layer *layer = tls_client_layer_new(worker->tls, tls, SPAN_LIT("http/1.1"));
    if (layer == NULL) {
        conn_abort(conn);
        *ret_error = -ENOMEM;
        return NULL;
    }
    conn_push_layer(conn, layer);
    return conn;
}

struct upstream *upstream_dial(struct upstream_host *host, const struct tls_client_spec *tls,
                               struct upstream_waiter *waiter, int *ret_error)
{
    struct worker *worker = host->worker;
    struct upstream *u = pool_get_zero(&worker->upstreams);

    if (u == NULL) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    u->conn_owner.ops = &upstream_conn_ops;
    u->client_owner.ops = &upstream_client_ops;
    u->host = host;
    u->waiter = waiter;
    dlist_init(&u->link);
    u->tls = tls;
    upstream_host_target(host, &u->target, upstream_on_target);
    int rc = upstream_start(u, upstream_target_next(&u->target));
    if (rc != 0 && rc != -EINPROGRESS) {
        pool_put(&worker->upstreams, u);
        *ret_error = rc;
        return NULL;
    }
    host->refs++;
    dlist_push_back(&worker->dial_list, &u->link);
    metric_add(METRIC_UPSTREAM_OPEN, 1);
    return u;
}

void upstream_abort_dials(struct worker *worker)
{
    dlist_foreach(it, next, &worker->dial_list)
    {
        struct upstream *u = dlist_entry(it, struct upstream, link);
        if (u->conn != NULL)
            conn_abort(u->conn);
        upstream_target_cancel(&u->target);
        upstream_free(u);
    }
}

struct upstream *upstream_take_idle(struct upstream_host *host)
{
    struct dlist *link = dlist_pop_front(&host->idle);
    if (link == NULL)
        return NULL;
    struct upstream *u = dlist_entry(link, struct upstream, link);
    host->idle_count--;
    u->state = UPSTREAM_BUSY;
    metric_inc(METRIC_UPSTREAM_REUSED);
    return u;
}

void upstream_cancel(struct upstream *upstream)
{
    /* A dial goes on: the next request may use what comes of it. */
    upstream->waiter = NULL;
    if (upstream->conn == NULL) {
        upstream_target_cancel(&upstream->target);
        upstream_free(upstream);
    }
}

struct h1_client *upstream_client(const struct upstream *upstream)
{
    return upstream->client;
}
