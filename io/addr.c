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

static char *put_number(char *at, unsigned value)
{
    char digits[SPAN_U64_SIZE];
    struct span text = span_from_u64(value, digits);
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

static char *put_v4(char *at, const uint8_t ip[4])
{
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            *at++ = '.';
        if (ip[i] >= 100)
            *at++ = (char)('0' + ip[i] / 100);
        if (ip[i] >= 10)
            *at++ = (char)('0' + ip[i] / 10 % 10);
        *at++ = (char)('0' + ip[i] % 10);
    }
    return at;
}

static unsigned v6_group(const uint8_t ip[16], unsigned i)
{
    return (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
}

/* The longest run of two or more groups of zeros, the first of equals (RFC 5952 4.2). */
static unsigned v6_zeros(const uint8_t ip[16], unsigned *begin)
{
    unsigned longest = 1, run = 0;
    *begin = 8;
    for (unsigned i = 0; i < 8; i++) {
        run = v6_group(ip, i) == 0 ? run + 1 : 0;
        if (run > longest) {
            longest = run;
            *begin = i + 1 - run;
        }
    }
    return *begin == 8 ? 0 : longest;
}

static char *put_group(char *at, unsigned group)
{
    bool begun = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        unsigned digit = group >> shift & 15;
        begun |= digit > 0 || shift == 0;
        if (begun)
            *at++ = "0123456789abcdef"[digit];
    }
    return at;
}

/* As inet_ntop does, without printf. Mapped addresses do not come here; those of the deprecated
 * form ::a.b.c.d are written like others. */
static char *put_v6(char *at, const uint8_t ip[16])
{
    unsigned begin, zeros = v6_zeros(ip, &begin);
    for (unsigned i = 0; i < 8;) {
        if (i == begin) {
            *at++ = ':';
            i += zeros;
            if (i == 8)
                *at++ = ':';
            continue;
        }
        if (i > 0)
            *at++ = ':';
        at = put_group(at, v6_group(ip, i));
        i++;
    }
    return at;
}

static char *put_path(char *at, const struct addr *addr)
{
    size_t len = strnlen(addr->un.sun_path, sizeof(addr->un.sun_path));
    memcpy(at, "unix:", 5);
    memcpy(at + 5, addr->un.sun_path, len);
    return at + 5 + len;
}

_Static_assert(5 + sizeof(((struct sockaddr_un *)NULL)->sun_path) < ADDR_TEXT_SIZE, "a path fits");

static size_t format(const struct addr *addr, bool with_port, char out[ADDR_TEXT_SIZE])
{
    struct addr copy = *addr;
    char *at = out;
    addr_unmap(&copy);
    int family = copy.len > 0 ? copy.sa.sa_family : AF_UNSPEC;
    bool bracket = with_port && family == AF_INET6;
    if (bracket)
        *at++ = '[';
    if (family == AF_INET)
        at = put_v4(at, (const uint8_t *)&copy.in.sin_addr);
    else if (family == AF_INET6)
        at = put_v6(at, copy.in6.sin6_addr.s6_addr);
    else if (family == AF_UNIX)
        at = put_path(at, &copy);
    if (bracket)
        *at++ = ']';
    if (with_port && (family == AF_INET || family == AF_INET6)) {
        *at++ = ':';
        at = put_number(at, addr_port(&copy));
    }
    *at = '\0';
    return (size_t)(at - out);
}

size_t addr_format_ip(const struct addr *addr, char out[ADDR_TEXT_SIZE])
{
    return format(addr, false, out);
}

size_t addr_format(const struct addr *addr, char out[ADDR_TEXT_SIZE])
{
    return format(addr, true, out);
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

size_t addr_short_format_ip(const struct addr_short *addr, char out[ADDR_SHORT_TEXT_SIZE])
{
    char text[ADDR_TEXT_SIZE];
    struct addr whole;
    if (addr->family == AF_INET)
        return (size_t)(put_v4(out, addr->ip) - out);
    addr_expand(addr, &whole);
    size_t len = MIN(addr_format_ip(&whole, text), (size_t)ADDR_SHORT_TEXT_SIZE);
    memcpy(out, text, len);
    return len;
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
