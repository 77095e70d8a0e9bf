/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_CHUNK_H
#define RINGGATE_HTTP_CHUNK_H

/* Decoder of the chunked transfer coding (RFC 9112 7.1), strict, without
 * copies, resumable at any byte. Extensions are checked, counted and dropped. The
 * trailer section after the last chunk is not its business. Pure. */

#include "base/span.h"

struct chunk {
    uint64_t remaining; /* data bytes of the current chunk not yet given out */
    uint32_t ext_left; /* bytes of extensions that may still come in the whole message */
    uint8_t state, digits;
};

enum chunk_event {
    CHUNK_MORE, /* in is used up, or data_max is 0 and data is next */
    CHUNK_DATA, /* *ret_data holds body bytes */
    CHUNK_END, /* the last chunk's line is over: trailers or the final CR LF follow */
};

void chunk_init(struct chunk *chunk, uint32_t ext_bytes_max);
/* Decodes from the start of in until the next event. data_max: most body bytes wanted. *ret_used:
 * bytes of in that are done with, those of *ret_data (a part of in) included. An enum chunk_event;
 * -EPROTO: malformed or too many bytes of extensions, the message is lost. */
MUST_CHECK int chunk_decode(struct chunk *chunk, struct span in, size_t data_max, size_t *ret_used,
                            struct span *ret_data);

#endif
