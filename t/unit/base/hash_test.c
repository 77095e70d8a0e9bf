/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Key 00 01 .. 0f and inputs 00 01 02 .. of the given length, as in the reference
 * vectors of SipHash's authors. The values are also what `openssl mac` gives
 * for SIPHASH with size:16, and with size:8 c-rounds:1 d-rounds:3. */
static struct hash_key reference_key(void)
{
    struct hash_key key;
    for (uint8_t i = 0; i < 16; i++)
        key.bytes[i] = i;
    return key;
}

static void input_fill(char input[64])
{
    for (size_t i = 0; i < 64; i++)
        input[i] = (char)i;
}

static uint64_t word_le(const uint8_t *bytes)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

static void test_sip128_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t low, high;
    } cases[] = {
        {0, UINT64_C(0xe6a825ba047f81a3), UINT64_C(0x930255c71472f66d)},
        {1, UINT64_C(0x44af996bd8c187da), UINT64_C(0x45fc229b11597634)},
        {2, UINT64_C(0xc75da4a48d227781), UINT64_C(0xe4ff0af6de8ba3fc)},
        {7, UINT64_C(0x53c1dbd8beebf1a1), UINT64_C(0x3982f01fa64ab8c0)},
        {8, UINT64_C(0x61f55862baa9623b), UINT64_C(0xb49714f364e2830f)},
        {63, UINT64_C(0x4a83502f77d15051), UINT64_C(0x7cbd3f979a063e50)},
    };
    struct hash_key key = reference_key();
    char input[64];
    input_fill(input);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t out[16];
        hash_sip128(&key, span_make(input, cases[i].len), out);
        assert_true(word_le(out) == cases[i].low);
        assert_true(word_le(out + 8) == cases[i].high);
    }
}

static void test_sip13_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } cases[] = {
        {0, UINT64_C(0xabac0158050fc4dc)},  {1, UINT64_C(0xc9f49bf37d57ca93)},
        {2, UINT64_C(0x82cb9b024dc7d44d)},  {3, UINT64_C(0x8bf80ab8e7ddf7fb)},
        {7, UINT64_C(0xd3927d989bb11140)},  {8, UINT64_C(0x369095118d299a8e)},
        {9, UINT64_C(0x25a48eb36c063de4)},  {15, UINT64_C(0xd320d86d2a519956)},
        {16, UINT64_C(0xcc4fdd1a7d908b66)}, {63, UINT64_C(0x9d199062b7bbb3a8)},
    };
    struct hash_key key = reference_key();
    char input[64];
    input_fill(input);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_true(hash_sip(&key, span_make(input, cases[i].len)) == cases[i].hash);
    assert_true(hash_sip(&key, SPAN_NONE) == cases[0].hash);
}

static void test_process_key(void **state)
{
    (void)state;
    const struct hash_key *key = hash_process_key();
    struct hash_key copy = *key;
    assert_ptr_equal(key, hash_process_key());
    assert_memory_equal(&copy, hash_process_key(), sizeof(copy));
    static const struct hash_key zero;
    assert_memory_not_equal(&copy, &zero, sizeof(copy));
}

static void test_fast(void **state)
{
    (void)state;
    /* XXH3 64 bit of no bytes with seed 0, from the xxHash specification. */
    assert_true(hash_fast(SPAN_NONE, 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(hash_fast(SPAN_LIT("a"), 0) != hash_fast(SPAN_LIT("a"), 1));
    assert_true(hash_fast(SPAN_LIT("a"), 0) != hash_fast(SPAN_LIT("b"), 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sip128_vectors),
        cmocka_unit_test(test_sip13_vectors),
        cmocka_unit_test(test_process_key),
        cmocka_unit_test(test_fast),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
