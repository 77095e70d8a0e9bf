/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/diag.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/panic.h"
#include "conf/objects.h"

/* Widest part of a source line that an excerpt shows, in characters. */
#define EXCERPT_WIDTH 110
/* Longest name that is compared letter by letter; longer ones get no suggestion. */
#define DISTANCE_MAX 96

static const struct {
    const char *text, *title;
    enum diag_severity severity;
} codes[] = {
#define DIAG_CODE(id, text, severity, title) [DIAG_##id] = {text, title, severity},
#include "conf/diag_codes.tbl"
#undef DIAG_CODE
};

const char *diag_code_text(enum diag_code code)
{
    ASSERT(code < DIAG_CODE_COUNT);
    return codes[code].text;
}

enum diag_severity diag_code_severity(enum diag_code code)
{
    ASSERT(code < DIAG_CODE_COUNT);
    return codes[code].severity;
}

const char *diag_code_title(enum diag_code code)
{
    ASSERT(code < DIAG_CODE_COUNT);
    return codes[code].title;
}

void diags_init(struct diags *diags)
{
    *diags = (struct diags){0};
}

void diags_fini(struct diags *diags)
{
    for (unsigned i = 0; i < diags->count; i++)
        free(diags->items[i]);
    free(diags->items);
    *diags = (struct diags){0};
}

static struct diag *diags_append(struct diags *diags)
{
    if (diags->count == diags->cap) {
        diags->cap = diags->cap ? diags->cap * 2 : 16;
        diags->items = xrealloc(diags->items, diags->cap * sizeof(*diags->items));
    }
    struct diag *diag = xcalloc(1, sizeof(*diag));
    diags->items[diags->count++] = diag;
    return diag;
}

struct diag *diags_add(struct diags *diags, enum diag_code code, const struct conf_object *object,
                       struct conf_pos pos)
{
    static struct diag scratch;
    ASSERT(code < DIAG_CODE_COUNT);
    struct diag *diag = &scratch;
    if (diags && codes[code].severity == DIAG_ERROR)
        diags->errors++;
    else if (diags)
        diags->warnings++;
    if (diags && diags->count < DIAGS_MAX)
        diag = diags_append(diags);
    else if (diags)
        diags->dropped++;
    if (diag == &scratch)
        scratch = (struct diag){0};
    diag->code = code;
    diag->pos = pos;
    if (object) {
        diag->source = object->source;
        diag->object_pos = object->pos;
        if (pos.line == 0)
            diag->pos = object->pos;
        snprintf(diag->object, sizeof(diag->object), "%s %.*s%s%.*s", conf_kind_name(object->kind),
                 SPAN_ARG(object->ns), object->ns.len > 0 ? "/" : "", SPAN_ARG(object->name));
    }
    return diag;
}

uint64_t diags_digest(const struct diags *diags)
{
    uint64_t digest = (uint64_t)diags->count + diags->dropped;
    for (unsigned i = 0; i < diags->count; i++) {
        const struct diag *diag = diags->items[i];
        const uint32_t place[] = {(uint32_t)diag->code, diag->pos.line, diag->pos.column};
        const char *const texts[] = {diag->source != NULL ? diag->source->path : "",
                                     diag->object,
                                     diag->field,
                                     diag->message,
                                     diag->hint,
                                     diag->condition,
                                     diag->consequence};
        digest = hash_fast(span_make(place, sizeof(place)), digest);
        for (unsigned j = 0; j < ARRAY_COUNT(texts); j++)
            digest = hash_fast(span_str(texts[j]), digest);
    }
    return digest;
}

#define DEFINE_SETTER(member)                                                                      \
    void diag_##member(struct diag *diag, const char *format, ...)                                 \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        vsnprintf(diag->member, sizeof(diag->member), format, args);                               \
        va_end(args);                                                                              \
    }

DEFINE_SETTER(field)
DEFINE_SETTER(message)
DEFINE_SETTER(hint)
DEFINE_SETTER(condition)
DEFINE_SETTER(consequence)

static unsigned char fold(char c)
{
    return ascii_lower((unsigned char)c);
}

/* Damerau-Levenshtein distance (optimal string alignment) without regard to case, with three rows;
 * gives up and returns limit + 1 when a whole row is above the limit. */
