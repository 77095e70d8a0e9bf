/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_input.h"

#include "base/panic.h"
#include "http/h2_stream.h"

#define RESET_GRACE_NS (10 * NS_PER_S) /* frames that a peer sent before it knew of our reset */

static struct h2_stream *stream_find(struct h2_session *s, int32_t id)
{
    return nghttp2_session_get_stream_user_data(s->ng, id);
}

static bool stream_is_known(struct h2_session *s, int32_t id)
{
    nghttp2_stream *stream = nghttp2_session_find_stream(s->ng, id);
    if (stream == NULL)
        return false;
    nghttp2_stream_proto_state state = nghttp2_stream_get_state(stream);
    return state != NGHTTP2_STREAM_STATE_IDLE && state != NGHTTP2_STREAM_STATE_CLOSED;
}

/* RFC 9113 5.1: nghttp2 ignores what comes on closed streams. So must we, while the peer may not
 * know of our RST_STREAM or GOAWAY. nghttp2 does not tell of frames that it ignores, hence the
 * reading of frame headers beside it. */
static bool stream_takes_frames(struct h2_session *s, int32_t id)
{
    return stream_is_known(s, id) || s->final_sent ||
           (s->reset_ns != 0 && h2_session_now(s) < s->reset_ns + RESET_GRACE_NS);
}

static int closed_stream(struct h2_session *s)
{
    return h2_session_condemn(s, NGHTTP2_STREAM_CLOSED, HTTP_ERROR_PROTOCOL,
                              "frame on a closed stream");
}

/* A message on a stream of ours. One that we have not begun is nghttp2's business. */
static int check_own_stream(struct h2_session *s, int32_t id)
{
    bool begun = id % 2 == 1 && (uint32_t)id < nghttp2_session_get_next_stream_id(s->ng);
    return begun && !stream_takes_frames(s, id) ? closed_stream(s) : 0;
}

/* RFC 9113 5.1.1: the same for a message on a stream of the client's, and on identifiers that were
 * skipped. */
static int check_stream(struct h2_session *s, const nghttp2_frame_hd *hd)
{
    int32_t id = hd->stream_id;
    if (id % 2 == 0)
        return 0;
    if (id > s->last_id) {
        if (hd->type != NGHTTP2_HEADERS)
            return 0;
        if (id > s->last_id + 2 && s->last_id != 0) {
            s->gap_low = s->gap_low != 0 ? s->gap_low : s->last_id + 2;
            s->gap_high = id - 2;
        }
        if (s->last_id == 0 && id > 1) {
            s->gap_low = 1;
            s->gap_high = id - 2;
        }
        s->last_id = id;
        return 0;
    }
    if (stream_takes_frames(s, id))
        return 0;
    if (id >= s->gap_low && id <= s->gap_high)
        return h2_session_condemn(s, NGHTTP2_PROTOCOL_ERROR, HTTP_ERROR_PROTOCOL,
                                  "stream identifier lower than an earlier one");
    return closed_stream(s);
}

/* The session ends when a limit broke; text: its name, or NULL. One with a backend is given up for
 * new requests first. */
static int check_guard(struct h2_session *s, const char *text)
{
    if (text == NULL)
        return 0;
    if (!s->role->server && s->streams_count > 0 && h2_guard_forgive(&s->guard)) {
        h2_session_drain(s);
        return 0;
    }
    return h2_session_condemn(s, NGHTTP2_ENHANCE_YOUR_CALM, HTTP_ERROR_FLOOD, text);
}

/* The stream was begun, and nothing more of its response is to come: to reset it takes no work
 * back. */
static bool response_is_whole(struct h2_session *s, int32_t id)
{
    bool server = s->role->server;
    if (id % 2 == 0 ||
        (server ? id > s->last_id : (uint32_t)id >= nghttp2_session_get_next_stream_id(s->ng)))
        return false;
    nghttp2_stream *stream = nghttp2_session_find_stream(s->ng, id);
    if (stream == NULL)
        return true;
    nghttp2_stream_proto_state state = nghttp2_stream_get_state(stream);
    return state == NGHTTP2_STREAM_STATE_CLOSED ||
           state == (server ? NGHTTP2_STREAM_STATE_HALF_CLOSED_LOCAL
                            : NGHTTP2_STREAM_STATE_HALF_CLOSED_REMOTE);
}

