/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "t/unit/conf/conf_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/panic.h"
#include "conf/doc.h"
#include "conf/schema.h"

static void add_document(struct conf_fixture *fixture, struct span piece, uint32_t line)
{
    struct arena arena;
    struct doc_node *root;
    struct err err;
    struct conf_object *other;
    arena_init(&arena, 16384, 0, NULL);
    assert_int_equal(doc_parse(&arena, piece, line, &root, &err), 0);
    if (root) {
        struct schema_input input = {
            .root = root, .source = fixture->source, .diags = &fixture->diags};
        struct schema_output output = {0};
        if (schema_decode(&input, &output) == 0) {
            if (output.is_good)
                assert_int_equal(objects_add(fixture->objects, output.object, &other), 0);
            schema_output_fini(&output);
        }
    }
    arena_fini(&arena);
}

void conf_fixture_init(struct conf_fixture *fixture, const char *path, struct span text)
{
    uint32_t piece_line;
    struct span piece;
    char *copy = xmalloc(text.len + 1);
    memcpy(copy, text.ptr ? text.ptr : "", text.len);
    *fixture = (struct conf_fixture){.source = conf_source_new(path, copy, text.len)};
    struct doc_cut cut = {span_make(copy, text.len), 0, 1};
    diags_init(&fixture->diags);
    fixture->objects = objects_new();
    while (doc_split(&cut, &piece, &piece_line))
        add_document(fixture, piece, piece_line);
    objects_seal(fixture->objects);
}

void conf_fixture_fini(struct conf_fixture *fixture)
{
    diags_fini(&fixture->diags);
    objects_unref(fixture->objects);
    conf_source_unref(fixture->source);
}

char *conf_fixture_read(const char *path, size_t *ret_len)
{
    struct buf buf;
    char chunk[4096];
    size_t n;
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be read", path);
    buf_init(&buf, 16u << 20);
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(&buf, chunk, n);
    fclose(file);
    assert_true(buf_ok(&buf));
    (void)buf_str(&buf); /* adds the NUL */
    *ret_len = buf.len;
    return buf.data ? buf.data : calloc(1, 1);
}

void conf_fixture_path(char *path, size_t size, const char *relative)
{
    const char *top = getenv("abs_top_srcdir");
    int len = snprintf(path, size, "%s/%s", top ? top : ".", relative);
    assert_true(len > 0 && (size_t)len < size);
}
