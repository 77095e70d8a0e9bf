/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/uring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/panic.h"
#include "io/addr.h"
#include "io/sock.h"

/* Newer than the headers of Debian 12's liburing; values of the kernel's interface. */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
#define FEAT_NO_IOWAIT (1U << 17)
#define ENTER_REGISTERED (1U << 4)

#define SQ_ENTRIES 1024u
#define CQ_ENTRIES 8192u
#define RX_BUFFERS 256u
#define FEW 2u /* events of a turn */
#define SMALL 4096u /* bytes of a send */

_Static_assert(OP_BUFFER == IORING_CQE_F_BUFFER && OP_MORE == IORING_CQE_F_MORE,
               "op.h passes these on as they are");

static unsigned sq_flush(struct io_uring *ring)
{
    struct io_uring_sq *sq = &ring->sq;
    if (sq->sqe_head != sq->sqe_tail) {
        sq->sqe_head = sq->sqe_tail;
        __atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
    }
    return sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
}

static int ring_enter(struct uring *uring, unsigned submit, unsigned wait_nr, uint64_t wait_ns)
{
    struct __kernel_timespec ts = {
        .tv_sec = (long long)(wait_ns / NS_PER_S),
        .tv_nsec = (long long)(wait_ns % NS_PER_S),
    };
    struct io_uring_getevents_arg arg = {.ts = wait_nr ? (uint64_t)(uintptr_t)&ts : 0};
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (uring->reg_fd)
        flags |= ENTER_REGISTERED;
    if (uring->no_iowait)
        flags |= IORING_ENTER_NO_IOWAIT;
    long rc = syscall(__NR_io_uring_enter, uring->ring.enter_ring_fd, submit, wait_nr, flags, &arg,
                      sizeof(arg));
    return rc < 0 ? -errno : (int)rc;
}

static bool ring_has_work(const struct uring *uring)
{
    unsigned flags = __atomic_load_n(uring->ring.sq.kflags, __ATOMIC_RELAXED);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static void wait_for_events(struct engine *engine, uint64_t wait_ns)
{
    struct uring *uring = uring_of(engine);
    unsigned submit = sq_flush(&uring->ring);
    unsigned wait_nr = wait_ns > 0 && io_uring_cq_ready(&uring->ring) == 0 ? 1 : 0;
    if (submit == 0 && wait_nr == 0 && !ring_has_work(uring))
        return;
    for (;;) {
        int rc = ring_enter(uring, submit, wait_nr, wait_ns);
        if (rc < 0) {
            /* -ETIME: nothing came; -EINTR: a signal; -EBUSY, -EAGAIN: completions have to be
             * taken first, the rest is submitted in the next turn. Others are our mistake. */
            ASSERT(rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
            return;
        }
        submit = sq_flush(&uring->ring);
        if (submit == 0 || io_uring_cq_ready(&uring->ring) > 0)
            return;
    }
}

static void submit_now(struct engine *engine)
{
    struct uring *uring = uring_of(engine);
    unsigned count = sq_flush(&uring->ring);
    if (count > 0)
        (void)ring_enter(uring, count, 0, 0); /* what is left over goes with the next wait */
}

void uring_put_aside(struct uring *uring)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&uring->ring, &cqe) == 0 && cqe) {
        if (uring->aside_count == uring->aside_max) {
            uring->aside_max = MAX(uring->aside_max * 2, URING_BATCH);
            uring->aside = xrealloc(uring->aside, uring->aside_max * sizeof(*uring->aside));
        }
        uring->aside[uring->aside_count++] = *cqe;
        io_uring_cqe_seen(&uring->ring, cqe);
    }
}

/* Makes room for n submissions that must go together. */
static void sq_reserve(struct uring *uring, unsigned n)
{
    while (io_uring_sq_space_left(&uring->ring) < n) {
        int rc = ring_enter(uring, sq_flush(&uring->ring), 0, 0);
        if (rc == -EBUSY || rc == -EAGAIN)
            uring_put_aside(uring);
        else
            ASSERT(rc >= 0 || rc == -EINTR);
    }
}

