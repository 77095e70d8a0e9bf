/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/panic.h"

/* The first allocation, in bytes with the NUL. */
#define FIRST_SIZE 64

void buf_init(struct buf *buf, size_t cap_max)
{
    ASSERT(cap_max < SIZE_MAX / 4);
    *buf = (struct buf){.cap_max = cap_max};
}

void buf_fini(struct buf *buf)
{
    if (buf == NULL)
        return;
    free(buf->data);
    *buf = (struct buf){.cap_max = buf->cap_max};
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->overflow = false;
}

/* Makes room for `more` bytes and a NUL. cap counts the bytes without the NUL.
 * false: over the cap; nothing of the write may remain. */
static bool buf_reserve(struct buf *buf, size_t more)
{
    if (buf->overflow)
        return false;
    ASSERT(buf->len <= buf->cap_max);
    if (more > buf->cap_max - buf->len) {
        buf->overflow = true;
        return false;
    }
    size_t needed = buf->len + more;
    if (buf->data != NULL && needed <= buf->cap)
        return true;
    size_t size = MAX(buf->cap * 2, needed + 1);
    size = MAX(size, (size_t)FIRST_SIZE);
    size = MIN(size, buf->cap_max + 1);
    buf->data = xrealloc(buf->data, size);
    buf->cap = size - 1;
    return true;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
    if (len == 0 || !buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_add_span(struct buf *buf, struct span s)
{
    buf_add(buf, s.ptr, s.len);
}

void buf_add_str(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    char small[256];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(small, sizeof(small), format, args);
    ASSERT(len >= 0);
    if ((size_t)len < sizeof(small)) {
        buf_add(buf, small, (size_t)len);
    } else if (buf_reserve(buf, (size_t)len)) {
        int written = vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
        ASSERT(written == len);
        buf->len += (size_t)len;
    }
    va_end(again);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

const char *buf_str(struct buf *buf)
{
    if (buf->data == NULL)
        return "";
    buf->data[buf->len] = '\0';
    return buf->data;
}
