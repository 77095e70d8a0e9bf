/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/diag_place.h"

#include "conf/doc.h"

#define TREE_CHUNK 65536
#define TREE_SIZE_MAX (256u << 20)

/* Goes once through a file, as sorted findings do. */
struct placing {
    const struct conf_source *source;
    struct doc_cut cut; /* its line: the first one after the document */
    struct doc_node *root; /* the document's; NULL: it cannot be parsed */
    struct arena arena;
};

static void read_document(struct placing *placing, struct span piece, uint32_t line)
{
    struct err err;
    arena_reset(&placing->arena);
    if (doc_parse(&placing->arena, piece, line, &placing->root, &err) != 0)
        placing->root = NULL; /* a finding of its own says why */
}

/* Makes root the document that has the line. */
static void seek(struct placing *placing, const struct conf_source *source, uint32_t line)
{
    uint32_t first = 0;
    struct span piece = SPAN_NONE;
    if (placing->source != source) {
        placing->source = source;
        placing->cut = doc_cut_begin(span_make(source->text, source->text_len));
        placing->root = NULL;
    }
    while (placing->cut.line <= line && doc_split(&placing->cut, &piece, &first))
        continue;
    if (piece.len > 0)
        read_document(placing, piece, first);
}

static bool is_at(const struct doc_node *node, struct conf_pos pos)
{
    return node->pos.line == pos.line && node->pos.column == pos.column;
}

/* The object that begins there: the document, or an item of a List. */
static const struct doc_node *find_object(const struct doc_node *root, struct conf_pos pos)
{
    if (root == NULL || is_at(root, pos))
        return root;
    const struct doc_node *items = doc_find(root, "items");
    const struct doc_node *item = items != NULL ? items->first : NULL;
    while (item != NULL && !is_at(item, pos))
        item = item->next;
    return item;
}

/* "[key]" of a map or "[0]" of a list. */
static const struct doc_node *step_bracket(const struct doc_node *node, struct span *path)
{
    struct span inner, rest;
    uint64_t index;
    const struct doc_node *child = node->first;
    if (!span_split(span_skip(*path, 1), ']', &inner, &rest))
        return NULL;
    *path = rest;
    if (node->type == DOC_LIST && span_to_u64(inner, UINT32_MAX, &index) != 0)
        return NULL;
    while (child != NULL && (node->type == DOC_LIST ? index-- > 0 : !span_equal(child->key, inner)))
        child = child->next;
    return child;
}

/* "key": the longest that fits, since keys of annotations have dots. */
static const struct doc_node *step_name(const struct doc_node *node, struct span *path)
{
    const struct doc_node *found = NULL;
    for (const struct doc_node *child = node->first; child != NULL; child = child->next) {
        struct span rest;
        if (!span_starts_with(*path, child->key))
            continue;
        rest = span_skip(*path, child->key.len);
        if (rest.len > 0 && rest.ptr[0] != '.' && rest.ptr[0] != '[')
            continue;
        if (found == NULL || child->key.len > found->key.len)
            found = child;
    }
    if (found != NULL)
        *path = span_skip(*path, found->key.len);
    return found;
}

static const struct doc_node *find_field(const struct doc_node *node, struct span path)
{
    while (node != NULL && path.len > 0) {
        if (path.ptr[0] == '.')
            path = span_skip(path, 1);
        if (path.len > 0 && path.ptr[0] == '[')
            node = step_bracket(node, &path);
        else
            node = node->type == DOC_MAP ? step_name(node, &path) : NULL;
    }
    return node;
}

static void place(struct diag *diag, const struct doc_node *node)
{
    bool is_given =
        diag->pos.line != diag->object_pos.line || diag->pos.column != diag->object_pos.column;
    if (node->type == DOC_SCALAR) {
        diag->pos = node->pos;
        diag->length = doc_width(node);
    } else if (node->key.len > 0) {
        diag->pos = node->key_pos;
        diag->length = doc_key_width(node);
    } else if (!is_given) {
        diag->pos = node->pos; /* else something in the item was chosen to stand for it */
    }
}

void diag_place_all(struct diags *diags)
{
    struct placing placing = {0};
    arena_init(&placing.arena, TREE_CHUNK, TREE_SIZE_MAX, NULL);
    diags_sort(diags);
    for (unsigned i = 0; i < diags->count; i++) {
        struct diag *diag = diags->items[i];
        if (diag->object_pos.line == 0 || diag->field[0] == '\0' || diag->source == NULL ||
            diag->source->text == NULL)
            continue;
        seek(&placing, diag->source, diag->object_pos.line);
        const struct doc_node *object = find_object(placing.root, diag->object_pos);
        const struct doc_node *field = find_field(object, span_str(diag->field));
        if (field != NULL)
            place(diag, field);
    }
    arena_fini(&placing.arena);
    diags_sort(diags);
}