struct io_uring_sqe *uring_sqe(struct uring *uring, struct op *op)
{
    sq_reserve(uring, 1);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    ASSERT(sqe);
    if (op) {
        ASSERT(!op->armed);
        op->armed = true;
        op->cancelling = false;
    }
    return sqe;
}

void uring_cancel(struct uring *uring, struct op *op)
{
    if (!op->armed || op->cancelling)
        return;
    op->cancelling = true;
    struct io_uring_sqe *sqe = uring_sqe(uring, NULL);
    io_uring_prep_cancel(sqe, op, 0);
    io_uring_sqe_set_data(sqe, NULL);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
}

static void dispatch_one(const struct io_uring_cqe *cqe)
{
    struct op *op = (struct op *)(uintptr_t)cqe->user_data;
    if (!op)
        return;
    ASSERT(op->armed);
    if (!(cqe->flags & IORING_CQE_F_MORE))
        op->armed = false;
    op->on_done(op, cqe->res, cqe->flags);
}

static void dispatch(struct engine *engine)
{
    struct uring *uring = uring_of(engine);
    struct io_uring_cqe *cqes[URING_BATCH];
    /* Only what is here now: submitting for want of room may add completions meanwhile. */
    unsigned left = io_uring_cq_ready(&uring->ring);
    uring->few = !uring->tx_ring && left <= FEW;
    for (unsigned i = 0; i < uring->aside_count; i++) {
        struct io_uring_cqe cqe = uring->aside[i]; /* the array may move */
        uring->aside[i].user_data = 0;
        dispatch_one(&cqe);
    }
    uring->aside_count = 0;
    while (left > 0) {
        unsigned n = io_uring_peek_batch_cqe(&uring->ring, cqes, MIN(left, URING_BATCH));
        if (n == 0)
            break;
        for (unsigned i = 0; i < n; i++)
            uring->batch[i] = *cqes[i];
        io_uring_cq_advance(&uring->ring, n);
        uring->batch_count = n;
        for (uring->batch_at = 0; uring->batch_at < n;)
            dispatch_one(&uring->batch[uring->batch_at++]);
        uring->batch_at = uring->batch_count = 0;
        left -= n;
    }
    if (uring->multishot)
        uring_rx_starved_run(uring);
}

static bool is_ready(const struct engine *engine)
{
    const struct uring *uring = container_of(engine, struct uring, engine);
    return !dlist_is_empty(&engine->ready) || uring->aside_count > 0 ||
           io_uring_cq_ready(&uring->ring) > 0;
}

void uring_sock_idle(struct sock *sock)
{
    /* Released already: closed from inside the last completion's callback. */
    if (!sock->closing || sock->released || sock->rx.armed || sock->tx.armed)
        return;
    sock->released = true;
    sock->events->on_released(sock);
}

static void on_sent(struct op *op, int res, uint32_t flags)
{
    (void)flags;
    struct sock *sock = container_of(op, struct sock, tx);
    if (sock->closing)
        uring_sock_idle(sock);
    else
        sock->events->on_sent(sock, res);
}

static void on_writable(struct op *op, int res, uint32_t flags)
{
    on_sent(op, MIN(res, 0), flags);
}

static void on_connected(struct op *op, int res, uint32_t flags)
{
    (void)flags;
    struct sock *sock = container_of(op, struct sock, tx);
    if (sock->closing)
        uring_sock_idle(sock);
    else
        sock->events->on_connected(sock, res);
}

static void wait_writable(struct sock *sock)
{
    ASSERT(!sock->closing);
    sock->tx.on_done = on_writable;
    struct io_uring_sqe *sqe = uring_sqe(uring_of(sock->loop->engine), &sock->tx);
    io_uring_prep_poll_add(sqe, sock->fd, POLLOUT);
    io_uring_sqe_set_data(sqe, &sock->tx);
}

static ssize_t send_now(struct sock *sock, const struct iovec *iov, int count)
{
    ASSERT(!sock->tx.armed);
    return engine_sys_send(sock, iov, count);
}

