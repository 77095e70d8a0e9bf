/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_PROXY_PROTOCOL_H
#define RINGGATE_IO_PROXY_PROTOCOL_H

/* PROXY protocol v1 and v2, receiving side (HAProxy proxy-protocol.txt,
 * sections 2.1, 2.2). Pure: bytes in, addresses out. */

#include "io/addr.h"

#define PROXY_PROTOCOL_SIZE_MAX 4096u /* a longer v2 header is refused */

struct proxy_header {
    bool local; /* LOCAL or UNKNOWN: keep the socket's addresses */
    struct addr source, destination; /* when !local */
};

/* Parses a header at the start of data. > 0: its length in bytes, *ret is filled; 0: more bytes
 * are needed; -EPROTO: this is not a PROXY header or it is malformed: close without an answer. */
MUST_CHECK ssize_t proxy_protocol_parse(struct span data, struct proxy_header *ret);

#endif
