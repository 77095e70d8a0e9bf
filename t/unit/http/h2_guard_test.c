/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "base/clock.h"

#define START (UINT64_C(1000) * NS_PER_S)

static struct http_limits limits;
static struct h2_guard guard;

static int setup(void **state)
{
    (void)state;
    http_limits_default(&limits);
    h2_guard_init(&guard, &limits, START);
    return 0;
}

/* How many frames pass at one moment, at most `most`. */
static unsigned count(uint8_t type, uint8_t flags, uint32_t length, unsigned most)
{
    for (unsigned i = 0; i < most; i++)
        if (h2_guard_on_frame(&guard, type, flags, length, START) != NULL)
            return i;
    return most;
}

static void test_frames(void **state)
{
    static const struct {
        const char *name;
        uint8_t type, flags;
        uint32_t length;
        unsigned passes; /* of 50,000 */
    } cases[] = {
        {"PING", NGHTTP2_PING, 0, 8, 1000},
        {"PING ACK", NGHTTP2_PING, NGHTTP2_FLAG_ACK, 8, 1000},
        {"PRIORITY", NGHTTP2_PRIORITY, 0, 5, 1000},
        {"WINDOW_UPDATE", NGHTTP2_WINDOW_UPDATE, 0, 4, 1000},
        {"GOAWAY", NGHTTP2_GOAWAY, 0, 8, 1000},
        {"ALTSVC", NGHTTP2_ALTSVC, 0, 100, 1000},
        {"ORIGIN", NGHTTP2_ORIGIN, 0, 100, 1000},
        {"PRIORITY_UPDATE", 0x10, 0, 10, 1000},
        {"unknown", 0xfe, 0xff, 0, 1000},
        {"SETTINGS", NGHTTP2_SETTINGS, 0, 6, 100},
        {"SETTINGS ACK", NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, 1000},
        {"RST_STREAM", NGHTTP2_RST_STREAM, 0, 4, 100},
        {"empty DATA", NGHTTP2_DATA, 0, 0, 16},
        {"empty DATA, the last", NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 0, 50000},
        {"DATA of a byte", NGHTTP2_DATA, 0, 1, 50000},
        {"HEADERS", NGHTTP2_HEADERS, 0, 100, 50000},
        {"HEADERS at the limit", NGHTTP2_HEADERS, 0, 65536, 50000},
        {"HEADERS over the limit", NGHTTP2_HEADERS, 0, 65537, 0},
        {"CONTINUATION of a byte", NGHTTP2_CONTINUATION, 0, 1, 50000},
        {"CONTINUATION", NGHTTP2_CONTINUATION, 0, 16384, 4},
        {"empty CONTINUATION", NGHTTP2_CONTINUATION, 0, 0, 1000},
        {"PUSH_PROMISE over the limit", NGHTTP2_PUSH_PROMISE, 0, 65537, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        setup(state);
        unsigned passed = count(cases[i].type, cases[i].flags, cases[i].length, 50000);
        if (passed != cases[i].passes)
            fail_msg("%s: %u passed, not %u", cases[i].name, passed, cases[i].passes);
    }
}

/* A legal head of any size comes in any pieces; a block's bytes end with the next block. */
static void test_blocks(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        assert_null(h2_guard_on_frame(&guard, NGHTTP2_HEADERS, 0, 1, START));
        assert_int_equal(count(NGHTTP2_CONTINUATION, 0, 1, 32767), 32767);
    }
    assert_int_equal(count(NGHTTP2_CONTINUATION, 0, 1, 65536), 32768);
}

static void test_empties_in_a_row(void **state)
{
    (void)state;
    limits.h2_control_burst = 100000;
    h2_guard_init(&guard, &limits, START);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(count(NGHTTP2_DATA, 0, 0, 16), 16);
        assert_null(h2_guard_on_frame(&guard, NGHTTP2_DATA, 0, 1, START));
    }
    assert_int_equal(count(NGHTTP2_DATA, 0, 0, 17), 16);
    assert_string_equal(h2_guard_on_frame(&guard, NGHTTP2_DATA, 0, 0, START),
                        "too many empty DATA frames");
    limits.h2_empties_max = 1000;
    h2_guard_init(&guard, &limits, START);
    assert_int_equal(count(NGHTTP2_DATA, 0, 0, 1001), 1000);
}

