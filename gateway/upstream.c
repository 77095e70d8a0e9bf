/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/upstream.h"

#include <errno.h>
#include <stdlib.h>

/* A session ends itself when it is idle too long (upstream_limits). A host outlives its endpoint
 * while it has connections (refs counts them and the endpoint). Idle sessions are ended when the
 * host is dropped, busy ones when they are done.
 *
 * Who finds no session waits for a dial. Waiters for HTTP/2 share one, up to the streams that a
 * session is expected to take: a burst of requests makes one connection. Until the SETTINGS of a
 * new session have come it is given no more streams than the one before it allowed, the very
 * first one a single stream; when it allows fewer, the others wait for the next dial. Of a dial
 * that offers both versions h2 says what is expected of it until it is open. */
#define UPSTREAM_STREAMS 100u /* that a session of HTTP/2 is expected to take at first */

enum upstream_choice { UPSTREAM_CHOICE_UNKNOWN, UPSTREAM_CHOICE_HTTP1, UPSTREAM_CHOICE_H2 };
enum upstream_tunnels { UPSTREAM_TUNNELS_UNKNOWN, UPSTREAM_TUNNELS_NONE, UPSTREAM_TUNNELS_SOME };

struct upstream_host {
    struct worker *worker;
    struct upstream_place place;
    struct dlist sessions; /* struct upstream.link: open ones */
    struct dlist ready[2]; /* struct upstream.ready_link: with room, last used first; [h2] */
    struct upstream *joinable; /* new, of HTTP/2: more may wait for it; or NULL */
    struct dlist spare; /* struct upstream.ready_link: dials of HTTP/1 that nobody waits for */
    unsigned idle_count, refs;
    unsigned streams_max; /* of its last new session of HTTP/2; 0: not known */
    enum upstream_choice choice; /* of its last new session that had one */
    enum upstream_tunnels tunnels; /* over HTTP/2, as its last new session said */
    bool dropped;
};

struct upstream {
    struct conn_owner conn_owner; /* while dialling */
    struct http_client_owner client_owner; /* afterwards */
    struct upstream_host *host;
    struct dlist waiters; /* struct upstream_waiter.link; until it is known what it can do */
    unsigned waiters_count;
    bool h2, either;
    bool settled; /* h2: the peer's SETTINGS have come */
    bool idle; /* counts in host->idle_count */
    struct http_client *client; /* NULL while dialling */
    struct conn *conn; /* while dialling; NULL while the name is looked up */
    struct upstream_target target; /* while dialling */
    struct addr addr; /* of the connection */
    struct dlist link; /* in worker->dial_list, then host->sessions */
    struct dlist ready_link;
};

size_t upstream_object_size(void)
{
    return sizeof(struct upstream);
}

