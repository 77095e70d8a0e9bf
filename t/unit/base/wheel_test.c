/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"

struct probe {
    struct timer timer;
    uint64_t tick; /* from which on it may fire: that of its deadline, or of its arming */
    unsigned fired;
};

static struct wheel wheel;
static uint64_t clock_now; /* what the last advance was given */
static uint64_t tick_last; /* of the timer that fired last in this advance */

static void probe_fire(struct timer *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);
    assert_false(timer_is_armed(timer));
    assert_true(timer->deadline_ns <= clock_now);
    assert_true(probe->tick >= tick_last);
    tick_last = probe->tick;
    probe->fired++;
}

static unsigned advance(uint64_t now_ns)
{
    clock_now = now_ns;
    tick_last = 0;
    return wheel_advance(&wheel, now_ns);
}

static void test_limits(void **state)
{
    (void)state;
    static const uint64_t aheads[] = {
        0,
        1,
        NS_PER_MS - 1,
        NS_PER_MS,
        NS_PER_MS + 1,
        63 * NS_PER_MS,
        64 * NS_PER_MS,
        65 * NS_PER_MS,
        4095 * NS_PER_MS,
        4096 * NS_PER_MS,
        (UINT64_C(1) << 31) * NS_PER_MS,
        (UINT64_C(1) << 36) * NS_PER_MS,
        (UINT64_C(1) << 37) * NS_PER_MS + 5,
    };
    /* The fourth start lies a second before the end of a round of the top level. */
    static const uint64_t starts[] = {
        0,
        1234567,
        4095 * NS_PER_MS + 1,
        ((UINT64_C(1) << 36) - 1000) * NS_PER_MS + 17,
    };
    struct probe probe = {.fired = 0};
    timer_init(&probe.timer, probe_fire);
    for (size_t s = 0; s < ARRAY_COUNT(starts); s++) {
        for (size_t i = 0; i < ARRAY_COUNT(aheads); i++) {
            wheel_init(&wheel, starts[s]);
            assert_true(wheel_next_ns(&wheel) == UINT64_MAX);
            uint64_t deadline = starts[s] + aheads[i];
            probe.fired = 0;
            wheel_arm(&wheel, &probe.timer, deadline);
            assert_int_equal(wheel.count, 1);
            if (aheads[i] > 0)
                assert_int_equal(advance(deadline - 1), 0);
            assert_true(wheel_next_ns(&wheel) <= deadline);
            assert_int_equal(advance(deadline), 1);
            assert_int_equal(probe.fired, 1);
            assert_int_equal(wheel.count, 0);
            assert_true(wheel_next_ns(&wheel) == UINT64_MAX);
        }
    }
}

static void test_never(void **state)
{
    (void)state;
    struct probe probe = {.fired = 0};
    timer_init(&probe.timer, probe_fire);
    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &probe.timer, UINT64_MAX);
    assert_int_equal(advance(UINT64_C(3600) * 24 * 365 * 400 * NS_PER_S), 0);
    assert_true(timer_is_armed(&probe.timer));
    wheel_stop(&wheel, &probe.timer);
    wheel_stop(&wheel, &probe.timer);
    assert_int_equal(wheel.count, 0);
}

/* A loop that sleeps until wheel_next_ns makes progress with every turn. */
static void test_sleeping_by_next(void **state)
{
    (void)state;
    struct rand_state rand;
    rand_seed(&rand, 5);
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t now = rand_u64(&rand) >> (10 + rand_below(&rand, 40));
        uint64_t deadline = now + (rand_u64(&rand) >> (11 + rand_below(&rand, 50)));
        struct probe probe = {.fired = 0};
        timer_init(&probe.timer, probe_fire);
        wheel_init(&wheel, now);
        wheel_arm(&wheel, &probe.timer, deadline);
        unsigned turns = 0;
        while (probe.fired == 0) {
            uint64_t next = wheel_next_ns(&wheel);
            assert_true(next <= deadline);
            now = MAX(now, next);
            advance(now);
            assert_true(++turns <= 2 * WHEEL_LEVELS);
        }
        assert_true(now == deadline);
    }
}

enum { PROBES = 400 };

