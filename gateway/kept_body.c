/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/kept_body.h"

#include <errno.h>

/* The last block with room, or a new one; NULL: there is none. */
static uint8_t *block_with_room(struct kept_body *body, struct block_pool *blocks)
{
    if (body->last != NULL && block_head(blocks, body->last)->end < BLOCK_SIZE)
        return body->last;
    uint8_t *block = block_get(blocks);
    if (block == NULL)
        return NULL;
    if (body->last != NULL)
        block_head(blocks, body->last)->next = block;
    else
        body->first = block;
    body->last = block;
    return block;
}

int kept_body_add(struct kept_body *body, struct block_pool *blocks, struct span data,
                  size_t size_max)
{
    bool fits = body->size <= size_max && data.len <= size_max - body->size;
    while (fits && data.len > 0) {
        uint8_t *block = block_with_room(body, blocks);
        fits = block != NULL;
        if (!fits)
            break;
        struct block_head *head = block_head(blocks, block);
        size_t len = MIN(data.len, (size_t)(BLOCK_SIZE - head->end));
        memcpy(block + head->end, data.ptr, len);
        head->end += (uint32_t)len;
        body->size += len;
        data = span_skip(data, len);
    }
    if (fits)
        return 0;
    kept_body_drop(body, blocks);
    return -ENOBUFS;
}

int kept_body_send(const struct kept_body *body, struct block_pool *blocks,
                   struct http_stream *stream)
{
    for (uint8_t *block = body->first; block != NULL;) {
        const struct block_head *head = block_head(blocks, block);
        struct iovec iov = {block, head->end};
        int rc = http_stream_send_body(stream, &iov, 1);
        if (rc != 0)
            return rc;
        block = head->next;
    }
    return 0;
}

unsigned kept_body_blocks(const struct kept_body *body)
{
    return (unsigned)((body->size + BLOCK_SIZE - 1) / BLOCK_SIZE);
}

void kept_body_drop(struct kept_body *body, struct block_pool *blocks)
{
    for (uint8_t *block = body->first; block != NULL;) {
        uint8_t *next = block_head(blocks, block)->next;
        block_put(blocks, block);
        block = next;
    }
    *body = (struct kept_body){0};
}
