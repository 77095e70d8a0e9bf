/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_HMAC_H
#define RINGGATE_TLS_HMAC_H

/* HMAC (RFC 2104) with SHA-256 and SHA-384, on the stack of the caller: it takes no memory and
 * cannot fail. The hashes are those of libcrypto, called by themselves: around each of them EVP
 * takes and frees four pieces of memory and looks names up, which is most of what it costs to
 * hash a hundred bytes. Any thread. */

#include "base/span.h"

#include <openssl/sha.h>

enum hmac_hash { HMAC_SHA256, HMAC_SHA384 };

#define HMAC_SIZE_MAX 48u /* of a hash */

struct hmac_digest {
    enum hmac_hash hash;
    union {
        SHA256_CTX sha256;
        SHA512_CTX sha384;
    } u;
};

/* May be copied. Holds what is as good as the key: to be ended or wiped. */
struct hmac {
    struct hmac_digest inner, outer;
};

/* "SHA256", "SHA2-256", and the same of 384. false: another one. */
MUST_CHECK bool hmac_find_hash(struct span name, enum hmac_hash *ret);
/* Bytes of the hash's value and of its blocks. */
size_t hmac_size(enum hmac_hash hash);
size_t hmac_block_size(enum hmac_hash hash);

/* The hash itself: hmac_size bytes to out. */
void hmac_digest(enum hmac_hash hash, struct span data, uint8_t *out);

/* A key of any length. */
void hmac_begin(struct hmac *hmac, enum hmac_hash hash, struct span key);
void hmac_add(struct hmac *hmac, struct span data);
/* hmac_size bytes to out; wipes hmac. */
void hmac_end(struct hmac *hmac, uint8_t *out);
void hmac_wipe(struct hmac *hmac);

#endif
