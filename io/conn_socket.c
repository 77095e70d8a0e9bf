/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/conn_int.h"

#include <errno.h>
#include <string.h>

#include "base/panic.h"

/* The bottom of a conn: receive events in, and the output queue. The queue is a chain of
 * blocks; bytes are added at the tail while the head is being sent, which is
 * safe because the kernel was given a fixed range. One send is under way at most (two would
 * interleave). */

#define RECEIVES_PER_TURN 4 /* of one conn, so that it cannot starve the others */

static struct conn *sock_conn(struct sock *sock)
{
    return container_of(sock, struct conn, sock);
}

static const struct engine_ops *conn_engine(const struct conn *conn)
{
    return conn->sock.loop->engine->ops;
}

static void on_rx(struct sock *sock, const uint8_t *data, size_t len)
{
    conn_receive(sock_conn(sock), span_make(data, len));
}

static void on_rx_end(struct sock *sock, int error)
{
    struct conn *conn = sock_conn(sock);
    if (error < 0) {
        conn_fail(conn, error, "receive failed");
        return;
    }
    conn->rx_eof = true;
    if (conn->closing) {
        if (conn->lingering)
            conn_teardown(conn, false);
        return;
    }
    conn_input_end(conn);
}

static bool on_readable(struct sock *sock)
{
    struct conn *conn = sock_conn(sock);
    if (conn->raw_rx)
        return conn->raw_rx->on_readable(conn->raw_rx, conn);
    const struct engine_ops *ops = conn_engine(conn);
    uint8_t *buffer = sock->loop->scratch_rx;
    uint8_t want = sock->rx_want;
    for (int i = 0; i < RECEIVES_PER_TURN; i++) {
        if (sock->rx_want != want || conn->raw_rx)
            return false;
        size_t size = conn_rx_max(conn);
        ssize_t n = ops->recv(sock, buffer, size);
        if (n == -EAGAIN)
            return true;
        if (n <= 0) {
            engine_end_rx(sock, (int)n);
            return true;
        }
        conn_receive(conn, span_make(buffer, (size_t)n));
        if (conn->torn)
            return true;
        if ((size_t)n < size && !sock->hup)
            return true;
    }
    return false;
}

void conn_output_drop(struct conn *conn)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    while (conn->out_head) {
        uint8_t *block = conn->out_head;
        conn->out_head = block_head(blocks, block)->next;
        block_put(blocks, block);
    }
    conn->out_tail = NULL;
    if (conn->reserved)
        block_put(blocks, conn->reserved);
    if (conn->gathered)
        block_put(blocks, conn->gathered);
    conn->reserved = conn->gathered = NULL;
    conn->queued = 0;
}

/* Takes n sent bytes off the queue and gives blocks back. */
static void output_consume(struct conn *conn, size_t n)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    ASSERT(n <= conn->queued);
    conn->queued -= n;
    conn->bytes_out += n;
    while (n > 0) {
        struct block_head *head = block_head(blocks, conn->out_head);
        uint32_t take = (uint32_t)MIN(n, (size_t)(head->end - head->start));
        head->start += take;
        n -= take;
        if (head->start < head->end)
            break;
        uint8_t *block = conn->out_head;
        conn->out_head = head->next;
        if (!conn->out_head)
            conn->out_tail = NULL;
        block_put(blocks, block);
    }
}

static struct block_head *output_append_block(struct conn *conn, uint8_t *block)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    if (conn->out_tail)
        block_head(blocks, conn->out_tail)->next = block;
    else
        conn->out_head = block;
    conn->out_tail = block;
    return block_head(blocks, block);
}

static void output_grew(struct conn *conn, size_t n)
{
    if (conn->queued == 0 && n > 0 && conn->open && !conn->tx_error) {
        conn->write_deadline_ns = conn_write_deadline(conn);
        conn_timer_update(conn);
    }
    conn->queued += n;
    if (conn->queued >= CONN_HIGH_WATER)
        conn->congested = true;
}

static int output_append(struct conn *conn, const uint8_t *data, size_t len)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    while (len > 0) {
        struct block_head *head = conn->out_tail ? block_head(blocks, conn->out_tail) : NULL;
        if (!head || head->end == BLOCK_SIZE) {
            uint8_t *block = block_get(blocks);
            if (!block)
                return -ENOBUFS;
            head = output_append_block(conn, block);
        }
        size_t n = MIN(len, (size_t)(BLOCK_SIZE - head->end));
        memcpy(conn->out_tail + head->end, data, n);
        head->end += (uint32_t)n;
        output_grew(conn, n);
        data += n;
        len -= n;
    }
    return 0;
}

/* Copies what is behind the first `skip` bytes of iov. */
static int output_append_iov(struct conn *conn, const struct iovec *iov, int count, size_t skip)
{
    for (int i = 0; i < count; i++) {
        size_t len = iov[i].iov_len;
        if (skip >= len) {
            skip -= len;
            continue;
        }
        int rc = output_append(conn, (const uint8_t *)iov[i].iov_base + skip, len - skip);
        if (rc < 0) {
            conn_fail(conn, rc, "out of buffer memory");
            return rc;
        }
        skip = 0;
    }
    return 0;
}

