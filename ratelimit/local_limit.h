/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_LOCAL_LIMIT_H
#define RINGGATE_RATELIMIT_LOCAL_LIMIT_H

/* Buckets in memory, shared by all workers of the process: an open-addressing
 * table of fixed size, 32 bytes a bucket, atomics only. local_limit_new and
 * local_limit_free are declared in limiter.h.
 *
 * Only buckets that are full again are evicted, which changes no decision. When
 * a key finds no place, it shares an overflow bucket with the other such keys
 * of its rule: under a flood of keys the limit becomes stricter, never void.
 * All functions: any thread; now_ns is CLOCK_MONOTONIC, and may lag between
 * threads by a loop turn. */

#include "ratelimit/gcra.h"
#include "ratelimit/limiter.h"

struct local_limit_id {
    uint64_t words[2]; /* of a keyed hash (limit.h): table position and identity */
    uint64_t overflow; /* hash of the rule alone: which overflow bucket */
};

void local_limit_take(struct local_limit *table, const struct local_limit_id *id,
                      const struct gcra *gcra, uint64_t now_ns, struct gcra_verdict *ret);
/* Gives back one take. A take from an overflow bucket is not given back. */
void local_limit_give(struct local_limit *table, const struct local_limit_id *id,
                      const struct gcra *gcra, uint64_t now_ns);

/* What the store says of the same bucket: from now on the bucket here goes on from there, so that
 * while the store is away no more passes than would have. A bucket is made for that only when the
 * store's is at most half full: others start full here too. */
void local_limit_sync(struct local_limit *table, const struct local_limit_id *id,
                      const struct gcra *gcra, uint64_t now_ns, const struct gcra_verdict *verdict);
/* Requests that were let through without the store and that it has to be told of. Lost with a
 * bucket that is evicted. */
void local_limit_owe(struct local_limit *table, const struct local_limit_id *id, unsigned count);
/* Takes the debt of the bucket, at most max: the rest is forgiven. */
unsigned local_limit_collect(struct local_limit *table, const struct local_limit_id *id,
                             unsigned max);

#endif
