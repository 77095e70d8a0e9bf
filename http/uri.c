/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/uri.h"

#include <arpa/inet.h>
#include <errno.h>

#include "http/chars.h"

#define URI_HOST_MAX 253u /* a name's text form (RFC 1035 2.3.4), without a final dot */

static int uri_parse_port(struct span text, uint16_t *ret)
{
    if (text.len == 0) { /* "host:" is allowed (RFC 3986 3.2.3) and means no port */
        *ret = 0;
        return 0;
    }
    uint64_t port;
    if (span_to_u64(text, 65535, &port) < 0 || port == 0)
        return -EINVAL;
    *ret = (uint16_t)port;
    return 0;
}

/* host, without its final dot, may be a name: no empty label. */
static bool uri_is_name(struct span host)
{
    if (host.len == 0 || host.len > URI_HOST_MAX)
        return false;
    char before = '.';
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!chars_is(c, CHARS_HOST) || (c == '.' && before == '.'))
            return false;
        before = c;
    }
    return before != '.';
}

static int uri_lower(struct arena *arena, struct span host, struct span *ret)
{
    size_t i = 0;
    while (i < host.len && !(host.ptr[i] >= 'A' && host.ptr[i] <= 'Z'))
        i++;
    if (LIKELY(i == host.len)) {
        *ret = host;
        return 0;
    }
    char *copy = arena_alloc_aligned(arena, host.len, 1);
    if (copy == NULL)
        return -ENOBUFS;
    span_lower_to(host, copy);
    *ret = span_make(copy, host.len);
    return 0;
}

/* One text form for each address: what inet_ntop writes. */
static int uri_ipv6(struct arena *arena, struct span inner, struct span *ret)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (inner.len >= sizeof(text))
        return -EINVAL;
    memcpy(text, inner.ptr, inner.len);
    text[inner.len] = '\0';
    if (inet_pton(AF_INET6, text, &address) != 1)
        return -EINVAL;
    if (inet_ntop(AF_INET6, &address, text, sizeof(text)) == NULL)
        return -EINVAL;
    if (span_equal_str(inner, text)) {
        *ret = span_make(inner.ptr - 1, inner.len + 2);
        return 0;
    }
    *ret = arena_printf(arena, "[%s]", text);
    return ret->ptr == NULL ? -ENOBUFS : 0;
}

int uri_parse_authority(struct arena *arena, struct span text, struct span *ret_host,
                        uint16_t *ret_port)
{
    struct span host, rest = SPAN_NONE, canonical;
    bool v6 = text.len > 0 && text.ptr[0] == '[';
    if (v6) {
        ssize_t end = span_find_char(text, ']');
        if (end < 0)
            return -EINVAL;
        host = span_make(text.ptr + 1, (size_t)end - 1);
        rest = span_skip(text, (size_t)end + 1);
    } else {
        ssize_t colon = span_find_char(text, ':');
        host = colon < 0 ? text : span_make(text.ptr, (size_t)colon);
        rest = span_skip(text, host.len);
    }
    uint16_t port = 0;
    if (rest.len > 0 && (rest.ptr[0] != ':' || uri_parse_port(span_skip(rest, 1), &port) < 0))
        return -EINVAL;
    int error;
    if (v6) {
        error = uri_ipv6(arena, host, &canonical);
    } else {
        if (host.len > 1 && host.ptr[host.len - 1] == '.')
            host.len--;
        if (!uri_is_name(host))
            return -EINVAL;
        error = uri_lower(arena, host, &canonical);
    }
    if (error < 0)
        return error;
    *ret_host = canonical;
    *ret_port = port;
    return 0;
}

/* Already in normal form as far as can be told in one pass: no escape, and no
 * segment that begins with a dot. 1: yes; 0: has to be worked on; -EINVAL. */
static int uri_is_plain(struct span path)
{
    bool plain = true;
    char before = 0;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (UNLIKELY(!chars_is(c, CHARS_PATH))) {
            if (c != '%')
                return -EINVAL;
            plain = false;
        }
        if (c == '.' && before == '/')
            plain = false;
        before = c;
    }
    return plain;
}

