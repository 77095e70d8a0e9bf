/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ROUTING_BACKEND_SET_H
#define RINGGATE_ROUTING_BACKEND_SET_H

/* Weighted choice among the backendRefs of a rule. Exact over any window of
 * the sum of weights per worker, started at a random phase, so that workers do not move in step. */

#include "base/rand.h"
#include "conf/model.h"

/* Per worker and rule (or TCP route); small, zero-initialised, never shared. */
struct backend_cursor {
    uint32_t position; /* 0: not started */
    uint32_t total, step; /* of the weights it was started for; others start it anew */
};

/* Index into backends, or -1: none has weight. O(count). */
int backend_set_pick(const struct model_backend *backends, unsigned count,
                     struct backend_cursor *cursor, struct rand_state *rand);

#endif