/* In a turn of few events a send through the ring saves nothing, and its completion ends the next
 * wait at once: a turn for nothing else. What may not fit the socket's buffer is better off in the
 * ring, where the kernel goes on with it by itself. */
static bool is_sent_alone(const struct uring *uring, size_t total)
{
    return uring->few && total <= SMALL;
}

static ssize_t send_alone(struct sock *sock, const struct iovec *iov, int count, size_t total)
{
    ssize_t n = engine_sys_send(sock, iov, count);
    if (n >= 0 && (size_t)n < total)
        wait_writable(sock);
    return n;
}

static ssize_t send_queued(struct sock *sock, const struct iovec *iov, int count)
{
    struct uring *uring = uring_of(sock->loop->engine);
    ASSERT(!sock->closing && !sock->tx.armed && count > 0 && count <= ENGINE_IOV_MAX);
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (is_sent_alone(uring, total))
        return send_alone(sock, iov, count, total);
    sock->tx.on_done = on_sent;
    struct io_uring_sqe *sqe = uring_sqe(uring, &sock->tx);
    const unsigned flags = MSG_NOSIGNAL | MSG_WAITALL;
    if (count == 1) {
        io_uring_prep_send(sqe, sock->fd, iov->iov_base, iov->iov_len, (int)flags);
    } else {
        /* The slot's own header: it is read when the slot is submitted. */
        size_t slot = (size_t)(sqe - uring->ring.sq.sqes);
        memcpy(uring->iovs[slot], iov, (size_t)count * sizeof(*iov));
        uring->msgs[slot] =
            (struct msghdr){.msg_iov = uring->iovs[slot], .msg_iovlen = (size_t)count};
        io_uring_prep_sendmsg(sqe, sock->fd, &uring->msgs[slot], flags);
    }
    io_uring_sqe_set_data(sqe, &sock->tx);
    return -EINPROGRESS;
}

static int open_socket(struct engine *engine, int family)
{
    (void)engine;
    return sock_open(family);
}

static void connect_to(struct sock *sock, const struct addr *addr)
{
    sock->tx.on_done = on_connected;
    struct io_uring_sqe *sqe = uring_sqe(uring_of(sock->loop->engine), &sock->tx);
    io_uring_prep_connect(sqe, sock->fd, &addr->sa, addr->len);
    io_uring_sqe_set_data(sqe, &sock->tx);
}

void uring_close_fd(struct uring *uring, int fd, bool cancel)
{
    sq_reserve(uring, 2);
    struct io_uring_sqe *sqe;
    if (cancel) {
        sqe = uring_sqe(uring, NULL);
        io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
        io_uring_sqe_set_data(sqe, NULL);
        sqe->flags = IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS;
    }
    sqe = uring_sqe(uring, NULL);
    io_uring_prep_close(sqe, fd);
    io_uring_sqe_set_data(sqe, NULL);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
}

static bool close_sock(struct sock *sock, bool reset)
{
    ASSERT(!sock->closing);
    sock->closing = true;
    dlist_remove(&sock->link);
    if (reset)
        engine_sys_reset(sock);
    bool armed = sock->rx.armed || sock->tx.armed;
    uring_close_fd(uring_of(sock->loop->engine), sock->fd, armed);
    sock->fd = -1;
    sock->released = !armed;
    return sock->released;
}

static void uring_free(struct engine *engine)
{
    struct uring *uring = uring_of(engine);
    if (uring->ring.ring_fd >= 0) {
        /* Descriptors whose closing was asked for in the last turn. */
        unsigned submit = sq_flush(&uring->ring);
        if (submit > 0)
            (void)ring_enter(uring, submit, 0, 0); /* the exit that follows ends the rest */
        io_uring_queue_exit(&uring->ring);
    }
    bufring_fini(&uring->bufring);
    free(uring->aside);
    free(uring->msgs);
    free(uring->iovs);
    free(uring);
}

