/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_HTTP_H2_PEER_H
#define RINGGATE_T_UNIT_HTTP_H2_PEER_H

/* The far end of an HTTP/2 connection, client or server, which sends what a test says, frame by
 * frame, right or wrong, and keeps every frame it gets. */

#include <nghttp2/nghttp2.h>

#include "wire.h"

struct h2_peer_frame {
    uint8_t type, flags;
    uint32_t id; /* of the stream */
    struct span payload;
    struct buf head; /* HEADERS: "name: value\n" each; no CONTINUATION is read */
};

struct h2_peer {
    struct wire *wire;
    nghttp2_hd_inflater *inflater;
    size_t read; /* bytes of wire->in that were looked at */
    struct h2_peer_frame **frames; /* all that came; good until h2_peer_fini */
    unsigned count, cap, next; /* next: where h2_peer_expect goes on */
};

void h2_peer_init(struct h2_peer *peer, struct wire *wire);
void h2_peer_fini(struct h2_peer *peer);

/* Reading. */

/* The preface of our client, before anything else is read. */
void h2_peer_expect_preface(struct h2_peer *peer);
/* Turns until a frame of this type on this stream comes, looking at those after the last one found.
 * Fails the test, and shows what came, when none does. */
struct h2_peer_frame *h2_peer_expect(struct h2_peer *peer, uint8_t type, uint32_t id);
/* Turns and takes in what has come. */
void h2_peer_turn(struct h2_peer *peer);
/* How many frames of a type on a stream have come so far. */
unsigned h2_peer_count(struct h2_peer *peer, uint8_t type, uint32_t id);
/* DATA bytes of the stream that were taken in, all so far. */
void h2_peer_body(struct h2_peer *peer, uint32_t id, struct buf *ret);
/* A number of 32 bits in a payload: the code of RST_STREAM is at 0, of GOAWAY at 4. */
uint32_t h2_peer_number(struct h2_peer_frame *frame, size_t at);
/* The value of a setting in a SETTINGS frame, -1: it is not there. */
int64_t h2_peer_setting(struct h2_peer_frame *frame, uint16_t setting);

/* Writing. */

/* As a client: preface, empty SETTINGS, acknowledgement of the other side's. */
void h2_peer_hello(struct h2_peer *peer);
void h2_peer_send(struct h2_peer *peer, uint8_t type, uint8_t flags, uint32_t id,
                  struct span payload);
/* A frame whose payload is one number of 32 bits: RST_STREAM, WINDOW_UPDATE. */
void h2_peer_send_number(struct h2_peer *peer, uint8_t type, uint32_t id, uint32_t number);
/* One setting; 0: an empty SETTINGS frame. */
void h2_peer_send_setting(struct h2_peer *peer, uint16_t setting, uint32_t value);
void h2_peer_send_goaway(struct h2_peer *peer, uint32_t last, uint32_t code);
/* Adds fields "name: value\n" each to a header block, as literals. "\\r", "\\n" and "\\0" in them
 * are the bytes. */
void h2_peer_block(struct buf *out, const char *fields);
/* HEADERS, complete, with such fields. flags: END_STREAM or 0. */
void h2_peer_send_head(struct h2_peer *peer, uint32_t id, uint8_t flags, const char *fields);
/* GET, complete. */
void h2_peer_get(struct h2_peer *peer, uint32_t id, const char *path);

#endif
