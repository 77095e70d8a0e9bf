/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_HTTP_H2_WIRE_H
#define RINGGATE_T_UNIT_HTTP_H2_WIRE_H

/* A peer of HTTP/2 that does what a test says, frame by frame, right or wrong. It
 * reads what our end sends through the wire (wire.h). */

#include <nghttp2/nghttp2.h>

#include "wire.h"

struct h2_wire {
    struct wire *wire;
    size_t at; /* of wire->in, read as frames */
    nghttp2_hd_inflater *inflater;
    struct buf text; /* fields of the last header block, "name: value\n" each */
    unsigned counts[256]; /* frames read, by type */
};

struct h2_wire_frame {
    uint8_t type, flags;
    uint32_t stream;
    struct span payload; /* good until the next frame is read */
};

void h2_wire_init(struct h2_wire *h2, struct wire *wire);
void h2_wire_fini(struct h2_wire *h2);

/* Reading. HEADERS without CONTINUATION are decoded into text. */

/* The client preface. */
void h2_wire_expect_preface(struct h2_wire *h2);
/* A whole frame that is here already; false: none. */
bool h2_wire_poll(struct h2_wire *h2, struct h2_wire_frame *ret);
/* Turns until a frame of the type and stream comes; others are passed over. Fails the test when
 * none does. */
struct h2_wire_frame h2_wire_expect(struct h2_wire *h2, uint8_t type, uint32_t stream);
/* A number of 32 bits in a payload, as those of RST_STREAM and GOAWAY (at 4). */
uint32_t h2_wire_number(const struct h2_wire_frame *frame, size_t at);
/* The value of a setting in a SETTINGS frame, -1: it is not there. */
int64_t h2_wire_setting(const struct h2_wire_frame *frame, uint16_t id);

/* Writing. */

void h2_wire_send(struct h2_wire *h2, uint8_t type, uint8_t flags, uint32_t stream,
                  struct span payload);
/* A frame whose payload is one number of 32 bits: RST_STREAM, WINDOW_UPDATE. */
void h2_wire_send_number(struct h2_wire *h2, uint8_t type, uint32_t stream, uint32_t number);
/* One setting; id 0: an empty SETTINGS frame. */
void h2_wire_send_setting(struct h2_wire *h2, uint16_t id, uint32_t value);
void h2_wire_send_goaway(struct h2_wire *h2, uint32_t last, uint32_t code);
/* HEADERS, complete, with fields "name: value\n" each, as literals. "\\r", "\\n" and "\\0" in them
 * are the bytes. flags: END_STREAM or 0. */
void h2_wire_send_head(struct h2_wire *h2, uint32_t stream, uint8_t flags, const char *fields);
/* The same block, not sent. */
void h2_wire_block(struct buf *out, const char *fields);

#endif
