/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void wire_die(const char *what)
{
    perror(what);
    exit(1);
}

static SSL_CTX *tls_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519") != 1)
        wire_die("TLS");
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    return ctx;
}

SSL_CTX *wire_client_tls(const char *alpn)
{
    SSL_CTX *ctx = tls_new(TLS_client_method());
    if (alpn && SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)alpn, (unsigned)strlen(alpn)) != 0)
        wire_die("ALPN");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return ctx;
}

SSL_CTX *wire_server_tls(const char *cert, const char *key, const char *client_ca)
{
    SSL_CTX *ctx = tls_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_load_verify_locations(ctx, client_ca, NULL) != 1 ||
        SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"bench", 5) != 1)
        wire_die("certificate");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ctx;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void wire_begin(struct wire *wire, int fd, SSL_CTX *tls)
{
    *wire = (struct wire){.fd = fd};
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* works on TCP */
    if (!tls)
        return;
    wire->ssl = SSL_new(tls);
    if (!wire->ssl || SSL_set_fd(wire->ssl, fd) != 1)
        wire_die("SSL_new");
}

void wire_connect(struct wire *wire, uint16_t port, SSL_CTX *tls, SSL_SESSION *session)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        wire_die("socket");
    wire_begin(wire, fd, tls);
    if (tls) {
        SSL_set_connect_state(wire->ssl);
        if (session)
            (void)SSL_set_session(wire->ssl, session); /* at worst a full handshake */
    }
    struct sockaddr_in addr = loopback(port);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 && errno != EINPROGRESS)
        wire_die("connect");
}

int wire_listen(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in addr = loopback(port);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16384) < 0)
        wire_die("listen");
    return fd;
}

int wire_accept(struct wire *wire, int listener, SSL_CTX *tls)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return -EAGAIN;
    wire_begin(wire, fd, tls);
    if (tls)
        SSL_set_accept_state(wire->ssl);
    return 0;
}

void wire_close(struct wire *wire)
{
    if (wire->ssl) {
        (void)SSL_shutdown(wire->ssl); /* a session that was not shut down is not resumed */
        SSL_free(wire->ssl);
    }
    (void)close(wire->fd);
    *wire = (struct wire){.fd = -1};
}

static ssize_t tls_result(struct wire *wire, int n)
{
    switch (SSL_get_error(wire->ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return -EPIPE;
    }
}

static ssize_t plain_result(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == ENOTCONN ? -EAGAIN : -EPIPE;
}

ssize_t wire_read(struct wire *wire, void *data, size_t size)
{
    if (!wire->ssl)
        return plain_result(recv(wire->fd, data, size, 0));
    int n = SSL_read(wire->ssl, data, (int)size);
    return n > 0 ? n : tls_result(wire, n);
}

ssize_t wire_write(struct wire *wire, const void *data, size_t size)
{
    if (!wire->ssl)
        return plain_result(send(wire->fd, data, size, MSG_NOSIGNAL));
    int n = SSL_write(wire->ssl, data, (int)MIN(size, (size_t)1 << 20));
    return n > 0 ? n : tls_result(wire, n);
}

int wire_flush(struct wire *wire, const char **data, size_t *size)
{
    while (*size > 0) {
        ssize_t n = wire_write(wire, *data, *size);
        if (n == -EAGAIN)
            return 0;
        if (n <= 0)
            return -EPIPE;
        *data += n;
        *size -= (size_t)n;
    }
    return 0;
}
