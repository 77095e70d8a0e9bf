/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

#include "io/block.h"

static void test_cap_and_reuse(void **state)
{
    (void)state;
    struct block_pool *pool = block_pool_new(6);
    uint8_t *blocks[6];
    for (int i = 0; i < 6; i++) {
        blocks[i] = block_get(pool);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], i, BLOCK_SIZE);
    }
    assert_null(block_get(pool));
    assert_int_equal(block_in_use(pool), 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(blocks[i][BLOCK_SIZE - 1], i);
    block_head(pool, blocks[3])->end = 7;
    block_put(pool, blocks[3]);
    assert_ptr_equal(block_get(pool), blocks[3]); /* the warm one */
    assert_int_equal(block_head(pool, blocks[3])->end, 0);
    for (int i = 0; i < 6; i++)
        block_put(pool, blocks[i]);
    block_trim(pool);
    assert_int_equal(block_in_use(pool), 0);
    block_pool_free(pool);
}

static void test_large_counts_as_four(void **state)
{
    (void)state;
    struct block_pool *pool = block_pool_new(6);
    uint8_t *large = block_get_large(pool);
    assert_non_null(large);
    memset(large, 1, BLOCK_LARGE_SIZE);
    assert_int_equal(block_in_use(pool), 4);
    assert_null(block_get_large(pool));
    void *a = block_get(pool), *b = block_get(pool);
    assert_non_null(b);
    assert_null(block_get(pool));
    assert_true(block_is_scarce(pool));
    block_put_large(pool, large);
    assert_false(block_is_scarce(pool));
    assert_int_equal(block_max(pool), 6);
    assert_int_equal(block_in_use(pool), 2);
    block_put(pool, a);
    block_put(pool, b);
    block_pool_free(pool);
}

static void test_arena_source(void **state)
{
    (void)state;
    struct block_pool *pool = block_pool_new(8);
    struct arena arena;
    arena_init(&arena, BLOCK_SIZE, 0, block_arena_source(pool));
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_alloc(&arena, 400));
    assert_int_equal(block_in_use(pool), 3);
    assert_non_null(arena_alloc(&arena, 30000));
    assert_int_equal(block_in_use(pool), 7);
    assert_null(arena_alloc(&arena, 70000));
    assert_false(arena_ok(&arena));
    arena_reset(&arena);
    assert_int_equal(block_in_use(pool), 0);
    block_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cap_and_reuse),
        cmocka_unit_test(test_large_counts_as_four),
        cmocka_unit_test(test_arena_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
