/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/conn_int.h"

#include <errno.h>
#include <string.h>

#include "base/panic.h"

/* The receiving half of a conn. Bytes are in at most three places, oldest
 * first:
 *
 *   window   what conn_input() shows: borrowed from the receive buffer during
 *            on_data; what the owner leaves is copied to a block (16 KiB, or 64
 *            KiB when more must stay in one piece)
 *   stash    raw bytes that the kernel delivered while the owner was paused or full: a chain of
 *            blocks, passed up when there is room again
 *   kernel   the rest; receiving is off while the stash holds anything
 *
 * The window never outgrows its 64 KiB: below CONN_INPUT_FULL kept bytes one more
 * receive is at most what conn_rx_max allows, and a layer adds at most one held record
 * (LAYER_HELD). */

#define LAYER_HELD (17u * 1024)
#define STASH_PIECE 8192u

static void window_storage_put(struct conn *conn, uint8_t *storage, uint32_t size)
{
    if (size == BLOCK_SIZE)
        block_put(conn->sock.loop->blocks, storage);
    else
        block_put_large(conn->sock.loop->blocks, storage);
}

static void window_release(struct conn *conn)
{
    if (conn->kept)
        window_storage_put(conn, conn->kept, conn->kept_size);
    conn->kept = NULL;
    conn->kept_size = 0;
    conn->in = NULL;
    conn->in_len = 0;
}

/* Makes the window the conn's own and appends extra. 0; -ENOBUFS. */
static int window_keep(struct conn *conn, struct span extra)
{
    size_t total = conn->in_len + extra.len;
    struct block_pool *blocks = conn->sock.loop->blocks;
    if (conn->kept && total <= conn->kept_size) {
        size_t offset = (size_t)(conn->in - conn->kept);
        if (offset + total > conn->kept_size) {
            memmove(conn->kept, conn->in, conn->in_len);
            conn->in = conn->kept;
            offset = 0;
        }
        memcpy(conn->kept + offset + conn->in_len, extra.ptr, extra.len);
        conn->in_len = (uint32_t)total;
        return 0;
    }
    if (total > BLOCK_LARGE_SIZE)
        return -ENOBUFS;
    uint32_t size = total <= BLOCK_SIZE ? BLOCK_SIZE : BLOCK_LARGE_SIZE;
    uint8_t *storage = size == BLOCK_SIZE ? block_get(blocks) : block_get_large(blocks);
    if (!storage)
        return -ENOBUFS;
    if (conn->in_len)
        memcpy(storage, conn->in, conn->in_len);
    if (extra.len)
        memcpy(storage + conn->in_len, extra.ptr, extra.len);
    if (conn->kept)
        window_storage_put(conn, conn->kept, conn->kept_size);
    conn->kept = storage;
    conn->kept_size = size;
    conn->in = storage;
    conn->in_len = (uint32_t)total;
    return 0;
}

static void stash_drop(struct conn *conn)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    while (conn->stash_head) {
        uint8_t *block = conn->stash_head;
        conn->stash_head = block_head(blocks, block)->next;
        block_put(blocks, block);
    }
    conn->stash_tail = NULL;
    conn->stash_len = 0;
}

static int stash_add(struct conn *conn, struct span data)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    while (data.len > 0) {
        struct block_head *head = conn->stash_tail ? block_head(blocks, conn->stash_tail) : NULL;
        if (!head || head->end == BLOCK_SIZE) {
            uint8_t *block = block_get(blocks);
            if (!block)
                return -ENOBUFS;
            if (head)
                head->next = block;
            else
                conn->stash_head = block;
            conn->stash_tail = block;
            head = block_head(blocks, block);
        }
        size_t n = MIN(data.len, (size_t)(BLOCK_SIZE - head->end));
        memcpy(conn->stash_tail + head->end, data.ptr, n);
        head->end += (uint32_t)n;
        conn->stash_len += (uint32_t)n;
        data = span_make(data.ptr + n, data.len - n);
    }
    return 0;
}

void conn_input_drop(struct conn *conn)
{
    if (!conn->delivering)
        window_release(conn);
    stash_drop(conn);
}

