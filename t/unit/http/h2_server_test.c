/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_server.h"

#include "h2_peer.h"
#include "server_app.h"

#define END NGHTTP2_FLAG_END_STREAM
#define ENDH NGHTTP2_FLAG_END_HEADERS

static struct app app;
static struct h2_peer peer;

static void begin(const struct http_limits *limits)
{
    app_open(&app, limits, true);
    h2_peer_init(&peer, &app.wire);
}

static void start(const struct http_limits *limits)
{
    begin(limits);
    h2_peer_hello(&peer);
}

static void stop(void)
{
    app_stop(&app);
    h2_peer_fini(&peer);
}

static void expect_in(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no \"%s\" in \"%s\"", part, text);
}

static struct h2_peer_frame *expect_status(uint32_t id, const char *status)
{
    struct h2_peer_frame *frame = h2_peer_expect(&peer, NGHTTP2_HEADERS, id);
    char text[32];
    snprintf(text, sizeof(text), ":status: %s\n", status);
    expect_in(buf_str(&frame->head), text);
    return frame;
}

static void expect_rst(uint32_t id, uint32_t code)
{
    assert_int_equal(h2_peer_number(h2_peer_expect(&peer, NGHTTP2_RST_STREAM, id), 0), code);
}

static void expect_goaway(uint32_t code)
{
    struct h2_peer_frame *frame;
    do
        frame = h2_peer_expect(&peer, NGHTTP2_GOAWAY, 0);
    while (h2_peer_number(frame, 4) != code);
    (void)wire_expect_end(&app.wire);
}

static void expect_body(uint32_t id, const char *text)
{
    struct buf body;
    buf_init(&body, 1u << 20);
    h2_peer_body(&peer, id, &body);
    assert_string_equal(buf_str(&body), text);
    buf_fini(&body);
}

/* The head of a stream 1 that goes on in CONTINUATION. */
static void half_head(void)
{
    struct buf block;
    buf_init(&block, 4096);
    h2_peer_block(&block, ":method: GET\n:scheme: http\n:path: /x\n:authority: a\n");
    h2_peer_send(&peer, NGHTTP2_HEADERS, END, 1, buf_span(&block));
    buf_fini(&block);
}

static void settle(void)
{
    for (int i = 0; i < 20; i++)
        h2_peer_turn(&peer);
}

static void run_get(void)
{
    start(NULL);
    struct h2_peer_frame *settings = h2_peer_expect(&peer, NGHTTP2_SETTINGS, 0);
    assert_int_equal(settings->payload.len, 30);
    assert_true(http_server_is_idle(app.session));
    for (uint32_t id = 1; id < 20; id += 2) {
        h2_peer_get(&peer, id, "/chunked");
        struct h2_peer_frame *head = expect_status(id, "200");
        expect_in(buf_str(&head->head), "date: ");
        struct h2_peer_frame *data = h2_peer_expect(&peer, NGHTTP2_DATA, id);
        assert_int_equal(data->payload.len, 6);
        struct h2_peer_frame *tail = h2_peer_expect(&peer, NGHTTP2_HEADERS, id);
        assert_string_equal(buf_str(&tail->head), "x-sum: 6\n");
        assert_int_equal(tail->flags, END | ENDH);
        expect_body(id, "onetwo");
    }
    settle();
    assert_true(http_server_is_idle(app.session));
    stop();
    assert_int_equal(app.closed, HTTP_ERROR_NONE);
}

/* One segment: head, body and end in one DATA frame with END_STREAM. */
static void run_small(void)
{
    start(NULL);
    h2_peer_send_head(
        &peer, 1, 0, ":method: POST\n:scheme: http\n:path: /x\n:authority: a\ncontent-length: 5\n");
    h2_peer_send(&peer, NGHTTP2_DATA, END, 1, SPAN_LIT("hello"));
    expect_in(buf_str(&expect_status(1, "200")->head), "content-length: 5\n");
    struct h2_peer_frame *data = h2_peer_expect(&peer, NGHTTP2_DATA, 1);
    assert_int_equal(data->flags, END);
    expect_body(1, "hello");
    assert_true(app.requests[0]->ended);
    h2_peer_get(&peer, 3, "/204");
    assert_int_equal(expect_status(3, "204")->flags, END | ENDH);
    h2_peer_send_head(&peer, 5, END, ":method: HEAD\n:scheme: http\n:path: /head\n:authority: a\n");
    struct h2_peer_frame *head = expect_status(5, "200");
    assert_int_equal(head->flags, END | ENDH);
    expect_in(buf_str(&head->head), "content-length: 5\n");
    stop();
}

