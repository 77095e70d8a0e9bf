/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_AEAD_H
#define RINGGATE_TLS_AEAD_H

/* A cipher with authentication, called where OpenSSL's provider has it (provider-cipher(7)) instead
 * of through EVP. A record takes five calls; EVP's part of each costs as much as the encryption of
 * some hundred bytes, and the nonce can be given to the provider as it is. One thread, like the
 * library context. */

#include "base/base.h"

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>

#define AEAD_NONCE_SIZE 12u
#define AEAD_TAG_SIZE 16u

struct aead {
    OSSL_PROVIDER *provider; /* held by cipher */
    EVP_CIPHER *cipher;
    OSSL_FUNC_cipher_newctx_fn *ctx_new;
    OSSL_FUNC_cipher_freectx_fn *ctx_free;
    OSSL_FUNC_cipher_encrypt_init_fn *seal_init;
    OSSL_FUNC_cipher_decrypt_init_fn *open_init;
    OSSL_FUNC_cipher_update_fn *update;
    OSSL_FUNC_cipher_final_fn *final;
    OSSL_FUNC_cipher_get_ctx_params_fn *get_params;
};

/* name: "AES-128-GCM". false: lib has none of that name; aead is all zero then. */
MUST_CHECK bool aead_init(struct aead *aead, OSSL_LIB_CTX *lib, const char *name);
void aead_fini(struct aead *aead); /* all zero is ignored */

/* A context for one key and direction at a time; NULL: no memory. */
void *aead_ctx_new(const struct aead *aead);
void aead_ctx_free(const struct aead *aead, void *ctx); /* wipes it; NULL is ignored */
/* size: the one of the cipher. false: no memory. */
MUST_CHECK bool aead_ctx_key(const struct aead *aead, void *ctx, const uint8_t *key, size_t size,
                             bool sealing);

/* One message: begin, additional data, text in pieces, end. false: refused, or the tag is wrong;
 * what was decrypted may only be used after aead_open_end. */
MUST_CHECK bool aead_seal_begin(const struct aead *aead, void *ctx,
                                const uint8_t nonce[AEAD_NONCE_SIZE]);
MUST_CHECK bool aead_open_begin(const struct aead *aead, void *ctx,
                                const uint8_t nonce[AEAD_NONCE_SIZE],
                                const uint8_t tag[AEAD_TAG_SIZE]);
MUST_CHECK bool aead_data(const struct aead *aead, void *ctx, const void *data, size_t len);
/* len bytes from in to out, which is the same place or another. */
MUST_CHECK bool aead_text(const struct aead *aead, void *ctx, uint8_t *out, const void *in,
                          size_t len);
MUST_CHECK bool aead_seal_end(const struct aead *aead, void *ctx, uint8_t tag[AEAD_TAG_SIZE]);
MUST_CHECK bool aead_open_end(const struct aead *aead, void *ctx);

#endif
