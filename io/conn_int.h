/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_CONN_INT_H
#define RINGGATE_IO_CONN_INT_H

/* The conn from inside, for the files of the conn family, layer.c, loop.c
 * and relay*.c.
 *
 * Life: conn_alloc .. conn_teardown (the descriptor is being closed, no event is told any
 * more) .. released (no operation is in progress) .. the grave at the end of
 * the turn. After teardown only the engine holds the conn, by its ops. */

#include "io/conn.h"
#include "io/engine.h"

#define CONN_WRITE_IOV_MAX 8
#define CONN_SMALL_WRITE 4096u /* up to here output is gathered */
#define CONN_INPUT_FULL 32768u /* kept bytes at which receiving stops */
#define CONN_RX_FULL 4096u /* a receive of this size or more speaks for bulk */
#define CONN_LINGER_BYTES 65536u
#define CONN_LINGER_NS NS_PER_S
#define CONN_WRITE_TIMEOUT_NS (30 * NS_PER_S)
#define CONN_LAST_WORDS_NS NS_PER_S /* to read what a server said before it hung up on us */
#define CONN_SEND_BYTES 65536u /* in one asynchronous send, so that progress shows */

/* Work put off to the loop, so that no owner is called from inside its own call. */
enum conn_pending {
    CONN_PENDING_FAIL = 1u << 0, /* on_close */
    CONN_PENDING_START = 1u << 1, /* open the bottom layer */
    CONN_PENDING_OPEN = 1u << 2, /* on_open */
    CONN_PENDING_INPUT = 1u << 3, /* kept or stashed bytes */
    CONN_PENDING_DRAIN = 1u << 4, /* on_drain */
};

/* Takes the place of receiving (raw_rx) or sending (raw_tx) of a plain conn: splice. */
struct conn_raw {
    bool (*on_readable)(struct conn_raw *raw, struct conn *conn); /* as sock_events.on_readable */
    void (*on_writable)(struct conn_raw *raw, struct conn *conn);
};

struct conn {
    struct sock sock; /* first: the engine's part */
    struct conn_owner *owner; /* NULL: it has let go */
    struct layer *bottom, *top;
    uint16_t pending; /* enum conn_pending */
    bool open; /* the owner may write */
    bool started; /* receives */
    bool paused, delivering; /* delivering: inside on_data */
    bool in_to_layer; /* the window belongs to a layer that was pushed over it */
    bool pushing; /* inside the on_open of a pushed layer */
    bool ended : 1, rx_eof : 1; /* told to the owner; seen by the socket */
    bool end_passed : 1; /* rx_eof was passed to the bottom layer */
    bool tx_shut : 1, tx_shut_done : 1; /* half-close asked for; done */
    bool closing : 1, linger : 1, lingering : 1, torn : 1;
    bool rx_chosen : 1; /* by the owner; else it follows what arrives */
    bool congested, tx_busy; /* above the high mark; a send or a wait for room is under way */
    bool bulk; /* rx mode */
    uint8_t rx_streak; /* receives in a row that speak for the other mode */
    bool reserved_tail; /* conn_reserve gave room in the last block */

    /* Input: the window that the owner sees, and raw bytes that came while it did not want any. */
    const uint8_t *in;
    uint8_t *kept; /* block that holds the window; NULL: borrowed or empty */
    uint32_t in_len, kept_size;
    uint8_t *stash_head, *stash_tail; /* blocks */
    uint32_t stash_len;

    uint32_t discarded; /* while closing */
    uint32_t write_timeout_ms;
    int16_t error;
    int16_t tx_error; /* sending failed, receiving goes on for a while; output is dropped */
    /* Output: a chain of blocks, sent from the head. */
    uint8_t *out_head, *out_tail;
    uint8_t *reserved;
    uint8_t *gathered; /* block of what the layers are still to be given */
    size_t queued;
    struct dlist flush_link;

    uint64_t deadline_ns; /* the owner's, or of lingering */
    uint64_t write_deadline_ns; /* of connecting and handshakes until open */
    struct timer timer;

    struct loop_task task;
    struct dlist all_link;
    struct conn_raw *raw_rx, *raw_tx; /* NULL: the conn itself */
    uint64_t bytes_in, bytes_out;
    const char *error_text;
    struct addr *dialled; /* of the loop's pool; NULL: accepted */
};
_Static_assert(sizeof(struct conn) <= 368, "conn grew: an idle one is to stay small");

/* From now on. */
static inline uint64_t conn_write_deadline(const struct conn *conn)
{
    return conn->sock.loop->clock.mono_ns + conn->write_timeout_ms * NS_PER_MS;
}

/* conn.c */
struct conn *conn_alloc(struct loop *loop, int fd); /* NULL: fd is the caller's */
void conn_defer(struct conn *conn, unsigned pending);
void conn_up_open(struct conn *conn);
void conn_timer_update(struct conn *conn);

/* conn_input.c */
void conn_up_data(struct conn *conn, struct span data);
void conn_up_end(struct conn *conn);
void conn_receive(struct conn *conn, struct span data); /* from the transport */
void conn_input_run(struct conn *conn);
void conn_input_drop(struct conn *conn);
void conn_input_end(struct conn *conn); /* the socket has nothing more */
void conn_rx_update(struct conn *conn);
size_t conn_rx_max(const struct conn *conn);

/* conn_socket.c */
extern const struct sock_events conn_socket_events;
int conn_socket_write(struct conn *conn, const struct iovec *iov, int count);
void conn_socket_shutdown(struct conn *conn);
void conn_end_turn(struct conn *conn); /* sends what was written in the turn */
void conn_output_drop(struct conn *conn);

/* conn_gather.c: for conns with layers. */
int conn_gather_write(struct conn *conn, const struct iovec *iov, int count);
uint8_t *conn_gather_room(struct conn *conn, size_t size); /* NULL: none that is begun */
/* Takes block, or when it is NULL what was written to conn_gather_room. */
int conn_gather_commit(struct conn *conn, uint8_t *block, size_t size);
size_t conn_gather_size(const struct conn *conn);
void conn_gather_flush(struct conn *conn); /* a failure ends the conn */

/* conn_close.c */
void conn_report(struct conn *conn); /* on_close, then gone */
void conn_closing_step(struct conn *conn); /* output is out: linger or go */
void conn_closing_rx(struct conn *conn, size_t len);
void conn_teardown(struct conn *conn, bool reset);
void conn_bury(struct conn *conn);
void conn_drop(struct conn *conn);

/* conn_dial.c */
void conn_dial_done(struct conn *conn, int error);

#endif
