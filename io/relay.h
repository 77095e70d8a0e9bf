/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_RELAY_H
#define RINGGATE_IO_RELAY_H

/* Moves bytes between two open conns both ways until both sides ended: TCP
 * routes. Keeps half-closes, applies back pressure, and moves large
 * plain transfers with splice(2) through a pipe (pooled, up to 1 MiB), without
 * touching the bytes. */

#include "io/conn.h"

enum relay_end {
    RELAY_END_DONE, /* both sides closed in order */
    RELAY_END_A_RESET, /* a failed; conn_error_text was in `text` */
    RELAY_END_B_RESET,
    RELAY_END_IDLE, /* idle_timeout without a byte */
    RELAY_END_DEADLINE, /* relay_stop_at passed */
};

struct relay;
struct relay_owner {
    /* Both conns are gone (closed or failed); the relay is freed after the call. bytes:
     * application bytes from a to b, and from b to a. */
    void (*on_end)(struct relay_owner *owner, enum relay_end end, int error, uint64_t bytes_ab,
                   uint64_t bytes_ba);
};

/* Takes both conns (open; bytes they hold are moved first). idle_timeout_ns 0: none. NULL: no
 * memory, the conns stay the caller's. */
struct relay *relay_start(struct conn *a, struct conn *b, uint64_t idle_timeout_ns,
                          struct relay_owner *owner);
/* Ends it by then at the latest (drain). */
void relay_stop_at(struct relay *relay, uint64_t deadline_ns);

#endif
