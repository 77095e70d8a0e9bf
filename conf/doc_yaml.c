/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/doc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

/* libyaml gives events; they are put together on an explicit stack of open
 * maps and lists, so neither depth nor width of the input touches ours.
 * Aliases are refused: without them a tree is never bigger than its text. */

struct build_level {
    struct doc_node *node;
    struct doc_node *last; /* newest child */
    bool has_key; /* a map: the key was read, its value is next */
    struct span key;
    struct conf_pos key_pos;
};

struct build {
    struct arena *arena;
    struct err *reterr;
    uint32_t line; /* of the piece's first line */
    unsigned nodes, depth;
    struct doc_node *root;
    struct build_level levels[DOC_DEPTH_MAX];
};

/* Marks count from 0, and characters, not bytes. */
static struct conf_pos pos_of(const struct build *b, const yaml_mark_t *mark)
{
    return (struct conf_pos){b->line + (uint32_t)mark->line, (uint32_t)mark->column + 1};
}

static int parser_error(const struct build *b, const yaml_parser_t *parser, struct span text)
{
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
    if (parser->error == YAML_READER_ERROR) {
        size_t offset = MIN(parser->problem_offset, text.len);
        unsigned line = b->line, column = 1;
        for (size_t i = 0; i < offset; i++) {
            column = text.ptr[i] == '\n' ? 1 : column + 1;
            line += text.ptr[i] == '\n';
        }
        return err_set_at(b->reterr, -EINVAL, line, column, "not valid text: %s", problem);
    }
    if (parser->error == YAML_MEMORY_ERROR)
        return err_set_at(b->reterr, -ENOMEM, b->line, 1, "no memory to parse the document");
    struct conf_pos pos = pos_of(b, &parser->problem_mark);
    if (parser->context != NULL && parser->context_mark.line != parser->problem_mark.line)
        return err_set_at(b->reterr, -EINVAL, pos.line, pos.column, "%s %s that begins in line %u",
                          problem, parser->context, pos_of(b, &parser->context_mark).line);
    return err_set_at(b->reterr, -EINVAL, pos.line, pos.column, "%s%s%s", problem,
                      parser->context != NULL ? " " : "",
                      parser->context != NULL ? parser->context : "");
}

static int compare_keys(const void *a, const void *b)
{
    const struct doc_node *x = *(const struct doc_node *const *)a;
    const struct doc_node *y = *(const struct doc_node *const *)b;
    int order = span_compare(x->key, y->key);
    if (order != 0)
        return order;
    return x->key_pos.line != y->key_pos.line ? (x->key_pos.line < y->key_pos.line ? -1 : 1)
                                              : (x->key_pos.column < y->key_pos.column ? -1 : 1);
}

static int duplicate_error(const struct build *b, const struct doc_node *first,
                           const struct doc_node *second)
{
    return err_set_at(b->reterr, -EEXIST, second->key_pos.line, second->key_pos.column,
                      "key \"%.*s\" is here twice, first in line %u",
                      (int)MIN(second->key.len, (size_t)80), second->key.ptr, first->key_pos.line);
}

/* Small maps are compared pair by pair; big ones are sorted, so that no text is quadratic. */
static int check_duplicates(const struct build *b, const struct doc_node *map)
{
    if (map->count <= 16) {
        for (const struct doc_node *x = map->first; x != NULL; x = x->next) {
            for (const struct doc_node *y = x->next; y != NULL; y = y->next) {
                if (span_equal(x->key, y->key))
                    return duplicate_error(b, x, y);
            }
        }
        return 0;
    }
    int r = 0;
    unsigned count = 0;
    const struct doc_node **sorted = xmalloc(map->count * sizeof(sorted[0]));
    for (const struct doc_node *x = map->first; x != NULL; x = x->next)
        sorted[count++] = x;
    qsort(sorted, count, sizeof(sorted[0]), compare_keys);
    for (unsigned i = 1; i < count && r == 0; i++) {
        if (span_equal(sorted[i - 1]->key, sorted[i]->key))
            r = duplicate_error(b, sorted[i - 1], sorted[i]);
    }
    free(sorted);
    return r;
}

/* The tags of YAML's own types say nothing we do not see; only !!str changes what a value is. */
static int check_tag(const struct build *b, const yaml_char_t *tag, struct conf_pos pos,
                     bool *ret_is_string)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    *ret_is_string = false;
    if (tag == NULL || (tag[0] == '!' && tag[1] == '\0'))
        return 0;
    const char *text = (const char *)tag;
    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return err_set_at(b->reterr, -EINVAL, pos.line, pos.column,
                          "tag \"%.80s\" is not known: leave it out", text);
    *ret_is_string = strcmp(text + sizeof(prefix) - 1, "str") == 0;
    return 0;
}

