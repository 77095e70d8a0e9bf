/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_CONN_H
#define RINGGATE_IO_CONN_H

/* A byte-stream connection: a socket, the layers over it, and an owner that is
 * told of what happens. Born from an acceptor or by conn_dial; memory is freed
 * by the loop when the kernel has let go of every operation.
 *
 * Input is a window: on_data says that conn_input() holds new bytes; the owner
 * looks at them and calls conn_consume() for what it has dealt with, inside the
 * callback or later. What is left is kept by the conn (copied to blocks) and
 * nothing more is received until it is consumed, so an owner that waits is back
 * pressure. At most input_max bytes are kept: an owner that needs more in one piece is told
 * by conn_input_is_full().
 *
 * Output never blocks and is never short: conn_write takes everything. Small pieces are
 * gathered, go through the layers together and leave at the end of the loop turn's
 * callbacks; large ones are sent at once from the caller's memory as far as the socket takes
 * them, and the rest is copied. The owner stops writing when conn_is_congested(), until
 * on_drain. A conn whose output makes no progress for write_timeout fails.
 *
 * An idle conn owns no buffer. */

#include "io/addr.h"
#include "io/layer.h"
#include "io/loop.h"

#define CONN_HIGH_WATER 65536u /* bytes queued: congested */
#define CONN_LOW_WATER 16384u /* bytes queued: on_drain after congestion */

struct conn_owner;

struct conn_owner_ops {
    const char *name;
    /* Dialled conns, and conns with layers that shake hands: ready to read and write. Exactly one
     * of on_open and on_close is the first callback of such a conn. Never called for a conn that
     * was open when the owner got it. May be NULL. */
    void (*on_open)(struct conn_owner *owner, struct conn *conn);
    /* New bytes in conn_input(). Also called after conn_resume_input when bytes are kept. */
    void (*on_data)(struct conn_owner *owner, struct conn *conn);
    /* The peer closed its side; conn_input() may still hold bytes. Once. */
    void (*on_end)(struct conn_owner *owner, struct conn *conn);
    /* Output fell below the low mark after congestion. May be NULL. */
    void (*on_drain)(struct conn_owner *owner, struct conn *conn);
    /* The deadline set with conn_set_deadline passed. May be NULL when none is ever set. */
    void (*on_timeout)(struct conn_owner *owner, struct conn *conn);
    /* The conn failed: error is a negative errno (-ECONNRESET, -EPIPE, -ETIMEDOUT for the write
     * timeout, -ECONNREFUSED, -EPROTO for TLS: see conn_error_text). Last callback; the owner is
     * detached and must not use the conn again (no conn_close). */
    void (*on_close)(struct conn_owner *owner, struct conn *conn, int error);
};

/* Embedded in the object that owns the conn. */
struct conn_owner {
    const struct conn_owner_ops *ops;
};

enum conn_rx_mode {
    CONN_RX_INTERACTIVE, /* small messages: multishot receive where there is one */
    CONN_RX_BULK, /* large transfers: one large receive at a time */
};

/* Takes an accepted, connected descriptor (owned from now on, also on failure). Not receiving yet:
 * the owner may push layers; then conn_start. NULL: at the loop's cap or no memory (then fd is
 * closed). */
struct conn *conn_new(struct loop *loop, int fd);
void conn_set_owner(struct conn *conn, struct conn_owner *owner); /* owner: not NULL */
/* Begins to receive; opens layers, then on_open if there is any layer. */
void conn_start(struct conn *conn);

/* Connects. Layers may be pushed before the loop turns again. on_open or on_close follows, from a
 * later callback. timeout_ns covers connecting and the layers' handshakes. Returns NULL and sets
 * *ret_error only when nothing was started: -EMFILE (also at the loop's cap), -ENOMEM ... */
struct conn *conn_dial(struct loop *loop, const struct addr *peer, uint64_t timeout_ns,
                       struct conn_owner *owner, int *ret_error);

