/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(at, size) ASAN_POISON_MEMORY_REGION((at), (size))
#define UNPOISON(at, size) ASAN_UNPOISON_MEMORY_REGION((at), (size))
#else
#define POISON(at, size) ((void)0)
#define UNPOISON(at, size) ((void)0)
#endif

#define OBJECT_ALIGN 16
/* A slab aims at this many bytes and holds at least one object. */
#define SLAB_BYTES (64 * 1024)

/* A slab is [struct slab][object][object]... A free object holds the link to
 * the next free one in its first bytes. Slabs do not know which of their
 * objects are free: only pool_trim, which is rare, counts that. */
struct slab {
    struct slab *next;
    unsigned objects, free; /* free is scratch of pool_trim */
};

union free_object {
    union free_object *next;
    char align[OBJECT_ALIGN];
};

static __thread struct dlist pools; /* all zero before the first */

_Static_assert(sizeof(struct slab) % OBJECT_ALIGN == 0, "objects start aligned");

void pool_init(struct pool *pool, const char *name, size_t object_size, unsigned objects_max)
{
    ASSERT(object_size > 0 && object_size < (1u << 30));
    *pool = (struct pool){
        .name = name,
        .object_size = (object_size + OBJECT_ALIGN - 1) & ~(size_t)(OBJECT_ALIGN - 1),
        .total_max = objects_max,
    };
    if (pools.next == NULL)
        dlist_init(&pools);
    dlist_push_back(&pools, &pool->link);
}

static void pool_check_end(struct pool *pool)
{
    if (pool->in_use != 0)
        panic(__FILE__, __LINE__, "pool %s ends with %u objects in use", pool->name, pool->in_use);
    if (pool->link.next != NULL)
        dlist_remove(&pool->link);
}

#define TRIM_PAUSE_MAX 32u /* rounds */

static bool pool_is_due(struct pool *pool)
{
    if ((pool->total - pool->in_use) * 2 <= pool->total)
        return false;
    if (pool->trim_wait > 0) {
        pool->trim_wait--;
        return false;
    }
    return true;
}

size_t pool_trim_all(void)
{
    size_t bytes = 0;
    if (pools.next == NULL)
        return 0;
    dlist_foreach(link, next, &pools)
    {
        struct pool *pool = dlist_entry(link, struct pool, link);
        if (!pool_is_due(pool))
            continue;
        size_t freed = pool_trim(pool);
        pool->trim_pause = freed > 0 ? 0 : MIN(MAX(pool->trim_pause * 2, 1u), TRIM_PAUSE_MAX);
        pool->trim_wait = pool->trim_pause;
        bytes += freed;
    }
    return bytes;
}

void *pool_get_zero(struct pool *pool)
{
    void *object = pool_get(pool);
    if (object != NULL)
        memset(object, 0, pool->object_size);
    return object;
}

#ifdef RINGGATE_POOL_MALLOC

void pool_fini(struct pool *pool)
{
    if (pool == NULL)
        return;
    pool_check_end(pool);
}

void *pool_get(struct pool *pool)
{
    if (pool->in_use >= pool->total_max)
        return NULL;
    void *object = malloc(pool->object_size);
    if (object == NULL)
        return NULL;
    pool->in_use++;
    pool->total = pool->in_use;
    return object;
}

void pool_put(struct pool *pool, void *object)
{
    if (object == NULL)
        return;
    ASSERT(pool->in_use > 0);
    pool->in_use--;
    pool->total = pool->in_use;
    free(object);
}

size_t pool_trim(struct pool *pool)
{
    (void)pool; /* nothing is kept */
    return 0;
}

#else

void pool_fini(struct pool *pool)
{
    if (pool == NULL)
        return;
    pool_check_end(pool);
    struct slab *slab = pool->slabs;
    while (slab != NULL) {
        struct slab *next = slab->next;
        UNPOISON(slab + 1, slab->objects * pool->object_size);
        free(slab);
        slab = next;
    }
    pool->slabs = pool->free_list = NULL;
    pool->total = 0;
}

