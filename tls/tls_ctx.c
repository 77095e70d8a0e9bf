/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/tls_int.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/panic.h"
#include "tls/alpn.h"
#include "tls/ticket.h"

/* Mozilla's server guideline, intermediate: TLS 1.2 with forward secrecy and AEAD only, TLS
 * 1.3; the peer's order decides, as all are good and it knows what its processor does well. */
static const char tls_ctx_ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                      "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                      "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char tls_ctx_suites[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/* One name that the library does not know makes it refuse the whole list, so the hybrid
 * group is tried first (OpenSSL has it from 3.5). Not const: the macro that takes them is not. */
static char tls_ctx_groups_pq[] = "X25519MLKEM768:X25519:P-256:P-384";
static char tls_ctx_groups[] = "X25519:P-256:P-384";

#define TLS_CTX_SESSION_SECONDS (8 * 3600)

static bool tls_ctx_set_profile(SSL_CTX *ctx)
{
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_timeout(ctx, TLS_CTX_SESSION_SECONDS);
    bool ok = SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
              SSL_CTX_set_cipher_list(ctx, tls_ctx_ciphers) == 1 &&
              SSL_CTX_set_ciphersuites(ctx, tls_ctx_suites) == 1 &&
              (SSL_CTX_set1_groups_list(ctx, tls_ctx_groups_pq) == 1 ||
               SSL_CTX_set1_groups_list(ctx, tls_ctx_groups) == 1);
    ERR_clear_error();
    return ok;
}

/* Ours decides, as we know what we do well. A client that offers none speaks HTTP/1.1; one that
 * offers only others is refused (RFC 7301 3.2). */
static int tls_ctx_choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                               const unsigned char *in, unsigned in_len, void *user)
{
    const struct tls_worker *worker = user;
    struct span name = alpn_choose(worker->active->alpn, span_make(in, in_len));
    (void)ssl;
    if (name.ptr == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = (const unsigned char *)name.ptr;
    *out_len = (unsigned char)name.len;
    return SSL_TLSEXT_ERR_OK;
}

static bool tls_ctx_start_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 go on, 2 go on and renew, 0 no ticket, -1 fatal.
 * A failure costs a full handshake, nothing more. */
static int tls_ctx_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
                             EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    struct tls_worker *worker = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key key;
    bool current = true, ok;

    if (sealing) {
        if (!ticket_current(&key))
            return 0;
        memcpy(name, key.name, TICKET_NAME_SIZE);
        ok = RAND_bytes_ex(worker->lib, iv, 16, 0) == 1 &&
             EVP_EncryptInit_ex2(cipher, worker->ticket_cipher, key.cipher, iv, NULL) == 1;
    } else {
        if (!ticket_find(name, &key, &current))
            return 0;
        ok = EVP_DecryptInit_ex2(cipher, worker->ticket_cipher, key.cipher, iv, NULL) == 1;
    }
    ok = ok && tls_ctx_start_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof(key));
    if (!ok)
        return sealing ? -1 : 0;
    /* A TLS 1.3 client is to use a ticket once only, so it always gets the next one (RFC 8446
     * C.4). */
    return sealing || (current && SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
}

SSL_CTX *tls_ctx_new_server(struct tls_worker *worker)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(worker->lib, NULL, TLS_server_method());
    if (!ctx)
        return NULL;
    SSL_CTX_set_app_data(ctx, worker);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, tls_ctx_choose_alpn, worker);
    if (tls_ctx_set_profile(ctx) && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
        SSL_CTX_set_max_early_data(ctx, 0) == 1 &&
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_ctx_on_ticket) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return NULL;
}

SSL_CTX *tls_ctx_new_client(struct tls_worker *worker)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(worker->lib, NULL, TLS_client_method());
    if (ctx && tls_ctx_set_profile(ctx))
        return ctx;
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return NULL;
}
