/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_HTTP_H2_PEER_H
#define RINGGATE_T_UNIT_HTTP_H2_PEER_H

/* The far end of an HTTP/2 connection, which sends what it is told, frame by frame, and keeps what
 * it gets. Header blocks are made and read with nghttp2's HPACK. */

#include <nghttp2/nghttp2.h>

#include "wire.h"

struct h2_peer_frame {
    uint8_t type, flags;
    int32_t id;
    size_t at, len; /* of the payload, in wire->in */
    char head[1024]; /* HEADERS: "name: value\n" each */
};

struct h2_peer {
    struct wire *wire;
    nghttp2_hd_deflater *deflater;
    nghttp2_hd_inflater *inflater;
    size_t read; /* bytes of wire->in that were looked at */
    struct h2_peer_frame *frames;
    unsigned count, cap, next; /* next: where h2_peer_expect goes on */
};

void h2_peer_init(struct h2_peer *peer, struct wire *wire);
void h2_peer_fini(struct h2_peer *peer);
/* Preface, empty SETTINGS, acknowledgement of the other side's. */
void h2_peer_hello(struct h2_peer *peer);
void h2_peer_frame(struct h2_peer *peer, uint8_t type, uint8_t flags, int32_t id,
                   struct span payload);
/* A header block of "name: value\n" lines in one frame. */
void h2_peer_head(struct h2_peer *peer, uint8_t flags, int32_t id, const char *lines);
/* GET (flags: END_STREAM as wanted; END_HEADERS is added). */
void h2_peer_get(struct h2_peer *peer, int32_t id, const char *path, uint8_t flags);
void h2_peer_u32(struct h2_peer *peer, uint8_t type, int32_t id, uint32_t value);
/* Turns until a frame of this type on this stream comes, looking at those after the last one found.
 */
struct h2_peer_frame *h2_peer_expect(struct h2_peer *peer, uint8_t type, int32_t id);
/* Takes in what has come. */
void h2_peer_turn(struct h2_peer *peer);
/* All that came: frames of a type on a stream (id 0 for those of the connection; -1: any). */
unsigned h2_peer_count(struct h2_peer *peer, uint8_t type, int32_t id);
/* DATA bytes of the stream, all so far. */
void h2_peer_body(struct h2_peer *peer, int32_t id, struct buf *ret);
uint32_t h2_peer_code(struct h2_peer *peer, const struct h2_peer_frame *frame);
const uint8_t *h2_peer_payload(struct h2_peer *peer, const struct h2_peer_frame *frame);

#endif
