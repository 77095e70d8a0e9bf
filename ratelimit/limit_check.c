/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limiter.h"

#include "base/metric.h"
#include "base/panic.h"
#include "io/loop.h"
#include "ratelimit/limiter_int.h"

/* A check has one part per limit that applies.
 *
 * All or nothing: a request that one limit refuses should cost nothing in the others. So what can
 * be decided in process is decided first; only when all of that passes are the stores asked, all in
 * one go, and what a store has granted is given back when another limit refuses. A give-back that
 * finds the store away, or the bucket evicted, is lost: the error is on the strict side.
 *
 * In process, the share of a limit that the store would hold is the whole limit: how many gateways
 * there are is not known, so while the store is away N gateways together admit up to N times it.
 * The bucket here follows the store's (local_limit_sync), so it is not full when the store fails or
 * is late; and what it lets through is owed: the next question tells the store (local_limit_owe),
 * unless the late answer says that it has counted it. So the mean rate holds.
 *
 * Lifetime. `pending` lives from start to done or cancel. A part whose question is in flight
 * outlives it as an orphan (part.pending NULL) until the store answers or is given up. It holds its
 * set of limits, but not the snapshot: limit.model may be gone. */

#define PENDING_MAX (1u << 16)
#define PARTS_MAX (1u << 18)

enum part_state {
    PART_STATE_LOCAL, /* decided by the bucket in memory */
    PART_STATE_REFUSED, /* a key part is missing */
    PART_STATE_OPEN, /* let through without the store */
    PART_STATE_CLOSED, /* refused for want of the store */
    PART_STATE_WAITING, /* asked, or about to be */
    PART_STATE_REMOTE, /* decided by the store */
};

struct pending {
    struct limiter *limiter;
    struct limit_check *check;
    struct dlist parts; /* struct part.link */
    unsigned waiting;
    uint64_t start_ns;
};

struct part {
    struct remote_call call;
    struct dlist link; /* pending.parts */
    struct pending *pending; /* NULL: an orphan */
    struct limiter *limiter;
    struct limit_set *set; /* counted */
    const struct limit *limit;
    struct local_limit_id id;
    struct gcra_verdict verdict;
    enum part_state state;
    bool is_fallback, is_in_flight, is_unwanted; /* unwanted: what it takes is to be given back */
    bool is_unpaid, is_paid; /* let through without the store; counted by its late answer */
};

void limit_check_pools_init(struct limiter *limiter)
{
    pool_init(&limiter->pending, "limit checks", sizeof(struct pending), PENDING_MAX);
    pool_init(&limiter->parts, "limit check parts", sizeof(struct part), PARTS_MAX);
}

void limit_check_pools_fini(struct limiter *limiter)
{
    pool_fini(&limiter->parts);
    pool_fini(&limiter->pending);
}

static uint64_t now_of(const struct limiter *limiter)
{
    return limiter->options.loop->clock.mono_ns;
}

static void part_free(struct part *part)
{
    struct limiter *limiter = part->limiter;
    dlist_remove(&part->link);
    limiter_set_unref(part->set);
    pool_put(&limiter->parts, part);
}

static void part_take_local(struct part *part)
{
    local_limit_take(part->limiter->options.local, &part->id, &part->limit->gcra,
                     now_of(part->limiter), &part->verdict);
    part->state = PART_STATE_LOCAL;
}

/* The store cannot say. */
static void part_fall_back(struct part *part)
{
    metric_inc(METRIC_RATELIMIT_STORE_ERRORS);
    part->is_fallback = true;
    switch (part->limit->model->rule->on_store_failure) {
    case CONF_LIMIT_FAILURE_LOCAL:
        part_take_local(part);
        return;
    case CONF_LIMIT_FAILURE_OPEN:
        part->state = PART_STATE_OPEN;
        part->verdict = (struct gcra_verdict){.allowed = true};
        return;
    case CONF_LIMIT_FAILURE_CLOSED:
        break;
    }
    part->state = PART_STATE_CLOSED;
    part->verdict = (struct gcra_verdict){.reset_ns = NS_PER_S};
}

