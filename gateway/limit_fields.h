/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_LIMIT_FIELDS_H
#define RINGGATE_GATEWAY_LIMIT_FIELDS_H

/* RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10) on responses to requests
 * that a limit counted, ours or a backend's: a client that reads them slows down before it is
 * refused. */

#include "http/message.h"
#include "ratelimit/limiter.h"

/* Adds what the rule that is nearest its limit says, unless it says headers Off. Fields that a
 * backend sent stay when they leave the client less, or when nobody can tell. false: the head's
 * arena is full. */
MUST_CHECK bool limit_fields_add(const struct limit_check *check, struct http_head *head);

#endif
