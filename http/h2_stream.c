/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_stream.h"

#include <errno.h>
#include <string.h>

#include "base/panic.h"

/* Life, and the sending half. DATA is made by nghttp2 through h2_stream_read when the session
 * serves this stream, in the order: kept bytes, bytes that the holder is sending just now, end. */

#define STALL_TIMEOUT_NS (30 * NS_PER_S) /* nobody holds it and the peer does not take the rest */
#define DIRECT_MIN 4096u /* smaller pieces are gathered until the end of the turn */

static const struct http_stream_ops stream_ops;

static struct h2_stream *stream_new(struct h2_session *s, int32_t id, struct arena *arena)
{
    struct h2_stream *stream = pool_get_zero(&s->shared->streams);
    if (stream == NULL)
        return NULL;
    stream->stream.ops = &stream_ops;
    stream->session = s;
    stream->id = id;
    stream->arena = arena;
    stream->open = true;
    stream->tx_left = HTTP_LENGTH_UNKNOWN;
    dlist_init(&stream->ready_link);
    dlist_push_back(&s->streams, &stream->link);
    s->streams_count++;
    if (s->limits->h2_ping_interval_ns != 0)
        h2_session_arm(s, h2_session_now(s) + s->limits->h2_ping_interval_ns);
    return stream;
}

struct h2_stream *h2_stream_accept(struct h2_session *s, int32_t id, struct arena *arena)
{
    struct h2_stream *stream = stream_new(s, id, arena);
    if (stream == NULL)
        return NULL;
    stream->arena_lent = true;
    int error = nghttp2_session_set_stream_user_data(s->ng, id, stream);
    ASSERT(error == 0); /* it was opened just now */
    return stream;
}

static void stream_drop_trailers(struct h2_stream *stream)
{
    struct block_pool *blocks = h2_stream_blocks(stream);
    if (stream->tx_trailers != NULL && stream->tx_trailers_large)
        block_put_large(blocks, stream->tx_trailers);
    else if (stream->tx_trailers != NULL)
        block_put(blocks, stream->tx_trailers);
    stream->tx_trailers = NULL;
}

static void stream_drop_tx(struct h2_stream *stream)
{
    struct block_pool *blocks = h2_stream_blocks(stream);
    h2_session_take_queued(stream->session, stream->tx.len);
    h2_queue_drop(&stream->tx, blocks);
    stream_drop_trailers(stream);
    stream->borrow_len = 0;
    dlist_remove(&stream->ready_link);
}

bool h2_stream_is_over(const struct h2_stream *stream)
{
    return !stream->open && stream->stream.user == NULL;
}

void h2_stream_free(struct h2_stream *stream)
{
    struct h2_session *s = stream->session;
    ASSERT(!stream->arena_lent && !stream->giving && s->serving != stream);
    stream_drop_tx(stream);
    h2_stream_drop_rx(stream);
    if (s->block_stream == stream)
        s->block_stream = NULL;
    dlist_remove(&stream->link);
    s->streams_count--;
    pool_put(&s->shared->streams, stream);
}

static void stream_rst(struct h2_stream *stream, uint32_t code)
{
    struct h2_session *s = stream->session;
    if (!stream->open || s->conn == NULL)
        return;
    s->reset_ns = h2_session_now(s);
    int error = nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, stream->id, code);
    if (error != 0)
        h2_session_broken(s, error);
    h2_session_want_pump(s);
}

void h2_stream_reset_later(struct h2_stream *stream, enum http_error error)
{
    if (stream->stream.user != NULL && !stream->reset_due) {
        stream->reset_due = true;
        stream->error = (uint8_t)error;
    }
    h2_stream_drop_rx(stream);
    h2_session_want_events(stream->session);
}

void h2_stream_fail(struct h2_stream *stream, uint32_t code, enum http_error error)
{
    stream_drop_tx(stream);
    stream->tx_left = HTTP_LENGTH_UNKNOWN;
    stream_rst(stream, code);
    h2_stream_reset_later(stream, error);
}

