/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/pages.h"

#include <sys/mman.h>

#define PAGE_SIZE 4096u

#define HUGE_SIZE ((size_t)2 << 20)

static void *map(size_t size, int flags)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return at != MAP_FAILED ? at : NULL;
}

/* A multiple of HUGE_SIZE at a multiple of it: mapped with room before and behind. */
static void *map_huge(size_t size)
{
    char *room = map(size + HUGE_SIZE, 0);
    if (room == NULL)
        return NULL;
    size_t before = -(uintptr_t)room % HUGE_SIZE;
    if (before > 0)
        munmap(room, before);
    if (before < HUGE_SIZE)
        munmap(room + before + size, HUGE_SIZE - before);
    (void)madvise(room + before, size, MADV_HUGEPAGE); /* a wish; small pages do, too */
    return room + before;
}

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static void *pages_get(void *user UNUSED, size_t size, size_t *ret_size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    *ret_size = round_up(size, PAGE_SIZE);
    return map(*ret_size, MAP_POPULATE);
}

static void *pages_get_brief(void *user, size_t size, size_t *ret_size)
{
    if (size < HUGE_SIZE || size > SIZE_MAX / 2)
        return pages_get(user, size, ret_size);
    *ret_size = round_up(size, HUGE_SIZE);
    return map_huge(*ret_size);
}

static void pages_put(void *user UNUSED, void *chunk, size_t size)
{
    munmap(chunk, size);
}

const struct arena_source pages_source = {.get = pages_get, .put = pages_put};
const struct arena_source pages_brief_source = {
    .get = pages_get_brief, .put = pages_put, .grows = true};