/* The owner does not want bytes now. Handshakes go on while it is paused. */
static bool input_blocked(const struct conn *conn)
{
    return (conn->paused && conn->open) || conn->in_len >= CONN_INPUT_FULL || conn->in_to_layer;
}

/* Gives the window to the layer that was pushed over it. */
static void window_to_layer(struct conn *conn)
{
    struct span data = span_make(conn->in, conn->in_len);
    uint8_t *storage = conn->kept;
    uint32_t size = conn->kept_size;
    conn->in_to_layer = false;
    conn->kept = NULL;
    conn->kept_size = 0;
    conn->in = NULL;
    conn->in_len = 0;
    if (data.len > 0)
        conn->top->ops->on_data(conn->top, data);
    if (storage)
        window_storage_put(conn, storage, size);
}

/* Calls on_data with the window as it is and sees to what is left of it. */
static void window_deliver(struct conn *conn)
{
    conn->delivering = true;
    conn->owner->ops->on_data(conn->owner, conn);
    conn->delivering = false;
    if (!conn->owner || conn->error || conn->torn) {
        window_release(conn);
        return;
    }
    if (conn->in_to_layer)
        window_to_layer(conn);
    else if (conn->in_len > 0 && !conn->kept && window_keep(conn, SPAN_NONE) < 0)
        conn_fail(conn, -ENOBUFS, "out of buffer memory");
}

void conn_up_data(struct conn *conn, struct span data)
{
    if (!conn->owner || conn->error || conn->torn || data.len == 0)
        return;
    ASSERT(!conn->delivering);
    bool blocked = conn->paused;
    if (conn->in_len == 0 && !blocked) {
        conn->in = (const uint8_t *)data.ptr;
        conn->in_len = (uint32_t)data.len;
    } else if (window_keep(conn, data) < 0) {
        conn_fail(conn, -ENOBUFS, "out of buffer memory");
        return;
    }
    if (!blocked)
        window_deliver(conn);
}

void conn_up_end(struct conn *conn)
{
    if (conn->ended || !conn->owner || conn->error || conn->torn)
        return;
    conn->ended = true;
    conn->owner->ops->on_end(conn->owner, conn);
}

static void input_feed(struct conn *conn, struct span data)
{
    if (conn->bottom)
        conn->bottom->ops->on_data(conn->bottom, data);
    else
        conn_up_data(conn, data);
}

static void input_pass_end(struct conn *conn)
{
    if (!conn->rx_eof || conn->end_passed || conn->stash_len > 0 || conn->in_to_layer)
        return;
    conn->end_passed = true;
    if (conn->bottom)
        conn->bottom->ops->on_end(conn->bottom);
    else
        conn_up_end(conn);
}

/* Large receives in a row change to bulk mode, small ones back; conn_rx_update acts on it. */
static void input_judge(struct conn *conn, size_t len)
{
    enum { TO_BULK = 16, TO_INTERACTIVE = 8 };
    bool full = len >= CONN_RX_FULL;
    conn->rx_streak = (uint8_t)(full != conn->bulk ? conn->rx_streak + 1 : 0);
    if (conn->rx_streak >= (conn->bulk ? TO_INTERACTIVE : TO_BULK)) {
        conn->bulk = !conn->bulk;
        conn->rx_streak = 0;
    }
}

void conn_receive(struct conn *conn, struct span data)
{
    conn->bytes_in += data.len;
    if (conn->closing) {
        conn_closing_rx(conn, data.len);
        return;
    }
    if (conn->torn || conn->error)
        return;
    if (!conn->rx_chosen)
        input_judge(conn, data.len);
    if (conn->stash_len > 0 || input_blocked(conn)) {
        if (stash_add(conn, data) < 0)
            conn_fail(conn, -ENOBUFS, "out of buffer memory");
    } else {
        input_feed(conn, data);
    }
    conn_rx_update(conn);
}

