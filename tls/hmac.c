/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

/* The hashes without EVP are deprecated. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "tls/hmac.h"

#include <openssl/crypto.h>

bool hmac_find_hash(struct span name, enum hmac_hash *ret)
{
    static const struct {
        struct span name;
        enum hmac_hash hash;
    } known[] = {
        {SPAN_LIT("SHA2-256"), HMAC_SHA256}, /* what OpenSSL's own provider says */
        {SPAN_LIT("SHA256"), HMAC_SHA256},
        {SPAN_LIT("SHA2-384"), HMAC_SHA384},
        {SPAN_LIT("SHA384"), HMAC_SHA384},
    };
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (span_equal(name, known[i].name)) {
            *ret = known[i].hash;
            return true;
        }
    }
    return false;
}

size_t hmac_size(enum hmac_hash hash)
{
    return hash == HMAC_SHA256 ? SHA256_DIGEST_LENGTH : SHA384_DIGEST_LENGTH;
}

size_t hmac_block_size(enum hmac_hash hash)
{
    return hash == HMAC_SHA256 ? SHA256_CBLOCK : SHA512_CBLOCK;
}

/* None of these can fail: they return 1. */
static void digest_begin(struct hmac_digest *digest, enum hmac_hash hash)
{
    digest->hash = hash;
    if (hash == HMAC_SHA256)
        (void)SHA256_Init(&digest->u.sha256);
    else
        (void)SHA384_Init(&digest->u.sha384);
}

static void digest_add(struct hmac_digest *digest, const void *data, size_t len)
{
    if (digest->hash == HMAC_SHA256)
        (void)SHA256_Update(&digest->u.sha256, data, len);
    else
        (void)SHA384_Update(&digest->u.sha384, data, len);
}

static void digest_end(struct hmac_digest *digest, uint8_t *out)
{
    if (digest->hash == HMAC_SHA256)
        (void)SHA256_Final(out, &digest->u.sha256);
    else
        (void)SHA384_Final(out, &digest->u.sha384);
}

void hmac_digest(enum hmac_hash hash, struct span data, uint8_t *out)
{
    struct hmac_digest digest;
    digest_begin(&digest, hash);
    digest_add(&digest, data.ptr, data.len);
    digest_end(&digest, out);
}

void hmac_begin(struct hmac *hmac, enum hmac_hash hash, struct span key)
{
    uint8_t pad[SHA512_CBLOCK] = {0};
    size_t size = hmac_block_size(hash);

    if (key.len > size)
        hmac_digest(hash, key, pad);
    else if (key.len > 0)
        memcpy(pad, key.ptr, key.len);
    for (size_t i = 0; i < size; i++)
        pad[i] ^= 0x36;
    digest_begin(&hmac->inner, hash);
    digest_add(&hmac->inner, pad, size);
    for (size_t i = 0; i < size; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    digest_begin(&hmac->outer, hash);
    digest_add(&hmac->outer, pad, size);
    OPENSSL_cleanse(pad, size);
}

void hmac_add(struct hmac *hmac, struct span data)
{
    if (data.len > 0)
        digest_add(&hmac->inner, data.ptr, data.len);
}

void hmac_end(struct hmac *hmac, uint8_t *out)
{
    uint8_t value[HMAC_SIZE_MAX];
    size_t size = hmac_size(hmac->outer.hash);
    digest_end(&hmac->inner, value);
    digest_add(&hmac->outer, value, size);
    digest_end(&hmac->outer, out);
    OPENSSL_cleanse(value, size);
    hmac_wipe(hmac);
}

static void digest_wipe(struct hmac_digest *digest)
{
    OPENSSL_cleanse(&digest->u, digest->hash == HMAC_SHA256 ? sizeof(digest->u.sha256)
                                                            : sizeof(digest->u.sha384));
}

void hmac_wipe(struct hmac *hmac)
{
    digest_wipe(&hmac->inner);
    digest_wipe(&hmac->outer);
}
