/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/provider.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/span.h"

static uint32_t seed = 20261123;

static size_t noise(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (uint8_t)(seed >> 24);
    }
    return len;
}

static OSSL_PARAM bytes_param(const char *name, uint8_t *data, size_t len)
{
    return OSSL_PARAM_construct_octet_string(name, data, len);
}

static OSSL_PARAM text_param(const char *name, const char *text)
{
    return OSSL_PARAM_construct_utf8_string(name, (char *)(uintptr_t)text, 0);
}

static struct {
    unsigned count;
    bool of_server;
    uint8_t secret[64];
    size_t size;
} told;

static void on_secret(void *user, bool of_server, const uint8_t *secret, size_t size)
{
    assert_ptr_equal(user, &told);
    told.count++;
    told.of_server = of_server;
    memcpy(told.secret, secret, size);
    told.size = size;
}

struct fixture {
    OSSL_LIB_CTX *lib;
    struct provider provider;
    EVP_KDF *own, *theirs;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    fixture->lib = OSSL_LIB_CTX_new();
    fixture->provider.found = on_secret;
    fixture->provider.user = &told;
    memset(&told, 0, sizeof(told));
    if (!provider_load(&fixture->provider, fixture->lib))
        return -1;
    fixture->own = EVP_KDF_fetch(fixture->lib, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
    fixture->theirs = EVP_KDF_fetch(fixture->lib, OSSL_KDF_NAME_TLS1_3_KDF, "provider=default");
    return fixture->own && fixture->theirs ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    EVP_KDF_free(fixture->own);
    EVP_KDF_free(fixture->theirs);
    provider_unload(&fixture->provider);
    OSSL_LIB_CTX_free(fixture->lib);
    free(fixture);
    return 0;
}

static int derive(EVP_KDF *kdf, const OSSL_PARAM *params, uint8_t *out, size_t len)
{
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    assert_non_null(ctx);
    int rc = EVP_KDF_derive(ctx, out, len, params);
    EVP_KDF_CTX_free(ctx);
    return rc;
}

/* What a call to the KDF is made of; NULL and 0: left out. */
struct kdf_call {
    const char *digest;
    int mode;
    size_t key, salt, data, out; /* sizes */
    const char *label;
    bool good;
    int told; /* 0: no; 1: of the client; 2: of the server */
};

static unsigned make_params(const struct kdf_call *call, uint8_t bytes[4][300], int *mode,
                            OSSL_PARAM params[8])
{
    OSSL_PARAM *param = params;
    uint8_t *prefix = bytes[3], *label = bytes[3] + 6;
    memcpy(prefix, "tls13 ", 6);
    *mode = call->mode;
    if (call->mode >= 0)
        *param++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, mode);
    if (call->digest)
        *param++ = text_param(OSSL_KDF_PARAM_DIGEST, call->digest);
    if (call->key)
        *param++ = bytes_param(OSSL_KDF_PARAM_KEY, bytes[0], noise(bytes[0], call->key));
    if (call->salt)
        *param++ = bytes_param(OSSL_KDF_PARAM_SALT, bytes[1], noise(bytes[1], call->salt));
    if (call->data)
        *param++ = bytes_param(OSSL_KDF_PARAM_DATA, bytes[2], noise(bytes[2], call->data));
    memcpy(label, call->label, strlen(call->label));
    *param++ = bytes_param(OSSL_KDF_PARAM_PREFIX, prefix, 6);
    *param++ = bytes_param(OSSL_KDF_PARAM_LABEL, label, strlen(call->label));
    *param = OSSL_PARAM_construct_end();
    return (unsigned)(param - params);
}

