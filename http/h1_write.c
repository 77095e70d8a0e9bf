/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_write.h"

#include <errno.h>
#include <stdio.h>

#include "base/panic.h"
#include "http/chars.h"

/* A head is checked and its size bounded first, before any byte is in the output; then it is
 * written into room of that size. */

struct write_out {
    struct conn *conn;
    uint8_t *start, *pos, *end; /* room from conn_reserve */
    size_t left; /* what may have to be written after `end` */
    int error;
};

/* First line and plan without their spans: words, numbers and line ends. */
#define WRITE_FIXED_MAX 256u

/* Fields that no head copies, one bit an id. */
static inline uint64_t write_skipped(void)
{
    return http_header_ids(HTTP_HEADER_HOP | HTTP_HEADER_FRAMING);
}

static inline uint64_t write_skipped_request(void)
{
    return write_skipped() | http_header_bit(HTTP_HEADER_HOST, true) |
           http_header_bit(HTTP_HEADER_EXPECT, true);
}

static void write_room(struct write_out *out)
{
    size_t size = MIN(out->left, (size_t)BLOCK_SIZE);
    out->start = conn_reserve(out->conn, size);
    if (out->start == NULL) {
        out->error = -ENOBUFS;
        conn_fail(out->conn, -ENOBUFS, "no block for a head");
        return;
    }
    out->pos = out->start;
    out->end = out->start + size;
    out->left -= size;
}

/* A head larger than one block goes out in several. */
static COLD void write_put_slow(struct write_out *out, const char *data, size_t len)
{
    while (len > 0 && out->error == 0) {
        size_t n = MIN(len, (size_t)(out->end - out->pos));
        memcpy(out->pos, data, n);
        out->pos += n;
        data += n;
        len -= n;
        if (len == 0)
            return;
        out->error = conn_commit(out->conn, (size_t)(out->pos - out->start));
        if (out->error == 0)
            write_room(out);
    }
}

static inline void write_put(struct write_out *out, struct span s)
{
    if (UNLIKELY((size_t)(out->end - out->pos) < s.len)) {
        write_put_slow(out, s.ptr, s.len);
        return;
    }
    if (s.len > 0)
        memcpy(out->pos, s.ptr, s.len);
    out->pos += s.len;
}

static inline void write_field(struct write_out *out, struct span name, struct span value)
{
    write_put(out, name);
    write_put(out, SPAN_LIT(": "));
    write_put(out, value);
    write_put(out, SPAN_LIT("\r\n"));
}

static void write_number(struct write_out *out, uint64_t value)
{
    char digits[SPAN_U64_SIZE];
    write_put(out, span_from_u64(value, digits));
}

static bool write_is_copied(const struct http_field *field, uint64_t skipped)
{
    return !field->removed && !(skipped >> field->id & 1);
}

/* Checks the fields; at most so many bytes. */
static size_t write_fields_bound(const struct http_head *head, uint64_t skipped)
{
    size_t size = 0;
    for (unsigned i = 0; i < head->fields_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!write_is_copied(field, skipped))
            continue;
        ASSERT(field->id != HTTP_HEADER_OTHER || chars_is_token(field->name));
        ASSERT(chars_is_value(field->value));
        size += field->name.len + field->value.len + 4;
    }
    return size;
}

static void write_fields(struct write_out *out, const struct http_head *head, uint64_t skipped)
{
    for (unsigned i = 0; i < head->fields_count; i++)
        if (write_is_copied(&head->fields[i], skipped))
            write_field(out, head->fields[i].name, head->fields[i].value);
}

