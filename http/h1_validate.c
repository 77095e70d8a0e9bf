/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_validate.h"

#include "base/panic.h"
#include "http/chars.h"
#include "http/field.h"
#include "http/target.h"
#include "http/uri.h"

/* What the fields say, gathered in one pass. */
struct validate_facts {
    unsigned hosts, lengths, codings, upgrades;
    struct span host, length, coding, upgrade;
    bool close, keep_alive, upgrade_listed;
};

static void validate_connection(struct validate_facts *facts, struct span list)
{
    struct span option;
    while (field_list_next(&list, &option)) {
        if (span_equal_fold(option, SPAN_LIT("close")))
            facts->close = true;
        else if (span_equal_fold(option, SPAN_LIT("keep-alive")))
            facts->keep_alive = true;
        else if (span_equal_fold(option, SPAN_LIT("upgrade")))
            facts->upgrade_listed = true;
    }
}

static void validate_known(struct validate_facts *facts, struct http_field *field)
{
    switch (field->id) {
    case HTTP_HEADER_HOST:
        facts->hosts++;
        facts->host = field->value;
        break;
    case HTTP_HEADER_CONTENT_LENGTH:
        facts->lengths++;
        facts->length = field->value;
        break;
    case HTTP_HEADER_TRANSFER_ENCODING:
        facts->codings++;
        facts->coding = field->value;
        break;
    case HTTP_HEADER_CONNECTION:
        validate_connection(facts, field->value);
        break;
    case HTTP_HEADER_UPGRADE:
        facts->upgrades++;
        facts->upgrade = field->value;
        break;
    default:
        break;
    }
}

/* One pass over all names and values. false: a byte that may not be there. */
static bool validate_fields(struct http_head *head, bool underscores, struct validate_facts *facts)
{
    for (unsigned i = 0; i < head->fields_count; i++) {
        struct http_field *field = &head->fields[i];
        field->id = http_header_find(field->name);
        head->ids |= http_header_bit(field->id, true);
        /* A known name is a token. */
        if (field->id == HTTP_HEADER_OTHER && !chars_is_token(field->name))
            return false;
        if (!chars_is_value(field->value))
            return false;
        if (field->id != HTTP_HEADER_OTHER)
            validate_known(facts, field);
        else if (field_is_dropped(field->name, underscores))
            field->removed = true;
    }
    return true;
}

/* Only "chunked" is understood. Codings before it are something we could not undo (501); any
 * other list leaves the end of the message open (RFC 9112 6.1, 6.3). */
static enum http_error validate_coding(struct span value)
{
    if (LIKELY(span_equal_fold(value, SPAN_LIT("chunked"))))
        return HTTP_ERROR_NONE;
    bool last_chunked = false;
    for (bool more = true; more;) {
        struct span coding;
        more = span_split(value, ',', &coding, &value);
        coding = span_trim(coding);
        if (!chars_is_token(coding) || last_chunked)
            return HTTP_ERROR_BAD_FRAMING;
        last_chunked = span_equal_fold(coding, SPAN_LIT("chunked"));
    }
    return last_chunked ? HTTP_ERROR_CODING : HTTP_ERROR_BAD_FRAMING;
}

/* Sets content_length and chunked from fields; without either, length 0. */
static enum http_error validate_framing(struct http_head *head, const struct validate_facts *facts)
{
    if (facts->codings > 0) {
        if (facts->lengths > 0 || facts->codings > 1 || head->version_minor == 0)
            return HTTP_ERROR_BAD_FRAMING;
        head->chunked = true;
        head->has_body = true;
        head->content_length = HTTP_LENGTH_UNKNOWN;
        return validate_coding(facts->coding);
    }
    if (facts->lengths > 1)
        return HTTP_ERROR_BAD_FRAMING;
    uint64_t length = 0;
    if (facts->lengths == 1 && span_to_u64(facts->length, HTTP_LENGTH_MAX, &length) < 0)
        return HTTP_ERROR_BAD_FRAMING;
    head->content_length = (int64_t)length;
    head->has_body = length > 0;
    return HTTP_ERROR_NONE;
}

/* Host: one, valid (RFC 9112 3.2); only HTTP/1.0 may leave it out. */
static enum http_error validate_host(struct http_head *head, const struct validate_facts *facts)
{
    if (facts->hosts == 0 && head->version_minor == 0)
        return HTTP_ERROR_NONE;
    if (facts->hosts != 1)
        return HTTP_ERROR_BAD_HOST;
    return target_set_authority(head, facts->host);
}

