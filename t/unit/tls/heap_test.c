/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/heap.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/crypto.h>

#define SIZES 70000u

static void fill(uint8_t *piece, size_t size, uint8_t value)
{
    memset(piece, value, size);
}

static void check(const uint8_t *piece, size_t size, uint8_t value)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal(piece[i], value);
}

/* Every size, twice: new and from the list, beside pieces that are in use. */
static void test_every_size(void **state)
{
    (void)state;
    heap_begin();
    uint8_t *neighbour = NULL;
    size_t neighbour_size = 0;
    for (size_t size = 1; size < SIZES; size += size < 5000 ? 1 : 61) {
        for (int round = 0; round < 2; round++) {
            uint8_t *piece = OPENSSL_malloc(size);
            assert_non_null(piece);
            assert_int_equal((uintptr_t)piece % 16, 0);
            fill(piece, size, (uint8_t)size);
            check(neighbour, neighbour_size, 0xa5);
            OPENSSL_free(neighbour);
            neighbour = piece;
            neighbour_size = size;
            check(neighbour, size, (uint8_t)size);
            fill(neighbour, size, 0xa5);
        }
    }
    OPENSSL_free(neighbour);
    heap_end();
    assert_int_equal(heap_kept(), 0);
}

static bool is_installed(void)
{
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    return true;
#endif
}

static void test_growing(void **state)
{
    static const size_t sizes[] = {1, 32, 33, 48, 49, 1000, 48, 20000, 60000, 100000, 10};
    (void)state;
    heap_begin();
    uint8_t *piece = NULL;
    size_t had = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        piece = OPENSSL_realloc(piece, sizes[i]);
        assert_non_null(piece);
        check(piece, MIN(had, sizes[i]), 0x5a);
        fill(piece, sizes[i], 0x5a);
        had = sizes[i];
    }
    assert_null(OPENSSL_realloc(piece, 0));
    OPENSSL_free(NULL);
    assert_null(OPENSSL_malloc(0));
    if (is_installed())
        assert_null(OPENSSL_malloc(SIZE_MAX));
    heap_end();
}

/* At most so much is kept, all of it is used again, and end gives it back. */
static void test_kept(void **state)
{
    enum { COUNT = 2000, SIZE = 1024 };
    static void *pieces[COUNT];
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++)
            assert_non_null(pieces[i] = OPENSSL_malloc(SIZE));
        assert_int_equal(heap_kept(), 0);
        if (round == 1) {
            heap_begin();
            heap_begin();
        }
        for (int i = 0; i < COUNT; i++)
            OPENSSL_free(pieces[i]);
        /* Only between begin and end. */
        assert_int_equal(heap_kept(), is_installed() && round == 1 ? HEAP_KEPT_MAX : 0);
        if (round == 1) {
            void *first = OPENSSL_malloc(SIZE);
            if (is_installed())
                assert_ptr_equal(first, pieces[HEAP_KEPT_MAX / SIZE - 1]);
            OPENSSL_free(first);
            heap_end();
            assert_int_equal(heap_kept(), is_installed() ? HEAP_KEPT_MAX : 0);
            heap_end();
            assert_int_equal(heap_kept(), 0);
        }
    }
}

static void *free_elsewhere(void *piece)
{
    heap_begin();
    OPENSSL_free(piece);
    size_t kept = heap_kept();
    heap_end();
    return (void *)kept;
}

static void test_threads(void **state)
{
    pthread_t thread;
    void *kept = NULL, *piece = OPENSSL_malloc(100);
    (void)state;
    heap_begin();
    assert_int_equal(pthread_create(&thread, NULL, free_elsewhere, piece), 0);
    assert_int_equal(pthread_join(thread, &kept), 0);
    assert_int_equal((size_t)kept, is_installed() ? 128 : 0);
    assert_int_equal(heap_kept(), 0); /* a list is a thread's own */
    heap_end();
}

static int setup(void **state)
{
    (void)state;
    heap_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
