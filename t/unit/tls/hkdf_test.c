/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/hkdf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

static size_t from_hex(const char *text, uint8_t *out)
{
    size_t len = 0;
    for (; *text; text += 2) {
        char byte[3] = {text[0], text[1], '\0'};
        out[len++] = (uint8_t)strtoul(byte, NULL, 16);
    }
    return len;
}

/* RFC 5869 A.1 to A.3. */
static void test_published_vectors(void **state)
{
    static const struct {
        const char *key, *salt, *info, *secret, *out;
    } cases[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
         "f0f1f2f3f4f5f6f7f8f9", "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
         "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t key[64], salt[64], info[64], expected[64], secret[HMAC_SIZE_MAX], out[64];
        size_t key_len = from_hex(cases[i].key, key), salt_len = from_hex(cases[i].salt, salt);
        size_t info_len = from_hex(cases[i].info, info);
        hkdf_extract(HMAC_SHA256, span_make(salt, salt_len), span_make(key, key_len), secret);
        assert_memory_equal(secret, expected, from_hex(cases[i].secret, expected));
        size_t len = from_hex(cases[i].out, expected);
        hkdf_expand(HMAC_SHA256, secret, span_make(info, info_len), out, len);
        assert_memory_equal(out, expected, len);
    }
}

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

/* Every size of info, key and output around the borders of blocks, as OpenSSL does it. */
static void test_same_as_openssl(void **state)
{
    static char names[][8] = {"SHA256", "SHA384"};
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
    (void)state;
    assert_non_null(kdf);
    for (size_t round = 0; round < 600; round++) {
        enum hmac_hash hash = round % 2 ? HMAC_SHA384 : HMAC_SHA256;
        uint8_t salt[HMAC_SIZE_MAX], key[200], info[300], prk[HMAC_SIZE_MAX];
        uint8_t out[500], expected[500];
        size_t salt_len = noise(salt, hmac_size(hash)), key_len = noise(key, 1 + round % 200);
        size_t info_len = noise(info, round / 2), len = 1 + round % 500;
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, names[hash], 0),
            bytes_param(OSSL_KDF_PARAM_KEY, key, key_len),
            bytes_param(OSSL_KDF_PARAM_SALT, salt, salt_len),
            bytes_param(OSSL_KDF_PARAM_INFO, info, info_len), OSSL_PARAM_construct_end()};
        EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
        assert_int_equal(EVP_KDF_derive(ctx, expected, len, params), 1);
        EVP_KDF_CTX_free(ctx);
        hkdf_extract(hash, span_make(salt, salt_len), span_make(key, key_len), prk);
        hkdf_expand(hash, prk, span_make(info, info_len), out, len);
        assert_memory_equal(out, expected, len);
    }
    EVP_KDF_free(kdf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_same_as_openssl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
