/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_LIMIT_H
#define RINGGATE_RATELIMIT_LIMIT_H

/* A limit compiled for the data path, and the id of the bucket that a request
 * falls into.
 *
 * The id is a keyed 128-bit hash of the limit's scope id (policy and rule) and the key
 * values, so neither memory nor the store holds a client's address or token in clear. All gateways
 * that share a store must make the same id: its hash key comes from a fixed salt and the store's
 * key prefix alone. It hides values from casual reading; somebody who can read the store and knows
 * the policy could still try all addresses. Limits without a store use the random key of the
 * process. */

#include "base/hash.h"
#include "ratelimit/gcra.h"
#include "ratelimit/limiter.h"
#include "ratelimit/local_limit.h"
#include "ratelimit/remote_limit.h"

enum limit_decision { /* label "result" of the decisions metric */
                      LIMIT_DECISION_OK,
                      LIMIT_DECISION_LIMITED,
                      LIMIT_DECISION_SHADOW,
                      LIMIT_DECISION_FALLBACK_OK,
                      LIMIT_DECISION_FALLBACK_LIMITED,
                      LIMIT_DECISION_STORE_ERROR,
                      LIMIT_DECISION_COUNT
};

struct limit {
    const struct model_limit *model;
    struct gcra gcra;
    struct remote_limit *remote; /* NULL: in process only, or the store cannot be used */
    struct remote_command command; /* has_store only */
    bool has_store;
    bool is_synced; /* rule.onStoreFailure is Local: the bucket in memory follows the store's */
    struct hash_key key; /* of the bucket ids */
    uint64_t overflow; /* hash of the scope id */
    char *names; /* the header names of the rule's keys, lower case, one after the other; heap */
    struct metric_series *decisions[LIMIT_DECISION_COUNT];
};

/* prefix: the store's key prefix, or empty for a limit without one. The model is borrowed: it goes
 * with its snapshot, so what is still in flight for a request that is over must not look at it.
 * Control path: allocates. Any thread. */
void limit_init(struct limit *limit, const struct model_limit *model, bool has_store,
                struct span prefix);
void limit_fini(struct limit *limit);

enum limit_match {
    LIMIT_MATCH_APPLIES, /* *ret is the bucket */
    LIMIT_MATCH_SKIPPED, /* a part is missing and says Skip, or the rule is unlimited */
    LIMIT_MATCH_REFUSED, /* a part is missing and says Deny */
};
/* Which bucket. A client without an IP (a Unix socket) counts as a missing part. */
enum limit_match limit_match(const struct limit *limit, const struct limit_query *query,
                             struct local_limit_id *ret);

void limit_count(const struct limit *limit, enum limit_decision decision);

#endif
