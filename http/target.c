/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/target.h"

#include <errno.h>

#include "http/uri.h"

enum http_error target_set_authority(struct http_head *head, struct span text)
{
    int error = uri_parse_authority(head->arena, text, &head->host, &head->port);
    if (error == -ENOBUFS)
        return HTTP_ERROR_NO_MEMORY;
    if (error < 0)
        return HTTP_ERROR_BAD_HOST;
    size_t host = head->host.len;
    /* The host is a part of text unless it had to be changed; then what follows it is ":port". */
    if (head->host.ptr == text.ptr && (host == text.len || head->port != 0)) {
        bool dotted = host < text.len && text.ptr[host] == '.';
        if (!dotted) {
            head->authority = text;
            return HTTP_ERROR_NONE;
        }
    }
    if (head->port == 0)
        head->authority = head->host;
    else
        head->authority = arena_printf(head->arena, "%.*s:%u", SPAN_ARG(head->host), head->port);
    return head->authority.ptr == NULL ? HTTP_ERROR_NO_MEMORY : HTTP_ERROR_NONE;
}

enum http_error target_set_origin(struct http_head *head, struct span text)
{
    struct span path;
    head->has_query = span_split(text, '?', &path, &head->query);
    if (head->has_query && !uri_is_query(head->query))
        return HTTP_ERROR_BAD_TARGET;
    int error = uri_normalize_path(head->arena, path, &head->path);
    if (error == -ENOBUFS)
        return HTTP_ERROR_NO_MEMORY;
    return error < 0 ? HTTP_ERROR_BAD_TARGET : HTTP_ERROR_NONE;
}

enum http_error target_set_expect(struct http_head *head)
{
    const struct http_field *field = http_head_find_id(head, HTTP_HEADER_EXPECT);
    if (field == NULL)
        return HTTP_ERROR_NONE;
    struct span value = field->value;
    /* The field is written anew by the client session. */
    if (http_head_remove_id(head, HTTP_HEADER_EXPECT) > 1 ||
        !span_equal_fold(value, SPAN_LIT("100-continue")))
        return HTTP_ERROR_EXPECTATION;
    head->expect_continue = head->version_minor == 1 && head->has_body;
    return HTTP_ERROR_NONE;
}
