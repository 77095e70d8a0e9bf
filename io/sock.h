/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_SOCK_H
#define RINGGATE_IO_SOCK_H

/* Making sockets. Any thread. */

#include "base/err.h"
#include "io/addr.h"

/* A blocking stream socket to connect from, with the options of every conn (no delay, keep-alive,
 * user timeout on TCP). The descriptor or -errno. */
MUST_CHECK int sock_open(int family);

/* Whether the kernel knows that congestion control. 0, also when it cannot be asked; -EINVAL with
 * reterr. */
MUST_CHECK int sock_check_congestion(const char *name, struct err *reterr);

struct acceptor_options;
MUST_CHECK int sock_listen(const struct addr *addr, const struct acceptor_options *options,
                           struct err *reterr);

#endif
