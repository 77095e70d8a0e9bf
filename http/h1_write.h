/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H1_WRITE_H
#define RINGGATE_HTTP_H1_WRITE_H

/* The sending half of an HTTP/1 session. Heads are built in place in the conn's
 * output; framing fields are written from a plan and never copied from a
 * message. That no CR, LF or NUL gets into a head is asserted here, once for all heads
 * that ever leave. */

#include "http/stream.h"

enum h1_framing {
    H1_FRAMING_NONE, /* no body: HEAD, 204, 304, requests without one */
    H1_FRAMING_LENGTH,
    H1_FRAMING_CHUNKED,
    H1_FRAMING_UNTIL_CLOSE,
};

/* What the codec adds to a head. */
struct h1_plan {
    enum h1_framing framing;
    int64_t announce; /* Content-Length to write, or HTTP_LENGTH_UNKNOWN: none */
    struct span connection; /* value of Connection; empty: none */
    struct span upgrade; /* value of Upgrade; empty: none */
    struct span date; /* responses; empty: none. Not written over one in the head */
};

struct h1_tx {
    uint64_t remaining; /* LENGTH: bytes still owed */
    uint8_t framing; /* enum h1_framing */
};

/* 0; -errno: the conn fails, on_close follows. Status and reason are ours, fields that are
 * hop-by-hop or framing are left out. */
MUST_CHECK int h1_write_response(struct conn *conn, const struct http_head *head,
                                 const struct h1_plan *plan);
/* Host comes from head->authority, Expect from head->expect_continue. */
MUST_CHECK int h1_write_request(struct conn *conn, const struct http_head *head,
                                const struct h1_plan *plan);
/* A whole small response for an error with a status, with Connection: close. The result may be
 * ignored: the caller closes the conn next, whatever it is. */
int h1_write_error(struct conn *conn, enum http_error error, struct span date);

void h1_tx_begin(struct h1_tx *tx, const struct h1_plan *plan);
/* Body bytes, borrowed for the call. Without framing they are dropped (HEAD). -EMSGSIZE: more than
 * was announced, nothing is sent; else as above. */
MUST_CHECK int h1_tx_body(struct h1_tx *tx, struct conn *conn, const struct iovec *iov, int count);
/* -EMSGSIZE: less was sent than announced. trailers may be NULL. */
MUST_CHECK int h1_tx_end(struct h1_tx *tx, struct conn *conn, const struct http_head *trailers);

#endif