static void run_trailers_and_interim(void)
{
    start(NULL);
    h2_peer_send_head(&peer, 1, 0,
                      ":method: POST\n:scheme: http\n:path: /continue\n:authority: a\n"
                      "expect: 100-continue\n");
    expect_status(1, "100");
    h2_peer_send(&peer, NGHTTP2_DATA, 0, 1, SPAN_LIT("abc"));
    h2_peer_send_head(&peer, 1, END, "x-check: 1\n");
    expect_status(1, "200");
    h2_peer_expect(&peer, NGHTTP2_DATA, 1);
    expect_body(1, "abc");
    assert_true(app.requests[0]->trailer);
    stop();
}

/* Before it is granted nothing is given out; what is kept is bounded by the window. */
static void run_credit(void)
{
    static char piece[16000];
    start(NULL);
    memset(piece, 'x', sizeof(piece));
    settle();
    h2_peer_send_head(&peer, 1, 0, ":method: POST\n:scheme: http\n:path: /later\n:authority: a\n");
    h2_peer_send(&peer, NGHTTP2_DATA, 0, 1, span_make(piece, sizeof(piece)));
    settle();
    assert_int_equal(app.count, 1);
    struct request *r = app.requests[0];
    assert_int_equal(r->body.len, 0);
    assert_int_equal(h2_peer_count(&peer, NGHTTP2_WINDOW_UPDATE, 1), 0);
    http_stream_grant(r->stream, 100);
    assert_int_equal(r->body.len, 0);
    settle();
    assert_int_equal(r->body.len, sizeof(piece)); /* it grants what it gets */
    http_stream_grant(r->stream, HTTP_STREAM_WINDOW);
    h2_peer_expect(&peer, NGHTTP2_WINDOW_UPDATE, 1);
    for (int i = 0; i < 4; i++)
        h2_peer_send(&peer, NGHTTP2_DATA, i == 3 ? END : 0, 1, span_make(piece, 12000));
    expect_status(1, "200");
    assert_int_equal(r->body.len, sizeof(piece) + 48000);
    stop();
}

/* More than the window: the peer is at fault. */
static void run_window_overrun(void)
{
    static char piece[16384];
    start(NULL);
    settle();
    h2_peer_send_head(&peer, 1, 0, ":method: POST\n:scheme: http\n:path: /later\n:authority: a\n");
    h2_peer_send(&peer, NGHTTP2_DATA, 0, 1, span_make(piece, sizeof(piece)));
    h2_peer_send(&peer, NGHTTP2_DATA, 0, 1, SPAN_LIT("y"));
    expect_rst(1, NGHTTP2_FLOW_CONTROL_ERROR);
    settle();
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_BAD_REQUEST);
    stop();
}

/* A peer that opens the windows bit by bit gets all, in order; the others are not held up. */
static void run_big(void)
{
    start(NULL);
    h2_peer_get(&peer, 1, "/big");
    expect_status(1, "200");
    settle();
    h2_peer_get(&peer, 3, "/204");
    expect_status(3, "204");
    assert_false(app.requests[0]->left == 0);
    struct buf body;
    buf_init(&body, BIG_BODY + 1);
    size_t got = 0;
    unsigned seen = 0;
    while (got < BIG_BODY) {
        uint32_t open = 1 + (uint32_t)(got % 60000);
        h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, 0, open);
        h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, 1, open);
        h2_peer_turn(&peer);
        for (; seen < peer.count; seen++)
            got += peer.frames[seen]->type == NGHTTP2_DATA ? peer.frames[seen]->payload.len : 0;
    }
    h2_peer_body(&peer, 1, &body);
    assert_int_equal(body.len, BIG_BODY);
    for (size_t i = 0; i < body.len; i++)
        if ((uint8_t)body.data[i] != pattern_at(i))
            fail_msg("wrong byte at %zu", i);
    buf_fini(&body);
    settle();
    assert_int_equal(peer.frames[peer.count - 1]->flags, END);
    stop();
}

static size_t body_len(uint32_t id)
{
    size_t len = 0;
    for (unsigned i = 0; i < peer.count; i++)
        if (peer.frames[i]->type == NGHTTP2_DATA && peer.frames[i]->id == id)
            len += peer.frames[i]->payload.len;
    return len;
}

