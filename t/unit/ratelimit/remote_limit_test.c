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
        {"redis.example:6379", NULL, 0},
        {"redis.example:0", NULL, -EINVAL},
        {"redis.example:65536", NULL, -EINVAL},
        {"redis.example", NULL, -EINVAL},
        {"localhost:", NULL, -EINVAL},
        {"unix:", NULL, -EINVAL},
        {"", NULL, -EINVAL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(endpoints); i++) {
        struct remote_endpoint endpoint;
        struct err err = {.text = ""};
        char text[ADDR_TEXT_SIZE];
        int r = remote_limit_endpoint(span_str(endpoints[i].text), &endpoint, &err);
        assert_int_equal(r, endpoints[i].error);
        if (r != 0) {
            assert_true(strlen(err.text) > 0);
            continue;
        }
        if (endpoints[i].formatted == NULL) {
            assert_true(span_equal_str(endpoint.host, "redis.example"));
            assert_int_equal(endpoint.port, 6379);
            continue;
        }
        assert_int_equal(endpoint.host.len, 0);
        addr_format(&endpoint.addr, text);
        assert_string_equal(text, endpoints[i].formatted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_endpoints)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