/* The conn owns the layer from now on. Before conn_start / on_open, or between messages of an open
 * conn (then the layer's on_open is called at once). */
void conn_push_layer(struct conn *conn, struct layer *layer);
/* The top layer with these ops, or NULL. */
struct layer *conn_find_layer(const struct conn *conn, const struct layer_ops *ops);

/* All bytes that are here, in one piece. Valid until conn_consume, or the callback's return. */
struct span conn_input(const struct conn *conn);
void conn_consume(struct conn *conn, size_t n);
/* As much is kept as ever will be (32 KiB + one receive). */
bool conn_input_is_full(const struct conn *conn);
/* While paused no on_data comes and, once a receive's worth is kept, nothing is received. */
void conn_pause_input(struct conn *conn);
/* Calls on_data from the loop if bytes are kept. Not paused: does nothing. */
void conn_resume_input(struct conn *conn);
/* The peer has closed its side and nothing is left to read. */
bool conn_is_ended(const struct conn *conn);
/* Until the first call the mode follows the sizes of what arrives. */
void conn_set_rx_mode(struct conn *conn, enum conn_rx_mode mode);

/* Takes all bytes, borrowed for the call. 0; -EPIPE, -ENOBUFS (no block: the conn fails) ...:
 * on_close follows from the loop. count <= 8. Bytes written before a dialled conn is open are an
 * error (-ENOTCONN). */
MUST_CHECK int conn_write(struct conn *conn, const struct iovec *iov, int count);
MUST_CHECK int conn_write_span(struct conn *conn, struct span data);
/* Room to build output in place: at least size bytes (size <= BLOCK_SIZE), contiguous; NULL: no
 * block. Must be followed by conn_commit before any other write. */
uint8_t *conn_reserve(struct conn *conn, size_t size);
MUST_CHECK int conn_commit(struct conn *conn, size_t size);
size_t conn_queued(const struct conn *conn); /* bytes not yet taken by the kernel */
static inline bool conn_is_congested(const struct conn *conn)
{
    return conn_queued(conn) >= CONN_HIGH_WATER;
}
/* Sends what has passed the layers now rather than at the end of the turn. Rarely needed. */
void conn_flush(struct conn *conn);
/* Half-close: no more writes from us; what is queued is sent first. */
void conn_shutdown(struct conn *conn);

/* One deadline a conn, replaced by each call; 0 disarms. Absolute, monotonic. Lazy and cheap to
 * move later. */
void conn_set_deadline(struct conn *conn, uint64_t deadline_ns);
void conn_set_write_timeout(struct conn *conn, uint64_t timeout_ns); /* default 30 s */

/* Lets go of the conn: no callback comes any more. Sends what is queued, shuts down, and when
 * `linger`, discards what the peer still sends (at most 64 KiB or 1 s) so that the peer can read
 * the answer. */
void conn_close(struct conn *conn, bool linger);
/* The same at once, with a reset. */
void conn_abort(struct conn *conn);
/* For layers and for the conn itself: the connection is of no use. text (static) is kept for
 * conn_error_text; on_close(error) follows from the loop. The first call wins. */
void conn_fail(struct conn *conn, int error, const char *text);
/* It was closed or has failed: deferred work of a layer has nothing to do any more. */
bool conn_is_over(const struct conn *conn);
const char *conn_error_text(const struct conn *conn); /* "" when none; also during on_close */

struct loop *conn_loop(const struct conn *conn);
int conn_fd(const struct conn *conn);
/* As dialled; or who was accepted, v4-mapped addresses as IPv4, len 0 when it has left already (a
 * system call each time). */
void conn_peer(const struct conn *conn, struct addr *ret);
uint64_t conn_bytes_in(const struct conn *conn); /* from the transport */
uint64_t conn_bytes_out(const struct conn *conn);
/* True while the conn has no layer: bytes may be moved by splice (io/relay.h). */
bool conn_is_plain(const struct conn *conn);

#endif
