/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Reference output of xoshiro256** from the state {1, 2, 3, 4}. */
static void test_known_sequence(void **state)
{
    (void)state;
    static const uint64_t wanted[] = {
        UINT64_C(11520),
        UINT64_C(0),
        UINT64_C(1509978240),
        UINT64_C(1215971899390074240),
    };
    struct rand_state rand = {.s = {1, 2, 3, 4}};
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++)
        assert_true(rand_u64(&rand) == wanted[i]);
}

static void test_seed(void **state)
{
    (void)state;
    struct rand_state a, b, c;
    rand_seed(&a, 0);
    rand_seed(&b, 0);
    rand_seed(&c, 1);
    /* First output of SplitMix64 from 0. */
    assert_true(a.s[0] == UINT64_C(0xe220a8397b1dcdaf));
    uint64_t first = rand_u64(&a);
    assert_true(first == rand_u64(&b));
    assert_true(first != rand_u64(&c));
    rand_seed_random(&a);
    rand_seed_random(&b);
    assert_memory_not_equal(&a, &b, sizeof(a));
}

static void test_below(void **state)
{
    (void)state;
    struct rand_state rand;
    rand_seed(&rand, 42);
    static const uint32_t bounds[] = {1, 2, 3, 7, 100, 0x80000001u, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(bounds); i++) {
        for (unsigned n = 0; n < 1000; n++)
            assert_true(rand_below(&rand, bounds[i]) < bounds[i]);
    }
    /* 60,000 throws of a die: each face within 5 % of 10,000 (over 5 sigma); the seed is fixed. */
    unsigned faces[6] = {0};
    for (unsigned n = 0; n < 60000; n++)
        faces[rand_below(&rand, 6)]++;
    for (unsigned i = 0; i < 6; i++)
        assert_in_range(faces[i], 9500, 10500);
}

static void test_secret(void **state)
{
    (void)state;
    uint8_t a[300] = {0}, b[300] = {0};
    rand_secret(a, 0);
    rand_secret(a, sizeof(a));
    rand_secret(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    /* The last bytes were filled too: 16 zero bytes by chance is not expected ever. */
    static const uint8_t zero[16];
    assert_memory_not_equal(a + sizeof(a) - 16, zero, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_sequence),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_secret),
    };
    return cmocka_run_group_tests_name("rand", tests, NULL, NULL);
}
