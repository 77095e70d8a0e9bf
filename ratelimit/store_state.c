/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/store_state.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/panic.h"

#define REASON_NS NS_PER_S /* between two lines that tell why a store is away */

struct store_state {
    struct store_state *next;
    char *id;
    unsigned refs; /* under the lock */
    int value; /* enum store_state_value, atomic */
    uint64_t told, told_ns; /* under the lock: hash of the reason in the log, and when */
    struct metric_series *series[STORE_STATE_UNKNOWN];
};

/* Taken when a worker adopts or drops a store, never for a decision. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct store_state *states;

struct store_state *store_state_ref(struct span id)
{
    static const char *const names[STORE_STATE_UNKNOWN] = {"closed", "open", "half_open"};

    pthread_mutex_lock(&lock);
    struct store_state *state = states;
    while (state != NULL && !span_equal_str(id, state->id))
        state = state->next;
    if (state == NULL) {
        state = xcalloc(1, sizeof(*state));
        state->id = xasprintf("%.*s", SPAN_ARG(id));
        state->value = STORE_STATE_UNKNOWN;
        for (unsigned i = 0; i < STORE_STATE_UNKNOWN; i++) {
            const char *labels[] = {state->id, names[i]};
            state->series[i] = metric_series_get(METRIC_FAMILY_RATELIMIT_STORE_STATE, labels);
        }
        state->next = states;
        states = state;
    }
    state->refs++;
    pthread_mutex_unlock(&lock);
    return state;
}

static int value_swap(struct store_state *state, int value)
{
    int old = __atomic_exchange_n(&state->value, value, __ATOMIC_ACQ_REL);
    if (old == value)
        return old;
    if (old != STORE_STATE_UNKNOWN)
        metric_series_add(state->series[old], -1);
    if (value != STORE_STATE_UNKNOWN)
        metric_series_add(state->series[value], 1);
    return old;
}

void store_state_unref(struct store_state *state)
{
    if (state == NULL)
        return;
    pthread_mutex_lock(&lock);
    if (--state->refs == 0) {
        struct store_state **at = &states;
        while (*at != state)
            at = &(*at)->next;
        *at = state->next;
        value_swap(state, STORE_STATE_UNKNOWN);
        free(state->id);
        free(state);
    }
    pthread_mutex_unlock(&lock);
}

/* The reason is another one than the log has. Workers may disagree, so not too often. */
static bool reason_is_news(struct store_state *state, bool was_away, enum redis_fault fault,
                           struct span detail)
{
    uint64_t reason = hash_fast(detail, fault), now_ns = clock_mono_ns();
    pthread_mutex_lock(&lock);
    bool is_news = !was_away || (reason != state->told && now_ns - state->told_ns >= REASON_NS);
    if (is_news) {
        state->told = reason;
        state->told_ns = now_ns;
    }
    pthread_mutex_unlock(&lock);
    return is_news;
}

void store_state_set(struct store_state *state, enum store_state_value value,
                     enum redis_fault fault, struct span detail)
{
    /* A worker that probes says nothing of a store that others use. */
    if (value == STORE_STATE_HALF_OPEN &&
        __atomic_load_n(&state->value, __ATOMIC_ACQUIRE) != STORE_STATE_OPEN)
        return;
    int old = value_swap(state, (int)value);
    bool was_away = old == STORE_STATE_OPEN || old == STORE_STATE_HALF_OPEN;

    if (value == STORE_STATE_CLOSED && old != STORE_STATE_CLOSED)
        log_event(LOG_LEVEL_INFO,
                  was_away ? "rate limit store is back" : "rate limit store is connected",
                  LOG_STR("store", state->id));
    else if (value == STORE_STATE_OPEN && reason_is_news(state, was_away, fault, detail))
        log_event(LOG_LEVEL_WARN,
                  was_away ? "rate limit store is still away, for another reason"
                           : "rate limit store is away, its rules follow onStoreFailure",
                  LOG_STR("store", state->id), LOG_STR("reason", redis_fault_text(fault)),
                  LOG_SPAN("detail", detail));
}
