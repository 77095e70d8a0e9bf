/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_WEBSOCKET_H
#define RINGGATE_GATEWAY_WEBSOCKET_H

/* The opening handshake of WebSocket between versions of HTTP. Over HTTP/1.1 client and server
 * prove to each other with a key that they mean it (RFC 6455 4); over HTTP/2 :protocol says it and
 * there is no key (RFC 8441 5). What follows the handshake is not looked at. */

#include "base/rand.h"
#include "http/message.h"

/* Is the request, whose head->upgrade is set, a handshake as RFC 6455 4.2.1 wants it? 0; 400: no or
 * a malformed Sec-WebSocket-Key; 426: another version than 13. */
unsigned websocket_check(const struct http_head *request);
/* The request goes out over HTTP/2 (its key is removed) or over HTTP/1.1 (a key is made when the
 * client sent none, or sent one over HTTP/2, where it means nothing). *key: empty at the first try,
 * at the next what the one before left there; set to what the answer is to prove, in the arena, or
 * empty: nothing. false: arena overflow. */
MUST_CHECK bool websocket_write_request(struct http_head *request, bool h2, struct rand_state *rand,
                                        struct span *key);
/* The backend's answer with status 101. key: of websocket_write_request; h2_client: the client
 * speaks HTTP/2. false: the backend did not prove it (then the tunnel must not be opened), or
 * arena overflow. */
MUST_CHECK bool websocket_write_response(struct http_head *response, struct span key,
                                         bool h2_backend, bool h2_client);

#endif
