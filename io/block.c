/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/block.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/panic.h"

/* Two size classes, each one range of address space that is reserved at once
 * and filled by the kernel page by page as blocks are used for the first
 * time. A block is named by its index; the free list runs through an array
 * beside the range, so a free block's memory is never touched.
 *
 *   base: | block 0 | block 1 | ... | block used-1 | never used ... |
 */

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(ptr, len) ASAN_POISON_MEMORY_REGION((ptr), (len))
#define UNPOISON(ptr, len) ASAN_UNPOISON_MEMORY_REGION((ptr), (len))
#else
#define POISON(ptr, len) ((void)(ptr), (void)(len))
#define UNPOISON(ptr, len) ((void)(ptr), (void)(len))
#endif

#define NO_BLOCK UINT32_MAX
#define RESERVE_BLOCKS 64u /* kept warm by block_trim: 1 MiB */
#define LARGE_WEIGHT (BLOCK_LARGE_SIZE / BLOCK_SIZE)

struct block_class {
    uint8_t *base;
    size_t size; /* bytes of one */
    uint32_t *next_free; /* by index */
    uint32_t free_head, used, max; /* used: indexes below it were given out at least once */
};

struct block_pool {
    struct block_class small, large;
    struct block_head *heads;
    unsigned in_use, blocks_max; /* in small blocks */
    struct arena_source source;
};

static int class_init(struct block_class *class, size_t size, uint32_t max)
{
    *class = (struct block_class){.size = size, .max = max, .free_head = NO_BLOCK};
    void *base = mmap(NULL, size * max, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -ENOMEM;
    class->base = base;
    class->next_free = calloc(max, sizeof(*class->next_free));
    return class->next_free ? 0 : -ENOMEM;
}

static void class_fini(struct block_class *class)
{
    if (class->base) {
        UNPOISON(class->base, class->size * class->max);
        (void)munmap(class->base, class->size * class->max); /* fails only on bad arguments */
    }
    free(class->next_free);
}

static void *class_get(struct block_class *class)
{
    uint32_t index = class->free_head;
    if (index != NO_BLOCK)
        class->free_head = class->next_free[index];
    else if (class->used < class->max)
        index = class->used++;
    else
        return NULL;
    uint8_t *block = class->base + (size_t)index * class->size;
    UNPOISON(block, class->size);
    class->next_free[index] = index; /* in use */
    return block;
}

static uint32_t class_index(const struct block_class *class, const void *block)
{
    size_t offset = (size_t)((const uint8_t *)block - class->base);
    ASSERT(offset % class->size == 0 && offset / class->size < class->used);
    return (uint32_t)(offset / class->size);
}

static void class_put(struct block_class *class, void *block)
{
    uint32_t index = class_index(class, block);
    ASSERT(class->next_free[index] == index); /* not returned twice */
    POISON(block, class->size);
    class->next_free[index] = class->free_head;
    class->free_head = index;
}

static void class_trim(struct block_class *class, uint32_t keep)
{
    for (uint32_t index = class->free_head; index != NO_BLOCK; index = class->next_free[index]) {
        if (keep > 0) {
            keep--;
            continue;
        }
        /* Advice: when it fails the memory merely stays. */
        (void)madvise(class->base + (size_t)index * class->size, class->size, MADV_DONTNEED);
    }
}

static void *source_get(void *user, size_t size, size_t *ret_size)
{
    struct block_pool *pool = user;
    void *block = NULL;
    if (size <= BLOCK_SIZE) {
        block = block_get(pool);
        *ret_size = BLOCK_SIZE;
    } else if (size <= BLOCK_LARGE_SIZE) {
        block = block_get_large(pool);
        *ret_size = BLOCK_LARGE_SIZE;
    }
    return block;
}

static void source_put(void *user, void *chunk, size_t size)
{
    if (size <= BLOCK_SIZE)
        block_put(user, chunk);
    else
        block_put_large(user, chunk);
}

struct block_pool *block_pool_new(unsigned blocks_max)
{
    ASSERT(blocks_max > 0);
    struct block_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pool->blocks_max = blocks_max;
    pool->source = (struct arena_source){.get = source_get, .put = source_put, .user = pool};
    pool->heads = calloc(blocks_max, sizeof(*pool->heads));
    uint32_t large_max = MAX(blocks_max / LARGE_WEIGHT, 1u);
    if (!pool->heads || class_init(&pool->small, BLOCK_SIZE, blocks_max) < 0 ||
        class_init(&pool->large, BLOCK_LARGE_SIZE, large_max) < 0) {
        block_pool_free(pool);
        return NULL;
    }
    return pool;
}

void block_pool_free(struct block_pool *pool)
{
    if (!pool)
        return;
    ASSERT(pool->in_use == 0);
    class_fini(&pool->small);
    class_fini(&pool->large);
    free(pool->heads);
    free(pool);
}

void *block_get(struct block_pool *pool)
{
    if (pool->in_use >= pool->blocks_max)
        return NULL;
    void *block = class_get(&pool->small);
    if (!block)
        return NULL;
    pool->in_use++;
    *block_head(pool, block) = (struct block_head){0};
    return block;
}

void block_put(struct block_pool *pool, void *block)
{
    class_put(&pool->small, block);
    pool->in_use--;
}

void *block_get_large(struct block_pool *pool)
{
    if (pool->in_use + LARGE_WEIGHT > pool->blocks_max)
        return NULL;
    void *block = class_get(&pool->large);
    if (block)
        pool->in_use += LARGE_WEIGHT;
    return block;
}

void block_put_large(struct block_pool *pool, void *block)
{
    class_put(&pool->large, block);
    pool->in_use -= LARGE_WEIGHT;
}

struct block_head *block_head(struct block_pool *pool, void *block)
{
    return &pool->heads[class_index(&pool->small, block)];
}

unsigned block_in_use(const struct block_pool *pool)
{
    return pool->in_use;
}

unsigned block_max(const struct block_pool *pool)
{
    return pool->blocks_max;
}

bool block_is_scarce(const struct block_pool *pool)
{
    return pool->blocks_max - pool->in_use <= pool->blocks_max / 8;
}

void block_trim(struct block_pool *pool)
{
    class_trim(&pool->small, RESERVE_BLOCKS);
    class_trim(&pool->large, RESERVE_BLOCKS / 16);
}

const struct arena_source *block_arena_source(struct block_pool *pool)
{
    return &pool->source;
}
