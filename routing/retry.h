/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ROUTING_RETRY_H
#define RINGGATE_ROUTING_RETRY_H

/* When a request may be tried again: how long to wait (GEP-1731), and whether
 * the cluster can bear it (GEP-3388). A backend that fails gets a bounded share of
 * requests on top, not a multiple of them. Pure: time is passed in. */

#include "base/rand.h"
#include "conf/kinds.h"

/* Nanoseconds before retry number 1, 2, ...: first_ns doubled each time, at most five times
 * first_ns, and up to a tenth more at random. */
uint64_t retry_backoff_ns(uint64_t first_ns, unsigned number, struct rand_state *rand);

#define RETRY_WINDOW_SLICES 10u

/* Events of the last interval, to a tenth of it. Zero-initialised. */
struct retry_window {
    uint64_t interval_ns; /* for which it counts; another one starts it anew */
    uint64_t slice; /* of time, the newest counted */
    uint32_t counts[RETRY_WINDOW_SLICES];
    uint32_t sum;
};

/* Of one cluster and one worker. Zero-initialised. */
struct retry_budget {
    struct retry_window requests, retries; /* over conf's budget interval */
    struct retry_window floor; /* retries over the interval of the minimum rate */
};

/* Counts a request that is not a retry. */
void retry_budget_request(struct retry_budget *budget, const struct conf_retry_constraint *conf,
                          uint64_t now_ns);
/* Whether one retry more keeps within the percentage of all requests, retries included, or within
 * the minimum rate; if so it is counted. */
MUST_CHECK bool retry_budget_take(struct retry_budget *budget,
                                  const struct conf_retry_constraint *conf, uint64_t now_ns);

#endif