/* The queue as iov, at most max pieces and about bytes_max; the number of pieces. */
static int output_iov(struct conn *conn, struct iovec *iov, int max, size_t bytes_max)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    int count = 0;
    size_t total = 0;
    for (uint8_t *block = conn->out_head; block && count < max && total < bytes_max;) {
        struct block_head *head = block_head(blocks, block);
        iov[count].iov_base = block + head->start;
        iov[count].iov_len = head->end - head->start;
        total += iov[count++].iov_len;
        block = head->next;
    }
    return count;
}

static void output_progress(struct conn *conn)
{
    /* Before open the deadline is that of connecting. */
    if (conn->open || conn->closing)
        conn->write_deadline_ns = conn->queued ? conn_write_deadline(conn) : 0;
    if (conn->write_deadline_ns)
        conn_timer_update(conn);
    if (conn->congested && conn->queued < CONN_LOW_WATER)
        conn_defer(conn, CONN_PENDING_DRAIN);
    if (conn->queued > 0)
        return;
    if (conn->tx_shut && !conn->tx_shut_done && !conn->closing) {
        conn->tx_shut_done = true;
        conn_engine(conn)->shutdown(&conn->sock);
    }
    if (conn->closing)
        conn_closing_step(conn);
}

static void output_schedule(struct conn *conn)
{
    if (!conn->tx_busy && !dlist_is_linked(&conn->flush_link))
        dlist_push_back(&conn->sock.loop->flush, &conn->flush_link);
}

static void output_discard(struct conn *conn)
{
    uint64_t sent = conn->bytes_out;
    output_consume(conn, conn->queued);
    conn->bytes_out = sent;
}

/* A server may answer and hang up before it has read all that we send (413, 401): the answer may
 * lie unread in the socket, so a dialled conn first receives to its end. */
static int output_failed(struct conn *conn, int error)
{
    bool hung_up = error == -EPIPE || error == -ECONNRESET;
    if (!hung_up || conn->sock.accepted || !conn->open || conn->closing || conn->rx_eof) {
        conn_fail(conn, error, "send failed");
        return error;
    }
    conn->tx_error = (int16_t)error;
    output_discard(conn);
    conn->write_deadline_ns = conn->sock.loop->clock.mono_ns + CONN_LAST_WORDS_NS;
    conn_timer_update(conn);
    return 0;
}

static void send_queued(struct conn *conn)
{
    if (conn->tx_busy || conn->error || conn->torn || conn->queued == 0)
        return;
    if (conn->tx_error) {
        output_discard(conn);
        if (conn->closing)
            conn_closing_step(conn);
        return;
    }
    struct iovec iov[ENGINE_IOV_MAX];
    int count = output_iov(conn, iov, ENGINE_IOV_MAX, CONN_SEND_BYTES);
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    ssize_t n = conn_engine(conn)->send(&conn->sock, iov, count);
    if (n == -EINPROGRESS) {
        conn->tx_busy = true;
        return;
    }
    if (n < 0) {
        (void)output_failed(conn, (int)n);
        return;
    }
    output_consume(conn, (size_t)n);
    if ((size_t)n < total)
        conn->tx_busy = true;
    else if (conn->queued > 0)
        output_schedule(conn);
    output_progress(conn);
}

void conn_end_turn(struct conn *conn)
{
    conn_gather_flush(conn);
    dlist_remove(&conn->flush_link); /* layers write, and that schedules it again */
    send_queued(conn);
}

static void on_sent(struct sock *sock, int res)
{
    struct conn *conn = sock_conn(sock);
    ASSERT(conn->tx_busy);
    conn->tx_busy = false;
    if (conn->torn)
        return;
    if (res < 0 && conn->raw_tx) {
        conn_fail(conn, res, "send failed");
        return;
    }
    if (res < 0) {
        (void)output_failed(conn, res);
        return;
    }
    if (conn->raw_tx) {
        conn->raw_tx->on_writable(conn->raw_tx, conn);
        return;
    }
    output_consume(conn, (size_t)res);
    if (conn->queued > 0)
        output_schedule(conn);
    output_progress(conn);
}

/* Sends [queue + iov] from where it is. Bytes of iov taken, or -errno. */
static ssize_t output_send_direct(struct conn *conn, const struct iovec *iov, int count)
{
    struct iovec all[ENGINE_IOV_MAX];
    int queued = output_iov(conn, all, ENGINE_IOV_MAX - count, SIZE_MAX);
    memcpy(&all[queued], iov, (size_t)count * sizeof(*iov));
    size_t before = conn->queued;
    ssize_t n = conn_engine(conn)->send_now(&conn->sock, all, queued + count);
    if (n < 0)
        return output_failed(conn, (int)n);
    size_t from_queue = MIN((size_t)n, before);
    output_consume(conn, from_queue);
    conn->bytes_out += (size_t)n - from_queue;
    return n - (ssize_t)from_queue;
}