/* Adds a slab of objects to the free list. false: cap or memory. */
static bool pool_grow(struct pool *pool)
{
    unsigned room = pool->total_max - MIN(pool->total_max, pool->total);
    unsigned objects = (unsigned)MAX((size_t)1, SLAB_BYTES / pool->object_size);
    objects = MIN(objects, room);
    if (objects == 0)
        return false;
    struct slab *slab = malloc(sizeof(*slab) + objects * pool->object_size);
    if (slab == NULL)
        return false;
    *slab = (struct slab){.next = pool->slabs, .objects = objects};
    pool->slabs = slab;
    pool->total += objects;
    char *base = (char *)(slab + 1);
    /* Backwards, so that objects are handed out in the order they lie. */
    for (unsigned i = objects; i-- > 0;) {
        union free_object *object = (union free_object *)(void *)(base + i * pool->object_size);
        object->next = pool->free_list;
        pool->free_list = object;
        POISON(object, pool->object_size);
    }
    return true;
}

void *pool_get(struct pool *pool)
{
    if (UNLIKELY(pool->free_list == NULL) && !pool_grow(pool))
        return NULL;
    union free_object *object = pool->free_list;
    UNPOISON(object, pool->object_size);
    pool->free_list = object->next;
    pool->in_use++;
    return object;
}

void pool_put(struct pool *pool, void *object)
{
    if (object == NULL)
        return;
    ASSERT(pool->in_use > 0);
    pool->in_use--;
    union free_object *freed = object;
    freed->next = pool->free_list;
    pool->free_list = freed;
    POISON(object, pool->object_size);
}

static int slab_order(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (struct slab *const *)a, y = (uintptr_t) * (struct slab *const *)b;
    return (x > y) - (x < y);
}

/* The slab that holds the object: the last one that begins before it. */
static struct slab *slab_of(struct slab **sorted, size_t count, const void *object)
{
    size_t low = 0, high = count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)sorted[middle] <= (uintptr_t)object)
            low = middle;
        else
            high = middle;
    }
    return sorted[low];
}

/* Rebuilds the free list with only the objects of slabs that stay. */
static void free_list_filter(struct pool *pool, struct slab **sorted, size_t count)
{
    union free_object *object = pool->free_list, *kept = NULL;
    while (object != NULL) {
        UNPOISON(object, sizeof(*object));
        union free_object *next = object->next;
        struct slab *slab = slab_of(sorted, count, object);
        if (slab->free < slab->objects) {
            object->next = kept;
            kept = object;
            POISON(object, sizeof(*object));
        }
        object = next;
    }
    pool->free_list = kept;
}

size_t pool_trim(struct pool *pool)
{
    size_t count = 0, bytes = 0;
    for (struct slab *slab = pool->slabs; slab != NULL; slab = slab->next)
        count++;
    if (count == 0)
        return 0;
    /* Trimming is a kindness: without memory for the index it is put off. */
    struct slab **sorted = malloc(count * sizeof(struct slab *));
    if (sorted == NULL)
        return 0;
    size_t at = 0;
    for (struct slab *slab = pool->slabs; slab != NULL; slab = slab->next) {
        slab->free = 0;
        sorted[at++] = slab;
    }
    qsort(sorted, count, sizeof(struct slab *), slab_order);
    for (union free_object *object = pool->free_list; object != NULL;) {
        UNPOISON(object, sizeof(*object));
        union free_object *next = object->next;
        POISON(object, sizeof(*object));
        slab_of(sorted, count, object)->free++;
        object = next;
    }
    free_list_filter(pool, sorted, count);
    pool->slabs = NULL;
    for (size_t i = 0; i < count; i++) {
        struct slab *slab = sorted[i];
        if (slab->free == slab->objects) {
            pool->total -= slab->objects;
            bytes += slab->objects * pool->object_size;
            UNPOISON(slab + 1, slab->objects * pool->object_size);
            free(slab);
        } else {
            slab->next = pool->slabs;
            pool->slabs = slab;
        }
    }
    free(sorted);
    ASSERT(pool->total >= pool->in_use);
    return bytes;
}

#endif
