/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/remote_limit.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_endpoints(void **state)
{
    static const struct {
        const char *text, *formatted;
        int error;
    } endpoints[] = {
        {"10.0.0.5:6379", "10.0.0.5:6379", 0},
        {"[::1]:6380", "[::1]:6380", 0},
        {"localhost:6379", "127.0.0.1:6379", 0},
        {"unix:/run/redis.sock", "unix:/run/redis.sock", 0},
        {"redis.example:6379", NULL, -ENOTSUP},
        {"localhost:", NULL, -ENOTSUP},
        {"unix:", NULL, -EINVAL},
        {"", NULL, -EINVAL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(endpoints); i++) {
        struct addr addr;
        struct err err = {.text = ""};
        char text[ADDR_TEXT_SIZE];
        int r = remote_limit_endpoint(span_str(endpoints[i].text), &addr, &err);
        assert_int_equal(r, endpoints[i].error);
        if (r != 0) {
            assert_true(strlen(err.text) > 0);
            continue;
        }
        addr_format(&addr, text);
        assert_string_equal(text, endpoints[i].formatted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_endpoints)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
