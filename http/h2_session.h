/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H2_SESSION_H
#define RINGGATE_HTTP_H2_SESSION_H

/* An HTTP/2 connection from either end: nghttp2 between a conn and streams
 * (http/h2_stream.h). Private to http/h2_*: h2_server and h2_client embed it and
 * add what is theirs as h2_role.
 *
 * Input is fed to nghttp2 as it comes. Output is pumped: after input, at the end of a turn in which
 * streams wrote (one write for many streams), and at once for a large piece of body, which then
 * goes to the conn from its owner's memory. DATA frames are made for one stream at a time, in
 * turn, as far as the windows and the conn take them.
 *
 * Memory: nghttp2 allocates through hooks that count and cap what a session has. Its frame buffer
 * of 16 KiB holds nothing between two pumps, so all sessions of a loop share one. */

#include <nghttp2/nghttp2.h>

#include "http/date.h"
#include "http/h2_guard.h"
#include "http/h2_head.h"
#include "http/h2_mem.h"

#define H2_FRAME_HEAD 9u /* bytes */
#define H2_SHARED_OUT_SIZE 32768u
#define H2_SESSION_HIGH (1u << 20) /* bytes that all streams keep for sending: crowded */
#define H2_SESSION_LOW (512u << 10) /* and not any more */
#define H2_SESSION_HEAP_MAX (1u << 20) /* of nghttp2: HPACK, streams, queued heads and frames */

struct h2_session;
struct h2_stream;

/* What the sessions of one role on one loop share. */
struct h2_shared {
    struct loop *loop;
    struct pool streams; /* struct h2_stream */
    struct h2_mem mem; /* nghttp2's */
    struct dlist sessions; /* struct h2_session.shared_link, all */
    unsigned sessions_count; /* in the list */
    struct loop_task relief;
    struct date_cache date;
    nghttp2_session_callbacks *callbacks;
    uint8_t *frame_buf; /* nghttp2's, of whichever session is pumped */
    /* Output of one pump on its way to the conn. */
    uint8_t *out;
    size_t out_used;
    struct iovec iov[8];
    int iov_count;
};

/* streams_max: of all sessions together. Start-up: panics without memory. */
void h2_shared_init(struct h2_shared *shared, struct loop *loop, unsigned streams_max);
void h2_shared_fini(struct h2_shared *shared); /* all sessions are gone (asserted) */
/* When blocks are scarce: at the end of the turn the session that holds most of them loses all its
 * streams, if that is more than its share, which is half of all by the number of sessions. So those
 * who hold little find some, whatever others hold on to. Server sessions. */
void h2_shared_relieve(struct h2_shared *shared);

/* What differs between the ends. Called from the loop, never inside a call down. */
struct h2_role {
    bool server;
    /* Server: as in http_server_owner_ops. */
    struct arena *(*request_arena)(struct h2_session *s);
    void (*release_arena)(struct h2_session *s, struct arena *arena);
    void (*on_request)(struct h2_session *s, struct h2_stream *stream, struct http_head *head);
    void (*on_refused)(struct h2_session *s, enum http_error error, const struct http_head *head);
    /* Client: a stream is over, or the peer's SETTINGS or GOAWAY changed what may begin. */
    void (*on_room)(struct h2_session *s);
    /* The session is over, conn and streams are gone: the role frees it. error_text: static or
     * NULL. */
    void (*on_closed)(struct h2_session *s, enum http_error error, const char *error_text);
};

/* Where in the input the next frame begins. */
struct h2_framing {
    uint32_t left; /* bytes of the frame's payload to come */
    uint8_t head[H2_FRAME_HEAD], head_len;
    uint8_t preface_left;
    uint8_t flags; /* of the frame */
    bool pad_due; /* DATA whose first byte, to come, says how much of it is padding */
    bool ends_block; /* the frame has END_HEADERS */
};

struct h2_session {
    struct conn_owner conn_owner;
    struct conn *conn; /* NULL: closed or lost, h2_role.on_closed follows */
    nghttp2_session *ng;
    struct h2_shared *shared;
    struct dlist shared_link;
    const struct h2_role *role;
    const struct http_limits *limits;
    struct loop_task task; /* the end of the turn: pump, callbacks that were put off, finish */
    struct h2_guard guard;
    struct h2_framing framing;

    struct dlist streams; /* struct h2_stream.link, all */
    struct dlist ready; /* struct h2_stream.ready_link: have output that may go */
    unsigned streams_count; /* in the list */
    uint32_t requests; /* begun, in all */

    struct h2_stream *serving; /* whose DATA may be made now */
    size_t quantum; /* bytes it may still send in its turn */
    uint8_t *spent; /* blocks to give back once the pump's output is with the conn */

