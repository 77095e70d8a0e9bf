/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "h2_peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/panic.h"

#define FRAME_HEAD 9u /* RFC 9113 4.1 */
#define TURNS_MAX 5000
#define BYTES_MAX (1u << 20)

void h2_peer_init(struct h2_peer *peer, struct wire *wire)
{
    *peer = (struct h2_peer){.wire = wire};
    ASSERT(nghttp2_hd_inflate_new(&peer->inflater) == 0);
}

void h2_peer_fini(struct h2_peer *peer)
{
    nghttp2_hd_inflate_del(peer->inflater);
    for (unsigned i = 0; i < peer->count; i++) {
        buf_fini(&peer->frames[i]->head);
        free(peer->frames[i]);
    }
    free(peer->frames);
}

static uint32_t get_u32(const char *from)
{
    const uint8_t *p = (const uint8_t *)from;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void h2_peer_expect_preface(struct h2_peer *peer)
{
    wire_expect(peer->wire, NGHTTP2_CLIENT_MAGIC);
    ASSERT(peer->read == 0 && memcmp(peer->wire->in.data, "PRI", 3) == 0);
    peer->read = NGHTTP2_CLIENT_MAGIC_LEN;
}

static void read_head(struct h2_peer *peer, struct h2_peer_frame *frame)
{
    const uint8_t *in = (const uint8_t *)frame->payload.ptr;
    size_t len = frame->payload.len;
    ASSERT(frame->flags & NGHTTP2_FLAG_END_HEADERS);
    ASSERT((frame->flags & (NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_PRIORITY)) == 0);
    for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(peer->inflater, &nv, &flags, in, len, 1);
        ASSERT(n >= 0);
        in += n;
        len -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            buf_printf(&frame->head, "%.*s: %.*s\n", (int)nv.namelen, nv.name, (int)nv.valuelen,
                       nv.value);
    }
    nghttp2_hd_inflate_end_headers(peer->inflater);
}

static bool read_frame(struct h2_peer *peer)
{
    size_t left = peer->wire->in.len - peer->read;
    if (left < FRAME_HEAD)
        return false;
    const char *p = peer->wire->in.data + peer->read;
    size_t len = get_u32(p) >> 8;
    if (left < FRAME_HEAD + len)
        return false;
    if (peer->count == peer->cap) {
        peer->cap = peer->cap * 2 + 64;
        peer->frames = xrealloc(peer->frames, peer->cap * sizeof(struct h2_peer_frame *));
    }
    struct h2_peer_frame *frame = xmalloc(sizeof(*frame) + len);
    memcpy(frame + 1, p + FRAME_HEAD, len);
    *frame = (struct h2_peer_frame){
        .type = (uint8_t)p[3],
        .flags = (uint8_t)p[4],
        .id = get_u32(p + 5) & 0x7fffffff,
        .payload = span_make(frame + 1, len),
    };
    buf_init(&frame->head, BYTES_MAX);
    peer->frames[peer->count++] = frame;
    peer->read += FRAME_HEAD + len;
    if (frame->type == NGHTTP2_HEADERS)
        read_head(peer, frame);
    return true;
}

void h2_peer_turn(struct h2_peer *peer)
{
    wire_turn(peer->wire);
    while (read_frame(peer))
        ;
}

struct h2_peer_frame *h2_peer_expect(struct h2_peer *peer, uint8_t type, uint32_t id)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        while (peer->next < peer->count || read_frame(peer)) {
            struct h2_peer_frame *frame = peer->frames[peer->next++];
            if (frame->type == type && frame->id == id)
                return frame;
        }
        wire_turn(peer->wire);
    }
    for (unsigned i = 0; i < peer->count; i++)
        fprintf(stderr, "# frame type %u flags %u id %u len %zu %s\n", peer->frames[i]->type,
                peer->frames[i]->flags, peer->frames[i]->id, peer->frames[i]->payload.len,
                buf_str(&peer->frames[i]->head));
    panic(__FILE__, __LINE__, "no frame of type %u on stream %u; ended %d reset %d", type, id,
          peer->wire->eof, peer->wire->reset);
}

