/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_ALPN_H
#define RINGGATE_TLS_ALPN_H

/* Application protocols (RFC 7301) as text: "h2,http/1.1", the preferred one first, without
 * spaces. Pure, any thread. */

#include "base/span.h"

#define ALPN_SIZE 256 /* room for a list on the wire; a longer one is refused */

/* The part of list that is this protocol; ptr NULL: none. */
struct span alpn_find(struct span list, struct span protocol);
/* The first protocol of list that is among those a peer offers on the wire; ptr NULL: none, also
 * when the offer is malformed. */
struct span alpn_choose(struct span list, struct span offer);
/* The list on the wire: length-prefixed names. The bytes used; 0: empty, or no list of names of 1
 * to 255 bytes that fits. */
size_t alpn_write(struct span list, uint8_t out[ALPN_SIZE]);

#endif
