/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Of every size around those that are kept: aligned, as large as it says, no piece in another. */
static void gives_all_sizes(void **state UNUSED)
{
    static const size_t sizes[] = {0,   1,   47,  48,  49,  159, 160,  161,
                                   239, 240, 241, 495, 496, 497, 4096, 100000};
    unsigned char *pieces[ARRAY_COUNT(sizes)];
    struct h2_mem mem;
    h2_mem_init(&mem);
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        pieces[i] = h2_mem_get(&mem, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        assert_true(h2_mem_size(pieces[i]) >= sizes[i]);
        memset(pieces[i], (int)i, h2_mem_size(pieces[i]));
    }
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        for (size_t at = 0; at < h2_mem_size(pieces[i]); at++)
            assert_int_equal(pieces[i][at], i);
        h2_mem_put(&mem, pieces[i]);
    }
    h2_mem_fini(&mem);
}

static void refuses_what_nobody_has(void **state UNUSED)
{
    struct h2_mem mem;
    h2_mem_init(&mem);
    assert_null(h2_mem_get(&mem, SIZE_MAX));
    assert_null(h2_mem_get(&mem, SIZE_MAX - 8));
    h2_mem_fini(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_all_sizes),
        cmocka_unit_test(refuses_what_nobody_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
