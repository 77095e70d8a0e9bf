/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/aead.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "base/span.h"

/* names: alternatives with colons between them. */
static bool has_name(const char *names, struct span name)
{
    struct span head, rest = span_str(names);
    bool more;
    do {
        more = span_split(rest, ':', &head, &rest);
        if (span_equal_fold(head, name))
            return true;
    } while (more);
    return false;
}

static const OSSL_DISPATCH *find_dispatch(OSSL_PROVIDER *provider, const char *name)
{
    int no_cache = 0;
    const OSSL_DISPATCH *found = NULL;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &no_cache);
    for (const OSSL_ALGORITHM *at = all; !found && at && at->algorithm_names; at++) {
        if (has_name(at->algorithm_names, span_str(name)))
            found = at->implementation;
    }
    OSSL_PROVIDER_unquery_operation(provider, OSSL_OP_CIPHER, all);
    return found;
}

static bool take_functions(struct aead *aead, const OSSL_DISPATCH *at)
{
    for (; at && at->function_id; at++) {
        switch (at->function_id) {
        case OSSL_FUNC_CIPHER_NEWCTX:
            aead->ctx_new = OSSL_FUNC_cipher_newctx(at);
            break;
        case OSSL_FUNC_CIPHER_FREECTX:
            aead->ctx_free = OSSL_FUNC_cipher_freectx(at);
            break;
        case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
            aead->seal_init = OSSL_FUNC_cipher_encrypt_init(at);
            break;
        case OSSL_FUNC_CIPHER_DECRYPT_INIT:
            aead->open_init = OSSL_FUNC_cipher_decrypt_init(at);
            break;
        case OSSL_FUNC_CIPHER_UPDATE:
            aead->update = OSSL_FUNC_cipher_update(at);
            break;
        case OSSL_FUNC_CIPHER_FINAL:
            aead->final = OSSL_FUNC_cipher_final(at);
            break;
        case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
            aead->get_params = OSSL_FUNC_cipher_get_ctx_params(at);
            break;
        default:
            break;
        }
    }
    return aead->ctx_new && aead->ctx_free && aead->seal_init && aead->open_init && aead->update &&
           aead->final && aead->get_params;
}

bool aead_init(struct aead *aead, OSSL_LIB_CTX *lib, const char *name)
{
    *aead = (struct aead){.cipher = EVP_CIPHER_fetch(lib, name, NULL)};
    if (aead->cipher) {
        /* const in a getter, and not where it is used */
        aead->provider = (OSSL_PROVIDER *)(uintptr_t)EVP_CIPHER_get0_provider(aead->cipher);
        if (take_functions(aead, find_dispatch(aead->provider, name)))
            return true;
    }
    aead_fini(aead);
    return false;
}

void aead_fini(struct aead *aead)
{
    EVP_CIPHER_free(aead->cipher);
    *aead = (struct aead){0};
}

void *aead_ctx_new(const struct aead *aead)
{
    return aead->ctx_new(OSSL_PROVIDER_get0_provider_ctx(aead->provider));
}

void aead_ctx_free(const struct aead *aead, void *ctx)
{
    if (ctx)
        aead->ctx_free(ctx);
}

bool aead_ctx_key(const struct aead *aead, void *ctx, const uint8_t *key, size_t size, bool sealing)
{
    return (sealing ? aead->seal_init(ctx, key, size, NULL, 0, NULL)
                    : aead->open_init(ctx, key, size, NULL, 0, NULL)) == 1;
}

static OSSL_PARAM tag_param(const uint8_t *tag)
{
    return OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (void *)(uintptr_t)tag,
                                             AEAD_TAG_SIZE);
}

bool aead_seal_begin(const struct aead *aead, void *ctx, const uint8_t nonce[AEAD_NONCE_SIZE])
{
    return aead->seal_init(ctx, NULL, 0, nonce, AEAD_NONCE_SIZE, NULL) == 1;
}

bool aead_open_begin(const struct aead *aead, void *ctx, const uint8_t nonce[AEAD_NONCE_SIZE],
                     const uint8_t tag[AEAD_TAG_SIZE])
{
    const OSSL_PARAM params[] = {tag_param(tag), OSSL_PARAM_construct_end()};
    return aead->open_init(ctx, NULL, 0, nonce, AEAD_NONCE_SIZE, params) == 1;
}

bool aead_data(const struct aead *aead, void *ctx, const void *data, size_t len)
{
    size_t done;
    return aead->update(ctx, NULL, &done, len, data, len) == 1;
}

bool aead_text(const struct aead *aead, void *ctx, uint8_t *out, const void *in, size_t len)
{
    size_t done = 0;
    return aead->update(ctx, out, &done, len, in, len) == 1 && done == len;
}

bool aead_open_end(const struct aead *aead, void *ctx)
{
    uint8_t nothing[AEAD_TAG_SIZE];
    size_t done;
    return aead->final(ctx, nothing, &done, sizeof(nothing)) == 1;
}

bool aead_seal_end(const struct aead *aead, void *ctx, uint8_t tag[AEAD_TAG_SIZE])
{
    OSSL_PARAM params[] = {tag_param(tag), OSSL_PARAM_construct_end()};
    return aead_open_end(aead, ctx) && aead->get_params(ctx, params) == 1;
}