unsigned h2_peer_count(struct h2_peer *peer, uint8_t type, uint32_t id)
{
    unsigned count = 0;
    while (read_frame(peer))
        ;
    for (unsigned i = 0; i < peer->count; i++)
        if (peer->frames[i]->type == type && peer->frames[i]->id == id)
            count++;
    return count;
}

void h2_peer_body(struct h2_peer *peer, uint32_t id, struct buf *ret)
{
    for (unsigned i = 0; i < peer->count; i++)
        if (peer->frames[i]->type == NGHTTP2_DATA && peer->frames[i]->id == id)
            buf_add_span(ret, peer->frames[i]->payload);
}

uint32_t h2_peer_number(struct h2_peer_frame *frame, size_t at)
{
    ASSERT(frame->payload.len >= at + 4);
    return get_u32(frame->payload.ptr + at);
}

int64_t h2_peer_setting(struct h2_peer_frame *frame, uint16_t setting)
{
    const char *p = frame->payload.ptr;
    for (size_t at = 0; at + 6 <= frame->payload.len; at += 6)
        if (get_u32(p + at) >> 16 == setting)
            return get_u32(p + at + 2);
    return -1;
}

void h2_peer_hello(struct h2_peer *peer)
{
    wire_send_text(peer->wire, NGHTTP2_CLIENT_MAGIC);
    h2_peer_send_setting(peer, 0, 0);
    h2_peer_send(peer, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, SPAN_NONE);
}

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

void h2_peer_send(struct h2_peer *peer, uint8_t type, uint8_t flags, uint32_t id,
                  struct span payload)
{
    uint8_t head[FRAME_HEAD] = {(uint8_t)(payload.len >> 16), (uint8_t)(payload.len >> 8),
                                (uint8_t)payload.len, type, flags};
    put_u32(head + 5, id);
    struct buf out;
    buf_init(&out, BYTES_MAX);
    buf_add(&out, head, sizeof(head));
    buf_add_span(&out, payload);
    wire_send(peer->wire, out.data, out.len);
    buf_fini(&out);
}

void h2_peer_send_number(struct h2_peer *peer, uint8_t type, uint32_t id, uint32_t number)
{
    uint8_t payload[4];
    put_u32(payload, number);
    h2_peer_send(peer, type, 0, id, span_make(payload, sizeof(payload)));
}

void h2_peer_send_setting(struct h2_peer *peer, uint16_t setting, uint32_t value)
{
    uint8_t payload[6] = {(uint8_t)(setting >> 8), (uint8_t)setting};
    put_u32(payload + 2, value);
    h2_peer_send(peer, NGHTTP2_SETTINGS, 0, 0,
                 span_make(payload, setting == 0 ? 0 : sizeof(payload)));
}

void h2_peer_send_goaway(struct h2_peer *peer, uint32_t last, uint32_t code)
{
    uint8_t payload[8];
    put_u32(payload, last);
    put_u32(payload + 4, code);
    h2_peer_send(peer, NGHTTP2_GOAWAY, 0, 0, span_make(payload, sizeof(payload)));
}

/* A string literal without Huffman (RFC 7541 5.2), its length with a prefix of 7 bits. */
static void add_string(struct buf *out, struct span s)
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

void h2_peer_block(struct buf *out, const char *fields)
{
    struct span rest = span_str(fields), line;
    while (span_split(rest, '\n', &line, &rest)) {
        ssize_t colon = span_find_char(span_skip(line, 1), ':');
        ASSERT(colon >= 0);
        size_t name = (size_t)colon + 1;
        buf_add_char(out, 0); /* literal without indexing, new name */
        add_string(out, span_make(line.ptr, name));
        add_string(out, span_skip(line, name + 2));
    }
    ASSERT(rest.len == 0);
}

void h2_peer_send_head(struct h2_peer *peer, uint32_t id, uint8_t flags, const char *fields)
{
    struct buf block;
    buf_init(&block, BYTES_MAX);
    h2_peer_block(&block, fields);
    h2_peer_send(peer, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, id, buf_span(&block));
    buf_fini(&block);
}

void h2_peer_get(struct h2_peer *peer, uint32_t id, const char *path)
{
    char fields[256];
    snprintf(fields, sizeof(fields), ":method: GET\n:scheme: http\n:authority: a.test\n:path: %s\n",
             path);
    h2_peer_send_head(peer, id, NGHTTP2_FLAG_END_STREAM, fields);
}
