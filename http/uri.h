/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_URI_H
#define RINGGATE_HTTP_URI_H

/* Request targets, authorities and the one normal form of a path that both
 * routing and the backend see (RFC 3986 6.2.2, RFC 9112 3.2, 9110 4.2). */

#include "base/arena.h"

/* Validates and splits host[:port]. host: reg-name (letters, digits, "-._~" and percent-free
 * sub-delims refused), IPv4 or [IPv6]. *ret_host: canonical (lower case, one trailing dot cut),
 * copied to the arena only when it differs. *ret_port: 0 when absent or empty. 0; -EINVAL. */
MUST_CHECK int uri_parse_authority(struct arena *arena, struct span text, struct span *ret_host,
                                   uint16_t *ret_port);

/* The normal form of an absolute path: percent-encoded unreserved characters decoded, hex upper
 * case, dot segments removed, empty segments kept ("//" stays). Refused (-EINVAL): not starting
 * with '/', a raw byte outside pchar and '/', bad escapes, %00, %2F, %5C, '\', and segments that
 * are dots with parameters (".;", "..;x"). Copied to the arena only when it changes. Idempotent.
 * -ENOBUFS: arena full. */
MUST_CHECK int uri_normalize_path(struct arena *arena, struct span path, struct span *ret);
/* Only query characters and escapes (also []|{}^` are accepted raw: browsers send them); no '#',
 * CTL, space. */
bool uri_is_query(struct span query);

#endif
