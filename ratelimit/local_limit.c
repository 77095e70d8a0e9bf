/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/local_limit.h"

#include <stdlib.h>

#include "base/metric.h"
#include "base/panic.h"

/* A slot is named by its id and changed by compare-and-swap of its TAT:
 *
 *     0 (never used) --claim--> BUSY --ids written--> TAT --take, give--> TAT
 *                                ^                     |
 *                                +---- claim, when TAT is in the past
 *
 * Whoever claims a slot passes through BUSY, so a swap that succeeds proves that
 * the ids read before it still hold. Ids are stored with release and read with
 * acquire: who sees a new id sees BUSY or what follows it, and its swap fails. A
 * slot's TAT only grows between claims, so it does not come back to an old value
 * (a give with a lagging clock could; then one request counts in the wrong
 * bucket). Two threads that insert one key at once pick the same first free slot
 * and one loses; if slots expire just between their looks, the key gets two slots
 * and one request is not counted. */

#define PROBES_MAX 16u
#define TRIES_MAX 64u
#define SPINS_MAX 1000u
#define OVERFLOWS 4096u
#define TAT_BUSY UINT64_MAX

struct entry {
    uint64_t tat_ns;
    uint64_t id[2];
    unsigned owed; /* to the store; may be off by a few when the slot changes hands meanwhile */
} __attribute__((aligned(32)));

_Static_assert(sizeof(struct entry) == 32, "two buckets a cache line");

struct local_limit {
    struct entry *entries;
    size_t mask;
    unsigned used; /* slots that were claimed at least once */
    uint64_t overflows[OVERFLOWS]; /* TATs */
};

struct local_limit *local_limit_new(size_t entries_max)
{
    size_t count = PROBES_MAX;
    while (count < entries_max && count < SIZE_MAX / 2 / sizeof(struct entry))
        count *= 2;
    struct local_limit *table = xcalloc(1, sizeof(*table));
    table->entries = aligned_alloc(64, count * sizeof(struct entry));
    if (table->entries == NULL) {
        free(table);
        return NULL;
    }
    memset(table->entries, 0, count * sizeof(struct entry));
    table->mask = count - 1;
    return table;
}

void local_limit_free(struct local_limit *table)
{
    if (table == NULL)
        return;
    metric_add(METRIC_RATELIMIT_ENTRIES, -(int64_t)table->used);
    free(table->entries);
    free(table);
}

static bool entry_is(struct entry *entry, const struct local_limit_id *id)
{
    return __atomic_load_n(&entry->id[0], __ATOMIC_ACQUIRE) == id->words[0] &&
           __atomic_load_n(&entry->id[1], __ATOMIC_ACQUIRE) == id->words[1];
}

/* The TAT; waits out a claim, which is a few instructions long unless its thread
 * was put to sleep: then BUSY is returned after a while. */
static uint64_t entry_load(struct entry *entry)
{
    uint64_t tat_ns = __atomic_load_n(&entry->tat_ns, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; tat_ns == TAT_BUSY && i < SPINS_MAX; i++)
        tat_ns = __atomic_load_n(&entry->tat_ns, __ATOMIC_ACQUIRE);
    return tat_ns;
}

struct probe {
    struct entry *found, *vacant; /* vacant: the first that may be claimed */
    uint64_t vacant_tat_ns;
};

static void table_probe(struct local_limit *table, const struct local_limit_id *id, uint64_t now_ns,
                        struct probe *ret)
{
    *ret = (struct probe){0};
    for (unsigned i = 0; i < PROBES_MAX; i++) {
        struct entry *entry = &table->entries[(id->words[0] + i) & table->mask];
        uint64_t tat_ns = entry_load(entry);
        if (tat_ns == TAT_BUSY)
            continue;
        if (tat_ns != 0 && entry_is(entry, id)) {
            ret->found = entry;
            return;
        }
        if (ret->vacant == NULL && tat_ns < now_ns) {
            ret->vacant = entry;
            ret->vacant_tat_ns = tat_ns;
        }
        if (tat_ns == 0)
            return;
    }
}

