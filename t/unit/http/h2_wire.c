/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "h2_wire.h"

#include <stdio.h>

#include "base/panic.h"

#define WIRE_HEAD 9u /* RFC 9113 4.1 */
#define WIRE_TURNS_MAX 5000

void h2_wire_init(struct h2_wire *h2, struct wire *wire)
{
    *h2 = (struct h2_wire){.wire = wire};
    ASSERT(nghttp2_hd_inflate_new(&h2->inflater) == 0);
    buf_init(&h2->text, 1u << 20);
}

void h2_wire_fini(struct h2_wire *h2)
{
    nghttp2_hd_inflate_del(h2->inflater);
    buf_fini(&h2->text);
}

static uint32_t wire_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void h2_wire_expect_preface(struct h2_wire *h2)
{
    wire_expect(h2->wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    ASSERT(h2->at == 0 && memcmp(h2->wire->in.data, "PRI", 3) == 0);
    h2->at = 24;
}

static void wire_decode(struct h2_wire *h2, const uint8_t *data, size_t len)
{
    buf_reset(&h2->text);
    for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(h2->inflater, &nv, &flags, data, len, 1);
        ASSERT(n >= 0);
        data += n;
        len -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            buf_printf(&h2->text, "%.*s: %.*s\n", (int)nv.namelen, nv.name, (int)nv.valuelen,
                       nv.value);
    }
    nghttp2_hd_inflate_end_headers(h2->inflater);
}

bool h2_wire_poll(struct h2_wire *h2, struct h2_wire_frame *ret)
{
    struct buf *in = &h2->wire->in;
    const uint8_t *p = (const uint8_t *)in->data + h2->at;
    if (in->len < h2->at + WIRE_HEAD)
        return false;
    size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    if (in->len < h2->at + WIRE_HEAD + len)
        return false;
    *ret = (struct h2_wire_frame){
        .type = p[3],
        .flags = p[4],
        .stream = wire_u32(p + 5) & 0x7fffffff,
        .payload = span_make(p + WIRE_HEAD, len),
    };
    h2->at += WIRE_HEAD + len;
    h2->counts[ret->type]++;
    if (ret->type == NGHTTP2_HEADERS) {
        ASSERT(ret->flags & NGHTTP2_FLAG_END_HEADERS);
        ASSERT((ret->flags & (NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_PRIORITY)) == 0);
        wire_decode(h2, p + WIRE_HEAD, len);
    }
    return true;
}

struct h2_wire_frame h2_wire_expect(struct h2_wire *h2, uint8_t type, uint32_t stream)
{
    struct h2_wire_frame frame;
    for (int i = 0; i < WIRE_TURNS_MAX; i++) {
        while (h2_wire_poll(h2, &frame))
            if (frame.type == type && frame.stream == stream)
                return frame;
        wire_turn(h2->wire);
    }
    panic(__FILE__, __LINE__, "no frame of type %u on stream %u", type, stream);
}

uint32_t h2_wire_number(const struct h2_wire_frame *frame, size_t at)
{
    ASSERT(frame->payload.len >= at + 4);
    return wire_u32((const uint8_t *)frame->payload.ptr + at);
}

int64_t h2_wire_setting(const struct h2_wire_frame *frame, uint16_t id)
{
    const uint8_t *p = (const uint8_t *)frame->payload.ptr;
    for (size_t at = 0; at + 6 <= frame->payload.len; at += 6)
        if ((p[at] << 8 | p[at + 1]) == id)
            return wire_u32(p + at + 2);
    return -1;
}

static void wire_put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

void h2_wire_send(struct h2_wire *h2, uint8_t type, uint8_t flags, uint32_t stream,
                  struct span payload)
{
    uint8_t head[WIRE_HEAD] = {(uint8_t)(payload.len >> 16), (uint8_t)(payload.len >> 8),
                               (uint8_t)payload.len, type, flags};
    wire_put_u32(head + 5, stream);
    struct buf out;
    buf_init(&out, 1u << 20);
    buf_add(&out, head, sizeof(head));
    buf_add_span(&out, payload);
    wire_send(h2->wire, out.data, out.len);
    buf_fini(&out);
}

void h2_wire_send_number(struct h2_wire *h2, uint8_t type, uint32_t stream, uint32_t number)
{
    uint8_t payload[4];
    wire_put_u32(payload, number);
    h2_wire_send(h2, type, 0, stream, span_make(payload, sizeof(payload)));
}

void h2_wire_send_setting(struct h2_wire *h2, uint16_t id, uint32_t value)
{
    uint8_t payload[6] = {(uint8_t)(id >> 8), (uint8_t)id};
    wire_put_u32(payload + 2, value);
    h2_wire_send(h2, NGHTTP2_SETTINGS, 0, 0, span_make(payload, id == 0 ? 0 : sizeof(payload)));
}

void h2_wire_send_goaway(struct h2_wire *h2, uint32_t last, uint32_t code)
{
    uint8_t payload[8];
    wire_put_u32(payload, last);
    wire_put_u32(payload + 4, code);
    h2_wire_send(h2, NGHTTP2_GOAWAY, 0, 0, span_make(payload, sizeof(payload)));
}

/* A string literal without Huffman (RFC 7541 5.2), its length with a prefix of 7 bits. */
static void wire_string(struct buf *out, struct span s)
{
    char raw[4096];
    size_t len = 0;
    ASSERT(s.len <= sizeof(raw));
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '\\' && i + 1 < s.len) {
            c = s.ptr[++i];
            c = (char)(c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? '\0' : c);
        }
        raw[len++] = c;
    }
    size_t rest = len;
    buf_add_char(out, (char)MIN(rest, 127u));
    if (rest >= 127) {
        for (rest -= 127; rest >= 128; rest /= 128)
            buf_add_char(out, (char)(rest % 128 | 128));
        buf_add_char(out, (char)rest);
    }
    buf_add(out, raw, len);
}

void h2_wire_block(struct buf *out, const char *fields)
{
    struct span rest = span_str(fields), line;
    while (span_split(rest, '\n', &line, &rest)) {
        ssize_t colon = span_find_char(span_skip(line, 1), ':');
        ASSERT(colon >= 0);
        size_t name = (size_t)colon + 1;
        buf_add_char(out, 0); /* literal without indexing, new name */
        wire_string(out, span_make(line.ptr, name));
        wire_string(out, span_skip(line, name + 2));
    }
    ASSERT(rest.len == 0);
}

void h2_wire_send_head(struct h2_wire *h2, uint32_t stream, uint8_t flags, const char *fields)
{
    struct buf block;
    buf_init(&block, 1u << 20);
    h2_wire_block(&block, fields);
    h2_wire_send(h2, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, stream,
                 span_make(block.data, block.len));
    buf_fini(&block);
}