/* Large windows: the socket is what holds it up. Several at a time, none far ahead. */
static void run_big_fast(void)
{
    start(NULL);
    h2_peer_send_setting(&peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff);
    h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, 0, 0x7fff0000);
    for (uint32_t id = 1; id < 8; id += 2)
        h2_peer_get(&peer, id, "/big");
    /* The first has the buffers of the socket for itself. */
    while (body_len(3) < BIG_BODY && body_len(5) < BIG_BODY && body_len(7) < BIG_BODY)
        h2_peer_turn(&peer);
    for (uint32_t id = 3; id < 8; id += 2)
        if (body_len(id) <= BIG_BODY / 16)
            fail_msg("%zu %zu %zu", body_len(3), body_len(5), body_len(7));
    struct buf body;
    for (uint32_t id = 1; id < 8; id += 2) {
        struct h2_peer_frame *frame;
        peer.next = 0;
        do
            frame = h2_peer_expect(&peer, NGHTTP2_DATA, id);
        while (!(frame->flags & END));
        buf_init(&body, BIG_BODY + 1);
        h2_peer_body(&peer, id, &body);
        assert_int_equal(body.len, BIG_BODY);
        for (size_t i = 0; i < body.len; i++)
            if ((uint8_t)body.data[i] != pattern_at(i))
                fail_msg("wrong byte at %zu", i);
        buf_fini(&body);
    }
    stop();
}

static void run_early_answer(void)
{
    start(NULL);
    h2_peer_send_head(&peer, 1, 0, ":method: POST\n:scheme: http\n:path: /early\n:authority: a\n");
    expect_status(1, "413");
    assert_int_equal(h2_peer_expect(&peer, NGHTTP2_DATA, 1)->flags, END);
    expect_rst(1, NGHTTP2_NO_ERROR);
    h2_peer_send(&peer, NGHTTP2_DATA, END, 1, SPAN_LIT("late"));
    h2_peer_get(&peer, 3, "/204");
    expect_status(3, "204");
    stop();
    assert_int_equal(app.closed, HTTP_ERROR_NONE);
}

static void run_broken_holder(void)
{
    start(NULL);
    h2_peer_get(&peer, 1, "/short");
    expect_rst(1, NGHTTP2_INTERNAL_ERROR);
    h2_peer_send_head(&peer, 3, 0, ":method: POST\n:scheme: http\n:path: /drop\n:authority: a\n");
    h2_peer_send(&peer, NGHTTP2_DATA, 0, 3, SPAN_LIT("hello"));
    expect_rst(3, NGHTTP2_INTERNAL_ERROR);
    settle();
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_GONE);
    stop();
}

static void run_tunnel(void)
{
    start(NULL);
    h2_peer_send_head(&peer, 1, 0,
                      ":method: CONNECT\n:protocol: websocket\n:scheme: http\n:path: /ws\n"
                      ":authority: a\n");
    expect_status(1, "200");
    settle();
    struct request *r = app.requests[0];
    assert_true(r->tunnel && !r->ended);
    h2_peer_send(&peer, NGHTTP2_DATA, 0, 1, SPAN_LIT("ping"));
    settle();
    assert_string_equal(buf_str(&r->body), "ping");
    struct iovec iov = {(char[]){"pong"}, 4};
    assert_int_equal(http_stream_send_body(r->stream, &iov, 1), 0);
    h2_peer_expect(&peer, NGHTTP2_DATA, 1);
    expect_body(1, "pong");
    h2_peer_send(&peer, NGHTTP2_DATA, END, 1, SPAN_LIT("!"));
    settle();
    assert_true(r->ended && r->alive);
    assert_int_equal(http_stream_send_body(r->stream, &iov, 1), 0);
    assert_int_equal(http_stream_end(r->stream, NULL), 0);
    r->alive = false;
    assert_int_equal(h2_peer_expect(&peer, NGHTTP2_DATA, 1)->flags, END);
    settle();
    assert_true(http_server_is_idle(app.session));
    stop();
}

static void run_peer_resets(void)
{
    start(NULL);
    h2_peer_get(&peer, 1, "/hold");
    h2_peer_get(&peer, 3, "/hold");
    settle();
    h2_peer_send_number(&peer, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    h2_peer_send_number(&peer, NGHTTP2_RST_STREAM, 3, NGHTTP2_INTERNAL_ERROR);
    settle();
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_CANCELLED);
    assert_int_equal(app.requests[1]->reset, HTTP_ERROR_RESET);
    assert_true(http_server_is_idle(app.session));
    stop();
}

