/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tls/secret.h"

#define SEALED_MAX (RECORD_PLAIN_MAX + RECORD_OVERHEAD_MAX)

static struct record_pool *pool;
static uint8_t plain[RECORD_PLAIN_MAX + 64], sealed[SEALED_MAX], opened[RECORD_OPEN_ROOM];

/* A suite of a version; keys are made up. */
struct kind {
    enum record_suite suite;
    bool tls13;
    size_t overhead;
};

static const struct kind kinds[] = {
    {RECORD_AES_128_GCM, true, 22},       {RECORD_AES_256_GCM, true, 22},
    {RECORD_CHACHA20_POLY1305, true, 22}, {RECORD_AES_128_GCM, false, 29},
    {RECORD_AES_256_GCM, false, 29},      {RECORD_CHACHA20_POLY1305, false, 21},
};

static struct record_side side_make(const struct kind *kind, bool sealing, uint8_t key)
{
    struct record_side side = {
        .pool = pool, .suite = kind->suite, .tls13 = kind->tls13, .sealing = sealing, .seq = key};
    memset(side.key, key, sizeof(side.key));
    memset(side.iv, key + 1, sizeof(side.iv));
    return side;
}

static ssize_t seal(struct record_side *side, enum record_type type, const void *data, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct record_pieces pieces = {&iov, 1, 0};
    return record_seal(side, type, &pieces, len, sealed);
}

static ssize_t open_cut(struct record_side *side, const uint8_t *record, const size_t cuts[2],
                        enum record_type *ret_type)
{
    ssize_t size = record_body_size(side, record);
    if (size < 0)
        return size;
    const uint8_t *body = record + RECORD_HEADER_SIZE;
    struct iovec iov[3] = {{(void *)(uintptr_t)body, cuts[0]},
                           {(void *)(uintptr_t)(body + cuts[0]), cuts[1] - cuts[0]},
                           {(void *)(uintptr_t)(body + cuts[1]), (size_t)size - cuts[1]}};
    struct record_pieces pieces = {iov, 3, 0};
    return record_open(side, record, &pieces, opened, ret_type);
}

static ssize_t open_whole(struct record_side *side, const uint8_t *record,
                          enum record_type *ret_type)
{
    return open_cut(side, record, (const size_t[]){0, 0}, ret_type);
}

static size_t from_hex(const char *text, uint8_t *out)
{
    size_t len = 0;
    for (; *text; text += *text == ' ') {
        char byte[3] = {text[0], text[1], '\0'};
        out[len++] = (uint8_t)strtoul(byte, NULL, 16);
        text += 2;
    }
    return len;
}

/* RFC 8448 3: the client's secret, key, IV, and its first two records. */
static void test_published_vectors(void **state)
{
    static const char secret[] = "9e 40 64 6c e7 9a 7f 9d c0 5a f8 88 9b ce 65 52 "
                                 "87 5a fa 0b 06 df 00 87 f7 92 eb b7 c1 75 04 a5";
    static const char key[] = "17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51";
    static const char iv[] = "5b 78 92 3d ee 08 57 90 33 e5 23 d9";
    static const char data[] = "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef "
                               "ac ea 42 f9 14 aa 66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a "
                               "20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee "
                               "bb 21 69 49 15 e4";
    static const char alert[] = "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 "
                                "b0 e3";
    struct record_side side = {.pool = pool, .suite = RECORD_AES_128_GCM, .sealing = true};
    uint8_t expected[128];
    (void)state;
    from_hex(secret, side.secret);
    secret_use(&side);
    assert_memory_equal(side.key, expected, from_hex(key, expected));
    assert_memory_equal(side.iv, expected, from_hex(iv, expected));
    for (unsigned i = 0; i < 50; i++)
        plain[i] = (uint8_t)i;
    size_t len = from_hex(data, expected);
    assert_int_equal(seal(&side, RECORD_DATA, plain, 50), len);
    assert_memory_equal(sealed, expected, len);
    len = from_hex(alert, expected);
    assert_int_equal(seal(&side, RECORD_ALERT, "\x01\x00", 2), len);
    assert_memory_equal(sealed, expected, len);
    record_side_wipe(&side);
    for (size_t i = 0; i < sizeof(side); i++)
        assert_int_equal(((const uint8_t *)&side)[i], 0);
}