static unsigned distance(struct span a, struct span b, unsigned limit)
{
    unsigned rows[3][DISTANCE_MAX + 1];
    unsigned *before = rows[0], *prev = rows[1], *row = rows[2];
    for (unsigned j = 0; j <= b.len; j++)
        prev[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned best = row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            bool same = fold(a.ptr[i - 1]) == fold(b.ptr[j - 1]);
            unsigned cost = prev[j - 1] + (same ? 0 : 1);
            cost = MIN(cost, prev[j] + 1);
            cost = MIN(cost, row[j - 1] + 1);
            if (i > 1 && j > 1 && fold(a.ptr[i - 1]) == fold(b.ptr[j - 2]) &&
                fold(a.ptr[i - 2]) == fold(b.ptr[j - 1]))
                cost = MIN(cost, before[j - 2] + 1);
            row[j] = cost;
            best = MIN(best, cost);
        }
        if (best > limit)
            return limit + 1;
        unsigned *free_row = before;
        before = prev;
        prev = row;
        row = free_row;
    }
    return prev[b.len];
}

const char *diag_did_you_mean(struct span wrong, const char *const *candidates, unsigned count)
{
    const char *found = NULL;
    unsigned limit = MAX((unsigned)wrong.len / 3, 1u);
    if (wrong.len == 0 || wrong.len > DISTANCE_MAX)
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        struct span candidate = span_str(candidates[i]);
        if (candidate.len == 0 || candidate.len > DISTANCE_MAX || span_equal(wrong, candidate))
            continue;
        if (candidate.len > wrong.len + limit || wrong.len > candidate.len + limit)
            continue;
        unsigned d = distance(wrong, candidate, limit);
        if (d == 0) /* but for the case */
            return candidates[i];
        /* Replacing every letter of a short name is no likeness. */
        if (d > limit || d >= wrong.len)
            continue;
        found = candidates[i];
        limit = d - 1;
    }
    return found;
}

struct sort_item {
    struct diag *diag;
    unsigned index;
};

static int sort_compare(const void *left, const void *right)
{
    const struct sort_item *a = left, *b = right;
    const char *path_a = a->diag->source && a->diag->source->path ? a->diag->source->path : "";
    const char *path_b = b->diag->source && b->diag->source->path ? b->diag->source->path : "";
    int order = path_a == path_b ? 0 : strcmp(path_a, path_b);
    if (order != 0)
        return order;
    if (a->diag->pos.line != b->diag->pos.line)
        return a->diag->pos.line < b->diag->pos.line ? -1 : 1;
    if (a->diag->pos.column != b->diag->pos.column)
        return a->diag->pos.column < b->diag->pos.column ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

void diags_sort(struct diags *diags)
{
    if (diags->count < 2)
        return;
    struct sort_item *items = xcalloc(diags->count, sizeof(*items));
    for (unsigned i = 0; i < diags->count; i++)
        items[i] = (struct sort_item){diags->items[i], i};
    qsort(items, diags->count, sizeof(*items), sort_compare);
    for (unsigned i = 0; i < diags->count; i++)
        diags->items[i] = items[i].diag;
    free(items);
}

/* Terminals obey control characters, and files may hold any: none is printed. */
static void print_clean(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0) {
            buf_add_char(out, '?');
            i++;
        } else {
            buf_add_char(out, c == '\t' ? ' ' : c < 0x20 || c == 0x7f ? '?' : (char)c);
        }
    }
}

