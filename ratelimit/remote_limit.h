/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_REMOTE_LIMIT_H
#define RINGGATE_RATELIMIT_REMOTE_LIMIT_H

/* Buckets in a shared Redis, as one worker sees them: one connection, one EVALSHA a
 * decision, a deadline for each, and a breaker.
 *
 * The breaker opens after 3 missed deadlines in a row, when at least half of 20
 * or more decisions within a second missed theirs, at once when the store says that it cannot
 * serve, and with the connection. While it is open nothing is asked but a probe (a real decision on
 * a bucket of its own, so a store that refuses writes does not pass) at delays of 100 to 400 ms;
 * one good answer in time closes it. A connection that is silent for ten deadlines is given up.
 *
 * A decision that was asked is never asked again after a loss (it might count twice), except that a
 * server without the script gets it by EVAL. One thread, that of the loop. */

#include "ratelimit/gcra.h"
#include "ratelimit/local_limit.h"
#include "ratelimit/redis_conn.h"
#include "ratelimit/remote_command.h"

struct remote_limit;

/* Embedded in the caller's object. After remote_limit_ask returned 0 it belongs to the remote limit
 * until on_release. Neither function is called before remote_limit_ask has returned. */
struct remote_call {
    /* Once: the decision, or NULL when the store failed or the deadline has passed. */
    void (*on_verdict)(struct remote_call *call, const struct gcra_verdict *verdict);
    /* Last: the object may go. *late: the answer, when one came after on_verdict(NULL); else NULL.
     */
    void (*on_release)(struct remote_call *call, const struct gcra_verdict *late);
    /* private */
    struct redis_call call;
    struct dlist wait_link; /* while the deadline has not passed */
    struct remote_limit *remote;
    const struct remote_command *command;
    uint64_t start_ns, start_turn; /* clock; loop.turns */
    bool is_give, is_retried;
    unsigned debit; /* of what passed before without asking: told with this question */
    struct local_limit_id id;
};

struct remote_limit_options {
    struct loop *loop;
    const struct model_store *store; /* borrowed until remote_limit_set_store */
    struct layer *(*make_tls)(void *user, const struct model_store *store);
    void *user;
    struct resolver *resolver; /* borrowed; NULL: stores given by name stay away */
};

/* Never NULL. A store whose endpoint cannot be used (see remote_limit_endpoint) is logged and stays
 * away. */
struct remote_limit *remote_limit_new(const struct remote_limit_options *options);
/* Calls in flight get on_verdict(NULL) and on_release from within. */
void remote_limit_free(struct remote_limit *remote);
/* The same store in a newer model. */
void remote_limit_set_store(struct remote_limit *remote, const struct model_store *store);

/* Where a store is. */
struct remote_endpoint {
    struct addr addr; /* when host is empty */
    struct span host; /* a name, borrowed from the text */
    uint16_t port; /* of host */
};
/* "HOST:PORT", "IP:PORT", "[IP]:PORT", "localhost:PORT" (127.0.0.1) or "unix:/PATH". 0; -EINVAL,
 * reterr says what to write instead. */
MUST_CHECK int remote_limit_endpoint(struct span text, struct remote_endpoint *ret,
                                     struct err *reterr);

/* A question now would be sent. */
bool remote_limit_is_available(const struct remote_limit *remote);
/* call->debit is set by the caller, below REMOTE_COMMAND_TAKE_MAX; without an answer it was not
 * told. command: of the limit, valid until on_release. 0; -EAGAIN: the store is away; -ENOBUFS: too
 * many questions wait. */
MUST_CHECK int remote_limit_ask(struct remote_limit *remote, struct remote_call *call,
                                const struct remote_command *command,
                                const struct local_limit_id *id);
/* Gives one request back to the bucket of a call that was released; of its functions only
 * on_release is called. Errors as above: then nothing is given back, which errs on the strict side.
 */
MUST_CHECK int remote_limit_give(struct remote_limit *remote, struct remote_call *call);

#endif