    struct h2_head block; /* the header block being received */
    struct h2_stream *block_stream; /* NULL: it belongs to nothing */
    uint64_t block_deadline_ns; /* of it to be complete; 0: none in progress */

    uint32_t kept; /* body bytes that wait for credit, all streams */
    uint32_t queued; /* body bytes kept for sending, all streams */
    uint32_t unsettled; /* body bytes not yet given back to the connection's window */
    size_t heap; /* bytes nghttp2 has, but for the shared buffer */

    uint64_t deadline_ns; /* armed on the conn; 0: none */
    uint64_t start_ns, idle_ns; /* begun; last time a stream ended */
    uint64_t rx_ns; /* last input */
    uint64_t ping_ns, notice_ns; /* PING of ours without an answer; GOAWAY notice; 0: none */
    uint64_t reset_ns; /* we last sent RST_STREAM */
    int32_t last_id, gap_low, gap_high; /* of the peer's streams: highest; identifiers it skipped */
    const char *error_text;
    uint32_t goaway_code; /* with which a callback of nghttp2 ended the session */
    uint8_t error; /* enum http_error for on_closed */
    uint8_t refusal; /* client: enum http_error of the last request that got no stream */
    uint8_t depth; /* callbacks of the loop that we are inside of */
    bool booting; /* nghttp2 is being set up and has not asked for its frame buffer yet */
    bool receiving, pumping; /* inside nghttp2 */
    bool pump_due, events_due, room_due;
    bool crowded; /* queued reached H2_SESSION_HIGH and has not fallen to H2_SESSION_LOW since */
    bool settled; /* the peer's SETTINGS came */
    bool acked; /* ours were acknowledged */
    bool secure, any_scheme; /* as in h2_server_options */
    bool draining, final_sent, peer_goaway, peer_ended;
};

/* Takes an open conn. 0; -ENOMEM: the conn stays the caller's. Input that the conn holds is dealt
 * with from the loop. role and limits are borrowed for the session's life. */
MUST_CHECK int h2_session_init(struct h2_session *s, struct h2_shared *shared,
                               const struct h2_role *role, struct conn *conn,
                               const struct http_limits *limits);
/* No more streams. Server: GOAWAY notice, then, after a round trip or a second, the final one
 * (RFC 9113 6.8). Ends when the last stream is over. */
void h2_session_drain(struct h2_session *s);
/* Ends it at once: streams get on_reset(GONE), then on_closed, before it returns; inside callbacks
 * of the session, after them. */
void h2_session_abort(struct h2_session *s);
/* No stream is alive and none has begun. */
bool h2_session_is_idle(const struct h2_session *s);
/* Client: streams that may begin now. */
unsigned h2_session_room(const struct h2_session *s);
/* Client: SETTINGS_ENABLE_CONNECT_PROTOCOL came with 1. */
bool h2_session_can_tunnel(const struct h2_session *s);

/* For h2_stream.c. */

/* The task runs at the end of the turn, unless a callback of ours is left before. */
void h2_session_defer(struct h2_session *s);
/* Something to send was queued: pumps at the end of the turn. */
void h2_session_want_pump(struct h2_session *s);
/* Callbacks are due that may not come from inside a call down. */
void h2_session_want_events(struct h2_session *s);
/* Sends what may go. No callback. */
void h2_session_pump(struct h2_session *s);
/* The deadline is at_ns or earlier. */
void h2_session_arm(struct h2_session *s, uint64_t at_ns);
/* nghttp2 failed at what may not fail: out of memory. on_closed follows from the loop. */
void h2_session_broken(struct h2_session *s, int ng_error);
/* From inside a callback of nghttp2: ends the session with GOAWAY(code) after it. Returns what the
 * callback is to return. */
int h2_session_condemn(struct h2_session *s, uint32_t code, enum http_error error,
                       const char *text);
void h2_session_on_ping_ack(struct h2_session *s, const uint8_t *data);
/* Gives received bytes back to the connection's window, as far as what is kept allows. */
void h2_session_settle(struct h2_session *s);
/* h2_session.queued grew or shrank by so much. */
void h2_session_add_queued(struct h2_session *s, uint32_t bytes);
void h2_session_take_queued(struct h2_session *s, uint32_t bytes);
static inline uint64_t h2_session_now(const struct h2_session *s)
{
    return s->shared->loop->clock.mono_ns;
}

/* Output of the pump, in order. copy: at most H2_SHARED_OUT_SIZE bytes. body: borrowed until the
 * flush, or copied when it is small. */
void h2_session_out_copy(struct h2_session *s, const uint8_t *data, size_t len);
void h2_session_out_body(struct h2_session *s, const uint8_t *data, size_t len);

#endif
