/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/panic.h"
#include "io/addr.h"
#include "io/conn_int.h"
#include "io/loop_int.h"

static void conn_task_run(struct loop_task *task)
{
    struct conn *conn = container_of(task, struct conn, task);
    unsigned pending = conn->pending;
    conn->pending = 0;
    if (conn->torn)
        return;
    if (pending & CONN_PENDING_FAIL) {
        conn_report(conn);
        return;
    }
    if (pending & CONN_PENDING_START) {
        conn_rx_update(conn);
        if (conn->bottom)
            conn->bottom->ops->on_open(conn->bottom);
        else
            conn_up_open(conn);
    }
    if ((pending & CONN_PENDING_OPEN) && conn->owner && !conn->error)
        conn_up_open(conn);
    if ((pending & CONN_PENDING_INPUT) && !conn->error)
        conn_input_run(conn);
    if ((pending & CONN_PENDING_DRAIN) && conn->owner && !conn->error && conn->congested &&
        conn->queued < CONN_LOW_WATER) {
        conn->congested = false;
        if (conn->owner->ops->on_drain)
            conn->owner->ops->on_drain(conn->owner, conn);
    }
}

static void conn_on_timer(struct timer *timer)
{
    struct conn *conn = container_of(timer, struct conn, timer);
    uint64_t now = conn->sock.loop->clock.mono_ns;
    if (conn->torn || conn->error)
        return;
    if (conn->write_deadline_ns && conn->write_deadline_ns <= now && conn->tx_error) {
        conn_fail(conn, conn->tx_error, "send failed");
        return;
    }
    if (conn->write_deadline_ns && conn->write_deadline_ns <= now) {
        conn_fail(conn, -ETIMEDOUT, conn->open ? "write timed out" : "connect timed out");
        return;
    }
    if (conn->deadline_ns && conn->deadline_ns <= now) {
        conn->deadline_ns = 0;
        if (conn->lingering) {
            conn_teardown(conn, false);
            return;
        }
        conn_timer_update(conn);
        if (conn->owner && conn->owner->ops->on_timeout)
            conn->owner->ops->on_timeout(conn->owner, conn);
        return;
    }
    conn_timer_update(conn);
}

void conn_timer_update(struct conn *conn)
{
    uint64_t next = conn->deadline_ns;
    if (conn->write_deadline_ns && (!next || conn->write_deadline_ns < next))
        next = conn->write_deadline_ns;
    /* A timer that fires too early finds out; only an earlier deadline needs the wheel now. */
    if (next && (!timer_is_armed(&conn->timer) || next < conn->timer.deadline_ns))
        wheel_arm(&conn->sock.loop->wheel, &conn->timer, next);
}

struct conn *conn_alloc(struct loop *loop, int fd)
{
    if (loop->conns >= loop->conns_max)
        return NULL;
    struct conn *conn = pool_get_zero(&loop->pools->conns);
    if (!conn)
        return NULL;
    loop->conns++;
    conn->sock.loop = loop;
    conn->sock.events = &conn_socket_events;
    conn->sock.fd = fd;
    dlist_init(&conn->sock.link);
    dlist_init(&conn->flush_link);
    dlist_init(&conn->task.link);
    dlist_push_back(&loop->all, &conn->all_link);
    conn->task.run = conn_task_run;
    timer_init(&conn->timer, conn_on_timer);
    conn->write_timeout_ms = CONN_WRITE_TIMEOUT_NS / NS_PER_MS;
    conn->error_text = "";
    return conn;
}

struct conn *conn_new(struct loop *loop, int fd)
{
    struct conn *conn = conn_alloc(loop, fd);
    if (!conn) {
        (void)close(fd); /* nothing to be done about a failure */
        return NULL;
    }
    conn->sock.accepted = true;
    return conn;
}

void conn_set_owner(struct conn *conn, struct conn_owner *owner)
{
    ASSERT(owner && owner->ops->on_data && owner->ops->on_end && owner->ops->on_close);
    ASSERT(!conn->closing && !conn->torn);
    conn->owner = owner;
}

