/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"
#include "gateway/grpc.h"

static struct arena arena;

static int setup(void **state UNUSED)
{
    arena_init(&arena, 4096, 0, NULL);
    return 0;
}

static int teardown(void **state UNUSED)
{
    arena_fini(&arena);
    return 0;
}

static void test_is_request(void **state UNUSED)
{
    static const struct {
        const char *type;
        bool expect;
    } cases[] = {
        {"application/grpc", true},        {"application/grpc+proto", true},
        {"application/grpc; a=b", true},   {"Application/gRPC ;a=b", true},
        {"application/grpc-web", false},   {"application/grpc-web+proto", false},
        {"application/grpcx", false},      {"application/grp", false},
        {"x-application/grpc", false},     {"", false},
        {"application/grpc+json;a", true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_head *head = http_head_new(&arena, 1);
        assert_false(grpc_is_request(head));
        assert_true(http_head_add(head, SPAN_LIT("Content-Type"), span_str(cases[i].type)));
        if (grpc_is_request(head) != cases[i].expect)
            fail_msg("\"%s\"", cases[i].type);
    }
}

static void test_timeouts(void **state UNUSED)
{
    static const struct {
        const char *text;
        int result;
        uint64_t ns;
    } cases[] = {
        {"1H", 0, 3600 * NS_PER_S},
        {"2M", 0, 120 * NS_PER_S},
        {"3S", 0, 3 * NS_PER_S},
        {"4m", 0, 4 * NS_PER_MS},
        {"5u", 0, 5 * NS_PER_US},
        {"6n", 0, 6},
        {"0S", 0, 0},
        {"00000001S", 0, NS_PER_S},
        {"99999999n", 0, 99999999},
        {"99999999m", 0, 99999999 * NS_PER_MS},
        {"480H", 0, 480 * 3600 * NS_PER_S},
        {"481H", 0, UINT64_MAX},
        {"99999999H", 0, UINT64_MAX},
        {"", -EINVAL, 0},
        {"S", -EINVAL, 0},
        {"1", -EINVAL, 0},
        {"1s", -EINVAL, 0},
        {"1h", -EINVAL, 0},
        {"123456789n", -EINVAL, 0},
        {"-1S", -EINVAL, 0},
        {"+1S", -EINVAL, 0},
        {" 1S", -EINVAL, 0},
        {"1 S", -EINVAL, 0},
        {"1.5S", -EINVAL, 0},
        {"1SS", -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t ns = 7;
        int result = grpc_timeout_parse(span_str(cases[i].text), &ns);
        if (result != cases[i].result || ns != (result == 0 ? cases[i].ns : 7))
            fail_msg("\"%s\": %d, %llu ns", cases[i].text, result, (unsigned long long)ns);
    }
}

static void test_status(void **state UNUSED)
{
    static const struct {
        enum outcome outcome;
        unsigned http_status;
        enum grpc_status expect;
    } cases[] = {
        {OUTCOME_NO_ROUTE, 404, GRPC_STATUS_UNIMPLEMENTED},
        {OUTCOME_NO_BACKEND, 500, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_NO_ENDPOINT, 503, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_CONNECT_FAILED, 503, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_TLS_INVALID, 503, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_UPSTREAM_RESET, 502, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_UPSTREAM_PROTOCOL, 502, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_UPSTREAM_TIMEOUT, 504, GRPC_STATUS_DEADLINE_EXCEEDED},
        {OUTCOME_UPSTREAM_TRUNCATED, 0, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_STREAM_IDLE, 0, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_DRAINED, 0, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_LIMITED, 429, GRPC_STATUS_RESOURCE_EXHAUSTED},
        {OUTCOME_LIMIT_STORE, 503, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_OVERLOAD, 503, GRPC_STATUS_UNAVAILABLE},
        {OUTCOME_BAD_REQUEST, 400, GRPC_STATUS_INTERNAL},
        {OUTCOME_BAD_REQUEST, 405, GRPC_STATUS_UNKNOWN},
        {OUTCOME_MISDIRECTED, 421, GRPC_STATUS_UNKNOWN},
        {OUTCOME_BAD_REQUEST, 401, GRPC_STATUS_UNAUTHENTICATED},
        {OUTCOME_BAD_REQUEST, 403, GRPC_STATUS_PERMISSION_DENIED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(grpc_status_of(cases[i].outcome, cases[i].http_status), cases[i].expect);
}

static void test_reset_status(void **state UNUSED)
{
    static const enum grpc_status expect[] = {13, 13, 13, 13, 13, 13, 13, 14, 1, 13, 13, 8, 7, 13};
    for (uint32_t code = 0; code < ARRAY_COUNT(expect); code++)
        assert_int_equal(grpc_status_of_reset(code), expect[code]);
    assert_int_equal(grpc_status_of_reset(UINT32_MAX), GRPC_STATUS_INTERNAL);
}

static void test_message(void **state UNUSED)
{
    static const struct {
        const char *text, *expect;
    } cases[] = {
        {"", ""},
        {"plain text: ~!@#", "plain text: ~!@#"},
        {"100%", "100%25"},
        {"a\r\nb\tc", "a%0D%0Ab%09c"},
        {"\x7f\xe2\x98\xba", "%7F%E2%98%BA"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_head *head = http_head_new(&arena, 2);
        assert_true(grpc_status_write(head, GRPC_STATUS_UNAVAILABLE, span_str(cases[i].text)));
        assert_true(span_equal_str(grpc_status_read(head), "14"));
        assert_true(
            span_equal_str(http_head_find(head, SPAN_LIT("grpc-message"))->value, cases[i].expect));
    }
    assert_int_equal(grpc_status_read(http_head_new(&arena, 0)).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_request), cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_status),     cmocka_unit_test(test_reset_status),
        cmocka_unit_test(test_message),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