static void write_plan(struct write_out *out, const struct h1_plan *plan)
{
    if (plan->framing == H1_FRAMING_CHUNKED)
        write_put(out, SPAN_LIT("transfer-encoding: chunked\r\n"));
    if (plan->announce >= 0) {
        write_put(out, SPAN_LIT("content-length: "));
        write_number(out, (uint64_t)plan->announce);
        write_put(out, SPAN_LIT("\r\n"));
    }
    if (plan->date.len > 0)
        write_field(out, SPAN_LIT("date"), plan->date);
    if (plan->connection.len > 0)
        write_field(out, SPAN_LIT("connection"), plan->connection);
    if (plan->upgrade.len > 0)
        write_field(out, SPAN_LIT("upgrade"), plan->upgrade);
    write_put(out, SPAN_LIT("\r\n"));
}

static void write_response(struct write_out *out, const struct http_head *head,
                           const struct h1_plan *plan)
{
    write_put(out, SPAN_LIT("HTTP/1.1 "));
    write_number(out, head->status);
    write_put(out, SPAN_LIT(" "));
    write_put(out, span_str(http_status_text(head->status)));
    write_put(out, SPAN_LIT("\r\n"));
    write_fields(out, head, write_skipped());
    write_plan(out, plan);
}

static bool write_is_target(struct span s)
{
    return s.len == 0 || (chars_is_value(s) && memchr(s.ptr, ' ', s.len) == NULL &&
                          memchr(s.ptr, '\t', s.len) == NULL);
}

static void write_request(struct write_out *out, const struct http_head *head,
                          const struct h1_plan *plan)
{
    write_put(out, head->method_text);
    write_put(out, SPAN_LIT(" "));
    write_put(out, head->path);
    if (head->has_query) {
        write_put(out, SPAN_LIT("?"));
        write_put(out, head->query);
    }
    write_put(out, SPAN_LIT(" HTTP/1.1\r\n"));
    write_field(out, SPAN_LIT("host"), head->authority);
    write_fields(out, head, write_skipped_request());
    if (head->expect_continue)
        write_put(out, SPAN_LIT("expect: 100-continue\r\n"));
    write_plan(out, plan);
}

typedef void write_head_fn(struct write_out *out, const struct http_head *head,
                           const struct h1_plan *plan);

/* bound: at most so many bytes. */
static int write_head(struct conn *conn, write_head_fn *write, const struct http_head *head,
                      const struct h1_plan *plan, size_t bound)
{
    struct write_out out = {.conn = conn, .left = bound};
    write_room(&out);
    if (out.error == 0)
        write(&out, head, plan);
    if (out.error < 0)
        return out.error;
    return conn_commit(conn, (size_t)(out.pos - out.start));
}

static size_t write_plan_bound(const struct h1_plan *plan)
{
    return WRITE_FIXED_MAX + plan->date.len + plan->connection.len + plan->upgrade.len;
}

int h1_write_response(struct conn *conn, const struct http_head *head, const struct h1_plan *plan)
{
    ASSERT(head->status >= 100 && head->status <= 599);
    size_t bound = write_plan_bound(plan) + write_fields_bound(head, write_skipped());
    return write_head(conn, write_response, head, plan, bound);
}

int h1_write_request(struct conn *conn, const struct http_head *head, const struct h1_plan *plan)
{
    ASSERT(!head->is_response);
    ASSERT(chars_is_token(head->method_text));
    ASSERT(head->path.len > 0 && write_is_target(head->path));
    ASSERT(!head->has_query || write_is_target(head->query));
    ASSERT(chars_is_value(head->authority));
    size_t bound = write_plan_bound(plan) + write_fields_bound(head, write_skipped_request());
    bound += head->method_text.len + head->path.len + head->query.len + head->authority.len;
    return write_head(conn, write_request, head, plan, bound);
}

