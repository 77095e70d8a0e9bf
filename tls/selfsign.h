/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_SELFSIGN_H
#define RINGGATE_TLS_SELFSIGN_H

/* A throw-away certificate authority for the demo and for tests: EC P-256
 * keys, certificates that are valid for a day. Not for production: the CA's key lives in
 * memory only, nothing is ever renewed or revoked. Any thread; control plane. */

#include "base/buf.h"
#include "base/err.h"

struct selfsign_ca;

#define SELFSIGN_VALID_HOURS 24

/* Makes key and certificate of a CA. common_name: at most 64 bytes. 0; -EIO with reterr. */
MUST_CHECK int selfsign_ca_new(struct selfsign_ca **ret, const char *common_name,
                               struct err *reterr);
void selfsign_ca_free(struct selfsign_ca *ca); /* NULL is ignored */
/* Adds the CA's certificate as PEM. 0; -EIO with reterr. */
MUST_CHECK int selfsign_ca_pem(const struct selfsign_ca *ca, struct buf *cert_pem,
                               struct err *reterr);

/* Makes a key pair for server and client use. alt_names: subjectAltName in OpenSSL's notation
 * (x509v3_config(5)), "DNS:localhost,IP:127.0.0.1,URI:spiffe://...". Adds PEM to both buffers; the
 * key is a secret of the caller. 0; -EIO with reterr. */
MUST_CHECK int selfsign_issue(const struct selfsign_ca *ca, const char *alt_names,
                              struct buf *cert_pem, struct buf *key_pem, struct err *reterr);

#endif