void h2_stream_abort(struct h2_stream *stream, enum http_error error, const char *error_text)
{
    struct http_stream_user *user = stream->stream.user;
    if (stream->arena_lent)
        stream->session->role->release_arena(stream->session, stream->arena);
    stream->arena_lent = false;
    stream->arena = NULL;
    if (user == NULL)
        return;
    if (stream->stream.error_text == NULL)
        stream->stream.error_text = error_text;
    user->ops->on_reset(user, &stream->stream, error);
    stream->stream.user = NULL;
}

/* The peer has all of ours: what it still sends is not wanted (RFC 9113 8.1). */
static void stream_cut(struct h2_stream *stream)
{
    if (stream->cut && stream->open && !stream->rx_end &&
        nghttp2_session_get_stream_local_close(stream->session->ng, stream->id) == 1)
        stream_rst(stream, NGHTTP2_NO_ERROR);
}

void h2_stream_on_sent_end(struct h2_stream *stream)
{
    struct h2_session *s = stream->session;
    if (!stream->cut || stream->rx_end)
        return;
    s->reset_ns = h2_session_now(s);
    int error = nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
    if (error != 0)
        h2_session_broken(s, error);
}

void h2_stream_release(struct h2_stream *stream)
{
    struct h2_session *s = stream->session;
    stream->stream.user = NULL;
    stream->arena = NULL;
    stream->rx_deadline_ns = 0;
    h2_stream_drop_rx(stream);
    stream->cut = !stream->rx_end;
    stream_cut(stream);
    if (h2_stream_has_output(stream)) {
        stream->tx_deadline_ns = h2_session_now(s) + STALL_TIMEOUT_NS;
        h2_session_arm(s, stream->tx_deadline_ns);
    }
    if (s->peer_ended)
        h2_stream_on_peer_end(stream);
    h2_session_want_events(s); /* sees whether it is over */
}

static enum http_error stream_close_error(const struct h2_stream *stream, uint32_t code)
{
    if (code == NGHTTP2_REFUSED_STREAM && !stream->head_got)
        return HTTP_ERROR_REFUSED;
    if (!stream->stream.peer_reset)
        return stream->session->role->server ? HTTP_ERROR_BAD_REQUEST : HTTP_ERROR_BAD_RESPONSE;
    return code == NGHTTP2_CANCEL || code == NGHTTP2_NO_ERROR ? HTTP_ERROR_CANCELLED
                                                              : HTTP_ERROR_RESET;
}

void h2_stream_on_closed(struct h2_stream *stream, uint32_t code)
{
    bool answered = stream->rx_end && !stream->session->role->server && code == NGHTTP2_NO_ERROR;

    stream->open = false;
    stream_drop_tx(stream);
    if (stream->arena_lent) { /* reset in the middle of its head */
        stream->session->role->release_arena(stream->session, stream->arena);
        stream->arena = NULL;
        stream->arena_lent = false;
        if (stream->session->block_stream == stream)
            stream->session->block_stream = NULL;
    }
    /* A server that has answered whole may say that it needs no more of the request. */
    if (stream->stream.user != NULL && !(stream->rx_end && stream->tx_eof) && !answered)
        h2_stream_reset_later(stream, stream_close_error(stream, code));
    h2_session_want_events(stream->session);
}

uint64_t h2_stream_deadline(const struct h2_stream *stream)
{
    if (stream->rx_deadline_ns == 0 || stream->tx_deadline_ns == 0)
        return MAX(stream->rx_deadline_ns, stream->tx_deadline_ns);
    return MIN(stream->rx_deadline_ns, stream->tx_deadline_ns);
}

/* Sending. */

bool h2_stream_has_output(const struct h2_stream *stream)
{
    if (!stream->open || stream->tx_eof || (stream->upgrade.len > 0 && !stream->head_sent))
        return false;
    return stream->tx.len > 0 || stream->borrow_len > 0 || stream->tx_end;
}

void h2_stream_on_window(struct h2_stream *stream)
{
    if (h2_stream_has_output(stream) && !dlist_is_linked(&stream->ready_link))
        dlist_push_back(&stream->session->ready, &stream->ready_link);
    h2_session_want_pump(stream->session);
}

bool h2_stream_is_drained(const struct h2_stream *stream)
{
    return stream->tx.len <= (stream->session->crowded ? 0 : H2_STREAM_LOW);
}

