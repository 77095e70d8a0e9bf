/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_SECRET_H
#define RINGGATE_TLS_SECRET_H

/* From secrets to the keys of record sides: HKDF-Expand-Label of TLS 1.3 (RFC 8446 7.1, 7.2, 7.3)
 * and the key block of TLS 1.2 (RFC 5246 6.3). */

#include "tls/record.h"

#include <openssl/kdf.h>
#include <openssl/ssl.h>

/* TLS 1.3: side->secret holds an application traffic secret: sets key and IV. The sequence number
 * stays. */
void secret_use(struct record_side *side);
/* TLS 1.3: the side goes to its next secret, and key, after KeyUpdate. */
void secret_update(struct record_side *side);
/* TLS 1.2: keys of both sides from the master secret of a connection whose handshake is
 * complete. prf: TLS1-PRF. false: no memory. */
MUST_CHECK bool secret_use_master(EVP_KDF *prf, const SSL *ssl, struct record_side *client,
                                  struct record_side *server);

#endif
