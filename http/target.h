/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_TARGET_H
#define RINGGATE_HTTP_TARGET_H

/* What a request's target and fields mean for struct http_head, the same for every
 * version of HTTP. Memory is the head's arena; a full one is NO_MEMORY. */

#include "http/server.h"

/* Splits an authority; sets authority (the one form that is routed by and forwarded), host and
 * port. text: borrowed as long as the head lives. NONE, BAD_HOST, NO_MEMORY. */
MUST_CHECK enum http_error target_set_authority(struct http_head *head, struct span text);
/* Path and query, from a target in origin form. NONE, BAD_TARGET, NO_MEMORY. */
MUST_CHECK enum http_error target_set_origin(struct http_head *head, struct span text);
/* Takes the Expect field out of the head and sets expect_continue: only "100-continue" is known
 * (RFC 9110 10.1.1). has_body is set before. NONE, EXPECTATION. */
MUST_CHECK enum http_error target_set_expect(struct http_head *head);

#endif
