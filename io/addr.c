/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int addr_from_ip(struct span ip, uint16_t port, struct addr *ret)
{
    char text[INET6_ADDRSTRLEN];
    if (ip.len == 0 || ip.len >= sizeof(text) || memchr(ip.ptr, 0, ip.len))
        return -EINVAL;
    memcpy(text, ip.ptr, ip.len);
    text[ip.len] = '\0';
    struct addr addr = {.len = 0};
    if (inet_pton(AF_INET, text, &addr.in.sin_addr) == 1) {
        addr.in.sin_family = AF_INET;
        addr.in.sin_port = htons(port);
        addr.len = sizeof(addr.in);
    } else if (inet_pton(AF_INET6, text, &addr.in6.sin6_addr) == 1) {
        addr.in6.sin6_family = AF_INET6;
        addr.in6.sin6_port = htons(port);
        addr.len = sizeof(addr.in6);
    } else {
        return -EINVAL;
    }
    *ret = addr;
    return 0;
}

static int addr_from_path(struct span path, struct addr *ret)
{
    struct addr addr = {.len = 0};
    if (path.len == 0 || path.len >= sizeof(addr.un.sun_path) || memchr(path.ptr, 0, path.len))
        return -EINVAL;
    addr.un.sun_family = AF_UNIX;
    memcpy(addr.un.sun_path, path.ptr, path.len);
    addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    *ret = addr;
    return 0;
}

int addr_parse(struct span text, struct addr *ret)
{
    struct span prefix = SPAN_LIT("unix:");
    if (span_starts_with(text, prefix))
        return addr_from_path(span_skip(text, prefix.len), ret);
    struct span ip, port;
    if (text.len > 0 && text.ptr[0] == '[') {
        ssize_t end = span_find_char(text, ']');
        if (end < 0 || (size_t)end + 1 >= text.len || text.ptr[end + 1] != ':')
            return -EINVAL;
        ip = span_make(text.ptr + 1, (size_t)end - 1);
        port = span_skip(text, (size_t)end + 2);
        if (span_find_char(ip, ':') < 0)
            return -EINVAL;
    } else if (!span_split(text, ':', &ip, &port)) {
        return -EINVAL;
    } else if (span_find_char(ip, '.') < 0) {
        return -EINVAL;
    }
    uint64_t number;
    if (span_to_u64(port, UINT16_MAX, &number) < 0)
        return -EINVAL;
    return addr_from_ip(ip, (uint16_t)number, ret);
}

static size_t printed(int n)
{
    return n < 0 ? 0 : MIN((size_t)n, (size_t)ADDR_TEXT_SIZE - 1);
}

size_t addr_format_ip(const struct addr *addr, char out[ADDR_TEXT_SIZE])
{
    struct addr copy = *addr;
    addr_unmap(&copy);
    out[0] = '\0';
    if (copy.len > 0 && copy.sa.sa_family == AF_INET)
        (void)inet_ntop(AF_INET, &copy.in.sin_addr, out, ADDR_TEXT_SIZE); /* fits */
    else if (copy.len > 0 && copy.sa.sa_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &copy.in6.sin6_addr, out, ADDR_TEXT_SIZE); /* fits */
    else if (copy.len > 0 && copy.sa.sa_family == AF_UNIX)
        return printed(snprintf(out, ADDR_TEXT_SIZE, "unix:%.*s", (int)sizeof(copy.un.sun_path),
                                copy.un.sun_path));
    return strlen(out);
}

size_t addr_format(const struct addr *addr, char out[ADDR_TEXT_SIZE])
{
    char ip[ADDR_TEXT_SIZE];
    size_t len = addr_format_ip(addr, ip);
    if (len == 0 || addr->sa.sa_family == AF_UNIX) {
        memcpy(out, ip, len + 1);
        return len;
    }
    bool v6 = memchr(ip, ':', len) != NULL;
    return printed(
        snprintf(out, ADDR_TEXT_SIZE, v6 ? "[%.100s]:%u" : "%.100s:%u", ip, addr_port(addr)));
}

uint16_t addr_port(const struct addr *addr)
{
    if (addr->len == 0)
        return 0;
    if (addr->sa.sa_family == AF_INET)
        return ntohs(addr->in.sin_port);
    if (addr->sa.sa_family == AF_INET6)
        return ntohs(addr->in6.sin6_port);
    return 0;
}

