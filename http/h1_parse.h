/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H1_PARSE_H
#define RINGGATE_HTTP_H1_PARSE_H

/* Whole heads and trailer sections to struct http_head: llhttp for the fields,
 * then http/h1_validate.h. Pure apart from the arena. */

#include "http/h1_scan.h"

struct h1_parse {
    struct arena *arena; /* gets the bytes and the head */
    const struct http_limits *limits;
    unsigned lines; /* as counted by h1_scan */
    bool secure; /* requests: they came over TLS */
};

/* head: what h1_scan_run found, borrowed for the call. NONE and *ret; else the reason, and *ret is
 * NULL or what is known, for logs. A full arena is NO_MEMORY. */
MUST_CHECK enum http_error h1_parse_request(const struct h1_parse *parse, struct span head,
                                            struct http_head **ret);
/* The same for responses; every error is BAD_RESPONSE. */
MUST_CHECK enum http_error h1_parse_response(const struct h1_parse *parse, struct span head,
                                             struct http_head **ret);
/* A trailer section with its final empty line. *ret: a head that holds only fields, or NULL when
 * none is left after forbidden ones were dropped (RFC 9110 6.5.1). Else BAD_CHUNK. */
MUST_CHECK enum http_error h1_parse_trailers(const struct h1_parse *parse, struct span section,
                                             struct http_head **ret);

#endif
