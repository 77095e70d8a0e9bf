/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_RAND_H
#define RINGGATE_BASE_RAND_H

/* A seedable generator for balancing, jitter and request ids (not secrets),
 * and the kernel's generator for secrets. */

#include "base/base.h"

struct rand_state {
    uint64_t s[4]; /* xoshiro256** */
};

void rand_seed(struct rand_state *state, uint64_t seed);
void rand_seed_random(struct rand_state *state);
uint64_t rand_u64(struct rand_state *state);
/* Uniform in [0, bound); bound > 0. */
uint32_t rand_below(struct rand_state *state, uint32_t bound);
/* Cryptographic bytes (getrandom); never fails: panics when the kernel cannot. */
void rand_secret(void *out, size_t len);

#endif