static void run_refusals(void)
{
    static const struct {
        const char *lines, *status;
        enum http_error error;
    } cases[] = {
        {":method: GET\n:scheme: http\n:path: /\n", NULL, HTTP_ERROR_BAD_REQUEST},
        {":method: CONNECT\n:authority: a:1\n", "405", HTTP_ERROR_METHOD},
        {":method: GET\n:scheme: http\n:path: /\n:authority: a\nX: 1\n", NULL,
         HTTP_ERROR_BAD_REQUEST},
        {":method: GET\n:scheme: http\n:path: /\n:authority: a\nte: gzip\n", NULL,
         HTTP_ERROR_BAD_REQUEST},
        {":method: GET\n:scheme: http\n:path: /\n:authority: a\nx: a\001b\n", NULL,
         HTTP_ERROR_BAD_REQUEST},
    };
    start(NULL);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint32_t id = (uint32_t)i * 2 + 1;
        h2_peer_send_head(&peer, id, END, cases[i].lines);
        if (cases[i].status != NULL)
            expect_status(id, cases[i].status);
        else
            expect_rst(id, NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(app.refusals, i + 1);
        assert_int_equal(app.refused, cases[i].error);
    }
    assert_int_equal(app.count, 0);
    app.no_memory = true;
    h2_peer_get(&peer, 21, "/204");
    expect_rst(21, NGHTTP2_REFUSED_STREAM);
    app.no_memory = false;
    h2_peer_get(&peer, 23, "/204");
    expect_status(23, "204");
    stop();
}

static void run_large_heads(void)
{
    struct buf lines;
    start(NULL);
    buf_init(&lines, 1u << 20);
    buf_add_str(&lines, ":method: GET\n:scheme: http\n:path: /\n:authority: a\n");
    for (int i = 0; i < 101; i++)
        buf_printf(&lines, "x-%d: y\n", i);
    h2_peer_send_head(&peer, 1, END, buf_str(&lines));
    expect_status(1, "431");
    assert_int_equal(app.refused, HTTP_ERROR_HEAD_TOO_LARGE);
    buf_fini(&lines);
    /* One field of 4,000 bytes, named again and again by one byte: an HPACK bomb. */
    uint8_t bomb[4200];
    size_t used = 0;
    bomb[used++] = 0x40; /* literal with incremental indexing, new name */
    bomb[used++] = 1;
    bomb[used++] = 'x';
    bomb[used++] = 0x7f; /* 127 + varint(3873) = 4000 */
    bomb[used++] = 0xa1;
    bomb[used++] = 0x1e;
    memset(bomb + used, 'v', 4000);
    used += 4000;
    memset(bomb + used, 0xbe, 100);
    used += 100;
    h2_peer_send(&peer, NGHTTP2_HEADERS, ENDH | END, 3, span_make(bomb, used));
    expect_goaway(NGHTTP2_ENHANCE_YOUR_CALM);
    stop();
    assert_int_equal(app.closed, HTTP_ERROR_FLOOD);
}

/* One piece of each attack; false: it needs no more. */
enum flood {
    FLOOD_PING,
    FLOOD_RAPID_RESET,
    FLOOD_MADE_YOU_RESET,
    FLOOD_MALFORMED,
    FLOOD_SETTINGS,
    FLOOD_PRIORITY,
    FLOOD_UNKNOWN,
    FLOOD_EMPTY_DATA,
    FLOOD_WINDOW_UPDATE,
    FLOOD_CONTINUATION,
    FLOODS
};

