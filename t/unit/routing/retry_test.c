/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "routing/retry.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"

static void test_backoff(void **state UNUSED)
{
    static const struct {
        uint64_t first_ms;
        unsigned number;
        uint64_t expected_ms;
    } cases[] = {
        {50, 1, 50},   {50, 2, 100}, {50, 3, 200},    {50, 4, 250}, {50, 5, 250},
        {50, 64, 250}, {25, 1, 25},  {1000, 9, 5000}, {0, 1, 0},    {0, 7, 0},
    };
    struct rand_state rand;
    rand_seed(&rand, 1);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t expected = cases[i].expected_ms * NS_PER_MS;
        for (unsigned j = 0; j < 200; j++) {
            uint64_t got = retry_backoff_ns(cases[i].first_ms * NS_PER_MS, cases[i].number, &rand);
            assert_in_range(got, expected, expected + expected / 10);
        }
    }
}

static unsigned requests(struct retry_budget *budget, const struct conf_retry_constraint *conf,
                         unsigned count, uint64_t now_ns)
{
    for (unsigned i = 0; i < count; i++)
        retry_budget_request(budget, conf, now_ns);
    return count;
}

/* As many retries as are allowed at once. */
static unsigned take_all(struct retry_budget *budget, const struct conf_retry_constraint *conf,
                         uint64_t now_ns)
{
    unsigned count = 0;
    while (count < 1000 && retry_budget_take(budget, conf, now_ns))
        count++;
    return count;
}

static void test_share(void **state UNUSED)
{
    static const struct {
        unsigned percent, min_count, requests, expected;
    } cases[] = {
        {20, 0, 100, 25}, /* 25 of 125 */
        {20, 10, 100, 25}, /* the larger of the two */
        {20, 30, 100, 30}, {20, 0, 0, 0},   {20, 10, 0, 10},   {0, 0, 1000, 0},
        {0, 3, 1000, 3},   {50, 0, 10, 10}, {100, 0, 0, 1000}, /* all may be retries */
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conf_retry_constraint conf = {cases[i].percent, 10 * NS_PER_S, cases[i].min_count,
                                             NS_PER_S};
        struct retry_budget budget = {0};
        uint64_t now = 12345 * NS_PER_MS;
        requests(&budget, &conf, cases[i].requests, now);
        unsigned got = take_all(&budget, &conf, now);
        if (got != cases[i].expected)
            fail_msg("case %u: %u retries", i, got);
    }
}

static void test_time(void **state UNUSED)
{
    struct conf_retry_constraint conf = {20, 10 * NS_PER_S, 2, NS_PER_S};
    struct retry_budget budget = {0};
    uint64_t now = 1000 * NS_PER_S;
    requests(&budget, &conf, 100, now);
    assert_int_equal(take_all(&budget, &conf, now), 25);
    /* The minimum rate comes back after its own interval; the share is still used up. */
    assert_int_equal(take_all(&budget, &conf, now + NS_PER_S / 2), 0);
    assert_int_equal(take_all(&budget, &conf, now + NS_PER_S), 2);
    assert_int_equal(take_all(&budget, &conf, now + NS_PER_S), 0);
    /* Requests are forgotten when the interval is over, a tenth at a time. */
    now += 5 * NS_PER_S;
    requests(&budget, &conf, 100, now);
    assert_int_equal(take_all(&budget, &conf, now), 50 - 27);
    now += 5 * NS_PER_S;
    assert_int_equal(take_all(&budget, &conf, now), 2); /* 100 requests, 25 retries: full */
    now += 3600 * NS_PER_S;
    assert_int_equal(take_all(&budget, &conf, now), 2);
    /* A reload with another interval counts from nothing. */
    conf.interval_ns = 3600 * NS_PER_S;
    requests(&budget, &conf, 100, now);
    assert_int_equal(take_all(&budget, &conf, now), 25);
    now += 360 * NS_PER_S;
    assert_int_equal(take_all(&budget, &conf, now), 2);
    /* Time that goes back breaks nothing. */
    assert_int_equal(take_all(&budget, &conf, now - NS_PER_S), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
