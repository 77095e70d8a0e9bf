/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/doc.h"

#include <string.h>

#include "base/hash.h"

#define WIDTH_MAX 200 /* of what is underlined */

static bool line_begins_document(const char *at, const char *end)
{
    if (end - at < 3 || memcmp(at, "---", 3) != 0)
        return false;
    return end - at == 3 || at[3] == ' ' || at[3] == '\t' || at[3] == '\r' || at[3] == '\n';
}

/* A piece before the first marker that holds only comments, blank lines and directives. */
static bool piece_is_blank(struct span piece)
{
    const char *at = piece.ptr, *end = at + piece.len;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop != NULL ? stop : end;
        const char *p = at;
        while (p < stop && (*p == ' ' || *p == '\t' || *p == '\r'))
            p++;
        bool is_directive = p == at && p < stop && *p == '%';
        if (p < stop && *p != '#' && !is_directive)
            return false;
        at = stop + 1;
    }
    return true;
}

static uint32_t count_lines(struct span text)
{
    const char *at = text.ptr, *end = at + text.len;
    uint32_t lines = 0;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        lines++;
        at++;
    }
    return lines;
}

/* Where the piece that begins at `start` ends: before the next marker line. */
static const char *piece_end(const char *start, const char *end)
{
    const char *at = start;
    while ((at = memmem(at, (size_t)(end - at), "\n---", 4)) != NULL) {
        if (line_begins_document(at + 1, end))
            return at + 1;
        at++;
    }
    return end;
}

struct doc_cut doc_cut_begin(struct span text)
{
    bool has_mark = span_starts_with(text, SPAN_LIT("\xef\xbb\xbf"));
    return (struct doc_cut){text, has_mark ? 3 : 0, 1};
}

bool doc_split(struct doc_cut *cut, struct span *ret, uint32_t *ret_line)
{
    ASSERT(cut->offset <= cut->text.len);
    const char *end = cut->text.ptr + cut->text.len;
    while (cut->offset < cut->text.len) {
        const char *start = cut->text.ptr + cut->offset;
        struct span piece = span_make(start, (size_t)(piece_end(start, end) - start));
        uint32_t line = cut->line;
        cut->offset += piece.len;
        cut->line += count_lines(piece);
        if (piece_is_blank(piece))
            continue;
        *ret = piece;
        *ret_line = line;
        return true;
    }
    return false;
}

bool doc_ends_at(struct span rest, size_t size)
{
    ASSERT(size > 0 && size <= rest.len);
    return size == rest.len || (rest.ptr[size - 1] == '\n' &&
                                line_begins_document(rest.ptr + size, rest.ptr + rest.len));
}

const struct doc_node *doc_find(const struct doc_node *node, const char *key)
{
    if (node == NULL || node->type != DOC_MAP)
        return NULL;
    for (const struct doc_node *child = node->first; child != NULL; child = child->next) {
        if (span_equal_str(child->key, key))
            return child;
    }
    return NULL;
}

static bool is_one_of(struct span text, const char *const *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (span_equal_str(text, words[i]))
            return true;
    }
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* 0x1f, 0o17, 0b1 */
static bool is_based_number(struct span s)
{
    if (s.len < 3 || s.ptr[0] != '0')
        return false;
    char base = s.ptr[1];
    if (base != 'x' && base != 'o' && base != 'b')
        return false;
    for (size_t i = 2; i < s.len; i++) {
        char c = s.ptr[i];
        bool is_hex = is_digit(c) || (ascii_lower((unsigned char)c) >= 'a' &&
                                      ascii_lower((unsigned char)c) <= 'f');
        if (c != '_' && !(base == 'x' ? is_hex : is_digit(c)))
            return false;
    }
    return true;
}

