/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/panic.h"
#include "io/addr.h"
#include "io/sock.h"

/* The epoll engine, for where io_uring is refused. A socket is registered
 * once, edge-triggered for both directions; what an edge announced is kept in
 * the sock until it is used up. Listeners and watches are level-triggered.
 * The address in an event carries what it is in its low bits. */

#define EVENTS 256
#define ACCEPT_BATCH 64u

enum { TAG_SOCK, TAG_LISTENER, TAG_WATCH, TAG_MASK = 3 };

struct epoll_watch {
    struct watch *watch; /* NULL: stopped; freed at the end of the turn */
    struct loop *loop;
    struct dlist link;
};

struct epoll {
    struct engine engine; /* first */
    int fd;
    int count; /* events to dispatch */
    struct dlist stopped; /* struct epoll_watch.link */
    struct dlist failed; /* sock.link: an operation failed at once and is told by dispatch */
    struct epoll_event events[EVENTS];
};

static struct epoll *epoll_of(struct engine *engine)
{
    return container_of(engine, struct epoll, engine);
}

static void wait_for_events(struct engine *engine, uint64_t wait_ns)
{
    struct epoll *epoll = epoll_of(engine);
    /* Rounded up: a timer that is not due yet would make the loop spin. */
    uint64_t wait_ms = (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
    epoll->count = epoll_wait(epoll->fd, epoll->events, EVENTS, (int)MIN(wait_ms, UINT64_C(60000)));
    if (epoll->count < 0) {
        ASSERT(errno == EINTR);
        epoll->count = 0;
    }
}

/* Which edges a registered sock is told of: all, or (muted) no arrivals. */
static void sock_interest(struct sock *sock, bool muted)
{
    if (sock->muted == muted)
        return;
    struct epoll_event event = {
        .events = (muted ? 0 : EPOLLIN | EPOLLRDHUP) | EPOLLOUT | EPOLLET,
        .data.u64 = (uintptr_t)sock | TAG_SOCK,
    };
    /* Fails only for want of memory, which a change does not need. */
    (void)epoll_ctl(epoll_of(sock->loop->engine)->fd, EPOLL_CTL_MOD, sock->fd, &event);
    sock->muted = muted;
}

static void sock_event(struct sock *sock, uint32_t events)
{
    if (sock->closing || sock->failed)
        return;
    if (sock->connecting) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        int error = 0;
        socklen_t len = sizeof(error);
        if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
            error = errno;
        if (error == 0 && !(events & EPOLLOUT))
            return;
        sock->connecting = false;
        sock->tx_blocked = false;
        sock->events->on_connected(sock, -error);
        if (sock->closing || error)
            return;
    }
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) && sock->tx_blocked) {
        sock->tx_blocked = false;
        if (sock->tx.armed) {
            sock->tx.armed = false;
            sock->events->on_sent(sock, 0);
        }
    }
    if (!sock->closing && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))) {
        engine_mark_readable(sock, (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0);
        /* Noted; what arrives until it is wanted again shall not wake us again and again. */
        if (sock->rx_want == SOCK_RX_OFF)
            sock_interest(sock, true);
    }
}

static void listener_event(struct listener *listener)
{
    if (listener->closing)
        return;
    int rc = engine_sys_accept(listener, ACCEPT_BATCH);
    if (rc == 0 || rc == -EAGAIN || listener->closing)
        return;
    /* Level-triggered: it would be told at once again. accept_start registers it anew. */
    struct epoll *epoll = epoll_of(listener->loop->engine);
    (void)epoll_ctl(epoll->fd, EPOLL_CTL_DEL, listener->fd, NULL);
    listener->op.armed = false;
    listener->on_accept(listener, rc);
}

static void dispatch_failed(struct epoll *epoll)
{
    struct dlist *link;
    while ((link = dlist_pop_front(&epoll->failed))) {
        struct sock *sock = dlist_entry(link, struct sock, link);
        if (sock->connecting) {
            sock->connecting = false;
            sock->events->on_connected(sock, sock->failed);
        } else {
            engine_end_rx(sock, sock->failed);
        }
    }
}

