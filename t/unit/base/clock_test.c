/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/rand.h"

static void test_iso_known(void **state)
{
    (void)state;
    static const struct {
        uint64_t seconds;
        unsigned ms;
        const char *text;
    } cases[] = {
        {0, 0, "1970-01-01T00:00:00.000Z"},
        {951782399, 999, "2000-02-28T23:59:59.999Z"},
        {951782400, 0, "2000-02-29T00:00:00.000Z"},
        {1709164800, 1, "2024-02-29T00:00:00.001Z"},
        {1795412926, 123, "2026-11-23T05:48:46.123Z"},
        {4107542400, 10, "2100-03-01T00:00:00.010Z"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[CLOCK_ISO_SIZE];
        clock_iso(cases[i].seconds * NS_PER_S + cases[i].ms * NS_PER_MS, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_iso_as_the_library(void **state)
{
    (void)state;
    struct rand_state rand;
    rand_seed(&rand, 1);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t ns = rand_u64(&rand) >> rand_below(&rand, 8);
        time_t seconds = (time_t)(ns / NS_PER_S);
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        char wanted[64], date[40], text[CLOCK_ISO_SIZE];
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(wanted, sizeof(wanted), "%s.%03uZ", date, (unsigned)(ns % NS_PER_S / NS_PER_MS));
        clock_iso(ns, text);
        assert_string_equal(text, wanted);
    }
}

static void test_clocks_move_on(void **state)
{
    (void)state;
    struct clock_cache cache;
    uint64_t before = clock_mono_ns();
    clock_cache_update(&cache);
    assert_true(cache.mono_ns >= before);
    assert_true(clock_mono_ns() >= cache.mono_ns);
    assert_true(cache.wall_ns > UINT64_C(1600000000) * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iso_known),
        cmocka_unit_test(test_iso_as_the_library),
        cmocka_unit_test(test_clocks_move_on),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
