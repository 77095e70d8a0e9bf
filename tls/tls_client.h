/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_TLS_CLIENT_H
#define RINGGATE_TLS_TLS_CLIENT_H

/* TLS to backends (BackendTLSPolicy, the Gateway's client certificate) and to
 * the limit store. Verifies always; resumes sessions of the same spec on the same worker. */

#include "tls/tls_server.h"

struct tls_client_spec;

/* Checks and keeps (copies) what a connection needs. tls->invalid must be false. 0; -EINVAL
 * with reterr (bad CA, bad client pair). Control thread. */
MUST_CHECK int tls_client_compile(const struct model_backend_tls *tls, struct tls_client_spec **ret,
                                  struct err *reterr);
void tls_client_spec_free(struct tls_client_spec *spec);
/* Two specs with equal ids make interchangeable connections. */
struct span tls_client_spec_id(const struct tls_client_spec *spec);

/* A client layer to push on a dialled conn; the worker caches context and session by the
 * spec's id and alpn, so neither is needed after the call. alpn: what is offered, as in tls/alpn.h;
 * empty: nothing. A server may choose none (tls_info.alpn), never another. Failures end in
 * on_close(-EPROTO) and conn_error_text says why, such as "TLS: certificate verify failed: hostname
 * mismatch" or "TLS: peer alert: certificate required". */
struct layer *tls_client_layer_new(struct tls_worker *worker, const struct tls_client_spec *spec,
                                   struct span alpn);

#endif
