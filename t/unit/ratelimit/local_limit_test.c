/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/local_limit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/metric.h"
#include "base/rand.h"

#define T0 (UINT64_C(1000) * NS_PER_S)

static struct local_limit_id id_of(uint64_t n)
{
    /* Spread like a hash. */
    return (struct local_limit_id){
        .words = {n * UINT64_C(0x9e3779b97f4a7c15), n * UINT64_C(0xc2b2ae3d27d4eb4f) + 1},
        .overflow = 7,
    };
}

static void test_separate_buckets(void **state)
{
    struct local_limit *table = local_limit_new(1024);
    struct gcra gcra;
    struct gcra_verdict verdict;
    (void)state;
    gcra_init(&gcra, 5, NS_PER_S, 5);
    for (uint64_t n = 0; n < 100; n++) {
        struct local_limit_id id = id_of(n);
        for (unsigned i = 0; i < 7; i++) {
            local_limit_take(table, &id, &gcra, T0, &verdict);
            assert_int_equal(verdict.allowed, i < 5);
        }
        local_limit_give(table, &id, &gcra, T0);
        local_limit_take(table, &id, &gcra, T0, &verdict);
        assert_true(verdict.allowed);
        local_limit_take(table, &id, &gcra, T0, &verdict);
        assert_false(verdict.allowed);
    }
    local_limit_free(table);
}

static void test_eviction_and_overflow(void **state)
{
    struct local_limit *table = local_limit_new(16);
    struct gcra gcra;
    struct gcra_verdict verdict;
    unsigned passed = 0;
    (void)state;
    int64_t evictions = metric_get(METRIC_RATELIMIT_EVICTIONS);
    gcra_init(&gcra, 2, NS_PER_S, 2);
    /* A flood of keys: what finds no place shares one bucket of its rule. */
    for (uint64_t n = 0; n < 5000; n++) {
        struct local_limit_id id = id_of(n);
        local_limit_take(table, &id, &gcra, T0, &verdict);
        passed += verdict.allowed;
    }
    assert_int_equal(passed, 16 + 2);
    assert_int_equal(metric_get(METRIC_RATELIMIT_EVICTIONS), evictions);
    /* Those that have a place keep their state. */
    struct local_limit_id first = id_of(0);
    local_limit_take(table, &first, &gcra, T0, &verdict);
    assert_true(verdict.allowed);
    local_limit_take(table, &first, &gcra, T0, &verdict);
    assert_false(verdict.allowed);
    /* Full buckets make room. */
    for (uint64_t n = 9000; n < 9016; n++) {
        struct local_limit_id id = id_of(n);
        local_limit_take(table, &id, &gcra, T0 + 2 * NS_PER_S, &verdict);
        assert_true(verdict.allowed);
        assert_int_equal(verdict.remaining, 1);
    }
    assert_int_equal(metric_get(METRIC_RATELIMIT_EVICTIONS), evictions + 16);
    local_limit_free(table);
    assert_int_equal(metric_get(METRIC_RATELIMIT_ENTRIES), 0);
}

/* The bucket here goes on from where the store's was. */
static void test_sync(void **state)
{
    static const struct {
        uint64_t remaining, reset_ms;
        bool is_known; /* there was a take before */
        unsigned passes; /* at once, after it */
    } cases[] = {
        {0, 200, false, 0}, {0, 100, false, 0}, {2, 200, false, 2},
        {3, 200, false, 5}, /* more than half full: not worth a place, so full */
        {3, 200, true, 3},  {5, 200, true, 5},  {0, 1000, true, 0}, /* in debt */
    };
    struct gcra gcra;
    (void)state;
    gcra_init(&gcra, 5, NS_PER_S, 5);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct local_limit *table = local_limit_new(64);
        struct local_limit_id id = id_of(i);
        struct gcra_verdict verdict;
        unsigned passes = 0;
        if (cases[i].is_known)
            local_limit_take(table, &id, &gcra, T0, &verdict);
        verdict = (struct gcra_verdict){false, cases[i].remaining, cases[i].reset_ms * NS_PER_MS};
        local_limit_sync(table, &id, &gcra, T0, &verdict);
        for (unsigned k = 0; k < 10; k++) {
            local_limit_take(table, &id, &gcra, T0, &verdict);
            passes += verdict.allowed;
        }
        if (passes != cases[i].passes)
            fail_msg("case %u: %u pass", i, passes);
        local_limit_free(table);
    }
}

