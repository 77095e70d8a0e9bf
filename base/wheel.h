/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_WHEEL_H
#define RINGGATE_BASE_WHEEL_H

/* Hierarchical timer wheel, 1 ms ticks, up to 2^31 ms ahead. Time is passed
 * in, so it is pure. Timers are embedded in their owners. Arming, re-arming
 * and stopping are O(1). A timer never fires early; it fires at the first
 * wheel_advance at or after its deadline: a tick groups timers, it does not
 * round them. One thread. */

#include "base/clock.h"
#include "base/dlist.h"

struct timer {
    struct dlist link; /* self-linked when not armed */
    uint64_t deadline_ns;
    void (*on_fire)(struct timer *timer); /* disarmed when called; may re-arm or free the owner */
};

#define WHEEL_BITS 6
#define WHEEL_SLOTS (1u << WHEEL_BITS)
#define WHEEL_LEVELS 6

struct wheel {
    uint64_t now_tick; /* ms; all ticks before it were fired */
    uint64_t occupied[WHEEL_LEVELS]; /* one bit a slot */
    struct dlist slots[WHEEL_LEVELS][WHEEL_SLOTS];
    unsigned count; /* armed timers */
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);
void timer_init(struct timer *timer, void (*on_fire)(struct timer *));
/* Arms or re-arms. A deadline in the past fires at the next advance. */
void wheel_arm(struct wheel *wheel, struct timer *timer, uint64_t deadline_ns);
void wheel_stop(struct wheel *wheel, struct timer *timer); /* also when not armed */
static inline bool timer_is_armed(const struct timer *timer)
{
    return dlist_is_linked(&timer->link);
}
/* Fires all that are due at now_ns, in order of their tick. Timers armed by callbacks for a time
 * that is already due fire at the next call (no endless loop). Returns how many fired. */
unsigned wheel_advance(struct wheel *wheel, uint64_t now_ns);
/* A lower bound of the next deadline (never later than the true one, at most one slot of its level
 * earlier); UINT64_MAX when no timer is armed. */
uint64_t wheel_next_ns(const struct wheel *wheel);

#endif
