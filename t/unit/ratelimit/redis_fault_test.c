/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/redis_fault.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_classify(void **state)
{
    static const struct {
        const char *text;
        enum redis_fault fault;
    } cases[] = {
        {"NOSCRIPT No matching script. Please use EVAL.", REDIS_FAULT_SCRIPT},
        {"READONLY You can't write against a read only replica. script: 1f, on @user_script:9.",
         REDIS_FAULT_READONLY},
        {"ERR Error running script (call to f_1): @user_script:9: -READONLY You can't write",
         REDIS_FAULT_READONLY},
        {"LOADING Redis is loading the dataset in memory", REDIS_FAULT_BUSY},
        {"MASTERDOWN Link with MASTER is down", REDIS_FAULT_BUSY},
        {"BUSY Redis is busy running a script.", REDIS_FAULT_BUSY},
        {"OOM command not allowed when used memory > 'maxmemory'. script: 1f", REDIS_FAULT_WRITES},
        {"MISCONF Redis is configured to save RDB snapshots", REDIS_FAULT_WRITES},
        {"NOREPLICAS Not enough good replicas to write.", REDIS_FAULT_WRITES},
        {"NOAUTH Authentication required.", REDIS_FAULT_AUTH},
        {"WRONGPASS invalid username-password pair or user is disabled.", REDIS_FAULT_AUTH},
        {"NOPERM this user has no permissions to run the 'evalsha' command", REDIS_FAULT_AUTH},
        {"ERR The user executing the script can't run this command or subcommand",
         REDIS_FAULT_AUTH},
        {"ERR unknown command", REDIS_FAULT_OTHER},
        {"BUSYKEY Target key name already exists.", REDIS_FAULT_OTHER},
        {"OOM", REDIS_FAULT_WRITES},
        {"", REDIS_FAULT_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(redis_fault_classify(span_str(cases[i].text)), cases[i].fault);
    assert_int_equal(redis_fault_classify(SPAN_NONE), REDIS_FAULT_OTHER);
    for (int fault = REDIS_FAULT_NONE; fault <= REDIS_FAULT_OTHER; fault++)
        assert_non_null(redis_fault_text((enum redis_fault)fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_classify)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
