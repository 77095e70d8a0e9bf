/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>

#include "tls/sni.h"

static void test_parse(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *name; /* NULL: refused */
    } cases[] = {
        {"\0\x06\0\0\x03" "a.b", 8, "a.b"},
        {"", 0, NULL},
        {"\0\x03\0\0\0", 5, NULL}, /* empty name */
        {"\0\x06\x01\0\x03" "a.b", 8, NULL}, /* another name type */
        {"\0\x07\0\0\x03" "a.b", 8, NULL}, /* list longer than the extension */
        {"\0\x06\0\0\x04" "a.b", 8, NULL}, /* name longer than the list */
        {"\0\x0c\0\0\x03" "a.b\0\0\x03" "c.d", 14, NULL}, /* two names */
        {"\0\x06\0\0\x03" "a.bx", 9, NULL}, /* bytes after the list */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span name = SPAN_LIT("untouched");
        int rc = sni_parse(span_make(cases[i].bytes, cases[i].len), &name);
        assert_int_equal(rc, cases[i].name ? 0 : -EINVAL);
        assert_true(span_equal_str(name, cases[i].name ? cases[i].name : "untouched"));
    }
}

static void test_canonical(void **state)
{
    static const struct {
        struct span raw;
        const char *name;
    } cases[] = {
        {SPAN_LIT("a.example"), "a.example"},
        {SPAN_LIT("A.eXample."), "a.example"},
        {SPAN_LIT("outbound_.80_._.echo"), "outbound_.80_._.echo"},
        {SPAN_LIT("2001:db8::1"), "2001:db8::1"},
        {SPAN_LIT(""), NULL},
        {SPAN_LIT("."), NULL},
        {SPAN_LIT("a.."), NULL},
        {SPAN_LIT(".a"), NULL},
        {SPAN_LIT("a..b"), NULL},
        {SPAN_LIT("a\0b"), NULL},
        {SPAN_LIT("a b"), NULL},
        {SPAN_LIT("*.a"), NULL},
        {SPAN_LIT("a/b"), NULL},
        {SPAN_LIT("\xc3\xa4.example"), NULL},
    };
    char out[SNI_NAME_MAX + 1], long_name[SNI_NAME_MAX + 2];
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span name = SPAN_NONE;
        int rc = sni_canonical(cases[i].raw, out, &name);
        assert_int_equal(rc, cases[i].name ? 0 : -EINVAL);
        if (rc == 0)
            assert_true(span_equal_str(name, cases[i].name));
    }
    memset(long_name, 'x', sizeof(long_name));
    struct span name;
    assert_int_equal(sni_canonical(span_make(long_name, SNI_NAME_MAX), out, &name), 0);
    assert_int_equal(sni_canonical(span_make(long_name, SNI_NAME_MAX + 1), out, &name), -EINVAL);
}

static void test_find(void **state)
{
    static const char *const hostnames[] = {"a.example", "*.example", "*.b.example", "x.b.example",
                                            ""};
    static const struct {
        const char *name, *found, *found_without_any;
    } cases[] = {
        {"a.example", "a.example", "a.example"},
        {"c.example", ".example", ".example"},
        {"d.c.example", ".example", ".example"},
        {"b.example", ".example", ".example"},
        {"y.b.example", ".b.example", ".b.example"},
        {"z.y.b.example", ".b.example", ".b.example"},
        {"x.b.example", "x.b.example", "x.b.example"},
        {"example", "", NULL},
        {"other", "", NULL},
        {"", "", NULL},
    };
    struct hmap_node nodes[ARRAY_COUNT(hostnames)];
    struct hmap map;
    (void)state;
    hmap_init(&map, 0);
    for (size_t i = 0; i < ARRAY_COUNT(hostnames); i++)
        hmap_insert(&map, &nodes[i], sni_key(span_str(hostnames[i])));
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct hmap_node *node = sni_find(&map, span_str(cases[i].name));
        assert_non_null(node);
        assert_true(span_equal_str(node->key, cases[i].found));
    }
    hmap_remove(&map, &nodes[ARRAY_COUNT(hostnames) - 1]);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct hmap_node *node = sni_find(&map, span_str(cases[i].name));
        assert_int_equal(node != NULL, cases[i].found_without_any != NULL);
        if (node)
            assert_true(span_equal_str(node->key, cases[i].found_without_any));
    }
    hmap_fini(&map);
}

static void test_cert_score(void **state)
{
    static const struct {
        const char *pattern, *name;
        unsigned score;
    } cases[] = {
        {"a.example", "a.example", 2 * SNI_NAME_MAX},
        {"A.Example", "a.example", 2 * SNI_NAME_MAX},
        {"*.example", "a.example", 9},
        {"*.b.example", "a.b.example", 11},
        {"*.example", "a.b.example", 0},
        {"*.example", "example", 0},
        {"*.example", ".example", 0},
        {"*", "example", 0},
        {"*.", "a.", 0},
        {"a*.example", "ab.example", 0},
        {"", "a", 0},
        {"a", "", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(sni_cert_score(span_str(cases[i].pattern), span_str(cases[i].name)),
                         cases[i].score);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_cert_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