/* Around the borders of cipher blocks and of what is copied first, and the largest. */
static void test_every_suite_and_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 31 + (i >> 8));
    for (size_t k = 0; k < ARRAY_COUNT(kinds); k++) {
        struct record_side out = side_make(&kinds[k], true, 7);
        struct record_side in = side_make(&kinds[k], false, 7);
        assert_int_equal(record_overhead(&out), kinds[k].overhead);
        for (size_t len = 0; len <= RECORD_PLAIN_MAX; len += len < 300 ? 1 : 67) {
            if (len > RECORD_PLAIN_MAX - 67)
                len = RECORD_PLAIN_MAX;
            /* Three pieces in, three pieces out, none at a border. */
            size_t a = len / 3, b = len / 2;
            struct iovec iov[4] = {
                {plain, a}, {plain, 0}, {plain + a, b - a}, {plain + b, sizeof(plain) - b}};
            struct record_pieces pieces = {iov, 4, 0};
            enum record_type type = RECORD_ALERT;
            ssize_t n = record_seal(&out, RECORD_DATA, &pieces, len, sealed);
            assert_int_equal(n, len + kinds[k].overhead);
            assert_int_equal(record_body_size(&in, sealed), n - (ssize_t)RECORD_HEADER_SIZE);
            const size_t cuts[] = {(size_t)n / 5, (size_t)n - RECORD_HEADER_SIZE - 7};
            assert_int_equal(open_cut(&in, sealed, cuts, &type), len);
            assert_memory_equal(opened, plain, len);
            assert_int_equal(type, RECORD_DATA);
        }
        assert_int_equal(out.seq, in.seq);
        record_side_wipe(&out);
        record_side_wipe(&in);
    }
}

static void test_every_byte_counts(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_COUNT(kinds); k++) {
        struct record_side out = side_make(&kinds[k], true, 9);
        struct record_side in = side_make(&kinds[k], false, 9);
        uint8_t good[SEALED_MAX];
        size_t len = (size_t)seal(&out, RECORD_DATA, "twenty bytes of text", 20);
        enum record_type type;
        memcpy(good, sealed, len);
        for (size_t at = 0; at < len; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                if (at == 3 || (at == 4 && (good[4] ^ 1u << bit) > good[4]))
                    continue; /* longer: more would have to come */
                memcpy(sealed, good, len);
                sealed[at] = (uint8_t)(sealed[at] ^ 1u << bit);
                ssize_t rc = open_whole(&in, sealed, &type);
                assert_true(at == 0 ? rc == -EPROTO || rc == -EBADMSG : rc == -EBADMSG);
                assert_int_equal(in.seq, 9);
            }
        }
        assert_int_equal(open_whole(&in, good, &type), 20); /* nothing was harmed */
        assert_int_equal(open_whole(&in, good, &type), -EBADMSG); /* a second time: replay */
        record_side_wipe(&out);
        record_side_wipe(&in);
    }
}

static void test_heads(void **state)
{
    static const struct {
        bool tls13;
        uint8_t type;
        unsigned size;
        ssize_t expected;
    } cases[] = {
        {true, 23, 17, 17},           {true, 23, 16, -EBADMSG},
        {true, 23, 0, -EBADMSG},      {true, 23, 16401, 16401},
        {true, 23, 16402, -EMSGSIZE}, {true, 23, 65535, -EMSGSIZE},
        {true, 20, 17, -EPROTO},      {true, 21, 19, -EPROTO},
        {true, 22, 40, -EPROTO},      {true, 0, 17, -EPROTO},
        {true, 24, 17, -EPROTO},      {true, 255, 17, -EPROTO},
        {false, 23, 24, 24},          {false, 23, 23, -EBADMSG},
        {false, 23, 16408, 16408},    {false, 23, 16409, -EMSGSIZE},
        {false, 21, 26, 26},          {false, 22, 30, 30},
        {false, 20, 25, -EPROTO},     {false, 24, 25, -EPROTO},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct kind kind = {RECORD_AES_128_GCM, cases[i].tls13, 0};
        struct record_side in = side_make(&kind, false, 1);
        const uint8_t head[] = {cases[i].type, 3, 3, (uint8_t)(cases[i].size >> 8),
                                (uint8_t)cases[i].size};
        assert_int_equal(record_body_size(&in, head), cases[i].expected);
    }
}

/* The end of TLSInnerPlaintext, RFC 8446 5.4: a type of 0 is one more byte of padding. */
static void test_padding(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        ssize_t expected;
        enum record_type type;
    } cases[] = {
        {"hi\x17\0\0\0", 6, 2, RECORD_DATA}, {"\x17", 1, 0, RECORD_DATA},
        {"a\0\x16", 3, 2, RECORD_HANDSHAKE}, {"\x01\x00\x15\0", 4, 2, RECORD_ALERT},
        {"\0\0\0", 3, -EPROTO, 0},           {"", 0, -EPROTO, 0},
        {"hi\x18\0", 4, -EPROTO, 0},         {"hi\x14", 3, -EPROTO, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct record_side out = side_make(&kinds[0], true, 3);
        struct record_side in = side_make(&kinds[0], false, 3);
        enum record_type type;
        assert_true(seal(&out, (enum record_type)0, cases[i].text, cases[i].len) > 0);
        ssize_t n = open_whole(&in, sealed, &type);
        assert_int_equal(n, cases[i].expected);
        if (n >= 0) {
            assert_int_equal(type, cases[i].type);
            assert_memory_equal(opened, cases[i].text, (size_t)n);
        }
        record_side_wipe(&out);
        record_side_wipe(&in);
    }
}

