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

static void rx_update(struct sock *sock);

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
            if (!dlist_is_linked(&sock->link))
                dlist_push_back(&uring->starved, &sock->link);
            return;
        }
        if (res != -ECANCELED)
            engine_end_rx(sock, res);
    }
    if (sock->closing)
        uring_sock_idle(sock);
    else
        rx_update(sock);
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
    dlist_remove(&sock->link); /* the ready list or the starved one: rx_update knows better */
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
