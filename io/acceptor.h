/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_ACCEPTOR_H
#define RINGGATE_IO_ACCEPTOR_H

/* Accepts connections of one listening socket on one loop. Survives running
 * out of descriptors (backs off 100 ms and goes on) and refuses above the loop's
 * conns_max by accepting and closing, so the backlog does not fill with dead ones. */

#include "io/conn.h"

struct acceptor;

/* conn: not started, no owner yet; the callee sets one and starts it, or closes it. */
typedef void acceptor_fn(struct acceptor *acceptor, struct conn *conn, void *user);

struct acceptor_options {
    bool reuse_port; /* one socket a worker for the same address */
    bool v6_only;
    int backlog; /* 0: 4096 */
    const char *congestion; /* TCP congestion control, NULL: the system's */
};

/* A listening TCP (or Unix) socket with the options that accepted sockets inherit (TCP_NODELAY,
 * keep-alive, user timeout). Any thread. Returns the descriptor or -errno (reterr names address
 * and remedy: EADDRINUSE, EACCES for ports below 1024, EADDRNOTAVAIL). */
MUST_CHECK int acceptor_listen(const struct addr *addr, const struct acceptor_options *options,
                               struct err *reterr);
/* Starts accepting. fd is owned by the acceptor from now on. NULL: no memory. */
struct acceptor *acceptor_start(struct loop *loop, int fd, acceptor_fn *fn, void *user);
/* Stops accepting, takes what the backlog holds (through fn), closes the socket, frees the
 * acceptor when the kernel has let go. fn is not called after it returns. */
void acceptor_stop(struct acceptor *acceptor);
int acceptor_fd(const struct acceptor *acceptor);

#endif
