/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_KEPT_BODY_H
#define RINGGATE_GATEWAY_KEPT_BODY_H

/* Bytes of a request body that are to be sent later or once more, in blocks of
 * the worker. Zero-initialised: empty. */

#include "http/stream.h"
#include "io/block.h"

struct kept_body {
    uint8_t *first, *last; /* blocks, chained through their heads */
    size_t size; /* bytes */
};

/* Appends a copy. 0; -ENOBUFS: it would be more than size_max, or there are no blocks; then all of
 * it is let go. */
MUST_CHECK int kept_body_add(struct kept_body *body, struct block_pool *blocks, struct span data,
                             size_t size_max);
/* Sends all of it and keeps it. 0; -errno as http_stream_send_body. */
MUST_CHECK int kept_body_send(const struct kept_body *body, struct block_pool *blocks,
                              struct http_stream *stream);
/* Blocks it has. */
unsigned kept_body_blocks(const struct kept_body *body);
/* Lets go of it: it is empty. */
void kept_body_drop(struct kept_body *body, struct block_pool *blocks);

#endif
