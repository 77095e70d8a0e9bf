/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "routing/retry.h"

#define BACKOFF_MAX_FACTOR 5u

uint64_t retry_backoff_ns(uint64_t first_ns, unsigned number, struct rand_state *rand)
{
    uint64_t factor = number < 4 ? 1u << (number - 1) : BACKOFF_MAX_FACTOR;
    uint64_t delay_ns = first_ns * MIN(factor, (uint64_t)BACKOFF_MAX_FACTOR);
    /* Only added: conformance of the API needs the whole wait. */
    return delay_ns + delay_ns / 1000 * rand_below(rand, 101);
}

/* Forgets what is older than the interval. */
static void window_move(struct retry_window *window, uint64_t interval_ns, uint64_t now_ns)
{
    uint64_t slice = now_ns / (interval_ns / RETRY_WINDOW_SLICES);
    if (window->interval_ns != interval_ns)
        *window = (struct retry_window){.interval_ns = interval_ns, .slice = slice};
    if (slice <= window->slice)
        return;
    uint64_t passed = MIN(slice - window->slice, (uint64_t)RETRY_WINDOW_SLICES);
    for (uint64_t i = 0; i < passed; i++) {
        uint32_t *count = &window->counts[(slice - i) % RETRY_WINDOW_SLICES];
        window->sum -= *count;
        *count = 0;
    }
    window->slice = slice;
}

static void window_add(struct retry_window *window)
{
    window->counts[window->slice % RETRY_WINDOW_SLICES]++;
    window->sum++;
}

void retry_budget_request(struct retry_budget *budget, const struct conf_retry_constraint *conf,
                          uint64_t now_ns)
{
    window_move(&budget->requests, conf->interval_ns, now_ns);
    window_add(&budget->requests);
}

bool retry_budget_take(struct retry_budget *budget, const struct conf_retry_constraint *conf,
                       uint64_t now_ns)
{
    window_move(&budget->requests, conf->interval_ns, now_ns);
    window_move(&budget->retries, conf->interval_ns, now_ns);
    window_move(&budget->floor, conf->min_interval_ns, now_ns);
    uint64_t retries = (uint64_t)budget->retries.sum + 1;
    uint64_t all = budget->requests.sum + retries;
    if (retries * 100 > all * conf->percent && budget->floor.sum >= conf->min_count)
        return false;
    window_add(&budget->retries);
    window_add(&budget->floor);
    return true;
}