/* OpenSSL's own TLS13-KDF says the same, or we refuse. */
static void test_kdf(void **state)
{
    enum { EXTRACT = EVP_KDF_HKDF_MODE_EXTRACT_ONLY, EXPAND = EVP_KDF_HKDF_MODE_EXPAND_ONLY };
    static const char long_label[] =
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
        "8901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
        "67890123456789012345678901234567890123456789012345678901234567890123456789";
    static const struct kdf_call calls[] = {
        {"SHA2-256", EXTRACT, 0, 0, 0, 32, "derived", true, 0}, /* the early secret */
        {"SHA256", EXTRACT, 32, 32, 0, 32, "derived", true, 0},
        {"SHA2-384", EXTRACT, 48, 48, 0, 48, "derived", true, 0},
        {"SHA384", EXTRACT, 0, 48, 0, 48, "derived", true, 0}, /* the master secret */
        {"SHA2-256", EXTRACT, 64, 32, 0, 32, "derived", true, 0}, /* a hybrid group */
        {"SHA2-256", EXTRACT, 32, 0, 0, 32, "derived", true, 0},
        {"SHA2-256", EXPAND, 32, 0, 32, 32, "c hs traffic", true, 0},
        {"SHA2-256", EXPAND, 32, 0, 32, 32, "c ap traffic", true, 1},
        {"SHA2-384", EXPAND, 48, 0, 48, 48, "s ap traffic", true, 2},
        {"SHA2-256", EXPAND, 32, 0, 0, 16, "key", true, 0},
        {"SHA2-384", EXPAND, 48, 0, 0, 12, "iv", true, 0},
        {"SHA2-256", EXPAND, 32, 0, 2, 32, "resumption", true, 0},
        {"SHA2-256", EXPAND, 32, 0, 255, 100, "an exporter", true, 0},
        {"SHA2-256", EXPAND, 32, 0, 0, 32, "", true, 0},
        {"SHA2-512", EXPAND, 64, 0, 0, 32, "key", false, 0},
        {NULL, EXPAND, 32, 0, 0, 32, "key", false, 0},
        {"SHA2-256", -1, 32, 0, 0, 32, "key", false, 0},
        {"SHA2-256", EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND, 32, 0, 0, 32, "key", false, 0},
        {"SHA2-256", EXPAND, 0, 0, 0, 32, "key", false, 0},
        {"SHA2-256", EXPAND, 31, 0, 0, 32, "c ap traffic", false, 0},
        {"SHA2-256", EXPAND, 32, 0, 256, 32, "c ap traffic", false, 0},
        {"SHA2-256", EXPAND, 32, 0, 0, 32, long_label, false, 0},
        {"SHA2-256", EXTRACT, 32, 32, 0, 32, long_label, false, 0},
        {"SHA2-256", EXPAND, 32, 0, 0, 255 * 32 + 1, "key", false, 0},
        {"SHA2-256", EXTRACT, 32, 33, 0, 32, "derived", false, 0},
        {"SHA2-256", EXTRACT, 32, 32, 0, 31, "derived", false, 0},
    };
    const struct fixture *fixture = *state;
    static uint8_t out[10000], expected[10000];
    for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
        const struct kdf_call *call = &calls[i];
        uint8_t bytes[4][300];
        OSSL_PARAM params[8];
        int mode;
        assert_in_range(make_params(call, bytes, &mode, params), 1, 7);
        told.count = 0;
        assert_int_equal(derive(fixture->own, params, out, call->out), call->good);
        assert_int_equal(told.count, call->told > 0);
        if (!call->good)
            continue;
        assert_int_equal(derive(fixture->theirs, params, expected, call->out), 1);
        assert_memory_equal(out, expected, call->out);
        if (call->told) {
            assert_int_equal(told.of_server, call->told == 2);
            assert_int_equal(told.size, call->out);
            assert_memory_equal(told.secret, out, call->out);
        }
    }
    assert_int_equal(derive(fixture->own, NULL, out, 32), 0);
}

/* --- HMAC --- */

