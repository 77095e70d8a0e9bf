/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/remote_command.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buf.h"

#define SHA "0123456789abcdef0123456789abcdef01234567"
#define ID "abcdefghijklmnopqrstuvwxyz"

static const char *render(const struct remote_command *command, struct span head, unsigned take,
                          struct buf *out)
{
    struct iovec iov[REMOTE_COMMAND_IOV_MAX];
    char digits[REMOTE_COMMAND_TAKE_LEN];
    struct remote_command_args args = {.eval_head = head, .sha = SHA, .id = ID, .take = digits};
    remote_command_format_take(take, digits);
    int count = remote_command_fill(command, &args, iov);
    buf_reset(out);
    for (int i = 0; i < count; i++)
        buf_add(out, iov[i].iov_base, iov[i].iov_len);
    return buf_str(out);
}

static void test_fill(void **state)
{
    struct remote_command command;
    struct gcra gcra;
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    gcra_init(&gcra, 100, NS_PER_S, 50);
    remote_command_init(&command, SPAN_LIT("a{b"), &gcra);
    assert_string_equal(render(&command, SPAN_NONE, 1, &out),
                        "*7\r\n$7\r\nEVALSHA\r\n$40\r\n" SHA "\r\n$1\r\n1\r\n$34\r\na{b:1:{" ID
                        "}\r\n$6\r\n100000\r\n$7\r\n5000000\r\n$5\r\n00001\r\n");
    assert_string_equal(render(&command, SPAN_LIT("<head>"), 0, &out),
                        "<head>$1\r\n1\r\n$34\r\na{b:1:{" ID
                        "}\r\n$6\r\n100000\r\n$7\r\n5000000\r\n$5\r\n00000\r\n");
    const char *most = render(&command, SPAN_NONE, REMOTE_COMMAND_TAKE_MAX, &out);
    assert_string_equal(most + out.len - 11, "$5\r\n99999\r\n");
    remote_command_fini(&command);
    buf_fini(&out);
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
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct remote_command command;
        struct gcra gcra;
        gcra_init(&gcra, cases[i].requests, cases[i].period_ns, cases[i].burst);
        remote_command_init(&command, SPAN_LIT("p"), &gcra);
        const char *text = render(&command, SPAN_NONE, 1, &out);
        assert_string_equal(text + out.len - strlen(cases[i].tail), cases[i].tail);
        remote_command_fini(&command);
    }
    buf_fini(&out);
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
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct local_limit_id id = {.words = {cases[i].words[0], cases[i].words[1]}};
        char text[REMOTE_COMMAND_ID_LEN + 1] = {0};
        remote_command_format_id(&id, text);
        assert_string_equal(text, cases[i].text);
    }
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
