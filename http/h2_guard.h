/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H2_GUARD_H
#define RINGGATE_HTTP_H2_GUARD_H

/* What an HTTP/2 peer may cost us (RFC 9113 10.5): token buckets of one
 * connection, counted for every frame before it is worked on. Over a limit the connection ends
 * with GOAWAY ENHANCE_YOUR_CALM and HTTP_ERROR_FLOOD. Pure: time is passed in.
 *
 *   resets          of a client's streams: RST_STREAM received before the response was whole, and
 *                   those we send for the peer's faults (protocol and flow-control errors,
 *                   malformed or refused streams): h2_resets_burst, +_rate/s. Of streams to a
 *                   backend: those we send before the response was whole; those it sends are not
 *                   counted, since there are no more of them than we made requests
 *   control frames  all that carry no message: PING, PRIORITY, WINDOW_UPDATE, GOAWAY, unknown
 *                   types, DATA and CONTINUATION without payload, RST_STREAM after the response
 *                   (RFC 9113 8.1; curl 7.88 sends it for every one); SETTINGS cost ten:
 *                   h2_control_burst, +_rate/s, +4 for each DATA frame and each end of a message
 *                   that we sent
 *   WINDOW_UPDATE   costs nothing as long as there are at most two, one for the stream and one for
 *                   the connection, for each 512 bytes of DATA that we sent, whenever they come:
 *                   peers give bytes back as their readers take them, those on Go's net/http for
 *                   each 4 KiB, older ones for each read
 *   empty DATA      without END_STREAM, h2_empties_max in a row; padding is nothing
 *   header block    payload of HEADERS or PUSH_PROMISE and its CONTINUATIONs: twice
 *                   head_bytes_max
 *
 * A connection to a backend carries the requests of many clients, any of whom may know a path at
 * which it answers strangely. So it takes no more of them at first and ends when its streams do;
 * only when a limit breaks once more (h2_guard_forgive) it ends as above.
 *
 * CONTINUATION frames are limited by their bytes, not by their number: a legal head may come one
 * byte at a time. nghttp2's own limit, which gives no GOAWAY, has to be out of the way:
 * H2_GUARD_CONTINUATIONS_MAX. */

#include "http/server.h"

#define H2_GUARD_CONTINUATIONS_MAX SIZE_MAX /* for nghttp2_option_set_max_continuations */

struct h2_guard_bucket {
    uint64_t filled_ns; /* when tokens were last added */
    uint32_t tokens;
};

struct h2_guard {
    const struct http_limits *limits;
    struct h2_guard_bucket resets, control;
    uint64_t updates; /* WINDOW_UPDATE that the peer may send for what it got */
    uint32_t block_bytes; /* of the header block in progress */
    uint16_t empties; /* DATA frames in a row */
    bool forgiven;
};

/* limits: borrowed. Times are of the monotonic clock, in nanoseconds. */
void h2_guard_init(struct h2_guard *guard, const struct http_limits *limits, uint64_t now_ns);
/* A frame's header was received, whatever its type (http/h2_input.h), of a padded DATA frame also
 * the length of the padding. type, flags: as on the wire; length: of the payload, for DATA without
 * padding. All below: NULL, or the name of the limit that broke (static, for logs):
 * then the connection is to end. RST_STREAM is counted here as a client's, unless it is a late one.
 */
MUST_CHECK const char *h2_guard_on_frame(struct h2_guard *guard, uint8_t type, uint8_t flags,
                                         uint32_t length, uint64_t now_ns);
/* We reset a stream: a client's because of what it did, a backend's before it was whole. */
MUST_CHECK const char *h2_guard_on_reset(struct h2_guard *guard, uint64_t now_ns);
/* In the place of h2_guard_on_frame: RST_STREAM on a stream whose response is whole. */
MUST_CHECK const char *h2_guard_on_late_reset(struct h2_guard *guard, uint64_t now_ns);
/* A DATA frame, or one that ends a message, was sent: the peer may answer it with WINDOW_UPDATE,
 * PING and RST_STREAM. data_bytes: of the payload of DATA, else 0. */
void h2_guard_on_sent(struct h2_guard *guard, size_t data_bytes);
/* Once, after a limit broke: the counts begin again. false: not a second time, and never for a
 * header block, which would grow. */
bool h2_guard_forgive(struct h2_guard *guard);

#endif
