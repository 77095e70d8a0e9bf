/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "routing/predicate.h"
#include "t/unit/routing/fixture.h"

static void test_parameter(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *expect; /* NULL: not found */
    } cases[] = {
        {"a=1", "a", "1"},
        {"a=1&a=2", "a", "1"},
        {"b=1&a=2", "a", "2"},
        {"a", "a", ""},
        {"a=", "a", ""},
        {"", "a", NULL},
        {"aa=1", "a", NULL},
        {"A=1", "a", NULL},
        {"a=b=c", "a", "b=c"},
        {"a=x+y", "a", "x y"},
        {"a=x%20y", "a", "x y"},
        {"a=%2B", "a", "+"},
        {"a=%zz", "a", "%zz"},
        {"a=%4", "a", "%4"},
        {"a=%", "a", "%"},
        {"%61=1", "a", "1"},
        {"a%62=1", "ab", "1"},
        {"&&a=1", "a", "1"},
        {"a=1;b=2", "a", "1;b=2"},
        {"a=12345678", "a", "12345678"},
        {"a=123456789", "a", NULL},
        {"a=%31%32%33%34%35%36%37%38", "a", "12345678"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char got[8];
        ssize_t len = predicate_parameter(span_str(cases[i].query), span_str(cases[i].name), got,
                                          sizeof(got));
        if (cases[i].expect == NULL) {
            assert_int_equal(len, -1);
            continue;
        }
        if (len < 0 || !span_equal_str(span_make(got, (size_t)len), cases[i].expect))
            fail_msg("%s in %s", cases[i].name, cases[i].query);
    }
}

static void test_priority(void **state)
{
    (void)state;
    /* Each ranks above the one before it. */
    static const char *const order[] = {"P:/",         "q=a:1 q=a:2", "q=a:1 q=b:1",
                                        "h=a:1 h=A:2", "h=a:1 q=a:1", "h=a:1 h=b:1",
                                        "m=GET",       "m=GET q=a:1", "m=GET h=a:1"};
    struct arena arena;
    arena_init(&arena, 4096, 0, NULL);
    struct predicate_patterns patterns = {0};
    uint64_t last = 0;
    for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
        struct conf_http_match match;
        const struct predicate *predicate = NULL;
        fixture_match(&arena, span_str(order[i]), &match);
        assert_int_equal(predicate_compile(&match, &arena, &patterns, &predicate, NULL), 0);
        assert_int_equal(predicate != NULL, i > 0);
        uint64_t priority = predicate_priority(predicate);
        assert_true(i == 0 ? priority == 0 : priority > last);
        last = priority;
    }
    arena_fini(&arena);
}

static struct span many_value;
static unsigned many_count;

static unsigned many_header(const void *user, struct span name, struct span *values, unsigned max)
{
    (void)user;
    assert_true(span_equal_str(name, "x"));
    for (unsigned i = 0; i < many_count && i < max; i++)
        values[i] = many_value;
    return many_count;
}

/* At and above the limits on values and bytes: above, nothing matches, not even ".*". */
static void test_limits(void **state)
{
    (void)state;
    static char text[PREDICATE_SUBJECT_MAX + 1];
    memset(text, 'a', sizeof(text));
    const struct {
        unsigned count;
        size_t len;
        bool expect;
    } cases[] = {
        {1, PREDICATE_SUBJECT_MAX, true},
        {1, PREDICATE_SUBJECT_MAX + 1, false},
        {2, PREDICATE_SUBJECT_MAX / 2 - 1, true},
        {2, PREDICATE_SUBJECT_MAX / 2, false},
        {PREDICATE_VALUES_MAX, 1, true},
        {PREDICATE_VALUES_MAX + 1, 1, false},
        {1, 0, true},
        {0, 0, false},
    };
    struct arena arena;
    arena_init(&arena, 4096, 0, NULL);
    struct predicate_patterns patterns = {0};
    const struct predicate *predicate = NULL;
    struct conf_http_match match;
    fixture_match(&arena, SPAN_LIT("H=X:.*"), &match);
    assert_int_equal(predicate_compile(&match, &arena, &patterns, &predicate, NULL), 0);
    struct route_query query = {.header = many_header};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        many_count = cases[i].count;
        many_value = span_make(text, cases[i].len);
        assert_int_equal(predicate_holds(predicate, &query), cases[i].expect);
    }
    assert_true(patterns.memory > 0);
    predicate_patterns_free(&patterns);
    arena_fini(&arena);
}

/* A query without headers stands for a request that is still to come. */
static void test_unknown_headers(void **state)
{
    (void)state;
    static const struct {
        const char *match, *method;
        bool expect;
    } cases[] = {
        {"h=a:1 H=b:x", "GET", true}, {"m=PUT h=a:1", "PUT", true},  {"m=PUT h=a:1", "GET", false},
        {"h=a:1 q=k:1", "GET", true}, {"h=a:1 q=k:2", "GET", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct arena arena;
        struct predicate_patterns patterns = {0};
        const struct predicate *predicate = NULL;
        struct conf_http_match match;
        const struct route_query query = {.method = span_str(cases[i].method),
                                          .query = SPAN_LIT("k=1")};
        arena_init(&arena, 4096, 0, NULL);
        fixture_match(&arena, span_str(cases[i].match), &match);
        assert_int_equal(predicate_compile(&match, &arena, &patterns, &predicate, NULL), 0);
        assert_int_equal(predicate_holds(predicate, &query), cases[i].expect);
        predicate_patterns_free(&patterns);
        arena_fini(&arena);
    }
}

static void test_bad_pattern(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096, 0, NULL);
    struct predicate_patterns patterns = {0};
    static const char *const texts[] = {"H=x:(", "h=a:1 Q=k:(?=x)"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        const struct predicate *predicate = NULL;
        struct conf_http_match match;
        struct err err = {0};
        fixture_match(&arena, span_str(texts[i]), &match);
        assert_int_equal(predicate_compile(&match, &arena, &patterns, &predicate, &err), -EINVAL);
        assert_null(predicate);
        assert_true(err.text[0] != '\0');
    }
    predicate_patterns_free(&patterns);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameter),   cmocka_unit_test(test_priority),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_unknown_headers),
        cmocka_unit_test(test_bad_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