unsigned h2_stream_held(const struct h2_stream *stream)
{
    uint32_t in = stream->rx.len + stream->rx_out; /* what was given out is on its way, or waits */
    const struct http_stream_user *user = stream->stream.user;
    unsigned holder =
        user != NULL && user->ops->held != NULL ? user->ops->held(user) : stream->arena != NULL;
    return holder + (stream->tx.len + BLOCK_SIZE - 1) / BLOCK_SIZE +
           (in + BLOCK_SIZE - 1) / BLOCK_SIZE;
}

static int stream_submit_trailers(struct h2_stream *stream)
{
    struct h2_session *s = stream->session;
    int error = nghttp2_submit_trailer(s->ng, stream->id, (nghttp2_nv *)stream->tx_trailers,
                                       stream->tx_trailers_count);
    stream_drop_trailers(stream);
    return error;
}

ssize_t h2_stream_read(nghttp2_session *ng UNUSED, int32_t id UNUSED, uint8_t *buf UNUSED,
                       size_t size, uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *stream = source->ptr;
    size_t left = stream->tx.len + stream->borrow_len;
    size_t room = MIN(size, s->quantum), n = MIN(left, room);
    bool last = stream->tx_end && n == left;

    if (s->serving != stream || (n == 0 && !last))
        return NGHTTP2_ERR_DEFERRED;
    s->quantum -= n;
    if (n > 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!last)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    stream->tx_eof = true;
    if (stream->tx_trailers != NULL) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (stream_submit_trailers(stream) != 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)n;
}

/* len bytes of what the holder is sending just now. */
static void stream_out_borrowed(struct h2_stream *stream, size_t len)
{
    ASSERT(len <= stream->borrow_len);
    stream->borrow_len -= len;
    while (len > 0) {
        const struct iovec *piece = stream->borrow;
        size_t n = MIN(len, piece->iov_len - stream->borrow_skip);
        h2_session_out_body(stream->session, (const uint8_t *)piece->iov_base + stream->borrow_skip,
                            n);
        stream->borrow_skip += n;
        len -= n;
        if (stream->borrow_skip == piece->iov_len) {
            stream->borrow++;
            stream->borrow_skip = 0;
        }
    }
}

int h2_stream_send_data(nghttp2_session *ng UNUSED, nghttp2_frame *frame UNUSED,
                        const uint8_t *head, size_t len, nghttp2_data_source *source, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *stream = source->ptr;
    struct block_pool *blocks = h2_stream_blocks(stream);

    h2_session_out_copy(s, head, H2_FRAME_HEAD);
    if (stream->tx_deadline_ns != 0)
        stream->tx_deadline_ns = h2_session_now(s) + STALL_TIMEOUT_NS;
    while (len > 0 && stream->tx.len > 0) {
        struct span front = h2_queue_front(&stream->tx, blocks);
        size_t n = MIN(front.len, len);
        h2_session_out_body(s, (const uint8_t *)front.ptr, n);
        uint8_t *block = h2_queue_take(&stream->tx, blocks, n);
        h2_session_take_queued(s, (uint32_t)n);
        if (block != NULL) {
            block_head(blocks, block)->next = s->spent;
            s->spent = block;
        }
        len -= n;
    }
    stream_out_borrowed(stream, len);
    return 0;
}

/* The holder broke its own announcement, or there is no memory: the peer must not take what it got
 * for whole. */
static int stream_broken(struct h2_stream *stream, int error)
{
    if (error == -EMSGSIZE)
        stream->stream.error_text = "body does not fit its Content-Length";
    h2_stream_fail(stream, NGHTTP2_INTERNAL_ERROR,
                   error == -ENOBUFS ? HTTP_ERROR_NO_MEMORY : HTTP_ERROR_GONE);
    return error;
}

/* on_reset is to come. Until then the holder may go on with what it was doing. */
static bool stream_has_failed(const struct h2_stream *stream)
{
    return stream->session->conn == NULL || stream->reset_due;
}

