/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_STORE_STATE_H
#define RINGGATE_RATELIMIT_STORE_STATE_H

/* What the process as a whole knows of a store, for its log and its gauge: every worker
 * has a connection and a breaker of its own, but a person is told once. The state is that of the
 * worker that changed last. */

#include "ratelimit/redis_fault.h"

enum store_state_value {
    STORE_STATE_CLOSED, /* of the breaker: in use */
    STORE_STATE_OPEN,
    STORE_STATE_HALF_OPEN, /* being probed */
    STORE_STATE_UNKNOWN,
};

struct store_state;
/* id: of the store ("namespace/name"), copied. Shared by all who give the same id. Any thread.
 * Never NULL. */
struct store_state *store_state_ref(struct span id);
void store_state_unref(struct store_state *state);
/* Logs when the store comes or goes, and when it is away for another reason. detail: what the store
 * said, may be empty. Any thread. */
void store_state_set(struct store_state *state, enum store_state_value value,
                     enum redis_fault fault, struct span detail);

#endif
