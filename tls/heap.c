/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/heap.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/panic.h"

/* Sizes are 32, 48, 64, 96, 128, ..: two for each power of two, up to a record and its buffer. */
#define SIZE_MIN_LOG 5u
#define KINDS 22u
#define KIND_LARGE KINDS

/* In front of a piece, which has malloc's alignment behind it. */
struct head {
    size_t size; /* bytes behind the head */
    unsigned kind; /* KIND_LARGE: malloc's own */
};
_Static_assert(sizeof(struct head) == 16, "pieces are aligned like their heads");

struct piece {
    struct head head;
    struct piece *next; /* while free */
};

struct heap {
    struct piece *free[KINDS];
    size_t kept;
    unsigned users;
};

static _Thread_local struct heap heap;

static size_t kind_size(unsigned kind)
{
    return ((size_t)(2 + kind % 2) << (SIZE_MIN_LOG + kind / 2)) / 2;
}

static unsigned kind_of(size_t size)
{
    if (size <= (size_t)1 << SIZE_MIN_LOG)
        return 0;
    unsigned log = 63 - (unsigned)__builtin_clzll(size - 1);
    unsigned kind = 2 * (log - SIZE_MIN_LOG) + 1 + (unsigned)((size - 1) >> (log - 1) & 1);
    return MIN(kind, KIND_LARGE);
}

static void *heap_alloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    unsigned kind = kind_of(size);
    if (size == 0 || size > SIZE_MAX / 2)
        return NULL;
    if (kind != KIND_LARGE) {
        struct piece *piece = heap.free[kind];
        size = kind_size(kind);
        if (piece) {
            heap.free[kind] = piece->next;
            heap.kept -= size;
            return &piece->head + 1;
        }
    }
    struct head *head = malloc(sizeof(*head) + size);
    if (!head)
        return NULL;
    *head = (struct head){size, kind};
    return head + 1;
}

static void heap_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    if (!ptr)
        return;
    struct head *head = (struct head *)ptr - 1;
    if (head->kind == KIND_LARGE || heap.users == 0 || heap.kept + head->size > HEAP_KEPT_MAX) {
        free(head);
        return;
    }
    struct piece *piece = (struct piece *)head;
    piece->next = heap.free[head->kind];
    heap.free[head->kind] = piece;
    heap.kept += head->size;
}

static void *heap_realloc(void *ptr, size_t size, const char *file, int line)
{
    if (!ptr)
        return heap_alloc(size, file, line);
    if (size == 0) {
        heap_free(ptr, file, line);
        return NULL;
    }
    const struct head *head = (const struct head *)ptr - 1;
    if (size <= head->size)
        return ptr;
    void *larger = heap_alloc(size, file, line);
    if (!larger)
        return NULL;
    memcpy(larger, ptr, head->size);
    heap_free(ptr, file, line);
    return larger;
}

void heap_init(void)
{
#ifdef __SANITIZE_ADDRESS__
    bool wanted = false;
#else
    CRYPTO_malloc_fn old_alloc = NULL;
    CRYPTO_get_mem_functions(&old_alloc, NULL, NULL);
    bool wanted = old_alloc == CRYPTO_malloc;
#endif
    /* It says 0 when OpenSSL has memory already. */
    if (wanted)
        (void)CRYPTO_set_mem_functions(heap_alloc, heap_realloc, heap_free);
}

void heap_begin(void)
{
    heap.users++;
}

void heap_end(void)
{
    ASSERT(heap.users > 0);
    if (--heap.users > 0)
        return;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        while (heap.free[kind]) {
            struct piece *piece = heap.free[kind];
            heap.free[kind] = piece->next;
            free(piece);
        }
    }
    heap.kept = 0;
}

size_t heap_kept(void)
{
    return heap.kept;
}
