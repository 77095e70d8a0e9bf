/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_URING_H
#define RINGGATE_IO_URING_H

/* The io_uring engine: one ring a loop, made and used by the loop's thread
 * only (SINGLE_ISSUER, DEFER_TASKRUN). Submissions gather during a turn and go
 * to the kernel in the one call that also waits; small sends of a turn that has
 * next to nothing to gather are made at once. For the files uring*.c and
 * loop_engine.c. */

#include "io/bufring.h"
#include "io/engine.h"

#include <liburing.h>

struct uring_watch;

#define URING_BATCH 128u

struct uring {
    struct engine engine; /* first */
    struct io_uring ring;
    struct bufring bufring;
    struct dlist starved; /* sock.link: receive ended for want of a buffer */
    struct dlist doubted; /* sock.link: receiving, a reset may have been missed */
    struct timer doubt;
    bool multishot; /* receive with provided buffers works here */
    bool reg_fd; /* the ring's descriptor is registered */
    bool no_iowait;
    bool tx_ring; /* an option: small sends go through the ring in every turn */
    bool few; /* this turn has hardly any event */
    bool restricted;
    unsigned sq_entries;
    struct msghdr *msgs; /* by submission slot: live until it is submitted */
    struct iovec (*iovs)[ENGINE_IOV_MAX];
    /* Completions put aside when the submission queue had to be emptied into a full completion
     * queue. */
    struct io_uring_cqe *aside;
    unsigned aside_count, aside_max;
    /* Completions being dispatched: copies, so that the ring has room meanwhile. */
    struct io_uring_cqe batch[URING_BATCH];
    unsigned batch_at, batch_count;
};

static inline struct uring *uring_of(struct engine *engine)
{
    return container_of(engine, struct uring, engine);
}

/* An empty submission for op (NULL: its completion interests nobody). Never NULL. */
struct io_uring_sqe *uring_sqe(struct uring *uring, struct op *op);
/* Submits the cancellation of an armed op, once per arming. */
void uring_cancel(struct uring *uring, struct op *op);
/* Called when a sock's op had its last completion. */
void uring_sock_idle(struct sock *sock);

/* Cancels whatever the kernel has of fd, when there may be anything, and closes it, in one
 * submission: an armed operation would keep the file open and the peer would see no end. */
void uring_close_fd(struct uring *uring, int fd, bool cancel);
/* Moves what is in the completion queue to uring.aside, which is dispatched first. */
void uring_put_aside(struct uring *uring);

/* uring_accept.c and uring_watch.c: see engine_ops. */
void uring_accept_start(struct listener *listener);
bool uring_accept_close(struct listener *listener);
int uring_watch_start(struct engine *engine, struct watch *watch);
void uring_watch_stop(struct engine *engine, struct watch *watch);

/* uring_restrict.c: the ring takes from now on only what this engine does; without restrictions
 * where the kernel has none or they were turned off. 0; -errno: it cannot be used. */
MUST_CHECK int uring_restrict_and_enable(const struct io_uring *ring, bool *ret_restricted);
/* For all rings that are made later; at the start, before other threads. */
void uring_restrict_off(void);

/* uring_rx.c */
void uring_rx_init(struct uring *uring);
void uring_rx_set(struct sock *sock, enum sock_rx rx);
void uring_rx_starved_run(struct uring *uring);

#endif