static enum doc_tag number_tag(struct span s)
{
    size_t i = 0, digits = 0;
    bool is_float = false;
    if (s.len > 0 && (s.ptr[0] == '+' || s.ptr[0] == '-'))
        i = 1;
    if (is_based_number(span_skip(s, i)))
        return DOC_TAG_INT;
    static const char *const specials[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
    if (is_one_of(span_skip(s, i), specials, ARRAY_COUNT(specials)))
        return DOC_TAG_FLOAT;
    for (; i < s.len && (is_digit(s.ptr[i]) || (s.ptr[i] == '_' && digits > 0)); i++)
        digits += is_digit(s.ptr[i]);
    if (i < s.len && s.ptr[i] == '.') {
        is_float = true;
        for (i++; i < s.len && is_digit(s.ptr[i]); i++)
            digits++;
    }
    if (digits == 0)
        return DOC_TAG_STRING;
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        size_t exponent = 0;
        is_float = true;
        i++;
        if (i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-'))
            i++;
        for (; i < s.len && is_digit(s.ptr[i]); i++)
            exponent++;
        if (exponent == 0)
            return DOC_TAG_STRING;
    }
    if (i < s.len)
        return DOC_TAG_STRING;
    return is_float ? DOC_TAG_FLOAT : DOC_TAG_INT;
}

enum doc_tag doc_tag_of(const struct doc_node *node)
{
    ASSERT(node->type == DOC_SCALAR);
    if (!node->is_plain)
        return DOC_TAG_STRING;
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const bools[] = {
        "true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes", "YES", "no", "No",
        "NO",   "on",   "On",   "ON",    "off",   "Off",   "OFF", "y",   "Y",   "n",  "N",
    };
    struct span text = node->text;
    if (text.len == 0)
        return DOC_TAG_NULL;
    char c = text.ptr[0];
    if (is_digit(c) || c == '.' || c == '+' || c == '-')
        return number_tag(text);
    if (text.len > 5)
        return DOC_TAG_STRING;
    if (is_one_of(text, nulls, ARRAY_COUNT(nulls)))
        return DOC_TAG_NULL;
    return is_one_of(text, bools, ARRAY_COUNT(bools)) ? DOC_TAG_BOOL : DOC_TAG_STRING;
}

bool doc_is_null(const struct doc_node *node)
{
    return node == NULL || (node->type == DOC_SCALAR && doc_tag_of(node) == DOC_TAG_NULL);
}

const char *doc_describe(const struct doc_node *node)
{
    if (node->type == DOC_MAP)
        return "a map";
    if (node->type == DOC_LIST)
        return "a list";
    switch (doc_tag_of(node)) {
    case DOC_TAG_STRING:
        return "a string";
    case DOC_TAG_BOOL:
        return "a boolean";
    case DOC_TAG_INT:
    case DOC_TAG_FLOAT:
        return "a number";
    case DOC_TAG_NULL:
        return "null";
    }
    UNREACHABLE();
}

unsigned doc_width(const struct doc_node *node)
{
    if (node->type != DOC_SCALAR || node->text.len == 0)
        return 0;
    return (unsigned)MIN(node->text.len, (size_t)WIDTH_MAX) + (node->is_plain ? 0 : 2);
}

unsigned doc_key_width(const struct doc_node *node)
{
    return (unsigned)MIN(node->key.len, (size_t)WIDTH_MAX);
}

/* The tree is at most DOC_DEPTH_MAX deep, so an explicit stack is small. */
uint64_t doc_hash(const struct doc_node *node, uint64_t seed)
{
    const struct doc_node *stack[DOC_DEPTH_MAX + 1];
    unsigned depth = 0;
    uint64_t hash = seed;
    while (node != NULL) {
        uint64_t head[2] = {(uint64_t)node->type + 1, node->count};
        hash = hash_fast(span_make(head, sizeof(head)), hash);
        hash = hash_fast(node->key, hash);
        hash = hash_fast(node->text, hash);
        if (node->first != NULL) {
            ASSERT(depth <= DOC_DEPTH_MAX);
            stack[depth++] = node;
            node = node->first;
            continue;
        }
        while (depth > 0 && node->next == NULL)
            node = stack[--depth];
        node = depth > 0 ? node->next : NULL;
    }
    return hash;
}