static const char *count_frame(struct h2_session *s, const nghttp2_frame_hd *hd, uint64_t now_ns)
{
    bool reset = hd->type == NGHTTP2_RST_STREAM;
    if (reset && !s->role->server && stream_is_known(s, hd->stream_id))
        return NULL;
    if (reset && response_is_whole(s, hd->stream_id))
        return h2_guard_on_late_reset(&s->guard, now_ns);
    return h2_guard_on_frame(&s->guard, hd->type, hd->flags, (uint32_t)hd->length, now_ns);
}

/* A frame's header is complete. */
static int on_frame(struct h2_session *s, const nghttp2_frame_hd *hd)
{
    uint64_t now = h2_session_now(s);
    int verdict = 0;
    s->framing.flags = hd->flags;
    s->framing.pad_due =
        hd->type == NGHTTP2_DATA && (hd->flags & NGHTTP2_FLAG_PADDED) != 0 && hd->length > 0;
    if (!s->framing.pad_due)
        verdict = check_guard(s, count_frame(s, hd, now));
    if (verdict != 0)
        return verdict;
    s->framing.ends_block = (hd->flags & NGHTTP2_FLAG_END_HEADERS) != 0 &&
                            (hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION);
    if (hd->type == NGHTTP2_HEADERS && s->limits->head_timeout_ns != 0) {
        s->block_deadline_ns = now + s->limits->head_timeout_ns;
        h2_session_arm(s, s->block_deadline_ns);
    }
    if (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0) /* nghttp2's client does not look */
        return h2_session_condemn(s, NGHTTP2_PROTOCOL_ERROR, HTTP_ERROR_PROTOCOL,
                                  "PRIORITY on stream 0");
    if (hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_DATA)
        return s->role->server ? check_stream(s, hd) : check_own_stream(s, hd->stream_id);
    return 0;
}

/* Takes what is here of a frame's header: bytes taken; *ret: as on_frame. */
static size_t take_head(struct h2_session *s, struct span in, int *ret)
{
    struct h2_framing *f = &s->framing;
    size_t n = MIN(in.len, (size_t)(H2_FRAME_HEAD - f->head_len));
    const uint8_t *h = f->head;
    *ret = 0;
    memcpy(f->head + f->head_len, in.ptr, n);
    f->head_len = (uint8_t)(f->head_len + n);
    if (f->head_len < H2_FRAME_HEAD)
        return n;
    f->head_len = 0;
    nghttp2_frame_hd hd = {
        .length = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2],
        .type = h[3],
        .flags = h[4],
        .stream_id =
            (int32_t)((h[5] & 0x7fu) << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8]),
    };
    f->left = (uint32_t)hd.length;
    *ret = on_frame(s, &hd);
    return n;
}

/* The first byte of a padded DATA frame: the rest of it is known. */
static int on_pad(struct h2_session *s, uint8_t pad)
{
    struct h2_framing *f = &s->framing;
    uint32_t rest = f->left - 1;
    f->pad_due = false;
    return check_guard(s, h2_guard_on_frame(&s->guard, NGHTTP2_DATA, f->flags,
                                            rest - MIN(rest, (uint32_t)pad), h2_session_now(s)));
}

ssize_t h2_input_feed(struct h2_session *s, struct span in)
{
    struct h2_framing *f = &s->framing;
    while (in.len > 0) {
        size_t n = MIN(in.len, (size_t)f->preface_left);
        int verdict = 0;
        f->preface_left = (uint8_t)(f->preface_left - n);
        if (f->preface_left == 0 && f->left == 0 && n < in.len)
            n += take_head(s, span_skip(in, n), &verdict);
        if (verdict == 0 && f->pad_due && n < in.len)
            verdict = on_pad(s, (uint8_t)in.ptr[n]);
        if (verdict != 0)
            return verdict;
        size_t payload = MIN(in.len - n, (size_t)f->left);
        f->left -= (uint32_t)payload;
        n += payload;
        ssize_t taken = nghttp2_session_mem_recv(s->ng, (const uint8_t *)in.ptr, n);
        if (taken < 0 || s->conn == NULL)
            return taken;
        if (f->ends_block && f->left == 0 && f->head_len == 0)
            s->block_deadline_ns = 0;
        in = span_skip(in, n);
    }
    return 0;
}

