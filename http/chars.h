/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_CHARS_H
#define RINGGATE_HTTP_CHARS_H

/* Byte classes of the HTTP and URI grammars. Pure, any thread. */

#include "base/span.h"

enum chars_bit {
    CHARS_TOKEN = 1u << 0, /* tchar, RFC 9110 5.6.2 */
    CHARS_VALUE = 1u << 1, /* field value: HTAB, SP, VCHAR, obs-text (RFC 9110 5.5) */
    CHARS_PATH = 1u << 2, /* pchar and '/', without '%' (RFC 3986 3.3) */
    CHARS_QUERY = 1u << 3, /* query, without '%', with []|{}^` that browsers send raw */
    CHARS_UNRESERVED = 1u << 4, /* RFC 3986 2.3 */
    CHARS_HOST = 1u << 5, /* letters, digits, "-._~" */
    CHARS_HEX = 1u << 6,
};

extern const uint8_t chars_class[256];

static inline bool chars_is(char c, unsigned bits)
{
    return (chars_class[(unsigned char)c] & bits) != 0;
}

/* Every byte is of the class; true for the empty span. */
static inline bool chars_all(struct span s, unsigned bit)
{
    for (size_t i = 0; i < s.len; i++)
        if (!chars_is(s.ptr[i], bit))
            return false;
    return true;
}

/* Not empty and all tchar. */
static inline bool chars_is_token(struct span s)
{
    return s.len > 0 && chars_all(s, CHARS_TOKEN);
}

/* All bytes may stand in a field value; fast, for long values. */
bool chars_is_value(struct span s);
/* Space and visible ASCII only. */
bool chars_is_printable(struct span s);

/* 0..15, or -1 when c is no hexadecimal digit. */
static inline int chars_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

#endif
