/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_SNI_H
#define RINGGATE_TLS_SNI_H

/* Server names: one canonical form, and the search for who serves one. Pure:
 * no allocation, no OpenSSL, any thread. */

#include "base/hmap.h"

#define SNI_NAME_MAX 253 /* bytes of a DNS name in text, RFC 1035 2.3.4 */

/* The host name of a server_name extension body (RFC 6066 3): exactly one entry of type
 * host_name. 0; -EINVAL. */
MUST_CHECK int sni_parse(struct span extension, struct span *ret);
/* Lower case, without one trailing dot, into out; *ret views out. Letters, digits, '-', '_',
 * '.' and ':' (address literals) only, no empty label. 0; -EINVAL. */
MUST_CHECK int sni_canonical(struct span raw, char out[SNI_NAME_MAX + 1], struct span *ret);

/* Key under which a listener's hostname is kept in a map: "" any, ".x" for "*.x", else itself. */
struct span sni_key(struct span hostname);
/* Who serves name (canonical, "" when the client sent none): exact, else the longest wildcard of
 * any number of labels (Gateway API Listener.hostname), else any, else NULL. */
struct hmap_node *sni_find(const struct hmap *map, struct span name);

/* How well a certificate's DNS name fits: 0 not at all; a wildcard (one whole label, RFC 6125
 * 6.4.3) its length; exact more than any wildcard. Case is folded. */
unsigned sni_cert_score(struct span pattern, struct span name);

#endif
