/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_BLOCK_H
#define RINGGATE_IO_BLOCK_H

/* Fixed blocks of memory of one loop: the only memory the data path takes.
 * Capped; LIFO, so a warm block is used again. One thread. */

#include "base/arena.h"

#define BLOCK_SIZE 16384u

struct block_pool;

/* blocks_max: hard cap. Memory is taken on demand. NULL: no memory. */
struct block_pool *block_pool_new(unsigned blocks_max);
void block_pool_free(struct block_pool *pool); /* all blocks returned (asserted) */
/* BLOCK_SIZE bytes, 16-byte aligned, not zeroed; NULL: at the cap. */
void *block_get(struct block_pool *pool);
void block_put(struct block_pool *pool, void *block);
unsigned block_in_use(const struct block_pool *pool);
unsigned block_max(const struct block_pool *pool); /* the cap */
/* At most an eighth of the cap is left: it is time to refuse those who hold much. */
bool block_is_scarce(const struct block_pool *pool);
/* Returns unused memory to the system beyond a small reserve; call at most every second or so. */
void block_trim(struct block_pool *pool);
/* Chunks for arenas of this thread; valid as long as the pool. A chunk is one block, or a large
 * one when more than a block is asked for. */
const struct arena_source *block_arena_source(struct block_pool *pool);

/* For input that must stay in one piece: counts as four blocks towards the cap. */
#define BLOCK_LARGE_SIZE 65536u
void *block_get_large(struct block_pool *pool);
void block_put_large(struct block_pool *pool, void *block);

/* What a user of a block may keep beside it (not inside: all of BLOCK_SIZE is payload). Zeroed by
 * block_get. Not for large blocks. */
struct block_head {
    uint8_t *next; /* block of a chain */
    uint32_t start, end; /* payload */
};
struct block_head *block_head(struct block_pool *pool, void *block);

#endif
