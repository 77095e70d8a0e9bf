/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_ORIGIN_H
#define RINGGATE_CONF_ORIGIN_H

/* Web origins (RFC 6454 6.2) as browsers send them and as the CORS filter of an
 * HTTPRoute lists them (GEP-1767): http or https, host, port. Pure. */

#include "base/span.h"

struct origin {
    struct span scheme, host; /* as written; parts of the text */
    uint16_t port; /* 80 or 443 when absent */
};

/* scheme://host[:port]; a host of the list may be "*" or begin with "*.". False: not one of these,
 * as "null" is not. */
MUST_CHECK bool origin_parse(struct span text, struct origin *ret);
/* Whether an origin is the listed one. "*" stands for any host, "*." for one label or more. */
bool origin_matches(const struct origin *listed, const struct origin *origin);

#endif
