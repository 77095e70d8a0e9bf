/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "gateway/body_pace.h"

#define T0 (1000 * NS_PER_S)

struct pace_case {
    const char *name;
    uint64_t rate_min, after_s, bytes;
    uint64_t deadline_s; /* after the begin; 0: none */
};

static const struct pace_case pace_cases[] = {
    {"nothing came", 240, 10, 0, 10},
    {"one byte changes nothing", 240, 10, 1, 10},
    {"as much as the time before it counts", 240, 10, 2400, 10},
    {"a second more", 240, 10, 2640, 11},
    {"much at once lasts", 240, 10, 240000, 1000},
    {"no floor", 0, 10, 0, 0},
    {"bytes that no client can send", 240, 10, UINT64_MAX, 0},
    {"a byte a second", 1, 1, 5, 5},
};

static void knows_how_long_bytes_last(void **state UNUSED)
{
    for (unsigned i = 0; i < ARRAY_COUNT(pace_cases); i++) {
        const struct pace_case *c = &pace_cases[i];
        struct body_pace_floor floor = {c->rate_min, c->after_s * NS_PER_S};
        struct body_pace pace = {0};
        body_pace_begin(&pace, T0);
        uint64_t expected = c->deadline_s == 0 ? UINT64_MAX : T0 + c->deadline_s * NS_PER_S;
        if (body_pace_deadline(&pace, &floor, c->bytes, T0 + NS_PER_S) != expected)
            fail_msg("%s", c->name);
    }
}

static void asks_nothing_before_the_begin(void **state UNUSED)
{
    struct body_pace_floor floor = {240, NS_PER_S};
    struct body_pace pace = {0};
    body_pace_pause(&pace, T0);
    body_pace_resume(&pace, T0 + NS_PER_S);
    assert_true(body_pace_deadline(&pace, &floor, 0, T0 + NS_PER_S) == UINT64_MAX);
}

/* The time in which the backend takes nothing is not the client's. */
static void leaves_pauses_out(void **state UNUSED)
{
    struct body_pace_floor floor = {240, 10 * NS_PER_S};
    struct body_pace pace = {0};

    body_pace_begin(&pace, T0);
    body_pace_pause(&pace, T0 + 4 * NS_PER_S);
    body_pace_pause(&pace, T0 + 5 * NS_PER_S); /* still the same pause */
    assert_true(body_pace_deadline(&pace, &floor, 0, T0 + 50 * NS_PER_S) == T0 + 56 * NS_PER_S);
    body_pace_resume(&pace, T0 + 64 * NS_PER_S);
    body_pace_resume(&pace, T0 + 65 * NS_PER_S);
    assert_true(body_pace_deadline(&pace, &floor, 0, T0 + 65 * NS_PER_S) == T0 + 70 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_how_long_bytes_last),
        cmocka_unit_test(asks_nothing_before_the_begin),
        cmocka_unit_test(leaves_pauses_out),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
