/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limiter.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"

static void check(const struct limit_check *check, const char *policy, const char *limit)
{
    char buffer[256];
    struct limit_headers got;
    bool is_shown = limit_format_headers(check, buffer, sizeof(buffer), &got);
    assert_int_equal(is_shown, policy != NULL);
    assert_true(span_equal_str(got.policy, policy != NULL ? policy : ""));
    assert_true(span_equal_str(got.limit, limit != NULL ? limit : ""));
}

static void test_headers(void **state)
{
    struct conf_limit_rule rule = {.name = SPAN_LIT("per-client"),
                                   .requests = 100,
                                   .burst = 100,
                                   .period_ns = 10 * NS_PER_S,
                                   .headers = true};
    struct model_limit model = {.rule = &rule, .item = SPAN_LIT("\"per-client\";q=100;w=10")};
    struct limit_check ok = {
        .result = LIMIT_RESULT_OK, .limit = &model, .remaining = 37, .reset_ns = 3500 * NS_PER_MS};
    (void)state;
    check(&ok, "\"per-client\";q=100;w=10", "\"per-client\";r=37;t=4");
    ok.reset_ns = 1;
    check(&ok, "\"per-client\";q=100;w=10", "\"per-client\";r=37;t=1");
    rule.headers = false;
    check(&ok, NULL, NULL);
    rule.headers = true;
    rule.shadow = true;
    check(&ok, NULL, NULL);
    ok.limit = NULL;
    check(&ok, NULL, NULL);
}

static void test_retry_after(void **state)
{
    static const struct {
        enum limit_result result;
        uint64_t reset_ns;
        uint32_t min_s, max_s;
    } cases[] = {
        {LIMIT_RESULT_OK, 5 * NS_PER_S, 0, 0},
        {LIMIT_RESULT_SHADOW, 5 * NS_PER_S, 0, 0},
        {LIMIT_RESULT_LIMITED, 1, 1, 1},
        {LIMIT_RESULT_LIMITED, 5 * NS_PER_S, 5, 5},
        {LIMIT_RESULT_LIMITED, 99 * NS_PER_S + 1, 100, 110},
        {LIMIT_RESULT_LIMITED, UINT64_MAX, 86400 * 366, 86400 * 366},
        {LIMIT_RESULT_STORE_CLOSED, NS_PER_S, 1, 1},
    };
    struct conf_limit_rule rule = {.name = SPAN_LIT("r"), .requests = 1, .period_ns = NS_PER_S};
    struct model_limit model = {.rule = &rule};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct limit_check denied = {
            .result = cases[i].result, .reset_ns = cases[i].reset_ns, .limit = &model};
        struct limit_headers got = {.retry_after_s = 77};
        char buffer[256];
        assert_false(limit_format_headers(&denied, buffer, sizeof(buffer), &got));
        assert_in_range(got.retry_after_s, cases[i].min_s, cases[i].max_s);
    }
}

static void test_longest(void **state)
{
    char item[80], buffer[128];
    struct conf_limit_rule rule = {.headers = true};
    struct model_limit model = {.rule = &rule, .item = span_make(item, sizeof(item))};
    struct limit_check ok = {.limit = &model, .remaining = UINT64_MAX, .reset_ns = UINT64_MAX};
    struct limit_headers got;
    (void)state;
    memset(item, 'n', sizeof(item));
    rule.name = span_make(item + 1, 63);
    assert_true(limit_format_headers(&ok, buffer, sizeof(buffer), &got));
    assert_true(got.limit.len <= sizeof(buffer));
    /* Too long for the buffer: left out whole, not cut. */
    assert_false(limit_format_headers(&ok, buffer, got.limit.len - 1, &got));
    assert_int_equal(got.policy.len + got.limit.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
