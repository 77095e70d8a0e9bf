/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H1_SCAN_H
#define RINGGATE_HTTP_H1_SCAN_H

/* Finds the end of a message head or trailer section in bytes that arrive in
 * pieces, and refuses early what can never become one (RFC 9112 2.2, 3, 5). Looks at
 * every byte once, however small the pieces. Pure. */

#include "http/server.h"

enum h1_scan_kind { H1_SCAN_REQUEST, H1_SCAN_RESPONSE, H1_SCAN_TRAILERS };

struct h1_scan {
    uint32_t scanned; /* bytes looked at */
    uint32_t line_start; /* offset of the line that `scanned` is in */
    uint32_t lines; /* whole lines, without the empty one; the first line counts */
};

/* data: all bytes from the start of the head on (earlier calls' bytes included).
 * > 0: length of the head with its final empty line; 0: more bytes are needed; < 0: minus an
 * enum http_error. Begin with a zeroed scan. */
MUST_CHECK ssize_t h1_scan_run(struct h1_scan *scan, enum h1_scan_kind kind, struct span data,
                               const struct http_limits *limits);

#endif
