/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "h2_peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/panic.h"

#define TURNS_MAX 5000

void h2_peer_init(struct h2_peer *peer, struct wire *wire)
{
    *peer = (struct h2_peer){.wire = wire};
    ASSERT(nghttp2_hd_deflate_new(&peer->deflater, 4096) == 0);
    ASSERT(nghttp2_hd_inflate_new(&peer->inflater) == 0);
}

void h2_peer_fini(struct h2_peer *peer)
{
    nghttp2_hd_deflate_del(peer->deflater);
    nghttp2_hd_inflate_del(peer->inflater);
    free(peer->frames);
}

void h2_peer_frame(struct h2_peer *peer, uint8_t type, uint8_t flags, int32_t id,
                   struct span payload)
{
    char head[9] = {(char)(payload.len >> 16),
                    (char)(payload.len >> 8),
                    (char)payload.len,
                    (char)type,
                    (char)flags,
                    (char)(id >> 24),
                    (char)(id >> 16),
                    (char)(id >> 8),
                    (char)id};
    struct buf buf;
    buf_init(&buf, 1u << 20);
    buf_add(&buf, head, sizeof(head));
    buf_add_span(&buf, payload);
    wire_send(peer->wire, buf.data, buf.len);
    buf_fini(&buf);
}

void h2_peer_hello(struct h2_peer *peer)
{
    wire_send_text(peer->wire, NGHTTP2_CLIENT_MAGIC);
    h2_peer_frame(peer, NGHTTP2_SETTINGS, 0, 0, SPAN_NONE);
    h2_peer_frame(peer, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, SPAN_NONE);
}

void h2_peer_head(struct h2_peer *peer, uint8_t flags, int32_t id, const char *lines)
{
    static uint8_t block[65536];
    nghttp2_nv nv[256];
    size_t count = 0;
    struct span line, rest = span_str(lines);
    while (span_split(rest, '\n', &line, &rest) && count < ARRAY_COUNT(nv)) {
        /* A name may begin with a colon. */
        ssize_t colon = span_find_char(span_skip(line, 1), ':') + 1;
        ASSERT(colon > 0);
        struct span value = span_trim(span_skip(line, (size_t)colon + 1));
        nv[count++] = (nghttp2_nv){(uint8_t *)(uintptr_t)line.ptr, (uint8_t *)(uintptr_t)value.ptr,
                                   (size_t)colon, value.len, NGHTTP2_NV_FLAG_NONE};
    }
    ssize_t n = nghttp2_hd_deflate_hd(peer->deflater, block, sizeof(block), nv, count);
    ASSERT(n >= 0);
    h2_peer_frame(peer, NGHTTP2_HEADERS, flags, id, span_make(block, (size_t)n));
}

void h2_peer_get(struct h2_peer *peer, int32_t id, const char *path, uint8_t flags)
{
    char lines[256];
    snprintf(lines, sizeof(lines), ":method: GET\n:scheme: http\n:authority: a.test\n:path: %s\n",
             path);
    h2_peer_head(peer, flags | NGHTTP2_FLAG_END_HEADERS, id, lines);
}

void h2_peer_u32(struct h2_peer *peer, uint8_t type, int32_t id, uint32_t value)
{
    char payload[4] = {(char)(value >> 24), (char)(value >> 16), (char)(value >> 8), (char)value};
    h2_peer_frame(peer, type, 0, id, span_make(payload, sizeof(payload)));
}

const uint8_t *h2_peer_payload(struct h2_peer *peer, const struct h2_peer_frame *frame)
{
    return (const uint8_t *)peer->wire->in.data + frame->at;
}

uint32_t h2_peer_code(struct h2_peer *peer, const struct h2_peer_frame *frame)
{
    const uint8_t *p = h2_peer_payload(peer, frame);
    size_t at = frame->type == NGHTTP2_GOAWAY ? 4 : 0;
    ASSERT(frame->len >= at + 4);
    return (uint32_t)p[at] << 24 | (uint32_t)p[at + 1] << 16 | (uint32_t)p[at + 2] << 8 | p[at + 3];
}

static void read_head(struct h2_peer *peer, struct h2_peer_frame *frame)
{
    const uint8_t *in = h2_peer_payload(peer, frame);
    size_t len = frame->len, used = 0;
    nghttp2_nv nv;
    int flags = 0;
    ASSERT(frame->flags & NGHTTP2_FLAG_END_HEADERS);
    do {
        flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(peer->inflater, &nv, &flags, in, len, 1);
        ASSERT(n >= 0);
        in += n;
        len -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            used += (size_t)snprintf(frame->head + used, sizeof(frame->head) - used, "%.*s: %.*s\n",
                                     (int)nv.namelen, nv.name, (int)nv.valuelen, nv.value);
        ASSERT(used < sizeof(frame->head));
    } while (!(flags & NGHTTP2_HD_INFLATE_FINAL));
    nghttp2_hd_inflate_end_headers(peer->inflater);
}

static bool read_frame(struct h2_peer *peer)
{
    const uint8_t *p = (const uint8_t *)peer->wire->in.data + peer->read;
    size_t left = peer->wire->in.len - peer->read;
    if (left < 9)
        return false;
    size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    if (left < 9 + len)
        return false;
    if (peer->count == peer->cap) {
        peer->cap = peer->cap * 2 + 64;
        peer->frames = xrealloc(peer->frames, peer->cap * sizeof(*peer->frames));
    }
    struct h2_peer_frame *frame = &peer->frames[peer->count++];
    *frame = (struct h2_peer_frame){
        .type = p[3],
        .flags = p[4],
        .id = (int32_t)((uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8]),
        .at = peer->read + 9,
        .len = len,
    };
    peer->read += 9 + len;
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

struct h2_peer_frame *h2_peer_expect(struct h2_peer *peer, uint8_t type, int32_t id)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        while (peer->next < peer->count) {
            struct h2_peer_frame *frame = &peer->frames[peer->next++];
            if (frame->type == type && frame->id == id)
                return frame;
        }
        h2_peer_turn(peer);
    }
    for (unsigned i = 0; i < peer->count; i++)
        fprintf(stderr, "# frame type %d flags %d id %d len %zu %s\n", peer->frames[i].type,
                peer->frames[i].flags, peer->frames[i].id, peer->frames[i].len,
                peer->frames[i].head);
    panic(__FILE__, __LINE__, "no frame of type %d on stream %d; ended %d reset %d", type, id,
          peer->wire->eof, peer->wire->reset);
}

unsigned h2_peer_count(struct h2_peer *peer, uint8_t type, int32_t id)
{
    unsigned count = 0;
    for (unsigned i = 0; i < peer->count; i++)
        if (peer->frames[i].type == type && (id < 0 || peer->frames[i].id == id))
            count++;
    return count;
}

void h2_peer_body(struct h2_peer *peer, int32_t id, struct buf *ret)
{
    for (unsigned i = 0; i < peer->count; i++)
        if (peer->frames[i].type == NGHTTP2_DATA && peer->frames[i].id == id)
            buf_add(ret, h2_peer_payload(peer, &peer->frames[i]), peer->frames[i].len);
}