static struct span source_line(const struct conf_source *source, unsigned line)
{
    const char *at = source->text, *end = at + source->text_len;
    for (unsigned i = 1; i < line && at; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at && at + 1 <= end ? at + 1 : NULL;
    }
    if (!at || at >= end)
        return SPAN_NONE;
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    stop = stop ? stop : end;
    if (stop > at && stop[-1] == '\r')
        stop--;
    return span_make(at, (size_t)(stop - at));
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Bytes of the first `characters` characters of text (UTF-8). */
static size_t characters_to_bytes(struct span text, size_t characters)
{
    size_t i = 0;
    while (i < text.len && characters > 0) {
        i++;
        while (i < text.len && is_continuation(text.ptr[i]))
            i++;
        characters--;
    }
    return i;
}

static size_t count_characters(struct span text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += !is_continuation(text.ptr[i]);
    return count;
}

static void print_excerpt(const struct diag *diag, struct buf *out, bool color)
{
    struct span line = source_line(diag->source, diag->pos.line);
    size_t column = diag->pos.column > 0 ? diag->pos.column - 1 : 0;
    size_t width = count_characters(line);
    if (line.len == 0)
        return;
    /* A long line is cut so that the place and what follows it are seen. */
    size_t skip = column > EXCERPT_WIDTH * 2 / 3 && width > EXCERPT_WIDTH ? column - 40 : 0;
    line = span_skip(line, characters_to_bytes(line, skip));
    line.len = characters_to_bytes(line, EXCERPT_WIDTH);
    column = MIN(column - skip, count_characters(line));
    buf_printf(out, "%5u | ", diag->pos.line);
    print_clean(out, line);
    size_t length = MAX(diag->length, 1u), left = count_characters(line) - column;
    length = length > left && left > 0 ? left : length;
    buf_printf(out, "\n      | %*s%s^", (int)column, "", color ? "\033[32;1m" : "");
    for (size_t i = 1; i < length; i++)
        buf_add_char(out, '~');
    buf_add_str(out, color ? "\033[0m" : "");
}

static void print_one(const struct diag *diag, struct buf *out, bool color)
{
    bool is_error = codes[diag->code].severity == DIAG_ERROR;
    if (diag->source && diag->source->path) {
        print_clean(out, span_str(diag->source->path));
        if (diag->pos.line > 0)
            buf_printf(out, ":%u:%u", diag->pos.line, MAX(diag->pos.column, 1u));
        buf_add_str(out, ": ");
    }
    buf_printf(out, "%s%s[%s]%s ",
               !color     ? ""
               : is_error ? "\033[31;1m"
                          : "\033[33;1m",
               is_error ? "error" : "warning", codes[diag->code].text, color ? "\033[0m" : "");
    const char *parts[] = {diag->object, diag->field,
                           diag->message[0] ? diag->message : codes[diag->code].title};
    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++) {
        print_clean(out, span_str(parts[i]));
        if (i + 1 < ARRAY_COUNT(parts) && parts[i][0])
            buf_add_str(out, ": ");
    }
    buf_add_char(out, '\n');
    bool is_secret = strncmp(diag->object, "Secret ", 7) == 0;
    size_t mark = out->len;
    if (diag->source && diag->source->text && diag->pos.line > 0 && !is_secret)
        print_excerpt(diag, out, color);
    if (diag->hint[0]) {
        buf_add_str(out, out->len > mark ? " " : "      | ");
        print_clean(out, span_str(diag->hint));
    }
    if (out->len > mark)
        buf_add_char(out, '\n');
    if (diag->condition[0] || diag->consequence[0]) {
        buf_printf(out, "      = %s%s%s", diag->condition[0] ? "Kubernetes would show: " : "",
                   diag->condition, diag->condition[0] && diag->consequence[0] ? "; " : "");
        print_clean(out, span_str(diag->consequence));
        buf_add_char(out, '\n');
    }
}

void diags_print(const struct diags *diags, struct buf *out, bool color)
{
    for (unsigned i = 0; i < diags->count; i++)
        print_one(diags->items[i], out, color);
    if (diags->dropped > 0)
        buf_printf(out, "%u more findings are not shown.\n", diags->dropped);
    if (diags->refused > 0)
        buf_printf(out,
                   "%u object%s with errors %s not looked at further: more findings may follow "
                   "when they are mended.\n",
                   diags->refused, diags->refused == 1 ? "" : "s",
                   diags->refused == 1 ? "was" : "were");
    buf_printf(out, "%u error%s, %u warning%s.\n", diags->errors, diags->errors == 1 ? "" : "s",
               diags->warnings, diags->warnings == 1 ? "" : "s");
}

static void json_text(struct json_out *out, const char *key, const char *text)
{
    if (!text[0])
        return;
    json_out_key(out, key);
    json_out_str(out, text);
}

static void json_number(struct json_out *out, const char *key, unsigned number)
{
    json_out_key(out, key);
    json_out_int(out, number);
}

static void json_one(const struct diag *diag, struct json_out *out)
{
    bool is_error = codes[diag->code].severity == DIAG_ERROR;
    json_out_object_begin(out);
    json_text(out, "severity", is_error ? "error" : "warning");
    json_text(out, "code", codes[diag->code].text);
    json_text(out, "title", codes[diag->code].title);
    if (diag->source && diag->source->path)
        json_text(out, "file", diag->source->path);
    if (diag->pos.line > 0) {
        json_number(out, "line", diag->pos.line);
        json_number(out, "column", MAX(diag->pos.column, 1u));
        json_number(out, "length", MAX(diag->length, 1u));
    }
    json_text(out, "object", diag->object);
    json_text(out, "field", diag->field);
    json_text(out, "message", diag->message);
    json_text(out, "hint", diag->hint);
    json_text(out, "condition", diag->condition);
    json_text(out, "consequence", diag->consequence);
    json_out_object_end(out);
}

void diags_json(const struct diags *diags, struct json_out *out)
{
    json_out_object_begin(out);
    json_number(out, "errors", diags->errors);
    json_number(out, "warnings", diags->warnings);
    json_number(out, "dropped", diags->dropped);
    json_number(out, "refused", diags->refused);
    json_out_key(out, "findings");
    json_out_array_begin(out);
    for (unsigned i = 0; i < diags->count; i++)
        json_one(diags->items[i], out);
    json_out_array_end(out);
    json_out_object_end(out);
}
