/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/client_count.h"

static struct addr address(const char *ip)
{
    struct addr addr;
    if (addr_from_ip(span_str(ip), 1234, &addr) != 0)
        fail_msg("%s is no address", ip);
    return addr;
}

/* Enters and counts; false: refused, and nothing is held. */
static bool take(struct client_count *count, struct client_hold *hold, const char *ip)
{
    struct addr addr = address(ip);
    if (!client_count_enter(count, hold))
        return false;
    if (client_count_address(count, hold, &addr))
        return true;
    client_count_leave(count, hold);
    return false;
}

struct same_case {
    const char *first, *second;
    bool same; /* they count as one */
};

static const struct same_case same_cases[] = {
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
    {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
    {"127.0.0.1", "127.0.0.1", false},
    {"127.9.9.9", "127.9.9.9", false},
    {"::1", "::1", false},
};

static void tells_addresses_apart(void **state UNUSED)
{
    for (unsigned i = 0; i < ARRAY_COUNT(same_cases); i++) {
        const struct same_case *c = &same_cases[i];
        struct client_count *count = client_count_new(100, 1);
        struct client_hold first, second;
        assert_true(take(count, &first, c->first));
        if (take(count, &second, c->second) == c->same)
            fail_msg("%s and %s", c->first, c->second);
        client_count_free(count);
    }
}

static void counts_to_the_limit(void **state UNUSED)
{
    static const uint64_t limits[] = {1, 2, 1024};
    static struct client_hold holds[1024];
    for (unsigned i = 0; i < ARRAY_COUNT(limits); i++) {
        struct client_count *count = client_count_new(5000, limits[i]);
        struct client_hold more;
        for (unsigned j = 0; j < limits[i]; j++)
            assert_true(take(count, &holds[j], "192.0.2.1"));
        assert_false(take(count, &more, "192.0.2.1"));
        assert_false(take(count, &more, "192.0.2.1"));
        assert_true(take(count, &more, "192.0.2.2"));
        client_count_leave(count, &holds[0]);
        assert_true(take(count, &holds[0], "192.0.2.1"));
        assert_false(take(count, &more, "192.0.2.1"));
        client_count_free(count);
    }
}

static void zero_is_no_limit(void **state UNUSED)
{
    struct client_count *count = client_count_new(5000, 0);
    struct client_hold hold;
    for (unsigned i = 0; i < 5000; i++)
        assert_true(take(count, &hold, "192.0.2.1"));
    assert_false(take(count, &hold, "192.0.2.1")); /* that is the total */
    client_count_free(count);
}

static void the_total_comes_back(void **state UNUSED)
{
    struct client_count *count = client_count_new(2, 10);
    struct client_hold holds[3];
    assert_true(take(count, &holds[0], "192.0.2.1"));
    assert_true(take(count, &holds[1], "127.0.0.1"));
    assert_false(take(count, &holds[2], "192.0.2.3"));
    client_count_leave(count, &holds[1]);
    client_count_leave(count, &holds[1]); /* holds nothing any more */
    assert_true(take(count, &holds[2], "192.0.2.3"));
    assert_false(take(count, &holds[1], "192.0.2.4"));
    client_count_free(count);
}

/* Many at their limit do not fill the counters of others. */
static void strangers_are_let_in(void **state UNUSED)
{
    struct client_count *count = client_count_new(UINT32_MAX, 4);
    unsigned refused = 0;
    for (unsigned i = 0; i < 2000; i++) {
        char ip[32];
        struct client_hold hold;
        snprintf(ip, sizeof(ip), "10.1.%u.%u", i / 256, i % 256);
        for (unsigned j = 0; j < 4; j++)
            refused += !take(count, &hold, ip);
    }
    /* (2000 / 65536)^2 of 2000 newcomers, that is 2; ten times that is out of reach. */
    assert_true(refused < 80);
    client_count_free(count);
}

static void *take_and_leave(void *arg)
{
    for (unsigned i = 0; i < 20000; i++) {
        struct client_hold hold;
        if (take(arg, &hold, "192.0.2.1"))
            client_count_leave(arg, &hold);
    }
    return NULL;
}

static void threads_share_it(void **state UNUSED)
{
    struct client_count *count = client_count_new(100, 2);
    struct client_hold holds[2];
    pthread_t threads[3];
    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_leave, count), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(take(count, &holds[0], "192.0.2.1"));
    assert_true(take(count, &holds[1], "192.0.2.1"));
    client_count_leave(count, &holds[0]);
    client_count_leave(count, &holds[1]);
    client_count_free(count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_addresses_apart), cmocka_unit_test(counts_to_the_limit),
        cmocka_unit_test(zero_is_no_limit),      cmocka_unit_test(the_total_comes_back),
        cmocka_unit_test(strangers_are_let_in),  cmocka_unit_test(threads_share_it),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
