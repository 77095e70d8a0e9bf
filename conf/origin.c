/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/origin.h"

static bool is_host_byte(char c)
{
    unsigned char lower = ascii_lower((unsigned char)c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* A name, an IPv4 address, or an IPv6 address in brackets; the wildcard alone or as first label. */
static bool is_host(struct span host)
{
    bool is_v6 = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (is_v6)
        host = span_make(host.ptr + 1, host.len - 2);
    else if (span_equal_str(host, "*"))
        return true;
    else if (span_starts_with(host, SPAN_LIT("*.")))
        host = span_skip(host, 2);
    for (size_t i = 0; i < host.len; i++) {
        if (!is_host_byte(host.ptr[i]) && !(is_v6 && host.ptr[i] == ':'))
            return false;
    }
    return host.len > 0 && host.ptr[0] != '.';
}

bool origin_parse(struct span text, struct origin *ret)
{
    struct origin origin = {.port = 80};
    struct span rest;
    if (!span_split(text, ':', &origin.scheme, &rest) || !span_starts_with(rest, SPAN_LIT("//")))
        return false;
    if (span_equal_fold(origin.scheme, SPAN_LIT("https")))
        origin.port = 443;
    else if (!span_equal_fold(origin.scheme, SPAN_LIT("http")))
        return false;
    origin.host = span_skip(rest, 2);
    size_t colon = origin.host.len;
    while (colon > 0 && origin.host.ptr[colon - 1] != ':' && origin.host.ptr[colon - 1] != ']')
        colon--;
    if (colon > 0 && origin.host.ptr[colon - 1] == ':') {
        uint64_t port;
        if (span_to_u64(span_skip(origin.host, colon), 65535, &port) != 0 || port == 0)
            return false;
        origin.port = (uint16_t)port;
        origin.host.len = colon - 1;
    }
    if (!is_host(origin.host))
        return false;
    *ret = origin;
    return true;
}

bool origin_matches(const struct origin *listed, const struct origin *origin)
{
    if (listed->port != origin->port || !span_equal_fold(listed->scheme, origin->scheme))
        return false;
    if (span_equal_str(listed->host, "*"))
        return true;
    if (!span_starts_with(listed->host, SPAN_LIT("*.")))
        return span_equal_fold(listed->host, origin->host);
    struct span suffix = span_skip(listed->host, 1);
    return origin->host.len > suffix.len &&
           span_equal_fold(span_skip(origin->host, origin->host.len - suffix.len), suffix);
}
