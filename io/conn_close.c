/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/conn_int.h"

#include <errno.h>

#include "base/panic.h"
#include "io/loop_int.h"

/* How conns end.
 *
 *   conn_fail   -> (deferred) on_close -> teardown
 *   conn_close  -> output drains -> [linger: half-close, discard] -> teardown
 *   conn_abort  -> teardown with a reset
 *   teardown    -> engine close -> released when no operation is left -> grave
 *
 * Who may still hold a conn after teardown: the engine, by an armed operation
 * (ends with its last completion, then on_released), and callers up the stack
 * of this turn (end before the graves are emptied). */

static void grave_run(struct loop_task *task)
{
    struct conn *conn = container_of(task, struct conn, task);
    struct loop *loop = conn->sock.loop;
    ASSERT(conn->torn && !conn->sock.rx.armed && !conn->sock.tx.armed);
    for (struct layer *layer = conn->top; layer;) {
        struct layer *below = layer->below;
        layer->ops->free(layer);
        layer = below;
    }
    conn->delivering = false;
    conn_input_drop(conn);
    conn_output_drop(conn);
    pool_put(&loop->pools->addrs, conn->dialled);
    dlist_remove(&conn->all_link);
    loop->conns--;
    pool_put(&loop->pools->conns, conn);
}

void conn_bury(struct conn *conn)
{
    conn->task.run = grave_run;
    loop_bury(conn->sock.loop, &conn->task);
}

void conn_teardown(struct conn *conn, bool reset)
{
    if (conn->torn)
        return;
    struct loop *loop = conn->sock.loop;
    conn->torn = true;
    wheel_stop(&loop->wheel, &conn->timer);
    dlist_remove(&conn->flush_link);
    loop_cancel(&conn->task);
    conn->pending = 0;
    if (loop->engine->ops->close(&conn->sock, reset))
        conn_bury(conn);
}

void conn_fail(struct conn *conn, int error, const char *text)
{
    ASSERT(error < 0);
    if (conn->error || conn->torn)
        return;
    conn->error = (int16_t)error; /* errno has no number above 4095 */
    conn->error_text = text;
    if (conn->sock.rx_want != SOCK_RX_OFF)
        conn->sock.loop->engine->ops->rx_set(&conn->sock, SOCK_RX_OFF);
    conn_defer(conn, CONN_PENDING_FAIL);
}

void conn_report(struct conn *conn)
{
    struct conn_owner *owner = conn->owner;
    conn->owner = NULL;
    if (owner)
        owner->ops->on_close(owner, conn, conn->error);
    conn_teardown(conn, false);
}

void conn_close(struct conn *conn, bool linger)
{
    ASSERT(!conn->closing);
    conn->owner = NULL;
    if (conn->torn)
        return;
    conn->closing = true;
    conn->linger = linger;
    if (conn->error || !conn->started) {
        conn_teardown(conn, false);
        return;
    }
    conn->deadline_ns = 0;
    conn_input_drop(conn);
    conn_gather_flush(conn);
    if (conn->open && !conn->error && conn->top && !conn->tx_shut)
        conn->top->ops->shutdown(conn->top);
    if (conn->error) { /* the layer could not say goodbye */
        conn_teardown(conn, false);
        return;
    }
    conn->pending = 0;
    if (conn->queued == 0 && !conn->tx_busy) {
        conn_closing_step(conn);
        return;
    }
    conn->write_deadline_ns = conn_write_deadline(conn);
    conn_timer_update(conn);
    conn_rx_update(conn);
}

void conn_closing_step(struct conn *conn)
{
    if (conn->lingering || conn->torn)
        return;
    if (!conn->linger || conn->rx_eof || conn->discarded > CONN_LINGER_BYTES) {
        conn_teardown(conn, false);
        return;
    }
    conn->lingering = true;
    if (!conn->tx_shut_done) {
        conn->tx_shut_done = true;
        conn->sock.loop->engine->ops->shutdown(&conn->sock);
    }
    conn->deadline_ns = conn->sock.loop->clock.mono_ns + CONN_LINGER_NS;
    conn_timer_update(conn);
    conn_rx_update(conn);
}

void conn_closing_rx(struct conn *conn, size_t len)
{
    if (conn->torn)
        return;
    conn->discarded += (uint32_t)MIN(len, (size_t)CONN_LINGER_BYTES + 1);
    if (conn->discarded <= CONN_LINGER_BYTES)
        return;
    if (conn->lingering)
        conn_teardown(conn, false);
    else
        conn_rx_update(conn);
}

void conn_abort(struct conn *conn)
{
    ASSERT(!conn->closing);
    conn->owner = NULL;
    conn->closing = true;
    conn_teardown(conn, true);
}

void conn_drop(struct conn *conn)
{
    conn->owner = NULL;
    conn->closing = true;
    conn_teardown(conn, true);
}
