/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_ADDR_H
#define RINGGATE_IO_ADDR_H

/* Socket addresses (IPv4, IPv6, Unix), address ranges and their text forms. */

#include "base/span.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len; /* 0: no address */
};

/* An IP address and port in little room, for what is kept for every connection. */
struct addr_short {
    uint8_t ip[16];
    uint32_t scope; /* zone of a link-local address */
    uint16_t port;
    uint8_t family; /* 0: no address */
};

/* Unix addresses become none. */
void addr_shorten(const struct addr *addr, struct addr_short *ret);
void addr_expand(const struct addr_short *from, struct addr *ret);
/* As addr_format_ip, without the NUL and into the 39 bytes that the longest takes. */
#define ADDR_SHORT_TEXT_SIZE 39
size_t addr_short_format_ip(const struct addr_short *addr, char out[ADDR_SHORT_TEXT_SIZE]);

/* "[2001:db8::1]:443" and a NUL; Unix paths are cut to fit. */
#define ADDR_TEXT_SIZE 120

/* ip: literal IPv4 or IPv6 (no brackets, no zone). 0; -EINVAL. */
MUST_CHECK int addr_from_ip(struct span ip, uint16_t port, struct addr *ret);
/* "ADDR:PORT", "[ADDR]:PORT", "unix:PATH". 0; -EINVAL. */
MUST_CHECK int addr_parse(struct span text, struct addr *ret);
/* With port ("1.2.3.4:80", "[::1]:80", "unix:/p"); returns the length. */
size_t addr_format(const struct addr *addr, char out[ADDR_TEXT_SIZE]);
/* Without port or brackets; v4-mapped addresses as IPv4. */
size_t addr_format_ip(const struct addr *addr, char out[ADDR_TEXT_SIZE]);
uint16_t addr_port(const struct addr *addr);
void addr_set_port(struct addr *addr, uint16_t port);
bool addr_equal(const struct addr *a, const struct addr *b); /* address and port */
/* Turns ::ffff:a.b.c.d into a.b.c.d in place. */
void addr_unmap(struct addr *addr);
/* The IP in network order: 4 or 16 bytes; 0 for Unix addresses. */
size_t addr_ip_bytes(const struct addr *addr, uint8_t out[16]);

struct addr_range {
    uint8_t family, prefix; /* AF_INET or AF_INET6; bits */
    uint8_t ip[16];
};
/* "10.0.0.0/8", "::1" (whole address). Host bits must be zero. 0; -EINVAL. */
MUST_CHECK int addr_range_parse(struct span text, struct addr_range *ret);
bool addr_range_has(const struct addr_range *range, const struct addr *addr);

#endif
