/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/worker.h"

#include <errno.h>
#include <malloc.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "gateway/control.h"
#include "gateway/downstream.h"
#include "gateway/exchange.h"
#include "gateway/exchange_int.h"
#include "gateway/forwarded.h"
#include "gateway/l4.h"
#include "gateway/outcome.h"
#include "gateway/upstream.h"
#include "io/proxy_protocol.h"

#define WORKER_MAILBOX 1024u
#define WORKER_TRIM_BYTES (1u << 20)
#define WORKER_HOUSEKEEPING_NS (2 * NS_PER_S)

/* Listeners. */

/* The log's own limit on lines keeps a flood out of it, the metrics count all. */
static bool worker_refuse(enum outcome outcome, const struct addr *addr)
{
    char text[ADDR_TEXT_SIZE] = "";
    if (addr != NULL)
        addr_format_ip(addr, text);
    outcome_count(outcome);
    metric_inc(METRIC_CONNECTIONS_REFUSED);
    log_event(LOG_LEVEL_WARN, "client connection refused",
              LOG_STR("outcome", outcome_name(outcome)), LOG_STR("client", text));
    return false;
}

static bool admit_address(struct worker *worker, struct client_hold *hold, const struct addr *addr)
{
    /* A proxy that we trust has many clients behind it. */
    return forwarded_is_proxy(worker, addr) ||
           client_count_address(worker->client_count, hold, addr) ||
           worker_refuse(OUTCOME_CLIENT_CONNECTIONS, addr);
}

bool worker_admit(struct worker *worker, struct client_hold *hold, const struct addr *addr)
{
    if (!client_count_enter(worker->client_count, hold))
        return worker_refuse(OUTCOME_OVERLOAD, addr);
    if (addr == NULL || admit_address(worker, hold, addr))
        return true;
    client_count_leave(worker->client_count, hold);
    return false;
}

int worker_take_proxy_header(struct worker *worker, struct conn *conn, struct client_hold *hold,
                             struct addr *addr)
{
    struct proxy_header header;
    ssize_t n = proxy_protocol_parse(conn_input(conn), &header);
    if (n <= 0)
        return n == 0 && !conn_input_is_full(conn) ? 0 : -EPROTO;
    conn_consume(conn, (size_t)n);
    if (!header.local)
        *addr = header.source;
    addr_unmap(addr);
    return admit_address(worker, hold, addr) ? 1 : -EACCES;
}

static void worker_on_accept(struct acceptor *acceptor UNUSED, struct conn *conn, void *user)
{
    struct worker_listener *listener = user;
    const struct snapshot_port *port = worker_listener_port(listener);

    metric_inc(METRIC_CONNECTIONS_TOTAL);
    if (port == NULL)
        conn_abort(conn);
    else if (port->protocol == MODEL_PROTOCOL_TCP)
        l4_accept(listener, port, conn);
    else
        downstream_accept(listener, port, conn);
}

const struct snapshot_port *worker_listener_port(const struct worker_listener *listener)
{
    if (!listener->is_configured)
        return NULL;
    return &listener->worker->view->snapshot->ports[listener->port];
}

void worker_listener_unref(struct worker_listener *listener)
{
    if (--listener->refs > 0)
        return;
    ASSERT(listener->acceptor == NULL);
    free(listener);
}

static void worker_open_listener(struct worker *worker, const char *key, int fd, unsigned port)
{
    struct worker_listener *listener = xcalloc(1, sizeof(*listener));
    snprintf(listener->key, sizeof(listener->key), "%s", key);
    listener->worker = worker;
    listener->is_configured = true;
    listener->port = port;
    listener->refs = 1;
    listener->acceptor = acceptor_start(worker->loop, fd, worker_on_accept, listener);
    if (listener->acceptor == NULL)
        panic(__FILE__, __LINE__, "no memory for a listener");
    hmap_insert(&worker->listeners, &listener->node, span_str(listener->key));
}

/* Connections of the closed listener end gracefully. */
static void worker_close_listener(struct worker *worker, struct worker_listener *listener)
{
    hmap_remove(&worker->listeners, &listener->node);
    acceptor_stop(listener->acceptor);
    listener->acceptor = NULL;
    dlist_foreach(it, next, &worker->downstream_list)
    {
        struct downstream *d = dlist_entry(it, struct downstream, link);
        if (d->listener == listener)
            downstream_drain(d);
    }
    worker_listener_unref(listener);
}

