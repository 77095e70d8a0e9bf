/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_RECORD_H
#define RINGGATE_TLS_RECORD_H

/* Protection of TLS records, without I/O: TLS 1.3 (RFC 8446 5.2) and the AEAD suites of TLS 1.2
 * (RFC 5246 6.2.3.3 with RFC 5288 and RFC 7905). A connection has one record_side for each
 * direction: key, IV, sequence number and, for TLS 1.3, the secret that the next key comes from.
 *
 * OpenSSL's cipher contexts are four times as large as that, so connections do not own them: a
 * record_pool keeps a fixed number, keyed for sides that were used lately. A side whose context
 * went to another costs a key schedule (about as much as a record of 100 bytes) at its next
 * record. One thread, like everything here. */

#include "base/span.h"

#include <sys/uio.h>

#include <openssl/crypto.h>

#define RECORD_PLAIN_MAX 16384u /* plaintext bytes of a record, RFC 8446 5.1 */
#define RECORD_HEADER_SIZE 5u
#define RECORD_TAG_SIZE 16u
#define RECORD_KEY_MAX 32u
#define RECORD_IV_SIZE 12u
#define RECORD_SECRET_MAX 48u
/* What a sealed record has besides its plaintext, at most. */
#define RECORD_OVERHEAD_MAX (RECORD_HEADER_SIZE + 8u + RECORD_TAG_SIZE)
/* Room that record_open wants: the plaintext and its inner type. */
#define RECORD_OPEN_ROOM (RECORD_PLAIN_MAX + 1u)
/* Records under one AES-GCM key, 2^24.5 (RFC 8446 5.5). */
#define RECORD_KEY_USES_MAX 23726566u

enum record_suite {
    RECORD_AES_128_GCM,
    RECORD_AES_256_GCM,
    RECORD_CHACHA20_POLY1305,
    RECORD_SUITE_COUNT,
};

/* ContentType, RFC 8446 B.1. */
enum record_type {
    RECORD_CHANGE_CIPHER_SPEC = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_DATA = 23,
};

struct record_pool;
struct record_slot;

/* One direction of a connection. pool and sealing are set by its maker, the rest is zero until
 * there are keys. */
struct record_side {
    /* What each record needs, together. */
    struct record_slot *slot; /* the context that is keyed for it; NULL: none is */
    uint64_t seq; /* records under this key */
    uint8_t iv[RECORD_IV_SIZE]; /* TLS 1.2 AES-GCM: the first 4 bytes */
    uint8_t suite; /* enum record_suite */
    bool tls13, sealing;

    struct record_pool *pool;
    uint8_t secret[RECORD_SECRET_MAX]; /* TLS 1.3: application traffic secret */
    uint8_t key[RECORD_KEY_MAX];
};

/* Bytes in pieces, taken from the front. */
struct record_pieces {
    const struct iovec *iov;
    int count;
    size_t skip; /* of iov[0] */
};

/* slots_max: contexts, of 1 KB each, made when they are first needed. NULL: no memory. */
struct record_pool *record_pool_new(OSSL_LIB_CTX *lib, unsigned slots_max);
/* All sides must have been wiped. NULL is ignored. */
void record_pool_free(struct record_pool *pool);

/* Bytes of key of the suite. */
size_t record_key_size(enum record_suite suite);
/* The side has a new key: the context it had is wiped. */
void record_side_rekeyed(struct record_side *side);
/* Wipes keys and secrets, gives the context back. */
void record_side_wipe(struct record_side *side);

/* Bytes in front of and behind the plaintext of a sealed record. */
size_t record_overhead(const struct record_side *side);
/* The next len bytes (at most RECORD_PLAIN_MAX) of pieces become a record at out, which has room
 * for len + record_overhead() and overlaps no piece. Its whole length; -ENOMEM; -EOVERFLOW: the
 * sequence number is used up. */
MUST_CHECK ssize_t record_seal(struct record_side *side, enum record_type type,
                               struct record_pieces *pieces, size_t len, uint8_t *out);

/* Length of what follows a header, checked against what this side may receive. -EPROTO: no such
 * record may come now; -EMSGSIZE: too long; -EBADMSG: too short to be protected. */
MUST_CHECK ssize_t record_body_size(const struct record_side *side,
                                    const uint8_t head[RECORD_HEADER_SIZE]);
/* Opens the record whose body (record_body_size) is next in pieces; out has RECORD_OPEN_ROOM and
 * overlaps no piece. Bytes of plaintext and *ret_type; -EBADMSG: not what the peer sent; -EPROTO:
 * no type, or one that may not come; -EMSGSIZE, -ENOMEM, -EOVERFLOW. out holds nothing that may be
 * used unless the call succeeds. */
MUST_CHECK ssize_t record_open(struct record_side *side, const uint8_t head[RECORD_HEADER_SIZE],
                               struct record_pieces *pieces, uint8_t *out,
                               enum record_type *ret_type);

/* Copies the next len bytes, which are there. */
void record_pieces_copy(struct record_pieces *pieces, void *to, size_t len);

#endif
