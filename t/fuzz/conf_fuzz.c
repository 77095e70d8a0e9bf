/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "conf/diag_place.h"
#include "conf/doc.h"
#include "conf/schema.h"
#include "conf/translate.h"
#include "t/fuzz/fuzz.h"

/* Documents through reader, decoder and translator to model, statuses and findings: total, whatever
 * comes. */

struct loading {
    const struct conf_source *source;
    struct objects *objects;
    struct diags diags;
};

static void load_document(struct loading *loading, struct span piece, uint32_t line)
{
    struct arena arena;
    struct doc_node *root = NULL;
    struct err err;
    arena_init(&arena, 16384, 64u << 20, NULL);
    if (doc_parse(&arena, piece, line, &root, &err) == 0 && root != NULL) {
        struct schema_input input = {
            .root = root, .source = loading->source, .diags = &loading->diags};
        struct schema_output output = {0};
        if (schema_decode(&input, &output) == 0) {
            ASSERT(output.object != NULL);
            if (output.is_good)
                (void)!objects_add(loading->objects, output.object, NULL); /* twice: the first */
            schema_output_fini(&output);
        }
    }
    arena_fini(&arena);
}

static void translate_all(struct loading *loading)
{
    struct translate_options options = {.from_files = true, .generation = 1};
    struct model *model;
    struct statuses *statuses;
    struct buf out;

    translate(loading->objects, &options, &loading->diags, &model, &statuses);
    buf_init(&out, 16u << 20);
    model_dump(model, &out);
    for (unsigned i = 0; i < statuses->count; i++)
        status_format(&statuses->items[i], "2026-01-01T00:00:00Z", SPAN_NONE, &out);
    diag_place_all(&loading->diags);
    diags_print(&loading->diags, &out, false);
    ASSERT(loading->diags.errors + loading->diags.warnings >= loading->diags.count);
    buf_fini(&out);
    model_free(model);
    statuses_free(statuses);
}

const uint64_t fuzz_rounds = 20000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t piece_line;
    struct span piece;
    /* Findings show excerpts, so the source has the text too. */
    struct conf_source *source = conf_source_new("fuzz.yaml", fuzz_copy(data, size), size);
    struct doc_cut cut = doc_cut_begin(span_make(source->text, size));
    struct loading loading = {.source = source, .objects = objects_new()};

    diags_init(&loading.diags);
    while (doc_split(&cut, &piece, &piece_line)) {
        size_t begin = cut.offset - piece.len;
        ASSERT(doc_ends_at(span_skip(cut.text, begin), piece.len));
        load_document(&loading, piece, piece_line);
    }
    objects_seal(loading.objects);
    translate_all(&loading);
    diags_fini(&loading.diags);
    objects_unref(loading.objects);
    conf_source_unref(source);
    return 0;
}
