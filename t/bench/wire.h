/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BENCH_WIRE_H
#define RINGGATE_BENCH_WIRE_H

/* A non-blocking TCP connection on loopback, with or without TLS 1.3, for the
 * benchmark's client and backends. TLS is the same for every peer:
 * AES-128-GCM, X25519. */

#include "base/base.h"

#include <openssl/ssl.h>

struct wire {
    int fd;
    SSL *ssl; /* NULL: plain */
};

/* Dies with a message when it fails. alpn in the format of the protocol, or NULL. */
SSL_CTX *wire_client_tls(const char *alpn);
/* Asks for a certificate that client_ca has signed. */
SSL_CTX *wire_server_tls(const char *cert, const char *key, const char *client_ca);

/* tls, session: NULL for none. */
void wire_connect(struct wire *wire, uint16_t port, SSL_CTX *tls, SSL_SESSION *session);
/* A listening descriptor on 127.0.0.1. */
int wire_listen(uint16_t port);
/* 0; -EAGAIN when nobody waits. */
int wire_accept(struct wire *wire, int listener, SSL_CTX *tls);
void wire_close(struct wire *wire);

/* Bytes; 0 at the end (read only); -EAGAIN; -EPIPE. */
ssize_t wire_read(struct wire *wire, void *data, size_t size);
ssize_t wire_write(struct wire *wire, const void *data, size_t size);
/* As wire_write from *data until it would block, advancing both; 0 or -EPIPE. */
int wire_flush(struct wire *wire, const char **data, size_t *size);

NORETURN void wire_die(const char *what);

#endif