static void worker_apply_listeners(struct worker *worker, const struct worker_publish *publish)
{
    for (struct hmap_node *node = hmap_next(&worker->listeners, NULL); node != NULL;) {
        struct worker_listener *listener = container_of(node, struct worker_listener, node);
        bool kept = false;
        for (unsigned i = 0; i < publish->listeners_count && !kept; i++)
            if (publish->listeners[i].fd < 0 &&
                span_equal_str(node->key, publish->listeners[i].key)) {
                listener->port = publish->listeners[i].port;
                kept = true;
            }
        node = hmap_next(&worker->listeners, node);
        listener->is_configured = kept;
        if (!kept)
            worker_close_listener(worker, listener);
    }
    for (unsigned i = 0; i < publish->listeners_count; i++)
        if (publish->listeners[i].fd >= 0)
            worker_open_listener(worker, publish->listeners[i].key, publish->listeners[i].fd,
                                 publish->listeners[i].port);
}

static void worker_sweep_tls(struct worker *worker)
{
    const struct snapshot *snapshot = worker->view->snapshot;
    const struct tls_server_spec **live = xcalloc(snapshot->ports_count + 1, sizeof(*live));
    unsigned count = 0;
    for (unsigned i = 0; i < snapshot->ports_count; i++)
        if (snapshot->ports[i].tls != NULL)
            live[count++] = snapshot->ports[i].tls;
    tls_worker_sweep(worker->tls, live, count);
    free(live);
}

static void worker_on_publish(struct mail *mail)
{
    struct worker_publish *publish = container_of(mail, struct worker_publish, mail);
    struct worker *worker = publish->worker;
    struct view *old = worker->view;

    worker->view = view_new(worker->control, publish->snapshot);
    if (cluster_set_apply(worker->clusters, publish->snapshot->model,
                          publish->snapshot->same_clusters) != 0)
        panic(__FILE__, __LINE__, "no memory for clusters");
    view_hold_clusters(worker->view, worker->clusters);
    limiter_apply(worker->limiter, publish->snapshot->model);
    if (!worker->draining)
        worker_apply_listeners(worker, publish);
    worker_sweep_tls(worker);
    if (old != NULL)
        view_unpin(old);
    control_ack(worker->control, publish->snapshot->generation);
    free(publish->listeners);
    free(publish);
}

void worker_send_publish(struct worker *worker, struct worker_publish *publish)
{
    publish->worker = worker;
    publish->mail.on_mail = worker_on_publish;
    /* At most one publish is under way (control.c), so there is always room. */
    if (mailbox_send(worker->mailbox, &publish->mail) != 0)
        panic(__FILE__, __LINE__, "a worker's mailbox is full");
}

/* Drain. */

struct worker_drain {
    struct mail mail;
    struct worker *worker;
    uint64_t drain_ns;
};

static void worker_on_drain_deadline(struct timer *timer)
{
    struct worker *worker = container_of(timer, struct worker, housekeeping);
    bool deadline = worker->loop->clock.mono_ns >= worker->drain_deadline_ns;

    __atomic_fetch_add(&worker->beats, 1, __ATOMIC_RELAXED);
    if (deadline) {
        dlist_foreach(it, next, &worker->downstream_list)
            downstream_abort(dlist_entry(it, struct downstream, link));
        l4_abort_pending(worker);
    }
    if (dlist_is_empty(&worker->downstream_list) && dlist_is_empty(&worker->l4_list)) {
        loop_stop(worker->loop);
        return;
    }
    loop_arm(worker->loop, timer, 20 * NS_PER_MS);
}

static void worker_begin_drain(struct worker *worker)
{
    worker->draining = true;
    for (struct hmap_node *node; (node = hmap_next(&worker->listeners, NULL)) != NULL;)
        worker_close_listener(worker, container_of(node, struct worker_listener, node));
    dlist_foreach(it, next, &worker->downstream_list)
        downstream_drain(dlist_entry(it, struct downstream, link));
    loop_disarm(worker->loop, &worker->housekeeping);
    timer_init(&worker->housekeeping, worker_on_drain_deadline);
}