int h1_write_error(struct conn *conn, enum http_error error, struct span date)
{
    char body[128], text[512];
    unsigned status = http_error_status(error);
    ASSERT(status >= 400);
    const char *phrase = http_status_text(status);
    int body_len =
        snprintf(body, sizeof(body), "%u %s: %s\n", status, phrase, http_error_text(error));
    int len = snprintf(text, sizeof(text),
                       "HTTP/1.1 %u %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n"
                       "date: %.*s\r\nconnection: close\r\n\r\n%s",
                       status, phrase, body_len, SPAN_ARG(date), body);
    ASSERT(body_len > 0 && (size_t)body_len < sizeof(body));
    ASSERT(len > 0 && (size_t)len < sizeof(text));
    return conn_write_span(conn, span_make(text, (size_t)len));
}

void h1_tx_begin(struct h1_tx *tx, const struct h1_plan *plan)
{
    tx->framing = (uint8_t)plan->framing;
    tx->remaining = 0;
    if (plan->framing == H1_FRAMING_LENGTH) {
        ASSERT(plan->announce >= 0);
        tx->remaining = (uint64_t)plan->announce;
    }
}

static size_t write_chunk_head(char out[20], size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t count = 1;
    while (count < 16 && size >> (4 * count) != 0)
        count++;
    for (size_t i = 0; i < count; i++)
        out[i] = digits[size >> (4 * (count - 1 - i)) & 15];
    memcpy(out + count, "\r\n", 2);
    return count + 2;
}

#define WRITE_IOV_MAX 8 /* what conn_write takes */

/* Size line, borrowed body, line end: one write when there are at most six pieces. */
static int write_chunk(struct conn *conn, const struct iovec *iov, int count, size_t size)
{
    char head[20];
    static char tail[2] = {'\r', '\n'};
    struct iovec out[WRITE_IOV_MAX];
    int n = 0;
    out[n++] = (struct iovec){head, write_chunk_head(head, size)};
    for (int i = 0; i < count; i++) {
        if (n == WRITE_IOV_MAX - 1) {
            int error = conn_write(conn, out, n);
            if (error < 0)
                return error;
            n = 0;
        }
        out[n++] = iov[i];
    }
    out[n++] = (struct iovec){tail, sizeof(tail)};
    return conn_write(conn, out, n);
}

static int write_plain(struct conn *conn, const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i += WRITE_IOV_MAX) {
        int error = conn_write(conn, iov + i, MIN(count - i, WRITE_IOV_MAX));
        if (error < 0)
            return error;
    }
    return 0;
}

int h1_tx_body(struct h1_tx *tx, struct conn *conn, const struct iovec *iov, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    if (size == 0)
        return 0; /* an empty chunk would be the last one */
    switch ((enum h1_framing)tx->framing) {
    case H1_FRAMING_NONE:
        return 0;
    case H1_FRAMING_LENGTH:
        if (size > tx->remaining)
            return -EMSGSIZE;
        tx->remaining -= size;
        return write_plain(conn, iov, count);
    case H1_FRAMING_CHUNKED:
        return write_chunk(conn, iov, count, size);
    case H1_FRAMING_UNTIL_CLOSE:
        return write_plain(conn, iov, count);
    }
    UNREACHABLE();
}

/* The last chunk and the trailer section are a head without a first line. */
static void write_trailers(struct write_out *out, const struct http_head *head,
                           const struct h1_plan *plan)
{
    (void)plan; /* trailers carry no framing */
    write_put(out, SPAN_LIT("0\r\n"));
    write_fields(out, head, write_skipped());
    write_put(out, SPAN_LIT("\r\n"));
}

int h1_tx_end(struct h1_tx *tx, struct conn *conn, const struct http_head *trailers)
{
    if (tx->framing == H1_FRAMING_LENGTH)
        return tx->remaining > 0 ? -EMSGSIZE : 0;
    if (tx->framing != H1_FRAMING_CHUNKED)
        return 0;
    if (trailers == NULL)
        return conn_write_span(conn, SPAN_LIT("0\r\n\r\n"));
    size_t bound = WRITE_FIXED_MAX + write_fields_bound(trailers, write_skipped());
    return write_head(conn, write_trailers, trailers, NULL, bound);
}