static void test_debt(void **state)
{
    struct local_limit *table = local_limit_new(16);
    struct local_limit_id id = id_of(1), other = id_of(2);
    struct gcra gcra;
    struct gcra_verdict verdict;
    (void)state;
    gcra_init(&gcra, 5, NS_PER_S, 5);
    local_limit_owe(table, &id, 3); /* it has no bucket: nobody knows of it */
    assert_int_equal(local_limit_collect(table, &id, 9), 0);
    local_limit_take(table, &id, &gcra, T0, &verdict);
    local_limit_owe(table, &id, 1);
    local_limit_owe(table, &id, 3);
    assert_int_equal(local_limit_collect(table, &other, 9), 0);
    assert_int_equal(local_limit_collect(table, &id, 9), 4);
    assert_int_equal(local_limit_collect(table, &id, 9), 0);
    local_limit_owe(table, &id, 10);
    assert_int_equal(local_limit_collect(table, &id, 9), 9); /* the rest is forgiven */
    assert_int_equal(local_limit_collect(table, &id, 9), 0);
    local_limit_owe(table, &id, 1);
    for (uint64_t n = 10; n < 26; n++) { /* the place goes to another */
        struct local_limit_id next = id_of(n);
        local_limit_take(table, &next, &gcra, T0 + NS_PER_S, &verdict);
        assert_int_equal(local_limit_collect(table, &next, 9), 0);
    }
    assert_int_equal(local_limit_collect(table, &id, 9), 0);
    local_limit_free(table);
}

#define THREADS 4u
#define TAKES 20000u
#define KEYS 8u

struct worker {
    struct local_limit *table;
    uint64_t passed[KEYS], seed;
    bool gives;
};

static void *worker_run(void *arg)
{
    struct worker *worker = arg;
    struct rand_state rand;
    struct gcra gcra, noise;
    struct gcra_verdict verdict;
    rand_seed(&rand, worker->seed);
    gcra_init(&gcra, 500, 1000 * NS_PER_S, 500); /* as good as no refill */
    gcra_init(&noise, 1000, NS_PER_S, 1);
    for (unsigned i = 0; i < TAKES; i++) {
        unsigned hot = rand_below(&rand, KEYS);
        struct local_limit_id id = id_of(hot);
        local_limit_take(worker->table, &id, &gcra, T0, &verdict);
        worker->passed[hot] += verdict.allowed;
        if (worker->gives && verdict.allowed) {
            local_limit_give(worker->table, &id, &gcra, T0);
            worker->passed[hot]--;
        }
        /* Others come and go, so that slots are claimed and evicted around the hot ones; by
         * their clock the hot ones are never idle. */
        struct local_limit_id other = id_of(100 + rand_below(&rand, 4000));
        local_limit_take(worker->table, &other, &noise, T0 - (TAKES - i) * 100 * NS_PER_US,
                         &verdict);
    }
    return NULL;
}

static void run_threads(bool gives, uint64_t passed[KEYS])
{
    struct local_limit *table = local_limit_new(64);
    struct worker workers[THREADS] = {0};
    pthread_t threads[THREADS];
    struct gcra gcra;
    struct gcra_verdict verdict;
    gcra_init(&gcra, 500, 1000 * NS_PER_S, 500);
    for (unsigned hot = 0; hot < KEYS; hot++) {
        struct local_limit_id id = id_of(hot);
        local_limit_take(table, &id, &gcra, T0, &verdict);
        passed[hot] += verdict.allowed && !gives;
        if (gives)
            local_limit_give(table, &id, &gcra, T0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.table = table, .seed = i + 1, .gives = gives};
        assert_int_equal(pthread_create(&threads[i], NULL, worker_run, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        for (unsigned hot = 0; hot < KEYS; hot++)
            passed[hot] += workers[i].passed[hot];
    }
    for (unsigned hot = 0; gives && hot < KEYS; hot++) {
        struct local_limit_id id = id_of(hot);
        local_limit_take(table, &id, &gcra, T0, &verdict);
        assert_true(verdict.allowed); /* all was given back */
    }
    local_limit_free(table);
}

static void test_threads(void **state)
{
    uint64_t passed[KEYS] = {0}, none[KEYS] = {0};
    (void)state;
    run_threads(false, passed);
    for (unsigned hot = 0; hot < KEYS; hot++)
        assert_int_equal(passed[hot], 500);
    run_threads(true, none);
    for (unsigned hot = 0; hot < KEYS; hot++)
        assert_int_equal(none[hot], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_separate_buckets),
        cmocka_unit_test(test_eviction_and_overflow),
        cmocka_unit_test(test_sync),
        cmocka_unit_test(test_debt),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
