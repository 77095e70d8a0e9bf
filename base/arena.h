/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_ARENA_H
#define RINGGATE_BASE_ARENA_H

/* Bump allocator: many small allocations, one release. A cap bounds it and
 * overflow is sticky, so a user may allocate a series and test once.
 * Freed and unused memory is poisoned under ASan. One thread at a time. */

#include "base/panic.h"
#include "base/span.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* usable bytes after the header */
};

/* Where chunks come from. size is at least what is asked for. */
struct arena_source {
    void *(*get)(void *user, size_t size, size_t *ret_size); /* NULL: exhausted */
    void (*put)(void *user, void *chunk, size_t size);
    void *user;
    bool grows; /* each chunk is as big as all before it */
};

struct arena {
    char *pos, *end; /* what is left of the newest chunk; NULL after overflow */
    struct arena_chunk *chunks; /* newest first */
    const struct arena_source *source; /* NULL: malloc */
    size_t chunk_size, used, cap; /* bytes; used counts whole chunks */
    bool overflow;
};

/* chunk_size: bytes of a usual chunk, header included; cap: bytes in all, 0 = none.
 * source: NULL for malloc; else borrowed, outlives the arena. Allocates nothing. */
void arena_init(struct arena *arena, size_t chunk_size, size_t cap,
                const struct arena_source *source);
/* Gives all memory back; the arena is empty and usable. */
void arena_reset(struct arena *arena);
#define arena_fini arena_reset

void *arena_alloc_slow(struct arena *arena, size_t size, size_t align);

/* Uninitialised memory aligned to align (a power of two, <= 64), or NULL: over the cap or no
 * memory, now or before. size 0 gives a valid pointer. */
static inline void *arena_alloc_aligned(struct arena *arena, size_t size, size_t align)
{
    uintptr_t at = ((uintptr_t)arena->pos + align - 1) & ~(uintptr_t)(align - 1);
#ifndef __SANITIZE_ADDRESS__
    uintptr_t end = (uintptr_t)arena->end;
    if (LIKELY(arena->pos != NULL && at <= end && size <= end - at)) {
        arena->pos = (char *)(at + size);
        return (void *)at;
    }
#else
    (void)at;
#endif
    return arena_alloc_slow(arena, size, align);
}

static inline void *arena_alloc(struct arena *arena, size_t size)
{
    return arena_alloc_aligned(arena, size, 8);
}

/* Zeroed. */
void *arena_zalloc(struct arena *arena, size_t size);
#define arena_new(arena, type) ((type *)arena_zalloc((arena), sizeof(type)))
#define arena_array(arena, type, count) ((type *)arena_calloc((arena), (count), sizeof(type)))
/* Zeroed; checks count * size for overflow. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);
/* Copies; the copy of a span is followed by a NUL that len does not count.
 * On failure the span is SPAN_NONE and overflow is set. */
struct span arena_copy(struct arena *arena, struct span s);
struct span arena_number(struct arena *arena, uint64_t value); /* its decimal digits */
struct span arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

static inline bool arena_ok(const struct arena *arena)
{
    return !arena->overflow;
}

#endif
