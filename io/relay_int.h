/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_RELAY_INT_H
#define RINGGATE_IO_RELAY_INT_H

/* The relay from inside, for relay.c, relay_splice.c and the loop's pool. */

#include "io/conn_int.h"
#include "io/relay.h"

/* One direction: what is read from `from` goes to `to`. */
struct relay_flow {
    struct relay *relay;
    struct conn *from, *to;
    uint64_t bytes;
    bool ended; /* from's end was passed on */
    bool spliced; /* raw has the place of from's receiving and to's sending */
    uint8_t full, small; /* receives in a row that were large; splices in a row that moved little */
    uint32_t recent_bytes, recent_count; /* of receives since bulk mode began */

    struct conn_raw raw;
    int pipe[2]; /* held while it holds bytes */
    uint32_t pipe_bytes;
};

struct relay {
    struct conn_owner a_owner, b_owner;
    struct relay_flow ab, ba;
    struct relay_owner *owner;
    struct loop *loop;
    struct loop_task task; /* the first pump, then the grave */
    struct timer timer;
    uint64_t idle_timeout_ns, active_ns, stop_at_ns; /* 0: none; of the last byte; 0: none */
    bool over;
};

/* relay_splice.c */
/* Counts a receive of len bytes and changes the mode of receiving, or to splicing, when the
 * flow looks like a large transfer. from's input is empty. */
void relay_splice_consider(struct relay_flow *flow, size_t len);
/* Back to copying. Bytes in the pipe are lost: only when it is empty or the relay is over. */
void relay_splice_leave(struct relay_flow *flow);

#endif
