/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_ENGINE_H
#define RINGGATE_IO_ENGINE_H

/* What a loop needs from the kernel, as operations on sockets, listeners and
 * watched descriptors. Implemented by io/uring.c, io/epoll.c and t/sim. Only
 * files of io/ include this.
 *
 * Events are delivered from dispatch only, never from inside an operation. An event may
 * close its own socket or any other. Descriptors of io_uring are blocking, those of epoll
 * need not be; synchronous calls use MSG_DONTWAIT. */

#include "io/loop.h"
#include "io/op.h"

#include <sys/uio.h>

struct addr;
struct engine;
struct sock;

enum sock_rx {
    SOCK_RX_OFF,
    SOCK_RX_DATA, /* the engine receives where it can: on_rx; else as READY */
    SOCK_RX_READY, /* the engine tells when there is something to receive: on_readable */
};

/* To the owner of a socket (the conn). */
struct sock_events {
    /* Bytes, borrowed for the call. May still come after rx OFF: what the kernel had taken
     * already. */
    void (*on_rx)(struct sock *sock, const uint8_t *data, size_t len);
    /* The peer closed its side (0) or receiving failed (-errno). Last receive event. */
    void (*on_rx_end)(struct sock *sock, int error);
    /* Receive now (ops->recv). true: it was drained (-EAGAIN or a short read); false: call again
     * in the next turn while receiving is on. */
    bool (*on_readable)(struct sock *sock);
    /* After send gave -EINPROGRESS: bytes taken or -errno. After a short send, or wait_writable:
     * 0, there is room. */
    void (*on_sent)(struct sock *sock, int res);
    void (*on_connected)(struct sock *sock, int error);
    /* After close gave false: nothing names the sock any more. */
    void (*on_released)(struct sock *sock);
};

/* The engine's part of a conn. Zeroed and filled by its owner up to fd; the rest is the engine's.
 */
struct sock {
    struct loop *loop;
    const struct sock_events *events;
    int fd;
    uint8_t rx_want, rx_armed; /* enum sock_rx */
    bool accepted : 1; /* a peer that speaks first is likely: arming polls before it receives */
    bool closing : 1, released : 1;
    bool connecting : 1;
    bool readable; /* readiness that was not used up */
    bool hup; /* the peer closed or failed: a short read does not mean drained */
    bool tx_blocked; /* epoll: no room at the last send */
    bool registered; /* epoll: known to the kernel */
    bool muted; /* epoll: registered for no arrivals */
    bool rx_over; /* on_rx_end was called */
    int16_t failed; /* epoll: -errno to be told by the next dispatch; link is in its list */
    struct op rx, tx;
    struct dlist link; /* engine.ready or the list of those that wait for a buffer */
};

/* A listening socket. */
struct listener {
    struct loop *loop;
    int fd;
    /* fd: a connected descriptor, or -errno; accepting goes on by itself except after -EMFILE,
     * -ENFILE, -ENOBUFS and -ENOMEM: then accept_start has to be called again. */
    void (*on_accept)(struct listener *listener, int fd);
    void (*on_released)(struct listener *listener); /* after accept_close */
    bool closing;
    struct op op;
};

struct engine_ops {
    const char *name;
    bool real; /* descriptors are the kernel's: splice works */
    void (*free)(struct engine *engine);
    /* Hands to the kernel what was asked for, as the next wait would; NULL: it has it already. */
    void (*submit)(struct engine *engine);
    /* Submits, waits at most wait_ns (0: does not) for events. */
    void (*wait)(struct engine *engine, uint64_t wait_ns);
    void (*dispatch)(struct engine *engine);
    /* Work is left that needs no waiting for. */
    bool (*is_ready)(const struct engine *engine);
    /* Fills the loop's clock; NULL: the real one. */
    void (*clock)(struct engine *engine, struct clock_cache *clock);

    /* Turns receiving on or off, or changes the mode. */
    void (*rx_set)(struct sock *sock, enum sock_rx rx);
    /* Without waiting: bytes, 0 at the end, -EAGAIN, -errno. */
    ssize_t (*recv)(struct sock *sock, void *data, size_t size);
    /* One at a time. iov is borrowed for the call, the bytes until on_sent. >= 0: bytes taken now,
     * and when fewer than asked for on_sent(0) follows; -EINPROGRESS: on_sent follows; else
     * -errno. count <= ENGINE_IOV_MAX. */
    ssize_t (*send)(struct sock *sock, const struct iovec *iov, int count);
    /* Without waiting, nothing follows: bytes taken (may be 0) or -errno. No send may be in
     * progress. */
    ssize_t (*send_now)(struct sock *sock, const struct iovec *iov, int count);
    /* on_sent(0) when there is room. No send may be in progress. */
    void (*wait_writable)(struct sock *sock);
    void (*shutdown)(struct sock *sock); /* our direction, after what was sent */
    /* A socket to connect with: descriptor or -errno. */
    int (*open)(struct engine *engine, int family);
    /* on_connected follows; addr lives until then. */
    void (*connect)(struct sock *sock, const struct addr *addr);
    /* Cancels everything and closes the descriptor, with a reset when asked. No event but
     * on_released follows. true: nothing names the sock any more. */
    bool (*close)(struct sock *sock, bool reset);

    void (*accept_start)(struct listener *listener);
    /* Stops accepting; on_accept still gets what the kernel had accepted (during the call as
     * well), then closes the descriptor. true: released at once. */
    bool (*accept_close)(struct listener *listener);

    int (*watch_start)(struct engine *engine, struct watch *watch);
    void (*watch_stop)(struct engine *engine, struct watch *watch);
};

#define ENGINE_IOV_MAX 16

struct engine {
    const struct engine_ops *ops;
    struct loop *loop;
    struct dlist ready; /* sock.link: readable, wanted and not drained */
};

/* Engines. reterr names what failed and the remedy. */
MUST_CHECK int uring_new(struct loop *loop, const struct loop_options *options, struct engine **ret,
                         struct err *reterr);
MUST_CHECK int epoll_new(struct loop *loop, const struct loop_options *options, struct engine **ret,
                         struct err *reterr);

/* Shared by the engines (io/engine.c). */
void engine_init(struct engine *engine, const struct engine_ops *ops, struct loop *loop);
/* Calls on_readable of those on the ready list, each once. */
void engine_run_ready(struct engine *engine);
/* The sock has something to receive: lists it when that is wanted. */
void engine_mark_readable(struct sock *sock, bool hup);
/* Reports the end of receiving once. */
void engine_end_rx(struct sock *sock, int error);
/* The operations that are the same system calls on every kernel engine. */
ssize_t engine_sys_recv(struct sock *sock, void *data, size_t size);
ssize_t engine_sys_send(struct sock *sock, const struct iovec *iov, int count);
void engine_sys_shutdown(struct sock *sock);
void engine_sys_reset(struct sock *sock); /* makes the coming close a reset */
/* Takes at most max connections of the backlog; -EAGAIN at its end, 0 at max, or the error. */
int engine_sys_accept(struct listener *listener, unsigned max);

#endif
