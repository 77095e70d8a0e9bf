/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(at, size) ASAN_POISON_MEMORY_REGION((at), (size))
#define UNPOISON(at, size) ASAN_UNPOISON_MEMORY_REGION((at), (size))
/* Never handed out, so that a write past the end of an allocation is seen. */
#define RED_ZONE 16
#else
#define POISON(at, size) ((void)0)
#define UNPOISON(at, size) ((void)0)
#define RED_ZONE 0
#endif

/* A chunk is [struct arena_chunk][usable bytes]. The newest one is bumped:
 * pos..end is what is left of it. A request that is bigger than the usual
 * chunk gets a chunk of its own behind the newest, so what is left there
 * stays in use. The header keeps 16-byte alignment of what follows. */
_Static_assert(sizeof(struct arena_chunk) % 16 == 0, "allocations start aligned");

void arena_init(struct arena *arena, size_t chunk_size, size_t cap,
                const struct arena_source *source)
{
    ASSERT(chunk_size > sizeof(struct arena_chunk) + 64);
    *arena = (struct arena){.chunk_size = chunk_size, .cap = cap, .source = source};
}

void arena_reset(struct arena *arena)
{
    if (arena == NULL)
        return;
    struct arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        size_t size = chunk->size + sizeof(*chunk);
        UNPOISON(chunk, size);
        if (arena->source != NULL)
            arena->source->put(arena->source->user, chunk, size);
        else
            free(chunk);
        chunk = next;
    }
    arena->pos = arena->end = NULL;
    arena->chunks = NULL;
    arena->used = 0;
    arena->overflow = false;
}

#define GROWN_MAX ((size_t)64 << 20)

/* A chunk with at least `needed` usable bytes, poisoned; NULL: cap or memory. */
static struct arena_chunk *chunk_get(struct arena *arena, size_t needed)
{
    size_t usual = arena->chunk_size;
    if (arena->source != NULL && arena->source->grows)
        usual = MAX(usual, MIN(arena->used, GROWN_MAX));
    size_t size = MAX(needed + sizeof(struct arena_chunk), usual);
    struct arena_chunk *chunk;
    if (arena->cap != 0 && (size > arena->cap || arena->used > arena->cap - size)) {
        /* The last chunk may be smaller than usual: the cap is a promise both ways. */
        size = needed + sizeof(struct arena_chunk);
        if (size > arena->cap || arena->used > arena->cap - size)
            return NULL;
        size = arena->cap - arena->used;
    }
    if (arena->source != NULL) {
        size_t got = size;
        chunk = arena->source->get(arena->source->user, size, &got);
        ASSERT(chunk == NULL || got >= size);
        size = got;
    } else {
        chunk = malloc(size);
    }
    if (chunk == NULL)
        return NULL;
    ASSERT(((uintptr_t)chunk & 7) == 0);
    chunk->size = size - sizeof(*chunk);
    arena->used += size;
    POISON(chunk + 1, chunk->size);
    return chunk;
}

/* From now on nothing is handed out, not even what would still fit. */
static void arena_fail(struct arena *arena)
{
    arena->overflow = true;
    arena->pos = arena->end = NULL;
}

static char *align_up(char *at, size_t align)
{
    return at + (-(uintptr_t)at & (align - 1));
}

COLD void *arena_alloc_slow(struct arena *arena, size_t size, size_t align)
{
    ASSERT(align != 0 && (align & (align - 1)) == 0 && align <= 64);
    if (arena->overflow)
        return NULL;
    if (size > SIZE_MAX / 4)
        goto overflow;
    size_t needed = size + align + RED_ZONE;
    if (arena->pos != NULL && (size_t)(arena->end - arena->pos) >= needed) {
        char *at = align_up(arena->pos, align);
        arena->pos = at + size + RED_ZONE;
        UNPOISON(at, size);
        return at;
    }

    struct arena_chunk *chunk = chunk_get(arena, needed);
    if (chunk == NULL)
        goto overflow;
    char *start = (char *)(chunk + 1);
    char *at = align_up(start, align);
    UNPOISON(at, size);
    char *pos = at + size + RED_ZONE, *end = start + chunk->size;
    if (arena->pos != NULL && end - pos < arena->end - arena->pos) {
        /* Behind the newest, which has more to give. */
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
        return at;
    }
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->pos = pos;
    arena->end = end;
    return at;

overflow:
    arena_fail(arena);
    return NULL;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *at = arena_alloc(arena, size);
    if (at != NULL)
        memset(at, 0, size);
    return at;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        arena_fail(arena);
        return NULL;
    }
    return arena_zalloc(arena, bytes);
}

struct span arena_copy(struct arena *arena, struct span s)
{
    if (s.len == SIZE_MAX) {
        arena_fail(arena);
        return SPAN_NONE;
    }
    char *at = arena_alloc_aligned(arena, s.len + 1, 1);
    if (at == NULL)
        return SPAN_NONE;
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    at[s.len] = '\0';
    return span_make(at, s.len);
}

struct span arena_number(struct arena *arena, uint64_t value)
{
    char digits[SPAN_U64_SIZE];
    return arena_copy(arena, span_from_u64(value, digits));
}

struct span arena_printf(struct arena *arena, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    ASSERT(len >= 0);
    if ((size_t)len < sizeof(small))
        return arena_copy(arena, span_make(small, (size_t)len));
    char *at = arena_alloc_aligned(arena, (size_t)len + 1, 1);
    if (at == NULL)
        return SPAN_NONE;
    va_start(args, format);
    (void)vsnprintf(at, (size_t)len + 1, format, args); /* as long as before */
    va_end(args);
    return span_make(at, (size_t)len);
}
