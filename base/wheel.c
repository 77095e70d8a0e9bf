/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/wheel.h"

#include "base/panic.h"

/* The wheel is six digits of base 64. A timer lies at the level of the highest
 * digit in which its tick differs from now_tick, in the slot of its own digit
 * there:
 *
 *   level 0   the 64 ticks of this block       (slot = one tick)
 *   level 1   the 64 blocks of this superblock (slot = 64 ticks)
 *   ...
 *   level 5   slot = 2^30 ticks, used as a ring: it also holds what lies
 *             beyond the end of this round of 2^36 ticks
 *
 * So all slots of a level lie behind all slots of the levels below, and the
 * first slot of the lowest level that has any holds the next timer. When time
 * reaches a slot of a level above 0, its timers are placed anew and come at
 * least one level lower. A timer that is too far for the ring lies in its last
 * slot and moves on each time that slot is reached.
 *
 * The slot of now_tick itself may hold timers whose deadline lies later within
 * this millisecond, or that were armed too late; both wait for the next
 * advance, which compares nanoseconds. */

#define SLOT_MASK (WHEEL_SLOTS - 1)
#define TOP_LEVEL (WHEEL_LEVELS - 1)
/* Farther timers would come round to the slot of now_tick at the top level. */
#define TICKS_AHEAD_MAX                                                                            \
    ((UINT64_C(1) << (WHEEL_BITS * WHEEL_LEVELS)) - (UINT64_C(1) << (WHEEL_BITS * TOP_LEVEL)) - 1)
/* How many timers wheel_next_ns looks at in a slot that is not due yet. */
#define SLOT_SCAN_MAX 8

void wheel_init(struct wheel *wheel, uint64_t now_ns)
{
    *wheel = (struct wheel){.now_tick = now_ns / NS_PER_MS};
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            dlist_init(&wheel->slots[level][slot]);
    }
}

void timer_init(struct timer *timer, void (*on_fire)(struct timer *))
{
    ASSERT(on_fire != NULL);
    *timer = (struct timer){.on_fire = on_fire};
    dlist_init(&timer->link);
}

/* Links a timer that is in no list to its slot. */
static void timer_place(struct wheel *wheel, struct timer *timer)
{
    uint64_t now = wheel->now_tick;
    uint64_t tick = MAX(timer->deadline_ns / NS_PER_MS, now);
    if (tick - now > TICKS_AHEAD_MAX)
        tick = now + TICKS_AHEAD_MAX;
    uint64_t differ = tick ^ now;
    unsigned level = differ == 0 ? 0 : (63 - (unsigned)__builtin_clzll(differ)) / WHEEL_BITS;
    level = MIN(level, (unsigned)TOP_LEVEL);
    unsigned slot = (unsigned)(tick >> (WHEEL_BITS * level)) & SLOT_MASK;
    dlist_push_back(&wheel->slots[level][slot], &timer->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void wheel_arm(struct wheel *wheel, struct timer *timer, uint64_t deadline_ns)
{
    ASSERT(timer->on_fire != NULL);
    wheel_stop(wheel, timer);
    timer->deadline_ns = deadline_ns;
    timer_place(wheel, timer);
    wheel->count++;
}

/* Takes the link out and keeps `occupied` true. The last link of a list knows
 * the head: if that is one of our slots, the slot is empty now; else it is the
 * list of an advance that is going on. */
static void link_remove(struct wheel *wheel, struct dlist *link)
{
    struct dlist *head = link->next == link->prev ? link->next : NULL;
    dlist_remove(link);
    struct dlist *first = &wheel->slots[0][0];
    if (head == NULL || (uintptr_t)head < (uintptr_t)first ||
        (uintptr_t)head >= (uintptr_t)(first + WHEEL_LEVELS * WHEEL_SLOTS))
        return;
    size_t index = (size_t)(head - first);
    wheel->occupied[index / WHEEL_SLOTS] &= ~(UINT64_C(1) << (index % WHEEL_SLOTS));
}

void wheel_stop(struct wheel *wheel, struct timer *timer)
{
    if (!timer_is_armed(timer))
        return;
    ASSERT(wheel->count > 0);
    link_remove(wheel, &timer->link);
    wheel->count--;
}

/* Finds the first slot that holds timers. ret_tick gets its first tick, which
 * is now_tick only at level 0. The level, or -1: there is none. */
static int slot_find(const struct wheel *wheel, uint64_t *ret_tick)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t bits = wheel->occupied[level];
        if (bits == 0)
            continue;
        uint64_t digits = wheel->now_tick >> (WHEEL_BITS * level);
        unsigned here = (unsigned)digits & SLOT_MASK;
        if (here != 0)
            bits = bits >> here | bits << (64 - here);
        *ret_tick = (digits + (unsigned)__builtin_ctzll(bits)) << (WHEEL_BITS * level);
        return (int)level;
    }
    return -1;
}

