/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_parse.h"

#include <llhttp.h>

#include "http/chars.h"
#include "http/field.h"
#include "http/h1_validate.h"

/* The head is copied to the arena once and all spans point into the copy. A head
 * too large for one piece of arena memory is parsed where it is and its parts
 * are copied one by one.
 *
 * llhttp splits the fields; the start line, of which its versions differ in what they let
 * through, is read here, and llhttp never sees it. Both views must agree: llhttp has to find as
 * many fields as h1_scan found lines, and each name must be followed by its colon. */

#define PARSE_PIECE_MAX 8192u /* bytes copied in one piece */
#define PARSE_SPARE_FIELDS 12u /* room for what filters add */

struct parse_state {
    llhttp_t parser; /* first: llhttp hands it back */
    struct http_head *head;
    bool bad, complete;
};

static int parse_on_name(llhttp_t *parser, const char *at, size_t len)
{
    struct parse_state *state = container_of(parser, struct parse_state, parser);
    struct http_head *head = state->head;
    if (head->fields_count == head->fields_cap) {
        state->bad = true;
        return -1;
    }
    head->fields[head->fields_count++] =
        (struct http_field){.name = span_make(at, len), .value = span_make(at + len, 0)};
    return 0;
}

static int parse_on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct parse_state *state = container_of(parser, struct parse_state, parser);
    struct http_head *head = state->head;
    if (head->fields_count == 0) {
        state->bad = true;
        return -1;
    }
    head->fields[head->fields_count - 1].value = span_trim(span_make(at, len));
    return 0;
}

static int parse_on_complete(llhttp_t *parser)
{
    struct parse_state *state = container_of(parser, struct parse_state, parser);
    state->complete = true;
    return HPE_PAUSED; /* bodies are not llhttp's business */
}

static const llhttp_settings_t parse_settings = {
    .on_header_field = parse_on_name,
    .on_header_value = parse_on_value,
    .on_headers_complete = parse_on_complete,
};

/* A parser that has seen a start line, always the same: what llhttp lets through there depends on
 * its version. Made once a thread. */
static bool parse_begin(llhttp_t *parser, bool response)
{
    static __thread llhttp_t begun[2];
    static __thread bool made[2];
    static const struct span lines[2] = {{"GET / HTTP/1.1\r\n", 16}, {"HTTP/1.1 200 OK\r\n", 17}};
    if (!made[response]) {
        llhttp_init(&begun[response], response ? HTTP_RESPONSE : HTTP_REQUEST, &parse_settings);
        made[response] =
            llhttp_execute(&begun[response], lines[response].ptr, lines[response].len) == HPE_OK;
    }
    *parser = begun[response];
    return made[response];
}

/* Fields of the whole head at bytes, of which the start line is the first line_len. */
static enum http_error parse_fields(struct http_head *head, struct span bytes, size_t line_len,
                                    unsigned fields)
{
    struct parse_state state = {.head = head};
    if (!parse_begin(&state.parser, head->is_response))
        return HTTP_ERROR_BAD_REQUEST;
    bytes = span_skip(bytes, line_len + 2); /* h1_scan vouches for CR LF */
    llhttp_errno_t error = llhttp_execute(&state.parser, bytes.ptr, bytes.len);
    if (error != HPE_PAUSED || !state.complete || state.bad)
        return HTTP_ERROR_BAD_REQUEST;
    if (head->fields_count != fields)
        return HTTP_ERROR_BAD_REQUEST;
    for (unsigned i = 0; i < fields; i++) {
        const struct span *name = &head->fields[i].name;
        if (name->len == 0 || name->ptr[name->len] != ':')
            return HTTP_ERROR_BAD_REQUEST;
    }
    return HTTP_ERROR_NONE;
}

static struct span parse_first_line(struct span bytes)
{
    ssize_t cr = span_find_char(bytes, '\r');
    return span_make(bytes.ptr, cr < 0 ? bytes.len : (size_t)cr);
}

/* "HTTP/1.0" or "HTTP/1.1", RFC 9112 2.3. */
static enum http_error parse_version(struct span text, uint8_t *ret_minor)
{
    if (text.len != 8 || memcmp(text.ptr, "HTTP/", 5) != 0 || text.ptr[6] != '.')
        return HTTP_ERROR_BAD_REQUEST;
    char major = text.ptr[5], minor = text.ptr[7];
    if (major < '0' || major > '9' || minor < '0' || minor > '9')
        return HTTP_ERROR_BAD_REQUEST;
    if (major != '1' || minor > '1')
        return HTTP_ERROR_VERSION;
    *ret_minor = (uint8_t)(minor - '0');
    return HTTP_ERROR_NONE;
}

/* method SP request-target SP HTTP-version, single spaces (RFC 9112 3). */
static enum http_error parse_request_line(struct http_head *head, struct span line)
{
    struct span rest, version;
    if (!span_split(line, ' ', &head->method_text, &rest) || !chars_is_token(head->method_text) ||
        !span_split(rest, ' ', &head->target, &version) || head->target.len == 0)
        return HTTP_ERROR_BAD_REQUEST;
    /* Who does not name a protocol and its version would not understand an answer of HTTP/1. */
    if (span_find_char(version, '/') < 0)
        return HTTP_ERROR_NOT_HTTP;
    enum http_error error = parse_version(version, &head->version_minor);
    if (error != HTTP_ERROR_NONE)
        return error;
    head->method = http_method_from_span(head->method_text);
    /* CONNECT would open a tunnel to a place that no configuration names. */
    if (head->method == HTTP_METHOD_CONNECT || !http_method_is_known(head->method_text))
        return HTTP_ERROR_METHOD;
    return HTTP_ERROR_NONE;
}

