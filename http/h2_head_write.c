/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_head.h"

#include <errno.h>

#include "base/panic.h"
#include "http/chars.h"
#include "http/field.h"

#define WRITE_EXTRA 8u /* pseudo fields, Content-Length, Date, TE, Expect */
#define WRITE_FIELD_OVERHEAD 32u /* RFC 9113 6.5.2 */

static bool write_begin(struct arena *arena, unsigned fields, struct h2_head_block *ret)
{
    *ret = (struct h2_head_block){
        .nv = arena_alloc(arena, (fields + WRITE_EXTRA) * sizeof(nghttp2_nv)),
    };
    return ret->nv != NULL;
}

/* The spans are read only; nghttp2 copies them. */
static uint8_t *write_bytes(struct span s)
{
    return (uint8_t *)(uintptr_t)(s.ptr != NULL ? s.ptr : "");
}

static void write_put(struct h2_head_block *block, struct span name, struct span value)
{
    ASSERT(chars_is_value(value));
    value = span_trim(value); /* a configured one may have spaces at its edges */
    block->nv[block->count++] = (nghttp2_nv){
        .name = write_bytes(name),
        .namelen = name.len,
        .value = write_bytes(value),
        .valuelen = value.len,
    };
    block->bytes += name.len + value.len + WRITE_FIELD_OVERHEAD;
}

/* false: arena full. */
static bool write_field(struct arena *arena, const struct http_field *field,
                        struct h2_head_block *block)
{
    struct span name = field->name;
    if (field->id != HTTP_HEADER_OTHER) {
        name = http_header_name(field->id);
    } else {
        size_t i = 0;
        ASSERT(chars_is_token(name));
        while (i < name.len && !(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z'))
            i++;
        if (i < name.len) {
            char *lower = arena_alloc_aligned(arena, name.len, 1);
            if (lower == NULL)
                return false;
            span_lower_to(name, lower);
            name = span_make(lower, name.len);
        }
    }
    write_put(block, name, field->value);
    return true;
}

/* Fields that are neither hop-by-hop nor framing nor one of the two that are written anew. */
static bool write_fields(struct http_head *head, struct h2_head_block *block)
{
    for (unsigned i = 0; i < head->fields_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->removed || field->id == HTTP_HEADER_HOST || field->id == HTTP_HEADER_EXPECT ||
            http_header_has(field->id, HTTP_HEADER_HOP | HTTP_HEADER_FRAMING))
            continue;
        if (!write_field(head->arena, field, block))
            return false;
    }
    return true;
}

static bool write_length(struct http_head *head, struct h2_head_block *block)
{
    struct span text = arena_number(head->arena, (uint64_t)head->content_length);
    if (text.ptr == NULL)
        return false;
    write_put(block, SPAN_LIT("content-length"), text);
    return true;
}

/* gRPC servers want to see that trailers arrive. TE is hop-by-hop, so it was
 * removed from the head; this is our own, for we do pass them on. */
static bool write_wants_trailers(const struct http_head *head)
{
    if (!http_head_may_have(head, http_header_bit(HTTP_HEADER_TE, true)))
        return false;
    for (unsigned i = 0; i < head->fields_count; i++)
        if (head->fields[i].id == HTTP_HEADER_TE &&
            field_list_has(head->fields[i].value, SPAN_LIT("trailers")))
            return true;
    return false;
}

static bool write_is_target(struct span s)
{
    return chars_is_value(s) && span_find_char(s, ' ') < 0 && span_find_char(s, '\t') < 0;
}

static bool write_pseudo(struct http_head *head, bool secure, struct h2_head_block *block)
{
    ASSERT(chars_is_token(head->method_text));
    ASSERT(head->path.len > 0 && write_is_target(head->path) && write_is_target(head->query));
    bool tunnel = head->upgrade.len > 0;
    struct span path = head->path;
    if (head->has_query)
        path = arena_printf(head->arena, "%.*s?%.*s", SPAN_ARG(head->path), SPAN_ARG(head->query));
    if (path.ptr == NULL)
        return false;
    write_put(block, SPAN_LIT(":method"), tunnel ? SPAN_LIT("CONNECT") : head->method_text);
    if (tunnel)
        write_put(block, SPAN_LIT(":protocol"), head->upgrade);
    write_put(block, SPAN_LIT(":scheme"), secure ? SPAN_LIT("https") : SPAN_LIT("http"));
    if (head->authority.len > 0)
        write_put(block, SPAN_LIT(":authority"), head->authority);
    write_put(block, SPAN_LIT(":path"), path);
    return true;
}

int h2_head_write_request(struct http_head *head, bool secure, struct h2_head_block *ret)
{
    ASSERT(!head->is_response);
    if (!write_begin(head->arena, head->fields_count, ret) || !write_pseudo(head, secure, ret) ||
        !write_fields(head, ret))
        return -ENOBUFS;
    bool announce = head->content_length > 0 ||
                    (head->content_length == 0 && http_method_announces_empty(head->method));
    if (announce && !write_length(head, ret))
        return -ENOBUFS;
    if (head->expect_continue)
        write_put(ret, SPAN_LIT("expect"), SPAN_LIT("100-continue"));
    if (write_wants_trailers(head))
        write_put(ret, SPAN_LIT("te"), SPAN_LIT("trailers"));
    return 0;
}

int h2_head_write_response(struct http_head *head, struct span date, struct h2_head_block *ret)
{
    ASSERT(head->status >= 100 && head->status <= 599);
    unsigned status = head->status == 101 ? 200 : head->status;
    struct span text = arena_number(head->arena, status);
    if (text.ptr == NULL || !write_begin(head->arena, head->fields_count, ret))
        return -ENOBUFS;
    write_put(ret, SPAN_LIT(":status"), text);
    if (!write_fields(head, ret))
        return -ENOBUFS;
    bool announce = head->content_length >= 0 && head->status >= 200 && head->status != 204;
    if (announce && !write_length(head, ret))
        return -ENOBUFS;
    if (date.len > 0 && head->status >= 200 && http_head_find_id(head, HTTP_HEADER_DATE) == NULL)
        write_put(ret, SPAN_LIT("date"), date);
    return 0;
}

int h2_head_write_trailers(struct http_head *trailers, struct h2_head_block *ret)
{
    if (!write_begin(trailers->arena, trailers->fields_count, ret) || !write_fields(trailers, ret))
        return -ENOBUFS;
    return 0;
}