static void test_sequence_ends(void **state)
{
    struct record_side out = side_make(&kinds[0], true, 3), in = side_make(&kinds[0], false, 3);
    enum record_type type;
    (void)state;
    out.seq = in.seq = UINT64_MAX - 1;
    assert_true(seal(&out, RECORD_DATA, "last", 4) > 0);
    assert_int_equal(open_whole(&in, sealed, &type), 4);
    assert_int_equal(seal(&out, RECORD_DATA, "no", 2), -EOVERFLOW);
    assert_int_equal(open_whole(&in, sealed, &type), -EOVERFLOW);
    record_side_wipe(&out);
    record_side_wipe(&in);
}

/* Both sides go on, the key before is of no use. */
static void test_key_update(void **state)
{
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        struct record_side out = side_make(&kinds[k], true, 3);
        struct record_side in = side_make(&kinds[k], false, 3), old;
        enum record_type type;
        memset(out.secret, 0x55, sizeof(out.secret));
        memset(in.secret, 0x55, sizeof(in.secret));
        secret_use(&out);
        secret_use(&in);
        old = in;
        for (unsigned i = 0; i < 3; i++) {
            assert_true(seal(&out, RECORD_DATA, "text", 4) > 0);
            assert_int_equal(open_whole(&in, sealed, &type), 4);
            secret_update(&out);
            secret_update(&in);
            assert_int_equal(out.seq, 0);
            assert_memory_equal(in.key, out.key, sizeof(in.key));
        }
        assert_memory_not_equal(in.key, old.key, 16);
        old.slot = NULL;
        old.seq = 0;
        assert_true(seal(&out, RECORD_DATA, "text", 4) > 0);
        assert_int_equal(open_whole(&old, sealed, &type), -EBADMSG);
        record_side_wipe(&out);
        record_side_wipe(&in);
        record_side_wipe(&old);
    }
}

/* More sides than contexts, of all suites, in an order that takes them from each other. */
static void test_contexts_are_shared(void **state)
{
    enum { SIDES = 12 };
    static const unsigned limits[] = {1, 2, 5, 2 * SIDES};
    struct record_pool *whole = pool;
    (void)state;
    for (size_t l = 0; l < ARRAY_COUNT(limits); l++) {
        struct record_side out[SIDES], in[SIDES];
        pool = record_pool_new(NULL, limits[l]);
        for (unsigned i = 0; i < SIDES; i++) {
            out[i] = side_make(&kinds[i % ARRAY_COUNT(kinds)], true, (uint8_t)(i + 1));
            in[i] = side_make(&kinds[i % ARRAY_COUNT(kinds)], false, (uint8_t)(i + 1));
        }
        for (unsigned round = 0; round < 200; round++) {
            unsigned i = round * 7 % SIDES;
            enum record_type type;
            if (round == 100)
                record_side_wipe(&out[3]);
            if (round >= 100 && i == 3)
                continue;
            assert_true(seal(&out[i], RECORD_DATA, plain, round) > 0);
            assert_int_equal(open_whole(&in[i], sealed, &type), round);
            assert_memory_equal(opened, plain, round);
        }
        for (unsigned i = 0; i < SIDES; i++) {
            record_side_wipe(&out[i]);
            record_side_wipe(&in[i]);
        }
        record_pool_free(pool);
    }
    pool = whole;
}

/* Noise instead of records: refused, never a crash. */
static void test_noise(void **state)
{
    uint32_t seed = 20261123;
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct record_side in = side_make(&kinds[i % ARRAY_COUNT(kinds)], false, 5);
        uint8_t noise[RECORD_HEADER_SIZE + 300];
        enum record_type type;
        for (size_t b = 0; b < sizeof(noise); b++) {
            seed = seed * 1664525u + 1013904223u;
            noise[b] = (uint8_t)(seed >> 24);
        }
        noise[0] = (uint8_t)(20 + noise[0] % 5);
        noise[3] = noise[4] & 1;
        noise[4] = (uint8_t)(noise[4] % 40);
        assert_true(open_whole(&in, noise, &type) < 0);
        record_side_wipe(&in);
    }
}

static int setup(void **state)
{
    (void)state;
    pool = record_pool_new(NULL, 64);
    return pool ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    record_pool_free(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_every_suite_and_size),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_sequence_ends),
        cmocka_unit_test(test_key_update),
        cmocka_unit_test(test_contexts_are_shared),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
