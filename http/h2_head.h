/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H2_HEAD_H
#define RINGGATE_HTTP_H2_HEAD_H

/* Decoded header blocks of HTTP/2 to struct http_head and back (RFC 9113 8,
 * RFC 8441). Whoever decodes gives every field as it comes, also those its library calls
 * invalid: what is malformed is refused here, never dropped, with the rules that HTTP/1 has
 * (http/h1_validate.h) for host, path, methods and lengths. Pure apart from the arena. */

#include <nghttp2/nghttp2.h>

#include "http/server.h"

enum h2_head_kind {
    H2_HEAD_REQUEST,
    H2_HEAD_RESPONSE, /* also interim ones */
    H2_HEAD_TRAILERS, /* of either direction: a second block, which ends its stream */
};

/* What the block is and came for. */
struct h2_head_rules {
    const struct http_limits *limits; /* borrowed until h2_head_end */
    enum h2_head_kind kind;
    bool secure; /* requests: over TLS, so :scheme has to be https, else http; */
    bool any_scheme; /* but a trusted proxy may say either */
    bool to_head; /* responses: to a HEAD request, Content-Length tells of no body here */
    struct span upgrade; /* responses: to an extended CONNECT for this protocol; else none. A 2xx
                          * is then given out as 101 */
};

enum h2_head_pseudo {
    H2_HEAD_METHOD,
    H2_HEAD_SCHEME,
    H2_HEAD_PATH,
    H2_HEAD_AUTHORITY,
    H2_HEAD_PROTOCOL,
    H2_HEAD_STATUS,
    H2_HEAD_PSEUDO_COUNT
};

/* A block being read. About 220 bytes, embedded by the session: one is enough for a connection,
 * because blocks do not interleave (RFC 9113 4.3). */
struct h2_head {
    struct h2_head_rules rules;
    struct arena *arena; /* NULL: count only */
    struct http_head *head;
    size_t bytes; /* decoded so far: name + value + 32 a field (RFC 9113 6.5.2) */
    unsigned fields; /* so far, without pseudo fields */
    struct span pseudo[H2_HEAD_PSEUDO_COUNT]; /* ptr NULL: not there */
    struct span host; /* the Host field of a request; ptr NULL: none */
    uint64_t length; /* Content-Length */
    size_t cookie_bytes; /* of the crumbs, each with "; " after it */
    unsigned cookies;
    bool has_length;
    bool regular; /* a field that is no pseudo field has come */
    uint8_t error; /* enum http_error: the first one */
};

/* arena: gets head and bytes; NULL: the block belongs to nothing (a stream that was refused or
 * reset) and is only counted. */
void h2_head_begin(struct h2_head *block, const struct h2_head_rules *rules, struct arena *arena);
/* One field, borrowed for the call. Limits are counted before anything is kept, over every field.
 * true: go on, also after an error, because the decoder must see the whole block. false: the
 * block exceeds twice head_bytes_max, which nobody means well: end the connection
 * (ENHANCE_YOUR_CALM). */
MUST_CHECK bool h2_head_add(struct h2_head *block, struct span name, struct span value);
/* The block is complete; end_stream: no body follows. NONE and *ret (without an arena or for
 * trailers of which none is left: NULL); else why it is refused and *ret is what is known, for
 * logs, or NULL:
 *   requests: BAD_REQUEST, BAD_HOST, BAD_TARGET, BAD_FRAMING, METHOD, URI_TOO_LONG, EXPECTATION,
 *             HEAD_TOO_LARGE, NO_MEMORY (a full arena), with a status to answer by;
 *   responses: BAD_RESPONSE, NO_MEMORY; trailers: BAD_REQUEST, TRAILERS_TOO_LARGE,
 *             NO_MEMORY.
 * Malformed in the sense of RFC 9113 8.1.1 is what h2_head_is_malformed says: such a stream is
 * reset with PROTOCOL_ERROR; an answer may come before that. */
MUST_CHECK enum http_error h2_head_end(struct h2_head *block, bool end_stream,
                                       struct http_head **ret);
/* After h2_head_end: a broken rule of HTTP/2 rather than a limit or policy of ours. */
bool h2_head_is_malformed(enum http_error error);

/* A head for nghttp2_submit_*: names in lower case, pseudo fields first. In the head's arena;
 * points to the head's spans, so it is good until the head changes. */
struct h2_head_block {
    nghttp2_nv *nv;
    size_t count;
    size_t bytes; /* as the peer's SETTINGS_MAX_HEADER_LIST_SIZE counts them */
};

/* secure: the conn has TLS, so the scheme is https: servers refuse another one than their
 * connection's. Fields that are hop-by-hop or framing are left out, Content-Length is written from
 * head->content_length, "te: trailers" is kept when the head has a TE field that lists it, before
 * http_head_remove_hop_by_hop or after. With head->upgrade: an extended CONNECT (RFC 8441 4). 0;
 * -ENOBUFS: arena full. That no name or value could split a message of HTTP/1 is asserted. */
MUST_CHECK int h2_head_write_request(struct http_head *head, bool secure,
                                     struct h2_head_block *ret);
/* date: written when the head has none (final responses only); empty: never. Status 101 becomes 200
 * (RFC 8441 5). The caller decides what a body-less response announces, as
 * with http/h1_write.h: head->content_length >= 0 is written. */
MUST_CHECK int h2_head_write_response(struct http_head *head, struct span date,
                                      struct h2_head_block *ret);
MUST_CHECK int h2_head_write_trailers(struct http_head *trailers, struct h2_head_block *ret);

#endif