static bool part_denies(const struct part *part)
{
    return part->state != PART_STATE_WAITING && !part->verdict.allowed &&
           !part->limit->model->rule->shadow;
}

static void part_count(const struct part *part)
{
    bool allowed = part->verdict.allowed;
    enum limit_decision decision = allowed ? LIMIT_DECISION_OK : LIMIT_DECISION_LIMITED;
    if (part->state == PART_STATE_CLOSED)
        decision = LIMIT_DECISION_STORE_ERROR;
    else if (!allowed && part->limit->model->rule->shadow)
        decision = LIMIT_DECISION_SHADOW;
    else if (part->is_fallback)
        decision = allowed ? LIMIT_DECISION_FALLBACK_OK : LIMIT_DECISION_FALLBACK_LIMITED;
    limit_count(part->limit, decision);
}

static void part_give_back(struct part *part)
{
    if (part->state == PART_STATE_LOCAL && part->verdict.allowed)
        local_limit_give(part->limiter->options.local, &part->id, &part->limit->gcra,
                         now_of(part->limiter));
    if (part->state != PART_STATE_REMOTE || !part->verdict.allowed || part->is_in_flight ||
        part->limit->remote == NULL)
        return;
    part->is_in_flight = remote_limit_give(part->limit->remote, &part->call) == 0;
}

static void part_owe(struct part *part, unsigned count)
{
    metric_add(METRIC_RATELIMIT_STORE_OWED, count);
    local_limit_owe(part->limiter->options.local, &part->id, count);
}

/* The request passes. */
static void part_settle(struct part *part)
{
    if (!part->is_fallback || part->state != PART_STATE_LOCAL || !part->verdict.allowed)
        return;
    part->is_unpaid = part->is_in_flight;
    if (!part->is_in_flight && !part->is_paid && part->limit->remote != NULL)
        part_owe(part, 1);
}

/* Which of two parts says more about the request: the higher rank, then the
 * longer wait or the smaller rest. */
static unsigned part_rank(const struct part *part)
{
    if (part->state == PART_STATE_WAITING || part->state == PART_STATE_OPEN)
        return 0;
    bool shadow = part->limit->model->rule->shadow;
    if (part->verdict.allowed)
        return shadow ? 1 : 2;
    if (shadow)
        return 3;
    return part->state == PART_STATE_CLOSED ? 4 : 5;
}

static bool part_outranks(const struct part *a, const struct part *b)
{
    unsigned rank_a = part_rank(a), rank_b = b != NULL ? part_rank(b) : 0;
    if (rank_a != rank_b)
        return rank_a > rank_b;
    if (b == NULL)
        return false;
    return a->verdict.allowed ? a->verdict.remaining < b->verdict.remaining
                              : a->verdict.reset_ns > b->verdict.reset_ns;
}

static void check_fill(struct limit_check *check, const struct part *best)
{
    static const enum limit_result results[] = {
        LIMIT_RESULT_OK,     LIMIT_RESULT_OK,           LIMIT_RESULT_OK,
        LIMIT_RESULT_SHADOW, LIMIT_RESULT_STORE_CLOSED, LIMIT_RESULT_LIMITED,
    };
    if (best == NULL)
        return;
    check->result = results[part_rank(best)];
    check->limit = best->limit->model;
    check->remaining = best->verdict.remaining;
    check->reset_ns = best->verdict.reset_ns;
}