/* scheme "://" authority path-abempty [ "?" query ]: the target's authority takes the place of
 * Host (RFC 9112 3.2.2). The scheme must be that of the transport. */
static enum http_error validate_absolute(struct http_head *head)
{
    struct span rest = head->target;
    size_t scheme = head->scheme.len;
    if (rest.len < scheme + 3 || !span_equal_fold(span_make(rest.ptr, scheme), head->scheme) ||
        memcmp(rest.ptr + scheme, "://", 3) != 0)
        return HTTP_ERROR_BAD_TARGET;
    rest = span_skip(rest, scheme + 3);
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    enum http_error error = target_set_authority(head, span_make(rest.ptr, end));
    if (error != HTTP_ERROR_NONE)
        return error;
    rest = span_skip(rest, end);
    if (rest.len == 0 && head->method == HTTP_METHOD_OPTIONS) {
        head->path = SPAN_LIT("*"); /* RFC 9112 3.2.4 */
        return HTTP_ERROR_NONE;
    }
    if (rest.len > 0 && rest.ptr[0] == '/')
        return target_set_origin(head, rest);
    head->path = SPAN_LIT("/");
    head->has_query = rest.len > 0;
    head->query = head->has_query ? span_skip(rest, 1) : SPAN_NONE;
    return uri_is_query(head->query) ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_TARGET;
}

static enum http_error validate_target(struct http_head *head)
{
    if (LIKELY(head->target.ptr[0] == '/'))
        return target_set_origin(head, head->target);
    if (span_equal(head->target, SPAN_LIT("*"))) {
        head->path = head->target;
        return head->method == HTTP_METHOD_OPTIONS ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_TARGET;
    }
    return validate_absolute(head);
}

/* Tunnels are for WebSocket handshakes only: other protocols (h2c) would carry requests past the
 * rules. Without a body, or its bytes and the tunnel's could be taken for each other. */
static void validate_upgrade(struct http_head *head, const struct validate_facts *facts)
{
    if (facts->upgrades != 1 || !facts->upgrade_listed || head->has_body ||
        head->version_minor == 0 || head->method != HTTP_METHOD_GET)
        return;
    if (span_equal_fold(facts->upgrade, SPAN_LIT("websocket")))
        head->upgrade = facts->upgrade;
}

enum http_error h1_validate_request(struct http_head *head, const struct http_limits *limits,
                                    bool secure)
{
    ASSERT(!head->is_response && head->target.len > 0);
    struct validate_facts facts = {0};
    head->scheme = secure ? SPAN_LIT("https") : SPAN_LIT("http");
    if (!validate_fields(head, limits->underscores, &facts))
        return HTTP_ERROR_BAD_REQUEST;
    head->keep_alive = head->version_minor == 1 ? !facts.close : facts.keep_alive && !facts.close;
    enum http_error error = validate_framing(head, &facts);
    if (error == HTTP_ERROR_NONE)
        error = validate_host(head, &facts);
    if (error == HTTP_ERROR_NONE)
        error = validate_target(head);
    if (error == HTTP_ERROR_NONE)
        error = target_set_expect(head);
    if (error == HTTP_ERROR_NONE)
        validate_upgrade(head, &facts);
    return error;
}

enum http_error h1_validate_response(struct http_head *head, const struct http_limits *limits)
{
    ASSERT(head->is_response && head->status >= 100);
    struct validate_facts facts = {0};
    if (!validate_fields(head, limits->underscores, &facts))
        return HTTP_ERROR_BAD_RESPONSE;
    if (validate_framing(head, &facts) != HTTP_ERROR_NONE)
        return HTTP_ERROR_BAD_RESPONSE;
    head->keep_alive = head->version_minor == 1 ? !facts.close : facts.keep_alive && !facts.close;
    if (facts.upgrades == 1 && facts.upgrade_listed)
        head->upgrade = facts.upgrade;
    if (facts.codings == 0 && facts.lengths == 0)
        head->content_length = HTTP_LENGTH_UNKNOWN; /* until close, RFC 9112 6.3 (8) */
    head->has_body = head->content_length != 0;
    if (http_status_has_no_body(head->status)) {
        /* A backend that announces what cannot come (RFC 9112 6.1) may send it all the same, and
         * late: it would be read as the answer to the next request. */
        if (head->status == 204 && (facts.codings > 0 || head->content_length > 0))
            head->keep_alive = false;
        head->has_body = false;
        head->chunked = false;
        if (head->status != 304)
            head->content_length = 0;
    }
    return HTTP_ERROR_NONE;
}