/* A second one brings the deadline forward. */
static void worker_on_drain(struct mail *mail)
{
    struct worker_drain *drain = container_of(mail, struct worker_drain, mail);
    struct worker *worker = drain->worker;

    worker->drain_deadline_ns = worker->loop->clock.mono_ns + drain->drain_ns;
    free(drain);
    if (!worker->draining)
        worker_begin_drain(worker);
    l4_stop_at(worker, worker->drain_deadline_ns);
    loop_arm(worker->loop, &worker->housekeeping, 1);
}

void worker_send_drain(struct worker *worker, uint64_t drain_ns)
{
    struct worker_drain *drain = xcalloc(1, sizeof(*drain));
    drain->worker = worker;
    drain->drain_ns = drain_ns;
    drain->mail.on_mail = worker_on_drain;
    pthread_mutex_lock(&worker->mailbox_lock);
    /* Full: as many are waiting as were asked for. NULL: the worker has come to its end. */
    if (worker->mailbox == NULL || mailbox_send(worker->mailbox, &drain->mail) != 0)
        free(drain);
    pthread_mutex_unlock(&worker->mailbox_lock);
}

/* Life. */

static void worker_on_housekeeping(struct timer *timer)
{
    struct worker *worker = container_of(timer, struct worker, housekeeping);
    __atomic_fetch_add(&worker->beats, 1, __ATOMIC_RELAXED);
    block_trim(worker->loop->blocks);
    /* After a storm the system gets it back: much of it at once, the rest when all is quiet. */
    size_t freed = pool_trim_all();
    worker->untrimmed_bytes += freed;
    if (worker->untrimmed_bytes >= WORKER_TRIM_BYTES ||
        (freed == 0 && worker->untrimmed_bytes > 0)) {
        malloc_trim(0);
        worker->untrimmed_bytes = 0;
    }
    loop_arm(worker->loop, timer, WORKER_HOUSEKEEPING_NS);
}

/* TLS to a limit store. Compiled for each connection: they are rare. */
static struct layer *worker_store_tls(void *user, const struct model_store *store)
{
    struct worker *worker = user;
    struct tls_client_spec *spec;
    struct err err;
    char id[320];
    struct model_backend_tls tls = {
        .server_name = store->conf->server_name,
        .ca_pem = store->ca_pem,
        .has_client_cert = store->has_client_cert,
        .client_cert = store->client_cert,
    };
    int len = snprintf(id, sizeof(id), "store/%.*s/%llx", SPAN_ARG(store->id),
                       (unsigned long long)hash_fast(store->ca_pem, 0));

    tls.id = span_make(id, MIN((size_t)len, sizeof(id) - 1));
    if (tls_client_compile(&tls, &spec, &err) != 0) {
        log_event(LOG_LEVEL_ERROR, "cannot set up TLS to the limit store",
                  LOG_SPAN("store", store->id), LOG_STR("reason", err.text));
        return NULL;
    }
    struct layer *layer = tls_client_layer_new(worker->tls, spec, SPAN_NONE);
    tls_client_spec_free(spec);
    return layer;
}

static int worker_init(struct worker *worker, struct err *reterr)
{
    const struct settings *settings = worker->settings;
    struct loop_options options = {
        .engine = worker->engine,
        .conns_max = (unsigned)settings->connections_max,
        .blocks_max = (unsigned)settings->blocks_max,
    };
    unsigned conns = options.conns_max;

    metric_thread_init();
    int rc = loop_new(&worker->loop, &options, reterr);
    if (rc == 0)
        rc = mailbox_new(&worker->mailbox, worker->loop, WORKER_MAILBOX);
    if (rc != 0)
        return rc;
    worker->tls = tls_worker_new(worker->loop, reterr);
    if (worker->tls == NULL)
        return -ENOMEM;
    struct resolver_options dns = {
        .servers = settings->dns_servers,
        .timeout_ns = settings->dns_timeout,
        .ttl_max_ns = settings->dns_ttl_max,
    };
    worker->resolver = resolver_new(worker->loop, &dns, reterr);
    if (worker->resolver == NULL)
        return -EINVAL;
    worker->h1_servers = h1_server_pool_new(worker->loop, conns);
    worker->h1_clients = h1_client_pool_new(worker->loop, conns);
    worker->h2_servers = h2_server_pool_new(worker->loop, conns);
    worker->h2_clients = h2_client_pool_new(worker->loop, conns);
    worker->clusters =
        cluster_set_new(&(struct cluster_owner){worker, upstream_on_new, upstream_on_gone});
    struct limiter_options limiter = {worker->loop, worker->local_limit, worker_store_tls, worker,
                                      worker->resolver};
    worker->limiter = limiter_new(&limiter);
    if (worker->h1_servers == NULL || worker->h1_clients == NULL || worker->clusters == NULL ||
        worker->limiter == NULL)
        return err_set(reterr, -ENOMEM, "no memory for a worker");
    pool_init(&worker->exchanges, "exchange", sizeof(struct exchange), conns);
    pool_init(&worker->downstreams, "downstream", sizeof(struct downstream), conns);
    pool_init(&worker->upstreams, "upstream", upstream_object_size(), conns);
    pool_init(&worker->mirrors, "mirror", mirror_object_size(), (unsigned)settings->mirrors_max);
    pool_init(&worker->l4s, "l4", l4_object_size(), conns);
    dlist_init(&worker->downstream_list);
    dlist_init(&worker->l4_list);
    dlist_init(&worker->mirror_list);
    dlist_init(&worker->dial_list);
    hmap_init(&worker->listeners, 16);
    timer_init(&worker->housekeeping, worker_on_housekeeping);
    loop_arm(worker->loop, &worker->housekeeping, WORKER_HOUSEKEEPING_NS);
    return 0;
}

