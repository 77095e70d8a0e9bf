/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/pem.h"

#include <errno.h>
#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* What OpenSSL says about the newest error, or something better than nothing. */
static const char *pem_reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "not understood";
}

static int pem_no_password(char *buf, int size, int writing, void *user)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static BIO *pem_open(struct span pem)
{
    if (pem.len > INT_MAX)
        return NULL;
    return BIO_new_mem_buf(pem.len ? pem.ptr : "", (int)pem.len);
}

/* The next certificate; NULL at the end or on an error, told apart by *ret_end. */
static X509 *pem_next_cert(OSSL_LIB_CTX *lib, BIO *in, bool *ret_end)
{
    X509 *cert = X509_new_ex(lib, NULL);
    *ret_end = false;
    if (cert && PEM_read_bio_X509(in, &cert, pem_no_password, NULL))
        return cert;
    unsigned long error = ERR_peek_last_error();
    *ret_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    X509_free(cert);
    return NULL;
}

STACK_OF(X509) *
    pem_read_certs(OSSL_LIB_CTX *lib, struct span pem, int count_max, struct err *reterr)
{
    ERR_clear_error();
    STACK_OF(X509) *certs = sk_X509_new_null();
    BIO *in = pem_open(pem);
    bool end = false;
    if (!certs || !in)
        goto no_memory;
    for (int count = 0; count <= count_max; count++) {
        X509 *cert = pem_next_cert(lib, in, &end);
        if (!cert)
            break;
        if (!sk_X509_push(certs, cert)) {
            X509_free(cert);
            goto no_memory;
        }
    }
    if (end && sk_X509_num(certs) > 0) {
        ERR_clear_error();
        BIO_free(in);
        return certs;
    }
    if (sk_X509_num(certs) > count_max)
        err_set(reterr, -EINVAL, "more than %d certificates", count_max);
    else if (end)
        err_set(reterr, -EINVAL, "there is no certificate in PEM format");
    else
        err_set(reterr, -EINVAL, "certificate %d cannot be read: %s", sk_X509_num(certs) + 1,
                pem_reason());
    goto out;

no_memory:
    err_set(reterr, -ENOMEM, "no memory");
out:
    ERR_clear_error();
    BIO_free(in);
    sk_X509_pop_free(certs, X509_free);
    return NULL;
}

/* The first private key. */
static EVP_PKEY *pem_read_key(OSSL_LIB_CTX *lib, struct span pem, struct err *reterr)
{
    ERR_clear_error();
    BIO *in = pem_open(pem);
    EVP_PKEY *key =
        in ? PEM_read_bio_PrivateKey_ex(in, NULL, pem_no_password, NULL, lib, NULL) : NULL;
    if (!key)
        err_set(reterr, -EINVAL, "the private key cannot be read: %s", pem_reason());
    ERR_clear_error();
    BIO_free(in);
    return key;
}

int pem_use_pair(SSL_CTX *ctx, OSSL_LIB_CTX *lib, struct span cert_pem, struct span key_pem,
                 struct err *reterr)
{
    X509 *leaf = NULL;
    EVP_PKEY *key = NULL;
    int rc = -EINVAL;

    STACK_OF(X509) *chain = pem_read_certs(lib, cert_pem, PEM_CHAIN_MAX, reterr);
    if (!chain)
        return -EINVAL;
    leaf = sk_X509_shift(chain);
    key = pem_read_key(lib, key_pem, reterr);
    if (!key)
        goto out;
    if (X509_check_private_key(leaf, key) != 1)
        err_set(reterr, rc, "the private key does not match the certificate");
    else if (SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 1) != 1)
        err_set(reterr, rc, "the certificate cannot be used: %s", pem_reason());
    else
        rc = 0;
out:
    ERR_clear_error();
    EVP_PKEY_free(key);
    X509_free(leaf);
    sk_X509_pop_free(chain, X509_free);
    return rc;
}

/* Adds the subject of cert to names unless it is there. */
static bool pem_add_name(STACK_OF(X509_NAME) * names, X509 *cert)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    for (int i = 0; i < sk_X509_NAME_num(names); i++) {
        if (X509_NAME_cmp(sk_X509_NAME_value(names, i), subject) == 0)
            return true;
    }
    X509_NAME *copy = X509_NAME_dup(subject);
    if (copy && sk_X509_NAME_push(names, copy))
        return true;
    X509_NAME_free(copy);
    return false;
}

X509_STORE *pem_read_store(OSSL_LIB_CTX *lib, struct span pem, STACK_OF(X509_NAME) * *names,
                           struct err *reterr)
{
    STACK_OF(X509_NAME) *subjects = NULL;
    X509_STORE *store = NULL;
    STACK_OF(X509) *certs = pem_read_certs(lib, pem, PEM_CAS_MAX, reterr);
    if (!certs)
        return NULL;
    store = X509_STORE_new();
    subjects = sk_X509_NAME_new_null();
    bool ok = store && subjects && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1;
    for (int i = 0; ok && i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);
        ok = X509_STORE_add_cert(store, cert) == 1 && (!names || pem_add_name(subjects, cert));
    }
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    if (!ok) {
        err_set(reterr, -ENOMEM, "the CA certificates cannot be kept: no memory");
        sk_X509_NAME_pop_free(subjects, X509_NAME_free);
        X509_STORE_free(store);
        return NULL;
    }
    if (names)
        *names = subjects;
    else
        sk_X509_NAME_pop_free(subjects, X509_NAME_free);
    return store;
}