/* Fills the check and takes the pending down. */
static void pending_finish(struct pending *pending)
{
    struct limit_check *check = pending->check;
    const struct part *best = NULL;

    dlist_foreach(link, next, &pending->parts)
    {
        struct part *part = dlist_entry(link, struct part, link);
        if (part_outranks(part, best))
            best = part;
        check->fallback |= part->is_fallback;
        if (part->state != PART_STATE_WAITING)
            part_count(part);
    }
    check_fill(check, best);
    bool is_denied =
        check->result == LIMIT_RESULT_LIMITED || check->result == LIMIT_RESULT_STORE_CLOSED;
    struct dlist *link;
    while ((link = dlist_pop_front(&pending->parts)) != NULL) {
        struct part *part = dlist_entry(link, struct part, link);
        part->pending = NULL;
        part->is_unwanted = is_denied;
        if (is_denied)
            part_give_back(part);
        else
            part_settle(part);
        if (!part->is_in_flight)
            part_free(part);
    }
    check->impl = NULL;
    pool_put(&pending->limiter->pending, pending);
}

static bool pending_is_decided(const struct pending *pending)
{
    if (pending->waiting == 0)
        return true;
    dlist_foreach(link, next, &pending->parts)
    {
        if (part_denies(dlist_entry(link, struct part, link)))
            return true;
    }
    return false;
}

static void part_sync(struct part *part, const struct gcra_verdict *verdict)
{
    if (part->limit->is_synced)
        local_limit_sync(part->limiter->options.local, &part->id, &part->limit->gcra,
                         now_of(part->limiter), verdict);
}

static void part_on_verdict(struct remote_call *call, const struct gcra_verdict *verdict)
{
    struct part *part = container_of(call, struct part, call);
    struct pending *pending = part->pending;

    if (verdict != NULL)
        part_sync(part, verdict);
    if (pending == NULL) {
        /* The request was decided without it: its answer, if any, is only good for a
         * give-back, in part_on_release. */
        part->state = verdict != NULL ? PART_STATE_REMOTE : PART_STATE_OPEN;
        part->verdict = verdict != NULL ? *verdict : (struct gcra_verdict){0};
        return;
    }
    ASSERT(part->state == PART_STATE_WAITING && pending->waiting > 0);
    pending->waiting--;
    if (verdict != NULL) {
        part->state = PART_STATE_REMOTE;
        part->verdict = *verdict;
    } else {
        part_fall_back(part);
    }
    if (!pending_is_decided(pending))
        return;
    struct limit_check *check = pending->check;
    check->store_ns = now_of(pending->limiter) - pending->start_ns;
    pending_finish(pending);
    check->on_done(check);
}

static void part_on_release(struct remote_call *call, const struct gcra_verdict *late)
{
    struct part *part = container_of(call, struct part, call);

    bool was_give = call->is_give;

    part->is_in_flight = false;
    if (!was_give && late == NULL && part->state != PART_STATE_REMOTE && call->debit > 0)
        part_owe(part, call->debit); /* who knows whether it was told: rather too strict */
    if (late != NULL) {
        part_sync(part, late);
        part->is_paid = late->allowed;
    }
    if (part->pending != NULL)
        return; /* the check still counts on it */
    if (part->is_unpaid && !part->is_paid)
        part_owe(part, 1);
    part->is_unpaid = false;
    if (late != NULL) {
        part->state = PART_STATE_REMOTE;
        part->verdict = *late;
    }
    if (part->is_unwanted && !was_give && part->state == PART_STATE_REMOTE)
        part_give_back(part);
    if (!part->is_in_flight)
        part_free(part);
}

static struct part *part_new(struct pending *pending, const struct limit *limit)
{
    struct part *part = pool_get_zero(&pending->limiter->parts);
    if (part == NULL)
        return NULL;
    part->call.on_verdict = part_on_verdict;
    part->call.on_release = part_on_release;
    part->pending = pending;
    part->limiter = pending->limiter;
    part->set = pending->limiter->set;
    part->set->refs++;
    part->limit = limit;
    dlist_push_back(&pending->parts, &part->link);
    return part;
}

