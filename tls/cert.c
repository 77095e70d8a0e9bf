/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/cert.h"

#include <errno.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls/pem.h"

static int64_t cert_seconds(const ASN1_TIME *time)
{
    static const char epoch_text[] = "19700101000000Z";
    ASN1_TIME *epoch = ASN1_TIME_new();
    int days = 0, seconds = 0;
    int64_t ret = 0;
    if (epoch && ASN1_TIME_set_string(epoch, epoch_text) == 1 &&
        ASN1_TIME_diff(&days, &seconds, epoch, time) == 1)
        ret = (int64_t)days * 86400 + seconds;
    ASN1_TIME_free(epoch);
    return ret;
}

static void cert_key_type(EVP_PKEY *key, char *out, size_t size)
{
    static const struct {
        const char *group, *name;
    } curves[] = {{"prime256v1", "EC-P-256"}, {"secp384r1", "EC-P-384"}, {"secp521r1", "EC-P-521"}};
    char group[64] = "";

    if (EVP_PKEY_is_a(key, "EC")) {
        size_t len;
        if (EVP_PKEY_get_group_name(key, group, sizeof(group), &len) != 1)
            group[0] = '\0';
        for (size_t i = 0; i < ARRAY_COUNT(curves); i++) {
            if (strcmp(group, curves[i].group) == 0) {
                snprintf(out, size, "%s", curves[i].name);
                return;
            }
        }
        snprintf(out, size, "EC-%d", EVP_PKEY_get_bits(key));
        return;
    }
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
        snprintf(out, size, "RSA-%d", EVP_PKEY_get_bits(key));
    else
        snprintf(out, size, "%.15s", EVP_PKEY_get0_type_name(key));
}

static unsigned cert_count_dns_names(X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    unsigned count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        count += sk_GENERAL_NAME_value(names, i)->type == GEN_DNS;
    GENERAL_NAMES_free(names);
    return count;
}

static void cert_describe(X509 *cert, struct cert_info *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->not_before = cert_seconds(X509_get0_notBefore(cert));
    ret->not_after = cert_seconds(X509_get0_notAfter(cert));
    ret->names_count = cert_count_dns_names(cert);
    EVP_PKEY *key = X509_get0_pubkey(cert);
    if (key)
        cert_key_type(key, ret->key_type, sizeof(ret->key_type));
    BIO *text = BIO_new(BIO_s_mem());
    if (text && X509_NAME_print_ex(text, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0) {
        int len = BIO_read(text, ret->subject, sizeof(ret->subject) - 1);
        ret->subject[len > 0 ? len : 0] = '\0';
    }
    BIO_free(text);
}

int cert_check_pair(struct span cert_pem, struct span key_pem, struct cert_info *ret,
                    struct err *reterr)
{
    struct cert_info info;
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (!ctx)
        return err_set(reterr, -EINVAL, "no memory");
    int rc = pem_use_pair(ctx, NULL, cert_pem, key_pem, reterr);
    if (rc == 0) {
        cert_describe(SSL_CTX_get0_certificate(ctx), &info);
        if (ret)
            *ret = info;
    }
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

int cert_validity(struct span cert_pem, struct cert_info *ret)
{
    STACK_OF(X509) *certs = pem_read_certs(NULL, cert_pem, PEM_CAS_MAX, NULL);
    if (!certs)
        return -EINVAL;
    ret->not_before = cert_seconds(X509_get0_notBefore(sk_X509_value(certs, 0)));
    ret->not_after = cert_seconds(X509_get0_notAfter(sk_X509_value(certs, 0)));
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    return 0;
}

int cert_check_bundle(struct span pem, int64_t *ret_not_after, struct err *reterr)
{
    STACK_OF(X509) *certs = pem_read_certs(NULL, pem, PEM_CAS_MAX, reterr);
    int64_t not_after = INT64_MIN;
    if (!certs)
        return -EINVAL;
    for (int i = 0; i < sk_X509_num(certs); i++)
        not_after = MAX(not_after, cert_seconds(X509_get0_notAfter(sk_X509_value(certs, i))));
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    if (ret_not_after)
        *ret_not_after = not_after;
    return 0;
}

int cert_check_ca(struct span ca_pem, struct err *reterr)
{
    STACK_OF(X509) *certs = pem_read_certs(NULL, ca_pem, PEM_CAS_MAX, reterr);
    if (!certs)
        return -EINVAL;
    bool found = false;
    for (int i = 0; i < sk_X509_num(certs) && !found; i++)
        found = X509_check_ca(sk_X509_value(certs, i)) != 0;
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    if (!found)
        return err_set(reterr, -EINVAL, "none of the certificates is one of a CA");
    return 0;
}