/* No memory: the client may try again, here or elsewhere. */
static int refuse_request(struct h2_session *s, int32_t id)
{
    s->block_stream = NULL;
    s->reset_ns = h2_session_now(s);
    s->role->on_refused(s, HTTP_ERROR_NO_MEMORY, NULL);
    int error = nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return error != 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *ng UNUSED, const nghttp2_frame *frame, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *stream = stream_find(s, frame->hd.stream_id);
    s->block_stream = NULL;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        struct arena *arena = s->role->request_arena(s);
        if (arena == NULL)
            return refuse_request(s, frame->hd.stream_id);
        stream = h2_stream_accept(s, frame->hd.stream_id, arena);
        if (stream == NULL) {
            s->role->release_arena(s, arena);
            return refuse_request(s, frame->hd.stream_id);
        }
    }
    if (stream != NULL)
        h2_stream_on_block(stream);
    return 0;
}

static int on_header(nghttp2_session *ng UNUSED, const nghttp2_frame *frame UNUSED,
                     const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len,
                     uint8_t flags UNUSED, void *user)
{
    struct h2_session *s = user;
    if (s->block_stream == NULL ||
        h2_head_add(&s->block, span_make(name, name_len), span_make(value, value_len)))
        return 0;
    return h2_session_condemn(s, NGHTTP2_ENHANCE_YOUR_CALM, HTTP_ERROR_FLOOD,
                              "decoded header block too large");
}

