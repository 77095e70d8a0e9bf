/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/provider.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "tls/hkdf.h"

#define NAME "ringgate"
#define PROPERTIES "provider=" NAME

/* OpenSSL's call that makes a provider has no argument of ours. */
static _Thread_local struct provider *loading;

/* TLS13-KDF has no state: OpenSSL gives all parameters with the call that derives. */
static void *kdf_new(void *provider)
{
    return provider;
}

static void kdf_free(void *provider)
{
    (void)provider;
}

struct kdf_params {
    struct span key, salt;
    struct hkdf_label label;
    int mode; /* -1: none */
    enum hmac_hash hash;
};

static bool read_params(const OSSL_PARAM *from, struct kdf_params *ret)
{
    bool has_hash = false;
    *ret = (struct kdf_params){.mode = -1};
    for (; from->key; from++) {
        struct span value = span_make(from->data, from->data_size);
        struct span name = span_str(from->key);
        if (span_equal(name, SPAN_LIT(OSSL_KDF_PARAM_KEY)))
            ret->key = value;
        else if (span_equal(name, SPAN_LIT(OSSL_KDF_PARAM_SALT)))
            ret->salt = value;
        else if (span_equal(name, SPAN_LIT(OSSL_KDF_PARAM_DATA)))
            ret->label.context = value;
        else if (span_equal(name, SPAN_LIT(OSSL_KDF_PARAM_PREFIX)))
            ret->label.prefix = value;
        else if (span_equal(name, SPAN_LIT(OSSL_KDF_PARAM_LABEL)))
            ret->label.name = value;
        else if (span_equal(name, SPAN_LIT(OSSL_KDF_PARAM_DIGEST)))
            has_hash = hmac_find_hash(value, &ret->hash);
        else if (span_equal(name, SPAN_LIT(OSSL_KDF_PARAM_MODE)) &&
                 OSSL_PARAM_get_int(from, &ret->mode) != 1)
            return false;
    }
    return has_hash;
}

/* The next secret of the schedule: that of before gives the salt (RFC 8446 7.1). */
static bool extract(const struct kdf_params *params, uint8_t *out, size_t size)
{
    static const uint8_t zeros[HMAC_SIZE_MAX];
    uint8_t empty[HMAC_SIZE_MAX], salt[HMAC_SIZE_MAX];
    struct hkdf_label label = params->label;
    size_t hash_size = hmac_size(params->hash);
    bool has_salt = params->salt.ptr != NULL;

    if (size != hash_size || (has_salt && params->salt.len != hash_size) ||
        !hkdf_label_fits(&params->label))
        return false;
    if (has_salt) {
        hmac_digest(params->hash, SPAN_NONE, empty);
        label.context = span_make(empty, hash_size);
        hkdf_expand_label(params->hash, (const uint8_t *)params->salt.ptr, &label, salt, hash_size);
    }
    hkdf_extract(params->hash, span_make(salt, has_salt ? hash_size : 0),
                 params->key.ptr ? params->key : span_make(zeros, hash_size), out);
    OPENSSL_cleanse(salt, sizeof(salt));
    return true;
}

static bool expand(struct provider *provider, const struct kdf_params *params, uint8_t *out,
                   size_t size)
{
    const struct hkdf_label *label = &params->label;
    size_t hash_size = hmac_size(params->hash);

    if (params->key.len != hash_size || size > 255 * hash_size || !hkdf_label_fits(label))
        return false;
    hkdf_expand_label(params->hash, (const uint8_t *)params->key.ptr, label, out, size);
    bool of_server = span_equal(label->name, SPAN_LIT("s ap traffic"));
    if (of_server || span_equal(label->name, SPAN_LIT("c ap traffic")))
        provider->found(provider->user, of_server, out, size);
    return true;
}

static int kdf_derive(void *provider, unsigned char *key, size_t size, const OSSL_PARAM *from)
{
    struct kdf_params params;
    if (!from || !read_params(from, &params))
        return 0;
    switch (params.mode) {
    case EVP_KDF_HKDF_MODE_EXTRACT_ONLY:
        return extract(&params, key, size);
    case EVP_KDF_HKDF_MODE_EXPAND_ONLY:
        return expand(provider, &params, key, size);
    default:
        return 0;
    }
}

static const OSSL_DISPATCH kdf[] = {
    {OSSL_FUNC_KDF_NEWCTX, (void (*)(void))kdf_new},
    {OSSL_FUNC_KDF_FREECTX, (void (*)(void))kdf_free},
    {OSSL_FUNC_KDF_DERIVE, (void (*)(void))kdf_derive},
    {0, NULL},
};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *ret_no_cache)
{
    static const OSSL_ALGORITHM kdfs[] = {{OSSL_KDF_NAME_TLS1_3_KDF, PROPERTIES, kdf, NULL},
                                          {NULL, NULL, NULL, NULL}};
    static const OSSL_ALGORITHM macs[] = {{OSSL_MAC_NAME_HMAC, PROPERTIES, provider_mac, NULL},
                                          {NULL, NULL, NULL, NULL}};
    (void)provider;
    *ret_no_cache = 0;
    return operation == OSSL_OP_KDF ? kdfs : operation == OSSL_OP_MAC ? macs : NULL;
}

static int begin(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                 const OSSL_DISPATCH **ret_functions, void **ret_provider)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query}, {0, NULL}};
    (void)handle;
    (void)in;
    *ret_functions = functions;
    *ret_provider = loading;
    return 1;
}

bool provider_load(struct provider *provider, OSSL_LIB_CTX *lib)
{
    provider->base = OSSL_PROVIDER_load(lib, "default");
    if (!provider->base || OSSL_PROVIDER_add_builtin(lib, NAME, begin) != 1)
        return false;
    loading = provider;
    provider->own = OSSL_PROVIDER_load(lib, NAME);
    loading = NULL;
    /* A default, not a query of each SSL_CTX: this one is not hashed for each fetch. */
    return provider->own && EVP_set_default_properties(lib, "?" PROPERTIES) == 1;
}

void provider_unload(struct provider *provider)
{
    if (provider->own)
        OSSL_PROVIDER_unload(provider->own);
    if (provider->base)
        OSSL_PROVIDER_unload(provider->base);
}