static bool output_fits_iov(struct conn *conn, int count)
{
    /* Blocks but the first and last are full. */
    return conn->queued < (size_t)(ENGINE_IOV_MAX - count - 2) * BLOCK_SIZE;
}

int conn_socket_write(struct conn *conn, const struct iovec *iov, int count)
{
    /* A layer may add a piece. */
    ASSERT(count >= 0 && count <= 1 + CONN_WRITE_IOV_MAX && !conn->reserved && !conn->raw_tx);
    if (conn->error || conn->torn)
        return conn->error ? conn->error : -EPIPE;
    if (conn->tx_shut)
        return -EPIPE;
    if (conn->tx_error)
        return 0;
    size_t total = 0, sent = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (total == 0)
        return 0;
    if (total > CONN_SMALL_WRITE && !conn->tx_busy && !conn->sock.tx_blocked &&
        output_fits_iov(conn, count)) {
        ssize_t n = output_send_direct(conn, iov, count);
        if (n < 0 || conn->tx_error)
            return (int)n;
        sent = (size_t)n;
        if (conn->queued == 0 && conn->open)
            conn->write_deadline_ns = 0;
        if (conn->congested && conn->queued < CONN_LOW_WATER)
            conn_defer(conn, CONN_PENDING_DRAIN);
    }
    if (sent < total) {
        int rc = output_append_iov(conn, iov, count, sent);
        if (rc < 0)
            return rc;
    }
    if (conn->queued > 0)
        output_schedule(conn);
    return 0;
}

void conn_socket_shutdown(struct conn *conn)
{
    if (conn->tx_shut || conn->error || conn->torn)
        return;
    conn->tx_shut = true;
    /* A close without lingering says it by closing. */
    if (conn->queued == 0 && !conn->tx_busy && !conn->closing) {
        conn->tx_shut_done = true;
        conn_engine(conn)->shutdown(&conn->sock);
    }
}

int conn_write(struct conn *conn, const struct iovec *iov, int count)
{
    ASSERT(conn->owner);
    if (conn->error)
        return conn->error;
    if (!conn->open)
        return -ENOTCONN;
    if (!conn->top)
        return conn_socket_write(conn, iov, count);
    if (conn->tx_shut)
        return -EPIPE;
    return conn_gather_write(conn, iov, count);
}

int conn_write_span(struct conn *conn, struct span data)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data.ptr, .iov_len = data.len};
    return conn_write(conn, &iov, 1);
}

/* Behind what is in the last block; NULL: not enough. */
static uint8_t *output_room(struct conn *conn, size_t size)
{
    if (!conn->out_tail)
        return NULL;
    const struct block_head *head = block_head(conn->sock.loop->blocks, conn->out_tail);
    return BLOCK_SIZE - head->end >= size ? conn->out_tail + head->end : NULL;
}

uint8_t *conn_reserve(struct conn *conn, size_t size)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    ASSERT(size > 0 && size <= BLOCK_SIZE && !conn->reserved && !conn->reserved_tail);
    uint8_t *room = conn->top ? conn_gather_room(conn, size) : output_room(conn, size);
    conn->reserved_tail = room != NULL;
    if (room)
        return room;
    conn->reserved = block_get(blocks);
    return conn->reserved;
}

int conn_commit(struct conn *conn, size_t size)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    uint8_t *block = conn->reserved;
    bool tail = conn->reserved_tail;
    ASSERT((block || tail) && size <= BLOCK_SIZE);
    conn->reserved = NULL;
    conn->reserved_tail = false;
    int rc = 0;
    if (!conn->open || conn->error || conn->tx_shut)
        rc = conn->error ? conn->error : conn->open ? -EPIPE : -ENOTCONN;
    if (rc < 0 || size == 0) {
        if (block)
            block_put(blocks, block);
        return rc;
    }
    if (conn->top)
        return conn_gather_commit(conn, block, size);
    struct block_head *head =
        tail ? block_head(blocks, conn->out_tail) : output_append_block(conn, block);
    ASSERT(head->end + size <= BLOCK_SIZE);
    head->end += (uint32_t)size;
    output_grew(conn, size);
    output_schedule(conn);
    return 0;
}

size_t conn_queued(const struct conn *conn)
{
    return conn->queued + conn_gather_size(conn);
}

void conn_flush(struct conn *conn)
{
    if (!conn->raw_tx)
        send_queued(conn);
}

void conn_shutdown(struct conn *conn)
{
    if (conn->error || conn->torn || conn->closing || conn->tx_shut)
        return;
    conn_gather_flush(conn);
    if (conn->error)
        return;
    if (conn->top && conn->open)
        conn->top->ops->shutdown(conn->top);
    else
        conn_socket_shutdown(conn);
}

static void on_connected(struct sock *sock, int error)
{
    conn_dial_done(sock_conn(sock), error);
}

static void on_released(struct sock *sock)
{
    conn_bury(sock_conn(sock));
}

const struct sock_events conn_socket_events = {
    .on_rx = on_rx,
    .on_rx_end = on_rx_end,
    .on_readable = on_readable,
    .on_sent = on_sent,
    .on_connected = on_connected,
    .on_released = on_released,
};
