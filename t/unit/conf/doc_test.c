/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/doc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

static int parse(struct arena *arena, struct span text, struct doc_node **ret, struct err *err)
{
    *ret = NULL;
    *err = (struct err){0};
    arena_init(arena, 4096, 0, NULL);
    return doc_parse(arena, text, 1, ret, err);
}

static void test_split(void **state)
{
    static const struct {
        const char *text;
        unsigned count;
        uint32_t lines[4];
        const char *first;
    } cases[] = {
        {"", 0, {0}, NULL},
        {"# only a comment\n\n%YAML 1.2\n", 0, {0}, NULL},
        {"a: 1", 1, {1}, "a: 1"},
        {"a: 1\n---\nb: 2\n", 2, {1, 2}, "a: 1\n"},
        {"---\na: 1\n---\n---\nb: 2\n--- {c: 3}\n", 4, {1, 3, 4, 6}, "---\na: 1\n"},
        {"a: |\n  ---\n  x\n", 1, {1}, "a: |\n  ---\n  x\n"},
        {"a: ----\n----\nb", 1, {1}, "a: ----\n----\nb"},
        {"%YAML 1.1\n---\r\na: 1\r\n---\r\nb: 1", 2, {2, 4}, "---\r\na: 1\r\n"},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct doc_cut cut = {span_str(cases[i].text), 0, 1};
        struct span piece;
        uint32_t piece_line;
        unsigned count = 0;
        while (doc_split(&cut, &piece, &piece_line)) {
            struct span rest = span_skip(cut.text, (size_t)(piece.ptr - cut.text.ptr));
            for (size_t size = 1; size <= rest.len; size++)
                assert_int_equal(doc_ends_at(rest, size) && size <= piece.len, size == piece.len);
            assert_true(count < 4);
            assert_int_equal(piece_line, cases[i].lines[count]);
            if (count == 0)
                assert_true(span_equal_str(piece, cases[i].first));
            count++;
        }
        assert_int_equal(count, cases[i].count);
    }
}

static void test_bad_input(void **state)
{
    static const struct {
        struct span text;
        int code;
        unsigned line, column;
    } cases[] = {
        {SPAN_LIT("a: [1, 2"), -EINVAL, 2, 1},
        {SPAN_LIT("a: 1\nb: \"open\n"), -EINVAL, 3, 1},
        {SPAN_LIT("a: 1\n  b: 2\n"), -EINVAL, 2, 4},
        {SPAN_LIT("a: 1\n\tb: 2\n"), -EINVAL, 2, 1},
        {SPAN_LIT("a: 1\na: 2\n"), -EEXIST, 2, 1},
        {SPAN_LIT("a: {b: 1, c: 2, b: 3}\n"), -EEXIST, 1, 17},
        {SPAN_LIT("a: &x 1\nb: *x\n"), -ELOOP, 2, 4},
        {SPAN_LIT("a: !python/object x\n"), -EINVAL, 1, 4},
        {SPAN_LIT("a: 1\nb: x\0y\n"), -EINVAL, 2, 5},
        {SPAN_LIT("a: \xff\xfe\n"), -EINVAL, 1, 4},
        {SPAN_LIT("a: \xed\xa0\x80\n"), -EINVAL, 1, 4},
        {SPAN_LIT("? [a, b]\n: 1\n"), -EINVAL, 1, 3},
        {SPAN_LIT("a: 1\n...\nb: 2\n"), -EINVAL, 3, 1},
        {SPAN_LIT("a: {b: {c: \n"), -EINVAL, 2, 1},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct arena arena;
        struct doc_node *root;
        struct err err;
        int r = parse(&arena, cases[i].text, &root, &err);
        if (r != cases[i].code || err.line != cases[i].line || err.column != cases[i].column)
            fail_msg("case %u: %d at %u:%u: %s", i, r, err.line, err.column, err.text);
        assert_null(root);
        assert_true(err.text[0] != '\0');
        arena_fini(&arena);
    }
}

/* At the limit, and one more. */
static void test_depth(void **state)
{
    (void)state;
    for (unsigned depth = DOC_DEPTH_MAX; depth <= DOC_DEPTH_MAX + 1; depth++) {
        struct arena arena;
        struct doc_node *root;
        struct err err;
        struct buf text;
        buf_init(&text, 1 << 20);
        for (unsigned i = 0; i < depth; i++)
            buf_add_char(&text, '[');
        for (unsigned i = 0; i < depth; i++)
            buf_add_char(&text, ']');
        int r = parse(&arena, buf_span(&text), &root, &err);
        assert_int_equal(r, depth > DOC_DEPTH_MAX ? -E2BIG : 0);
        if (r == 0)
            assert_true(doc_hash(root, 0) != 0);
        arena_fini(&arena);
        buf_fini(&text);
    }
    struct arena arena;
    struct doc_node *root;
    struct err err;
    char *deep = calloc(1, 2000001);
    assert_non_null(deep);
    for (unsigned i = 0; i < 2000000; i++)
        deep[i] = '[';
    assert_int_equal(parse(&arena, span_str(deep), &root, &err), -E2BIG);
    arena_fini(&arena);
    free(deep);
}

