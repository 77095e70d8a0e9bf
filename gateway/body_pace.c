/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/body_pace.h"

void body_pace_begin(struct body_pace *pace, uint64_t now_ns)
{
    *pace = (struct body_pace){.begun_ns = now_ns};
}

void body_pace_pause(struct body_pace *pace, uint64_t now_ns)
{
    if (pace->begun_ns != 0 && pace->paused_ns == 0)
        pace->paused_ns = now_ns;
}

void body_pace_resume(struct body_pace *pace, uint64_t now_ns)
{
    if (pace->paused_ns != 0)
        pace->begun_ns += now_ns - pace->paused_ns;
    pace->paused_ns = 0;
}

uint64_t body_pace_deadline(const struct body_pace *pace, const struct body_pace_floor *floor,
                            uint64_t bytes, uint64_t now_ns)
{
    if (pace->begun_ns == 0 || floor->rate_min == 0 || bytes > UINT64_MAX / NS_PER_S / 2)
        return UINT64_MAX;
    uint64_t begun_ns = pace->begun_ns + (pace->paused_ns != 0 ? now_ns - pace->paused_ns : 0);
    return begun_ns + MAX(bytes * NS_PER_S / floor->rate_min, floor->after_ns);
}
