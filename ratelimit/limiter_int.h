/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_LIMITER_INT_H
#define RINGGATE_RATELIMIT_LIMITER_INT_H

/* Shared by limiter.c (stores and compiled limits) and limit_check.c (decisions). */

#include "base/pool.h"
#include "ratelimit/limit.h"

/* The limits of one model. Held by the limiter while it is the newest and by every part of a
 * check in flight; freed with the last. */
struct limit_set {
    struct dlist link; /* limiter.sets */
    unsigned refs, count;
    struct limit *limits;
};

struct limiter_store {
    uint8_t digest[16]; /* of its settings, secrets included */
    struct remote_limit *remote;
};

struct limiter {
    struct limiter_options options;
    struct limit_set *set; /* the newest; NULL before the first model */
    struct dlist sets; /* all that live */
    struct limiter_store *stores; /* as model->stores */
    unsigned stores_count;
    struct pool pending, parts; /* limit_check.c */
};

void limiter_set_unref(struct limit_set *set);
void limit_check_pools_init(struct limiter *limiter);
void limit_check_pools_fini(struct limiter *limiter);

#endif
