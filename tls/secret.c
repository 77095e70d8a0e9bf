/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/secret.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "tls/hkdf.h"

#define GCM_IV_SIZE 4u /* TLS 1.2: the implicit part, RFC 5288 3 */

static enum hmac_hash hash_of(const struct record_side *side)
{
    return side->suite == RECORD_AES_256_GCM ? HMAC_SHA384 : HMAC_SHA256;
}

/* HKDF-Expand-Label(side->secret, name, "", len), RFC 8446 7.1. */
static void expand(const struct record_side *side, struct span name, uint8_t *out, size_t len)
{
    struct hkdf_label label = {SPAN_LIT("tls13 "), name, SPAN_NONE};
    hkdf_expand_label(hash_of(side), side->secret, &label, out, len);
}

void secret_use(struct record_side *side)
{
    record_side_rekeyed(side);
    side->tls13 = true;
    expand(side, SPAN_LIT("key"), side->key, record_key_size(side->suite));
    expand(side, SPAN_LIT("iv"), side->iv, RECORD_IV_SIZE);
}

void secret_update(struct record_side *side)
{
    uint8_t next[RECORD_SECRET_MAX];
    size_t size = hmac_size(hash_of(side));
    expand(side, SPAN_LIT("traffic upd"), next, size);
    memcpy(side->secret, next, size);
    side->seq = 0;
    secret_use(side);
    OPENSSL_cleanse(next, sizeof(next));
}

static void use_block(struct record_side *side, const uint8_t *key, const uint8_t *iv)
{
    record_side_rekeyed(side);
    memcpy(side->key, key, record_key_size(side->suite));
    memcpy(side->iv, iv, side->suite == RECORD_CHACHA20_POLY1305 ? RECORD_IV_SIZE : GCM_IV_SIZE);
}

bool secret_use_master(EVP_KDF *prf, const SSL *ssl, struct record_side *client,
                       struct record_side *server)
{
    static const char label[] = "key expansion";
    static char sha256[] = "SHA256", sha384[] = "SHA384";
    enum { LABEL = sizeof(label) - 1 };
    uint8_t master[SSL_MAX_MASTER_KEY_LENGTH], seed[LABEL + 2 * SSL3_RANDOM_SIZE];
    uint8_t block[2 * (RECORD_KEY_MAX + RECORD_IV_SIZE)];
    size_t key = record_key_size(client->suite);
    size_t iv = client->suite == RECORD_CHACHA20_POLY1305 ? RECORD_IV_SIZE : GCM_IV_SIZE;

    size_t size = SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof(master));
    memcpy(seed, label, LABEL);
    (void)SSL_get_server_random(ssl, seed + LABEL, SSL3_RANDOM_SIZE);
    (void)SSL_get_client_random(ssl, seed + LABEL + SSL3_RANDOM_SIZE, SSL3_RANDOM_SIZE);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                         hash_of(client) == HMAC_SHA384 ? sha384 : sha256, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(prf);
    bool ok = size > 0 && ctx && EVP_KDF_derive(ctx, block, 2 * (key + iv), params) == 1;
    EVP_KDF_CTX_free(ctx); /* wipes what it was given */
    if (ok) {
        use_block(client, block, block + 2 * key);
        use_block(server, block + key, block + 2 * key + iv);
    }
    OPENSSL_cleanse(master, sizeof(master));
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}
