/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_LIMITER_H
#define RINGGATE_RATELIMIT_LIMITER_H

/* Decides whether a request is within its limits: in process (scope Instance, and when the
 * store is away), or in a shared Redis with one pipelined EVALSHA a decision (scope
 * Global, GCRA on Redis' clock). A decision never waits beyond its deadline and never fails a
 * request unless the rule says Closed.
 *
 * All or nothing: a request that one rule refuses costs nothing in the others. While the store is
 * away, Local gives every gateway the whole limit: how many there are is not known, so N gateways
 * admit up to N times it. A store's endpoint is HOST:PORT, IP:PORT, [IP]:PORT or unix:/PATH. */

#include "conf/model.h"
#include "io/conn.h"

/* Buckets in memory, shared by all workers of the process through atomics. */
struct local_limit;
/* entries_max: rounded up to a power of two, at least 16; 32 bytes each. NULL: no memory. */
struct local_limit *local_limit_new(size_t entries_max);
void local_limit_free(struct local_limit *table);

/* What a descriptor is made of; borrowed. */
struct limit_query {
    const struct addr *client; /* the trusted client address */
    struct span path, spiffe_id; /* spiffe_id "" when not verified */
    /* First value of a header by lower-case name; false: absent. */
    bool (*header)(const void *user, struct span name, struct span *ret);
    const void *user;
};

enum limit_result {
    LIMIT_RESULT_OK,
    LIMIT_RESULT_LIMITED, /* deny: 429 */
    LIMIT_RESULT_SHADOW, /* would deny, but the rule is in Shadow mode: let through */
    LIMIT_RESULT_STORE_CLOSED, /* the store is away and the rule says Closed: 503 */
};

/* One check, embedded in the exchange. The verdict is that of the strictest rule. */
struct limit_check {
    /* From the loop; never before limit_check_start returned. The check is the owner's again. */
    void (*on_done)(struct limit_check *check);
    enum limit_result result;
    bool fallback; /* decided without the store (Local or Open) */
    /* That denied, or the one nearest its limit; NULL: none applied. */
    const struct model_limit *limit;
    uint64_t remaining; /* requests left at once */
    uint64_t reset_ns; /* until the next request fits (when denied) or more is available */
    uint64_t store_ns; /* time waited for the store */
    /* private */
    void *impl;
};

struct limiter; /* one a worker */

struct limiter_options {
    struct loop *loop;
    struct local_limit *local; /* shared, borrowed */
    /* Pushes TLS on a connection to a store; NULL return: no memory. store->conf->has_tls only. */
    struct layer *(*make_tls)(void *user, const struct model_store *store);
    void *user;
    /* For stores given by name; borrowed. NULL: their rules follow onStoreFailure. */
    struct resolver *resolver;
};
struct limiter *limiter_new(const struct limiter_options *options);
void limiter_free(struct limiter *limiter);
/* Adopts a model's stores and limits: unchanged stores keep their connections. The model is pinned
 * by the caller until the next call and the end of the checks in flight. */
void limiter_apply(struct limiter *limiter, const struct model *model);

/* indexes: into model->limits, as model_rule.limits. True: decided now (check is filled, on_done is
 * not called); false: on_done comes within the store's deadline. */
MUST_CHECK bool limit_check_start(struct limiter *limiter, struct limit_check *check,
                                  const unsigned *indexes, unsigned count,
                                  const struct limit_query *query);
/* The exchange ended: on_done will not be called. */
void limit_check_cancel(struct limiter *limiter, struct limit_check *check);

/* Values of fields that tell a client of its limit (draft-ietf-httpapi-ratelimit-headers-10). */
struct limit_headers {
    /* RateLimit-Policy, the model's, and RateLimit, in the caller's buffer; or empty. */
    struct span policy, limit;
    uint32_t retry_after_s; /* 0 unless denied; up to a tenth longer than the wait */
};

/* buffer: 128 bytes are enough; too small a one leaves the fields out. false: both spans are empty
 * (the rule says headers Off or Shadow, none applied, or the store was closed); *ret is set in any
 * case. */
bool limit_format_headers(const struct limit_check *check, char *buffer, size_t size,
                          struct limit_headers *ret);

#endif