static void flood(enum flood kind, int i)
{
    static const char zeros[64];
    uint32_t id = (uint32_t)i * 2 + 1;
    switch (kind) {
    case FLOOD_PING:
        h2_peer_send(&peer, NGHTTP2_PING, 0, 0, SPAN_LIT("12345678"));
        return;
    case FLOOD_RAPID_RESET:
        h2_peer_get(&peer, id, "/hold");
        h2_peer_send_number(&peer, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
        return;
    case FLOOD_MADE_YOU_RESET:
        h2_peer_get(&peer, id, "/hold");
        h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, id, 0x7fffffff);
        return;
    case FLOOD_MALFORMED:
        h2_peer_send_head(&peer, id, END, ":method: GET\n:scheme: http\n:path: x\nX: y\n");
        return;
    case FLOOD_SETTINGS:
        h2_peer_send_setting(&peer, 0, 0);
        return;
    case FLOOD_PRIORITY:
        h2_peer_send(&peer, NGHTTP2_PRIORITY, 0, 1 + 2 * (i % 50), SPAN_LIT("\0\0\0\0\1"));
        return;
    case FLOOD_UNKNOWN:
        h2_peer_send(&peer, 0xbe, 0, 0, SPAN_LIT("whatever"));
        return;
    case FLOOD_EMPTY_DATA:
        if (i == 0)
            h2_peer_send_head(&peer, 1, 0,
                              ":method: POST\n:scheme: http\n:path: /x\n:authority: a\n");
        h2_peer_send(&peer, NGHTTP2_DATA, 0, 1, SPAN_NONE);
        return;
    case FLOOD_WINDOW_UPDATE:
        h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, 0, 1);
        return;
    case FLOOD_CONTINUATION:
        if (i == 0)
            half_head();
        h2_peer_send(&peer, NGHTTP2_CONTINUATION, 0, 1, span_make(zeros, sizeof(zeros)));
        return;
    case FLOODS:
        UNREACHABLE();
    }
}

static void run_floods(void)
{
    for (enum flood kind = 0; kind < FLOODS; kind++) {
        start(NULL);
        for (int i = 0; i < 2000 && !app.wire.eof && !app.wire.reset; i++) {
            flood(kind, i);
            if (i % 10 == 0)
                h2_peer_turn(&peer);
        }
        (void)wire_expect_end(&app.wire);
        assert_true(app.count <= 220);
        settle();
        assert_null(app.session);
        assert_int_equal(app.closed, HTTP_ERROR_FLOOD);
        assert_non_null(app.closed_text);
        for (unsigned i = 0; i < app.count; i++)
            assert_true(app.requests[i]->reset != HTTP_ERROR_NONE);
        stop();
    }
}

/* After the last GOAWAY a peer that goes on sending is cut all the same. */
static void run_deaf_to_goaway(void)
{
    static char noise[4096];
    start(NULL);
    settle();
    http_server_drain(app.session);
    struct span ping = h2_peer_expect(&peer, NGHTTP2_PING, 0)->payload;
    h2_peer_send(&peer, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping);
    assert_true(wire_expect_end(&app.wire));
    for (int i = 0; i < 100 && app.wire.loop->conns > 0; i++) {
        h2_peer_send(&peer, 0xbe, 0, 0, span_make(noise, sizeof(noise)));
        wire_turn(&app.wire);
    }
    assert_int_equal(app.wire.loop->conns, 0);
    assert_null(app.session);
    stop();
}

static void run_stream_ids(void)
{
    start(NULL);
    h2_peer_get(&peer, 5, "/204");
    expect_status(5, "204");
    h2_peer_get(&peer, 3, "/204");
    expect_goaway(NGHTTP2_PROTOCOL_ERROR);
    stop();
    assert_int_equal(app.closed, HTTP_ERROR_PROTOCOL);
    start(NULL);
    h2_peer_get(&peer, 1, "/204");
    expect_status(1, "204");
    settle();
    h2_peer_send(&peer, NGHTTP2_DATA, END, 1, SPAN_LIT("x"));
    expect_goaway(NGHTTP2_STREAM_CLOSED);
    stop();
}

/* A client that leaves and names a stream of its own, as those of grpc-go do. */
static void run_goaway_own_stream(void)
{
    start(NULL);
    h2_peer_get(&peer, 1, "/204");
    expect_status(1, "204");
    settle();
    h2_peer_send(&peer, NGHTTP2_GOAWAY, 0, 0, span_make("\0\0\0\1\0\0\0\0", 8));
    expect_goaway(NGHTTP2_PROTOCOL_ERROR);
    stop();
    assert_int_equal(app.closed, HTTP_ERROR_NONE);
}