/* Decides what can be decided at once. false: no memory. */
static bool pending_add(struct pending *pending, const struct limit *limit,
                        const struct limit_query *query)
{
    struct local_limit_id id = {0};
    enum limit_match match = limit_match(limit, query, &id);

    if (match == LIMIT_MATCH_SKIPPED)
        return true;
    struct part *part = part_new(pending, limit);
    if (part == NULL)
        return false;
    part->id = id;
    if (match == LIMIT_MATCH_REFUSED) {
        part->state = PART_STATE_REFUSED;
        part->verdict = (struct gcra_verdict){.reset_ns = limit->gcra.step_ns};
    } else if (!limit->has_store) {
        part_take_local(part);
    } else if (limit->remote == NULL || !remote_limit_is_available(limit->remote)) {
        part_fall_back(part);
    } else {
        part->state = PART_STATE_WAITING;
        pending->waiting++;
    }
    return true;
}

static int part_ask(struct part *part)
{
    const struct gcra *gcra = &part->limit->gcra;
    unsigned max = (unsigned)MIN(gcra->span_ns / gcra->step_ns, REMOTE_COMMAND_TAKE_MAX - 1);

    part->call.debit = local_limit_collect(part->limiter->options.local, &part->id, max);
    int rc = remote_limit_ask(part->limit->remote, &part->call, &part->limit->command, &part->id);
    if (rc != 0 && part->call.debit > 0)
        part_owe(part, part->call.debit);
    return rc;
}

static void pending_ask(struct pending *pending)
{
    dlist_foreach(link, next, &pending->parts)
    {
        struct part *part = dlist_entry(link, struct part, link);
        if (part->state != PART_STATE_WAITING)
            continue;
        part->is_in_flight = part_ask(part) == 0;
        if (part->is_in_flight)
            continue;
        pending->waiting--;
        part_fall_back(part);
    }
}

/* No memory for a record: the load is shed rather than let through uncounted. */
static bool check_shed(struct limit_check *check, const struct limit *limit)
{
    check->result = LIMIT_RESULT_STORE_CLOSED;
    check->limit = limit->model;
    check->reset_ns = NS_PER_S;
    limit_count(limit, LIMIT_DECISION_STORE_ERROR);
    return true;
}

bool limit_check_start(struct limiter *limiter, struct limit_check *check, const unsigned *indexes,
                       unsigned count, const struct limit_query *query)
{
    check->result = LIMIT_RESULT_OK;
    check->fallback = false;
    check->limit = NULL;
    check->remaining = check->reset_ns = check->store_ns = 0;
    check->impl = NULL;
    if (count == 0)
        return true;
    ASSERT(limiter->set != NULL);
    struct pending *pending = pool_get_zero(&limiter->pending);
    if (pending == NULL)
        return check_shed(check, &limiter->set->limits[indexes[0]]);
    pending->limiter = limiter;
    pending->check = check;
    pending->start_ns = now_of(limiter);
    dlist_init(&pending->parts);
    check->impl = pending;
    bool is_denied = false;
    for (unsigned i = 0; i < count && !is_denied; i++) {
        ASSERT(indexes[i] < limiter->set->count);
        const struct limit *limit = &limiter->set->limits[indexes[i]];
        if (!pending_add(pending, limit, query)) {
            limit_check_cancel(limiter, check);
            return check_shed(check, limit);
        }
        is_denied = !dlist_is_empty(&pending->parts) &&
                    part_denies(dlist_entry(pending->parts.prev, struct part, link));
    }
    if (!is_denied)
        pending_ask(pending);
    if (!is_denied && !pending_is_decided(pending))
        return false;
    pending_finish(pending);
    return true;
}

void limit_check_cancel(struct limiter *limiter, struct limit_check *check)
{
    struct pending *pending = check->impl;
    struct dlist *link;

    if (pending == NULL)
        return;
    ASSERT(pending->limiter == limiter);
    while ((link = dlist_pop_front(&pending->parts)) != NULL) {
        struct part *part = dlist_entry(link, struct part, link);
        part->pending = NULL;
        if (!part->is_in_flight)
            part_free(part);
    }
    check->impl = NULL;
    pool_put(&limiter->pending, pending);
}
