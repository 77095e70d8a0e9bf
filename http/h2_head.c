/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_head.h"

#include <errno.h>

#include "base/panic.h"
#include "http/chars.h"
#include "http/field.h"
#include "http/target.h"
#include "http/uri.h"

#define HEAD_FIELDS 24u /* room at first; a browser's request with what filters add */
#define HEAD_FIELD_OVERHEAD 32u /* RFC 9113 6.5.2 */

void h2_head_begin(struct h2_head *block, const struct h2_head_rules *rules, struct arena *arena)
{
    *block = (struct h2_head){.rules = *rules, .arena = arena};
    if (arena == NULL)
        return;
    block->head = http_head_new(arena, HEAD_FIELDS);
    if (block->head == NULL) {
        block->error = HTTP_ERROR_NO_MEMORY;
        return;
    }
    block->head->version_major = 2;
    block->head->is_response = rules->kind == H2_HEAD_RESPONSE;
    block->head->keep_alive = true;
}

static const struct {
    struct span name;
    bool response;
} head_pseudo[H2_HEAD_PSEUDO_COUNT] = {
    [H2_HEAD_METHOD] = {{":method", 7}, false},
    [H2_HEAD_SCHEME] = {{":scheme", 7}, false},
    [H2_HEAD_PATH] = {{":path", 5}, false},
    [H2_HEAD_AUTHORITY] = {{":authority", 10}, false},
    [H2_HEAD_PROTOCOL] = {{":protocol", 9}, false},
    [H2_HEAD_STATUS] = {{":status", 7}, true},
};

/* No CR, LF, NUL or other control, no space at an edge (RFC 9113 8.2.1). */
static bool head_is_value(struct span value)
{
    return span_trim(value).len == value.len && chars_is_value(value);
}

