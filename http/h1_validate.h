/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H1_VALIDATE_H
#define RINGGATE_HTTP_H1_VALIDATE_H

/* What a head must satisfy beyond its grammar, whichever parser split it: one
 * meaning for length, host and path, or it is refused (RFC 9112 3.2, 6; RFC 9110 4.2, 5,
 * 7, 10.1.1). Fills everything of struct http_head that follows from start line and fields. Pure.
 */

#include "http/server.h"

/* head: method, target, version and raw fields are set. NONE, or why it is refused. */
MUST_CHECK enum http_error h1_validate_request(struct http_head *head,
                                               const struct http_limits *limits, bool secure);
/* head: status, version and raw fields are set. NONE or BAD_RESPONSE. has_body is as if the request
 * had been a GET: the session corrects it for HEAD. */
MUST_CHECK enum http_error h1_validate_response(struct http_head *head,
                                                const struct http_limits *limits);

#endif