static void run_streams_max(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    limits.h2_streams_max = 2;
    begin(&limits);
    wire_send_text(&app.wire, NGHTTP2_CLIENT_MAGIC);
    h2_peer_send_setting(&peer, 0, 0);
    for (uint32_t id = 1; id < 8; id += 2)
        h2_peer_get(&peer, id, "/hold");
    expect_rst(5, NGHTTP2_REFUSED_STREAM);
    expect_rst(7, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(app.count, 2);
    stop();
}

static void run_drain(void)
{
    start(NULL);
    h2_peer_get(&peer, 1, "/hold");
    settle();
    http_server_drain(app.session);
    struct span ping = h2_peer_expect(&peer, NGHTTP2_PING, 0)->payload;
    struct h2_peer_frame *notice = h2_peer_expect(&peer, NGHTTP2_GOAWAY, 0);
    assert_int_equal(h2_peer_number(notice, 0), 0x7fffffff);
    h2_peer_get(&peer, 3, "/hold"); /* was under way */
    h2_peer_send(&peer, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping);
    struct h2_peer_frame *final = h2_peer_expect(&peer, NGHTTP2_GOAWAY, 0);
    assert_int_equal(h2_peer_number(final, 0), 3);
    h2_peer_get(&peer, 5, "/hold"); /* too late: not processed */
    settle();
    assert_int_equal(app.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        reply(app.requests[i], 200, SPAN_LIT("bye"));
        app.requests[i]->alive = false;
    }
    assert_int_equal(h2_peer_expect(&peer, NGHTTP2_DATA, 1)->flags, END);
    assert_true(wire_expect_end(&app.wire));
    settle();
    assert_int_equal(app.closes, 1);
    assert_int_equal(app.closed, HTTP_ERROR_NONE);
    stop();
}

static void run_requests_max(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    limits.h2_requests_max = 3;
    start(&limits);
    for (uint32_t id = 1; id < 7; id += 2) {
        h2_peer_get(&peer, id, "/204");
        expect_status(id, "204");
    }
    expect_goaway(NGHTTP2_NO_ERROR); /* the final one, after a second without an answer to PING */
    assert_int_equal(h2_peer_count(&peer, NGHTTP2_GOAWAY, 0), 2);
    stop();
}

static void run_timeouts(void)
{
    struct http_limits limits;
    http_limits_default(&limits);
    limits.head_timeout_ns = 50 * NS_PER_MS;
    begin(&limits); /* silence */
    expect_goaway(NGHTTP2_SETTINGS_TIMEOUT);
    stop();
    start(&limits); /* half a head */
    half_head();
    expect_goaway(NGHTTP2_ENHANCE_YOUR_CALM);
    stop();
    assert_int_equal(app.arenas, 0);
    http_limits_default(&limits);
    limits.h2_idle_timeout_ns = 50 * NS_PER_MS;
    start(&limits);
    h2_peer_get(&peer, 1, "/204");
    expect_status(1, "204");
    expect_goaway(NGHTTP2_NO_ERROR);
    stop();
    assert_int_equal(app.closed, HTTP_ERROR_NONE);
    http_limits_default(&limits);
    limits.body_timeout_ns = 50 * NS_PER_MS;
    start(&limits);
    h2_peer_send_head(&peer, 1, 0, ":method: POST\n:scheme: http\n:path: /x\n:authority: a\n");
    h2_peer_send_head(&peer, 3, 0, ":method: POST\n:scheme: http\n:path: /later\n:authority: a\n");
    expect_status(1, "408");
    expect_rst(1, NGHTTP2_NO_ERROR);
    settle();
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_REQUEST_TIMEOUT);
    assert_true(app.requests[1]->alive);
    stop();
    http_limits_default(&limits);
    limits.h2_ping_interval_ns = 20 * NS_PER_MS;
    start(&limits);
    h2_peer_get(&peer, 1, "/hold");
    h2_peer_expect(&peer, NGHTTP2_PING, 0);
    stop();
}

/* A client that closes its side has gone. */
static void run_half_close(void)
{
    start(NULL);
    h2_peer_get(&peer, 1, "/hold");
    h2_peer_send_head(&peer, 3, 0, ":method: POST\n:scheme: http\n:path: /x\n:authority: a\n");
    settle();
    wire_shutdown(&app.wire);
    (void)wire_expect_end(&app.wire);
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_CANCELLED);
    assert_int_equal(app.requests[1]->reset, HTTP_ERROR_CANCELLED);
    stop();
    assert_int_equal(app.closed, HTTP_ERROR_CANCELLED);
}

static void run_abort(void)
{
    start(NULL);
    h2_peer_get(&peer, 1, "/hold");
    h2_peer_get(&peer, 3, "/big");
    settle();
    http_server_abort(app.session);
    assert_int_equal(app.closes, 1);
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_GONE);
    assert_int_equal(app.requests[1]->reset, HTTP_ERROR_GONE);
    stop();
}

