/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_ECHO_H
#define RINGGATE_GATEWAY_ECHO_H

/* The demo's backend: a thread with a loop of its own that serves two HTTP
 * ports on 127.0.0.1, one plain, one with TLS that demands a client certificate. Answers
 * every request with what it saw of it, as JSON: method, target, fields, the length of the body
 * and who the client is by its certificate. */

#include "base/err.h"
#include "io/loop.h"

struct echo;

struct echo_options {
    enum loop_engine engine; /* resolved */
    struct span cert_pem, key_pem; /* of the TLS port; copied */
    struct span ca_pem; /* signs the clients of the TLS port; copied */
};

enum echo_port { ECHO_PORT_PLAIN, ECHO_PORT_MTLS, ECHO_PORT_COUNT };

/* Binds two free ports and serves when it returns. 0; -errno with reterr. */
MUST_CHECK int echo_start(struct echo **ret, const struct echo_options *options,
                          struct err *reterr);
uint16_t echo_port(const struct echo *echo, enum echo_port port);
/* Cuts all connections and waits for the thread. NULL is ignored. */
void echo_stop(struct echo *echo);

#endif
