/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/hash.h"

#include <pthread.h>
#include <xxhash.h>

#include "base/rand.h"

static struct hash_key process_key;
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void process_key_make(void)
{
    rand_secret(&process_key, sizeof(process_key));
}

const struct hash_key *hash_process_key(void)
{
    (void)pthread_once(&process_key_once, process_key_make); /* cannot fail here */
    return &process_key;
}

/* SipHash (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012):
 * four words of state, c rounds for each 8 input bytes, d at the end. The last
 * word holds the leftover bytes and the length. */
struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static inline uint64_t load_le64(const void *from)
{
    uint64_t x;
    memcpy(&x, from, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static inline void store_le64(void *to, uint64_t x)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    memcpy(to, &x, sizeof(x));
}

static inline void sip_rounds(struct sip *s, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v1 = rotate_left(s->v1, 13) ^ s->v0;
        s->v0 = rotate_left(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotate_left(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotate_left(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotate_left(s->v1, 17) ^ s->v2;
        s->v2 = rotate_left(s->v2, 32);
    }
}

static inline struct sip sip_begin(const struct hash_key *key)
{
    uint64_t k0 = load_le64(key->bytes), k1 = load_le64(key->bytes + 8);
    return (struct sip){
        .v0 = k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = k1 ^ UINT64_C(0x646f72616e646f6d),
        .v2 = k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = k1 ^ UINT64_C(0x7465646279746573),
    };
}

static inline void sip_word(struct sip *s, uint64_t word, unsigned rounds)
{
    s->v3 ^= word;
    sip_rounds(s, rounds);
    s->v0 ^= word;
}

static inline void sip_data(struct sip *s, struct span data, unsigned rounds)
{
    size_t at = 0;
    for (; data.len - at >= 8; at += 8)
        sip_word(s, load_le64(data.ptr + at), rounds);
    uint64_t last = (uint64_t)data.len << 56;
    for (unsigned i = 0; at + i < data.len; i++)
        last |= (uint64_t)(unsigned char)data.ptr[at + i] << (8 * i);
    sip_word(s, last, rounds);
}

static inline uint64_t sip_word_out(const struct sip *s)
{
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t hash_sip(const struct hash_key *key, struct span data)
{
    struct sip s = sip_begin(key);
    sip_data(&s, data, 1);
    s.v2 ^= 0xff;
    sip_rounds(&s, 3);
    return sip_word_out(&s);
}

void hash_sip128(const struct hash_key *key, struct span data, uint8_t out[16])
{
    struct sip s = sip_begin(key);
    s.v1 ^= 0xee;
    sip_data(&s, data, 2);
    s.v2 ^= 0xee;
    sip_rounds(&s, 4);
    store_le64(out, sip_word_out(&s));
    s.v1 ^= 0xdd;
    sip_rounds(&s, 4);
    store_le64(out + 8, sip_word_out(&s));
}

uint64_t hash_fast(struct span data, uint64_t seed)
{
    return XXH3_64bits_withSeed(data.len > 0 ? data.ptr : "", data.len, seed);
}
