/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/grpc.h"

#include <errno.h>

#include "base/clock.h"

#define TIMEOUT_DIGITS_MAX 8u
#define TIMEOUT_MAX_NS (20ull * 86400 * NS_PER_S)

bool grpc_is_request(const struct http_head *head)
{
    static const struct span grpc = {"application/grpc", 16};
    const struct http_field *type = http_head_find_id(head, HTTP_HEADER_CONTENT_TYPE);
    if (type == NULL || type->value.len < grpc.len ||
        !span_equal_fold(span_make(type->value.ptr, grpc.len), grpc))
        return false;
    struct span rest = span_trim(span_skip(type->value, grpc.len));
    return rest.len == 0 || rest.ptr[0] == '+' || rest.ptr[0] == ';';
}

static enum grpc_status status_of_http(unsigned status)
{
    switch (status) {
    case 400:
        return GRPC_STATUS_INTERNAL;
    case 401:
        return GRPC_STATUS_UNAUTHENTICATED;
    case 403:
        return GRPC_STATUS_PERMISSION_DENIED;
    case 404:
        return GRPC_STATUS_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_STATUS_UNAVAILABLE;
    default:
        return GRPC_STATUS_UNKNOWN;
    }
}

enum grpc_status grpc_status_of(enum outcome outcome, unsigned http_status)
{
    switch (outcome) {
    case OUTCOME_UPSTREAM_TIMEOUT:
        return GRPC_STATUS_DEADLINE_EXCEEDED;
    case OUTCOME_LIMITED:
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case OUTCOME_NO_BACKEND:
    case OUTCOME_STREAM_IDLE:
    case OUTCOME_DRAINED:
    case OUTCOME_UPSTREAM_TRUNCATED:
        return GRPC_STATUS_UNAVAILABLE;
    default:
        return status_of_http(http_status);
    }
}

enum grpc_status grpc_status_of_reset(uint32_t code)
{
    switch (code) { /* RFC 9113 7 */
    case 0x7: /* REFUSED_STREAM */
        return GRPC_STATUS_UNAVAILABLE;
    case 0x8: /* CANCEL */
        return GRPC_STATUS_CANCELLED;
    case 0xb: /* ENHANCE_YOUR_CALM */
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case 0xc: /* INADEQUATE_SECURITY */
        return GRPC_STATUS_PERMISSION_DENIED;
    default: /* unknown codes are INTERNAL_ERROR */
        return GRPC_STATUS_INTERNAL;
    }
}

/* Space to '~' but for '%' stand for themselves (PROTOCOL-HTTP2.md, Percent-Encoded). */
static bool is_plain(char c)
{
    return c >= ' ' && c <= '~' && c != '%';
}

static struct span message_encode(struct arena *arena, struct span text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++)
        len += is_plain(text.ptr[i]) ? 1 : 3;
    if (len == text.len)
        return text;
    char *out = arena_alloc_aligned(arena, len, 1), *at = out;
    if (out == NULL)
        return SPAN_NONE;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (is_plain(text.ptr[i])) {
            *at++ = text.ptr[i];
            continue;
        }
        *at++ = '%';
        *at++ = hex[c >> 4];
        *at++ = hex[c & 15];
    }
    return span_make(out, len);
}

bool grpc_status_write(struct http_head *head, enum grpc_status status, struct span message)
{
    struct span code = arena_printf(head->arena, "%d", (int)status);
    message = message_encode(head->arena, span_trim(message));
    return arena_ok(head->arena) && http_head_add_id(head, HTTP_HEADER_GRPC_STATUS, code) &&
           http_head_add_id(head, HTTP_HEADER_GRPC_MESSAGE, message);
}

struct span grpc_status_read(const struct http_head *head)
{
    const struct http_field *field = http_head_find_id(head, HTTP_HEADER_GRPC_STATUS);
    return field != NULL ? field->value : SPAN_NONE;
}

int grpc_timeout_parse(struct span text, uint64_t *ret_ns)
{
    static const struct {
        char unit;
        uint64_t ns;
    } units[] = {
        {'H', 3600 * NS_PER_S}, {'M', 60 * NS_PER_S}, {'S', NS_PER_S},
        {'m', NS_PER_MS},       {'u', NS_PER_US},     {'n', 1},
    };
    uint64_t value;
    if (text.len < 2 || text.len > TIMEOUT_DIGITS_MAX + 1 ||
        span_to_u64(span_make(text.ptr, text.len - 1), 99999999, &value) != 0)
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (text.ptr[text.len - 1] != units[i].unit)
            continue;
        *ret_ns = value > TIMEOUT_MAX_NS / units[i].ns ? UINT64_MAX : value * units[i].ns;
        return 0;
    }
    return -EINVAL;
}