static int on_headers_done(struct h2_session *s, const nghttp2_frame *frame)
{
    struct h2_stream *stream = s->block_stream;
    s->block_stream = NULL;
    if (stream == NULL)
        return 0;
    return h2_stream_on_head(stream, (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
}

static void each_stream(struct h2_session *s, void (*call)(struct h2_stream *stream))
{
    dlist_foreach(it, next, &s->streams)
    {
        call(dlist_entry(it, struct h2_stream, link));
    }
}

static void on_settings(struct h2_session *s, bool ack)
{
    if (ack) {
        s->acked = true;
        each_stream(s, h2_stream_on_acked);
    } else {
        s->settled = true;
        s->room_due = true;
        each_stream(s, h2_stream_on_window);
    }
}

static int on_frame_recv(nghttp2_session *ng UNUSED, const nghttp2_frame *frame, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *stream = stream_find(s, frame->hd.stream_id);

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        return on_headers_done(s, frame);
    case NGHTTP2_DATA:
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && stream != NULL)
            return h2_stream_on_end(stream);
        break;
    case NGHTTP2_SETTINGS:
        on_settings(s, (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (stream != NULL)
            h2_stream_on_window(stream);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            h2_session_on_ping_ack(s, frame->ping.opaque_data);
        break;
    case NGHTTP2_GOAWAY:
        s->peer_goaway = true;
        s->room_due = true;
        break;
    case NGHTTP2_RST_STREAM:
        if (stream != NULL) {
            stream->stream.peer_reset = true;
            stream->stream.reset_code = frame->rst_stream.error_code;
        }
        break;
    default:
        break;
    }
    return 0;
}

/* nghttp2 answers with RST_STREAM or GOAWAY by itself. */
static int on_invalid_frame(nghttp2_session *ng UNUSED, const nghttp2_frame *frame,
                            int ng_error UNUSED, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *stream = stream_find(s, frame->hd.stream_id);
    s->reset_ns = h2_session_now(s);
    if (frame->hd.type == NGHTTP2_HEADERS)
        s->block_stream = NULL;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        s->peer_goaway = true;
    if (stream != NULL)
        h2_stream_on_malformed(stream);
    return 0;
}

static int on_data_chunk(nghttp2_session *ng UNUSED, uint8_t flags UNUSED, int32_t id,
                         const uint8_t *data, size_t len, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *stream = stream_find(s, id);
    int verdict = 0;
    s->unsettled += (uint32_t)len;
    if (stream != NULL)
        verdict = h2_stream_on_data(stream, span_make(data, len));
    h2_session_settle(s);
    return verdict;
}

static int on_stream_close(nghttp2_session *ng UNUSED, int32_t id, uint32_t code, void *user)
{
    struct h2_stream *stream = stream_find(user, id);
    if (stream != NULL)
        h2_stream_on_closed(stream, code);
    return 0;
}

/* For what the peer did, not for what we or our holders want. */
static bool is_fault(uint32_t code)
{
    return code != NGHTTP2_NO_ERROR && code != NGHTTP2_CANCEL && code != NGHTTP2_INTERNAL_ERROR;
}

static void on_reset_sent(struct h2_session *s, int32_t id, uint32_t code)
{
    bool server = s->role->server;
    const char *text = NULL;
    s->reset_ns = h2_session_now(s);
    if (server ? is_fault(code) : !response_is_whole(s, id))
        text = h2_guard_on_reset(&s->guard, s->reset_ns);
    if (text != NULL && server) { /* may be inside a call down: the end of the turn sees to it */
        (void)h2_session_condemn(s, NGHTTP2_ENHANCE_YOUR_CALM, HTTP_ERROR_FLOOD, text);
        h2_session_want_events(s);
    } else if (text != NULL) { /* before the backend takes it for an attack */
        h2_session_drain(s);
    }
}

static void on_goaway_sent(struct h2_session *s, uint32_t code)
{
    if (code == NGHTTP2_NO_ERROR || s->error != HTTP_ERROR_NONE)
        return;
    /* Clients of grpc-go name the last of their own streams when they leave, which nghttp2 calls an
     * error. Whoever leaves in good order otherwise is not accused of it. */
    if (s->peer_goaway && s->streams_count == 0)
        return;
    s->error = code == NGHTTP2_ENHANCE_YOUR_CALM || code == NGHTTP2_INTERNAL_ERROR
                   ? HTTP_ERROR_FLOOD
                   : HTTP_ERROR_PROTOCOL;
    s->error_text = nghttp2_http2_strerror(code);
}

static int on_frame_send(nghttp2_session *ng UNUSED, const nghttp2_frame *frame, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *stream;

    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        h2_guard_on_sent(&s->guard, frame->hd.length);
        break;
    case NGHTTP2_RST_STREAM:
        on_reset_sent(s, frame->hd.stream_id, frame->rst_stream.error_code);
        return 0;
    case NGHTTP2_GOAWAY:
        on_goaway_sent(s, frame->goaway.error_code);
        return 0;
    case NGHTTP2_HEADERS:
        break;
    default:
        return 0;
    }
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2_guard_on_sent(&s->guard, 0);
    stream = stream_find(s, frame->hd.stream_id);
    if (stream != NULL)
        h2_stream_on_sent_end(stream);
    return 0;
}

/* A head of ours that nghttp2 will not send: larger than it packs. Heads for streams that closed
 * meanwhile need nothing. */
static int on_frame_not_send(nghttp2_session *ng UNUSED, const nghttp2_frame *frame, int ng_error,
                             void *user)
{
    struct h2_stream *stream = stream_find(user, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && ng_error == NGHTTP2_ERR_FRAME_SIZE_ERROR &&
        stream != NULL)
        h2_stream_fail(stream, NGHTTP2_INTERNAL_ERROR, HTTP_ERROR_HEAD_TOO_LARGE);
    return 0;
}

nghttp2_session_callbacks *h2_input_callbacks(void)
{
    nghttp2_session_callbacks *c;
    int error = nghttp2_session_callbacks_new(&c);
    ASSERT(error == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(c, h2_stream_send_data);
    return c;
}
