/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/relay.h"

#include <errno.h>

#include "base/panic.h"
#include "io/loop_int.h"
#include "io/relay_int.h"

static void relay_grave_run(struct loop_task *task)
{
    struct relay *relay = container_of(task, struct relay, task);
    pool_put(&relay->loop->pools->relays, relay);
}

/* The conns are gone or closing. Callers up the stack see relay->over until the turn ends. */
static void relay_finish(struct relay *relay, enum relay_end end, int error)
{
    ASSERT(!relay->over);
    relay->over = true;
    wheel_stop(&relay->loop->wheel, &relay->timer);
    loop_cancel(&relay->task);
    relay->task.run = relay_grave_run;
    loop_bury(relay->loop, &relay->task);
    relay->owner->on_end(relay->owner, end, error, relay->ab.bytes, relay->ba.bytes);
}

static void relay_drop_conns(struct relay *relay, const struct conn *gone)
{
    relay_splice_leave(&relay->ab);
    relay_splice_leave(&relay->ba);
    if (relay->ab.from != gone)
        conn_abort(relay->ab.from);
    if (relay->ab.to != gone)
        conn_abort(relay->ab.to);
}

/* Passes from's end on when it is due; the relay may be over after it. */
static void flow_end(struct relay_flow *flow)
{
    struct relay *relay = flow->relay;
    if (flow->ended || !conn_is_ended(flow->from))
        return;
    flow->ended = true;
    conn_shutdown(flow->to);
    if (!relay->ab.ended || !relay->ba.ended)
        return;
    /* Closing sends what is still queued. */
    conn_close(relay->ab.from, false);
    conn_close(relay->ab.to, false);
    relay_finish(relay, RELAY_END_DONE, 0);
}

static void flow_pump(struct relay_flow *flow)
{
    struct relay *relay = flow->relay;
    if (flow->spliced)
        return;
    struct span in = conn_input(flow->from);
    if (in.len > 0 && !conn_is_congested(flow->to)) {
        relay->active_ns = relay->loop->clock.mono_ns;
        /* A failure comes back by on_close. */
        if (conn_write_span(flow->to, in) == 0)
            flow->bytes += in.len;
        conn_consume(flow->from, in.len);
        relay_splice_consider(flow, in.len);
        if (conn_is_congested(flow->to))
            conn_pause_input(flow->from);
    }
    flow_end(flow);
}

/* Room again, or the start: what waits is moved and receiving goes on. */
static void flow_resume(struct relay_flow *flow)
{
    if (flow->spliced || conn_is_congested(flow->to))
        return;
    conn_resume_input(flow->from);
    flow_pump(flow);
}

static void relay_first_pump(struct loop_task *task)
{
    struct relay *relay = container_of(task, struct relay, task);
    flow_pump(&relay->ab);
    if (!relay->over)
        flow_pump(&relay->ba);
}

static struct relay_flow *flow_of(struct conn_owner *owner, const struct conn *from)
{
    /* Both owners lead to the relay; the conn says which flow it feeds. */
    struct relay *relay = owner->ops->name[0] == 'a' ? container_of(owner, struct relay, a_owner)
                                                     : container_of(owner, struct relay, b_owner);
    return relay->ab.from == from ? &relay->ab : &relay->ba;
}

static void on_data(struct conn_owner *owner, struct conn *conn)
{
    flow_pump(flow_of(owner, conn));
}

static void on_drain(struct conn_owner *owner, struct conn *conn)
{
    struct relay_flow *flow = flow_of(owner, conn);
    struct relay *relay = flow->relay;
    flow_resume(flow == &relay->ab ? &relay->ba : &relay->ab);
}

static void on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    struct relay_flow *flow = flow_of(owner, conn);
    struct relay *relay = flow->relay;
    relay_drop_conns(relay, conn);
    relay_finish(relay, flow == &relay->ab ? RELAY_END_A_RESET : RELAY_END_B_RESET, error);
}

static const struct conn_owner_ops a_ops = {
    .name = "a of relay",
    .on_data = on_data,
    .on_end = on_data,
    .on_drain = on_drain,
    .on_close = on_close,
};

static const struct conn_owner_ops b_ops = {
    .name = "b of relay",
    .on_data = on_data,
    .on_end = on_data,
    .on_drain = on_drain,
    .on_close = on_close,
};

static void timer_arm(struct relay *relay)
{
    uint64_t next = relay->stop_at_ns;
    uint64_t idle = relay->idle_timeout_ns ? relay->active_ns + relay->idle_timeout_ns : 0;
    if (idle && (!next || idle < next))
        next = idle;
    if (next)
        wheel_arm(&relay->loop->wheel, &relay->timer, next);
}

static void on_timer(struct timer *timer)
{
    struct relay *relay = container_of(timer, struct relay, timer);
    uint64_t now = relay->loop->clock.mono_ns;
    if (relay->stop_at_ns && relay->stop_at_ns <= now) {
        relay_drop_conns(relay, NULL);
        relay_finish(relay, RELAY_END_DEADLINE, -ETIMEDOUT);
    } else if (relay->idle_timeout_ns && relay->active_ns + relay->idle_timeout_ns <= now) {
        relay_drop_conns(relay, NULL);
        relay_finish(relay, RELAY_END_IDLE, -ETIMEDOUT);
    } else {
        timer_arm(relay);
    }
}

struct relay *relay_start(struct conn *a, struct conn *b, uint64_t idle_timeout_ns,
                          struct relay_owner *owner)
{
    ASSERT(a != b && conn_loop(a) == conn_loop(b) && owner->on_end);
    struct loop *loop = conn_loop(a);
    struct relay *relay = pool_get_zero(&loop->pools->relays);
    if (!relay)
        return NULL;
    *relay = (struct relay){
        .a_owner = {.ops = &a_ops},
        .b_owner = {.ops = &b_ops},
        .ab = {.relay = relay, .from = a, .to = b, .pipe = {-1, -1}},
        .ba = {.relay = relay, .from = b, .to = a, .pipe = {-1, -1}},
        .owner = owner,
        .loop = loop,
        .task = {.run = relay_first_pump},
        .idle_timeout_ns = idle_timeout_ns,
        .active_ns = loop->clock.mono_ns,
    };
    dlist_init(&relay->task.link);
    timer_init(&relay->timer, on_timer);
    conn_set_owner(a, &relay->a_owner);
    conn_set_owner(b, &relay->b_owner);
    conn_set_deadline(a, 0);
    conn_set_deadline(b, 0);
    conn_resume_input(a);
    conn_resume_input(b);
    /* Bytes and ends that were told to the owners before us. */
    loop_defer(loop, &relay->task);
    timer_arm(relay);
    return relay;
}

void relay_stop_at(struct relay *relay, uint64_t deadline_ns)
{
    relay->stop_at_ns = deadline_ns;
    timer_arm(relay);
}
