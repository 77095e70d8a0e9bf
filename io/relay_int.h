/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_RELAY_INT_H
#define RINGGATE_IO_RELAY_INT_H

/* The relay from inside, for relay.c, relay_splice.c and the loop's pool. */

#include "io/conn_int.h"
#include "io/relay.h"

struct relay;

/* One direction: what is read from `from` goes to `to`. */
struct relay_flow {
    struct relay *relay;
    struct conn *from, *to; /* NULL: gone */
    uint64_t bytes;
    bool ended; /* from sent its end and it was passed on */
};

struct relay {
    struct conn_owner a_owner, b_owner;
    struct relay_flow ab, ba;
    struct relay_owner *owner;
    struct timer timer;
    uint64_t idle_timeout_ns, active_ns, stop_at_ns; /* 0: none; of the last byte; 0: none */
    struct loop *loop;
};

#endif
