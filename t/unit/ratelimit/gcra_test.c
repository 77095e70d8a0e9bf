/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/gcra.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/rand.h"

#define S NS_PER_S
#define T0 (UINT64_C(1000) * S)

static void test_init(void **state)
{
    static const struct {
        uint64_t requests, period_ns, burst, step_ns, span_ns;
    } cases[] = {
        {100, S, 100, S / 100, S},
        {1, S, 1, S, S},
        {3, S, 3, 333333334, 1000000002}, /* rounded up */
        {5, 60 * S, 2, 12 * S, 24 * S},
        {10, S, 0, S / 10, S / 10}, /* burst 0 counts as 1 */
        {0, S, 5, S, 0}, /* blocks */
        {10, 0, 10, S / 10, S}, /* period 0 counts as 1 s */
        {UINT64_MAX, S, 1, 1, 1},
        {1, UINT64_MAX, UINT64_MAX, GCRA_SPAN_NS_MAX, GCRA_SPAN_NS_MAX},
        {1, S, UINT64_MAX, S, GCRA_SPAN_NS_MAX},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct gcra gcra;
        gcra_init(&gcra, cases[i].requests, cases[i].period_ns, cases[i].burst);
        assert_int_equal(gcra.step_ns, cases[i].step_ns);
        assert_int_equal(gcra.span_ns, cases[i].span_ns);
    }
}

static void test_take(void **state)
{
    /* 10 a second, 3 at once: step 100 ms. Times in ms after T0. */
    static const struct {
        uint64_t at_ms, allowed, remaining, reset_ms;
    } cases[] = {
        {0, 1, 2, 100}, {0, 1, 1, 100},   {0, 1, 0, 100},  {0, 0, 0, 100},    {50, 0, 0, 50},
        {99, 0, 0, 1},  {100, 1, 0, 100}, {250, 1, 0, 50}, {5000, 1, 2, 100}, {5000, 1, 1, 100},
    };
    struct gcra gcra;
    uint64_t tat_ns = 0;
    (void)state;
    gcra_init(&gcra, 10, S, 3);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct gcra_verdict verdict;
        tat_ns = gcra_take(&gcra, tat_ns, T0 + cases[i].at_ms * NS_PER_MS, &verdict);
        assert_int_equal(verdict.allowed, cases[i].allowed);
        assert_int_equal(verdict.remaining, cases[i].remaining);
        assert_int_equal(verdict.reset_ns, cases[i].reset_ms * NS_PER_MS);
    }
}

static void test_edges(void **state)
{
    struct gcra gcra;
    struct gcra_verdict verdict;
    (void)state;
    gcra_init(&gcra, 0, 7 * S, 9);
    gcra_take(&gcra, 0, T0, &verdict);
    assert_false(verdict.allowed);
    assert_int_equal(verdict.reset_ns, 7 * S);
    /* A state from the far future is cut to an empty bucket: nobody is locked out. */
    gcra_init(&gcra, 10, S, 3);
    uint64_t tat_ns = gcra_take(&gcra, UINT64_MAX - 1, T0, &verdict);
    assert_false(verdict.allowed);
    assert_int_equal(tat_ns, T0 + gcra.span_ns);
    gcra_take(&gcra, tat_ns, T0 + S / 10, &verdict);
    assert_true(verdict.allowed);
}

static void test_give(void **state)
{
    struct gcra gcra;
    struct gcra_verdict verdict;
    uint64_t tat_ns = 0;
    (void)state;
    gcra_init(&gcra, 10, S, 3);
    for (int i = 0; i < 1000; i++) {
        tat_ns = gcra_take(&gcra, tat_ns, T0, &verdict);
        assert_true(verdict.allowed);
        assert_int_equal(verdict.remaining, 2);
        tat_ns = gcra_give(&gcra, tat_ns, T0);
    }
    /* Never more than full. */
    for (int i = 0; i < 10; i++)
        tat_ns = gcra_give(&gcra, tat_ns, T0);
    gcra_take(&gcra, tat_ns, T0, &verdict);
    assert_int_equal(verdict.remaining, 2);
}

/* Whatever the arrivals: at most burst + rate * t pass in any stretch that starts at the
 * first request, and a client that keeps below the rate is never refused. */
static void test_property(void **state)
{
    struct rand_state rand;
    (void)state;
    rand_seed(&rand, 42);
    for (int round = 0; round < 300; round++) {
        uint64_t requests = 1 + rand_below(&rand, 5000), burst = 1 + rand_below(&rand, 200);
        uint64_t period_ns = (1 + rand_below(&rand, 100)) * S;
        struct gcra gcra;
        struct gcra_verdict verdict;
        gcra_init(&gcra, requests, period_ns, burst);
        uint64_t tat_ns = 0, now_ns = T0, passed = 0;
        for (int i = 0; i < 2000; i++) {
            now_ns += rand_below(&rand, (uint32_t)MIN(2 * gcra.step_ns, UINT64_C(4000000000)));
            tat_ns = gcra_take(&gcra, tat_ns, now_ns, &verdict);
            passed += verdict.allowed;
            __uint128_t bound = (__uint128_t)(now_ns - T0) * requests / period_ns + burst;
            assert_true(passed <= (uint64_t)bound);
        }
        for (int i = 0; i < 200; i++) {
            now_ns += gcra.step_ns;
            tat_ns = gcra_take(&gcra, tat_ns, now_ns, &verdict);
            assert_true(verdict.allowed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init), cmocka_unit_test(test_take),     cmocka_unit_test(test_edges),
        cmocka_unit_test(test_give), cmocka_unit_test(test_property),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
