/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_UPSTREAM_H
#define RINGGATE_GATEWAY_UPSTREAM_H

/* Connections of one worker to one endpoint: dialled when needed, kept alive
 * between requests, last used first. An endpoint belongs to one cluster and so to one TLS identity:
 * connections are never shared across identities. */

#include "gateway/upstream_target.h"
#include "gateway/worker.h"

/* The user pointer of a cluster_endpoint. Lives until the endpoint is gone and its last connection
 * is closed. */
struct upstream_host;
/* host: an IP address or a DNS name. NULL: no memory. */
struct upstream_host *upstream_host_new(struct worker *worker, const char *host, uint16_t port);
/* Closes idle connections; busy ones close when they are done. */
void upstream_host_drop(struct upstream_host *host);
/* Of a host given by name: where it was dialled last, len 0 before that. */
const struct addr *upstream_host_addr(const struct upstream_host *host);
/* Begins a connection that its maker dials with upstream_dial_bytes. */
void upstream_host_target(struct upstream_host *host, struct upstream_target *target,
                          void (*on_done)(struct upstream_target *, int));

struct upstream;
struct upstream_waiter {
    /* Connected and, with TLS, authenticated: the session is idle and the waiter's. */
    void (*on_ready)(struct upstream_waiter *waiter, struct upstream *upstream);
    /* error: negative errno; -EPROTO: TLS; -ENXIO: the host's name has no address. text: why,
     * static or "". */
    void (*on_failed)(struct upstream_waiter *waiter, int error, const char *text);
};

/* The warmest idle connection, now the caller's; NULL: none. */
struct upstream *upstream_take_idle(struct upstream_host *host);
/* Dials. Exactly one callback follows from the loop, unless cancelled. tls: NULL for plain. NULL:
 * nothing was started, *ret_error says why. */
struct upstream *upstream_dial(struct upstream_host *host, const struct tls_client_spec *tls,
                               struct upstream_waiter *waiter, int *ret_error);
void upstream_cancel(struct upstream *upstream);
/* The session to send one request on. When the request is over the connection returns to the idle
 * list by itself, or is closed: the caller just forgets it. */
/* Where it is connected to; not while it is being dialled. */
const struct addr *upstream_addr(const struct upstream *upstream);
struct h1_client *upstream_client(const struct upstream *upstream);
/* Connections that are being made are given up (the worker ends). */
void upstream_abort_dials(struct worker *worker);

/* Dials the address of the target (upstream_target_next gave 0) for bytes rather than HTTP (TCP
 * routes); the conn gets owner's callbacks. */
struct conn *upstream_dial_bytes(struct upstream_target *target, struct upstream_host *host,
                                 const struct tls_client_spec *tls, struct conn_owner *owner,
                                 int *ret_error);

size_t upstream_object_size(void); /* of worker->upstreams */
/* For cluster_set_apply. */
void *upstream_on_new(void *worker, const struct model_cluster *cluster,
                      const struct cluster_endpoint *endpoint);
void upstream_on_gone(void *worker, void *host);

#endif
