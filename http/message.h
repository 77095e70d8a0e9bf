/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_MESSAGE_H
#define RINGGATE_HTTP_MESSAGE_H

/* The head of a request or response, whatever the version of HTTP. All spans
 * point into the exchange's arena. Made by a session's parser, changed by
 * filters, written by the other session. */

#include "base/arena.h"
#include "http/header.h"

enum http_method {
    HTTP_METHOD_OTHER, /* a valid token that we know no constant for */
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
    HTTP_METHOD_DELETE,
    HTTP_METHOD_CONNECT,
    HTTP_METHOD_OPTIONS,
    HTTP_METHOD_TRACE,
    HTTP_METHOD_PATCH,
};

struct http_field {
    struct span name; /* as received; a token */
    struct span value; /* trimmed; no CR, LF or NUL */
    enum http_header_id id;
    bool removed; /* skipped by writers and lookups */
};

#define HTTP_LENGTH_UNKNOWN (-1) /* chunked, or until close: the writer chooses the framing */
#define HTTP_LENGTH_MAX ((uint64_t)1 << 60) /* bytes of a body */

struct http_head {
    struct arena *arena;
    struct http_field
        *fields; /* in order of arrival; includes framing fields, flagged in header.h */
    unsigned fields_count, fields_cap;
    uint64_t ids; /* a bit for each known field that there is, or was */
    uint8_t version_major; /* 1 or 2 */
    uint8_t version_minor; /* of HTTP/1.x as received; else 1 */
    bool is_response;
    bool keep_alive; /* the peer's wish after this message */
    bool has_body; /* bytes may follow (length known > 0, or unknown) */
    bool chunked; /* as received */
    bool expect_continue;
    int64_t content_length; /* bytes, or HTTP_LENGTH_UNKNOWN */

    /* Requests. */
    enum http_method method;
    struct span method_text;
    struct span target; /* request target as received (log only) */
    struct span path; /* normalised (http/uri.h), starts with '/', or "*" ; no query */
    struct span query; /* raw, without '?'; has_query tells "" from none */
    bool has_query;
    struct span authority; /* Host as it is to be forwarded: host[:port] */
    struct span host; /* canonical: lower case, no port, no trailing dot, brackets kept for IPv6 */
    uint16_t port; /* from Host, 0 when absent */
    struct span scheme; /* "http" or "https", by transport, or as a trusted proxy says (HTTP/2) */
    struct span
        upgrade; /* value of Upgrade when Connection lists it and it may be tunnelled; else none */

    /* Responses. */
    uint16_t status; /* 100..599 */
};

/* An empty head in the arena with room for fields_cap fields; NULL: arena overflow. */
struct http_head *http_head_new(struct arena *arena, unsigned fields_cap);
/* A deep copy, without the fields that were removed, but for TE: whoever writes HTTP/2 looks there
 * whether trailers are wanted. NULL: arena overflow. */
struct http_head *http_head_copy(const struct http_head *head, struct arena *arena);
/* false: there is none of these fields (http_header_bit, http_header_ids). */
static inline bool http_head_may_have(const struct http_head *head, uint64_t ids)
{
    return (head->ids & ids) != 0;
}
/* "HTTP/1.0", "HTTP/1.1" or "HTTP/2", for logs. */
const char *http_head_protocol(const struct http_head *head);
/* A deep copy of spans is not made. NULL/-ENOBUFS style: false when at 4096 fields or out of arena.
 * The caller vouches for name and value (token; no CR, LF, NUL): asserted by whoever writes the
 * head, so that splitting is impossible. */
MUST_CHECK bool http_head_add(struct http_head *head, struct span name, struct span value);
/* For parsers, which have looked up the name: id is its. */
MUST_CHECK bool http_head_add_found(struct http_head *head, enum http_header_id id,
                                    struct span name, struct span value);
MUST_CHECK bool http_head_add_id(struct http_head *head, enum http_header_id id, struct span value);
/* Replaces all fields of that name by one. */
MUST_CHECK bool http_head_set(struct http_head *head, struct span name, struct span value);
MUST_CHECK bool http_head_set_id(struct http_head *head, enum http_header_id id, struct span value);
/* Marks all fields of that name removed; how many there were. Names compare without case. */
unsigned http_head_remove(struct http_head *head, struct span name);
unsigned http_head_remove_id(struct http_head *head, enum http_header_id id);
/* First field, NULL: none. */
struct http_field *http_head_find(const struct http_head *head, struct span name);
struct http_field *http_head_find_id(const struct http_head *head, enum http_header_id id);
/* Removes hop-by-hop fields: Connection and what it names (except fields that may not be named
 * away: Host, Content-Length, Transfer-Encoding, Authorization, X-Forwarded-*), Keep-Alive,
 * Proxy-Connection, TE, Trailer's partner Transfer-Encoding, Upgrade,
 * Proxy-Authenticate/-Authorization (RFC 9110 7.6.1). */
void http_head_remove_hop_by_hop(struct http_head *head);

enum http_method http_method_from_span(struct span text);
/* Requests with other methods are refused (405), whatever the version of HTTP: those above, QUERY,
 * and what is registered for WebDAV, versioning and links or in wide use (http/methods.tbl). */
bool http_method_is_known(struct span text);
/* RFC 9110 9.2.2. */
bool http_method_is_idempotent(enum http_method method);
/* A request with this method says so when it has no body: "content-length: 0" (RFC 9110 8.6). */
bool http_method_announces_empty(enum http_method method);
/* "Not Found"; "" when not known. */
const char *http_status_text(unsigned status);
/* No body in such a response, whatever its fields say (RFC 9112 6.3). */
bool http_status_has_no_body(unsigned status);

#endif