/* Other workers may end later, and a second signal goes to all. */
static void worker_close_mailbox(struct worker *worker)
{
    pthread_mutex_lock(&worker->mailbox_lock);
    struct mailbox *mailbox = worker->mailbox;
    worker->mailbox = NULL;
    pthread_mutex_unlock(&worker->mailbox_lock);
    mailbox_free(mailbox);
}

/* In reverse order of worker_init; the loop runs on until the kernel has let go of all. */
static void worker_fini(struct worker *worker)
{
    static const struct model none; /* every endpoint is gone */
    struct view *view = worker->view;

    worker->ending = true;
    worker_close_mailbox(worker);
    loop_disarm(worker->loop, &worker->housekeeping);
    limiter_free(worker->limiter);
    mirror_abort_all(worker);
    if (view != NULL)
        view_drop_clusters(view);
    if (cluster_set_apply(worker->clusters, &none, NULL) == 0)
        cluster_set_free(worker->clusters);
    upstream_abort_dials(worker);
    resolver_free(worker->resolver);
    hmap_fini(&worker->listeners);
    for (int i = 0; i < 100 && worker->loop->conns > 0; i++)
        loop_turn(worker->loop, 10 * NS_PER_MS);
    h1_server_pool_free(worker->h1_servers);
    h1_client_pool_free(worker->h1_clients);
    h2_server_pool_free(worker->h2_servers);
    h2_client_pool_free(worker->h2_clients);
    pool_fini(&worker->exchanges);
    pool_fini(&worker->downstreams);
    pool_fini(&worker->upstreams);
    pool_fini(&worker->l4s);
    pool_fini(&worker->mirrors);
    tls_worker_free(worker->tls);
    loop_free(worker->loop);
    if (view != NULL)
        view_unpin(view);
}

struct worker_boot {
    struct worker *worker;
    struct err err;
    int rc;
    sem_t ready;
};

static void *worker_main(void *arg)
{
    struct worker_boot *boot = arg;
    struct worker *worker = boot->worker;

    boot->rc = worker_init(worker, &boot->err);
    bool ok = boot->rc == 0;
    sem_post(&boot->ready); /* boot is gone after this */
    if (!ok)
        return NULL;
    loop_run(worker->loop);
    struct control *control = worker->control;
    worker_fini(worker);
    control_worker_ended(control);
    return NULL;
}

int worker_start(struct worker *worker, struct err *reterr)
{
    struct worker_boot boot = {.worker = worker};

    sem_init(&boot.ready, 0, 0);
    pthread_mutex_init(&worker->mailbox_lock, NULL);
    int rc = pthread_create(&worker->thread, NULL, worker_main, &boot);
    if (rc != 0)
        return err_set(reterr, -rc, "cannot start a worker thread: error %d", rc);
    while (sem_wait(&boot.ready) != 0)
        continue;
    sem_destroy(&boot.ready);
    if (boot.rc != 0) {
        pthread_join(worker->thread, NULL);
        if (reterr != NULL)
            *reterr = boot.err;
    }
    return boot.rc;
}

void worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    pthread_mutex_destroy(&worker->mailbox_lock);
}
