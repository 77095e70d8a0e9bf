/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/aead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#define TEXT_MAX 700u

static const struct {
    const char *name;
    size_t key_size;
} ciphers[] = {{"AES-128-GCM", 16}, {"aes-256-gcm", 32}, {"ChaCha20-Poly1305", 32}};

static uint8_t key[32], nonce[AEAD_NONCE_SIZE], text[TEXT_MAX], data[] = "additional data";

/* What EVP makes of it: ciphertext and tag. */
static void seal_by_evp(const char *name, size_t len, uint8_t *out, uint8_t *tag)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int done;
    assert_int_equal(EVP_EncryptInit_ex2(ctx, cipher, key, nonce, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &done, data, sizeof(data)), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &done, text, (int)len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, out + len, &done), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, tag), 1);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
}

static bool seal_text(const struct aead *aead, void *ctx, size_t len, uint8_t *out, uint8_t *tag)
{
    size_t cut = len / 3;
    return aead_seal_begin(aead, ctx, nonce) && aead_data(aead, ctx, data, sizeof(data)) &&
           aead_text(aead, ctx, out, text, cut) &&
           aead_text(aead, ctx, out + cut, text + cut, len - cut) && aead_seal_end(aead, ctx, tag);
}

/* In place. */
static bool open_text(const struct aead *aead, void *ctx, size_t len, uint8_t *at,
                      const uint8_t *tag)
{
    size_t cut = len / 2;
    return aead_open_begin(aead, ctx, nonce, tag) && aead_data(aead, ctx, data, sizeof(data)) &&
           aead_text(aead, ctx, at, at, cut) &&
           aead_text(aead, ctx, at + cut, at + cut, len - cut) && aead_open_end(aead, ctx);
}

static void test_same_as_evp(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_COUNT(ciphers); c++) {
        struct aead aead;
        assert_true(aead_init(&aead, NULL, ciphers[c].name));
        void *out_ctx = aead_ctx_new(&aead), *in_ctx = aead_ctx_new(&aead);
        for (size_t len = 0; len <= TEXT_MAX; len += len < 70 ? 1 : 45) {
            uint8_t expected[TEXT_MAX + 16], tag[16], out[TEXT_MAX], own_tag[16];
            memset(key, (int)len + 1, sizeof(key));
            memset(nonce, (int)len + 2, sizeof(nonce));
            memset(text, (int)len + 3, sizeof(text));
            /* A context takes one key after the other. */
            assert_true(aead_ctx_key(&aead, out_ctx, key, ciphers[c].key_size, true));
            assert_true(aead_ctx_key(&aead, in_ctx, key, ciphers[c].key_size, false));
            seal_by_evp(ciphers[c].name, len, expected, tag);
            assert_true(seal_text(&aead, out_ctx, len, out, own_tag));
            assert_memory_equal(out, expected, len);
            assert_memory_equal(own_tag, tag, sizeof(tag));
            assert_true(open_text(&aead, in_ctx, len, out, tag));
            assert_memory_equal(out, text, len);
            tag[len % 16] ^= 0x10;
            memcpy(out, expected, len);
            assert_false(open_text(&aead, in_ctx, len, out, tag));
        }
        aead_ctx_free(&aead, out_ctx);
        aead_ctx_free(&aead, in_ctx);
        aead_fini(&aead);
    }
}

/* A nonce is good for one message. */
static void test_order(void **state)
{
    struct aead aead;
    uint8_t tag[AEAD_TAG_SIZE] = {0}, out[16];
    (void)state;
    assert_true(aead_init(&aead, NULL, "AES-128-GCM"));
    void *ctx = aead_ctx_new(&aead);
    assert_true(aead_seal_begin(&aead, ctx, nonce));
    assert_false(aead_text(&aead, ctx, out, text, 16)); /* no key */
    assert_false(aead_ctx_key(&aead, ctx, key, 32, true)); /* that of another cipher */
    assert_true(aead_ctx_key(&aead, ctx, key, 16, true));
    assert_true(seal_text(&aead, ctx, 16, out, tag));
    assert_false(aead_text(&aead, ctx, out, text, 16));
    aead_ctx_free(&aead, ctx);
    aead_ctx_free(&aead, NULL);
    aead_fini(&aead);
    aead_fini(&aead);
}

static void test_names(void **state)
{
    static const char *const unknown[] = {"AES-128-GC", "AES-128-GCMX", "", ":"};
    struct aead aead;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(unknown); i++) {
        assert_false(aead_init(&aead, NULL, unknown[i]));
        assert_null(aead.cipher);
    }
    assert_true(aead_init(&aead, NULL, "id-aes128-GCM")); /* the second of its names */
    aead_fini(&aead);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_evp),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
