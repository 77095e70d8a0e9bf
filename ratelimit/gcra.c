/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/gcra.h"

#include "base/panic.h"

void gcra_init(struct gcra *gcra, uint64_t requests, uint64_t period_ns, uint64_t burst)
{
    if (period_ns == 0)
        period_ns = NS_PER_S;
    period_ns = MIN(period_ns, GCRA_SPAN_NS_MAX);
    if (requests == 0) {
        gcra->step_ns = period_ns;
        gcra->span_ns = 0;
        return;
    }
    /* Rounded up: never more than asked for. */
    gcra->step_ns = (period_ns - 1) / requests + 1;
    burst = MIN(MAX(burst, UINT64_C(1)), GCRA_SPAN_NS_MAX / gcra->step_ns);
    gcra->span_ns = gcra->step_ns * burst;
}

uint64_t gcra_take(const struct gcra *gcra, uint64_t tat_ns, uint64_t now_ns,
                   struct gcra_verdict *ret)
{
    ASSERT(gcra->step_ns > 0);
    tat_ns = MAX(tat_ns, now_ns);
    tat_ns = MIN(tat_ns, now_ns + gcra->span_ns);
    uint64_t room_ns = gcra->span_ns - (tat_ns - now_ns);
    ret->allowed = room_ns >= gcra->step_ns;
    if (ret->allowed) {
        tat_ns += gcra->step_ns;
        room_ns -= gcra->step_ns;
    }
    ret->remaining = room_ns / gcra->step_ns;
    ret->reset_ns = gcra->step_ns - room_ns % gcra->step_ns;
    return tat_ns;
}

uint64_t gcra_give(const struct gcra *gcra, uint64_t tat_ns, uint64_t now_ns)
{
    if (tat_ns <= now_ns)
        return tat_ns;
    return tat_ns - now_ns > gcra->step_ns ? tat_ns - gcra->step_ns : now_ns;
}