static struct dlist *slot_of(struct wheel *wheel, unsigned level, uint64_t tick)
{
    return &wheel->slots[level][(tick >> (WHEEL_BITS * level)) & SLOT_MASK];
}

/* Takes all timers of a slot into the empty list `to`. */
static void slot_take(struct wheel *wheel, unsigned level, uint64_t tick, struct dlist *to)
{
    dlist_take(to, slot_of(wheel, level, tick));
    wheel->occupied[level] &= ~(UINT64_C(1) << ((tick >> (WHEEL_BITS * level)) & SLOT_MASK));
}

/* Moves all of `from` behind what is in `to`. */
static void list_append(struct dlist *to, struct dlist *from)
{
    if (dlist_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    dlist_init(from);
}

/* Brings the wheel to `tick` and collects what is due at now_ns into `due`, in
 * order of ticks. Each slot between is touched at most once per level. */
static void due_collect(struct wheel *wheel, uint64_t tick, uint64_t now_ns, struct dlist *due)
{
    uint64_t slot_tick;
    int level;
    struct dlist taken;
    while ((level = slot_find(wheel, &slot_tick)) >= 0) {
        if (slot_tick > tick || (level == 0 && slot_tick == tick))
            break;
        ASSERT_SLOW(slot_tick >= wheel->now_tick);
        wheel->now_tick = slot_tick;
        slot_take(wheel, (unsigned)level, slot_tick, &taken);
        if (level == 0) {
            list_append(due, &taken);
            continue;
        }
        struct dlist *link;
        while ((link = dlist_pop_front(&taken)) != NULL)
            timer_place(wheel, dlist_entry(link, struct timer, link));
    }
    wheel->now_tick = tick;
    dlist_foreach(it, next, slot_of(wheel, 0, tick))
    {
        if (dlist_entry(it, struct timer, link)->deadline_ns > now_ns)
            continue;
        link_remove(wheel, it);
        dlist_push_back(due, it);
    }
}

unsigned wheel_advance(struct wheel *wheel, uint64_t now_ns)
{
    /* Everything due is collected first, so what callbacks arm is left for the
     * next call, and callbacks may stop or re-arm timers that wait in `due`. */
    struct dlist due = DLIST_INIT(due);
    due_collect(wheel, MAX(now_ns / NS_PER_MS, wheel->now_tick), now_ns, &due);
    unsigned fired = 0;
    struct dlist *link;
    while ((link = dlist_pop_front(&due)) != NULL) {
        struct timer *timer = dlist_entry(link, struct timer, link);
        ASSERT(wheel->count > 0);
        wheel->count--;
        fired++;
        timer->on_fire(timer);
    }
    return fired;
}

uint64_t wheel_next_ns(const struct wheel *wheel)
{
    uint64_t tick;
    int level = slot_find(wheel, &tick);
    if (level < 0)
        return UINT64_MAX;
    uint64_t start_ns = tick * NS_PER_MS;
    if (level > 0)
        return start_ns;
    /* The exact deadline when that is cheap, and always within the current
     * tick, because there the start of the slot would make the caller spin. */
    uint64_t first_ns = UINT64_MAX;
    unsigned seen = 0;
    const struct dlist *head = &wheel->slots[0][tick & SLOT_MASK];
    for (const struct dlist *it = head->next; it != head; it = it->next) {
        if (++seen > SLOT_SCAN_MAX && tick != wheel->now_tick)
            return start_ns;
        const struct timer *timer =
            (const struct timer *)(const void *)((const char *)it - offsetof(struct timer, link));
        first_ns = MIN(first_ns, timer->deadline_ns);
    }
    return first_ns;
}
