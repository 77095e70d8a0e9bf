/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_CERT_H
#define RINGGATE_TLS_CERT_H

/* Checks of key material for the control plane; nothing of OpenSSL shows. */

#include "base/err.h"
#include "base/span.h"

struct cert_info {
    int64_t not_before, not_after; /* seconds since 1970 */
    char subject[128], key_type[16]; /* "RSA-2048", "EC-P-256" */
    unsigned names_count; /* DNS SANs */
};

/* A chain (leaf first) and its private key, PEM: parse, match, leaf not unusable. Expired
 * certificates pass (told in not_after). 0; -EINVAL with reterr ("the private key does not
 * match the certificate", ...). ret may be NULL. */
MUST_CHECK int cert_check_pair(struct span cert_pem, struct span key_pem, struct cert_info *ret,
                               struct err *reterr);
/* From when to when the leaf of a PEM chain is valid: only these members of ret are set. 0;
 * -EINVAL: no certificate. */
MUST_CHECK int cert_validity(struct span cert_pem, struct cert_info *ret);
/* Certificates to trust, PEM, all of which can be read. *ret_not_after (may be NULL): the last day
 * of the one that lives longest, seconds since 1970. 0; -EINVAL. */
MUST_CHECK int cert_check_bundle(struct span pem, int64_t *ret_not_after, struct err *reterr);
/* At least one CA certificate, PEM. 0; -EINVAL. */
MUST_CHECK int cert_check_ca(struct span ca_pem, struct err *reterr);

#endif
