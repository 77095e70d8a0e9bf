/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/worker.h"
#include "io/acceptor.h"

struct listener {
    char key[ADDR_TEXT_SIZE];
    unsigned port; /* index into the newest snapshot's ports */
    uint16_t tcp_port;
    bool wanted, fresh; /* in the newest snapshot; opened by the last apply */
    int *fds; /* one a worker while fresh; -1: taken */
    unsigned fds_count;
};

struct listener_set {
    const struct settings *settings;
    struct listener **items;
    unsigned count;
};

struct listener_set *listener_set_new(const struct settings *settings)
{
    struct listener_set *set = xcalloc(1, sizeof(*set));
    set->settings = settings;
    return set;
}

static void listener_free(struct listener *listener)
{
    for (unsigned i = 0; i < listener->fds_count; i++)
        if (listener->fds[i] >= 0)
            close(listener->fds[i]);
    free(listener->fds);
    free(listener);
}

void listener_set_free(struct listener_set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        listener_free(set->items[i]);
    free(set->items);
    free(set);
}

static struct listener *listener_find(const struct listener_set *set, const char *key)
{
    for (unsigned i = 0; i < set->count; i++)
        if (strcmp(set->items[i]->key, key) == 0)
            return set->items[i];
    return NULL;
}

static bool listener_has_port(const struct listener_set *set, uint16_t port)
{
    for (unsigned i = 0; i < set->count; i++)
        if (set->items[i]->tcp_port == port)
            return true;
    return false;
}

/* SO_REUSEPORT would let us share a port with a stranger of the same user and
 * get half of the connections: a first socket without it finds that out. Not where a
 * socket of ours has the port, maybe by a wildcard: that one would be found. */
static int listener_probe(const struct addr *addr, const struct acceptor_options *options,
                          struct err *reterr)
{
    struct acceptor_options alone = *options;
    alone.reuse_port = false;
    int fd = acceptor_listen(addr, &alone, reterr);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static int listener_open(struct listener *listener, const struct addr *addr, unsigned workers,
                         const struct acceptor_options *options, struct err *reterr)
{
    listener->fds = xcalloc(workers, sizeof(int));
    for (unsigned i = 0; i < workers; i++) {
        int fd = acceptor_listen(addr, options, reterr);
        if (fd < 0)
            return fd;
        listener->fds[listener->fds_count++] = fd;
    }
    return 0;
}

/* Who is told of sockets that cannot be bound. */
struct listener_report {
    const struct model *model;
    struct diags *diags;
    struct statuses *statuses;
    unsigned count;
};

static void listener_report(struct listener_report *report, const struct snapshot_port *port,
                            const struct err *err)
{
    const struct model_listener *conf = port->listener;
    struct diags *diags = report->diags;
    report->count++;
    struct status_listener_id id = {conf->gateway_ns, conf->gateway, conf->name};
    statuses_set_listener_unbound(report->statuses, &id, span_str(err->text));
    const struct conf_object *gateway =
        objects_find(report->model->objects, CONF_KIND_GATEWAY, conf->gateway_ns, conf->gateway);
    ASSERT(gateway != NULL);
    unsigned index = 0;
    while (index + 1 < gateway->gateway->listeners_count &&
           !span_equal(gateway->gateway->listeners[index].name, conf->name))
        index++;
    struct diag *diag = diags_add(diags, DIAG_BIND_FAILED, gateway,
                                  conf_place_pos(gateway, gateway->gateway->listeners[index].pos));
    diag_field(diag, "spec.listeners[%u].port", index);
    diag_message(diag, "%s", err->text);
    diag_condition(diag, "Programmed=False, Invalid");
    diag_consequence(diag, "other listeners are served");
}

static void listener_set_want(struct listener_set *set, const struct snapshot_port *port,
                              const struct addr *addr, unsigned workers,
                              struct listener_report *report)
{
    const struct settings *settings = set->settings;
    struct acceptor_options options = {
        .reuse_port = true,
        .v6_only = true,
        .backlog = (int)settings->listen_backlog,
        .congestion = settings->tcp_congestion[0] != '\0' ? settings->tcp_congestion : NULL,
    };
    char key[ADDR_TEXT_SIZE];
    struct err err = {0};

    addr_format(addr, key);
    struct listener *listener = listener_find(set, key);
    if (listener != NULL) {
        listener->wanted = true;
        return;
    }
    listener = xcalloc(1, sizeof(*listener));
    memcpy(listener->key, key, sizeof(key));
    listener->tcp_port = addr_port(addr);
    int rc = 0;
    if (!listener_has_port(set, listener->tcp_port))
        rc = listener_probe(addr, &options, &err);
    if (rc == 0)
        rc = listener_open(listener, addr, workers, &options, &err);
    if (rc != 0) {
        listener_free(listener);
        /* No IPv6 on this host: the default "::" is not worth a word when IPv4 is bound. */
        if (rc == -EAFNOSUPPORT ||
            (addr->sa.sa_family == AF_INET6 && port->addrs_count > 1 && rc == -EADDRNOTAVAIL))
            return;
        listener_report(report, port, &err);
        return;
    }
    listener->wanted = listener->fresh = true;
    set->items = xrealloc(set->items, (set->count + 1) * sizeof(*set->items));
    set->items[set->count++] = listener;
    log_event(LOG_LEVEL_INFO, "listening", LOG_STR("address", key),
              LOG_SPAN("listener", port->listener->id));
}

unsigned listener_set_apply(struct listener_set *set, const struct snapshot *snapshot,
                            unsigned workers, struct diags *diags, struct statuses *statuses)
{
    struct listener_report report = {snapshot->model, diags, statuses, 0};
    for (unsigned i = 0; i < set->count; i++)
        set->items[i]->wanted = set->items[i]->fresh = false;
    for (unsigned i = 0; i < snapshot->ports_count; i++) {
        const struct snapshot_port *port = &snapshot->ports[i];
        for (unsigned j = 0; j < port->addrs_count; j++) {
            char key[ADDR_TEXT_SIZE];
            listener_set_want(set, port, &port->addrs[j], workers, &report);
            addr_format(&port->addrs[j], key);
            struct listener *listener = listener_find(set, key);
            if (listener != NULL)
                listener->port = i;
        }
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < set->count; i++) {
        if (set->items[i]->wanted)
            set->items[kept++] = set->items[i];
        else
            listener_free(
                set->items[i]); /* workers close their sockets when they adopt the snapshot */
    }
    set->count = kept;
    return report.count;
}

unsigned listener_set_count(const struct listener_set *set)
{
    return set->count;
}

struct worker_publish *listener_set_publish(struct listener_set *set, struct snapshot *snapshot,
                                            unsigned worker)
{
    struct worker_publish *publish = xcalloc(1, sizeof(*publish));
    publish->snapshot = snapshot;
    publish->listeners = xcalloc(set->count + 1, sizeof(*publish->listeners));
    for (unsigned i = 0; i < set->count; i++) {
        struct listener *listener = set->items[i];
        memcpy(publish->listeners[i].key, listener->key, sizeof(listener->key));
        publish->listeners[i].port = listener->port;
        publish->listeners[i].fd = -1;
        if (listener->fresh) {
            publish->listeners[i].fd = listener->fds[worker];
            listener->fds[worker] = -1;
        }
    }
    publish->listeners_count = set->count;
    return publish;
}
