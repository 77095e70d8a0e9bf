/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_GCRA_H
#define RINGGATE_RATELIMIT_GCRA_H

/* The arithmetic of a limit: the generic cell rate algorithm (ITU-T I.371, the
 * virtual scheduling form), which is a token bucket that is kept as one time.
 * A bucket's state is its TAT, the time at which it will be full again: at or
 * before now means full, so a state that is not kept means the same as a full
 * bucket. Pure: no clock, no memory. The same arithmetic in Lua is in
 * gcra.lua. In any time t at most burst + t / step requests pass. */

#include "base/clock.h"

/* A bucket takes at most this long to fill; larger bursts are cut to it. */
#define GCRA_SPAN_NS_MAX (UINT64_C(366) * 86400 * NS_PER_S)

struct gcra {
    uint64_t step_ns; /* what one request costs: period / requests, rounded up; >= 1 */
    uint64_t span_ns; /* what a full bucket holds: step * burst; 0: nothing ever passes */
};

struct gcra_verdict {
    bool allowed;
    uint64_t remaining; /* requests that would pass right after this one */
    uint64_t reset_ns; /* denied: until one fits; allowed: until one more fits */
};

/* requests a period, at most burst at once. requests 0 blocks everything; a
 * burst of 0 counts as 1. period_ns > 0 (0 counts as 1 s). */
void gcra_init(struct gcra *gcra, uint64_t requests, uint64_t period_ns, uint64_t burst);

/* Takes one request from the bucket and returns its new state. A denied request
 * takes nothing, but a state from the far future is cut to an empty bucket. */
uint64_t gcra_take(const struct gcra *gcra, uint64_t tat_ns, uint64_t now_ns,
                   struct gcra_verdict *ret);
/* Gives back what one gcra_take took; never more than a full bucket. */
uint64_t gcra_give(const struct gcra *gcra, uint64_t tat_ns, uint64_t now_ns);

#endif
