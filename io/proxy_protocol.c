/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/proxy_protocol.h"

#include <errno.h>
#include <string.h>

/* Version 1 is a line of text of at most 107 bytes:
 *
 *   PROXY TCP4 192.0.2.1 192.0.2.2 51234 443\r\n
 *
 * Version 2 is binary: 12 bytes of signature, version and command, family and
 * transport, 16 bits of length, addresses, type-length-values (skipped). */

#define V1_SIZE_MAX 107u
#define V2_HEAD_SIZE 16u

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                         0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static int v1_port(struct span text, uint16_t *ret)
{
    uint64_t port;
    /* No leading zeros: the sender writes the shortest form. */
    if ((text.len > 1 && text.ptr[0] == '0') || span_to_u64(text, UINT16_MAX, &port) < 0)
        return -EPROTO;
    *ret = (uint16_t)port;
    return 0;
}

/* "ADDR ADDR PORT PORT" of the family. */
static int v1_addresses(struct span rest, sa_family_t family, struct proxy_header *ret)
{
    struct span source, destination, source_port, destination_port;
    if (!span_split(rest, ' ', &source, &rest) || !span_split(rest, ' ', &destination, &rest) ||
        !span_split(rest, ' ', &source_port, &destination_port))
        return -EPROTO;
    uint16_t from_port, to_port;
    if (v1_port(source_port, &from_port) < 0 || v1_port(destination_port, &to_port) < 0 ||
        addr_from_ip(source, from_port, &ret->source) < 0 ||
        addr_from_ip(destination, to_port, &ret->destination) < 0)
        return -EPROTO;
    if (ret->source.sa.sa_family != family || ret->destination.sa.sa_family != family)
        return -EPROTO;
    return 0;
}

static ssize_t parse_v1(struct span data, struct proxy_header *ret)
{
    struct span window = span_make(data.ptr, MIN(data.len, (size_t)V1_SIZE_MAX));
    ssize_t end = span_find_char(window, '\n');
    if (end < 0)
        return data.len >= V1_SIZE_MAX ? -EPROTO : 0;
    if (end < 1 || data.ptr[end - 1] != '\r')
        return -EPROTO;
    struct span prefix = SPAN_LIT("PROXY ");
    struct span line = span_make(data.ptr, (size_t)end - 1), kind, rest;
    if (!span_starts_with(line, prefix))
        return -EPROTO;
    bool has_rest = span_split(span_skip(line, prefix.len), ' ', &kind, &rest);
    struct proxy_header header = {.local = false};
    if (span_equal_str(kind, "UNKNOWN")) {
        header.local = true; /* whatever follows is to be ignored */
    } else {
        bool v4 = span_equal_str(kind, "TCP4");
        if (!has_rest || (!v4 && !span_equal_str(kind, "TCP6")))
            return -EPROTO;
        if (v1_addresses(rest, v4 ? AF_INET : AF_INET6, &header) < 0)
            return -EPROTO;
    }
    *ret = header;
    return end + 1;
}

static void v2_addr(struct addr *addr, const uint8_t *ip, size_t ip_len, const uint8_t *port)
{
    *addr = (struct addr){.len = 0};
    if (ip_len == 4) {
        addr->in.sin_family = AF_INET;
        memcpy(&addr->in.sin_addr, ip, 4);
        memcpy(&addr->in.sin_port, port, 2);
        addr->len = sizeof(addr->in);
    } else {
        addr->in6.sin6_family = AF_INET6;
        memcpy(&addr->in6.sin6_addr, ip, 16);
        memcpy(&addr->in6.sin6_port, port, 2);
        addr->len = sizeof(addr->in6);
    }
}

static int v2_addresses(uint8_t family, const uint8_t *data, size_t len, struct proxy_header *ret)
{
    enum { STREAM_V4 = 0x11, STREAM_V6 = 0x21 };
    if (family != STREAM_V4 && family != STREAM_V6) {
        ret->local = true; /* unspecified, datagram or Unix: use the socket's */
        return (family >> 4) > 3 || (family & 0x0f) > 2 ? -EPROTO : 0;
    }
    size_t ip_len = family == STREAM_V4 ? 4 : 16;
    if (len < 2 * ip_len + 4)
        return -EPROTO;
    v2_addr(&ret->source, data, ip_len, data + 2 * ip_len);
    v2_addr(&ret->destination, data + ip_len, ip_len, data + 2 * ip_len + 2);
    return 0;
}

static ssize_t parse_v2(struct span data, struct proxy_header *ret)
{
    enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };
    if (data.len < V2_HEAD_SIZE)
        return 0;
    const uint8_t *bytes = (const uint8_t *)data.ptr;
    size_t len = (size_t)bytes[14] << 8 | bytes[15];
    if (V2_HEAD_SIZE + len > PROXY_PROTOCOL_SIZE_MAX)
        return -EPROTO;
    if (bytes[12] != COMMAND_LOCAL && bytes[12] != COMMAND_PROXY)
        return -EPROTO;
    if (data.len < V2_HEAD_SIZE + len)
        return 0;
    struct proxy_header header = {.local = bytes[12] == COMMAND_LOCAL};
    if (!header.local && v2_addresses(bytes[13], bytes + V2_HEAD_SIZE, len, &header) < 0)
        return -EPROTO;
    *ret = header;
    return (ssize_t)(V2_HEAD_SIZE + len);
}

ssize_t proxy_protocol_parse(struct span data, struct proxy_header *ret)
{
    static const char v1_prefix[] = "PROXY ";
    if (data.len == 0)
        return 0;
    size_t n = MIN(data.len, sizeof(v2_signature));
    if (memcmp(data.ptr, v2_signature, n) == 0)
        return parse_v2(data, ret);
    n = MIN(data.len, sizeof(v1_prefix) - 1);
    if (memcmp(data.ptr, v1_prefix, n) == 0)
        return parse_v1(data, ret);
    return -EPROTO;
}