void conn_start(struct conn *conn)
{
    ASSERT(conn->owner && !conn->started);
    conn->started = true;
    if (conn->top) {
        conn_defer(conn, CONN_PENDING_START);
        return;
    }
    conn->open = true;
    conn_rx_update(conn);
}

void conn_defer(struct conn *conn, unsigned pending)
{
    conn->pending = (uint16_t)(conn->pending | pending);
    loop_defer(conn->sock.loop, &conn->task);
}

void conn_up_open(struct conn *conn)
{
    if (conn->error || conn->torn || !conn->owner || conn->open)
        return;
    if (conn->pushing) {
        conn_defer(conn, CONN_PENDING_OPEN);
        return;
    }
    conn->open = true;
    /* It was the deadline of connecting; from here it watches output. */
    conn->write_deadline_ns = conn->queued ? conn_write_deadline(conn) : 0;
    conn_timer_update(conn);
    if (conn->owner->ops->on_open)
        conn->owner->ops->on_open(conn->owner, conn);
}

void conn_push_layer(struct conn *conn, struct layer *layer)
{
    ASSERT(!conn->closing && !conn->torn && !conn->raw_rx && !conn->raw_tx);
    conn_gather_flush(conn);
    layer->conn = conn;
    layer->above = NULL;
    layer->below = conn->top;
    if (conn->top)
        conn->top->above = layer;
    else
        conn->bottom = layer;
    conn->top = layer;
    if (!conn->open || conn->error)
        return;
    /* Bytes that the owner left are the new layer's. */
    conn->open = false;
    if (conn->in_len > 0) {
        conn->in_to_layer = true;
        if (!conn->delivering)
            conn_defer(conn, CONN_PENDING_INPUT);
    }
    conn->pushing = true;
    layer->ops->on_open(layer);
    conn->pushing = false;
}

struct layer *conn_find_layer(const struct conn *conn, const struct layer_ops *ops)
{
    struct layer *layer = conn->top;
    while (layer && layer->ops != ops)
        layer = layer->below;
    return layer;
}

void conn_set_rx_mode(struct conn *conn, enum conn_rx_mode mode)
{
    bool bulk = mode == CONN_RX_BULK;
    conn->rx_chosen = true;
    if (conn->bulk == bulk)
        return;
    conn->bulk = bulk;
    if (conn->sock.rx_want != SOCK_RX_OFF)
        conn_rx_update(conn);
}

void conn_set_deadline(struct conn *conn, uint64_t deadline_ns)
{
    if (conn->closing)
        return;
    conn->deadline_ns = deadline_ns;
    conn_timer_update(conn);
}

void conn_set_write_timeout(struct conn *conn, uint64_t timeout_ns)
{
    ASSERT(timeout_ns > 0);
    uint64_t timeout_ms = (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    conn->write_timeout_ms = (uint32_t)MIN(timeout_ms, (uint64_t)UINT32_MAX);
    if (conn->open && conn->queued > 0) {
        conn->write_deadline_ns = conn_write_deadline(conn);
        conn_timer_update(conn);
    }
}

bool conn_is_over(const struct conn *conn)
{
    return conn->torn || conn->error || conn->closing;
}

const char *conn_error_text(const struct conn *conn)
{
    return conn->error_text;
}

struct loop *conn_loop(const struct conn *conn)
{
    return conn->sock.loop;
}

int conn_fd(const struct conn *conn)
{
    return conn->sock.fd;
}

void conn_peer(const struct conn *conn, struct addr *ret)
{
    if (conn->dialled) {
        *ret = *conn->dialled;
        return;
    }
    ret->len = sizeof(ret->un);
    if (getpeername(conn->sock.fd, &ret->sa, &ret->len) < 0)
        ret->len = 0; /* it left already: the first receive tells */
    addr_unmap(ret);
}

uint64_t conn_bytes_in(const struct conn *conn)
{
    return conn->bytes_in;
}

uint64_t conn_bytes_out(const struct conn *conn)
{
    return conn->bytes_out;
}

bool conn_is_plain(const struct conn *conn)
{
    return !conn->top;
}