void addr_set_port(struct addr *addr, uint16_t port)
{
    if (addr->len == 0)
        return;
    if (addr->sa.sa_family == AF_INET)
        addr->in.sin_port = htons(port);
    else if (addr->sa.sa_family == AF_INET6)
        addr->in6.sin6_port = htons(port);
}

size_t addr_ip_bytes(const struct addr *addr, uint8_t out[16])
{
    if (addr->len > 0 && addr->sa.sa_family == AF_INET) {
        memcpy(out, &addr->in.sin_addr, 4);
        return 4;
    }
    if (addr->len > 0 && addr->sa.sa_family == AF_INET6) {
        memcpy(out, &addr->in6.sin6_addr, 16);
        return 16;
    }
    return 0;
}

void addr_shorten(const struct addr *addr, struct addr_short *ret)
{
    *ret = (struct addr_short){.port = addr_port(addr)};
    if (addr_ip_bytes(addr, ret->ip) > 0)
        ret->family = (uint8_t)addr->sa.sa_family;
    if (ret->family == AF_INET6)
        ret->scope = addr->in6.sin6_scope_id;
}

void addr_expand(const struct addr_short *from, struct addr *ret)
{
    ret->len = 0;
    if (from->family == AF_INET) {
        ret->len = sizeof(ret->in);
        ret->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(from->port)};
        memcpy(&ret->in.sin_addr, from->ip, 4);
    } else if (from->family == AF_INET6) {
        ret->len = sizeof(ret->in6);
        ret->in6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons(from->port), .sin6_scope_id = from->scope};
        memcpy(&ret->in6.sin6_addr, from->ip, 16);
    }
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    if (a->len == 0 || b->len == 0)
        return a->len == b->len;
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_UNIX)
        return strncmp(a->un.sun_path, b->un.sun_path, sizeof(a->un.sun_path)) == 0;
    uint8_t ip_a[16], ip_b[16];
    size_t len = addr_ip_bytes(a, ip_a);
    (void)addr_ip_bytes(b, ip_b); /* same family, same length */
    if (a->sa.sa_family == AF_INET6 && a->in6.sin6_scope_id != b->in6.sin6_scope_id)
        return false;
    return addr_port(a) == addr_port(b) && memcmp(ip_a, ip_b, len) == 0;
}

void addr_unmap(struct addr *addr)
{
    if (addr->len == 0 || addr->sa.sa_family != AF_INET6 ||
        !IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
        return;
    struct addr v4 = {.len = sizeof(v4.in)};
    v4.in.sin_family = AF_INET;
    v4.in.sin_port = addr->in6.sin6_port;
    memcpy(&v4.in.sin_addr, &addr->in6.sin6_addr.s6_addr[12], 4);
    *addr = v4;
}

int addr_range_parse(struct span text, struct addr_range *ret)
{
    struct span ip, bits;
    bool has_prefix = span_split(text, '/', &ip, &bits);
    struct addr addr;
    if (addr_from_ip(ip, 0, &addr) < 0)
        return -EINVAL;
    struct addr_range range = {.family = (uint8_t)addr.sa.sa_family};
    size_t len = addr_ip_bytes(&addr, range.ip);
    uint64_t prefix = len * 8;
    if (has_prefix && span_to_u64(bits, len * 8, &prefix) < 0)
        return -EINVAL;
    range.prefix = (uint8_t)prefix;
    for (size_t bit = prefix; bit < len * 8; bit++) {
        if (range.ip[bit / 8] & (0x80u >> (bit % 8)))
            return -EINVAL;
    }
    *ret = range;
    return 0;
}

bool addr_range_has(const struct addr_range *range, const struct addr *addr)
{
    struct addr copy = *addr;
    if (range->family == AF_INET)
        addr_unmap(&copy);
    uint8_t ip[16];
    size_t len = addr_ip_bytes(&copy, ip);
    if (len == 0 || copy.sa.sa_family != range->family)
        return false;
    size_t whole = range->prefix / 8u;
    unsigned rest = range->prefix % 8u;
    if (memcmp(ip, range->ip, whole) != 0)
        return false;
    return rest == 0 || ((ip[whole] ^ range->ip[whole]) >> (8 - rest)) == 0;
}
