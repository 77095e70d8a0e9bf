/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/chunk.h"

#include <errno.h>

#include "base/panic.h"
#include "http/chars.h"

/* chunk      = 1*HEXDIG [ chunk-ext ] CRLF chunk-data CRLF
 * chunk-ext  = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
 *
 * At most 16 digits, so that a size cannot wrap, and at most 2^60 bytes. White space
 * is taken only where the grammar has BWS, thus never before CR. */

enum chunk_state {
    CHUNK_STATE_SIZE, /* digits; the first must be one */
    CHUNK_STATE_GAP, /* white space after a size or value: only ';' may follow */
    CHUNK_STATE_NAME_FIRST, /* white space or the first byte of a name */
    CHUNK_STATE_NAME,
    CHUNK_STATE_NAME_GAP, /* white space after a name: '=' or ';' */
    CHUNK_STATE_VALUE_FIRST,
    CHUNK_STATE_VALUE,
    CHUNK_STATE_QUOTED,
    CHUNK_STATE_ESCAPED, /* the byte after a backslash */
    CHUNK_STATE_QUOTED_END,
    CHUNK_STATE_SIZE_LF, /* CR was seen */
    CHUNK_STATE_DATA,
    CHUNK_STATE_DATA_CR,
    CHUNK_STATE_DATA_LF,
    CHUNK_STATE_END,
    CHUNK_STATE_BAD,
};

#define CHUNK_DIGITS_MAX 16u
#define CHUNK_SIZE_MAX (UINT64_C(1) << 60)

void chunk_init(struct chunk *chunk, uint32_t ext_bytes_max)
{
    *chunk = (struct chunk){.ext_left = ext_bytes_max, .state = CHUNK_STATE_SIZE};
}

static inline bool chunk_is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* After a complete element: what may follow it. gap: the state that white space leads to. */
static enum chunk_state chunk_after(char c, enum chunk_state gap)
{
    if (c == '\r')
        return CHUNK_STATE_SIZE_LF;
    if (c == ';')
        return CHUNK_STATE_NAME_FIRST;
    return chunk_is_space(c) ? gap : CHUNK_STATE_BAD;
}

static enum chunk_state chunk_size_byte(struct chunk *chunk, char c)
{
    int digit = chars_hex(c);
    if (digit < 0)
        return chunk->digits > 0 ? chunk_after(c, CHUNK_STATE_GAP) : CHUNK_STATE_BAD;
    if (chunk->digits == CHUNK_DIGITS_MAX)
        return CHUNK_STATE_BAD;
    chunk->digits++;
    chunk->remaining = chunk->remaining * 16 + (unsigned)digit;
    return chunk->remaining > CHUNK_SIZE_MAX ? CHUNK_STATE_BAD : CHUNK_STATE_SIZE;
}

static enum chunk_state chunk_value_first(char c)
{
    if (c == '"')
        return CHUNK_STATE_QUOTED;
    if (chars_is(c, CHARS_TOKEN))
        return CHUNK_STATE_VALUE;
    return chunk_is_space(c) ? CHUNK_STATE_VALUE_FIRST : CHUNK_STATE_BAD;
}

static enum chunk_state chunk_quoted(char c)
{
    if (c == '"')
        return CHUNK_STATE_QUOTED_END;
    if (c == '\\')
        return CHUNK_STATE_ESCAPED;
    return chars_is(c, CHARS_VALUE) ? CHUNK_STATE_QUOTED : CHUNK_STATE_BAD;
}

static enum chunk_state chunk_ext_byte(enum chunk_state state, char c)
{
    switch (state) {
    case CHUNK_STATE_GAP:
        if (c == ';')
            return CHUNK_STATE_NAME_FIRST;
        return chunk_is_space(c) ? CHUNK_STATE_GAP : CHUNK_STATE_BAD;
    case CHUNK_STATE_NAME_FIRST:
        if (chars_is(c, CHARS_TOKEN))
            return CHUNK_STATE_NAME;
        return chunk_is_space(c) ? CHUNK_STATE_NAME_FIRST : CHUNK_STATE_BAD;
    case CHUNK_STATE_NAME:
        if (chars_is(c, CHARS_TOKEN))
            return CHUNK_STATE_NAME;
        return c == '=' ? CHUNK_STATE_VALUE_FIRST : chunk_after(c, CHUNK_STATE_NAME_GAP);
    case CHUNK_STATE_NAME_GAP:
        if (c == '=')
            return CHUNK_STATE_VALUE_FIRST;
        return c == '\r' ? CHUNK_STATE_BAD : chunk_after(c, CHUNK_STATE_NAME_GAP);
    case CHUNK_STATE_VALUE_FIRST:
        return chunk_value_first(c);
    case CHUNK_STATE_VALUE:
        return chars_is(c, CHARS_TOKEN) ? CHUNK_STATE_VALUE : chunk_after(c, CHUNK_STATE_GAP);
    case CHUNK_STATE_QUOTED:
        return chunk_quoted(c);
    case CHUNK_STATE_ESCAPED:
        return chars_is(c, CHARS_VALUE) ? CHUNK_STATE_QUOTED : CHUNK_STATE_BAD;
    case CHUNK_STATE_QUOTED_END:
        return chunk_after(c, CHUNK_STATE_GAP);
    default:
        UNREACHABLE();
    }
}

/* One byte of framing. */
static enum chunk_state chunk_byte(struct chunk *chunk, char c)
{
    enum chunk_state next;
    switch ((enum chunk_state)chunk->state) {
    case CHUNK_STATE_SIZE:
        next = chunk_size_byte(chunk, c);
        break;
    case CHUNK_STATE_SIZE_LF:
        if (c != '\n')
            return CHUNK_STATE_BAD;
        chunk->digits = 0;
        return chunk->remaining == 0 ? CHUNK_STATE_END : CHUNK_STATE_DATA;
    case CHUNK_STATE_DATA_CR:
        return c == '\r' ? CHUNK_STATE_DATA_LF : CHUNK_STATE_BAD;
    case CHUNK_STATE_DATA_LF:
        return c == '\n' ? CHUNK_STATE_SIZE : CHUNK_STATE_BAD;
    default:
        next = chunk_ext_byte((enum chunk_state)chunk->state, c);
        break;
    }
    if (next >= CHUNK_STATE_GAP && next <= CHUNK_STATE_QUOTED_END && chunk->ext_left-- == 0)
        return CHUNK_STATE_BAD;
    return next;
}

int chunk_decode(struct chunk *chunk, struct span in, size_t data_max, size_t *ret_used,
                 struct span *ret_data)
{
    ASSERT(chunk->state != CHUNK_STATE_END && chunk->state != CHUNK_STATE_BAD);
    size_t at = 0;
    for (;;) {
        if (chunk->state == CHUNK_STATE_DATA) {
            size_t n = MIN(in.len - at, data_max);
            n = (size_t)MIN((uint64_t)n, chunk->remaining);
            *ret_data = span_make(in.ptr + at, n);
            *ret_used = at + n;
            if (n == 0)
                return CHUNK_MORE;
            chunk->remaining -= n;
            if (chunk->remaining == 0)
                chunk->state = CHUNK_STATE_DATA_CR;
            return CHUNK_DATA;
        }
        if (at == in.len)
            break;
        chunk->state = (uint8_t)chunk_byte(chunk, in.ptr[at++]);
        if (UNLIKELY(chunk->state == CHUNK_STATE_BAD))
            return -EPROTO;
        if (chunk->state == CHUNK_STATE_END) {
            *ret_used = at;
            return CHUNK_END;
        }
    }
    *ret_used = at;
    return CHUNK_MORE;
}
