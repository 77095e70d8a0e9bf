/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_RESP_H
#define RINGGATE_RATELIMIT_RESP_H

/* The wire format of Redis (RESP2) on hiredis' reader and formatter; no
 * sockets. Replies are written into one fixed struct: there is no allocation per
 * reply, only the reader's own input buffer, which is kept. One thread. */

#include "base/buf.h"

#define RESP_TEXT_MAX 160u
#define RESP_INTS_MAX 4u
/* A reply longer than this is an error: none that we ask for is. */
#define RESP_REPLY_BYTES_MAX 65536u

enum resp_type {
    RESP_TYPE_STATUS,
    RESP_TYPE_ERROR,
    RESP_TYPE_INTEGER,
    RESP_TYPE_STRING,
    RESP_TYPE_NIL,
    RESP_TYPE_ARRAY,
};

/* text: of a status, error or string, or of the first element of an array when that is a string;
 * cut to fit. ints: ints[0] of an integer; the leading elements of an array as far
 * as they are integers (ints_count of them). Deeper elements are dropped. */
struct resp_reply {
    enum resp_type type;
    unsigned elements; /* of an array */
    unsigned ints_count;
    unsigned text_len;
    int64_t ints[RESP_INTS_MAX];
    char text[RESP_TEXT_MAX];
};

struct resp_reader;
/* NULL: no memory. */
struct resp_reader *resp_reader_new(void);
void resp_reader_free(struct resp_reader *reader);
/* Forgets everything, for a new connection. 0; -ENOMEM. */
MUST_CHECK int resp_reader_reset(struct resp_reader *reader);
/* Takes received bytes (copied). 0; -EPROTO: over the limit or broken before; -ENOMEM. */
MUST_CHECK int resp_reader_feed(struct resp_reader *reader, struct span data);
/* 1: *ret is set, valid until the next call; 0: more bytes are needed; -EPROTO: not RESP2. After
 * an error only reset and free are of use. */
MUST_CHECK int resp_reader_next(struct resp_reader *reader, const struct resp_reply **ret);

/* Adds a command to out. Allocates: not for the data path. 0; -ENOMEM. */
MUST_CHECK int resp_format(struct buf *out, const struct span *args, unsigned count);

#endif
