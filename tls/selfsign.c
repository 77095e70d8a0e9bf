/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/selfsign.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/panic.h"

struct selfsign_ca {
    EVP_PKEY *key;
    X509 *cert;
};

static int selfsign_error(struct err *reterr, const char *what)
{
    char text[160];
    ERR_error_string_n(ERR_peek_last_error(), text, sizeof(text));
    ERR_clear_error();
    return err_set(reterr, -EIO, "cannot make a throw-away certificate: %s: %s", what, text);
}

/* Serial numbers are random: two demos on one machine must not make two certificates of the same
 * issuer name and number, which browsers refuse. */
static bool selfsign_serial(X509 *cert)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, full length */
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

static bool selfsign_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool selfsign_subject(X509 *cert, const char *common_name)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)common_name, -1, -1, 0) == 1;
}

/* What every certificate of ours has. The clock of a container's neighbour may be a little behind:
 * the time begins five minutes ago. */
static X509 *selfsign_cert_new(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    if (cert == NULL)
        return NULL;
    if (X509_set_version(cert, X509_VERSION_3) != 1 || !selfsign_serial(cert) ||
        X509_gmtime_adj(X509_getm_notBefore(cert), -300) == NULL ||
        X509_gmtime_adj(X509_getm_notAfter(cert), SELFSIGN_VALID_HOURS * 3600L) == NULL ||
        X509_set_pubkey(cert, key) != 1) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

int selfsign_ca_new(struct selfsign_ca **ret, const char *common_name, struct err *reterr)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key != NULL ? selfsign_cert_new(key) : NULL;

    if (cert == NULL || !selfsign_subject(cert, common_name) ||
        X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1 ||
        !selfsign_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !selfsign_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !selfsign_extension(cert, cert, NID_subject_key_identifier, "hash") ||
        X509_sign(cert, key, EVP_sha256()) == 0) {
        X509_free(cert);
        EVP_PKEY_free(key);
        return selfsign_error(reterr, "the CA");
    }
    struct selfsign_ca *ca = xcalloc(1, sizeof(*ca));
    ca->key = key;
    ca->cert = cert;
    *ret = ca;
    return 0;
}

void selfsign_ca_free(struct selfsign_ca *ca)
{
    if (ca == NULL)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    free(ca);
}

static bool selfsign_add_bio(struct buf *buf, BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    if (len <= 0)
        return false;
    buf_add(buf, data, (size_t)len);
    return buf_ok(buf);
}

static bool selfsign_add_cert(struct buf *buf, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio != NULL && PEM_write_bio_X509(bio, cert) == 1 && selfsign_add_bio(buf, bio);
    BIO_free(bio);
    return ok;
}

static bool selfsign_add_key(struct buf *buf, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when it is freed */
    bool ok = bio != NULL &&
              PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 &&
              selfsign_add_bio(buf, bio);
    BIO_free(bio);
    return ok;
}

int selfsign_ca_pem(const struct selfsign_ca *ca, struct buf *cert_pem, struct err *reterr)
{
    if (!selfsign_add_cert(cert_pem, ca->cert))
        return selfsign_error(reterr, "the CA as PEM");
    return 0;
}

int selfsign_issue(const struct selfsign_ca *ca, const char *alt_names, struct buf *cert_pem,
                   struct buf *key_pem, struct err *reterr)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key != NULL ? selfsign_cert_new(key) : NULL;
    /* No subject: who it is stands in the alternative names, which are critical then (RFC 5280
     * 4.2.1.6). */
    char *names = xasprintf("critical,%s", alt_names);
    int rc = 0;

    if (cert == NULL || X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) != 1 ||
        !selfsign_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") ||
        !selfsign_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") ||
        !selfsign_extension(cert, ca->cert, NID_ext_key_usage, "serverAuth,clientAuth") ||
        !selfsign_extension(cert, ca->cert, NID_subject_key_identifier, "hash") ||
        !selfsign_extension(cert, ca->cert, NID_authority_key_identifier, "keyid:always") ||
        !selfsign_extension(cert, ca->cert, NID_subject_alt_name, names) ||
        X509_sign(cert, ca->key, EVP_sha256()) == 0 || !selfsign_add_cert(cert_pem, cert) ||
        !selfsign_add_key(key_pem, key))
        rc = selfsign_error(reterr, alt_names);
    free(names);
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}