/* In two calls, cut at len / 3. The length of the value, 0: refused. */
static size_t mac_of(EVP_MAC *mac, const char *digest, struct span key, struct span data,
                     uint8_t out[64])
{
    OSSL_PARAM params[] = {text_param(OSSL_MAC_PARAM_DIGEST, digest), OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    const uint8_t *at = (const uint8_t *)data.ptr;
    size_t cut = data.len / 3, len = 0;
    assert_non_null(ctx);
    if (EVP_MAC_init(ctx, (const uint8_t *)key.ptr, key.len, params) != 1 ||
        EVP_MAC_update(ctx, at, cut) != 1 || EVP_MAC_update(ctx, at + cut, data.len - cut) != 1 ||
        EVP_MAC_final(ctx, out, &len, 64) != 1)
        len = 0;
    EVP_MAC_CTX_free(ctx);
    return len;
}

static void test_mac_sizes(void **state)
{
    static const char *const digests[] = {"SHA256", "SHA2-256", "SHA384", "SHA2-384"};
    const struct fixture *fixture = *state;
    EVP_MAC *own = EVP_MAC_fetch(fixture->lib, "HMAC", NULL);
    EVP_MAC *theirs = EVP_MAC_fetch(fixture->lib, "HMAC", "provider=default");
    assert_non_null(own);
    assert_ptr_not_equal(own, theirs);
    for (size_t i = 0; i < 1200; i++) {
        uint8_t key[300], data[300], out[64], expected[64];
        struct span key_span = span_make(key, noise(key, i % 290));
        struct span data_span = span_make(data, noise(data, i * 7 % 300));
        const char *digest = digests[i % ARRAY_COUNT(digests)];
        size_t len = mac_of(theirs, digest, key_span, data_span, expected);
        assert_int_equal(len, i % 4 < 2 ? 32 : 48);
        assert_int_equal(mac_of(own, digest, key_span, data_span, out), len);
        assert_memory_equal(out, expected, len);
    }
    uint8_t out[64];
    assert_int_equal(mac_of(own, "SHA512", SPAN_LIT("key"), SPAN_LIT("data"), out), 0);
    assert_int_equal(mac_of(own, "SHA1", SPAN_LIT("key"), SPAN_LIT("data"), out), 0);
    EVP_MAC_free(own);
    EVP_MAC_free(theirs);
}

/* The order of calls is the caller's: parameters first, the same key again, a copy in between. */
static void test_mac_order(void **state)
{
    const struct fixture *fixture = *state;
    EVP_MAC *mac = EVP_MAC_fetch(fixture->lib, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    uint8_t key[] = "some key", expected[64], out[64];
    OSSL_PARAM digest[] = {text_param(OSSL_MAC_PARAM_DIGEST, "SHA256"), OSSL_PARAM_construct_end()};
    OSSL_PARAM both[] = {bytes_param(OSSL_MAC_PARAM_KEY, key, 8),
                         text_param(OSSL_MAC_PARAM_DIGEST, "SHA256"), OSSL_PARAM_construct_end()};
    OSSL_PARAM wrong[] = {text_param(OSSL_MAC_PARAM_DIGEST, "MD5"), OSSL_PARAM_construct_end()};
    size_t len = 0;

    assert_int_equal(mac_of(mac, "SHA256", span_make(key, 8), SPAN_LIT("ab"), expected), 32);
    assert_int_equal(EVP_MAC_update(ctx, (const uint8_t *)"a", 1), 0); /* no digest, no key */
    assert_int_equal(EVP_MAC_init(ctx, key, 8, NULL), 0);
    assert_int_equal(EVP_MAC_init(ctx, NULL, 0, NULL), 0);
    assert_int_equal(EVP_MAC_CTX_get_mac_size(ctx), 0);
    assert_int_equal(EVP_MAC_CTX_set_params(ctx, digest), 1);
    assert_int_equal(EVP_MAC_CTX_get_mac_size(ctx), 32);
    assert_int_equal(EVP_MAC_CTX_get_block_size(ctx), 64);
    assert_int_equal(EVP_MAC_final(ctx, out, &len, sizeof(out)), 0); /* no key */
    assert_int_equal(EVP_MAC_CTX_set_params(ctx, both), 1); /* as the ticket callback does */
    for (int round = 0; round < 2; round++) {
        assert_int_equal(EVP_MAC_update(ctx, (const uint8_t *)"a", 1), 1);
        EVP_MAC_CTX *copy = EVP_MAC_CTX_dup(ctx);
        assert_int_equal(EVP_MAC_update(ctx, (const uint8_t *)"b", 1), 1);
        assert_int_equal(EVP_MAC_update(copy, (const uint8_t *)"b", 1), 1);
        assert_int_equal(EVP_MAC_final(ctx, out, &len, 31), 0); /* no room */
        assert_int_equal(EVP_MAC_final(ctx, out, &len, 32), 1);
        assert_int_equal(len, 32);
        assert_memory_equal(out, expected, 32);
        assert_int_equal(EVP_MAC_final(copy, out, &len, sizeof(out)), 1);
        assert_memory_equal(out, expected, 32);
        EVP_MAC_CTX_free(copy);
        assert_int_equal(EVP_MAC_init(ctx, NULL, 0, NULL), 1); /* the same key */
    }
    assert_int_equal(EVP_MAC_CTX_set_params(ctx, wrong), 0);
    assert_int_equal(EVP_MAC_update(ctx, (const uint8_t *)"a", 1), 0);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

/* What OpenSSL builds on HMAC finds ours, and all else is the default provider's. */
static void test_users(void **state)
{
    const struct fixture *fixture = *state;
    uint8_t out[2][48], secret[48], seed_bytes[64];
    OSSL_LIB_CTX *libs[] = {fixture->lib, NULL};
    noise(secret, sizeof(secret));
    noise(seed_bytes, sizeof(seed_bytes));
    for (int i = 0; i < 2; i++) {
        OSSL_PARAM params[] = {text_param(OSSL_KDF_PARAM_DIGEST, "SHA384"),
                               bytes_param(OSSL_KDF_PARAM_SECRET, secret, sizeof(secret)),
                               bytes_param(OSSL_KDF_PARAM_SEED, seed_bytes, sizeof(seed_bytes)),
                               OSSL_PARAM_construct_end()};
        EVP_KDF *prf = EVP_KDF_fetch(libs[i], OSSL_KDF_NAME_TLS1_PRF, NULL);
        assert_int_equal(derive(prf, params, out[i], sizeof(out[i])), 1);
        EVP_KDF_free(prf);
    }
    assert_memory_equal(out[0], out[1], sizeof(out[0]));
    for (int i = 0; i < 2; i++) {
        EVP_PKEY *key = EVP_PKEY_new_raw_private_key_ex(libs[i], "HMAC", NULL, secret, 32);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        size_t len = sizeof(out[i]);
        assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", libs[i], NULL, key, NULL), 1);
        assert_int_equal(EVP_DigestSign(ctx, out[i], &len, seed_bytes, 32), 1);
        assert_int_equal(len, 32);
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(key);
    }
    assert_memory_equal(out[0], out[1], 32);
    EVP_MD *md = EVP_MD_fetch(fixture->lib, "SHA512", NULL);
    assert_non_null(md);
    EVP_MD_free(md);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kdf, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mac_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mac_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_users, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