static bool stream_is_congested(const struct http_stream *base)
{
    struct h2_stream *stream = h2_stream_of(base);
    if (stream_has_failed(stream) || !stream->open)
        return false;
    uint32_t high = stream->session->crowded ? 1 : H2_STREAM_HIGH;
    bool congested = stream->tx.len >= high || conn_is_congested(stream->session->conn);
    if (congested)
        stream->drain_due = true;
    return congested;
}

static int stream_keep_rest(struct h2_stream *stream)
{
    struct span piece;
    if (stream->borrow_len > 0 && stream->session->role->server)
        h2_shared_relieve(stream->session->shared);
    while (stream->borrow_len > 0) {
        const struct iovec *iov = stream->borrow++;
        piece = span_skip(span_make(iov->iov_base, iov->iov_len), stream->borrow_skip);
        stream->borrow_skip = 0;
        stream->borrow_len -= piece.len;
        uint32_t before = stream->tx.len;
        int error = h2_queue_add(&stream->tx, h2_stream_blocks(stream), piece);
        h2_session_add_queued(stream->session, stream->tx.len - before);
        if (error < 0)
            return error;
    }
    return 0;
}

static int stream_send_body(struct http_stream *base, const struct iovec *iov, int count)
{
    struct h2_stream *stream = h2_stream_of(base);
    struct h2_session *s = stream->session;
    size_t total = 0;

    ASSERT(stream->stream.user != NULL);
    if (stream_has_failed(stream))
        return -EPIPE;
    ASSERT(stream->head_sent && !stream->tx_end);
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (total == 0 || stream->tx_eof || !stream->open)
        return 0; /* HEAD, or the peer wants no more of it */
    if (stream->tx_left >= 0 && total > (uint64_t)stream->tx_left)
        return stream_broken(stream, -EMSGSIZE);
    if (stream->tx_left >= 0)
        stream->tx_left -= (int64_t)total;
    stream->borrow = iov;
    stream->borrow_skip = 0;
    stream->borrow_len = total;
    h2_stream_on_window(stream);
    if (!s->receiving && !s->pumping && stream->tx.len + total > DIRECT_MIN)
        h2_session_pump(s);
    int error = stream->open ? stream_keep_rest(stream) : 0;
    stream->borrow_len = 0;
    return error < 0 ? stream_broken(stream, error) : 0;
}

/* A copy in one block: the holder's arena may go before the bytes do. */
static int stream_copy_trailers(struct h2_stream *stream, struct http_head *trailers)
{
    struct h2_head_block from;
    int error = h2_head_write_trailers(trailers, &from);
    if (error < 0 || from.count == 0)
        return error;
    size_t used = from.count * sizeof(nghttp2_nv);
    size_t room = used + from.bytes; /* bytes count more than names and values */
    if (room > BLOCK_LARGE_SIZE)
        return -ENOBUFS;
    stream->tx_trailers_large = room > BLOCK_SIZE;
    stream->tx_trailers = stream->tx_trailers_large ? block_get_large(h2_stream_blocks(stream))
                                                    : block_get(h2_stream_blocks(stream));
    if (stream->tx_trailers == NULL)
        return -ENOBUFS;
    nghttp2_nv *to = (nghttp2_nv *)stream->tx_trailers;
    for (size_t i = 0; i < from.count; i++) {
        to[i] = from.nv[i];
        to[i].flags &= NGHTTP2_NV_FLAG_NO_INDEX;
        to[i].name = memcpy(stream->tx_trailers + used, from.nv[i].name, from.nv[i].namelen);
        used += from.nv[i].namelen;
        to[i].value = memcpy(stream->tx_trailers + used, from.nv[i].value, from.nv[i].valuelen);
        used += from.nv[i].valuelen;
    }
    stream->tx_trailers_count = (uint32_t)from.count;
    return 0;
}

static int stream_send_end(struct http_stream *base, struct http_head *trailers)
{
    struct h2_stream *stream = h2_stream_of(base);

    ASSERT(stream->stream.user != NULL);
    if (stream_has_failed(stream))
        return -EPIPE;
    ASSERT(stream->head_sent && !stream->tx_end);
    if (stream->open && stream->tx_left > 0)
        return stream_broken(stream, -EMSGSIZE);
    if (stream->open && trailers != NULL && !stream->tx_eof && !stream->tunnel) {
        int error = stream_copy_trailers(stream, trailers);
        if (error < 0)
            return stream_broken(stream, error);
    }
    stream->tx_end = true;
    h2_stream_on_window(stream);
    if (stream->rx_end_given)
        h2_stream_release(stream);
    return 0;
}

