/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/provider.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "tls/hmac.h"

/* HMAC as OpenSSL wants it of a provider (provider-mac(7)): the digest is named before there is a
 * key or with it, and a key is good for any number of messages. */

struct mac {
    bool has_hash, has_key;
    enum hmac_hash hash;
    struct hmac keyed, running;
};

static void *mac_new(void *provider)
{
    (void)provider;
    return OPENSSL_zalloc(sizeof(struct mac));
}

static void mac_free(void *mac)
{
    OPENSSL_clear_free(mac, sizeof(struct mac));
}

static void *mac_dup(void *mac)
{
    return OPENSSL_memdup(mac, sizeof(struct mac));
}

static bool set_key(struct mac *mac, const void *key, size_t len)
{
    if (!mac->has_hash)
        return false;
    hmac_begin(&mac->keyed, mac->hash, span_make(key, len));
    mac->running = mac->keyed;
    mac->has_key = true;
    return true;
}

static int mac_set_params(void *ptr, const OSSL_PARAM *params)
{
    struct mac *mac = ptr;
    const OSSL_PARAM *key = NULL;
    for (; params && params->key; params++) {
        struct span name = span_str(params->key);
        if (span_equal(name, SPAN_LIT(OSSL_MAC_PARAM_KEY)))
            key = params;
        if (!span_equal(name, SPAN_LIT(OSSL_MAC_PARAM_DIGEST)))
            continue;
        mac->has_key = false;
        mac->has_hash = hmac_find_hash(span_make(params->data, params->data_size), &mac->hash);
        if (!mac->has_hash)
            return 0;
    }
    return !key || set_key(mac, key->data, key->data_size);
}

static int mac_init(void *ptr, const unsigned char *key, size_t len, const OSSL_PARAM *params)
{
    struct mac *mac = ptr;
    if (mac_set_params(mac, params) != 1)
        return 0;
    if (key)
        return set_key(mac, key, len);
    mac->running = mac->keyed;
    return mac->has_key;
}

static int mac_update(void *ptr, const unsigned char *data, size_t len)
{
    struct mac *mac = ptr;
    if (mac->has_key)
        hmac_add(&mac->running, span_make(data, len));
    return mac->has_key;
}

static int mac_final(void *ptr, unsigned char *out, size_t *ret_len, size_t room)
{
    struct mac *mac = ptr;
    if (!mac->has_key || room < hmac_size(mac->hash))
        return 0;
    hmac_end(&mac->running, out);
    *ret_len = hmac_size(mac->hash);
    return 1;
}

static int mac_get_params(void *ptr, OSSL_PARAM *params)
{
    const struct mac *mac = ptr;
    OSSL_PARAM *size = OSSL_PARAM_locate(params, OSSL_MAC_PARAM_SIZE);
    OSSL_PARAM *block_size = OSSL_PARAM_locate(params, OSSL_MAC_PARAM_BLOCK_SIZE);
    if (size && OSSL_PARAM_set_size_t(size, mac->has_hash ? hmac_size(mac->hash) : 0) != 1)
        return 0;
    return !block_size ||
           OSSL_PARAM_set_size_t(block_size, mac->has_hash ? hmac_block_size(mac->hash) : 0);
}

static const OSSL_PARAM *mac_settable(void *mac, void *provider)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_PROPERTIES, NULL, 0), /* ignored */
        OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, NULL, 0), OSSL_PARAM_END};
    (void)mac;
    (void)provider;
    return params;
}

static const OSSL_PARAM *mac_gettable(void *mac, void *provider)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, NULL),
                                        OSSL_PARAM_size_t(OSSL_MAC_PARAM_BLOCK_SIZE, NULL),
                                        OSSL_PARAM_END};
    (void)mac;
    (void)provider;
    return params;
}

const OSSL_DISPATCH provider_mac[] = {
    {OSSL_FUNC_MAC_NEWCTX, (void (*)(void))mac_new},
    {OSSL_FUNC_MAC_DUPCTX, (void (*)(void))mac_dup},
    {OSSL_FUNC_MAC_FREECTX, (void (*)(void))mac_free},
    {OSSL_FUNC_MAC_INIT, (void (*)(void))mac_init},
    {OSSL_FUNC_MAC_UPDATE, (void (*)(void))mac_update},
    {OSSL_FUNC_MAC_FINAL, (void (*)(void))mac_final},
    {OSSL_FUNC_MAC_GET_CTX_PARAMS, (void (*)(void))mac_get_params},
    {OSSL_FUNC_MAC_SET_CTX_PARAMS, (void (*)(void))mac_set_params},
    {OSSL_FUNC_MAC_SETTABLE_CTX_PARAMS, (void (*)(void))mac_settable},
    {OSSL_FUNC_MAC_GETTABLE_CTX_PARAMS, (void (*)(void))mac_gettable},
    {0, NULL},
};
