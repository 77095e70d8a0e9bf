/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_SPAN_H
#define RINGGATE_BASE_SPAN_H

/* A view of bytes owned by somebody else: pointer and length, not terminated.
 * ptr may be NULL only when len is 0. Passed by value. */

#include "base/base.h"

#include <string.h>

struct span {
    const char *ptr;
    size_t len;
};

#define SPAN_LIT(text) ((struct span){(text), sizeof(text) - 1})
#define SPAN_NONE ((struct span){NULL, 0})
/* For printf's "%.*s". */
#define SPAN_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : ""

static inline struct span span_make(const void *ptr, size_t len)
{
    return (struct span){(const char *)ptr, len};
}

static inline struct span span_str(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool span_equal_str(struct span a, const char *text)
{
    return span_equal(a, span_str(text));
}

/* Folds ASCII letters only (RFC 9110 5.1); other bytes compare as they are. */
bool span_equal_fold(struct span a, struct span b);
bool span_starts_with(struct span s, struct span prefix);
bool span_ends_with(struct span s, struct span suffix);
/* memcmp order, shorter first on a tie. */
int span_compare(struct span a, struct span b);
/* Index of the first c, or -1. */
ssize_t span_find_char(struct span s, char c);
/* Without leading and trailing spaces and tabs (OWS, RFC 9110 5.6.3). */
struct span span_trim_slow(struct span s);
static inline struct span span_trim(struct span s)
{
    /* No byte at either end is below '!': nothing to do, and most often so. */
    return s.len > 0 && s.ptr[0] > ' ' && s.ptr[s.len - 1] > ' ' ? s : span_trim_slow(s);
}
/* The part from offset on; offset <= len. */
struct span span_skip(struct span s, size_t offset);

/* Splits at the first c: *head gets what is before, *rest what is after it.
 * false when there is no c: *head is all of s, *rest empty. */
bool span_split(struct span s, char c, struct span *head, struct span *rest);

/* Decimal digits only: no sign, no space, at least one digit.
 * 0; -EINVAL: not a number; -ERANGE: above max. *ret is untouched on failure. */
MUST_CHECK int span_to_u64(struct span s, uint64_t max, uint64_t *ret);
/* The decimal digits of value, in out. */
#define SPAN_U64_SIZE 20
struct span span_from_u64(uint64_t value, char out[SPAN_U64_SIZE]);

/* ASCII lower case of one byte, whatever the locale. */
static inline unsigned char ascii_lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

/* Writes a lower-case copy of s to dst (s.len bytes, may overlap exactly). */
void span_lower_to(struct span s, char *dst);

#endif
