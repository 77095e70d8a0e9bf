/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_session.h"

#include "base/panic.h"
#include "http/h2_stream.h"

/* The pump: frames that nghttp2 has ready, then DATA of one stream at a time. What it makes is
 * gathered, small pieces copied and bodies where they are, and written to the conn in as few calls
 * as possible. nghttp2 is asked until it has nothing more, so that its frame buffer is free again.
 */

#define DIRECT_MIN 16384u
#define COPY_MAX 2048u /* many small answers are one piece, one record of TLS, one write */

static void out_flush(struct h2_session *s)
{
    struct h2_shared *shared = s->shared;
    struct block_pool *blocks = shared->loop->blocks;
    if (shared->iov_count > 0 && conn_write(s->conn, shared->iov, shared->iov_count) < 0)
        s->pump_due = false; /* on_close follows */
    shared->iov_count = 0;
    shared->out_used = 0;
    while (s->spent != NULL) {
        uint8_t *block = s->spent;
        s->spent = block_head(blocks, block)->next;
        block_put(blocks, block);
    }
}

static void out_refer(struct h2_session *s, const uint8_t *data, size_t len)
{
    struct h2_shared *shared = s->shared;
    if (shared->iov_count == (int)ARRAY_COUNT(shared->iov))
        out_flush(s);
    shared->iov[shared->iov_count++] = (struct iovec){(void *)(uintptr_t)data, len};
}

void h2_session_out_copy(struct h2_session *s, const uint8_t *data, size_t len)
{
    struct h2_shared *shared = s->shared;
    ASSERT(len <= H2_SHARED_OUT_SIZE);
    /* Before the bytes are there: afterwards their place would be free for others. */
    if (shared->out_used + len > H2_SHARED_OUT_SIZE ||
        shared->iov_count == (int)ARRAY_COUNT(shared->iov))
        out_flush(s);
    uint8_t *to = shared->out + shared->out_used;
    memcpy(to, data, len);
    shared->out_used += len;
    struct iovec *last = shared->iov_count > 0 ? &shared->iov[shared->iov_count - 1] : NULL;
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == to)
        last->iov_len += len;
    else
        out_refer(s, to, len);
}

void h2_session_out_body(struct h2_session *s, const uint8_t *data, size_t len)
{
    if (len <= COPY_MAX)
        h2_session_out_copy(s, data, len);
    else
        out_refer(s, data, len);
}

/* All frames that are ready, and DATA of s->serving. */
static bool session_drain_ng(struct h2_session *s)
{
    const uint8_t *data;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(s->ng, &data)) > 0)
        h2_session_out_copy(s, data, (size_t)n);
    if (n < 0)
        h2_session_broken(s, (int)n);
    return n == 0;
}

/* The next stream whose turn it is, NULL: none may send DATA now. */
static struct h2_stream *session_next(struct h2_session *s)
{
    struct dlist *link;
    if (conn_is_congested(s->conn) || nghttp2_session_get_remote_window_size(s->ng) <= 0)
        return NULL;
    while ((link = dlist_pop_front(&s->ready)) != NULL) {
        struct h2_stream *stream = dlist_entry(link, struct h2_stream, ready_link);
        if (h2_stream_has_output(stream))
            return stream;
    }
    return NULL;
}

static bool session_serve(struct h2_session *s, struct h2_stream *stream)
{
    size_t quantum = dlist_is_empty(&s->ready) ? 65536 : 16384;
    uint32_t id = (uint32_t)stream->id;
    s->serving = stream;
    s->quantum = quantum;
    /* Fails when it is not put off, or its head has not gone yet. */
    (void)nghttp2_session_resume_data(s->ng, (int32_t)id);
    bool ok = session_drain_ng(s);
    s->serving = NULL;
    if (quantum - s->quantum >= DIRECT_MIN) /* so that congestion shows; small ones go together */
        out_flush(s);
    if (ok && s->quantum < quantum && h2_stream_has_output(stream))
        h2_stream_on_window(stream); /* back to the end of the line */
    if (stream->drain_due && h2_stream_is_drained(stream))
        h2_session_want_events(s);
    return ok;
}

void h2_session_pump(struct h2_session *s)
{
    struct h2_stream *stream;
    if (s->receiving || s->pumping || s->conn == NULL)
        return;
    s->pumping = true;
    bool ok = session_drain_ng(s);
    while (ok && (stream = session_next(s)) != NULL)
        ok = session_serve(s, stream);
    out_flush(s);
    s->pumping = false;
    s->pump_due = false;
    if (nghttp2_session_want_read(s->ng) == 0)
        h2_session_defer(s); /* it may be over */
}