static void run_not_http2(void)
{
    begin(NULL);
    wire_send_text(&app.wire, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)wire_expect_end(&app.wire);
    stop();
    assert_int_equal(app.closed, HTTP_ERROR_PROTOCOL);
}

/* Every byte of a session by itself. */
static void run_one_byte_segments(void)
{
    static const char bytes[] =
        NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0" /* SETTINGS */
                             "\0\0\6\1\1\0\0\0\1" /* HEADERS, END_STREAM */
                             "\x82\x86\x41\1a\x44" /* GET, http, authority a, path: */
                             "\0\0\1\11\0\0\0\0\1" /* CONTINUATION */
                             "\4"
                             "\0\0\4\11\4\0\0\0\1" /* CONTINUATION, END_HEADERS */
                             "/204";
    begin(NULL);
    for (size_t i = 0; i + 1 < sizeof(bytes); i++) {
        wire_send(&app.wire, bytes + i, 1);
        h2_peer_turn(&peer);
    }
    expect_status(1, "204");
    stop();
}

static void test_detect(void **state)
{
    (void)state;
    struct span preface = SPAN_LIT(NGHTTP2_CLIENT_MAGIC);
    assert_int_equal(h2_server_detect(preface), 1);
    assert_int_equal(h2_server_detect(SPAN_LIT(NGHTTP2_CLIENT_MAGIC "more")), 1);
    for (size_t i = 0; i < preface.len; i++)
        assert_int_equal(h2_server_detect(span_make(preface.ptr, i)), 0);
    assert_int_equal(h2_server_detect(SPAN_LIT("PRI * HTTP/2.0\r\n\r\nSX")), -1);
    assert_int_equal(h2_server_detect(SPAN_LIT("POST /")), -1);
}

WIRE_TEST(get)
WIRE_TEST(small)
WIRE_TEST(trailers_and_interim)
WIRE_TEST(credit)
WIRE_TEST(window_overrun)
WIRE_TEST(big)
WIRE_TEST(big_fast)
WIRE_TEST(early_answer)
WIRE_TEST(broken_holder)
WIRE_TEST(tunnel)
WIRE_TEST(peer_resets)
/* nghttp2 1.64 resets for userinfo; 1.52 leaves it to us. */
static void run_userinfo(void)
{
    start(NULL);
    h2_peer_send_head(&peer, 1, END, ":method: GET\n:scheme: http\n:path: /\n:authority: u@a\n");
    h2_peer_get(&peer, 3, "/204");
    expect_status(3, "204");
    assert_int_equal(app.refusals, 1);
    bool answers = h2_peer_count(&peer, NGHTTP2_HEADERS, 1) == 1;
    assert_true(answers || h2_peer_count(&peer, NGHTTP2_RST_STREAM, 1) == 1);
    assert_int_equal(app.refused, answers ? HTTP_ERROR_BAD_HOST : HTTP_ERROR_BAD_REQUEST);
    stop();
}

WIRE_TEST(refusals)
WIRE_TEST(userinfo)
WIRE_TEST(large_heads)
WIRE_TEST(floods)
WIRE_TEST(deaf_to_goaway)
WIRE_TEST(stream_ids)
WIRE_TEST(goaway_own_stream)
WIRE_TEST(streams_max)
WIRE_TEST(drain)
WIRE_TEST(requests_max)
WIRE_TEST(timeouts)
WIRE_TEST(half_close)
WIRE_TEST(abort)
WIRE_TEST(not_http2)
WIRE_TEST(one_byte_segments)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_trailers_and_interim),
        cmocka_unit_test(test_credit),
        cmocka_unit_test(test_window_overrun),
        cmocka_unit_test(test_big),
        cmocka_unit_test(test_big_fast),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_broken_holder),
        cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_peer_resets),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_userinfo),
        cmocka_unit_test(test_large_heads),
        cmocka_unit_test(test_floods),
        cmocka_unit_test(test_deaf_to_goaway),
        cmocka_unit_test(test_stream_ids),
        cmocka_unit_test(test_goaway_own_stream),
        cmocka_unit_test(test_streams_max),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_requests_max),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_not_http2),
        cmocka_unit_test(test_one_byte_segments),
        cmocka_unit_test(test_detect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
