/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_DEMO_CONFIG_H
#define RINGGATE_GATEWAY_DEMO_CONFIG_H

/* The demo's configuration: Gateway API objects as a person would write them,
 * with the ports and certificates of this run put in. */

#include "base/buf.h"

#define DEMO_CONFIG_GATEWAY_ID "spiffe://demo.ringgate/ns/demo/sa/gateway"
#define DEMO_CONFIG_ECHO_ID "spiffe://demo.ringgate/ns/demo/sa/echo"
#define DEMO_CONFIG_ECHO_HOST "echo.demo.svc"
#define DEMO_CONFIG_PEM_MAX (64u << 10)

struct demo_config {
    uint16_t https_port, http_port, tcp_port; /* where the gateway listens; 0: not chosen yet */
    uint16_t echo_port, mesh_port; /* the backends, plain and mTLS */
    struct buf ca_pem, server_cert, server_key, client_cert, client_key;
    const char *redis; /* "ADDR:PORT" or "unix:PATH"; NULL: limits stay in the process */
};

void demo_config_init(struct demo_config *config);
/* Wipes the keys. */
void demo_config_fini(struct demo_config *config);
/* Adds the YAML documents. */
void demo_config_format(const struct demo_config *config, struct buf *yaml);

#endif