static void upstream_host_unref(struct upstream_host *host)
{
    if (--host->refs > 0)
        return;
    ASSERT(host->dropped && dlist_is_empty(&host->sessions));
    upstream_place_fini(&host->place);
    free(host);
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

void *upstream_on_new(void *worker, const struct model_cluster *cluster UNUSED,
                      const struct cluster_endpoint *endpoint)
{
    struct upstream_host *host = calloc(1, sizeof(*host));
    if (host == NULL)
        return NULL;
    if (upstream_place_init(&host->place, endpoint->host, endpoint->port) != 0) {
        free(host);
        return NULL;
    }
    host->worker = worker;
    host->refs = 1;
    dlist_init(&host->sessions);
    dlist_init(&host->ready[0]);
    dlist_init(&host->ready[1]);
    dlist_init(&host->spare);
    return host;
}

void upstream_on_gone(void *worker UNUSED, void *user)
{
    struct upstream_host *host = user;
    if (host == NULL)
        return;
    host->dropped = true;
    dlist_foreach(it, next, &host->sessions)
    {
        struct upstream *u = dlist_entry(it, struct upstream, link);
        if (host->worker->ending || http_client_active(u->client) == 0)
            http_client_close(u->client);
        else
            http_client_drain(u->client);
    }
    upstream_host_unref(host);
}

static void upstream_free(struct upstream *u)
{
    struct worker *worker = u->host->worker;
    ASSERT(u->waiters_count == 0);
    if (u->host->joinable == u)
        u->host->joinable = NULL;
    u->host->idle_count -= u->idle;
    dlist_remove(&u->link);
    dlist_remove(&u->ready_link);
    metric_add(METRIC_UPSTREAM_OPEN, -1);
    upstream_host_unref(u->host);
    pool_put(&worker->upstreams, u);
}

/* Requests that may begin on a session now. */
static unsigned upstream_room(const struct upstream *u)
{
    if (u->settled)
        return http_client_room(u->client);
    unsigned active = http_client_active(u->client), expected = MAX(u->host->streams_max, 1u);
    return active < expected ? MIN(http_client_room(u->client), expected - active) : 0;
}

/* After whatever may have changed its room: puts a session where requests find it, or takes it
 * away. */
static void upstream_settle(struct upstream *u)
{
    struct upstream_host *host = u->host;
    bool idle = http_client_active(u->client) == 0;

    host->idle_count += (unsigned)idle - (unsigned)u->idle;
    u->idle = idle;
    if (upstream_room(u) == 0)
        dlist_remove(&u->ready_link);
    else if (!dlist_is_linked(&u->ready_link))
        dlist_push_front(&host->ready[u->h2], &u->ready_link);
}

void upstream_retire(struct upstream *u)
{
    if (u->host->joinable == u)
        u->host->joinable = NULL;
    dlist_remove(&u->ready_link);
    http_client_drain(u->client);
}

/* Ends a session that is not to be kept. */
static void upstream_trim(struct upstream *u)
{
    struct upstream_host *host = u->host;
    if (host->dropped || host->worker->draining ||
        (u->idle && host->idle_count > host->worker->settings->upstream_idle_max))
        upstream_retire(u);
}

static struct upstream_waiter *upstream_first_waiter(const struct upstream *u)
{
    if (dlist_is_empty(&u->waiters))
        return NULL;
    return dlist_entry(u->waiters.next, struct upstream_waiter, link);
}

static void upstream_remove_waiter(struct upstream *u, struct upstream_waiter *waiter)
{
    ASSERT(waiter->upstream == u);
    dlist_remove(&waiter->link);
    waiter->upstream = NULL;
    u->waiters_count--;
}

/* What waiters do in on_failed may begin other dials, never one that u is found for. */
static void upstream_fail(struct upstream *u, int error, const char *text)
{
    metric_inc(METRIC_UPSTREAM_CONNECT_ERRORS);
    if (u->host->joinable == u)
        u->host->joinable = NULL;
    dlist_remove(&u->ready_link);
    for (struct upstream_waiter *waiter; (waiter = upstream_first_waiter(u)) != NULL;) {
        upstream_remove_waiter(u, waiter);
        waiter->on_failed(waiter, error, text);
    }
    upstream_free(u);
}

/* Gives the session to one who waited for it, or lets him wait for another. */
static void upstream_serve_one(struct upstream *u, struct upstream_waiter *waiter)
{
    bool fits = !u->h2 || !waiter->tunnel || http_client_can_tunnel(u->client);
    upstream_remove_waiter(u, waiter);
    if (fits && upstream_room(u) > 0) {
        waiter->h2 = u->h2;
        waiter->on_ready(waiter, u);
        return;
    }
    if (!fits)
        waiter->h2 = waiter->either = false;
    bool useless = fits && u->h2 && http_client_active(u->client) == 0;
    int rc = useless ? -ECONNREFUSED : upstream_wait(u->host, waiter);
    if (rc != 0)
        waiter->on_failed(waiter, rc, useless ? "the backend takes no requests" : "");
}

/* Before its SETTINGS have come those who want a tunnel, and those beyond its room, stay. A
 * callback for one takes no other off the list. */
static void upstream_serve(struct upstream *u)
{
    dlist_foreach(it, next, &u->waiters)
    {
        struct upstream_waiter *waiter = dlist_entry(it, struct upstream_waiter, link);
        if (u->settled || (!waiter->tunnel && upstream_room(u) > 0))
            upstream_serve_one(u, waiter);
    }
}

static void upstream_on_room(struct http_client_owner *owner, struct http_client *client)
{
    struct upstream *u = container_of(owner, struct upstream, client_owner);
    struct upstream_host *host = u->host;

    if (!u->settled) {
        u->settled = true;
        if (host->joinable == u)
            host->joinable = NULL;
        host->streams_max = http_client_room(client) + http_client_active(client);
        host->tunnels =
            http_client_can_tunnel(client) ? UPSTREAM_TUNNELS_SOME : UPSTREAM_TUNNELS_NONE;
        upstream_serve(u);
    }
    upstream_settle(u);
    upstream_trim(u);
}

static void upstream_on_client_closed(struct http_client_owner *owner,
                                      struct http_client *client UNUSED,
                                      enum http_error error UNUSED)
{
    struct upstream *u = container_of(owner, struct upstream, client_owner);
    if (u->waiters_count > 0)
        upstream_fail(u, -ECONNRESET, "connection closed before its SETTINGS");
    else
        upstream_free(u);
}

static const struct http_client_owner_ops upstream_client_ops = {
    .on_room = upstream_on_room,
    .on_closed = upstream_on_client_closed,
};

/* false: the waiters were told, u is gone. */
static bool upstream_start_client(struct upstream *u, struct conn *conn)
{
    struct worker *worker = u->host->worker;
    const struct tls_info *tls = tls_info_of(conn);

    if (u->h2 && tls != NULL && !span_equal_str(tls->alpn, "h2")) {
        upstream_fail(u, -EPROTO, "TLS: the backend does not speak HTTP/2");
        return false;
    }
    const struct http_limits *limits = &worker->upstream_limits;
    if (u->h2)
        u->client = h2_client_start(worker->h2_clients, conn, limits, &u->client_owner);
    else
        u->client = h1_client_start(worker->h1_clients, conn, limits, &u->client_owner);
    if (u->client == NULL)
        upstream_fail(u, -ENOMEM, "out of memory");
    return u->client != NULL;
}

static void upstream_push_waiter(struct upstream *u, struct upstream_waiter *waiter)
{
    struct upstream_host *host = u->host;
    dlist_push_back(&u->waiters, &waiter->link);
    waiter->upstream = u;
    u->waiters_count++;
    unsigned expected = host->streams_max > 0 ? host->streams_max : UPSTREAM_STREAMS;
    if (u->h2)
        host->joinable = u->waiters_count < expected ? u : NULL;
}

/* Nobody waits any more for a connection that is being made. It goes on, for the next to wait. */
static void upstream_forsake(struct upstream *u)
{
    if (u->conn == NULL) { /* a name is looked up for nobody */
        upstream_target_cancel(&u->target);
        upstream_free(u);
    } else if (!u->h2) {
        dlist_push_back(&u->host->spare, &u->ready_link);
    }
}

/* All who wait for other connections that the backend may choose HTTP/2 on wait for this one. */
static void upstream_gather(struct upstream *u)
{
    dlist_foreach(it, next, &u->host->worker->dial_list)
    {
        struct upstream *other = dlist_entry(it, struct upstream, link);
        if (other == u || other->host != u->host || !other->either || other->waiters_count == 0)
            continue;
        for (struct upstream_waiter *waiter; (waiter = upstream_first_waiter(other)) != NULL;) {
            upstream_remove_waiter(other, waiter);
            waiter->joined = true;
            upstream_push_waiter(u, waiter);
        }
        upstream_forsake(other);
    }
}

/* Which version the backend chose. */
static void upstream_learn(struct upstream *u, const struct conn *conn)
{
    struct upstream_host *host = u->host;
    const struct tls_info *tls = tls_info_of(conn);
    bool was_h2 = host->choice == UPSTREAM_CHOICE_H2;

    u->h2 = tls != NULL && span_equal_str(tls->alpn, "h2");
    host->choice = u->h2 ? UPSTREAM_CHOICE_H2 : UPSTREAM_CHOICE_HTTP1;
    if (!u->h2 && host->joinable == u)
        host->joinable = NULL;
    if (!u->h2 || was_h2)
        return;
    host->joinable = u; /* until its SETTINGS come */
    upstream_gather(u);
}

/* An open session that nobody waits for is not kept beside another that has room. */
static bool upstream_is_surplus(const struct upstream *u)
{
    const struct dlist *ready = &u->host->ready[1];
    return u->either && u->h2 && dlist_is_linked(&u->ready_link) && ready->next != ready->prev;
}

static void upstream_on_open(struct conn_owner *owner, struct conn *conn)
{
    struct upstream *u = container_of(owner, struct upstream, conn_owner);
    struct upstream_host *host = u->host;

    u->conn = NULL;
    conn_peer(conn, &u->addr);
    if (u->either)
        upstream_learn(u, conn);
    if (!upstream_start_client(u, conn)) {
        conn_abort(conn);
        return;
    }
    dlist_remove(&u->link);
    dlist_remove(&u->ready_link); /* was it spare */
    u->settled = !u->h2;
    upstream_serve(u);
    /* Not before: who ends here may be the last that kept the host from being dropped. */
    dlist_push_back(&host->sessions, &u->link);
    upstream_settle(u);
    if (u->idle && u->waiters_count == 0 && upstream_is_surplus(u))
        upstream_retire(u);
    else if (host->dropped || (u->idle && u->waiters_count == 0))
        upstream_trim(u); /* nobody waits any more */
}

static void upstream_on_data(struct conn_owner *owner UNUSED, struct conn *conn UNUSED)
{
    /* Bytes before a request: the session looks at them when it starts. */
}

static void upstream_on_end(struct conn_owner *owner UNUSED, struct conn *conn UNUSED)
{
}

/* Dials the addresses there are until one dial is under way, for the sake of a waiter. rc: of
 * upstream_target_next. 0; -EINPROGRESS: the name is looked up; else the error of the last. */
static int upstream_start(struct upstream *u, int rc)
{
    struct upstream_dial dial = {
        .tls = upstream_first_waiter(u)->tls,
        .alpn = u->either ? SPAN_LIT("h2,http/1.1")
                : u->h2   ? SPAN_LIT("h2")
                          : SPAN_LIT("http/1.1"),
        .owner = &u->conn_owner,
    };
    int error = 0;
    for (; rc == 0; rc = upstream_target_next(&u->target)) {
        u->conn = upstream_dial_bytes(&u->target, u->host, &dial, &error);
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
    /* Without a waiter nobody needs the connection, and its TLS spec may be gone. */
    if (u->waiters_count > 0 && error != -EPROTO) {
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
                                 const struct upstream_dial *dial, int *ret_error)
{
    struct worker *worker = host->worker;
    uint64_t timeout_ns = upstream_target_timeout(
        target, worker->settings->upstream_connect_timeout, worker->loop->clock.mono_ns);
    struct conn *conn =
        conn_dial(worker->loop, &host->place.addr, timeout_ns, dial->owner, ret_error);
    metric_inc(METRIC_UPSTREAM_CONNECTS);
    if (conn != NULL)
        conn_set_write_timeout(conn, worker->settings->write_timeout);
    if (conn == NULL) {
        metric_inc(METRIC_UPSTREAM_CONNECT_ERRORS);
        return NULL;
    }
    if (dial->tls == NULL)
        return conn;
    struct layer *layer = tls_client_layer_new(worker->tls, dial->tls, dial->alpn);
    if (layer == NULL) {
        conn_abort(conn);
        *ret_error = -ENOMEM;
        return NULL;
    }
    conn_push_layer(conn, layer);
    return conn;
}

static struct upstream *upstream_find_ready(struct upstream_host *host,
                                            const struct upstream_waiter *waiter, bool h2)
{
    dlist_foreach(it, next, &host->ready[h2])
    {
        struct upstream *u = dlist_entry(it, struct upstream, ready_link);
        /* Its room may have gone since, and on_room is on its way. */
        if ((waiter->fresh && u->idle) || upstream_room(u) == 0 ||
            (waiter->tunnel && !http_client_can_tunnel(u->client)))
            continue;
        return u;
    }
    return NULL;
}

/* The version that a connection for the waiter is expected to speak. */
static bool upstream_expects_h2(const struct upstream_host *host,
                                const struct upstream_waiter *waiter)
{
    return waiter->either ? host->choice == UPSTREAM_CHOICE_H2 : waiter->h2;
}

struct upstream *upstream_take(struct upstream_host *host, struct upstream_waiter *waiter)
{
    struct upstream *u = NULL;
    if (waiter->tunnel && host->tunnels == UPSTREAM_TUNNELS_NONE)
        waiter->h2 = waiter->either = false;
    if (waiter->h2 || waiter->either)
        u = upstream_find_ready(host, waiter, true);
    /* Those of HTTP/1.1 that are left over, or were made for tunnels, are not for the others. */
    if (u == NULL && !waiter->h2 && (!waiter->either || host->choice == UPSTREAM_CHOICE_HTTP1))
        u = upstream_find_ready(host, waiter, false);
    if (u == NULL)
        return NULL;
    waiter->h2 = u->h2;
    metric_inc(METRIC_UPSTREAM_REUSED);
    return u;
}

static struct upstream *upstream_new(struct upstream_host *host,
                                     const struct upstream_waiter *waiter)
{
    struct upstream *u = pool_get_zero(&host->worker->upstreams);
    if (u == NULL)
        return NULL;
    u->conn_owner.ops = &upstream_conn_ops;
    u->client_owner.ops = &upstream_client_ops;
    u->host = host;
    u->h2 = upstream_expects_h2(host, waiter);
    u->either = waiter->either;
    dlist_init(&u->waiters);
    dlist_init(&u->link);
    dlist_init(&u->ready_link);
    upstream_host_target(host, &u->target, upstream_on_target);
    host->refs++;
    dlist_push_back(&host->worker->dial_list, &u->link);
    metric_add(METRIC_UPSTREAM_OPEN, 1);
    return u;
}

/* Takes over the dial of one who gave up: clients that cancel in a row make one connection. */
static bool upstream_wait_spare(struct upstream_host *host, struct upstream_waiter *waiter)
{
    dlist_foreach(it, next, &host->spare)
    {
        struct upstream *u = dlist_entry(it, struct upstream, ready_link);
        if (u->either != waiter->either)
            continue;
        dlist_remove(&u->ready_link);
        upstream_push_waiter(u, waiter);
        return true;
    }
    return false;
}

int upstream_wait(struct upstream_host *host, struct upstream_waiter *waiter)
{
    bool h2 = upstream_expects_h2(host, waiter);
    waiter->joined = h2 && host->joinable != NULL && host->joinable->either == waiter->either;
    if (waiter->joined) {
        upstream_push_waiter(host->joinable, waiter);
        return 0;
    }
    if (!h2 && upstream_wait_spare(host, waiter))
        return 0;
    struct upstream *u = upstream_new(host, waiter);
    if (u == NULL)
        return -ENOMEM;
    upstream_push_waiter(u, waiter);
    int rc = upstream_start(u, upstream_target_next(&u->target));
    if (rc == 0 || rc == -EINPROGRESS)
        return 0;
    upstream_remove_waiter(u, waiter);
    upstream_free(u);
    return rc;
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

void upstream_cancel(struct upstream_waiter *waiter)
{
    struct upstream *u = waiter->upstream;
    if (u == NULL)
        return;
    upstream_remove_waiter(u, waiter);
    if (u->client == NULL && u->waiters_count == 0)
        upstream_forsake(u);
}

struct http_stream *upstream_request(struct upstream *upstream, struct http_head *head,
                                     struct arena *arena, struct http_stream_user *user, bool end)
{
    struct http_stream *stream = http_client_request(upstream->client, head, arena, user, end);
    upstream_settle(upstream);
    return stream;
}

enum http_error upstream_refusal(const struct upstream *upstream)
{
    return upstream->client->refusal;
}

const struct addr *upstream_addr(const struct upstream *upstream)
{
    return &upstream->addr;
}
