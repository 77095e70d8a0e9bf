/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls_fixture.h"

#include <errno.h>

#include "tls/cert.h"

static void test_pairs(void **state)
{
    struct fixture_pair weak = fixture_make(
        &fix.ca, (struct fixture_wish){.name = "weak", .san = "DNS:a.example", .key = "RSA1024"});
    struct span chain = fixture_concat(fix.a_ec.cert_pem, fix.ca.cert_pem);
    struct span encrypted;
    BIO *out = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(out, fix.a_ec.key, EVP_aes_128_cbc(), "pw", 2, NULL, NULL);
    encrypted = fixture_drain(out);
    const struct {
        struct span cert, key;
        const char *type, *error; /* error: NULL or what the text contains */
        unsigned names;
    } cases[] = {
        {fix.a_ec.cert_pem, fix.a_ec.key_pem, "EC-P-256", NULL, 1},
        {fix.a_rsa.cert_pem, fix.a_rsa.key_pem, "RSA-2048", NULL, 1},
        {chain, fix.a_ec.key_pem, "EC-P-256", NULL, 1},
        {fix.expired.cert_pem, fix.expired.key_pem, "EC-P-256", NULL, 1},
        {fix.client.cert_pem, fix.client.key_pem, "EC-P-256", NULL, 1},
        {fix.ca.cert_pem, fix.ca.key_pem, "EC-P-256", NULL, 0},
        {fix.a_ec.cert_pem, fix.b_ec.key_pem, NULL, "does not match", 0},
        {fix.a_ec.cert_pem, fix.a_rsa.key_pem, NULL, "does not match", 0},
        {weak.cert_pem, weak.key_pem, NULL, "key too small", 0},
        {SPAN_LIT(""), fix.a_ec.key_pem, NULL, "no certificate", 0},
        {fix.a_ec.key_pem, fix.a_ec.key_pem, NULL, "no certificate", 0},
        {fix.a_ec.cert_pem, SPAN_LIT(""), NULL, "private key cannot be read", 0},
        {fix.a_ec.cert_pem, encrypted, NULL, "private key cannot be read", 0},
        {span_make(fix.a_ec.cert_pem.ptr, fix.a_ec.cert_pem.len / 2), fix.a_ec.key_pem, NULL,
         "certificate 1 cannot be read", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct cert_info info;
        struct err err = {0};
        int rc = cert_check_pair(cases[i].cert, cases[i].key, &info, &err);
        if (cases[i].error) {
            assert_int_equal(rc, -EINVAL);
            if (!strstr(err.text, cases[i].error))
                fail_msg("%s", err.text);
            assert_int_equal(cert_check_pair(cases[i].cert, cases[i].key, NULL, NULL), -EINVAL);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_string_equal(info.key_type, cases[i].type);
        assert_int_equal(info.names_count, cases[i].names);
        assert_true(strncmp(info.subject, "CN=", 3) == 0);
        int64_t days = (info.not_after - info.not_before) / 86400;
        assert_int_equal(days, 2);
    }
    free((char *)(uintptr_t)chain.ptr);
    free((char *)(uintptr_t)encrypted.ptr);
    fixture_free(&weak);
}

static void test_times(void **state)
{
    struct cert_info info;
    (void)state;
    assert_int_equal(cert_check_pair(fix.a_ec.cert_pem, fix.a_ec.key_pem, &info, NULL), 0);
    int64_t now = (int64_t)time(NULL);
    assert_in_range(info.not_after, now + 86400 - 600, now + 86400 + 600);
    assert_in_range(info.not_before, now - 86400 - 600, now - 86400 + 600);
}

static void test_cas(void **state)
{
    struct span both = fixture_concat(fix.a_ec.cert_pem, fix.ca.cert_pem);
    struct span broken =
        fixture_concat(fix.ca.cert_pem,
                       SPAN_LIT("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    const struct {
        struct span pem;
        const char *error;
    } cases[] = {
        {fix.ca.cert_pem, NULL},
        {both, NULL},
        {fix.a_ec.cert_pem, "none of the certificates"},
        {SPAN_LIT(""), "no certificate"},
        {SPAN_LIT("text"), "no certificate"},
        {broken, "certificate 2 cannot be read"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct err err = {0};
        int rc = cert_check_ca(cases[i].pem, &err);
        assert_int_equal(rc, cases[i].error ? -EINVAL : 0);
        if (cases[i].error && !strstr(err.text, cases[i].error))
            fail_msg("%s", err.text);
    }
    free((char *)(uintptr_t)both.ptr);
    free((char *)(uintptr_t)broken.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_cas),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