/* Adds a node as the next value of the open level, or as the root. */
static int node_add(struct build *b, enum doc_type type, struct conf_pos pos,
                    struct doc_node **ret)
{
    if (++b->nodes > DOC_NODES_MAX)
        return err_set_at(b->reterr, -E2BIG, pos.line, pos.column,
                          "document has more than %u values", DOC_NODES_MAX);
    struct doc_node *node = arena_new(b->arena, struct doc_node);
    if (node == NULL)
        return err_set_at(b->reterr, -ENOMEM, pos.line, pos.column,
                          "no memory to parse the document");
    node->type = type;
    node->pos = pos;
    *ret = node;
    if (b->depth == 0) {
        b->root = node;
        return 0;
    }
    struct build_level *level = &b->levels[b->depth - 1];
    if (level->node->type == DOC_MAP) {
        ASSERT(level->has_key);
        node->key = level->key;
        node->key_pos = level->key_pos;
        level->has_key = false;
    }
    if (level->last != NULL)
        level->last->next = node;
    else
        level->node->first = node;
    level->last = node;
    level->node->count++;
    return 0;
}

static bool key_is_next(const struct build *b)
{
    return b->depth > 0 && b->levels[b->depth - 1].node->type == DOC_MAP &&
           !b->levels[b->depth - 1].has_key;
}

static int on_scalar(struct build *b, const yaml_event_t *event)
{
    struct conf_pos pos = pos_of(b, &event->start_mark);
    struct span text = arena_copy(
        b->arena, span_make(event->data.scalar.value, event->data.scalar.length));
    if (text.ptr == NULL)
        return err_set_at(b->reterr, -ENOMEM, pos.line, pos.column,
                          "no memory to parse the document");
    if (key_is_next(b)) {
        struct build_level *level = &b->levels[b->depth - 1];
        level->key = text;
        level->key_pos = pos;
        level->has_key = true;
        return 0;
    }
    bool is_string;
    int r = check_tag(b, event->data.scalar.tag, pos, &is_string);
    struct doc_node *node;
    if (r == 0)
        r = node_add(b, DOC_SCALAR, pos, &node);
    if (r != 0)
        return r;
    node->text = text;
    node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !is_string;
    return 0;
}

static int on_begin(struct build *b, const yaml_event_t *event)
{
    struct conf_pos pos = pos_of(b, &event->start_mark);
    bool is_map = event->type == YAML_MAPPING_START_EVENT, is_string;
    if (key_is_next(b))
        return err_set_at(b->reterr, -EINVAL, pos.line, pos.column, "a key must be a plain word");
    if (b->depth == DOC_DEPTH_MAX)
        return err_set_at(b->reterr, -E2BIG, pos.line, pos.column,
                          "values are nested deeper than %d levels", DOC_DEPTH_MAX);
    int r = check_tag(b, is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag,
                      pos, &is_string);
    struct doc_node *node;
    if (r == 0)
        r = node_add(b, is_map ? DOC_MAP : DOC_LIST, pos, &node);
    if (r != 0)
        return r;
    b->levels[b->depth++] = (struct build_level){.node = node};
    return 0;
}

static int on_event(struct build *b, const yaml_event_t *event)
{
    struct conf_pos pos = pos_of(b, &event->start_mark);
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->root != NULL)
            return err_set_at(b->reterr, -EINVAL, pos.line, pos.column,
                              "a further document must begin with a line \"---\"");
        return 0;
    case YAML_ALIAS_EVENT:
        return err_set_at(b->reterr, -ELOOP, pos.line, pos.column,
                          "aliases are not supported: write the value of \"*%.60s\" out",
                          (const char *)event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return on_begin(b, event);
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return check_duplicates(b, b->levels[b->depth].node);
    case YAML_SEQUENCE_END_EVENT:
        b->depth--;
        return 0;
    default:
        return 0;
    }
}

int doc_parse(struct arena *arena, struct span text, uint32_t line, struct doc_node **ret,
              struct err *reterr)
{
    struct build b = {.arena = arena, .reterr = reterr, .line = line};
    if (text.len > DOC_SIZE_MAX)
        return err_set_at(reterr, -E2BIG, line, 1,
                          "document is longer than %u MiB: split it with lines \"---\"",
                          DOC_SIZE_MAX >> 20);
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return err_set_at(reterr, -ENOMEM, line, 1, "no memory to parse the document");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);

    int r = 0;
    bool is_end = false;
    while (r == 0 && !is_end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            r = parser_error(&b, &parser, text);
            break;
        }
        is_end = event.type == YAML_STREAM_END_EVENT;
        r = on_event(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (r == 0)
        *ret = b.root;
    return r;
}
