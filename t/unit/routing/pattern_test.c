/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "routing/pattern.h"

static void test_matches(void **state)
{
    (void)state;
    static const struct {
        const char *source, *subject;
        bool expect;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"/a", "/a", true},
        {"/a", "/ab", false},
        {"/a", "x/a", false},
        {"a|ab", "ab", true},
        {"(a|b)+", "abba", true},
        {"a*?", "aaa", true},
        {"[0-9]{2,3}", "123", true},
        {"[0-9]{2,3}", "1234", false},
        {"a{2}", "aa", true},
        {"x\\{,3}", "x{,3}", true},
        {"x{a,3}", "x{a,3}", true},
        {"x{,}", "x{,}", true},
        {"(?i)ABC", "aBc", true},
        {"(?i:a)B", "AB", true},
        {"(?i:a)B", "Ab", false},
        {"(?P<n>a)b", "ab", true},
        {"(?<n>a)b", "ab", true},
        {"(?:ab)?c", "abc", true},
        {"[]a]", "]", true},
        {"[^]a]", "]", false},
        {"[[:alpha:]]+", "abc", true},
        {"[[:^alpha:]]", "1", true},
        {"[(?=]", "?", true},
        {"[a\\]]+", "a]", true},
        {"\\(\\?=x\\)", "(?=x)", true},
        {"a\\++", "a++", true},
        {"\\d+\\.\\w", "12.x", true},
        {"a$", "a\n", false},
        {"^a$", "a", true},
        {".", "\xff", true},
        {"\\x41", "A", true},
        {"\\x{41}", "A", true},
        {"\\x{41}+", "AAA", true},
        {"\\x{41}+?", "AAA", true},
        {"\\x{41}{2}", "AA", true},
        {"\\x{41}{2}", "A", false},
        {"\\x{2f}a", "/a", true},
        {"\\x41+", "AA", true},
        {"[\\x{41}-\\x{43}]+", "ABC", true},
        {"[\\x{41}-\\x{43}]+", "}", false},
        {"[^\\]\\x{5d}]+", "a]", false},
        {"caf\xc3\xa9", "caf\xc3\xa9", true},
        {"..", "\xc3\xa9", true},
        {"a.c", "abc", true},
        {"(?i)\xc9", "\xe9", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct pattern *pattern = NULL;
        struct err err = {0};
        if (pattern_compile(span_str(cases[i].source), &pattern, &err) != 0)
            fail_msg("%s: %s", cases[i].source, err.text);
        if (pattern_matches(pattern, span_str(cases[i].subject)) != cases[i].expect)
            fail_msg("'%s' on '%s' is wrong", cases[i].source, cases[i].subject);
        assert_true(pattern_memory(pattern) > 0);
        pattern_free(pattern);
    }
    struct pattern *pattern = NULL;
    assert_int_equal(pattern_compile(SPAN_NONE, &pattern, NULL), 0);
    assert_true(pattern_matches(pattern, SPAN_NONE));
    pattern_free(pattern);
    pattern_free(NULL);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        unsigned column;
        const char *says;
    } cases[] = {
        {"a(?=b)", 2, "look-around"},
        {"(?!b)", 1, "look-around"},
        {"(?<=b)c", 1, "look-around"},
        {"(?<!b)c", 1, "look-around"},
        {"(a)\\1", 4, "back-ref"},
        {"(?<n>a)\\k<n>", 8, "back-ref"},
        {"(a)\\g1", 4, "back-ref"},
        {"(?P<n>a)(?P=n)", 9, "back-ref"},
        {"(?>a)", 1, "group"},
        {"(?R)", 1, "group"},
        {"(a)(?1)", 4, "group"},
        {"(?(1)a)", 1, "group"},
        {"(?|a)", 1, "group"},
        {"(?C1)a", 1, "group"},
        {"(?#c)a", 1, "group"},
        {"(?x) a", 1, "group"},
        {"(*UTF)a", 1, "verbs"},
        {"(*LIMIT_MATCH=9)a", 1, "verbs"},
        {"a++", 3, "possessive"},
        {"a?+", 3, "possessive"},
        {"a{2}+", 5, "possessive"},
        {"x{,3}", 2, "a repeat is"},
        {"x{ 3}", 2, "a repeat is"},
        {"x{1, 3}", 2, "a repeat is"},
        {"\\Ka", 1, "escape"},
        {"\\Qa\\E", 1, "escape"},
        {"a[\\p{L}]", 3, "escape"},
        {"\\Ca", 1, "escape"},
        {"\\R", 1, "escape"},
        {"\\0", 1, "escape"},
        {"\\x{}", 1, "by number"},
        {"\\x{4 1}", 1, "by number"},
        {"\\x{,3}", 1, "by number"},
        {"\\x{41", 1, "by number"},
        {"[\\x{zz}]", 2, "by number"},
        {"\\x{41}++", 8, "possessive"},
        {"[a\\", 4, "wrong"},
        {"(a", 3, "wrong"},
        {"a)", 2, "wrong"},
        {"[a", 3, "wrong"},
        {"*a", 1, "wrong"},
        {"a\\", 3, "wrong"},
        {"a**", 3, "wrong"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct pattern *pattern = NULL;
        struct err err = {0};
        int r = pattern_compile(span_str(cases[i].source), &pattern, &err);
        if (r != -EINVAL)
            fail_msg("%s is accepted", cases[i].source);
        assert_null(pattern);
        assert_int_equal(err.code, r);
        if (err.column != cases[i].column || strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: column %u, %s", cases[i].source, err.column, err.text);
    }
}

static void test_size(void **state)
{
    (void)state;
    char text[PATTERN_SIZE_MAX + 1];
    memset(text, 'a', sizeof(text));
    struct pattern *pattern = NULL;
    struct err err;
    assert_int_equal(pattern_compile(span_make(text, PATTERN_SIZE_MAX), &pattern, &err), 0);
    assert_true(pattern_matches(pattern, span_make(text, PATTERN_SIZE_MAX)));
    pattern_free(pattern);
    assert_int_equal(pattern_compile(span_make(text, PATTERN_SIZE_MAX + 1), &pattern, &err),
                     -E2BIG);
    /* Groups in groups, and repeats that multiply, are refused by their limits. */
    memset(text, '(', 60);
    memset(text + 60, ')', 60);
    assert_int_equal(pattern_compile(span_make(text, 120), &pattern, &err), -EINVAL);
    assert_int_equal(pattern_compile(SPAN_LIT("((a{1,999}){1,999}){1,999}"), &pattern, &err),
                     -EINVAL);
}

/* What would take a backtracking matcher years ends as "no match". */
static void test_bounded(void **state)
{
    (void)state;
    static const char *const sources[] = {"(a+)+b", "(a|aa)+b", "(.*)*b", "(a*)*(a*)*b",
                                          "(a|a?)+b"};
    char text[8192];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < ARRAY_COUNT(sources); i++) {
        struct pattern *pattern = NULL;
        assert_int_equal(pattern_compile(span_str(sources[i]), &pattern, NULL), 0);
        assert_false(pattern_matches(pattern, span_make(text, sizeof(text))));
        pattern_free(pattern);
    }
    /* Plain patterns stay within the limits at full length. */
    struct pattern *pattern = NULL;
    assert_int_equal(pattern_compile(SPAN_LIT("/?.*a[a-z]*"), &pattern, NULL), 0);
    assert_true(pattern_matches(pattern, span_make(text, sizeof(text))));
    pattern_free(pattern);
}

static void *match_much(void *user)
{
    for (unsigned i = 0; i < 500; i++) {
        if (!pattern_matches(user, SPAN_LIT("/item/12345/x")))
            return NULL;
    }
    return user;
}

/* Every thread has scratch of its own and frees it (LeakSanitizer watches). */
static void test_threads(void **state)
{
    (void)state;
    struct pattern *pattern = NULL;
    assert_int_equal(pattern_compile(SPAN_LIT("/item/[0-9]+/(x|y)"), &pattern, NULL), 0);
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_much, pattern), 0);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, pattern);
    }
    pattern_free(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches), cmocka_unit_test(test_refused), cmocka_unit_test(test_size),
        cmocka_unit_test(test_bounded), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
