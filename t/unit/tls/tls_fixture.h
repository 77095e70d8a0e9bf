/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_TLS_TLS_FIXTURE_H
#define RINGGATE_T_UNIT_TLS_TLS_FIXTURE_H

/* Certificates made for a test, listeners and specs of them. Included by one .c file a program. */

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "conf/model.h"
#include "tls/tls_client.h"
#include "tls/tls_server.h"

#define FIXTURE_ALPN SPAN_LIT("h2,http/1.1")

struct fixture_pair {
    X509 *cert;
    EVP_PKEY *key;
    struct span cert_pem, key_pem; /* NUL-terminated, heap */
};

struct fixture_wish {
    const char *name, *san, *eku, *key; /* key: "EC", "RSA" or "RSA1024"; NULL: EC */
    bool ca;
    int from_days, to_days; /* both 0: yesterday to tomorrow */
};

static inline struct span fixture_drain(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *copy = malloc((size_t)len + 1);
    assert_non_null(copy);
    memcpy(copy, data, (size_t)len);
    copy[len] = '\0';
    BIO_free(bio);
    return span_make(copy, (size_t)len);
}

static inline void fixture_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline EVP_PKEY *fixture_key(const char *type)
{
    if (!type || strcmp(type, "EC") == 0)
        return EVP_EC_gen("P-256");
    return EVP_RSA_gen(strcmp(type, "RSA1024") == 0 ? 1024 : 2048);
}

/* issuer NULL: self-signed. */
static inline struct fixture_pair fixture_make(const struct fixture_pair *issuer,
                                               struct fixture_wish wish)
{
    static long serial;
    struct fixture_pair pair = {.cert = X509_new(), .key = fixture_key(wish.key)};
    X509 *cert = pair.cert, *parent = issuer ? issuer->cert : cert;
    assert_non_null(cert);
    assert_non_null(pair.key);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
    if (wish.from_days == 0 && wish.to_days == 0) {
        wish.from_days = -1;
        wish.to_days = 1;
    }
    X509_gmtime_adj(X509_getm_notBefore(cert), wish.from_days * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(cert), wish.to_days * 86400L);
    X509_set_pubkey(cert, pair.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)wish.name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(parent));
    fixture_extension(cert, parent, NID_basic_constraints,
                      wish.ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wish.san)
        fixture_extension(cert, parent, NID_subject_alt_name, wish.san);
    if (wish.eku)
        fixture_extension(cert, parent, NID_ext_key_usage, wish.eku);
    assert_true(X509_sign(cert, issuer ? issuer->key : pair.key, EVP_sha256()) > 0);
    BIO *out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, cert);
    pair.cert_pem = fixture_drain(out);
    out = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(out, pair.key, NULL, NULL, 0, NULL, NULL);
    pair.key_pem = fixture_drain(out);
    return pair;
}

static inline void fixture_free(struct fixture_pair *pair)
{
    X509_free(pair->cert);
    EVP_PKEY_free(pair->key);
    free((char *)(uintptr_t)pair->cert_pem.ptr);
    free((char *)(uintptr_t)pair->key_pem.ptr);
    memset(pair, 0, sizeof(*pair));
}

static inline struct span fixture_concat(struct span a, struct span b)
{
    char *text = malloc(a.len + b.len + 1);
    assert_non_null(text);
    memcpy(text, a.ptr, a.len);
    memcpy(text + a.len, b.ptr, b.len);
    text[a.len + b.len] = '\0';
    return span_make(text, a.len + b.len);
}

static inline struct model_cert fixture_model_cert(const struct fixture_pair *pair)
{
    return (struct model_cert){.id = SPAN_LIT("Secret/default/test"),
                               .cert_pem = pair->cert_pem,
                               .key_pem = pair->key_pem};
}

/* All the certificates that tests use: there from fixture_setup to fixture_teardown. */
static struct fixture {
    struct fixture_pair ca, other_ca;
    struct fixture_pair a_ec, a_rsa, b_ec, wild, expired, spiffe, client_only;
    struct fixture_pair client, client_other, client_expired;
} fix;

static inline int fixture_setup(void **state)
{
    (void)state;
    tls_init();
    fix.ca = fixture_make(NULL, (struct fixture_wish){.name = "test ca", .ca = true});
    fix.other_ca = fixture_make(NULL, (struct fixture_wish){.name = "other ca", .ca = true});
#define MAKE(member, issuer, ...)                                                                  \
    fix.member = fixture_make(&fix.issuer, (struct fixture_wish){.name = #member, __VA_ARGS__})
    MAKE(a_ec, ca, .san = "DNS:a.example", .eku = "serverAuth");
    MAKE(a_rsa, ca, .san = "DNS:a.example", .key = "RSA");
    MAKE(b_ec, ca, .san = "DNS:b.example");
    MAKE(wild, ca, .san = "DNS:*.wild.example");
    MAKE(expired, ca, .san = "DNS:a.example", .from_days = -3, .to_days = -1);
    MAKE(spiffe, ca, .san = "URI:spiffe://cluster.local/ns/x/sa/y,DNS:s.example");
    MAKE(client_only, ca, .san = "DNS:a.example", .eku = "clientAuth");
    MAKE(client, ca, .eku = "clientAuth",
         .san = "URI:https://other,URI:spiffe://cluster.local/ns/c/sa/c,DNS:c.example");
    MAKE(client_other, other_ca, .san = "URI:spiffe://cluster.local/ns/c/sa/c");
    MAKE(client_expired, ca, .san = "DNS:c.example", .from_days = -3, .to_days = -1);
#undef MAKE
    return 0;
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    struct fixture_pair *pairs = (struct fixture_pair *)&fix;
    for (size_t i = 0; i < sizeof(fix) / sizeof(*pairs); i++)
        fixture_free(&pairs[i]);
    return 0;
}

#endif
