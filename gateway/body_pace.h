/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_BODY_PACE_H
#define RINGGATE_GATEWAY_BODY_PACE_H

/* Is a request body sent fast enough? Its average rate counts, from when we began to want bytes,
 * without the time in which the backend did not take them. A client that sends a byte now and then
 * never trips a timeout between bytes, but this. All times are of the loop's clock. */

#include "base/clock.h"

struct body_pace {
    uint64_t begun_ns; /* moved on by pauses; 0: nothing is wanted yet */
    uint64_t paused_ns; /* since when nothing is wanted; 0: it is */
};

void body_pace_begin(struct body_pace *pace, uint64_t now_ns);
/* Both may be called again and before the begin; then they do nothing. */
void body_pace_pause(struct body_pace *pace, uint64_t now_ns);
void body_pace_resume(struct body_pace *pace, uint64_t now_ns);
/* What is asked of bodies; rate_min 0: nothing. */
struct body_pace_floor {
    uint64_t rate_min; /* bytes/s on average */
    uint64_t after_ns; /* of waiting, before it counts */
};

/* Until when the bytes received so far are enough; UINT64_MAX: for ever, or not begun. During a
 * pause it moves on with now_ns. */
uint64_t body_pace_deadline(const struct body_pace *pace, const struct body_pace_floor *floor,
                            uint64_t bytes, uint64_t now_ns);

#endif