/* Random arms, stops and jumps, compared with a plain scan of all deadlines. */
static void test_against_a_plain_list(void **state)
{
    (void)state;
    static struct probe probes[PROBES];
    static uint64_t deadlines[PROBES]; /* UINT64_MAX: not armed */
    for (unsigned seed = 1; seed <= 8; seed++) {
        struct rand_state rand;
        rand_seed(&rand, seed);
        uint64_t now = rand_u64(&rand) >> (4 * seed);
        wheel_init(&wheel, now);
        for (unsigned i = 0; i < PROBES; i++) {
            timer_init(&probes[i].timer, probe_fire);
            deadlines[i] = UINT64_MAX;
        }
        for (unsigned round = 0; round < 6000; round++) {
            unsigned i = rand_below(&rand, PROBES);
            if (rand_below(&rand, 4) == 0) {
                wheel_stop(&wheel, &probes[i].timer);
                deadlines[i] = UINT64_MAX;
            } else {
                /* From nanoseconds to a month ahead, now and then in the past. */
                uint64_t ahead = rand_u64(&rand) >> (12 + rand_below(&rand, 50));
                uint64_t deadline =
                    rand_below(&rand, 20) == 0 ? now - MIN(now, ahead) : now + ahead;
                wheel_arm(&wheel, &probes[i].timer, deadline);
                deadlines[i] = deadline;
                probes[i].tick = MAX(deadline, now) / NS_PER_MS;
            }
            if (rand_below(&rand, 3) != 0)
                continue;
            uint64_t first = UINT64_MAX;
            for (unsigned n = 0; n < PROBES; n++)
                first = MIN(first, deadlines[n]);
            assert_true(wheel_next_ns(&wheel) <= first);
            now += rand_u64(&rand) >> (14 + rand_below(&rand, 48));
            unsigned due = 0, armed = 0;
            for (unsigned n = 0; n < PROBES; n++) {
                probes[n].fired = 0;
                due += deadlines[n] <= now;
            }
            assert_int_equal(advance(now), due);
            for (unsigned n = 0; n < PROBES; n++) {
                assert_int_equal(probes[n].fired, deadlines[n] <= now);
                if (deadlines[n] <= now)
                    deadlines[n] = UINT64_MAX;
                assert_int_equal(timer_is_armed(&probes[n].timer), deadlines[n] != UINT64_MAX);
                armed += deadlines[n] != UINT64_MAX;
            }
            assert_int_equal(wheel.count, armed);
        }
    }
}

static struct probe chain[3];

static void rearm_fire(struct timer *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);
    probe->fired++;
    wheel_arm(&wheel, timer, clock_now); /* due already */
    wheel_arm(&wheel, timer, clock_now - 5 * NS_PER_MS);
}

static void stop_others_fire(struct timer *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);
    probe->fired++;
    wheel_stop(&wheel, &chain[1].timer);
    wheel_arm(&wheel, &chain[2].timer, clock_now + NS_PER_S);
}

static void test_callbacks_change_timers(void **state)
{
    (void)state;
    memset(chain, 0, sizeof(chain));
    wheel_init(&wheel, 0);
    timer_init(&chain[0].timer, rearm_fire);
    wheel_arm(&wheel, &chain[0].timer, 3 * NS_PER_MS);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(advance(10 * NS_PER_MS), 1);
        assert_int_equal(chain[0].fired, i);
    }
    wheel_stop(&wheel, &chain[0].timer);

    timer_init(&chain[0].timer, stop_others_fire);
    timer_init(&chain[1].timer, probe_fire);
    timer_init(&chain[2].timer, probe_fire);
    wheel_arm(&wheel, &chain[0].timer, 20 * NS_PER_MS);
    wheel_arm(&wheel, &chain[1].timer, 20 * NS_PER_MS);
    wheel_arm(&wheel, &chain[2].timer, 21 * NS_PER_MS);
    assert_int_equal(advance(30 * NS_PER_MS), 1);
    assert_int_equal(chain[1].fired, 0);
    assert_int_equal(chain[2].fired, 0);
    assert_int_equal(wheel.count, 1);
    assert_int_equal(advance(30 * NS_PER_MS + NS_PER_S), 1);
    assert_int_equal(chain[2].fired, 1);
}

static void test_time_does_not_go_back(void **state)
{
    (void)state;
    struct probe probe = {.fired = 0};
    timer_init(&probe.timer, probe_fire);
    wheel_init(&wheel, 100 * NS_PER_MS);
    wheel_arm(&wheel, &probe.timer, 200 * NS_PER_MS);
    assert_int_equal(advance(150 * NS_PER_MS), 0);
    assert_int_equal(advance(50 * NS_PER_MS), 0);
    assert_int_equal(advance(200 * NS_PER_MS), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_sleeping_by_next),
        cmocka_unit_test(test_against_a_plain_list),
        cmocka_unit_test(test_callbacks_change_timers),
        cmocka_unit_test(test_time_does_not_go_back),
    };
    return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