static void dispatch(struct engine *engine)
{
    struct epoll *epoll = epoll_of(engine);
    dispatch_failed(epoll);
    for (int i = 0; i < epoll->count; i++) {
        uint32_t events = epoll->events[i].events;
        uintptr_t tagged = (uintptr_t)epoll->events[i].data.u64;
        void *object = (void *)(tagged & ~(uintptr_t)TAG_MASK);
        switch (tagged & TAG_MASK) {
        case TAG_SOCK:
            sock_event(object, events);
            break;
        case TAG_LISTENER:
            listener_event(object);
            break;
        default: {
            struct watch *watch = ((struct epoll_watch *)object)->watch;
            if (watch) /* else stopped by an earlier event of this batch */
                watch->on_ready(watch, events);
        }
        }
    }
    epoll->count = 0;
    struct dlist *link;
    while ((link = dlist_pop_front(&epoll->stopped)))
        free(dlist_entry(link, struct epoll_watch, link));
}

static bool is_ready(const struct engine *engine)
{
    const struct epoll *epoll = container_of(engine, struct epoll, engine);
    return epoll->count > 0 || !dlist_is_empty(&engine->ready) || !dlist_is_empty(&epoll->failed);
}

static int sock_register(struct sock *sock)
{
    if (sock->registered)
        return 0;
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.u64 = (uintptr_t)sock | TAG_SOCK,
    };
    if (epoll_ctl(epoll_of(sock->loop->engine)->fd, EPOLL_CTL_ADD, sock->fd, &event) < 0)
        return -errno;
    sock->registered = true;
    return 0;
}

static void sock_fail(struct sock *sock, int error)
{
    sock->failed = error;
    dlist_remove(&sock->link);
    dlist_push_back(&epoll_of(sock->loop->engine)->failed, &sock->link);
}

static void sock_register_or_fail(struct sock *sock)
{
    int rc = sock_register(sock);
    if (rc < 0)
        sock_fail(sock, rc);
}

static void rx_set(struct sock *sock, enum sock_rx rx)
{
    ASSERT(!sock->closing);
    sock->rx_want = (uint8_t)rx;
    if (sock->failed)
        return;
    if (rx == SOCK_RX_OFF) {
        dlist_remove(&sock->link);
        return;
    }
    sock_register_or_fail(sock);
    if (sock->failed)
        return;
    sock_interest(sock, false);
    if (sock->readable)
        engine_mark_readable(sock, false);
}

static ssize_t send_now(struct sock *sock, const struct iovec *iov, int count)
{
    if (sock->tx_blocked)
        return 0;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    ssize_t n = engine_sys_send(sock, iov, count);
    /* The kernel promises an edge for a short send. */
    if (n >= 0 && (size_t)n < total) {
        int rc = sock_register(sock);
        if (rc < 0)
            return rc;
        sock->tx_blocked = true;
    }
    return n;
}

/* tx.armed: on_sent(0) is owed. */
static ssize_t send_queued(struct sock *sock, const struct iovec *iov, int count)
{
    ASSERT(!sock->closing && !sock->tx.armed);
    ssize_t n = send_now(sock, iov, count);
    if (n >= 0 && sock->tx_blocked)
        sock->tx.armed = true;
    return n;
}

static void wait_writable(struct sock *sock)
{
    ASSERT(!sock->closing && !sock->tx.armed);
    sock_register_or_fail(sock);
    sock->tx_blocked = true;
    sock->tx.armed = true;
}

static int open_socket(struct engine *engine, int family)
{
    (void)engine;
    int fd = sock_open(family);
    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* connect must not block; cannot fail on a socket */
    return fd;
}

static void connect_to(struct sock *sock, const struct addr *addr)
{
    sock->connecting = true;
    sock->tx_blocked = true;
    if (connect(sock->fd, &addr->sa, addr->len) < 0 && errno != EINPROGRESS)
        sock_fail(sock, -errno);
    else
        sock_register_or_fail(sock);
}

