/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H2_STREAM_H
#define RINGGATE_HTTP_H2_STREAM_H

/* A stream of HTTP/2, of either end: what http/stream.h promises, over the
 * frames of h2_session. Private to http/h2_*.
 *
 * It has two lives that end on their own: the holder's (user set), until both directions have ended
 * for it or it let go, and nghttp2's (open), until the frames have gone. The object
 * dies with the later one.
 *
 * Output: bytes that the windows and the conn take now go from the holder's memory; the rest is
 * kept in blocks, up to a mark at which the stream is congested. Input: bytes up to the credit are
 * given out as they come, what is beyond is kept in blocks; the peer was allowed at most
 * HTTP_STREAM_WINDOW. */

#include "http/h2_queue.h"
#include "http/h2_session.h"

/* Bytes kept for sending: congested; on_drain. While the session is crowded (h2_session.h) a stream
 * is congested with the first byte that it keeps, until the last has gone: those that flow go on,
 * the others keep what they have and no more. */
#define H2_STREAM_HIGH 65536u
#define H2_STREAM_LOW 32768u
/* A server's streams begin with this window: one block. A holder that grants more raises it, so
 * what streams may keep while nobody has asked for their bodies is small. */
#define H2_STREAM_WINDOW_SERVER 16384u

struct h2_stream {
    struct http_stream stream; /* user NULL: nobody holds it */
    struct h2_session *session;
    struct dlist link, ready_link;
    int32_t id;
    struct arena *arena; /* the holder's, for heads of the peer; NULL: gone */
    struct http_head *trailers; /* received, not yet given out */
    struct span upgrade; /* asked for; in the arena */

    struct h2_queue tx;
    const struct iovec *borrow; /* what the holder is sending just now; NULL: nothing */
    size_t borrow_skip, borrow_len; /* sent of the first piece; left in all */
    int64_t tx_left; /* of the announced length; -1: none was announced */
    uint8_t *tx_trailers; /* block: nghttp2_nv, then their bytes; NULL: none */
    uint32_t tx_trailers_count;
    bool tx_trailers_large; /* it is a large block */

    struct h2_queue rx;
    uint32_t rx_granted; /* most credit given, up to HTTP_STREAM_WINDOW */
    uint32_t rx_out; /* given out and not granted back */

    uint64_t rx_deadline_ns, tx_deadline_ns; /* 0: none */
    uint8_t error; /* enum http_error of reset_due */
    uint16_t interims; /* client: 1xx heads received */
    bool open; /* nghttp2 has it */
    bool arena_lent; /* request_arena gave it and no request came of it yet */
    bool to_head; /* the request is HEAD */
    bool tunnel; /* after 101 */
    bool head_got; /* client: a final head came */
    bool head_sent; /* a final head, or 101 */
    bool tx_end; /* the holder ended its direction */
    bool tx_eof; /* END_STREAM is with nghttp2 */
    bool rx_end; /* the peer ended its direction */
    bool rx_end_given; /* on_end was called */
    bool giving; /* inside on_body with bytes of rx */
    bool reset_due; /* on_reset, from the loop */
    bool drain_due; /* is_congested was true */
    bool cut; /* nobody holds it: RST_STREAM NO_ERROR once END_STREAM has gone */
};

static inline struct h2_stream *h2_stream_of(const struct http_stream *stream)
{
    return container_of(stream, struct h2_stream, stream);
}

static inline struct block_pool *h2_stream_blocks(const struct h2_stream *stream)
{
    return stream->session->shared->loop->blocks;
}

/* A stream that the peer began; NULL: no memory. */
struct h2_stream *h2_stream_accept(struct h2_session *s, int32_t id, struct arena *arena);
/* Client: sends a request head. NULL: h2_session.refusal says why. As http_client_request. */
struct http_stream *h2_stream_request(struct h2_session *s, struct http_head *head,
                                      struct arena *arena, struct http_stream_user *user, bool end);

/* What nghttp2 says about it, for h2_session.c. Callbacks return 0 or what nghttp2 is to be told.
 */

/* A header block begins, and is complete. */
void h2_stream_on_block(struct h2_stream *stream);
MUST_CHECK int h2_stream_on_head(struct h2_stream *stream, bool end_stream);
MUST_CHECK int h2_stream_on_data(struct h2_stream *stream, struct span data);
MUST_CHECK int h2_stream_on_end(struct h2_stream *stream);
/* A frame with END_STREAM has gone. */
void h2_stream_on_sent_end(struct h2_stream *stream);
/* nghttp2 has reset it: what the peer sent is malformed. */
void h2_stream_on_malformed(struct h2_stream *stream);
void h2_stream_on_closed(struct h2_stream *stream, uint32_t code);
/* A window of the peer's grew; our SETTINGS are in force for the peer. */
void h2_stream_on_window(struct h2_stream *stream);
void h2_stream_on_acked(struct h2_stream *stream);
/* Client: the server will send nothing more. */
void h2_stream_on_peer_end(struct h2_stream *stream);

/* Callbacks that were put off. May end the session. */
void h2_stream_run(struct h2_stream *stream);
/* The session is over. */
void h2_stream_abort(struct h2_stream *stream, enum http_error error, const char *error_text);
/* RST_STREAM(code), and on_reset(error) to the holder from the loop. */
void h2_stream_fail(struct h2_stream *stream, uint32_t code, enum http_error error);
/* Server: a bare answer with this status instead of the holder's; the rest of the request is not
 * waited for. */
void h2_stream_answer(struct h2_stream *stream, unsigned status);
/* Nobody needs it any more: h2_stream_free. */
bool h2_stream_is_over(const struct h2_stream *stream);
void h2_stream_free(struct h2_stream *stream);
/* The earlier of its deadlines, 0: none; and when one may have passed. */
uint64_t h2_stream_deadline(const struct h2_stream *stream);
void h2_stream_on_deadline(struct h2_stream *stream);

/* Blocks that it holds, or its holder for it, as far as can be told. */
unsigned h2_stream_held(const struct h2_stream *stream);
/* A holder that found it congested may go on. */
bool h2_stream_is_drained(const struct h2_stream *stream);
/* Bytes or an end wait to be sent. */
bool h2_stream_has_output(const struct h2_stream *stream);
/* The data source of every stream: nghttp2's callbacks. */
ssize_t h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t size, uint32_t *flags,
                       nghttp2_data_source *source, void *user);
int h2_stream_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t len,
                        nghttp2_data_source *source, void *user);

/* Between h2_stream.c and h2_stream_rx.c. */
void h2_stream_grant(struct http_stream *stream, size_t bytes);
void h2_stream_drop_rx(struct h2_stream *stream);
/* Both directions have ended for the holder. */
void h2_stream_release(struct h2_stream *stream);
/* Tells the holder from the loop that the stream failed. */
void h2_stream_reset_later(struct h2_stream *stream, enum http_error error);

#endif