/* HTTP-version SP 3DIGIT [ SP reason ] (RFC 9112 4); the reason is thrown away. */
static enum http_error parse_status_line(struct http_head *head, struct span line)
{
    uint64_t status;
    if (line.len < 12 || line.ptr[8] != ' ' || (line.len > 12 && line.ptr[12] != ' '))
        return HTTP_ERROR_BAD_RESPONSE;
    enum http_error error = parse_version(span_make(line.ptr, 8), &head->version_minor);
    if (error != HTTP_ERROR_NONE)
        return error;
    if (span_to_u64(span_make(line.ptr + 9, 3), 599, &status) < 0 || status < 100)
        return HTTP_ERROR_BAD_RESPONSE;
    head->status = (uint16_t)status;
    return HTTP_ERROR_NONE;
}

/* Brings what points into the session's input over to the arena. */
static bool parse_keep(struct http_head *head)
{
    struct arena *arena = head->arena;
    if (!head->is_response) {
        size_t method = head->method_text.len;
        head->method_text = arena_copy(arena, head->method_text);
        head->target = arena_copy(arena, head->target);
        if (head->target.ptr == NULL || head->method_text.len != method)
            return false;
    }
    for (unsigned i = 0; i < head->fields_count; i++) {
        struct http_field *field = &head->fields[i];
        struct span name = arena_copy(arena, field->name);
        struct span value = arena_copy(arena, field->value);
        if (name.ptr == NULL || value.ptr == NULL)
            return false;
        field->name = name;
        field->value = value;
    }
    return true;
}

static enum http_error parse_head(const struct h1_parse *parse, struct span bytes, bool response,
                                  struct http_head **ret)
{
    ASSERT(parse->lines > 0);
    unsigned fields = parse->lines - 1;
    bool whole = bytes.len <= PARSE_PIECE_MAX;
    *ret = NULL;
    struct http_head *head = http_head_new(parse->arena, fields + PARSE_SPARE_FIELDS);
    if (head != NULL && whole)
        bytes = arena_copy(parse->arena, bytes);
    if (head == NULL || bytes.ptr == NULL)
        return HTTP_ERROR_NO_MEMORY;
    head->is_response = response;
    struct span line = parse_first_line(bytes);
    enum http_error error =
        response ? parse_status_line(head, line) : parse_request_line(head, line);
    if (error == HTTP_ERROR_NONE)
        error = parse_fields(head, bytes, line.len, fields);
    if (!whole && !parse_keep(head))
        return HTTP_ERROR_NO_MEMORY;
    *ret = head;
    return error;
}

enum http_error h1_parse_request(const struct h1_parse *parse, struct span head,
                                 struct http_head **ret)
{
    enum http_error error = parse_head(parse, head, false, ret);
    if (error == HTTP_ERROR_NONE)
        error = h1_validate_request(*ret, parse->limits, parse->secure);
    return error;
}

enum http_error h1_parse_response(const struct h1_parse *parse, struct span head,
                                  struct http_head **ret)
{
    enum http_error error = parse_head(parse, head, true, ret);
    if (error == HTTP_ERROR_NONE)
        error = h1_validate_response(*ret, parse->limits);
    return error == HTTP_ERROR_NONE ? error : HTTP_ERROR_BAD_RESPONSE;
}

/* One "name: value" line. false: malformed. */
static bool parse_trailer(struct span line, struct http_field *ret)
{
    if (!span_split(line, ':', &ret->name, &ret->value) || !chars_is_token(ret->name))
        return false;
    ret->value = span_trim(ret->value);
    ret->id = http_header_find(ret->name);
    ret->removed = false;
    return chars_is_value(ret->value);
}

/* Copied one by one: a section may be larger than a piece of arena memory. */
enum http_error h1_parse_trailers(const struct h1_parse *parse, struct span section,
                                  struct http_head **ret)
{
    *ret = NULL;
    if (parse->lines == 0)
        return HTTP_ERROR_NONE;
    struct http_head *head = http_head_new(parse->arena, parse->lines);
    struct span left = section;
    if (head == NULL)
        return HTTP_ERROR_BAD_CHUNK;
    for (unsigned i = 0; i < parse->lines; i++) {
        struct span line;
        struct http_field field;
        (void)span_split(left, '\r', &line, &left); /* h1_scan vouches for CR LF */
        left = span_skip(left, 1);
        if (!parse_trailer(line, &field))
            return HTTP_ERROR_BAD_CHUNK;
        if (http_header_has(field.id, HTTP_HEADER_NO_TRAILER) ||
            field_is_dropped(field.name, parse->limits->underscores))
            continue;
        field.name = arena_copy(parse->arena, field.name);
        field.value = arena_copy(parse->arena, field.value);
        head->fields[head->fields_count++] = field;
        head->ids |= http_header_bit(field.id, true);
    }
    if (!arena_ok(parse->arena))
        return HTTP_ERROR_BAD_CHUNK;
    if (head->fields_count > 0)
        *ret = head;
    return HTTP_ERROR_NONE;
}
