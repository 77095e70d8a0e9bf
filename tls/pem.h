/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_PEM_H
#define RINGGATE_TLS_PEM_H

/* PEM text to OpenSSL objects of a library context. Nothing prompts for a
 * password: an encrypted key is an error. Any thread; the objects belong to
 * the caller and to the library context they were read for. */

#include "base/err.h"
#include "base/span.h"

#include <openssl/ssl.h>

#define PEM_CHAIN_MAX 32 /* certificates of a chain */
#define PEM_CAS_MAX 4096 /* certificates of a bundle */

/* All certificates of pem in order, at least one; more than count_max, or one that does not
 * parse, is an error. NULL with reterr (-EINVAL). lib NULL: the default context. */
STACK_OF(X509) *
    pem_read_certs(OSSL_LIB_CTX *lib, struct span pem, int count_max, struct err *reterr);
/* Gives ctx a chain (leaf first) and its key, beside those of other key types it has already.
 * 0; -EINVAL with reterr: does not parse, does not match, too weak for the context's security
 * level. */
MUST_CHECK int pem_use_pair(SSL_CTX *ctx, OSSL_LIB_CTX *lib, struct span cert_pem,
                            struct span key_pem, struct err *reterr);
/* A store that trusts exactly the certificates of pem, each as an anchor of its own (an
 * intermediate is enough). names, when not NULL, gets their subjects (owned by the caller).
 * NULL with reterr. */
X509_STORE *pem_read_store(OSSL_LIB_CTX *lib, struct span pem, STACK_OF(X509_NAME) * *names,
                           struct err *reterr);

#endif
