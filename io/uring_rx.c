/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/uring.h"

#include <errno.h>
#include <poll.h>

#include "base/panic.h"

/* Receive modes of the io_uring engine.
 *
 * DATA   multishot receive into provided buffers: one submission, a completion per arrival.
 * READY  multishot poll; the owner receives by itself. Also what DATA becomes on kernels where the
 *        former is missing or unfair (see uring_probe).
 *
 * At most one of them is armed. A change cancels what is armed and goes on
 * when its last completion comes. An armed poll stays when receiving is turned off until it has
 * told of something (sock.readable keeps the edge): a short pause costs nothing, and in a long
 * one what arrives does not wake us again and again. */

/* Not in the headers of old liburing; values of the kernel's interface. */
#ifndef IORING_RECVSEND_POLL_FIRST
#define IORING_RECVSEND_POLL_FIRST (1U << 0)
#endif
#ifndef IORING_RECV_MULTISHOT
#define IORING_RECV_MULTISHOT (1U << 1)
#endif

#define DOUBT_NS (100 * NS_PER_MS)
#define DOUBT_BATCH 64u

static void rx_update(struct sock *sock);

/* A multishot receive goes by the bytes that are left and waits for the next wake-up when there are
 * none: a reset that came together with bytes is never told. Who had bytes is asked later, many in
 * one call; a receive that begins anew finds the error. */
static void on_doubt(struct timer *timer)
{
    struct uring *uring = container_of(timer, struct uring, doubt);
    struct pollfd fds[DOUBT_BATCH];
    struct sock *socks[DOUBT_BATCH];
    struct dlist batch, *link;
    dlist_take(&batch, &uring->doubted);
    while (!dlist_is_empty(&batch)) {
        nfds_t count = 0;
        while (count < DOUBT_BATCH && (link = dlist_pop_front(&batch)) != NULL) {
            socks[count] = container_of(link, struct sock, link);
            fds[count] = (struct pollfd){.fd = socks[count]->fd};
            count++;
        }
        if (poll(fds, count, 0) <= 0)
            continue;
        for (nfds_t i = 0; i < count; i++)
            if ((fds[i].revents & (POLLERR | POLLHUP)) && socks[i]->rx_armed == SOCK_RX_DATA)
                uring_cancel(uring, &socks[i]->rx);
    }
}

static void rx_doubt(struct uring *uring, struct sock *sock)
{
    if (dlist_is_linked(&sock->link))
        return;
    if (dlist_is_empty(&uring->doubted))
        loop_arm(sock->loop, &uring->doubt, DOUBT_NS);
    dlist_push_back(&uring->doubted, &sock->link);
}

void uring_rx_init(struct uring *uring)
{
    dlist_init(&uring->starved);
    dlist_init(&uring->doubted);
    timer_init(&uring->doubt, on_doubt);
}

static void on_poll(struct op *op, int res, uint32_t flags)
{
    struct sock *sock = container_of(op, struct sock, rx);
    if (!(flags & OP_MORE))
        sock->rx_armed = SOCK_RX_OFF;
    if (sock->closing) {
        uring_sock_idle(sock);
        return;
    }
    if (res > 0)
        engine_mark_readable(sock, ((unsigned)res & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
    else if (res < 0 && res != -ECANCELED)
        engine_end_rx(sock, res);
    if (!sock->closing)
        rx_update(sock);
}

static void on_recv(struct op *op, int res, uint32_t flags)
{
    struct sock *sock = container_of(op, struct sock, rx);
    struct uring *uring = uring_of(sock->loop->engine);
    if (!(flags & OP_MORE))
        sock->rx_armed = SOCK_RX_OFF;
    if (flags & OP_BUFFER) {
        unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
        uint8_t *data = bufring_take(&uring->bufring, id);
        if (res > 0 && !sock->closing && !sock->rx_over)
            sock->events->on_rx(sock, data, (size_t)res);
        bufring_return(&uring->bufring, id);
    }
    if (!sock->closing && res <= 0) {
        if (res == -ENOBUFS) {
            dlist_remove(&sock->link); /* in doubt */
            dlist_push_back(&uring->starved, &sock->link);
            return;
        }
        if (res != -ECANCELED)
            engine_end_rx(sock, res);
    }
    if (sock->closing) {
        uring_sock_idle(sock);
        return;
    }
    rx_update(sock);
    if (sock->rx_armed == SOCK_RX_DATA && sock->rx_want == SOCK_RX_DATA && res > 0)
        rx_doubt(uring, sock);
}

static void arm_poll(struct sock *sock)
{
    struct uring *uring = uring_of(sock->loop->engine);
    sock->rx.on_done = on_poll;
    sock->rx_armed = SOCK_RX_READY;
    struct io_uring_sqe *sqe = uring_sqe(uring, &sock->rx);
    io_uring_prep_poll_multishot(sqe, sock->fd, POLLIN | POLLRDHUP);
    io_uring_sqe_set_data(sqe, &sock->rx);
}

static void arm_recv(struct sock *sock)
{
    struct uring *uring = uring_of(sock->loop->engine);
    sock->rx.on_done = on_recv;
    sock->rx_armed = SOCK_RX_DATA;
    /* From here only the kernel receives: a receive of ours beside it would change the order. */
    sock->readable = false;
    dlist_remove(&sock->link);
    struct io_uring_sqe *sqe = uring_sqe(uring, &sock->rx);
    io_uring_prep_recv(sqe, sock->fd, NULL, 0, 0);
    sqe->ioprio = IORING_RECV_MULTISHOT;
    if (sock->accepted) {
        /* The request has hardly ever arrived with the connection. */
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
        sock->accepted = false;
    }
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFRING_GROUP;
    io_uring_sqe_set_data(sqe, &sock->rx);
}

static void rx_update(struct sock *sock)
{
    struct uring *uring = uring_of(sock->loop->engine);
    enum sock_rx want = sock->rx_want;
    if (want == SOCK_RX_DATA && !uring->multishot)
        want = SOCK_RX_READY;
    if (sock->rx_armed != SOCK_RX_OFF && sock->rx_armed != want &&
        !(sock->rx_armed == SOCK_RX_READY && want == SOCK_RX_OFF && !sock->readable)) {
        uring_cancel(uring, &sock->rx);
        return;
    }
    if (want == SOCK_RX_OFF || sock->rx_over)
        return;
    if (want == SOCK_RX_READY && sock->readable)
        engine_mark_readable(sock, false);
    if (sock->rx_armed != SOCK_RX_OFF)
        return;
    if (want == SOCK_RX_READY)
        arm_poll(sock);
    else
        arm_recv(sock);
}

void uring_rx_set(struct sock *sock, enum sock_rx rx)
{
    ASSERT(!sock->closing);
    sock->rx_want = (uint8_t)rx;
    if (rx != SOCK_RX_DATA || sock->rx_armed != SOCK_RX_DATA)
        dlist_remove(&sock->link); /* whatever list it is on: rx_update knows better */
    if (rx == SOCK_RX_DATA && uring_of(sock->loop->engine)->multishot)
        sock->readable = false; /* the receive finds out by itself */
    rx_update(sock);
}

void uring_rx_starved_run(struct uring *uring)
{
    /* Every buffer is back by now, also when this dispatch returned none (the shortage may have
     * been told in a later one). */
    bufring_publish(&uring->bufring);
    struct dlist batch, *link;
    dlist_take(&batch, &uring->starved);
    while ((link = dlist_pop_front(&batch)))
        rx_update(dlist_entry(link, struct sock, link));
}
