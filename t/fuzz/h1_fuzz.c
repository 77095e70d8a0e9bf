/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "http/h1_parse.h"
#include "http/uri.h"
#include "t/fuzz/fuzz.h"

/* Heads and trailers: the verdict does not depend on how the bytes arrive, and what is accepted
 * keeps the promises of http/message.h. First byte: what it is; second: the size of the pieces. */

struct verdict {
    ssize_t size; /* of the head; 0: more is wanted; < 0: minus the scan's error */
    enum http_error error; /* of the parser */
    struct http_head *head;
    struct arena arena;
};

static enum http_error parse(enum h1_scan_kind kind, const struct h1_parse *how, struct span head,
                             struct http_head **ret)
{
    switch (kind) {
    case H1_SCAN_REQUEST:
        return h1_parse_request(how, head, ret);
    case H1_SCAN_RESPONSE:
        return h1_parse_response(how, head, ret);
    default:
        return h1_parse_trailers(how, head, ret);
    }
}

static void read_head(struct verdict *v, enum h1_scan_kind kind, struct span data, size_t step)
{
    struct http_limits limits;
    struct h1_scan scan = {0};
    *v = (struct verdict){0};
    arena_init(&v->arena, 4096, 256 * 1024, NULL);
    http_limits_default(&limits);
    for (size_t seen = MIN(step, data.len);; seen = MIN(seen + step, data.len)) {
        v->size = h1_scan_run(&scan, kind, span_make(data.ptr, seen), &limits);
        if (v->size != 0 || seen == data.len)
            break;
    }
    if (v->size <= 0)
        return;
    struct h1_parse how = {.arena = &v->arena, .limits = &limits, .lines = scan.lines};
    /* A block of its own: nothing beyond the head may be looked at. */
    char *copy = fuzz_copy((const uint8_t *)data.ptr, (size_t)v->size);
    v->error = parse(kind, &how, span_make(copy, (size_t)v->size), &v->head);
    free(copy); /* the head has its own bytes */
}

static void check_fields(const struct http_head *head)
{
    for (unsigned i = 0; i < head->fields_count; i++) {
        const struct http_field *field = &head->fields[i];
        ASSERT(field->name.len > 0);
        ASSERT(span_find_char(field->name, ':') < 0 && span_find_char(field->name, ' ') < 0);
        ASSERT(span_find_char(field->value, '\r') < 0 && span_find_char(field->value, '\n') < 0);
        ASSERT(span_find_char(field->value, '\0') < 0);
        ASSERT(span_trim(field->value).len == field->value.len);
    }
}

static void check_request(struct arena *arena, const struct http_head *head)
{
    struct span again;
    ASSERT(!(head->chunked && head->content_length >= 0));
    if (head->path.len > 0 && head->path.ptr[0] == '/') {
        ASSERT(uri_normalize_path(arena, head->path, &again) == 0);
        ASSERT(span_equal(again, head->path));
    }
    ASSERT(!head->has_query || uri_is_query(head->query));
}

const uint64_t fuzz_rounds = 200000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verdict whole, split;
    if (size < 2)
        return 0;
    enum h1_scan_kind kind = (enum h1_scan_kind)(data[0] % 3);
    size_t step = data[1] % 32u + 1;
    char *copy = fuzz_copy(data + 2, size - 2);
    struct span bytes = span_make(copy, size - 2);

    read_head(&whole, kind, bytes, MAX(bytes.len, (size_t)1));
    read_head(&split, kind, bytes, step);
    ASSERT(whole.size == split.size && whole.error == split.error);
    if (whole.size > 0 && whole.error == HTTP_ERROR_NONE && whole.head != NULL) {
        check_fields(whole.head);
        if (kind == H1_SCAN_REQUEST)
            check_request(&whole.arena, whole.head);
    }
    arena_fini(&whole.arena);
    arena_fini(&split.arena);
    free(copy);
    return 0;
}
