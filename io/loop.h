/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_LOOP_H
#define RINGGATE_IO_LOOP_H

/* The event loop of one thread: engine, timers, time, memory and the lists of
 * work to do before the next wait. Everything that lives on a loop is touched
 * by its thread only; other threads use io/mailbox.h.
 *
 * One turn: submit and wait (engine), dispatch completions, fire due timers,
 * run deferred work, flush connections that were written to, run some slow work. Callbacks of
 * conns, acceptors and watches run only from a turn, never inside the call that started the
 * operation. */

#include "base/clock.h"
#include "base/dlist.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/wheel.h"
#include "io/block.h"

struct engine; /* io/engine.h: io_uring, epoll or simulated */

enum loop_engine { LOOP_ENGINE_AUTO, LOOP_ENGINE_URING, LOOP_ENGINE_EPOLL };

struct loop_options {
    enum loop_engine engine; /* resolved, that is not AUTO: see loop_engine_choose */
    unsigned conns_max; /* connections of this loop, both directions */
    unsigned blocks_max; /* 16 KiB blocks, 0: 4 * 1024 (64 MiB) */
    unsigned rx_buffers; /* provided 4 KiB receive buffers (io_uring), 0: 256 */
    uint64_t seed; /* of rand; 0: from the kernel */
    /* io_uring queue sizes, 0: 1024 and 8192; small ones for tests */
    unsigned ring_entries, cq_entries;
    /* io_uring: receive by readiness, as on kernels where the better way is missing. */
    bool rx_poll;
    /* io_uring: small sends through the ring also when a turn has few events; for tests. */
    bool tx_ring;
};

/* Work put off to the end of the current turn (or the next one when added by such work). */
struct loop_task {
    struct dlist link; /* dlist_init before first use */
    void (*run)(struct loop_task *task);
};

struct loop {
    struct clock_cache clock; /* as of this turn's wake-up */
    struct wheel wheel;
    struct rand_state rand;
    struct block_pool *blocks;
    struct engine *engine;
    struct dlist tasks; /* struct loop_task.link */
    struct dlist slow; /* struct loop_task.link: see loop_defer_slow */
    uint64_t slow_next_ns, slow_window_ns; /* end and length of the window after the last of it */
    struct dlist flush; /* conns with bytes to send, struct conn.flush_link */
    struct dlist graves; /* struct loop_task.link: memory that can go at the end of the turn */
    struct dlist all; /* every conn, struct conn.all_link */
    struct loop_pools *pools; /* io/loop_int.h */
    unsigned conns, conns_max; /* alive now; cap */
    unsigned holds; /* acceptors and others whose memory the kernel may still name */
    bool stopping;
    uint64_t turns;
    /* 64 KiB of scratch for one callback's duration (receive, TLS, heads): never kept. */
    uint8_t *scratch_rx, *scratch_tls;
};
#define LOOP_SCRATCH_SIZE 65536u

/* Chooses an engine for `wish` and says why, one line for the start-up report, such as "io_uring
 * (kernel 6.18; multishot accept, receive)" or "epoll (io_uring_setup: EPERM, refused by seccomp;
 * see README)". Probes by really setting up a ring and moving bytes through it. 0; -ENOTSUP when
 * URING is demanded but cannot be had (reason says why and the remedy). Start-up, any thread. */
MUST_CHECK int loop_engine_choose(enum loop_engine wish, enum loop_engine *ret, char *reason,
                                  size_t reason_size);

/* For tests: a loop on an engine of their own (t/sim). make gets what loop_new was given. */
typedef int loop_engine_fn(struct loop *loop, const struct loop_options *options,
                           struct engine **ret, struct err *reterr);
MUST_CHECK int loop_new_with_engine(struct loop **ret, const struct loop_options *options,
                                    loop_engine_fn *make, struct err *reterr);

/* In the thread that will run it. Makes the process ignore SIGPIPE. 0; -ENOMEM and what the
 * engine's set-up gives. */
MUST_CHECK int loop_new(struct loop **ret, const struct loop_options *options, struct err *reterr);
/* Owners must have let go of all conns, acceptors and watches; resets what still closes and runs
 * turns until the kernel has let go of all. */
void loop_free(struct loop *loop);
/* Turns until loop_stop. */
void loop_run(struct loop *loop);
/* One turn; waits at most wait_max_ns for something to happen. */
void loop_turn(struct loop *loop, uint64_t wait_max_ns);
void loop_stop(struct loop *loop);
/* Runs task at the end of this turn. Does nothing when it is queued already. */
void loop_defer(struct loop *loop, struct loop_task *task);
/* For work that keeps the processor, such as a signature: runs task once the output of a turn is on
 * its way. Tasks run in the order in which they were deferred, in a turn for LOOP_SLOW_NS and at
 * least one of them; when that took longer than twice this time, others have the loop for as long,
 * unless they have nothing to do. Does nothing when it is queued already. */
void loop_defer_slow(struct loop *loop, struct loop_task *task);
#define LOOP_SLOW_NS (NS_PER_MS / 2)
void loop_cancel(struct loop_task *task); /* deferred in either way */

static inline void loop_arm(struct loop *loop, struct timer *timer, uint64_t after_ns)
{
    wheel_arm(&loop->wheel, timer, loop->clock.mono_ns + after_ns);
}

static inline void loop_disarm(struct loop *loop, struct timer *timer)
{
    wheel_stop(&loop->wheel, timer);
}

/* Readiness of a descriptor that is not a conn: eventfd, inotify, c-ares, signalfd.
 * Level-triggered as seen by the callback: it is called again while the descriptor stays ready.
 * The descriptor is borrowed. */
struct watch {
    struct loop *loop;
    int fd;
    unsigned events; /* POLLIN | POLLOUT */
    void (*on_ready)(struct watch *watch, unsigned revents);
    void *engine_state; /* private to the engine */
};
MUST_CHECK int watch_start(struct watch *watch, struct loop *loop, int fd, unsigned events,
                           void (*on_ready)(struct watch *, unsigned revents));
/* After it returns on_ready is not called again; fd may be closed and the watch freed. */
void watch_stop(struct watch *watch);

#endif
