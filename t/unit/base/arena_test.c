/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/arena.h"
#include "base/pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"

static void test_contents_stay(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 512, 0, NULL);
    struct rand_state rand;
    rand_seed(&rand, 3);
    enum { COUNT = 2000 };
    static struct {
        unsigned char *at;
        size_t size;
    } made[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        /* Some bigger than a chunk. */
        made[i].size = rand_below(&rand, i % 50 == 0 ? 3000 : 60);
        size_t align = (size_t)1 << rand_below(&rand, 7);
        made[i].at = arena_alloc_aligned(&arena, made[i].size, align);
        assert_non_null(made[i].at);
        assert_int_equal((uintptr_t)made[i].at & (align - 1), 0);
        memset(made[i].at, (int)(i & 0xff), made[i].size);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        for (size_t n = 0; n < made[i].size; n++)
            assert_int_equal(made[i].at[n], i & 0xff);
    }
    assert_true(arena_ok(&arena));
    arena_reset(&arena);
    assert_int_equal(arena.used, 0);
    assert_non_null(arena_alloc(&arena, 0));
    arena_fini(&arena);
    arena_fini(&arena);
}

static void test_cap(void **state)
{
    (void)state;
    /* The cap counts whole chunks: never more than it, and sticky once hit. */
    static const size_t caps[] = {100, 511, 512, 513, 1024, 5000};
    for (size_t i = 0; i < ARRAY_COUNT(caps); i++) {
        struct arena arena;
        arena_init(&arena, 512, caps[i], NULL);
        size_t got = 0;
        while (arena_alloc(&arena, 8) != NULL) {
            got += 8;
            assert_in_range(arena.used, 1, caps[i]);
        }
        assert_true(got > 0 && got < caps[i]);
        assert_false(arena_ok(&arena));
        assert_null(arena_zalloc(&arena, 1));
        assert_null(arena_alloc(&arena, 0));
        assert_null(arena_copy(&arena, SPAN_LIT("x")).ptr);
        arena_reset(&arena);
        assert_true(arena_ok(&arena));
        assert_non_null(arena_alloc(&arena, 8));
        arena_fini(&arena);
    }
}

static void test_sizes_at_the_limit(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 8, SIZE_MAX / 2, 100001, 100000};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct arena arena;
        arena_init(&arena, 512, 100000, NULL);
        assert_non_null(arena_alloc(&arena, 1));
        assert_null(arena_alloc(&arena, sizes[i]));
        assert_false(arena_ok(&arena));
        arena_fini(&arena);
    }
    struct arena arena;
    arena_init(&arena, 512, 0, NULL);
    assert_null(arena_calloc(&arena, SIZE_MAX / 4, 8));
    assert_false(arena_ok(&arena));
    arena_reset(&arena);
    const int *zeroes = arena_array(&arena, int, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(zeroes[i], 0);
    assert_non_null(arena_array(&arena, int, 0));
    arena_fini(&arena);
}

static void test_text(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 512, 0, NULL);
    struct span copy = arena_copy(&arena, SPAN_LIT("a\0b"));
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.ptr, "a\0b\0", 4);
    copy = arena_copy(&arena, SPAN_NONE);
    assert_int_equal(copy.len, 0);
    assert_string_equal(copy.ptr, "");
    assert_string_equal(arena_copy(&arena, SPAN_LIT("word")).ptr, "word");
    static const int widths[] = {0, 1, 255, 256, 257, 2000};
    for (size_t i = 0; i < ARRAY_COUNT(widths); i++) {
        struct span text = arena_printf(&arena, "%*s", widths[i], "");
        assert_int_equal(text.len, widths[i]);
        assert_int_equal(strlen(text.ptr), widths[i]);
    }
    arena_fini(&arena);
}

struct counted {
    unsigned gets, puts, gets_max;
    size_t bytes;
};

static void *counted_get(void *user, size_t size, size_t *ret_size)
{
    struct counted *counted = user;
    if (counted->gets == counted->gets_max)
        return NULL;
    counted->gets++;
    *ret_size = size + 100; /* more than was asked for */
    counted->bytes += *ret_size;
    return malloc(*ret_size);
}

static void counted_put(void *user, void *chunk, size_t size)
{
    struct counted *counted = user;
    counted->puts++;
    counted->bytes -= size;
    free(chunk);
}

static void test_source(void **state)
{
    (void)state;
    struct counted counted = {.gets_max = 3};
    const struct arena_source source = {counted_get, counted_put, &counted, false};
    struct arena arena;
    arena_init(&arena, 512, 0, &source);
    assert_int_equal(counted.gets, 0);
    while (arena_alloc(&arena, 100) != NULL)
        ;
    assert_int_equal(counted.gets, 3);
    assert_int_equal(counted.bytes, arena.used);
    assert_false(arena_ok(&arena));
    arena_fini(&arena);
    assert_int_equal(counted.puts, 3);
    assert_int_equal(counted.bytes, 0);
}

/* Of a source that says so chunks double, so that there are few of them. */
static void test_growth(void **state)
{
    (void)state;
    struct counted counted = {.gets_max = 8};
    const struct arena_source source = {counted_get, counted_put, &counted, true};
    struct arena arena;
    arena_init(&arena, 1024, 0, &source);
    while (arena_alloc(&arena, 100) != NULL)
        ;
    assert_in_range(counted.bytes, 1024 << 7, 1024 << 8);
    assert_int_equal(counted.bytes, arena.used);
    arena_fini(&arena);
    assert_int_equal(counted.bytes, 0);
}

/* Megabytes from the kernel, in small pieces and in one: zeroed, written, given back. */
static void test_pages(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 65536, 0, &pages_brief_source);
    for (unsigned round = 0; round < 3; round++) {
        size_t size = round == 2 ? 9u << 20 : 1000;
        for (unsigned i = 0; i < (round == 2 ? 1u : 5000u); i++) {
            unsigned char *at = arena_zalloc(&arena, size);
            assert_non_null(at);
            assert_true(at[0] == 0 && at[size - 1] == 0);
            memset(at, 0xa5, size);
        }
        if (round == 1)
            arena_reset(&arena);
    }
    assert_in_range(arena.used, 9u << 20, 13u << 20);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents_stay),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_sizes_at_the_limit),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_source),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_pages),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
