/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_UPSTREAM_H
#define RINGGATE_GATEWAY_UPSTREAM_H

/* Connections of one worker to one endpoint: dialled when needed, kept alive
 * between requests, last used first. An endpoint belongs to one cluster and so to one TLS identity:
 * connections are never shared across identities. A session of HTTP/1.1 carries one request,
 * one of HTTP/2 as many as its peer allows; those who come while it is being dialled
 * wait for it rather than dial themselves.
 *
 * Who takes either version offers both (ALPN "h2,http/1.1"), and the backend chooses: to
 * choose neither is HTTP/1.1. What it chose last is remembered for the endpoint. HTTP/2: the next
 * dial is expected to be of it and shared. HTTP/1.1, or nothing yet: everyone dials for himself;
 * the first of these dials that turns out to be of HTTP/2 gets all who wait for the others, which
 * close when they are open and not needed. A dial that was shared and turns out to be of HTTP/1.1
 * serves one, the others dial for themselves. */

#include "gateway/upstream_target.h"
#include "gateway/worker.h"

/* The user pointer of a cluster_endpoint. Lives until the endpoint is gone and its last connection
 * is closed. */
struct upstream_host;
/* Of a host given by name: where it was dialled last, len 0 before that. */
const struct addr *upstream_host_addr(const struct upstream_host *host);
/* Begins a connection that its maker dials with upstream_dial_bytes. */
void upstream_host_target(struct upstream_host *host, struct upstream_target *target,
                          void (*on_done)(struct upstream_target *, int));

struct upstream;
/* One who needs a session; embedded. */
struct upstream_waiter {
    /* Connected and, with TLS, authenticated: a session with room. It is there for this call only:
     * the request is sent from inside. */
    void (*on_ready)(struct upstream_waiter *waiter, struct upstream *upstream);
    /* error: negative errno; -EPROTO: TLS; -ENXIO: the host's name has no address. text: why,
     * static or "". */
    void (*on_failed)(struct upstream_waiter *waiter, int error, const char *text);
    const struct tls_client_spec *tls; /* NULL: plain; valid as long as it waits */
    bool h2; /* HTTP/2 is wanted, else HTTP/1.1; once there is a session: what that speaks */
    bool either; /* with tls: whichever of the two the backend chooses; h2 is then not looked at */
    bool tunnel; /* for a request with head->upgrade: HTTP/1.1 alone, and h2 and either are cleared,
                    when the backend's HTTP/2 has no tunnels (RFC 8441) */
    bool fresh; /* not a session that was idle */
    bool joined; /* set while it waits for a dial that another waiter began */
    /* Private. */
    struct dlist link;
    struct upstream *upstream; /* NULL: does not wait */
};

/* A session as the waiter would get it, there already: the one that was used last; NULL: none. To
 * be used before the caller returns to the loop. */
struct upstream *upstream_take(struct upstream_host *host, struct upstream_waiter *waiter);
/* Waits for a session that is being dialled, or dials one. 0: exactly one callback follows from the
 * loop, unless cancelled; -errno: nothing was started. */
MUST_CHECK int upstream_wait(struct upstream_host *host, struct upstream_waiter *waiter);
/* A dial goes on: the next to wait takes it over, or the next request uses what came of it. Not
 * waiting: does nothing. */
void upstream_cancel(struct upstream_waiter *waiter);
/* As http_client_request. When the request is over the session waits for others by itself. */
struct http_stream *upstream_request(struct upstream *upstream, struct http_head *head,
                                     struct arena *arena, struct http_stream_user *user, bool end);
/* Why upstream_request gave NULL, as http_client.refusal. */
enum http_error upstream_refusal(const struct upstream *upstream);
/* A request on it got no answer in time, and no byte came for others either: no more go there, and
 * it closes when those in progress are over. The session is there as long as a stream of it is. */
void upstream_retire(struct upstream *upstream);
/* Where it is connected to. */
const struct addr *upstream_addr(const struct upstream *upstream);
/* Connections that are being made are given up (the worker ends). */
void upstream_abort_dials(struct worker *worker);

/* How an address is dialled. */
struct upstream_dial {
    const struct tls_client_spec *tls; /* NULL: plain */
    struct span alpn; /* as for tls_client_layer_new */
    struct conn_owner *owner; /* gets the conn's callbacks */
};
/* Dials the address of the target (upstream_target_next gave 0). NULL: *ret_error says why. */
struct conn *upstream_dial_bytes(struct upstream_target *target, struct upstream_host *host,
                                 const struct upstream_dial *dial, int *ret_error);

size_t upstream_object_size(void); /* of worker->upstreams */
/* For struct cluster_owner. */
void *upstream_on_new(void *worker, const struct model_cluster *cluster,
                      const struct cluster_endpoint *endpoint);
/* Closes idle connections; busy ones when they are done. */
void upstream_on_gone(void *worker, void *host);

#endif
