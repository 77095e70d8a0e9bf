/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/secret_tap.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

/* One derivation: the default provider's, and whom to tell. */
struct tap_ctx {
    struct secret_tap *tap;
    EVP_KDF_CTX *inner;
};

/* OpenSSL's call that makes a provider has no argument of ours. */
static _Thread_local struct secret_tap *tap_loading;

static void tap_free(void *ptr)
{
    struct tap_ctx *ctx = ptr;
    if (!ctx)
        return;
    EVP_KDF_CTX_free(ctx->inner);
    free(ctx);
}

static void *tap_new(void *tap)
{
    struct tap_ctx *ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return NULL;
    ctx->tap = tap;
    ctx->inner = EVP_KDF_CTX_new(ctx->tap->kdf);
    if (ctx->inner)
        return ctx;
    tap_free(ctx);
    return NULL;
}

static void tap_reset(void *ptr)
{
    struct tap_ctx *ctx = ptr;
    EVP_KDF_CTX_reset(ctx->inner);
}

static int tap_derive(void *ptr, unsigned char *key, size_t size, const OSSL_PARAM params[])
{
    static const char client[] = "c ap traffic", server[] = "s ap traffic";
    enum { LABEL_SIZE = sizeof(client) - 1 };
    struct tap_ctx *ctx = ptr;
    int ok = EVP_KDF_derive(ctx->inner, key, size, params);
    const OSSL_PARAM *label = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_LABEL);
    if (ok != 1 || !label || label->data_size != LABEL_SIZE)
        return ok;
    bool of_server = memcmp(label->data, server, LABEL_SIZE) == 0;
    if (of_server || memcmp(label->data, client, LABEL_SIZE) == 0)
        ctx->tap->found(ctx->tap->user, of_server, key, size);
    return ok;
}

static int tap_set_params(void *ptr, const OSSL_PARAM params[])
{
    struct tap_ctx *ctx = ptr;
    return EVP_KDF_CTX_set_params(ctx->inner, params);
}

static int tap_get_params(void *ptr, OSSL_PARAM params[])
{
    struct tap_ctx *ctx = ptr;
    return EVP_KDF_CTX_get_params(ctx->inner, params);
}

static const OSSL_PARAM *tap_settable(void *ctx, void *ptr)
{
    const struct secret_tap *tap = ptr;
    (void)ctx;
    return EVP_KDF_settable_ctx_params(tap->kdf);
}

static const OSSL_PARAM *tap_gettable(void *ctx, void *ptr)
{
    const struct secret_tap *tap = ptr;
    (void)ctx;
    return EVP_KDF_gettable_ctx_params(tap->kdf);
}

static const OSSL_DISPATCH tap_kdf[] = {
    {OSSL_FUNC_KDF_NEWCTX, (void (*)(void))tap_new},
    {OSSL_FUNC_KDF_FREECTX, (void (*)(void))tap_free},
    {OSSL_FUNC_KDF_RESET, (void (*)(void))tap_reset},
    {OSSL_FUNC_KDF_DERIVE, (void (*)(void))tap_derive},
    {OSSL_FUNC_KDF_SET_CTX_PARAMS, (void (*)(void))tap_set_params},
    {OSSL_FUNC_KDF_GET_CTX_PARAMS, (void (*)(void))tap_get_params},
    {OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, (void (*)(void))tap_settable},
    {OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, (void (*)(void))tap_gettable},
    {0, NULL},
};

static const OSSL_ALGORITHM *tap_query(void *tap, int operation, int *ret_no_cache)
{
    static const OSSL_ALGORITHM kdfs[] = {
        {OSSL_KDF_NAME_TLS1_3_KDF, "provider=ringgate", tap_kdf, NULL}, {NULL, NULL, NULL, NULL}};
    (void)tap;
    *ret_no_cache = 0;
    return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static int tap_provide(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **ret_functions, void **ret_tap)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))tap_query}, {0, NULL}};
    (void)handle;
    (void)in;
    *ret_functions = functions;
    *ret_tap = tap_loading;
    return 1;
}

bool secret_tap_init(struct secret_tap *tap, OSSL_LIB_CTX *lib)
{
    tap->base = OSSL_PROVIDER_load(lib, "default");
    tap->kdf = EVP_KDF_fetch(lib, OSSL_KDF_NAME_TLS1_3_KDF, "provider=default");
    if (!tap->base || !tap->kdf || OSSL_PROVIDER_add_builtin(lib, "ringgate", tap_provide) != 1)
        return false;
    tap_loading = tap;
    tap->own = OSSL_PROVIDER_load(lib, "ringgate");
    tap_loading = NULL;
    return tap->own != NULL;
}

void secret_tap_fini(struct secret_tap *tap)
{
    EVP_KDF_free(tap->kdf);
    if (tap->own)
        OSSL_PROVIDER_unload(tap->own);
    if (tap->base)
        OSSL_PROVIDER_unload(tap->base);
}
