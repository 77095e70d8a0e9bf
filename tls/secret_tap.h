/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_SECRET_TAP_H
#define RINGGATE_TLS_SECRET_TAP_H

/* Tells which application traffic secrets of TLS 1.3 (RFC 8446 7.1) the connections of a library
 * context derive, at the moment they do. OpenSSL shows them otherwise in its key log, as text,
 * and takes a tenth of a handshake to write that. So the context gets a provider of its own for
 * TLS13-KDF, which leaves the work to the one of the default provider and looks at the labels.
 * Where OpenSSL does not ask it, nothing is told. One thread. */

#include "base/base.h"

#include <openssl/kdf.h>
#include <openssl/provider.h>

/* For SSL_CTX_new_ex: makes its connections use the tap. */
#define SECRET_TAP_PROPERTIES "?provider=ringgate"

struct secret_tap {
    /* Set by the owner, before secret_tap_init. The secret is borrowed for the call. */
    void (*found)(void *user, bool of_server, const uint8_t *secret, size_t size);
    void *user;
    OSSL_PROVIDER *base, *own;
    EVP_KDF *kdf;
};

/* The tap stays where it is until secret_tap_fini. false: no memory; fini is still called. */
MUST_CHECK bool secret_tap_init(struct secret_tap *tap, OSSL_LIB_CTX *lib);
/* Before the library context is freed, after its SSL_CTXs. All zero is ignored. */
void secret_tap_fini(struct secret_tap *tap);

#endif