/* Both sorts of resets draw on one bucket, which fills with time up to the burst. */
static void test_resets(void **state)
{
    (void)state;
    uint64_t now = START;
    for (unsigned i = 0; i < 50; i++) {
        assert_null(h2_guard_on_reset(&guard, now));
        assert_null(h2_guard_on_frame(&guard, NGHTTP2_RST_STREAM, 0, 4, now));
    }
    assert_string_equal(h2_guard_on_reset(&guard, now), "too many stream resets");
    now += NS_PER_S / 10 - 1;
    assert_non_null(h2_guard_on_reset(&guard, now));
    now += 1; /* a tenth of a second is one token */
    assert_null(h2_guard_on_reset(&guard, now));
    assert_non_null(h2_guard_on_reset(&guard, now));
    assert_null(h2_guard_on_late_reset(&guard, now)); /* is no reset */
    assert_non_null(h2_guard_on_reset(&guard, now));
    now += NS_PER_S / 10;
    assert_null(h2_guard_on_reset(&guard, now));
    for (unsigned i = 0; i < 1000; i++) { /* at its rate for ever */
        now += NS_PER_S / 10;
        assert_null(h2_guard_on_reset(&guard, now));
    }
    now += 3600 * NS_PER_S;
    for (unsigned i = 0; i < 100; i++)
        assert_null(h2_guard_on_reset(&guard, now));
    assert_non_null(h2_guard_on_reset(&guard, now));
    for (unsigned i = 0; i < 1000; i++)
        assert_null(h2_guard_on_late_reset(&guard, now));
    assert_non_null(h2_guard_on_late_reset(&guard, now));
}

static void test_sent(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        h2_guard_on_sent(&guard, 0);
        assert_int_equal(count(NGHTTP2_WINDOW_UPDATE, 0, 4, 2), 2);
        assert_int_equal(count(NGHTTP2_PING, 0, 8, 2), 2);
    }
    assert_int_equal(guard.control.tokens, 996);
    assert_int_equal(count(NGHTTP2_PING, 0, 8, 2000), 996);
}

/* Two for each 512 bytes that were sent, at any later time; then as other control frames. */
static void test_updates(void **state)
{
    static const struct {
        size_t bytes;
        unsigned updates;
    } cases[] = {{0, 0}, {1, 2}, {512, 2}, {513, 4}, {16384, 64}, {65536, 256}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        setup(state);
        for (unsigned k = 0; k < 100; k++)
            h2_guard_on_sent(&guard, cases[i].bytes);
        unsigned passed = count(NGHTTP2_WINDOW_UPDATE, 0, 4, 50000);
        assert_int_equal(passed, 100 * cases[i].updates + 1000);
        assert_int_equal(count(NGHTTP2_PING, 0, 8, 1), 0); /* one bucket */
    }
    setup(state);
    h2_guard_on_sent(&guard, 1u << 20);
    assert_int_equal(count(NGHTTP2_PING, 0, 8, 2000), 1000); /* nothing for others */
    assert_int_equal(count(NGHTTP2_WINDOW_UPDATE, 0, 4, 5000), 4096);
}

/* All limits begin again, once; but for a header block, which goes on. */
static void test_forgiven(void **state)
{
    assert_int_equal(count(NGHTTP2_PING, 0, 8, 5000), 1000);
    assert_int_equal(count(NGHTTP2_RST_STREAM, 0, 4, 5000), 100);
    assert_true(h2_guard_forgive(&guard));
    assert_int_equal(count(NGHTTP2_DATA, 0, 0, 17), 16);
    assert_int_equal(count(NGHTTP2_PING, 0, 8, 5000), 984);
    assert_int_equal(count(NGHTTP2_RST_STREAM, 0, 4, 5000), 100);
    assert_false(h2_guard_forgive(&guard));
    setup(state);
    assert_int_equal(count(NGHTTP2_DATA, 0, 0, 17), 16);
    assert_true(h2_guard_forgive(&guard));
    assert_int_equal(count(NGHTTP2_DATA, 0, 0, 17), 16);
    setup(state);
    assert_int_equal(count(NGHTTP2_CONTINUATION, 0, 16384, 5), 4);
    assert_false(h2_guard_forgive(&guard));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_frames, setup),
        cmocka_unit_test_setup(test_blocks, setup),
        cmocka_unit_test_setup(test_empties_in_a_row, setup),
        cmocka_unit_test_setup(test_resets, setup),
        cmocka_unit_test_setup(test_sent, setup),
        cmocka_unit_test_setup(test_updates, setup),
        cmocka_unit_test_setup(test_forgiven, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
