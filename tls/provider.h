/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_PROVIDER_H
#define RINGGATE_TLS_PROVIDER_H

/* What the connections of a library context use besides OpenSSL's default provider: a provider of
 * our own, with the two algorithms that a handshake calls most often around little hashing,
 *
 *      TLS13-KDF   the key schedule (RFC 8446 7.1); tls/hkdf.h
 *      HMAC        with SHA-256 and SHA-384 only: Finished, binders, tickets, the PRF of TLS 1.2
 *
 * and whatever else there is from the default provider. Its TLS13-KDF also tells which application
 * traffic secrets are derived, at the moment they are. OpenSSL shows them otherwise in its key
 * log, as text, and takes a tenth of a handshake to write that. Where OpenSSL does not ask it,
 * nothing is told. One thread. */

#include "base/base.h"

#include <openssl/core_dispatch.h>
#include <openssl/provider.h>

struct provider {
    /* Set by the owner, before provider_load. The secret is borrowed for the call. */
    void (*found)(void *user, bool of_server, const uint8_t *secret, size_t size);
    void *user;
    OSSL_PROVIDER *base, *own;
};

/* Makes all that is fetched from lib from then on ours, or the default provider's. The object stays
 * where it is until provider_unload. false: no memory; unload is still called. */
MUST_CHECK bool provider_load(struct provider *provider, OSSL_LIB_CTX *lib);
/* Before the library context is freed, after its SSL_CTXs. All zero is ignored. */
void provider_unload(struct provider *provider);

/* Inside: HMAC (provider_mac.c). */
extern const OSSL_DISPATCH provider_mac[];

#endif
