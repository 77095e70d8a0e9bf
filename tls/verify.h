/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_VERIFY_H
#define RINGGATE_TLS_VERIFY_H

/* Who a verified certificate speaks for. */

#include "tls/tls_server.h"

#include <openssl/ssl.h>

/* X509_check_host flags for all our name checks: "*" stands for one whole label, the subject's
 * common name is never looked at (RFC 6125 6.4.3, 6.4.4). */
#define VERIFY_HOST_FLAGS                                                                          \
    (X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)

/* Whether cert has one of the names: DNS SAN (exact or by its wildcard), or exactly equal URI
 * SAN. */
bool verify_has_san(X509 *cert, const struct conf_san *sans, unsigned count);
/* Fills the peer_* spans of info that come from the certificate. They view *ret_memory, which
 * the caller frees with OPENSSL_free. Names with bytes that are not printable ASCII are left
 * out: they go into headers and logs. 0; -ENOMEM (info untouched). */
MUST_CHECK int verify_describe(X509 *cert, struct tls_info *info, char **ret_memory);
/* The certificate's time is over, or has not begun. */
bool verify_is_out_of_date(const X509 *cert);

#endif
