/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_SECRET_H
#define RINGGATE_TLS_SECRET_H

/* From secrets to the keys of record sides: HKDF-Expand-Label of TLS 1.3 (RFC 8446 7.1, 7.2, 7.3)
 * and the key block of TLS 1.2 (RFC 5246 6.3). One thread a schedule. */

#include "tls/record.h"

#include <openssl/ssl.h>

struct secret_kdf; /* the two functions of a library context */

struct secret_kdf *secret_kdf_new(OSSL_LIB_CTX *lib); /* NULL: no memory */
void secret_kdf_free(struct secret_kdf *kdf); /* NULL is ignored */

/* TLS 1.3: side->secret holds an application traffic secret: sets key and IV. The sequence number
 * stays. false: no memory. */
MUST_CHECK bool secret_use(struct secret_kdf *kdf, struct record_side *side);
/* TLS 1.3: the side goes to its next secret, and key, after KeyUpdate. false: no memory. */
MUST_CHECK bool secret_update(struct secret_kdf *kdf, struct record_side *side);
/* TLS 1.2: keys of both sides from the master secret of a connection whose handshake is
 * complete. false: no memory. */
MUST_CHECK bool secret_use_master(struct secret_kdf *kdf, const SSL *ssl,
                                  struct record_side *client, struct record_side *server);

#endif
