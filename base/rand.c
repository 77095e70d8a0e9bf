/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "base/panic.h"

/* SplitMix64 (Steele, Lea, Flood 2014): spreads one word over the state, as
 * the authors of xoshiro advise. Never gives four zero words. */
static uint64_t splitmix_next(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void rand_seed(struct rand_state *state, uint64_t seed)
{
    for (unsigned i = 0; i < ARRAY_COUNT(state->s); i++)
        state->s[i] = splitmix_next(&seed);
}

void rand_seed_random(struct rand_state *state)
{
    uint64_t seed;
    rand_secret(&seed, sizeof(seed));
    rand_seed(state, seed);
}

static uint64_t rotate_left(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

/* xoshiro256** 1.0, Blackman and Vigna 2018. */
uint64_t rand_u64(struct rand_state *state)
{
    uint64_t *s = state->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* Multiply and shift, rejecting the few values that would make it uneven
 * (Lemire 2019). Each round is rejected with a chance below 1/2. */
uint32_t rand_below(struct rand_state *state, uint32_t bound)
{
    ASSERT(bound > 0);
    uint32_t uneven = (uint32_t)-bound % bound;
    for (;;) {
        uint64_t product = (rand_u64(state) >> 32) * bound;
        if ((uint32_t)product >= uneven)
            return (uint32_t)(product >> 32);
    }
}

void rand_secret(void *out, size_t len)
{
    unsigned char *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            panic(__FILE__, __LINE__, "getrandom failed with error %d", errno);
        at += n;
        len -= (size_t)n;
    }
}
