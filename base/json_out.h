/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_JSON_OUT_H
#define RINGGATE_BASE_JSON_OUT_H

/* Streaming JSON writer over a buf: commas and escapes are its business.
 * Invalid UTF-8 and control characters in strings are escaped as \u00XX. */

#include "base/buf.h"

struct json_out {
    struct buf *buf;
    unsigned depth;
    uint64_t has_items; /* one bit a level */
    bool after_key;
};

/* Depth at most 64 (asserted). The buf is borrowed. */
void json_out_init(struct json_out *out, struct buf *buf);
void json_out_object_begin(struct json_out *out);
void json_out_object_end(struct json_out *out);
void json_out_array_begin(struct json_out *out);
void json_out_array_end(struct json_out *out);
void json_out_key(struct json_out *out, const char *key);
void json_out_str(struct json_out *out, const char *text); /* NULL writes null */
void json_out_span(struct json_out *out, struct span s);
void json_out_int(struct json_out *out, int64_t value);
void json_out_null(struct json_out *out);
/* Escapes s into dst without quotes: at most dst_size bytes, never half an escape.
 * Returns the bytes written. */
size_t json_out_escape(struct span s, char *dst, size_t dst_size);

#endif
