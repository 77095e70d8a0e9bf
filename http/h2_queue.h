/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H2_QUEUE_H
#define RINGGATE_HTTP_H2_QUEUE_H

/* Bytes in a chain of blocks: what a stream of HTTP/2 keeps until a window or its holder has room.
 * The caller bounds it. */

#include "base/span.h"
#include "io/block.h"

struct h2_queue {
    uint8_t *head, *tail; /* blocks */
    uint32_t len; /* bytes */
};

/* Copies data to the end. 0; -ENOBUFS: no block, a part may have been added. */
MUST_CHECK int h2_queue_add(struct h2_queue *queue, struct block_pool *blocks, struct span data);
/* The bytes at the front that lie in one piece; empty when there are none. */
struct span h2_queue_front(const struct h2_queue *queue, struct block_pool *blocks);
/* Takes n bytes of the front piece away. Returns its block when that has become empty, which is
 * the caller's to give back when nobody looks at the bytes any more, else NULL. */
uint8_t *h2_queue_take(struct h2_queue *queue, struct block_pool *blocks, size_t n);
void h2_queue_drop(struct h2_queue *queue, struct block_pool *blocks);

#endif
