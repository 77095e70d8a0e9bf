/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_stream.h"

#include "base/panic.h"
#include "http/client.h"

/* The receiving half. Credit and the stream's window are two counts of the same bytes:
 *
 *   rx_granted   the most that may be with the holder at once
 *   rx_out       with the holder, not granted back
 *   rx.len       here, beyond the credit
 *
 * The peer's window is MAX(rx_granted, what SETTINGS say) - rx_out - rx.len: granting back gives
 * nghttp2 the bytes for a WINDOW_UPDATE, granting more than ever before enlarges the window. */

static bool stream_wants_body(const struct h2_stream *stream)
{
    return stream->stream.user != NULL && stream->open && !stream->rx_end && !stream->tunnel &&
           stream->upgrade.len == 0 && stream->rx.len == 0 && !stream->stream.may_rest &&
           stream->rx_granted > stream->rx_out;
}

/* The time between bytes of a request that we want counts from now. */
static void stream_await_body(struct h2_stream *stream)
{
    struct h2_session *s = stream->session;
    if (!s->role->server || s->limits->body_timeout_ns == 0 || !stream_wants_body(stream))
        return;
    stream->rx_deadline_ns = h2_session_now(s) + s->limits->body_timeout_ns;
    h2_session_arm(s, stream->rx_deadline_ns);
}

void h2_stream_drop_rx(struct h2_stream *stream)
{
    stream->session->kept -= stream->rx.len;
    if (stream->giving)
        stream->rx.len = 0; /* h2_stream_run drops the blocks: the holder looks at one */
    else
        h2_queue_drop(&stream->rx, h2_stream_blocks(stream));
    h2_session_settle(stream->session);
}

/* Credit that is left. Nothing is given out of a tunnel before its 101. */
static uint32_t stream_credit(const struct h2_stream *stream)
{
    if (stream->stream.user == NULL || stream->reset_due ||
        (stream->upgrade.len > 0 && !stream->tunnel))
        return 0;
    return stream->rx_granted - stream->rx_out;
}

static void stream_give(struct h2_stream *stream, struct span data)
{
    stream->rx_out += (uint32_t)data.len;
    stream->stream.user->ops->on_body(stream->stream.user, &stream->stream, data);
}

/* The peer's half is complete and all of it was given out. */
static void stream_give_end(struct h2_stream *stream)
{
    if (stream->stream.user == NULL || stream->rx_end_given || stream->reset_due)
        return;
    stream->rx_end_given = true;
    stream->rx_deadline_ns = 0;
    stream->stream.user->ops->on_end(stream->stream.user, &stream->stream, stream->trailers);
    if (stream->tx_end)
        h2_stream_release(stream);
}

static bool stream_end_is_due(const struct h2_stream *stream)
{
    return stream->rx_end && stream->rx.len == 0 &&
           (stream->head_got || stream->session->role->server);
}

static int stream_verdict(const struct h2_stream *stream)
{
    return stream->session->conn != NULL ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

int h2_stream_on_data(struct h2_stream *stream, struct span data)
{
    struct h2_session *s = stream->session;
    uint32_t credit;

    while (data.len > 0 && stream->rx.len == 0 && (credit = stream_credit(stream)) > 0) {
        size_t n = MIN(data.len, (size_t)credit);
        stream_give(stream, span_make(data.ptr, n));
        if (s->conn == NULL)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        data = span_skip(data, n);
    }
    if (stream->stream.user == NULL || stream->reset_due)
        return 0;
    stream_await_body(stream);
    if (data.len == 0)
        return 0;
    if (s->role->server)
        h2_shared_relieve(s->shared);
    uint32_t before = stream->rx.len;
    int error = h2_queue_add(&stream->rx, h2_stream_blocks(stream), data);
    s->kept += stream->rx.len - before;
    if (error < 0)
        h2_stream_fail(stream, NGHTTP2_INTERNAL_ERROR, HTTP_ERROR_NO_MEMORY);
    return 0;
}

int h2_stream_on_end(struct h2_stream *stream)
{
    stream->rx_end = true;
    if (stream_end_is_due(stream))
        stream_give_end(stream);
    return stream_verdict(stream);
}

void h2_stream_grant(struct http_stream *base, size_t bytes)
{
    struct h2_stream *stream = h2_stream_of(base);
    struct h2_session *s = stream->session;
    uint32_t n = (uint32_t)MIN(bytes, (size_t)HTTP_STREAM_WINDOW);
    uint32_t back = MIN(n, stream->rx_out);
    uint32_t granted = MIN(stream->rx_granted + (n - back), HTTP_STREAM_WINDOW);
    bool more = granted > stream->rx_granted;

    if (s->conn == NULL || stream->stream.user == NULL)
        return;
    stream->rx_out -= back;
    stream->rx_granted = granted;
    if (stream->open && !stream->rx_end) {
        int error = nghttp2_session_consume_stream(s->ng, stream->id, back);
        if (error != 0)
            h2_session_broken(s, error);
        else if (more && s->acked)
            h2_stream_on_acked(stream);
        h2_session_want_pump(s);
    }
    if (stream->rx.len > 0)
        h2_session_want_events(s);
    else
        stream_await_body(stream);
}

/* Before our SETTINGS are in force the peer's window is HTTP's default, which is enough. */
void h2_stream_on_acked(struct h2_stream *stream)
{
    struct h2_session *s = stream->session;
    if (!stream->open || stream->rx_end || stream->rx_granted <= H2_STREAM_WINDOW_SERVER)
        return;
    int error = nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, stream->id,
                                                      (int32_t)stream->rx_granted);
    if (error != 0)
        h2_session_broken(s, error);
}

