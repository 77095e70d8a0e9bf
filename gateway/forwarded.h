/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_FORWARDED_H
#define RINGGATE_GATEWAY_FORWARDED_H

/* Who the client is, decided once, and what backends are told of it.
 *
 * Nobody is trusted by default: fields that speak of the client are dropped and
 * written anew. With trusted_hops = N the client is the Nth address from the right of
 * X-Forwarded-For; with trusted_cidrs the first one from the right that is not in
 * them; in both cases only when the peer itself counts as trusted, and what came is kept. */

#include "gateway/exchange_int.h"

/* Is the peer a proxy that is trusted: one of trusted_cidrs, or anybody with trusted_hops? */
bool forwarded_is_proxy(const struct worker *worker, const struct addr *peer);
/* Sets ex->client. */
void forwarded_decide_client(struct exchange *ex);
/* X-Forwarded-For, -Proto, -Host, -Client-Cert, X-Request-Id on the request to the backend. False:
 * out of memory. */
MUST_CHECK bool forwarded_write(struct exchange *ex);

#endif
