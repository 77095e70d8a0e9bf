/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_HTTP_H2_APP_H
#define RINGGATE_T_UNIT_HTTP_H2_APP_H

/* An HTTP/2 client session over a real connection, with a peer that a test plays
 * (h2_peer.h), and calls that note what happens to them and assert that it comes in order. One at a
 * time. */

#include "h2_peer.h"
#include "http/h2_client.h"

#define H2_APP_CALLS 8u

struct h2_app;

struct h2_app_call {
    struct http_stream_user user;
    struct h2_app *app;
    struct http_stream *stream;
    struct arena arena;
    struct buf body, trailers;
    unsigned status, interims, drains;
    bool ended, alive, written, no_grant, reset_on_end;
    enum http_error reset;
};

struct h2_app {
    struct http_client_owner owner;
    struct wire wire;
    struct h2_peer peer;
    struct h2_client_pool *pool;
    struct http_client *client;
    struct http_limits limits;
    struct h2_app_call calls[H2_APP_CALLS];
    uint32_t next_id; /* of the next request's stream */
    unsigned rooms, closes;
    enum http_error closed;
};

extern struct h2_app h2_app;

/* Starts a session and reads its preface. */
void h2_app_start_with(const struct http_limits *limits);
/* Exchanges settings; ours has one, id 0: none. */
void h2_app_greet(uint16_t id, uint32_t value);
/* Both, with the usual limits and no setting. */
void h2_app_start(void);
/* Closes what is open and frees all. on_closed must come once. */
void h2_app_stop(void);

void h2_app_turns(unsigned count);
void h2_app_until_closed(void);
void h2_app_until_over(unsigned i);

/* A head in the arena of call i. */
struct http_head *h2_app_request_head(unsigned i, const char *method, const char *path);
/* Sends it; false: there was no room. */
bool h2_app_try_request(unsigned i, struct http_head *head, bool end);
/* Sends a request without a body; the identifier of its stream. */
uint32_t h2_app_get(unsigned i, const char *method);
/* A POST of unknown length, its head received by the peer. */
uint32_t h2_app_post(unsigned i);
/* The holder ends the body. */
void h2_app_end_body(unsigned i);

/* The peer sends DATA. */
void h2_app_send_data(uint32_t id, uint8_t flags, const char *text);
/* It answers with 200 and a body; the call ends well. */
void h2_app_answer(unsigned i, uint32_t id);

#endif
