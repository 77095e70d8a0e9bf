/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"

static void test_cap(void **state)
{
    (void)state;
    static const unsigned caps[] = {0, 1, 2, 4096, 5000};
    static void *objects[5001];
    for (size_t i = 0; i < ARRAY_COUNT(caps); i++) {
        struct pool pool;
        pool_init(&pool, "test", 24, caps[i]);
        unsigned got = 0;
        while (got <= caps[i] && (objects[got] = pool_get(&pool)) != NULL) {
            assert_int_equal((uintptr_t)objects[got] % 16, 0);
            memset(objects[got], 0xaa, 24);
            got++;
        }
        assert_int_equal(got, caps[i]);
        assert_int_equal(pool.in_use, caps[i]);
        if (got > 0) {
            pool_put(&pool, objects[0]);
            objects[0] = pool_get_zero(&pool);
            assert_non_null(objects[0]);
            assert_memory_equal(objects[0], (char[24]){0}, 24);
        }
        assert_null(pool_get(&pool));
        while (got > 0)
            pool_put(&pool, objects[--got]);
        pool_put(&pool, NULL);
        assert_int_equal(pool.in_use, 0);
        pool_fini(&pool);
        pool_fini(&pool);
    }
}

/* Random gets, puts and trims: objects never overlap and keep their content. */
static void test_random(void **state)
{
    (void)state;
    enum { OBJECTS = 3000 };
    static unsigned *objects[OBJECTS];
    struct pool pool;
    struct rand_state rand;
    rand_seed(&rand, 9);
    pool_init(&pool, "random", 200, OBJECTS);
    for (unsigned round = 0; round < 100000; round++) {
        unsigned at = rand_below(&rand, OBJECTS);
        /* Waves: mostly gets, then mostly puts. */
        bool grow = rand_below(&rand, 10) < (round / 20000 % 2 == 0 ? 8u : 2u);
        if (objects[at] == NULL && grow) {
            objects[at] = pool_get(&pool);
            assert_non_null(objects[at]);
            objects[at][0] = at;
            objects[at][49] = ~at;
        } else if (objects[at] != NULL && !grow) {
            assert_int_equal(objects[at][0], at);
            assert_int_equal(objects[at][49], ~at);
            pool_put(&pool, objects[at]);
            objects[at] = NULL;
        }
        if (round % 5000 == 0) {
            pool_trim(&pool);
            assert_true(pool.total >= pool.in_use && pool.total <= pool.total_max);
        }
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        pool_put(&pool, objects[i]);
    assert_int_equal(pool.in_use, 0);
    pool_trim(&pool);
    assert_int_equal(pool.total, 0);
    void *object = pool_get(&pool);
    assert_non_null(object);
    pool_put(&pool, object);
    pool_fini(&pool);
}

/* Pools that are mostly empty give back, those that are busy are left alone. */
static void test_trim_all(void **state)
{
    (void)state;
    enum { OBJECTS = 5000 };
    static void *objects[2][OBJECTS];
    struct pool pools[2];
    for (unsigned p = 0; p < 2; p++) {
        pool_init(&pools[p], "trim", 100, OBJECTS);
        for (unsigned i = 0; i < OBJECTS; i++)
            objects[p][i] = pool_get(&pools[p]);
    }
    size_t kept = pools[0].total; /* 0 where every object is a malloc */
    assert_int_equal(pool_trim_all(), 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        pool_put(&pools[0], objects[0][i]);
    size_t bytes = pool_trim_all();
    assert_true(bytes == kept * pools[0].object_size || pools[0].slabs == NULL);
    assert_int_equal(pools[0].total, 0);
    assert_int_equal(pools[1].total, pools[1].in_use);
    /* One object in each slab: nothing can go, and nobody looks at it each time. */
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i % 100 != 0)
            pool_put(&pools[1], objects[1][i]);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(pool_trim_all(), 0);
    for (unsigned i = 0; i < OBJECTS; i += 100)
        pool_put(&pools[1], objects[1][i]);
    for (unsigned i = 0; i < 64 && pools[1].total > 0; i++)
        (void)pool_trim_all();
    assert_int_equal(pools[1].total, 0);
    pool_fini(&pools[0]);
    pool_fini(&pools[1]);
    assert_int_equal(pool_trim_all(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_trim_all),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