static void stream_reset(struct http_stream *base, enum http_error error)
{
    struct h2_stream *stream = h2_stream_of(base);
    uint32_t code = NGHTTP2_CANCEL;

    if (stream->stream.user == NULL)
        return;
    if (stream->tx_end && stream->rx_end_given && !stream->reset_due)
        return; /* from inside the on_end that made it whole */
    stream->reset_due = false;
    if (stream->tx_end && stream->head_sent && stream->session->role->server) {
        h2_stream_release(stream);
        return;
    }
    if (error == HTTP_ERROR_REFUSED && !stream->head_sent)
        code = NGHTTP2_REFUSED_STREAM;
    else if (stream->session->role->server)
        code = NGHTTP2_INTERNAL_ERROR;
    stream->stream.user = NULL;
    stream->arena = NULL;
    h2_stream_fail(stream, code, error);
}

static struct conn *stream_conn(const struct http_stream *base)
{
    return h2_stream_of(base)->session->conn;
}

/* Heads. */

/* A head was handed to nghttp2, which copies it: many large ones in a turn do not wait for its end.
 */
static void stream_head_queued(struct h2_session *s)
{
    h2_session_want_pump(s);
    if (s->heap > H2_SESSION_HEAP_MAX / 2)
        h2_session_pump(s);
}

static nghttp2_data_provider stream_source(struct h2_stream *stream)
{
    return (nghttp2_data_provider){.source = {.ptr = stream}, .read_callback = h2_stream_read};
}

/* Larger than the peer says it takes (RFC 9113 6.5.2). */
static bool stream_head_fits(const struct h2_session *s, const struct h2_head_block *block)
{
    return block->bytes <=
           nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
}

void h2_stream_answer(struct h2_stream *stream, unsigned status)
{
    static const char digits[] = "0123456789";
    struct h2_session *s = stream->session;
    char text[3] = {digits[status / 100 % 10], digits[status / 10 % 10], digits[status % 10]};
    struct span date = date_cache_get(&s->shared->date, s->shared->loop->clock.wall_ns);
    nghttp2_nv nv[] = {
        {(uint8_t[]){":status"}, (uint8_t *)text, 7, sizeof(text), NGHTTP2_NV_FLAG_NONE},
        {(uint8_t[]){"content-length"}, (uint8_t[]){"0"}, 14, 1, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t[]){"date"}, (uint8_t *)(uintptr_t)date.ptr, 4, date.len, NGHTTP2_NV_FLAG_NONE},
    };
    stream->head_sent = stream->tx_end = stream->tx_eof = true;
    stream->cut = !stream->rx_end;
    int error = nghttp2_submit_response(s->ng, stream->id, nv, ARRAY_COUNT(nv), NULL);
    if (error != 0)
        h2_session_broken(s, error);
    h2_session_want_pump(s);
}

/* Instead of a head that cannot be passed on. */
static int stream_send_502(struct h2_stream *stream)
{
    h2_stream_answer(stream, 502);
    h2_stream_reset_later(stream, HTTP_ERROR_BAD_RESPONSE);
    return -EPROTO;
}

static int stream_send_interim(struct h2_stream *stream, struct http_head *head)
{
    struct h2_session *s = stream->session;
    struct h2_head_block block;
    head->content_length = HTTP_LENGTH_UNKNOWN;
    int error = h2_head_write_response(head, SPAN_NONE, &block);
    if (error < 0)
        return stream_broken(stream, error);
    error = nghttp2_submit_headers(s->ng, NGHTTP2_FLAG_NONE, stream->id, NULL, block.nv,
                                   block.count, NULL);
    if (error != 0)
        h2_session_broken(s, error);
    h2_session_want_pump(s);
    return 0;
}