static bool entry_take(struct entry *entry, const struct local_limit_id *id,
                       const struct gcra *gcra, uint64_t now_ns, struct gcra_verdict *ret)
{
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        uint64_t tat_ns = entry_load(entry);
        if (tat_ns == TAT_BUSY || !entry_is(entry, id))
            return false;
        uint64_t next_ns = gcra_take(gcra, tat_ns, now_ns, ret);
        if (!ret->allowed && next_ns >= tat_ns)
            return true;
        if (__atomic_compare_exchange_n(&entry->tat_ns, &tat_ns, next_ns, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return true;
    }
    return false;
}

/* Makes the slot the id's. next_ns: the state after the first take. */
static bool entry_claim(struct local_limit *table, struct probe *probe,
                        const struct local_limit_id *id, uint64_t next_ns)
{
    struct entry *entry = probe->vacant;
    uint64_t seen_ns = probe->vacant_tat_ns;
    if (!__atomic_compare_exchange_n(&entry->tat_ns, &seen_ns, TAT_BUSY, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return false;
    __atomic_store_n(&entry->id[0], id->words[0], __ATOMIC_RELEASE);
    __atomic_store_n(&entry->id[1], id->words[1], __ATOMIC_RELEASE);
    __atomic_store_n(&entry->owed, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->tat_ns, next_ns, __ATOMIC_RELEASE);
    if (probe->vacant_tat_ns == 0) {
        __atomic_fetch_add(&table->used, 1, __ATOMIC_RELAXED);
        metric_inc(METRIC_RATELIMIT_ENTRIES);
    } else {
        metric_inc(METRIC_RATELIMIT_EVICTIONS);
    }
    return true;
}

static void overflow_take(struct local_limit *table, const struct local_limit_id *id,
                          const struct gcra *gcra, uint64_t now_ns, struct gcra_verdict *ret)
{
    uint64_t *word = &table->overflows[id->overflow % OVERFLOWS];
    uint64_t tat_ns = __atomic_load_n(word, __ATOMIC_RELAXED), next_ns;
    do {
        next_ns = gcra_take(gcra, tat_ns, now_ns, ret);
    } while (ret->allowed && !__atomic_compare_exchange_n(word, &tat_ns, next_ns, false,
                                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

void local_limit_take(struct local_limit *table, const struct local_limit_id *id,
                      const struct gcra *gcra, uint64_t now_ns, struct gcra_verdict *ret)
{
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        struct probe probe;
        table_probe(table, id, now_ns, &probe);
        if (probe.found != NULL) {
            if (entry_take(probe.found, id, gcra, now_ns, ret))
                return;
            continue;
        }
        if (probe.vacant == NULL)
            break;
        uint64_t next_ns = gcra_take(gcra, 0, now_ns, ret);
        if (!ret->allowed || entry_claim(table, &probe, id, next_ns))
            return;
    }
    overflow_take(table, id, gcra, now_ns, ret);
}

void local_limit_give(struct local_limit *table, const struct local_limit_id *id,
                      const struct gcra *gcra, uint64_t now_ns)
{
    struct probe probe;
    table_probe(table, id, now_ns, &probe);
    for (unsigned i = 0; probe.found != NULL && i < TRIES_MAX; i++) {
        uint64_t tat_ns = entry_load(probe.found);
        if (tat_ns == TAT_BUSY || !entry_is(probe.found, id))
            return;
        uint64_t next_ns = gcra_give(gcra, tat_ns, now_ns);
        if (__atomic_compare_exchange_n(&probe.found->tat_ns, &tat_ns, next_ns, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return;
    }
}

static uint64_t verdict_tat(const struct gcra *gcra, uint64_t now_ns,
                            const struct gcra_verdict *verdict)
{
    uint64_t filled_ns = verdict->remaining * gcra->step_ns + gcra->step_ns;
    uint64_t room_ns = filled_ns - MIN(verdict->reset_ns, filled_ns);
    return now_ns + gcra->span_ns - MIN(room_ns, gcra->span_ns);
}

void local_limit_sync(struct local_limit *table, const struct local_limit_id *id,
                      const struct gcra *gcra, uint64_t now_ns, const struct gcra_verdict *verdict)
{
    uint64_t next_ns = verdict_tat(gcra, now_ns, verdict);
    struct probe probe;
    table_probe(table, id, now_ns, &probe);
    if (probe.found == NULL) {
        if (probe.vacant != NULL && next_ns - now_ns >= gcra->span_ns / 2)
            (void)entry_claim(table, &probe, id, next_ns); /* taken meanwhile: the next time */
        return;
    }
    uint64_t tat_ns = entry_load(probe.found);
    if (tat_ns != TAT_BUSY && entry_is(probe.found, id)) /* who changes it meanwhile knows more */
        __atomic_compare_exchange_n(&probe.found->tat_ns, &tat_ns, next_ns, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED);
}

void local_limit_owe(struct local_limit *table, const struct local_limit_id *id, unsigned count)
{
    struct probe probe;
    table_probe(table, id, 0, &probe);
    if (probe.found != NULL)
        __atomic_fetch_add(&probe.found->owed, count, __ATOMIC_RELAXED);
}

unsigned local_limit_collect(struct local_limit *table, const struct local_limit_id *id,
                             unsigned max)
{
    struct probe probe;
    table_probe(table, id, 0, &probe);
    if (probe.found == NULL || __atomic_load_n(&probe.found->owed, __ATOMIC_RELAXED) == 0)
        return 0;
    return MIN(__atomic_exchange_n(&probe.found->owed, 0, __ATOMIC_RELAXED), max);
}
