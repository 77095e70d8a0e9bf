/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_GRPC_H
#define RINGGATE_GATEWAY_GRPC_H

/* What a gateway has to know of gRPC over HTTP/2 (grpc/doc PROTOCOL-HTTP2.md):
 * which requests are gRPC, how long they may take, and how to say no to them.
 * A client of gRPC reads its status from trailers, or from a response that is
 * nothing but a head (trailers-only); it never sees a body of ours. Pure. */

#include "gateway/outcome.h"
#include "http/message.h"

/* statuscodes.md */
enum grpc_status {
    GRPC_STATUS_CANCELLED = 1,
    GRPC_STATUS_UNKNOWN = 2,
    GRPC_STATUS_DEADLINE_EXCEEDED = 4,
    GRPC_STATUS_PERMISSION_DENIED = 7,
    GRPC_STATUS_RESOURCE_EXHAUSTED = 8,
    GRPC_STATUS_UNIMPLEMENTED = 12,
    GRPC_STATUS_INTERNAL = 13,
    GRPC_STATUS_UNAVAILABLE = 14,
    GRPC_STATUS_UNAUTHENTICATED = 16,
};

/* Content-Type application/grpc, also with +format or parameters. gRPC-Web is not: its errors are
 * plain HTTP. */
bool grpc_is_request(const struct http_head *head);
/* The status of an exchange that ended by outcome and would answer with an HTTP status (0: none),
 * by http-grpc-status-mapping.md where the outcome says nothing closer. */
enum grpc_status grpc_status_of(enum outcome outcome, unsigned http_status);
/* The status of a call that the backend ended by RST_STREAM with this code (PROTOCOL-HTTP2.md,
 * Errors): UNAVAILABLE, which invites to call again, only when nothing was done. */
enum grpc_status grpc_status_of_reset(uint32_t code);
/* Adds grpc-status and grpc-message (percent-encoded where it must be); false: out of arena. */
MUST_CHECK bool grpc_status_write(struct http_head *head, enum grpc_status status,
                                  struct span message);
/* The value of grpc-status in a head or in trailers; empty: none. */
struct span grpc_status_read(const struct http_head *head);

/* grpc-timeout: 1 to 8 digits and a unit of H, M, S, m, u, n. *ret_ns: UINT64_MAX when it is longer
 * than timers reach (20 days). 0; -EINVAL. */
MUST_CHECK int grpc_timeout_parse(struct span text, uint64_t *ret_ns);

#endif
