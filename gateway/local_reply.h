/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_LOCAL_REPLY_H
#define RINGGATE_GATEWAY_LOCAL_REPLY_H

/* Responses that the gateway makes itself: errors, redirects, limits. */

#include "gateway/exchange_int.h"

/* A short text/plain answer that names status and outcome; to gRPC, 200 with grpc-status and
 * grpc-message. The client's stream must be there and unanswered; on failure to send the stream is
 * reset. */
void local_reply(struct exchange *ex, unsigned status);
/* The response to gRPC has begun and cannot go on: ends it with the status of the outcome. */
void local_reply_trailers(struct exchange *ex);
/* 429 or 503 of a rate limit: Retry-After, RateLimit fields, problem+json (RFC 9457). To gRPC,
 * RESOURCE_EXHAUSTED or UNAVAILABLE with grpc-retry-pushback-ms (gRFC A6) in its place. */
void local_reply_limited(struct exchange *ex);
/* 204 to a CORS preflight, by the rule's filter. */
void local_reply_preflight(struct exchange *ex);
/* 30x with Location, to which the response filters of the rule apply. */
void local_reply_redirect(struct exchange *ex, unsigned status, struct span location);

#endif
