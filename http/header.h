/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_HEADER_H
#define RINGGATE_HTTP_HEADER_H

/* Names of fields that the gateway itself looks at (http/headers.tbl). */

#include "base/span.h"

enum http_header_id {
    HTTP_HEADER_OTHER,
#define HEADER(id, name, flags) HTTP_HEADER_##id,
#include "http/headers.tbl"
#undef HEADER
    HTTP_HEADER_COUNT
};

enum http_header_flag {
    HTTP_HEADER_HOP = 1u << 0, /* hop-by-hop: never forwarded */
    HTTP_HEADER_FRAMING = 1u << 1, /* written by the codec only */
    HTTP_HEADER_SINGLE = 1u << 2, /* a second one is an error */
    HTTP_HEADER_PINNED = 1u << 3, /* Connection may not name it away */
    HTTP_HEADER_NO_TRAILER = 1u << 4, /* dropped from trailers (RFC 9110 6.5.1) */
    HTTP_HEADER_BY_PROXY = 1u << 5, /* only trusted peers may set it */
};

enum http_header_id http_header_find(struct span name);
struct span http_header_name(enum http_header_id id); /* lower case */

static inline uint64_t http_header_bit(enum http_header_id id, bool set)
{
    return (uint64_t)set << id;
}

/* The ids that have any of the flags, one bit an id; a constant when the flags are one. */
static inline uint64_t http_header_ids(unsigned flags)
{
    return 0
#define HEADER(id, name, own) | http_header_bit(HTTP_HEADER_##id, ((own)&flags) != 0)
#include "http/headers.tbl"
#undef HEADER
        ;
}
_Static_assert(HTTP_HEADER_COUNT <= 64, "header ids are bits of a word");

static inline bool http_header_has(enum http_header_id id, unsigned flags)
{
    return (http_header_ids(flags) >> id & 1) != 0;
}

#endif
