/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "routing/backend_set.h"

#include "base/panic.h"

/* Position p of a cycle of W (the sum of weights) is taken to the number
 * p * step mod W, and backends own ranges of numbers as wide as their weights.
 * With step and W coprime that is a permutation, so every cycle, and every window of W
 * picks, is exact; with step near W over the golden ratio neighbours in time are far apart
 * in number, so a backend's picks are spread evenly over the cycle. */

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint32_t step_for(uint32_t total)
{
    uint32_t step = (uint32_t)((uint64_t)total * 618034 / 1000000);
    step = MAX(step, 1u);
    while (greatest_common_divisor(step, total) != 1)
        step++; /* ends at total + 1 at the latest */
    return step;
}

int backend_set_pick(const struct model_backend *backends, unsigned count,
                     struct backend_cursor *cursor, struct rand_state *rand)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += backends[i].weight;
    if (sum == 0)
        return -1;
    /* The API allows 16 backends of 1,000,000; more than 32 bits only loses the tail. */
    uint32_t total = (uint32_t)MIN(sum, (uint64_t)UINT32_MAX - 1);
    if (cursor->position == 0 || cursor->total != total) {
        *cursor = (struct backend_cursor){
            .position = 1 + rand_below(rand, total),
            .total = total,
            .step = step_for(total),
        };
    }
    uint64_t number = (uint64_t)(cursor->position - 1) * cursor->step % total;
    cursor->position = cursor->position == total ? 1 : cursor->position + 1;
    for (unsigned i = 0; i < count; i++) {
        if (number < backends[i].weight)
            return (int)i;
        number -= backends[i].weight;
    }
    UNREACHABLE();
}
