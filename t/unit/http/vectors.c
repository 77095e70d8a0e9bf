/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/panic.h"
#include "http/chars.h"

/* The file has one member a line, in a fixed order, so lines are all there is to parse. */

static struct vector vectors_table[VECTORS_MAX];
static size_t vectors_count;

/* The text between the quotes of `"key": "text"`. false: another line. */
static bool vectors_text(const char *line, const char *key, struct span *ret)
{
    char start[32];
    snprintf(start, sizeof(start), "\"%s\": \"", key);
    const char *at = strstr(line, start);
    if (at == NULL)
        return false;
    at += strlen(start);
    const char *end = strrchr(at, '"');
    ASSERT(end != NULL);
    *ret = span_make(at, (size_t)(end - at));
    return true;
}

static void vectors_line(const char *line)
{
    struct span text;
    struct vector *v = vectors_count > 0 ? &vectors_table[vectors_count - 1] : NULL;
    if (vectors_text(line, "name", &text)) {
        ASSERT(vectors_count < VECTORS_MAX && text.len < sizeof(v->name));
        v = &vectors_table[vectors_count++];
        memcpy(v->name, text.ptr, text.len);
    } else if (v != NULL && vectors_text(line, "kind", &text)) {
        v->is_response = span_equal_str(text, "response");
    } else if (v != NULL && strstr(line, "\"status\": ") != NULL) {
        v->status = (unsigned)strtoul(strstr(line, "\": ") + 3, NULL, 10);
    } else if (v != NULL && vectors_text(line, "hex", &text)) {
        ASSERT(text.len / 2 <= sizeof(v->bytes));
        for (v->len = 0; v->len < text.len / 2; v->len++)
            v->bytes[v->len] =
                (char)(chars_hex(text.ptr[2 * v->len]) * 16 + chars_hex(text.ptr[2 * v->len + 1]));
    }
}

size_t vectors_load(const struct vector **ret)
{
    *ret = vectors_table;
    if (vectors_count > 0)
        return vectors_count;
    const char *top = getenv("abs_top_srcdir");
    char path[4096], line[8192];
    snprintf(path, sizeof(path), "%s/t/data/http1.json", top ? top : ".");
    FILE *file = fopen(path, "r");
    ASSERT(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL)
        vectors_line(line);
    fclose(file);
    ASSERT(vectors_count > 80);
    return vectors_count;
}