static bool close_sock(struct sock *sock, bool reset)
{
    ASSERT(!sock->closing);
    sock->closing = true;
    sock->tx.armed = false;
    dlist_remove(&sock->link);
    if (reset)
        engine_sys_reset(sock);
    (void)close(sock->fd); /* the descriptor is gone whatever it returns */
    sock->fd = -1;
    return true;
}

static void accept_start(struct listener *listener)
{
    if (listener->op.armed)
        return;
    int flags = fcntl(listener->fd, F_GETFL);
    (void)fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK);
    struct epoll_event event = {
        .events = EPOLLIN,
        .data.u64 = (uintptr_t)listener | TAG_LISTENER,
    };
    struct epoll *epoll = epoll_of(listener->loop->engine);
    listener->op.armed = epoll_ctl(epoll->fd, EPOLL_CTL_ADD, listener->fd, &event) == 0;
}

static bool accept_close(struct listener *listener)
{
    int flags = fcntl(listener->fd, F_GETFL);
    (void)fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK);
    (void)engine_sys_accept(listener, 65536); /* its end is the aim, whichever error it is */
    listener->closing = true;
    listener->op.armed = false;
    (void)close(listener->fd);
    listener->fd = -1;
    return true;
}

static int watch_begin(struct engine *engine, struct watch *watch)
{
    struct epoll_watch *state = calloc(1, sizeof(*state));
    if (!state)
        return -ENOMEM;
    state->watch = watch;
    dlist_init(&state->link);
    /* POLLIN, POLLOUT and the others have the same values. */
    struct epoll_event event = {
        .events = watch->events,
        .data.u64 = (uintptr_t)state | TAG_WATCH,
    };
    if (epoll_ctl(epoll_of(engine)->fd, EPOLL_CTL_ADD, watch->fd, &event) < 0) {
        int rc = -errno;
        free(state);
        return rc;
    }
    watch->engine_state = state;
    return 0;
}

static void watch_end(struct engine *engine, struct watch *watch)
{
    struct epoll *epoll = epoll_of(engine);
    struct epoll_watch *state = watch->engine_state;
    (void)epoll_ctl(epoll->fd, EPOLL_CTL_DEL, watch->fd, NULL); /* closed already: not there */
    state->watch = NULL;
    dlist_push_back(&epoll->stopped, &state->link);
}

static void epoll_free(struct engine *engine)
{
    struct epoll *epoll = epoll_of(engine);
    struct dlist *link;
    while ((link = dlist_pop_front(&epoll->stopped)))
        free(dlist_entry(link, struct epoll_watch, link));
    if (epoll->fd >= 0)
        (void)close(epoll->fd);
    free(epoll);
}

static const struct engine_ops epoll_ops = {
    .name = "epoll",
    .real = true,
    .free = epoll_free,
    .wait = wait_for_events,
    .dispatch = dispatch,
    .is_ready = is_ready,
    .rx_set = rx_set,
    .recv = engine_sys_recv,
    .send = send_queued,
    .send_now = send_now,
    .wait_writable = wait_writable,
    .shutdown = engine_sys_shutdown,
    .open = open_socket,
    .connect = connect_to,
    .close = close_sock,
    .accept_start = accept_start,
    .accept_close = accept_close,
    .watch_start = watch_begin,
    .watch_stop = watch_end,
};

int epoll_new(struct loop *loop, const struct loop_options *options, struct engine **ret,
              struct err *reterr)
{
    (void)options;
    struct epoll *epoll = calloc(1, sizeof(*epoll));
    if (!epoll)
        return err_set(reterr, -ENOMEM, "no memory for an epoll engine");
    engine_init(&epoll->engine, &epoll_ops, loop);
    dlist_init(&epoll->stopped);
    dlist_init(&epoll->failed);
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->fd < 0) {
        int rc = -errno;
        epoll_free(&epoll->engine);
        return err_set(reterr, rc, "epoll_create1 failed: %s", strerror(-rc));
    }
    *ret = &epoll->engine;
    return 0;
}
