/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_mem.h"

#include <stdlib.h>

/* How many pieces there are is limited by what each session may have, not here. */
#define PIECES_MAX (1u << 26)
#define MEM_LARGE H2_MEM_SIZES /* from malloc */

/* Before a piece. */
struct mem_head {
    size_t size; /* bytes after the head */
    unsigned kind; /* index of sizes, MEM_LARGE */
};

_Static_assert(sizeof(struct mem_head) == 16, "pieces are aligned like their heads");

/* What nghttp2 1.52 wants for a request: 44, 152 twice, 224, and a copy of the response's head. */
static const struct {
    const char *name;
    size_t size;
} sizes[H2_MEM_SIZES] = {
    {"h2_mem_48", 48},
    {"h2_mem_160", 160},
    {"h2_mem_240", 240},
    {"h2_mem_496", 496},
};

void h2_mem_init(struct h2_mem *mem)
{
    for (unsigned i = 0; i < H2_MEM_SIZES; i++)
        pool_init(&mem->pools[i], sizes[i].name, sizeof(struct mem_head) + sizes[i].size,
                  PIECES_MAX);
}

void h2_mem_fini(struct h2_mem *mem)
{
    for (unsigned i = 0; i < H2_MEM_SIZES; i++)
        pool_fini(&mem->pools[i]);
}

void *h2_mem_get(struct h2_mem *mem, size_t size)
{
    unsigned kind = 0;
    while (kind < MEM_LARGE && size > sizes[kind].size)
        kind++;
    bool large = kind == MEM_LARGE;
    if (size > SIZE_MAX / 2)
        return NULL;
    struct mem_head *head = large ? malloc(sizeof(*head) + size) : pool_get(&mem->pools[kind]);
    if (head == NULL)
        return NULL;
    *head = (struct mem_head){large ? size : sizes[kind].size, kind};
    return head + 1;
}

void h2_mem_put(struct h2_mem *mem, void *piece)
{
    struct mem_head *head = (struct mem_head *)piece - 1;
    if (head->kind == MEM_LARGE)
        free(head);
    else
        pool_put(&mem->pools[head->kind], head);
}

size_t h2_mem_size(const void *piece)
{
    return ((const struct mem_head *)piece - 1)->size;
}
