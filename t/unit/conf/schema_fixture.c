/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "t/unit/conf/schema_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/objects.h"

void schema_fixture_decode(const char *text, struct schema_fixture *ret)
{
    struct arena arena;
    struct doc_node *root = NULL;
    struct err err = {0};
    struct conf_source *source = conf_source_new("test.yaml", NULL, 0);
    *ret = (struct schema_fixture){0};
    arena_init(&arena, 65536, 0, NULL);
    if (doc_parse(&arena, span_str(text), 1, &root, &err) != 0)
        fail_msg("%u:%u: %s in\n%s", err.line, err.column, err.text, text);
    const struct schema_input input = {
        .root = root, .source = source, .digest = 1, .diags = &ret->diags};
    ret->result = schema_decode(&input, &ret->output);
    arena_fini(&arena);
    conf_source_unref(source);
}

void schema_fixture_fini(struct schema_fixture *fixture)
{
    schema_output_fini(&fixture->output);
    diags_fini(&fixture->diags);
}

/* One line a finding: "RG013 spec.field". */
static void list_findings(const struct diags *diags, struct buf *out)
{
    for (unsigned i = 0; i < diags->count; i++)
        buf_printf(out, "%s %s\n", diag_code_text(diags->items[i]->code), diags->items[i]->field);
}

void schema_fixture_expect(const char *text, const char *findings, bool is_good)
{
    struct schema_fixture decoded;
    struct buf out;
    schema_fixture_decode(text, &decoded);
    buf_init(&out, 65536);
    list_findings(&decoded.diags, &out);
    if (!span_equal_str(buf_span(&out), findings) || decoded.output.is_good != is_good)
        fail_msg("%s\nfound:\n%sexpected:\n%s", text, buf_str(&out), findings);
    /* A refused object still says who it is. */
    const struct conf_object *object = decoded.output.object;
    if (object != NULL && !is_good)
        assert_true((object->spec != NULL) == (object->kind == CONF_KIND_BACKEND_TLS_POLICY ||
                                               object->kind == CONF_KIND_RATE_LIMIT_POLICY));
    buf_fini(&out);
    schema_fixture_fini(&decoded);
}
