/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_WORKER_H
#define RINGGATE_GATEWAY_WORKER_H

/* One data-plane thread and all it owns: loop, sockets, sessions, upstream
 * connections, exchanges. Nothing of it is touched by another thread; the control thread talks
 * to it through its mailbox. */

#include <pthread.h>

#include "base/hmap.h"
#include "base/pool.h"
#include "conf/settings.h"
#include "gateway/client_count.h"
#include "gateway/snapshot.h"
#include "gateway/view.h"
#include "http/h1_client.h"
#include "http/h1_server.h"
#include "http/h2_client.h"
#include "http/h2_server.h"
#include "io/acceptor.h"
#include "io/mailbox.h"
#include "io/resolver.h"
#include "ratelimit/limiter.h"
#include "routing/cluster.h"

struct access_log;
struct control;

/* A bound address of this worker. Lives while its socket or a connection accepted through it does.
 */
struct worker_listener {
    struct hmap_node node; /* key: "addr:port" */
    struct worker *worker;
    struct acceptor *acceptor; /* NULL: closed */
    /* The newest view has its port, ports[port]: also during a drain, when nothing is accepted any
     * more but requests still come on connections. */
    bool is_configured;
    unsigned port;
    unsigned refs; /* connections */
    char key[ADDR_TEXT_SIZE];
};

struct worker {
    struct loop *loop;
    struct view *view; /* newest */
    const struct settings *settings;
    struct tls_worker *tls;
    struct resolver *resolver;
    struct limiter *limiter;
    struct cluster_set *clusters;
    struct access_log *log; /* NULL: off */
    struct pool exchanges, downstreams, upstreams, l4s, mirrors;
    struct h1_server_pool *h1_servers;
    struct h1_client_pool *h1_clients;
    struct h2_server_pool *h2_servers;
    struct h2_client_pool *h2_clients;
    struct dlist downstream_list, l4_list, mirror_list, dial_list; /* all, for drain */
    struct http_limits limits, upstream_limits;
    struct addr_range *trusted; /* proxies whose X-Forwarded-For is believed; shared */
    unsigned trusted_count;
    bool draining, ending; /* ending: no request is left */
    uint64_t drain_deadline_ns;

    unsigned index;
    enum loop_engine engine;
    struct hmap listeners; /* struct worker_listener */
    struct mailbox *mailbox; /* NULL at the end; under the lock, for senders only */
    pthread_mutex_t mailbox_lock;
    struct control *control;
    struct local_limit *local_limit; /* shared */
    struct client_count *client_count; /* shared */
    pthread_t thread;
    struct timer housekeeping;
    uint64_t beats; /* housekeeping has run so often, atomic: another thread looks at it */
    size_t untrimmed_bytes; /* that pools gave to malloc since it was last trimmed */
};

/* What control hands to a worker with a new snapshot: listening sockets of new addresses, already
 * bound. */
struct worker_publish {
    struct mail mail;
    struct worker *worker;
    struct snapshot *snapshot; /* a reference comes with it */
    struct {
        char key[ADDR_TEXT_SIZE];
        int fd; /* -1: keep the socket there is */
        unsigned port;
    } * listeners;
    unsigned listeners_count;
};

/* Starts the thread; returns when its loop is ready. 0; -errno with reterr. worker is filled in
 * (index, engine, settings, control, log, local_limit) by the caller and outlives the thread. */
MUST_CHECK int worker_start(struct worker *worker, struct err *reterr);
/* Takes the publish; any thread. */
void worker_send_publish(struct worker *worker, struct worker_publish *publish);
/* Stops accepting; idle connections close, busy ones get `Connection: close`; at drain_ns all are
 * cut and the thread ends. Again: the new drain_ns counts. Any thread, until worker_join. */
void worker_send_drain(struct worker *worker, uint64_t drain_ns);
void worker_join(struct worker *worker);

/* For the data path. */
/* A client's connection was accepted. hold is for client_count_leave at its end. addr: the
 * client's, or NULL while only a PROXY header will tell it: then worker_take_proxy_header follows.
 * false: the refusal is counted and logged; close it. */
MUST_CHECK bool worker_admit(struct worker *worker, struct client_hold *hold,
                             const struct addr *addr);
/* Takes a PROXY header from what has come. addr: the peer's, and then the client's that it tells.
 * 1: the client is admitted; 0: more has to come; -EPROTO: this is no such header; -EACCES:
 * refused, counted and logged. After an error: close the connection. */
MUST_CHECK int worker_take_proxy_header(struct worker *worker, struct conn *conn,
                                        struct client_hold *hold, struct addr *addr);
void worker_listener_unref(struct worker_listener *listener);
/* The port a connection's listener has in the newest view; NULL: it is gone. */
const struct snapshot_port *worker_listener_port(const struct worker_listener *listener);

#endif
