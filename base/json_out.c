/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/json_out.h"

#include <inttypes.h>

#include "base/panic.h"

#define DEPTH_MAX 64

void json_out_init(struct json_out *out, struct buf *buf)
{
    *out = (struct json_out){.buf = buf};
}

/* The comma before an item, unless it is the first of its level or a value
 * that belongs to a key. The level outside all objects takes one value. */
static void item_begin(struct json_out *out)
{
    if (out->after_key) {
        out->after_key = false;
        return;
    }
    if (out->depth == 0)
        return;
    uint64_t bit = UINT64_C(1) << (out->depth - 1);
    if (out->has_items & bit)
        buf_add_char(out->buf, ',');
    out->has_items |= bit;
}

static void level_begin(struct json_out *out, char bracket)
{
    item_begin(out);
    ASSERT(out->depth < DEPTH_MAX);
    out->has_items &= ~(UINT64_C(1) << out->depth);
    out->depth++;
    buf_add_char(out->buf, bracket);
}

static void level_end(struct json_out *out, char bracket)
{
    ASSERT(out->depth > 0);
    ASSERT(!out->after_key);
    out->depth--;
    buf_add_char(out->buf, bracket);
}

void json_out_object_begin(struct json_out *out)
{
    level_begin(out, '{');
}

void json_out_object_end(struct json_out *out)
{
    level_end(out, '}');
}

void json_out_array_begin(struct json_out *out)
{
    level_begin(out, '[');
}

void json_out_array_end(struct json_out *out)
{
    level_end(out, ']');
}

/* Not 0 when one of eight bytes is not printable ASCII, or is a quote or a backslash. */
static inline uint64_t word_special(uint64_t x)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t quote = x ^ (ones * '"'), slash = x ^ (ones * '\\'), del = x ^ (ones * 0x7f);
    return (x | ((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
            ((del - ones) & ~del)) &
           (ones * 0x80);
}

/* Bytes at the start of s that stand for themselves; there may be up to 7 more. */
static size_t plain_length(struct span s)
{
    size_t len = 0;
    uint64_t word;
    for (; len + sizeof(word) <= s.len; len += sizeof(word)) {
        memcpy(&word, s.ptr + len, sizeof(word));
        if (word_special(word) != 0)
            return len;
    }
    if (len < s.len) {
        /* The rest, as if spaces followed. */
        word = UINT64_C(0x2020202020202020);
        memcpy(&word, s.ptr + len, s.len - len);
        if (word_special(word) == 0)
            len = s.len;
    }
    return len;
}

/* Bytes of the UTF-8 character at the start of s (RFC 3629 section 4), 0 when
 * it is not one: overlong forms, surrogates and values above U+10FFFF are not. */
static size_t utf8_length(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t len;
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if ((p[0] & 0xf0) == 0xe0) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
        high = p[0] == 0xed ? 0x9f : 0xbf;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (s.len < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

/* One character of s as JSON into out (at most 6 bytes); *taken gets its bytes in s. */
static size_t escape_char(struct span s, char out[6], size_t *taken)
{
    static const char hex[] = "0123456789abcdef";
    static const char named[] = "\"\\\b\f\n\r\t";
    unsigned char c = (unsigned char)s.ptr[0];
    *taken = 1;
    const char *at = memchr(named, c, sizeof(named) - 1);
    if (at != NULL) {
        out[0] = '\\';
        out[1] = "\"\\bfnrt"[at - named];
        return 2;
    }
    size_t len = utf8_length(s);
    if (len == 2 && c == 0xc2 && (unsigned char)s.ptr[1] < 0xa0) {
        /* U+0080 to U+009F: a terminal takes some of them for commands. */
        c = (unsigned char)s.ptr[1];
        *taken = 2;
        len = 0;
    }
    if (c >= 0x20 && c != 0x7f && len > 0) {
        memcpy(out, s.ptr, len);
        *taken = len;
        return len;
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

/* Takes the next piece off s: what is plain as it is, or one character written to text. */
static struct span piece_next(struct span *s, char text[6])
{
    size_t taken = plain_length(*s);
    struct span piece = span_make(s->ptr, taken);
    if (taken == 0)
        piece = span_make(text, escape_char(*s, text, &taken));
    *s = span_skip(*s, taken);
    return piece;
}

size_t json_out_escape(struct span s, char *dst, size_t dst_size)
{
    char text[6];
    if (s.len == 0)
        return 0;
    size_t written = MIN(plain_length(s), dst_size); /* most often all */
    memcpy(dst, s.ptr, written);
    s = span_skip(s, written);
    while (s.len > 0 && written < dst_size) {
        struct span piece = piece_next(&s, text);
        size_t room = dst_size - written;
        if (piece.len > room && piece.ptr == text)
            break;
        piece.len = MIN(piece.len, room);
        memcpy(dst + written, piece.ptr, piece.len);
        written += piece.len;
    }
    return written;
}

static void string_write(struct json_out *out, struct span s)
{
    char text[6];
    buf_add_char(out->buf, '"');
    while (s.len > 0) {
        struct span piece = piece_next(&s, text);
        buf_add(out->buf, piece.ptr, piece.len);
    }
    buf_add_char(out->buf, '"');
}

void json_out_key(struct json_out *out, const char *key)
{
    ASSERT(out->depth > 0);
    ASSERT(!out->after_key);
    item_begin(out);
    string_write(out, span_str(key));
    buf_add_char(out->buf, ':');
    out->after_key = true;
}

void json_out_str(struct json_out *out, const char *text)
{
    if (text == NULL)
        json_out_null(out);
    else
        json_out_span(out, span_str(text));
}

void json_out_span(struct json_out *out, struct span s)
{
    item_begin(out);
    string_write(out, s);
}

void json_out_int(struct json_out *out, int64_t value)
{
    item_begin(out);
    buf_printf(out->buf, "%" PRId64, value);
}

void json_out_null(struct json_out *out)
{
    item_begin(out);
    buf_add_str(out->buf, "null");
}