/* What the head announces, by what may follow it. end: nothing does. */
static void stream_plan(struct h2_stream *stream, struct http_head *head, bool end)
{
    if (head->status == 101 || head->status == 204)
        head->content_length = HTTP_LENGTH_UNKNOWN;
    else if (end && !stream->to_head && head->status != 304)
        head->content_length = 0;
    stream->tx_left = end ? HTTP_LENGTH_UNKNOWN : head->content_length;
}

static int stream_send_head(struct http_stream *base, struct http_head *head, bool end)
{
    struct h2_stream *stream = h2_stream_of(base);
    struct h2_session *s = stream->session;
    struct span date = date_cache_get(&s->shared->date, s->shared->loop->clock.wall_ns);
    bool tunnel = head->status == 101;
    bool bare = end || (!tunnel && (stream->to_head || http_status_has_no_body(head->status)));
    struct h2_head_block block;

    ASSERT(s->role->server && stream->stream.user != NULL);
    if (stream_has_failed(stream))
        return -EPIPE;
    ASSERT(!stream->head_sent);
    if (head->status < 200 && !tunnel)
        return stream_send_interim(stream, head);
    ASSERT(!tunnel || stream->upgrade.len > 0);
    /* To the client 2xx would mean that the tunnel stands (RFC 8441 5). */
    if (!tunnel && stream->upgrade.len > 0 && head->status < 300)
        return stream_send_502(stream);
    stream->head_sent = true;
    stream_plan(stream, head, bare);
    int error = h2_head_write_response(head, date, &block);
    if (error < 0)
        return stream_broken(stream, error);
    if (!stream_head_fits(s, &block))
        return stream_send_502(stream);
    nghttp2_data_provider source = stream_source(stream);
    error =
        nghttp2_submit_response(s->ng, stream->id, block.nv, block.count, bare ? NULL : &source);
    if (error != 0)
        h2_session_broken(s, error);
    stream->tx_eof = bare;
    stream->tx_end = end;
    stream_head_queued(s);
    if (tunnel) {
        stream->tunnel = true;
        stream->rx_end_given = false;
        h2_session_want_events(s);
    } else if (end && stream->rx_end_given) {
        h2_stream_release(stream);
    }
    return 0;
}

struct http_stream *h2_stream_request(struct h2_session *s, struct http_head *head,
                                      struct arena *arena, struct http_stream_user *user, bool end)
{
    struct h2_head_block block;
    bool tunnel = head->upgrade.len > 0;
    bool bare = end && !tunnel;

    s->refusal = HTTP_ERROR_CLOSED;
    if (s->conn == NULL || h2_session_room(s) == 0)
        return NULL;
    s->refusal = HTTP_ERROR_NO_MEMORY;
    if (h2_head_write_request(head, s->secure, &block) < 0)
        return NULL;
    if (!stream_head_fits(s, &block)) {
        s->refusal = HTTP_ERROR_HEAD_TOO_LARGE;
        return NULL;
    }
    struct h2_stream *stream = stream_new(s, 0, arena);
    if (stream == NULL)
        return NULL;
    nghttp2_data_provider source = stream_source(stream);
    stream->id =
        nghttp2_submit_request(s->ng, NULL, block.nv, block.count, bare ? NULL : &source, stream);
    if (stream->id < 0) {
        h2_session_broken(s, stream->id);
        stream->open = false;
        h2_stream_free(stream);
        return NULL;
    }
    s->requests++;
    stream->stream.user = user;
    stream->to_head = head->method == HTTP_METHOD_HEAD;
    stream->upgrade = head->upgrade;
    stream->rx_granted = HTTP_STREAM_WINDOW;
    stream->tx_left = end || tunnel ? HTTP_LENGTH_UNKNOWN : head->content_length;
    stream->head_sent = !tunnel;
    stream->tx_end = end;
    stream->tx_eof = bare;
    stream_head_queued(s);
    return &stream->stream;
}

static const struct http_stream_ops stream_ops = {
    .protocol = "HTTP/2",
    .send_head = stream_send_head,
    .send_body = stream_send_body,
    .send_end = stream_send_end,
    .is_congested = stream_is_congested,
    .grant = h2_stream_grant,
    .reset = stream_reset,
    .conn = stream_conn,
};
