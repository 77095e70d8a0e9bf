/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/engine.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/panic.h"

void engine_init(struct engine *engine, const struct engine_ops *ops, struct loop *loop)
{
    engine->ops = ops;
    engine->loop = loop;
    dlist_init(&engine->ready);
}

void engine_run_ready(struct engine *engine)
{
    if (dlist_is_empty(&engine->ready))
        return;
    struct dlist batch;
    dlist_take(&batch, &engine->ready);
    struct dlist *link;
    /* A callback may close any sock of the batch: closing unlinks it. */
    while ((link = dlist_pop_front(&batch))) {
        struct sock *sock = dlist_entry(link, struct sock, link);
        ASSERT(!sock->closing);
        if (sock->rx_want == SOCK_RX_OFF || sock->rx_over)
            continue;
        sock->readable = false;
        uint8_t want = sock->rx_want;
        if (sock->events->on_readable(sock) || sock->closing || sock->rx_over)
            continue;
        sock->readable = true;
        if (sock->rx_want != want)
            engine->ops->rx_set(sock, sock->rx_want); /* the new mode learns of what is left */
        else if (want != SOCK_RX_OFF && !dlist_is_linked(&sock->link))
            dlist_push_back(&engine->ready, &sock->link);
    }
}

void engine_mark_readable(struct sock *sock, bool hup)
{
    sock->readable = true;
    sock->hup |= hup;
    if (sock->rx_want != SOCK_RX_OFF && !sock->rx_over && !dlist_is_linked(&sock->link))
        dlist_push_back(&sock->loop->engine->ready, &sock->link);
}

void engine_end_rx(struct sock *sock, int error)
{
    if (sock->rx_over)
        return;
    sock->rx_over = true;
    sock->rx_want = SOCK_RX_OFF;
    sock->events->on_rx_end(sock, error);
}

ssize_t engine_sys_recv(struct sock *sock, void *data, size_t size)
{
    ssize_t n;
    do {
        n = recv(sock->fd, data, size, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t engine_sys_send(struct sock *sock, const struct iovec *iov, int count)
{
    struct msghdr msg = {
        .msg_iov = (struct iovec *)(uintptr_t)iov,
        .msg_iovlen = (size_t)count,
    };
    ssize_t n;
    do {
        n = count == 1 ? send(sock->fd, iov->iov_base, iov->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
                       : sendmsg(sock->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? 0 : -errno;
    return n;
}

void engine_sys_shutdown(struct sock *sock)
{
    (void)shutdown(sock->fd, SHUT_WR); /* ENOTCONN: the peer reset it, which is told elsewhere */
}

void engine_sys_reset(struct sock *sock)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    /* Refused by no stream socket; a plain close is the fallback. */
    (void)setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

int engine_sys_accept(struct listener *listener, unsigned max)
{
    for (unsigned i = 0; i < max && !listener->closing; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
            continue;
        if (fd < 0)
            return -errno;
        listener->on_accept(listener, fd);
    }
    return 0;
}