/* A token without upper case. */
static bool head_is_name(struct span name, enum http_header_id id)
{
    if (id != HTTP_HEADER_OTHER)
        return span_equal(name, http_header_name(id));
    for (size_t i = 0; i < name.len; i++)
        if (!chars_is(name.ptr[i], CHARS_TOKEN) || (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z'))
            return false;
    return name.len > 0;
}

static enum http_error head_keep(struct h2_head *block, struct span value, struct span *ret)
{
    *ret = arena_copy(block->arena, value);
    return ret->ptr == NULL ? HTTP_ERROR_NO_MEMORY : HTTP_ERROR_NONE;
}

/* Known, once, of this kind of message, before all other fields (RFC 9113 8.3). */
static enum http_error head_add_pseudo(struct h2_head *block, struct span name, struct span value)
{
    if (block->regular || block->rules.kind == H2_HEAD_TRAILERS || !head_is_value(value))
        return HTTP_ERROR_BAD_REQUEST;
    bool response = block->rules.kind == H2_HEAD_RESPONSE;
    for (unsigned i = 0; i < H2_HEAD_PSEUDO_COUNT; i++) {
        if (!span_equal(name, head_pseudo[i].name))
            continue;
        if (head_pseudo[i].response != response || block->pseudo[i].ptr != NULL)
            return HTTP_ERROR_BAD_REQUEST;
        if (i == H2_HEAD_PATH && value.len > block->rules.limits->request_line_max)
            return HTTP_ERROR_URI_TOO_LONG;
        return head_keep(block, value, &block->pseudo[i]);
    }
    return HTTP_ERROR_BAD_REQUEST;
}

static enum http_error head_store(struct h2_head *block, enum http_header_id id, struct span name,
                                  struct span value)
{
    name = id == HTTP_HEADER_OTHER ? arena_copy(block->arena, name) : http_header_name(id);
    value = arena_copy(block->arena, value);
    if (name.ptr == NULL || value.ptr == NULL || !http_head_add_found(block->head, id, name, value))
        return HTTP_ERROR_NO_MEMORY;
    return HTTP_ERROR_NONE;
}

/* Fields that mean something to the version of HTTP itself, in messages that are no trailers.
 * *ret_store: it is kept among the others. */
static enum http_error head_add_known(struct h2_head *block, enum http_header_id id,
                                      struct span value, bool *ret_store)
{
    bool request = block->rules.kind == H2_HEAD_REQUEST;
    switch (id) {
    case HTTP_HEADER_HOST:
        if (!request)
            return HTTP_ERROR_NONE;
        *ret_store = false; /* one is written from the authority at the end */
        return block->host.ptr != NULL ? HTTP_ERROR_BAD_HOST
                                       : head_keep(block, value, &block->host);
    case HTTP_HEADER_CONTENT_LENGTH:
        if (block->has_length)
            return HTTP_ERROR_BAD_FRAMING;
        block->has_length = true;
        return span_to_u64(value, HTTP_LENGTH_MAX, &block->length) < 0 ? HTTP_ERROR_BAD_FRAMING
                                                                       : HTTP_ERROR_NONE;
    case HTTP_HEADER_COOKIE:
        if (request) {
            block->cookies++;
            block->cookie_bytes += value.len + 2;
        }
        return HTTP_ERROR_NONE;
    default:
        return HTTP_ERROR_NONE;
    }
}

/* RFC 9113 8.2.2. */
static bool head_is_connection_specific(enum http_header_id id, struct span value)
{
    switch (id) {
    case HTTP_HEADER_CONNECTION:
    case HTTP_HEADER_KEEP_ALIVE:
    case HTTP_HEADER_PROXY_CONNECTION:
    case HTTP_HEADER_TRANSFER_ENCODING:
    case HTTP_HEADER_UPGRADE:
        return true;
    case HTTP_HEADER_TE:
        return !span_equal_fold(value, SPAN_LIT("trailers"));
    default:
        return false;
    }
}

static enum http_error head_add_regular(struct h2_head *block, struct span name, struct span value)
{
    block->regular = true;
    enum http_header_id id = http_header_find(name);
    if (!head_is_name(name, id) || !head_is_value(value))
        return HTTP_ERROR_BAD_REQUEST;
    if (head_is_connection_specific(id, value))
        return HTTP_ERROR_BAD_REQUEST;
    if (id == HTTP_HEADER_OTHER && field_is_dropped(name, block->rules.limits->underscores))
        return HTTP_ERROR_NONE;
    bool store = true;
    if (block->rules.kind == H2_HEAD_TRAILERS) {
        store = !http_header_has(id, HTTP_HEADER_NO_TRAILER);
    } else {
        enum http_error error = head_add_known(block, id, value, &store);
        if (error != HTTP_ERROR_NONE)
            return error;
    }
    return store ? head_store(block, id, name, value) : HTTP_ERROR_NONE;
}

static bool head_is_over(const struct h2_head *block, struct span name, struct span value)
{
    const struct http_limits *limits = block->rules.limits;
    bool trailers = block->rules.kind == H2_HEAD_TRAILERS;
    return block->bytes > (trailers ? limits->trailer_bytes_max : limits->head_bytes_max) ||
           block->fields > (trailers ? limits->trailers_max : limits->fields_max) ||
           name.len + value.len > limits->field_bytes_max;
}

bool h2_head_add(struct h2_head *block, struct span name, struct span value)
{
    bool pseudo = name.len > 0 && name.ptr[0] == ':';
    block->bytes += name.len + value.len + HEAD_FIELD_OVERHEAD;
    block->fields += pseudo ? 0 : 1;
    if (block->bytes > 2 * (size_t)block->rules.limits->head_bytes_max)
        return false;
    if (block->arena == NULL || block->error != HTTP_ERROR_NONE)
        return true;
    enum http_error error = HTTP_ERROR_HEAD_TOO_LARGE;
    if (!head_is_over(block, name, value))
        error = pseudo ? head_add_pseudo(block, name, value) : head_add_regular(block, name, value);
    block->error = (uint8_t)error;
    return true;
}

/* Many Cookie fields are one that was cut for the sake of compression (RFC 9113 8.2.3). */
static enum http_error head_join_cookies(struct h2_head *block)
{
    if (block->cookies <= 1)
        return HTTP_ERROR_NONE;
    struct http_head *head = block->head;
    struct http_field *first = http_head_find_id(head, HTTP_HEADER_COOKIE);
    char *joined = arena_alloc_aligned(block->arena, block->cookie_bytes, 1);
    if (joined == NULL)
        return HTTP_ERROR_NO_MEMORY;
    size_t at = 0;
    for (struct http_field *field = first; field < head->fields + head->fields_count; field++) {
        if (field->id != HTTP_HEADER_COOKIE)
            continue;
        memcpy(joined + at, field->value.ptr, field->value.len);
        memcpy(joined + at + field->value.len, "; ", 2);
        at += field->value.len + 2;
        field->removed = field != first;
    }
    ASSERT(at == block->cookie_bytes);
    first->value = span_make(joined, at - 2);
    return HTTP_ERROR_NONE;
}

/* :authority or, without one, Host; two that differ are two requests in one (RFC 9113 8.3.1). The
 * head gets a Host field as an HTTP/1 request has one: matches and filters see no difference. */
static enum http_error head_set_host(struct h2_head *block)
{
    struct http_head *head = block->head;
    struct span authority = block->pseudo[H2_HEAD_AUTHORITY];
    bool both = authority.ptr != NULL && block->host.ptr != NULL;
    if (authority.ptr == NULL)
        authority = block->host;
    enum http_error error = target_set_authority(head, authority);
    if (error != HTTP_ERROR_NONE)
        return error;
    if (both) {
        struct span host;
        uint16_t port;
        int parsed = uri_parse_authority(block->arena, block->host, &host, &port);
        if (parsed == -ENOBUFS)
            return HTTP_ERROR_NO_MEMORY;
        if (parsed < 0 || !span_equal(host, head->host) || port != head->port)
            return HTTP_ERROR_BAD_HOST;
    }
    return http_head_add_id(head, HTTP_HEADER_HOST, head->authority) ? HTTP_ERROR_NONE
                                                                     : HTTP_ERROR_NO_MEMORY;
}

static enum http_error head_set_path(struct http_head *head)
{
    if (!span_equal(head->target, SPAN_LIT("*")))
        return target_set_origin(head, head->target);
    head->path = head->target;
    return head->method == HTTP_METHOD_OPTIONS ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_TARGET;
}

/* Which pseudo fields there must be (RFC 9113 8.3.1, 8.5; RFC 8441 4). CONNECT alone would open a
 * tunnel to a place that no configuration names; of the extended ones only WebSocket is known. */
static enum http_error head_set_method(struct h2_head *block)
{
    struct http_head *head = block->head;
    const struct span *pseudo = block->pseudo;
    bool connect = head->method == HTTP_METHOD_CONNECT;
    bool extended = pseudo[H2_HEAD_PROTOCOL].ptr != NULL;
    bool full = pseudo[H2_HEAD_SCHEME].ptr != NULL && head->target.len > 0;
    if (connect && !extended) {
        bool none = pseudo[H2_HEAD_SCHEME].ptr == NULL && head->target.ptr == NULL;
        return none ? HTTP_ERROR_METHOD : HTTP_ERROR_BAD_REQUEST;
    }
    if (!full || !chars_is_token(head->method_text) || (extended && !connect))
        return HTTP_ERROR_BAD_REQUEST;
    if (!extended)
        return http_method_is_known(head->method_text) ? HTTP_ERROR_NONE : HTTP_ERROR_METHOD;
    if (!span_equal_fold(pseudo[H2_HEAD_PROTOCOL], SPAN_LIT("websocket")))
        return HTTP_ERROR_METHOD;
    head->upgrade = pseudo[H2_HEAD_PROTOCOL];
    head->method = HTTP_METHOD_GET;
    head->method_text = SPAN_LIT("GET");
    return HTTP_ERROR_NONE;
}

/* Content-Length counts the bytes of all DATA frames (RFC 9113 8.1.1). A tunnel has no body. */
static enum http_error head_set_length(struct h2_head *block, bool end_stream)
{
    struct http_head *head = block->head;
    if (head->upgrade.len > 0)
        return end_stream || block->has_length ? HTTP_ERROR_BAD_FRAMING : HTTP_ERROR_NONE;
    if (end_stream && block->length > 0)
        return HTTP_ERROR_BAD_FRAMING;
    head->content_length =
        end_stream || block->has_length ? (int64_t)block->length : HTTP_LENGTH_UNKNOWN;
    head->has_body = head->content_length != 0;
    return HTTP_ERROR_NONE;
}

/* By the transport; what a trusted proxy says stands for the client's own transport. */
static enum http_error head_set_scheme(struct h2_head *block)
{
    struct span http = SPAN_LIT("http"), https = SPAN_LIT("https");
    struct span said = block->pseudo[H2_HEAD_SCHEME];
    bool secure = block->rules.secure;
    if (block->rules.any_scheme && span_equal(said, secure ? http : https))
        secure = !secure;
    block->head->scheme = secure ? https : http;
    return span_equal(said, block->head->scheme) ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_TARGET;
}

static enum http_error head_end_request(struct h2_head *block, bool end_stream)
{
    struct http_head *head = block->head;
    head->method_text = block->pseudo[H2_HEAD_METHOD];
    head->method = http_method_from_span(head->method_text);
    head->target = block->pseudo[H2_HEAD_PATH];
    enum http_error scheme_error = head_set_scheme(block);
    if (block->error != HTTP_ERROR_NONE)
        return (enum http_error)block->error;
    enum http_error error = head_set_method(block);
    if (error == HTTP_ERROR_NONE)
        error = head_set_length(block, end_stream);
    if (error == HTTP_ERROR_NONE)
        error = scheme_error;
    if (error == HTTP_ERROR_NONE)
        error = head_set_host(block);
    if (error == HTTP_ERROR_NONE)
        error = head_set_path(head);
    if (error == HTTP_ERROR_NONE)
        error = target_set_expect(head);
    return error != HTTP_ERROR_NONE ? error : head_join_cookies(block);
}

/* The bytes that follow a response, by its status and what it answers (RFC 9110 6.4.1). false: it
 * says something else. */
static bool head_set_response_length(struct h2_head *block, bool end_stream)
{
    struct http_head *head = block->head;
    bool empty = http_status_has_no_body(head->status);
    if (empty && head->status != 304) {
        head->content_length = 0;
        return block->length == 0;
    }
    empty |= block->rules.to_head;
    if (end_stream && !empty && block->length > 0)
        return false;
    if (block->has_length || (end_stream && !empty))
        head->content_length = (int64_t)block->length;
    else
        head->content_length = HTTP_LENGTH_UNKNOWN;
    head->has_body = !empty && head->content_length != 0;
    return true;
}

/* The tunnel that was asked for (RFC 8441 5): any 2xx, and the length means nothing. */
static bool head_set_tunnel(struct h2_head *block, bool end_stream)
{
    block->head->status = 101;
    block->head->upgrade = block->rules.upgrade;
    (void)http_head_remove_id(block->head, HTTP_HEADER_CONTENT_LENGTH); /* may have none */
    return !end_stream;
}

/* false: malformed. */
static bool head_end_response(struct h2_head *block, bool end_stream)
{
    struct http_head *head = block->head;
    struct span text = block->pseudo[H2_HEAD_STATUS];
    uint64_t status = 0;
    if (block->error != HTTP_ERROR_NONE || text.len != 3 || span_to_u64(text, 599, &status) < 0 ||
        status < 100 || status == 101)
        return false;
    head->status = (uint16_t)status;
    if (status < 200 && end_stream)
        return false;
    if (block->rules.upgrade.len > 0 && status >= 200 && status < 300)
        return head_set_tunnel(block, end_stream);
    return head_set_response_length(block, end_stream);
}

enum http_error h2_head_end(struct h2_head *block, bool end_stream, struct http_head **ret)
{
    *ret = block->head;
    bool request = block->rules.kind == H2_HEAD_REQUEST; /* of which the log wants to know more */
    if (block->head == NULL || (block->error == HTTP_ERROR_NO_MEMORY && !request))
        return (enum http_error)block->error;
    switch (block->rules.kind) {
    case H2_HEAD_REQUEST:
        return head_end_request(block, end_stream);
    case H2_HEAD_RESPONSE:
        return head_end_response(block, end_stream) ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_RESPONSE;
    case H2_HEAD_TRAILERS:
        if (block->head->fields_count == 0)
            *ret = NULL;
        if (block->error == HTTP_ERROR_HEAD_TOO_LARGE)
            return HTTP_ERROR_TRAILERS_TOO_LARGE;
        return end_stream && block->error == HTTP_ERROR_NONE ? HTTP_ERROR_NONE
                                                             : HTTP_ERROR_BAD_REQUEST;
    }
    UNREACHABLE();
}

bool h2_head_is_malformed(enum http_error error)
{
    return error == HTTP_ERROR_BAD_REQUEST || error == HTTP_ERROR_BAD_FRAMING ||
           error == HTTP_ERROR_BAD_RESPONSE;
}
