/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "routing/host_index.h"

static void walk_text(const struct host_index *index, const char *host, char *out, size_t size)
{
    struct host_index_walk walk;
    size_t len = 0;
    out[0] = '\0';
    host_index_begin(&walk, index, span_str(host), host_index_hash(span_str(host)));
    for (const char *name; (name = host_index_next(&walk)) != NULL;)
        len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? " " : "", name);
    assert_null(host_index_next(&walk));
}

static void test_walk(void **state)
{
    (void)state;
    static char any[] = "any", names[][16] = {"", "a.b.c", "*.b.c", "*.c", "b.c", "*.x.a.b.c", "c"};
    static const struct {
        const char *host, *expect;
    } cases[] = {
        {"a.b.c", "a.b.c *.b.c *.c any"},
        {"b.c", "b.c *.c any"},
        {"c", "c any"},
        {"z", "any"},
        {"z.c", "*.c any"},
        {"y.x.a.b.c", "*.x.a.b.c *.b.c *.c any"},
        {"", "any"},
        {".c", "any"},
        {".b.c", "*.c any"},
        {"a.b.cc", "any"},
        {"..c", "*.c any"},
        {"c.", "any"},
    };
    struct arena arena;
    struct host_index index;
    arena_init(&arena, 4096, 0, NULL);
    assert_int_equal(host_index_init(&index, &arena, ARRAY_COUNT(names)), 0);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        void **place = host_index_place(&index, span_str(names[i]));
        assert_non_null(place);
        assert_null(*place);
        *place = i == 0 ? any : names[i];
        assert_ptr_equal(host_index_place(&index, span_str(names[i])), place);
    }
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char got[128];
        walk_text(&index, cases[i].host, got, sizeof(got));
        if (strcmp(got, cases[i].expect) != 0)
            fail_msg("%s gives '%s'", cases[i].host, got);
    }
    arena_fini(&arena);
}

/* Names at, above and below the limit of length; a host of nothing but dots. */
static void test_lengths(void **state)
{
    (void)state;
    static char text[HOST_INDEX_NAME_MAX + 3];
    struct arena arena;
    struct host_index index;
    arena_init(&arena, 4096, 0, NULL);
    assert_int_equal(host_index_init(&index, &arena, 4), 0);
    memset(text, 'a', sizeof(text));
    void **place = host_index_place(&index, span_make(text, HOST_INDEX_NAME_MAX));
    assert_non_null(place);
    *place = text;
    assert_null(host_index_place(&index, span_make(text, HOST_INDEX_NAME_MAX + 1)));
    assert_null(host_index_place(&index, SPAN_LIT("*.")));
    text[0] = '*';
    text[1] = '.';
    assert_non_null(host_index_place(&index, span_make(text, HOST_INDEX_NAME_MAX + 2)));
    assert_null(host_index_place(&index, span_make(text, HOST_INDEX_NAME_MAX + 3)));
    char dots[HOST_INDEX_NAME_MAX];
    memset(dots, '.', sizeof(dots));
    struct host_index_walk walk;
    struct span host = span_make(dots, sizeof(dots));
    host_index_begin(&walk, &index, host, host_index_hash(host));
    assert_null(host_index_next(&walk));
    arena_fini(&arena);
}

/* As many as it was made for are all found again, and nothing else is. */
static void test_many(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static char names[COUNT][24];
    struct arena arena;
    struct host_index index;
    arena_init(&arena, 65536, 0, NULL);
    assert_int_equal(host_index_init(&index, &arena, COUNT), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%sh%u.test", i % 7 == 0 ? "*." : "", i);
        *host_index_place(&index, span_str(names[i])) = names[i];
    }
    for (unsigned i = 0; i < COUNT; i++) {
        char host[32], got[64];
        (void)snprintf(host, sizeof(host), "h%u.test", i);
        walk_text(&index, host, got, sizeof(got));
        assert_string_equal(got, i % 7 == 0 ? "" : names[i]);
        (void)snprintf(host, sizeof(host), "x.h%u.test", i);
        walk_text(&index, host, got, sizeof(got));
        assert_string_equal(got, i % 7 == 0 ? names[i] : "");
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
