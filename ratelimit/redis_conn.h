/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_REDIS_CONN_H
#define RINGGATE_RATELIMIT_REDIS_CONN_H

/* One connection to one Redis, kept up for ever: connects, shakes hands, pipelines calls
 * in order, and connects again with growing, jittered delay when it is lost. All calls
 * of a loop turn leave in one write (io/conn.h gathers them). It knows nothing of deadlines of
 * calls: whoever loses patience calls redis_conn_drop.
 *
 * The handshake is one pipeline: AUTH, SELECT, CLIENT SETNAME (may fail), ROLE (must be
 * master), SCRIPT LOAD. One thread, that of the loop. */

#include "io/conn.h"
#include "io/resolver.h"
#include "ratelimit/redis_fault.h"
#include "ratelimit/resp.h"

/* Calls waiting for a reply at most, the handshake's not counted. */
#define REDIS_CONN_CALLS_MAX 256u
#define REDIS_CONN_SHA_LEN 40u

/* Embedded in the caller's object, which lives until on_reply. */
struct redis_call {
    struct dlist link;
    /* From the loop, exactly once, in the order of the sends. reply: borrowed; NULL: the connection
     * was lost. */
    void (*on_reply)(struct redis_call *call, const struct resp_reply *reply);
};

struct redis_conn_options {
    struct loop *loop;
    struct addr addr; /* when host is empty */
    struct span host; /* copied; looked up before every attempt, addresses are tried in turn */
    uint16_t port; /* of host */
    struct resolver *resolver; /* of the loop, borrowed; may be NULL without host */
    struct span username, password; /* copied, zeroed at the end; both may be empty */
    struct span script; /* borrowed, static */
    unsigned eval_args; /* of an EVAL of the script, name included */
    uint32_t database;
    uint64_t connect_timeout_ns; /* for connecting, TLS and handshake together */
    /* A TLS layer for a new connection, or NULL when there is no memory. Function NULL: no TLS. */
    struct layer *(*make_tls)(void *user);
    void (*on_ready)(void *user);
    /* Not ready (any more); calls in flight get their on_reply(NULL) after it. detail: a static or
     * borrowed text, may be empty. */
    void (*on_down)(void *user, enum redis_fault fault, struct span detail);
    void *user;
};

struct redis_conn;
/* Starts to connect from the loop. Never NULL. */
struct redis_conn *redis_conn_new(const struct redis_conn_options *options);
/* Calls in flight get on_reply(NULL) from within; on_down is not called. */
void redis_conn_free(struct redis_conn *conn);

bool redis_conn_is_ready(const struct redis_conn *conn);
/* Appends a command, in two pieces that together are one RESP request (the first may be empty),
 * borrowed for the call. 0;
 * -EAGAIN: not ready; -ENOBUFS: too many calls wait. On failure the call stays the caller's. */
MUST_CHECK int redis_conn_send(struct redis_conn *conn, struct redis_call *call, struct span head,
                               struct span rest);
/* The head of an EVAL request of eval_args arguments, up to and including the script: what
 * follows is the same as after the digest of EVALSHA. */
struct span redis_conn_eval_head(const struct redis_conn *conn);
/* Sends SCRIPT LOAD unless one is on its way. */
void redis_conn_load_script(struct redis_conn *conn);
/* Hexadecimal SHA-1 of the script as the server named it; ready connections only. */
const char *redis_conn_sha(const struct redis_conn *conn);
/* Gives this connection up and connects again after a delay: calls on_down and the calls'
 * on_reply(NULL). Does nothing when it is down already. */
void redis_conn_drop(struct redis_conn *conn, enum redis_fault fault, struct span detail);
/* The connection has proved useful: the next delay is the shortest again. */
void redis_conn_confirm(struct redis_conn *conn);

#endif
