/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/remote_command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"

#define SHA "0123456789abcdef0123456789abcdef01234567"
#define ID "aerukz4jvpg677w4xkmhmvbsca"

static const struct local_limit_id bucket = {
    .words = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)},
};

static void test_fill(void **state)
{
    struct remote_command command;
    struct gcra gcra;
    (void)state;
    gcra_init(&gcra, 100, NS_PER_S, 50);
    remote_command_init(&command, SPAN_LIT("a{b"), &gcra);
    struct remote_question question = {.id = bucket, .take = 1};
    struct span text = remote_command_by_digest(&command, &question, SHA);
    assert_true(span_equal_str(text, "*7\r\n$7\r\nEVALSHA\r\n$40\r\n" SHA
                                     "\r\n$1\r\n1\r\n$34\r\na{b:1:{" ID
                                     "}\r\n$6\r\n100000\r\n$7\r\n5000000\r\n$5\r\n00001\r\n"));
    question.take = 0;
    text = remote_command_after_script(&command, &question);
    assert_true(span_equal_str(text, "$1\r\n1\r\n$34\r\na{b:1:{" ID
                                     "}\r\n$6\r\n100000\r\n$7\r\n5000000\r\n$5\r\n00000\r\n"));
    question.take = REMOTE_COMMAND_TAKE_MAX;
    text = remote_command_by_digest(&command, &question, SHA);
    assert_true(span_ends_with(text, SPAN_LIT("$5\r\n99999\r\n")));
    remote_command_fini(&command);
}

/* Ticks are rounded up, the span is a whole number of steps and below 2^53. */
static void test_ticks(void **state)
{
    static const struct {
        uint64_t requests, period_ns, burst;
        const char *tail;
    } cases[] = {
        {30000, NS_PER_S, 30000, "$3\r\n334\r\n$8\r\n10020000\r\n$5\r\n00001\r\n"},
        {1000000000, NS_PER_S, 1, "$1\r\n1\r\n$1\r\n1\r\n$5\r\n00001\r\n"},
        {1, 3600 * NS_PER_S, 1, "$11\r\n36000000000\r\n$11\r\n36000000000\r\n$5\r\n00001\r\n"},
        {0, NS_PER_S, 1, "$8\r\n10000000\r\n$1\r\n0\r\n$5\r\n00001\r\n"},
        {1000000000, NS_PER_S, UINT64_MAX, "$1\r\n1\r\n$15\r\n316224000000000\r\n$5\r\n00001\r\n"},
    };
    const struct remote_question question = {.id = bucket, .take = 1};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct remote_command command;
        struct gcra gcra;
        gcra_init(&gcra, cases[i].requests, cases[i].period_ns, cases[i].burst);
        remote_command_init(&command, SPAN_LIT("p"), &gcra);
        struct span text = remote_command_by_digest(&command, &question, SHA);
        assert_true(span_ends_with(text, span_str(cases[i].tail)));
        remote_command_fini(&command);
    }
}

static void test_id(void **state)
{
    static const struct {
        uint64_t words[2];
        const char *text;
    } cases[] = {
        {{0, 0}, "aaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {{UINT64_MAX, UINT64_MAX}, "77777777777777777777777774"},
        {{UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)},
         "aerukz4jvpg677w4xkmhmvbsca"},
        {{0, 1}, "aaaaaaaaaaaaaaaaaaaaaaaaae"},
    };
    struct remote_command command;
    struct gcra gcra;
    (void)state;
    gcra_init(&gcra, 100, NS_PER_S, 50);
    remote_command_init(&command, SPAN_LIT("p"), &gcra);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct remote_question question = {
            .id = {.words = {cases[i].words[0], cases[i].words[1]}},
        };
        char key[64];
        snprintf(key, sizeof(key), "$1\r\n1\r\n$32\r\np:1:{%s}\r\n", cases[i].text);
        struct span text = remote_command_after_script(&command, &question);
        assert_true(span_starts_with(text, span_str(key)));
    }
    remote_command_fini(&command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