/* What was kept, as far as credit goes. */
static void stream_give_kept(struct h2_stream *stream)
{
    struct block_pool *blocks = h2_stream_blocks(stream);
    uint32_t credit;

    while (stream->rx.len > 0 && (credit = stream_credit(stream)) > 0) {
        struct span front = h2_queue_front(&stream->rx, blocks);
        front.len = MIN(front.len, (size_t)credit);
        stream->session->kept -= (uint32_t)front.len;
        stream->giving = true;
        uint8_t *block = h2_queue_take(&stream->rx, blocks, front.len);
        stream_give(stream, front);
        stream->giving = false;
        if (block != NULL)
            block_put(blocks, block);
        if (stream->stream.user == NULL) {
            h2_queue_drop(&stream->rx, blocks);
            return;
        }
    }
    stream_await_body(stream);
}

void h2_stream_run(struct h2_stream *stream)
{
    struct h2_session *s = stream->session;

    if (stream->rx.len > 0 && !stream->reset_due)
        stream_give_kept(stream);
    if (s->conn != NULL && stream_end_is_due(stream))
        stream_give_end(stream);
    h2_session_settle(s);
    if (s->conn == NULL || stream->stream.user == NULL)
        return;
    if (stream->reset_due) {
        h2_stream_abort(stream, (enum http_error)stream->error, s->error_text);
    } else if (stream->drain_due && h2_stream_is_drained(stream) && !conn_is_congested(s->conn)) {
        stream->drain_due = false;
        stream->stream.user->ops->on_drain(stream->stream.user, &stream->stream);
    }
}

/* Header blocks. */

void h2_stream_on_block(struct h2_stream *stream)
{
    struct h2_session *s = stream->session;
    bool first = s->role->server ? stream->arena_lent : !stream->head_got;
    struct h2_head_rules rules = {
        .limits = s->limits,
        .kind = !first            ? H2_HEAD_TRAILERS
                : s->role->server ? H2_HEAD_REQUEST
                                  : H2_HEAD_RESPONSE,
        .secure = s->secure,
        .any_scheme = s->any_scheme,
        .to_head = stream->to_head,
        .upgrade = stream->upgrade,
    };
    s->block_stream = stream;
    h2_head_begin(&s->block, &rules, stream->arena);
}

/* The request is not given out. */
static void stream_refuse(struct h2_stream *stream, enum http_error error,
                          const struct http_head *head)
{
    struct h2_session *s = stream->session;
    unsigned status = http_error_status(error);

    if (h2_head_is_malformed(error) || status == 0)
        h2_stream_fail(stream, NGHTTP2_PROTOCOL_ERROR, error);
    else
        h2_stream_answer(stream, status);
    s->role->on_refused(s, error, head);
    s->role->release_arena(s, stream->arena);
    stream->arena = NULL;
    stream->arena_lent = false;
}

static void stream_request(struct h2_stream *stream, struct http_head *head, bool end_stream)
{
    struct h2_session *s = stream->session;

    stream->arena_lent = false;
    stream->to_head = head->method == HTTP_METHOD_HEAD;
    stream->upgrade = head->upgrade;
    stream->rx_end = end_stream;
    s->role->on_request(s, stream, head);
    if (s->conn == NULL)
        return;
    /* A request for a tunnel is over with its head (http/stream.h); the tunnel may stand already.
     */
    if (end_stream || stream->upgrade.len > 0)
        stream_give_end(stream);
    if (stream->tunnel) {
        stream->rx_end_given = false;
        h2_session_want_events(s);
    }
}