/* The escape at text ("%hh"), written to out: one byte when it stands for an
 * unreserved character, else three. How many; -EINVAL. */
static int uri_unescape(const char *text, size_t left, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    int high = left < 3 ? -1 : chars_hex(text[1]);
    int low = left < 3 ? -1 : chars_hex(text[2]);
    if (high < 0 || low < 0)
        return -EINVAL;
    char c = (char)(high * 16 + low);
    if (c == '\0' || c == '/' || c == '\\')
        return -EINVAL;
    if (chars_is(c, CHARS_UNRESERVED)) {
        out[0] = c;
        return 1;
    }
    out[0] = '%';
    out[1] = digits[high];
    out[2] = digits[low];
    return 3;
}

/* Dots with parameters: ".;x" is "." for servers that cut parameters off. */
static bool uri_is_dots_with_parameter(const char *segment, size_t len)
{
    size_t dots = 0;
    while (dots < len && dots < 2 && segment[dots] == '.')
        dots++;
    if (dots == 0 || dots == len)
        return false;
    return segment[dots] == ';' || (len - dots >= 3 && memcmp(segment + dots, "%3B", 3) == 0);
}

/* The segment that begins at `start` of out is complete. Dot segments are taken
 * back with what they undo (RFC 3986 5.2.4). The new length; *ret_dot tells that it was one. */
static ssize_t uri_end_segment(const char *out, size_t start, size_t len, bool *ret_dot)
{
    size_t size = len - start;
    const char *segment = out + start;
    *ret_dot = false;
    if (size == 0 || segment[0] != '.')
        return (ssize_t)len;
    if (uri_is_dots_with_parameter(segment, size))
        return -EINVAL;
    if (size == 1) {
        *ret_dot = true;
        return (ssize_t)start;
    }
    if (size != 2 || segment[1] != '.')
        return (ssize_t)len;
    *ret_dot = true;
    if (start == 1)
        return 1;
    size_t at = start - 1;
    while (out[at - 1] != '/')
        at--;
    return (ssize_t)at;
}

/* Segment by segment: unescape into out, then look whether it is a dot segment. */
static ssize_t uri_rewrite(struct span path, char *out)
{
    size_t len = 1, start = 1;
    out[0] = '/';
    for (size_t i = 1;; i++) {
        bool end = i == path.len;
        if (!end && path.ptr[i] == '%') {
            int n = uri_unescape(path.ptr + i, path.len - i, out + len);
            if (n < 0)
                return n;
            len += (size_t)n;
            i += 2;
            continue;
        }
        if (!end && path.ptr[i] != '/') {
            out[len++] = path.ptr[i];
            continue;
        }
        bool dot;
        ssize_t kept = uri_end_segment(out, start, len, &dot);
        if (kept < 0)
            return kept;
        len = (size_t)kept;
        if (end)
            return (ssize_t)len;
        if (!dot)
            out[len++] = '/';
        start = len;
    }
}

int uri_normalize_path(struct arena *arena, struct span path, struct span *ret)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return -EINVAL;
    int plain = uri_is_plain(path);
    if (plain < 0)
        return plain;
    if (LIKELY(plain)) {
        *ret = path;
        return 0;
    }
    char *out = arena_alloc_aligned(arena, path.len, 1);
    if (out == NULL)
        return -ENOBUFS;
    ssize_t len = uri_rewrite(path, out);
    if (len < 0)
        return (int)len;
    *ret = (size_t)len == path.len && memcmp(out, path.ptr, path.len) == 0
               ? path
               : span_make(out, (size_t)len);
    return 0;
}

bool uri_is_query(struct span query)
{
    for (size_t i = 0; i < query.len; i++) {
        if (LIKELY(chars_is(query.ptr[i], CHARS_QUERY)))
            continue;
        if (query.ptr[i] != '%' || query.len - i < 3 || chars_hex(query.ptr[i + 1]) < 0 ||
            chars_hex(query.ptr[i + 2]) < 0)
            return false;
        i += 2;
    }
    return true;
}
