/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/verify.h"

#include <errno.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls/digest.h"

/* A SPIFFE id is at most this long (SPIFFE-ID 2.3); other names need not be longer. */
#define VERIFY_NAME_MAX 2048

static struct span verify_name_text(const ASN1_IA5STRING *name)
{
    int len = ASN1_STRING_length(name);
    return span_make(ASN1_STRING_get0_data(name), len > 0 ? (size_t)len : 0);
}

static bool verify_has_one_san(X509 *cert, const GENERAL_NAMES *names, const struct conf_san *san)
{
    if (san->value.len == 0)
        return false;
    if (!san->is_uri)
        return X509_check_host(cert, san->value.ptr, san->value.len, VERIFY_HOST_FLAGS, NULL) == 1;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI &&
            span_equal(verify_name_text(name->d.uniformResourceIdentifier), san->value))
            return true;
    }
    return false;
}

bool verify_has_san(X509 *cert, const struct conf_san *sans, unsigned count)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (unsigned i = 0; i < count && !found; i++)
        found = verify_has_one_san(cert, names, &sans[i]);
    GENERAL_NAMES_free(names);
    return found;
}

static bool verify_is_plain(struct span text)
{
    if (text.len == 0 || text.len > VERIFY_NAME_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7f)
            return false;
    }
    return true;
}

struct verify_names {
    struct span spiffe, uri, dns; /* view the GENERAL_NAMES */
};

static void verify_find_names(const GENERAL_NAMES *names, struct verify_names *ret)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI && name->type != GEN_DNS)
            continue;
        struct span text = verify_name_text(name->d.ia5);
        if (!verify_is_plain(text))
            continue;
        if (name->type == GEN_DNS) {
            if (ret->dns.len == 0)
                ret->dns = text;
            continue;
        }
        if (ret->uri.len == 0)
            ret->uri = text;
        if (ret->spiffe.len == 0 && span_starts_with(text, SPAN_LIT("spiffe://")))
            ret->spiffe = text;
    }
}

static struct span verify_put(char **pos, struct span text)
{
    char *start = *pos;
    if (text.len > 0)
        memcpy(start, text.ptr, text.len);
    *pos = start + text.len;
    return span_make(start, text.len);
}

int verify_describe(X509 *cert, struct tls_info *info, char **ret_memory)
{
    struct verify_names found = {SPAN_NONE, SPAN_NONE, SPAN_NONE};
    uint8_t digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    char *subject_text = NULL, *memory = NULL;
    int rc = -ENOMEM;

    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    BIO *text = BIO_new(BIO_s_mem());
    if (!text || X509_NAME_print_ex(text, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) < 0 ||
        X509_digest(cert, EVP_sha256(), digest, &digest_len) != 1)
        goto out;
    long subject_len = BIO_get_mem_data(text, &subject_text);
    struct span subject = span_make(subject_text, subject_len > 0 ? (size_t)subject_len : 0);
    subject.len = MIN(subject.len, (size_t)VERIFY_NAME_MAX);
    digest_hex(digest, digest_len, hex);
    verify_find_names(names, &found);

    size_t total = subject.len + 2 * digest_len + found.spiffe.len + found.uri.len + found.dns.len;
    memory = OPENSSL_malloc(total);
    if (!memory)
        goto out;
    char *pos = memory;
    info->peer_subject = verify_put(&pos, subject);
    info->peer_hash = verify_put(&pos, span_make(hex, 2 * digest_len));
    info->peer_spiffe_id = verify_put(&pos, found.spiffe);
    info->peer_uri = verify_put(&pos, found.uri);
    info->peer_dns = verify_put(&pos, found.dns);
    *ret_memory = memory;
    rc = 0;
out:
    BIO_free(text);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return rc;
}

bool verify_is_out_of_date(const X509 *cert)
{
    return X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0 ||
           X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0;
}