static void stream_response(struct h2_stream *stream, struct http_head *head, bool end_stream)
{
    struct http_stream_user *user = stream->stream.user;

    stream->head_got = head->status >= 200 || head->status == 101;
    stream->head_sent |= stream->head_got; /* what waited for the answer may go */
    stream->rx_end = end_stream;
    if (head->status == 101) {
        stream->tunnel = true;
        stream->tx_end = false;
    } else if (stream->head_got) {
        stream->upgrade = SPAN_NONE; /* an ordinary message; our half may end now */
        h2_stream_on_window(stream);
    }
    if (user == NULL)
        return;
    user->ops->on_head(user, &stream->stream, head);
    if (stream->session->conn != NULL && stream->rx_end)
        stream_give_end(stream);
}

int h2_stream_on_head(struct h2_stream *stream, bool end_stream)
{
    struct h2_session *s = stream->session;
    struct http_head *head = NULL;
    enum h2_head_kind kind = s->block.rules.kind;
    enum http_error error = h2_head_end(&s->block, end_stream, &head);

    if (kind == H2_HEAD_REQUEST && error != HTTP_ERROR_NONE) {
        stream_refuse(stream, error, head);
    } else if (error != HTTP_ERROR_NONE) {
        bool ours = error == HTTP_ERROR_NO_MEMORY;
        if (error == HTTP_ERROR_BAD_REQUEST && !s->role->server)
            error = HTTP_ERROR_BAD_RESPONSE; /* of trailers */
        h2_stream_fail(stream, ours ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_PROTOCOL_ERROR, error);
    } else if (kind == H2_HEAD_REQUEST) {
        stream_request(stream, head, end_stream);
    } else if (kind == H2_HEAD_RESPONSE && head != NULL) {
        bool interim = head->status < 200 && head->status != 101;
        if (interim && ++stream->interims > s->limits->interims_max)
            h2_stream_fail(stream, NGHTTP2_ENHANCE_YOUR_CALM, HTTP_ERROR_BAD_RESPONSE);
        else
            stream_response(stream, head, end_stream);
    } else {
        stream->trailers = head;
        if (end_stream)
            return h2_stream_on_end(stream);
    }
    return stream_verdict(stream);
}

void h2_stream_on_malformed(struct h2_stream *stream)
{
    struct h2_session *s = stream->session;
    if (stream->arena_lent) {
        s->role->on_refused(s, HTTP_ERROR_BAD_REQUEST, NULL);
        s->role->release_arena(s, stream->arena);
        stream->arena = NULL;
        stream->arena_lent = false;
    }
    h2_stream_reset_later(stream,
                          s->role->server ? HTTP_ERROR_BAD_REQUEST : HTTP_ERROR_BAD_RESPONSE);
}

void h2_stream_on_peer_end(struct h2_stream *stream)
{
    if (!stream->rx_end)
        h2_stream_fail(stream, NGHTTP2_CANCEL,
                       stream->head_got ? HTTP_ERROR_TRUNCATED : HTTP_ERROR_CLOSED);
    else if (stream->stream.user == NULL && h2_stream_has_output(stream))
        h2_stream_fail(stream, NGHTTP2_CANCEL, HTTP_ERROR_NONE); /* no window opens any more */
}

static void stream_timed_out(struct h2_stream *stream)
{
    if (!stream->head_sent) {
        h2_stream_answer(stream, http_error_status(HTTP_ERROR_REQUEST_TIMEOUT));
        h2_stream_reset_later(stream, HTTP_ERROR_REQUEST_TIMEOUT);
    } else {
        h2_stream_fail(stream, NGHTTP2_CANCEL, HTTP_ERROR_REQUEST_TIMEOUT);
    }
}

void h2_stream_on_deadline(struct h2_stream *stream)
{
    uint64_t now = h2_session_now(stream->session);
    if (stream->rx_deadline_ns != 0 && !stream_wants_body(stream))
        stream->rx_deadline_ns = 0;
    if (stream->rx_deadline_ns != 0 && now >= stream->rx_deadline_ns) {
        stream->rx_deadline_ns = 0;
        stream_timed_out(stream);
    }
    if (stream->tx_deadline_ns != 0 && now >= stream->tx_deadline_ns) {
        stream->tx_deadline_ns = 0;
        h2_stream_fail(stream, NGHTTP2_CANCEL, HTTP_ERROR_WRITE_TIMEOUT);
    }
}