static void test_size(void **state)
{
    struct arena arena;
    struct doc_node *root;
    struct err err;
    (void)state;
    char *text = calloc(1, DOC_SIZE_MAX + 2);
    assert_non_null(text);
    for (size_t i = 0; i <= DOC_SIZE_MAX; i++)
        text[i] = i < 3 ? "a: "[i] : 'x';
    assert_int_equal(parse(&arena, span_make(text, DOC_SIZE_MAX), &root, &err), 0);
    assert_int_equal(root->first->text.len, DOC_SIZE_MAX - 3);
    arena_fini(&arena);
    assert_int_equal(parse(&arena, span_make(text, DOC_SIZE_MAX + 1), &root, &err), -E2BIG);
    arena_fini(&arena);

    /* A list of more values than are allowed: "[0,0,0,...]". */
    for (unsigned extra = 0; extra <= 1; extra++) {
        size_t len = 0;
        text[len++] = '[';
        for (unsigned i = 0; i < DOC_NODES_MAX - 1 + extra; i++) {
            text[len++] = '0';
            text[len++] = ',';
        }
        text[len - 1] = ']';
        int r = parse(&arena, span_make(text, len), &root, &err);
        assert_int_equal(r, extra == 0 ? 0 : -E2BIG);
        arena_fini(&arena);
    }
    free(text);
}

/* Many keys take the sorted way to find doubles. */
static void test_wide_map(void **state)
{
    (void)state;
    for (unsigned twice = 0; twice <= 1; twice++) {
        struct arena arena;
        struct doc_node *root;
        struct err err;
        struct buf text;
        buf_init(&text, 1 << 20);
        for (unsigned i = 0; i < 1000; i++)
            buf_printf(&text, "k%u: %u\n", i, i);
        if (twice)
            buf_add_str(&text, "k500: 1\n");
        int r = parse(&arena, buf_span(&text), &root, &err);
        assert_int_equal(r, twice ? -EEXIST : 0);
        if (twice)
            assert_int_equal(err.line, 1001);
        else
            assert_true(span_equal_str(doc_find(root, "k999")->text, "999"));
        arena_fini(&arena);
        buf_fini(&text);
    }
}

static void test_tags(void **state)
{
    static const struct {
        const char *text;
        enum doc_tag tag;
    } cases[] = {
        {"true", DOC_TAG_BOOL},      {"no", DOC_TAG_BOOL},           {"Off", DOC_TAG_BOOL},
        {"y", DOC_TAG_BOOL},         {"\"yes\"", DOC_TAG_STRING},    {"truth", DOC_TAG_STRING},
        {"1", DOC_TAG_INT},          {"-12", DOC_TAG_INT},           {"0x1F", DOC_TAG_INT},
        {"0o17", DOC_TAG_INT},       {"1_000", DOC_TAG_INT},         {"1.5", DOC_TAG_FLOAT},
        {".5", DOC_TAG_FLOAT},       {"1e3", DOC_TAG_FLOAT},         {"12e4567", DOC_TAG_FLOAT},
        {".inf", DOC_TAG_FLOAT},     {"1.2.3.4", DOC_TAG_STRING},    {"10s", DOC_TAG_STRING},
        {"1e", DOC_TAG_STRING},      {"-", DOC_TAG_STRING},          {"0xg", DOC_TAG_STRING},
        {"~", DOC_TAG_NULL},         {"null", DOC_TAG_NULL},         {"''", DOC_TAG_STRING},
        {"!!str 1", DOC_TAG_STRING}, {"2026-11-23", DOC_TAG_STRING},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct arena arena;
        struct doc_node *root;
        struct err err;
        char text[64];
        (void)snprintf(text, sizeof(text), "a: %s\n", cases[i].text);
        if (cases[i].text[0] == '-' && cases[i].text[1] == '\0')
            (void)snprintf(text, sizeof(text), "{a: \"-\"}\n");
        assert_int_equal(parse(&arena, span_str(text), &root, &err), 0);
        if (doc_tag_of(root->first) != cases[i].tag)
            fail_msg("%s", cases[i].text);
        arena_fini(&arena);
    }
}

static uint64_t hash_text(const char *text)
{
    struct arena arena;
    struct doc_node *root;
    struct err err;
    assert_int_equal(parse(&arena, span_str(text), &root, &err), 0);
    uint64_t hash = doc_hash(root, 1);
    arena_fini(&arena);
    return hash;
}

static void test_hash(void **state)
{
    (void)state;
    uint64_t hash = hash_text("a: [1, {b: c}]\nd: e\n");
    assert_true(hash == hash_text("# comment\na:\n- 1\n- b: 'c'\nd: \"e\"\n"));
    assert_true(hash == hash_text("{\"a\": [1, {\"b\": \"c\"}], \"d\": \"e\"}"));
    assert_true(hash != hash_text("a: [1, {b: c}]\nd: f\n"));
    assert_true(hash != hash_text("a: [1, {b: c}, d]\ne: f\n"));
    assert_true(hash != hash_text("a: [1]\nb: c\nd: e\n"));
}

static void test_positions(void **state)
{
    struct arena arena;
    struct doc_node *root = NULL;
    struct err err;
    (void)state;
    arena_init(&arena, 4096, 0, NULL);
    struct span text = SPAN_LIT("---\nkey:\n  - {other: \"\xc3\xa9\", third: 3}\n");
    assert_int_equal(doc_parse(&arena, text, 100, &root, &err), 0);
    const struct doc_node *third = doc_find(doc_find(root, "key")->first, "third");
    assert_int_equal(third->key_pos.line, 102);
    assert_int_equal(third->key_pos.column, 18);
    assert_int_equal(third->pos.column, 25);
    assert_null(doc_find(root, "nothing"));
    assert_null(doc_find(third, "x"));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),    cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_depth),    cmocka_unit_test(test_size),
        cmocka_unit_test(test_wide_map), cmocka_unit_test(test_tags),
        cmocka_unit_test(test_hash),     cmocka_unit_test(test_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
