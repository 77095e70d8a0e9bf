/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "routing/backend_set.h"

static void test_nothing_to_pick(void **state)
{
    (void)state;
    struct rand_state rand;
    rand_seed(&rand, 1);
    struct backend_cursor cursor = {0};
    const struct model_backend zero[3] = {{0}};
    assert_int_equal(backend_set_pick(NULL, 0, &cursor, &rand), -1);
    assert_int_equal(backend_set_pick(zero, 3, &cursor, &rand), -1);
}

/* Any window of the sum of weights holds each backend exactly as often as its weight. */
static void test_exact_windows(void **state)
{
    (void)state;
    struct rand_state rand;
    rand_seed(&rand, 2);
    for (unsigned round = 0; round < 200; round++) {
        struct model_backend backends[6] = {{0}};
        unsigned count = 1 + rand_below(&rand, 6), sum = 0;
        for (unsigned i = 0; i < count; i++) {
            backends[i].weight = rand_below(&rand, 3) == 0 ? 0 : rand_below(&rand, 90);
            sum += backends[i].weight;
        }
        if (sum == 0)
            continue;
        struct backend_cursor cursor = {0};
        int *picks = calloc(3 * sum, sizeof(*picks));
        assert_non_null(picks);
        unsigned seen[6] = {0};
        for (unsigned i = 0; i < 3 * sum; i++) {
            picks[i] = backend_set_pick(backends, count, &cursor, &rand);
            assert_in_range(picks[i], 0, count - 1);
            seen[picks[i]]++;
            if (i >= sum)
                seen[picks[i - sum]]--;
            if (i + 1 < sum)
                continue;
            for (unsigned k = 0; k < count; k++)
                assert_int_equal(seen[k], backends[k].weight);
        }
        free(picks);
    }
}

/* Spread inside the cycle: after n picks a backend is within 2 of its share, times log of the sum.
 */
static void test_spread(void **state)
{
    (void)state;
    struct rand_state rand;
    rand_seed(&rand, 3);
    const struct model_backend backends[] = {{.weight = 900000}, {.weight = 100000}};
    struct backend_cursor cursor = {0};
    unsigned second = 0;
    for (unsigned i = 1; i <= 5000; i++) {
        second += backend_set_pick(backends, 2, &cursor, &rand) == 1;
        assert_in_range(second + 6, i / 10, i / 10 + 12);
    }
}

/* Other weights start the cursor anew; other workers start elsewhere. */
static void test_change_and_phase(void **state)
{
    (void)state;
    struct rand_state rand;
    rand_seed(&rand, 4);
    struct model_backend backends[] = {{.weight = 70}, {.weight = 30}};
    struct backend_cursor cursor = {0};
    unsigned phases = 0;
    uint32_t last = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct backend_cursor other = {0};
        (void)backend_set_pick(backends, 2, &other, &rand);
        phases += other.position != last;
        last = other.position;
    }
    assert_true(phases > 10);
    (void)backend_set_pick(backends, 2, &cursor, &rand);
    backends[0].weight = 1;
    backends[1].weight = 1;
    unsigned seen[2] = {0};
    for (unsigned i = 0; i < 10; i++)
        seen[backend_set_pick(backends, 2, &cursor, &rand)]++;
    assert_int_equal(seen[0], 5);
    /* More than the API allows is served, if not exactly. */
    backends[0].weight = backends[1].weight = UINT32_MAX;
    for (unsigned i = 0; i < 10; i++)
        assert_in_range(backend_set_pick(backends, 2, &cursor, &rand), 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_pick),
        cmocka_unit_test(test_exact_windows),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_change_and_phase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
