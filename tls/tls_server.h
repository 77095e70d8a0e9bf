/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_TLS_SERVER_H
#define RINGGATE_TLS_TLS_SERVER_H

/* TLS termination. A spec (shared, immutable, part of a snapshot) says which
 * listener serves which server name of one port; each worker turns it into
 * OpenSSL contexts of its own library context at first use, so that workers share no
 * lock. The virtual host is chosen in the ClientHello callback: a session of one
 * host never resumes on another. */

#include "base/err.h"
#include "conf/model.h"
#include "io/layer.h"

struct loop;
struct tls_worker;
struct tls_server_spec;

/* Process-wide: OpenSSL set-up and the ticket keys all workers share. Start-up. */
void tls_init(void);
/* Makes a new ticket key the current one, keeps the two before; call every 8 h. Any thread. */
void tls_ticket_rotate(void);

/* Compiles the HTTPS listeners of one port, most specific name first wins. `bad(user,
 * listener, err)` is told of listeners whose certificates cannot be used (mismatch,
 * unreadable): they are left out. Control thread. NULL: no memory. min_version etc. are fixed:
 * TLS 1.2 and 1.3, Mozilla intermediate. */
struct tls_server_spec *tls_server_compile(
    const struct model_listener *const *listeners, unsigned count,
    void (*bad)(void *user, const struct model_listener *listener, const struct err *err),
    void *user);
void tls_server_spec_free(struct tls_server_spec *spec); /* no worker uses it any more */

/* Per worker: library context, cached SSL_CTXs (by content, so an unchanged listener keeps its
 * context across snapshots), layer memory. */
struct tls_worker *tls_worker_new(struct loop *loop, struct err *reterr);
/* After loop_free: the loop's conns own the layers. NULL is ignored. */
void tls_worker_free(struct tls_worker *worker);
/* Drops cached contexts that none of the live specs uses; call after a snapshot swap. */
void tls_worker_sweep(struct tls_worker *worker, const struct tls_server_spec *const *live,
                      unsigned count);

/* A server layer to push on an accepted conn. spec is pinned by the caller until the layer is
 * open or the conn is closed. alpn: what is spoken on it, as in tls/alpn.h, borrowed as long as the
 * conn lives; a client that offers only others gets the alert no_application_protocol. NULL: no
 * memory. */
struct layer *tls_server_layer_new(struct tls_worker *worker, const struct tls_server_spec *spec,
                                   struct span alpn);

/* What is known about an open TLS conn (either side); spans live as long as the conn. */
struct tls_info {
    struct span server_name; /* SNI, lower case, no trailing dot; "" none */
    struct span listener_id; /* model_listener.id that was chosen (server side) */
    struct span alpn; /* what both speak, such as "h2"; "": the peer offered nothing */
    const char *version, *cipher; /* "TLSv1.3" */
    bool resumed;
    bool truncated; /* the peer ended without close_notify: the end may be missing */
    bool peer_cert; /* the peer sent a certificate */
    bool peer_verified; /* and it verified */
    struct span peer_spiffe_id; /* first URI SAN of spiffe://, "" none; only when verified */
    struct span peer_subject; /* RFC 2253 text; only when verified */
    struct span peer_hash; /* SHA-256 of the certificate, 64 hex digits; only when verified */
    struct span peer_uri, peer_dns; /* first URI and first DNS SAN; only when verified */
};
/* NULL: the conn has no TLS layer. */
const struct tls_info *tls_info_of(const struct conn *conn);

#endif
