/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_BUF_H
#define RINGGATE_BASE_BUF_H

/* A growable byte buffer with a hard cap, on the heap: control plane, tests
 * and text output. Not for the data path, which uses arenas and blocks.
 * Overflow is sticky: after it, writes do nothing and buf_ok() is false. */

#include "base/span.h"

#include <stdarg.h>

struct buf {
    char *data; /* NUL-terminated when len > 0 or after buf_str() */
    size_t len, cap, cap_max;
    bool overflow;
};

/* cap_max in bytes, without the terminating NUL; nothing is allocated yet. */
void buf_init(struct buf *buf, size_t cap_max);
/* Frees the memory; the buffer may be used again after buf_init. */
void buf_fini(struct buf *buf);
/* Empties it, keeps memory, clears overflow. */
void buf_reset(struct buf *buf);
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_add_span(struct buf *buf, struct span s);
void buf_add_str(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *buf, const char *format, va_list args) PRINTF_LIKE(2, 0);
/* Removes the first n bytes; n <= len. */
/* The content with a terminating NUL; "" when empty. Valid until the next change. */
const char *buf_str(struct buf *buf);

static inline struct span buf_span(const struct buf *buf)
{
    return span_make(buf->data, buf->len);
}

static inline bool buf_ok(const struct buf *buf)
{
    return !buf->overflow;
}

#endif
