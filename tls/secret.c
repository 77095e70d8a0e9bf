/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/secret.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define LABEL_MAX 32u /* of the labels used here, with "tls13 " and lengths */
#define GCM_IV_SIZE 4u /* TLS 1.2: the implicit part, RFC 5288 3 */

struct secret_kdf {
    EVP_KDF *hkdf, *prf;
};

struct secret_kdf *secret_kdf_new(OSSL_LIB_CTX *lib)
{
    struct secret_kdf *kdf = calloc(1, sizeof(*kdf));
    if (!kdf)
        return NULL;
    kdf->hkdf = EVP_KDF_fetch(lib, OSSL_KDF_NAME_HKDF, NULL);
    kdf->prf = EVP_KDF_fetch(lib, OSSL_KDF_NAME_TLS1_PRF, NULL);
    if (kdf->hkdf && kdf->prf)
        return kdf;
    secret_kdf_free(kdf);
    return NULL;
}

void secret_kdf_free(struct secret_kdf *kdf)
{
    if (!kdf)
        return;
    EVP_KDF_free(kdf->hkdf);
    EVP_KDF_free(kdf->prf);
    free(kdf);
}

static bool derive(EVP_KDF *kdf, const OSSL_PARAM *params, uint8_t *out, size_t len)
{
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    bool ok = ctx && EVP_KDF_derive(ctx, out, len, params) == 1;
    EVP_KDF_CTX_free(ctx); /* wipes what it was given */
    return ok;
}

static char *digest_name(enum record_suite suite)
{
    static char sha256[] = "SHA256", sha384[] = "SHA384";
    return suite == RECORD_AES_256_GCM ? sha384 : sha256;
}

static size_t digest_size(enum record_suite suite)
{
    return suite == RECORD_AES_256_GCM ? 48 : 32;
}

/* HKDF-Expand-Label(side->secret, label, "", len), RFC 8446 7.1. */
static bool expand(const struct secret_kdf *kdf, const struct record_side *side, const char *label,
                   uint8_t *out, size_t len)
{
    uint8_t info[LABEL_MAX] = {0, (uint8_t)len};
    uint8_t secret[RECORD_SECRET_MAX];
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    size_t label_len = strlen(label);

    info[2] = (uint8_t)(6 + label_len);
    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label, label_len); /* and a context of no bytes: the 0 that is there */
    memcpy(secret, side->secret, sizeof(secret));
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest_name(side->suite), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, digest_size(side->suite)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 9 + label_len + 1),
        OSSL_PARAM_construct_end(),
    };
    bool ok = derive(kdf->hkdf, params, out, len);
    OPENSSL_cleanse(secret, sizeof(secret));
    return ok;
}

bool secret_use(struct secret_kdf *kdf, struct record_side *side)
{
    record_side_rekeyed(side);
    side->tls13 = true;
    return expand(kdf, side, "key", side->key, record_key_size(side->suite)) &&
           expand(kdf, side, "iv", side->iv, RECORD_IV_SIZE);
}

bool secret_update(struct secret_kdf *kdf, struct record_side *side)
{
    uint8_t next[RECORD_SECRET_MAX];
    size_t size = digest_size(side->suite);
    bool ok = expand(kdf, side, "traffic upd", next, size);
    if (ok) {
        memcpy(side->secret, next, size);
        side->seq = 0;
        ok = secret_use(kdf, side);
    }
    OPENSSL_cleanse(next, sizeof(next));
    return ok;
}

static void use_block(struct record_side *side, const uint8_t *key, const uint8_t *iv)
{
    record_side_rekeyed(side);
    memcpy(side->key, key, record_key_size(side->suite));
    memcpy(side->iv, iv, side->suite == RECORD_CHACHA20_POLY1305 ? RECORD_IV_SIZE : GCM_IV_SIZE);
}

bool secret_use_master(struct secret_kdf *kdf, const SSL *ssl, struct record_side *client,
                       struct record_side *server)
{
    static const char label[] = "key expansion";
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
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest_name(client->suite), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
        OSSL_PARAM_construct_end(),
    };
    bool ok = size > 0 && derive(kdf->prf, params, block, 2 * (key + iv));
    if (ok) {
        use_block(client, block, block + 2 * key);
        use_block(server, block + key, block + 2 * key + iv);
    }
    OPENSSL_cleanse(master, sizeof(master));
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}