static const struct engine_ops uring_ops = {
    .name = "io_uring",
    .real = true,
    .free = uring_free,
    .submit = submit_now,
    .wait = wait_for_events,
    .dispatch = dispatch,
    .is_ready = is_ready,
    .rx_set = uring_rx_set,
    .recv = engine_sys_recv,
    .send = send_queued,
    .send_now = send_now,
    .wait_writable = wait_writable,
    .shutdown = engine_sys_shutdown,
    .open = open_socket,
    .connect = connect_to,
    .close = close_sock,
    .accept_start = uring_accept_start,
    .accept_close = uring_accept_close,
    .watch_start = uring_watch_start,
    .watch_stop = uring_watch_stop,
};

/* Sets up a ring with the best flags the kernel takes; uring_restrict_and_enable must follow, after
 * all that is to be registered. */
static int ring_init(struct io_uring *ring, unsigned sq_entries, unsigned cq_entries)
{
    const unsigned base = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED;
    /* From what we want to what 5.19 has; a kernel says -EINVAL to flags that it does not know. */
    const unsigned ladder[] = {
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
            IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
            IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    };
    int rc = -EINVAL;
    for (size_t i = 0; i < ARRAY_COUNT(ladder) && rc == -EINVAL; i++) {
        struct io_uring_params params = {.flags = base | ladder[i], .cq_entries = cq_entries};
        rc = io_uring_queue_init_params(sq_entries, ring, &params);
        if (rc == 0 && !(params.features & IORING_FEAT_EXT_ARG)) {
            io_uring_queue_exit(ring);
            rc = -ENOTSUP;
        }
    }
    return rc;
}

/* Before 6.8 nothing bounds how long the kernel serves one busy multishot receive. The number alone
 * does not enable it: registering the buffers has to work as well. */
static bool kernel_is_fair(void)
{
    struct utsname name;
    if (uname(&name) < 0)
        return false;
    char *rest = NULL;
    unsigned long major = strtoul(name.release, &rest, 10);
    unsigned long minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
    return major > 6 || (major == 6 && minor >= 8);
}

int uring_new(struct loop *loop, const struct loop_options *options, struct engine **ret,
              struct err *reterr)
{
    struct uring *uring = calloc(1, sizeof(*uring));
    if (!uring)
        return err_set(reterr, -ENOMEM, "no memory for an io_uring engine");
    engine_init(&uring->engine, &uring_ops, loop);
    uring_rx_init(uring);
    uring->ring.ring_fd = -1;
    unsigned sq_entries = options->ring_entries ? options->ring_entries : SQ_ENTRIES;
    unsigned cq_entries = options->cq_entries ? options->cq_entries : CQ_ENTRIES;
    int rc = ring_init(&uring->ring, sq_entries, cq_entries);
    if (rc < 0) {
        uring->ring.ring_fd = -1;
        uring_free(&uring->engine);
        return err_set(reterr, rc, "io_uring_setup failed: %s%s", strerror(-rc),
                       rc == -ENOMEM ? " (raise LimitMEMLOCK, 1 MiB a worker)" : "");
    }
    uring->sq_entries = uring->ring.sq.ring_entries;
    uring->no_iowait = (uring->ring.features & FEAT_NO_IOWAIT) != 0;
    uring->msgs = calloc(uring->sq_entries, sizeof(*uring->msgs));
    uring->iovs = calloc(uring->sq_entries, sizeof(*uring->iovs));
    if (!uring->msgs || !uring->iovs) {
        uring_free(&uring->engine);
        return err_set(reterr, -ENOMEM, "no memory for an io_uring engine");
    }
    uring->tx_ring = options->tx_ring;
    uring->reg_fd = io_uring_register_ring_fd(&uring->ring) == 1;
    unsigned buffers = options->rx_buffers ? options->rx_buffers : RX_BUFFERS;
    uring->multishot = !options->rx_poll && kernel_is_fair() &&
                       bufring_init(&uring->bufring, uring->ring.ring_fd, buffers) == 0;
    rc = uring_restrict_and_enable(&uring->ring, &uring->restricted);
    if (rc < 0) {
        uring_free(&uring->engine);
        return err_set(reterr, rc, "an io_uring cannot be enabled: %s", strerror(-rc));
    }
    *ret = &uring->engine;
    return 0;
}
