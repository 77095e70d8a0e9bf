/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/span.h"

#include <errno.h>

#include "base/panic.h"

/* ascii_lower of each byte. */
static inline uint64_t word_lower(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t low = word & (ones * 0x7f);
    uint64_t from_a = low + ones * (0x80 - 'A'), above_z = low + ones * (0x7f - 'Z');
    return word | ((from_a & ~above_z & ~word & (ones * 0x80)) >> 2);
}

static inline bool word_equal_fold(const char *a, const char *b, size_t size)
{
    uint64_t left = 0, right = 0;
    memcpy(&left, a, size);
    memcpy(&right, b, size);
    uint64_t differs = left ^ right;
    if (differs == 0 || (differs & ~UINT64_C(0x2020202020202020)))
        return differs == 0;
    return word_lower(left) == word_lower(right);
}

/* The last words overlap those before them, so that nothing is read beyond the end. */
bool span_equal_fold(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    if (a.len >= 8) {
        for (size_t i = 0; i + 8 < a.len; i += 8)
            if (!word_equal_fold(a.ptr + i, b.ptr + i, 8))
                return false;
        return word_equal_fold(a.ptr + a.len - 8, b.ptr + b.len - 8, 8);
    }
    if (a.len >= 4)
        return word_equal_fold(a.ptr, b.ptr, 4) &&
               word_equal_fold(a.ptr + a.len - 4, b.ptr + b.len - 4, 4);
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower((unsigned char)a.ptr[i]) != ascii_lower((unsigned char)b.ptr[i]))
            return false;
    return true;
}

bool span_starts_with(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_equal(span_make(s.ptr, prefix.len), prefix);
}

bool span_ends_with(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_equal(span_skip(s, s.len - suffix.len), suffix);
}

int span_compare(struct span a, struct span b)
{
    size_t shorter = MIN(a.len, b.len);
    /* memcmp must not see NULL, not even for no bytes. */
    int order = shorter == 0 ? 0 : memcmp(a.ptr, b.ptr, shorter);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

ssize_t span_find_char(struct span s, char c)
{
    if (s.len == 0)
        return -1;
    const char *at = memchr(s.ptr, (unsigned char)c, s.len);
    return at == NULL ? -1 : at - s.ptr;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim_slow(struct span s)
{
    while (s.len > 0 && is_ows(s.ptr[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_ows(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    return s;
}

struct span span_skip(struct span s, size_t offset)
{
    ASSERT(offset <= s.len);
    if (offset == 0)
        return s;
    return span_make(s.ptr + offset, s.len - offset);
}

bool span_split(struct span s, char c, struct span *head, struct span *rest)
{
    ssize_t at = span_find_char(s, c);
    if (at < 0) {
        *head = s;
        *rest = SPAN_NONE;
        return false;
    }
    *head = span_make(s.ptr, (size_t)at);
    *rest = span_skip(s, (size_t)at + 1);
    return true;
}

struct span span_from_u64(uint64_t value, char out[SPAN_U64_SIZE])
{
    size_t at = SPAN_U64_SIZE;
    do {
        out[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return span_make(out + at, SPAN_U64_SIZE - at);
}

int span_to_u64(struct span s, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    bool above = false;
    if (s.len == 0)
        return -EINVAL;
    /* A bad digit counts more than a big number, so all of it is looked at. */
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.ptr[i] - (unsigned)'0';
        if (digit > 9)
            return -EINVAL;
        if (above || value > (UINT64_MAX - digit) / 10) {
            above = true;
            continue;
        }
        value = value * 10 + digit;
    }
    if (above || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

void span_lower_to(struct span s, char *dst)
{
    for (size_t i = 0; i < s.len; i++)
        dst[i] = (char)ascii_lower((unsigned char)s.ptr[i]);
}
