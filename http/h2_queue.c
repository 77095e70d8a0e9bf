/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_queue.h"

#include <errno.h>

#include "base/panic.h"

int h2_queue_add(struct h2_queue *queue, struct block_pool *blocks, struct span data)
{
    while (data.len > 0) {
        struct block_head *tail = queue->tail ? block_head(blocks, queue->tail) : NULL;
        if (tail == NULL || tail->end == BLOCK_SIZE) {
            uint8_t *block = block_get(blocks);
            if (block == NULL)
                return -ENOBUFS;
            if (tail != NULL)
                tail->next = block;
            else
                queue->head = block;
            queue->tail = block;
            tail = block_head(blocks, block);
        }
        size_t n = MIN(data.len, (size_t)(BLOCK_SIZE - tail->end));
        memcpy(queue->tail + tail->end, data.ptr, n);
        tail->end += (uint32_t)n;
        queue->len += (uint32_t)n;
        data = span_skip(data, n);
    }
    return 0;
}

struct span h2_queue_front(const struct h2_queue *queue, struct block_pool *blocks)
{
    if (queue->head == NULL)
        return SPAN_NONE;
    const struct block_head *head = block_head(blocks, queue->head);
    return span_make(queue->head + head->start, head->end - head->start);
}

uint8_t *h2_queue_take(struct h2_queue *queue, struct block_pool *blocks, size_t n)
{
    uint8_t *block = queue->head;
    struct block_head *head = block_head(blocks, block);
    ASSERT(n <= head->end - head->start);
    head->start += (uint32_t)n;
    queue->len -= (uint32_t)n;
    if (head->start < head->end)
        return NULL;
    queue->head = head->next;
    if (queue->head == NULL)
        queue->tail = NULL;
    head->next = NULL;
    return block;
}

void h2_queue_drop(struct h2_queue *queue, struct block_pool *blocks)
{
    while (queue->head != NULL) {
        uint8_t *block = queue->head;
        queue->head = block_head(blocks, block)->next;
        block_put(blocks, block);
    }
    *queue = (struct h2_queue){0};
}
