/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/pages.h"

#include <sys/mman.h>

#define PAGE_SIZE 4096u

static void *pages_get(void *user UNUSED, size_t size, size_t *ret_size)
{
    if (size > SIZE_MAX - PAGE_SIZE)
        return NULL;
    size = (size + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
    void *at =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    *ret_size = size;
    return at;
}

static void pages_put(void *user UNUSED, void *chunk, size_t size)
{
    munmap(chunk, size);
}

const struct arena_source pages_source = {.get = pages_get, .put = pages_put};