/* Passes stashed bytes up until there is no room. */
static void stash_run(struct conn *conn)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    while (conn->stash_len > 0 && !conn_is_over(conn) && !input_blocked(conn)) {
        uint8_t *block = conn->stash_head;
        struct block_head *head = block_head(blocks, block);
        uint32_t n = MIN(head->end - head->start, STASH_PIECE);
        struct span piece = span_make(block + head->start, n);
        head->start += n;
        conn->stash_len -= n;
        /* Out of the chain during the call, so that a close in it cannot take the bytes away. */
        conn->stash_head = head->next;
        if (!conn->stash_head)
            conn->stash_tail = NULL;
        input_feed(conn, piece);
        if (head->start == head->end || conn->stash_len == 0) {
            block_put(blocks, block);
            continue;
        }
        head->next = conn->stash_head;
        conn->stash_head = block;
        if (!conn->stash_tail)
            conn->stash_tail = block;
    }
}

void conn_input_run(struct conn *conn)
{
    if (conn_is_over(conn))
        return;
    if (conn->in_to_layer)
        window_to_layer(conn);
    else if (conn->in_len > 0 && !conn->paused && conn->open)
        window_deliver(conn);
    if (!conn_is_over(conn))
        stash_run(conn);
    if (conn_is_over(conn))
        return;
    input_pass_end(conn);
    conn_rx_update(conn);
}

size_t conn_rx_max(const struct conn *conn)
{
    if (conn->closing)
        return BLOCK_SIZE;
    if (conn->stash_len > 0 || input_blocked(conn))
        return BLOCK_SIZE;
    /* One receive that is not consumed at all fits the window. */
    size_t room = BLOCK_LARGE_SIZE - conn->in_len - (conn->top ? LAYER_HELD : 0);
    if (conn->top && !conn->bulk)
        return MIN(room, (size_t)BLOCK_SIZE);
    return MIN(room, (size_t)LOOP_SCRATCH_SIZE);
}

void conn_rx_update(struct conn *conn)
{
    if (conn->torn || conn->error || conn->rx_eof || !conn->started || conn->raw_rx)
        return;
    const struct engine_ops *ops = conn->sock.loop->engine->ops;
    enum sock_rx rx = conn->bulk ? SOCK_RX_READY : SOCK_RX_DATA;
    if (conn->closing) {
        if (conn->discarded > CONN_LINGER_BYTES)
            rx = SOCK_RX_OFF;
    } else if (conn->stash_len > 0 || conn->in_len >= CONN_INPUT_FULL || conn->in_to_layer) {
        rx = SOCK_RX_OFF;
    } else if (conn->paused && conn->open) {
        /* Lazy: most pauses end before anything arrives, and the end of a paused peer is told. */
        if (conn->sock.rx_want == SOCK_RX_OFF)
            return;
    }
    if (conn->sock.rx_want != rx)
        ops->rx_set(&conn->sock, rx);
}

/* on_data from the loop if bytes are kept. */
static void input_kick(struct conn *conn)
{
    if (conn->in_len > 0 || conn->stash_len > 0 || conn->in_to_layer)
        conn_defer(conn, CONN_PENDING_INPUT);
    else
        conn_rx_update(conn);
}

struct span conn_input(const struct conn *conn)
{
    return conn->in_to_layer ? SPAN_NONE : span_make(conn->in, conn->in_len);
}

void conn_consume(struct conn *conn, size_t n)
{
    ASSERT(n <= conn->in_len && !conn->in_to_layer);
    if (n == 0)
        return;
    conn->in += n;
    conn->in_len -= (uint32_t)n;
    if (conn->in_len == 0)
        window_release(conn);
    if (conn->delivering || conn->paused)
        return;
    if (conn->stash_len > 0)
        conn_defer(conn, CONN_PENDING_INPUT);
    else
        conn_rx_update(conn);
}

bool conn_input_is_full(const struct conn *conn)
{
    return conn->in_len >= CONN_INPUT_FULL;
}

void conn_pause_input(struct conn *conn)
{
    conn->paused = true;
}

void conn_resume_input(struct conn *conn)
{
    if (!conn->paused)
        return;
    conn->paused = false;
    input_kick(conn);
}

bool conn_is_ended(const struct conn *conn)
{
    return conn->ended && conn->in_len == 0;
}

void conn_input_end(struct conn *conn)
{
    conn->rx_eof = true;
    if (!conn_is_over(conn))
        input_pass_end(conn);
}
