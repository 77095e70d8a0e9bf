/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_server.h"

#include "h2_peer.h"
#include "server_app.h"

/* What a peer can make us keep. */

static struct app app;
static struct h2_peer peer;

/* The peer opens windows only where a test says so. */
static void start(void)
{
    app_open(&app, NULL, true);
    h2_peer_init(&peer, &app.wire);
    h2_peer_hello(&peer);
    h2_peer_send_setting(&peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, 0, 1u << 30);
}

static void stop(void)
{
    app_stop(&app);
    h2_peer_fini(&peer);
}

static void turns(void)
{
    for (int i = 0; i < 20; i++)
        h2_peer_turn(&peer);
}

static void ask(unsigned count)
{
    for (uint32_t id = 1; id < 2 * count; id += 2)
        h2_peer_get(&peer, id, "/big");
    turns();
    assert_int_equal(app.count, count);
}

static size_t kept(unsigned i)
{
    return BIG_BODY - app.requests[i]->left;
}

/* Few streams keep what a stream may, many what the session may and then a piece each. */
static void run_closed_windows(void)
{
    start();
    ask(5);
    for (unsigned i = 0; i < app.count; i++)
        assert_in_range(kept(i), 65536, 65536 + 40000);
    stop();
    start();
    ask(100);
    size_t all = 0;
    for (unsigned i = 0; i < app.count; i++)
        all += kept(i);
    assert_in_range(all, 1u << 20, (1u << 20) + 100 * 40000);
    for (unsigned i = 50; i < app.count; i++)
        assert_int_equal(kept(i), 40000);
    stop();
}

static void expect_big(uint32_t id)
{
    struct buf body;
    while (!(h2_peer_expect(&peer, NGHTTP2_DATA, id)->flags & NGHTTP2_FLAG_END_STREAM))
        continue;
    buf_init(&body, BIG_BODY);
    h2_peer_body(&peer, id, &body);
    assert_int_equal(body.len, BIG_BODY);
    for (size_t i = 0; i < body.len; i++)
        if ((uint8_t)body.data[i] != pattern_at(i))
            fail_msg("byte %zu", i);
    buf_fini(&body);
}

/* nghttp2 sends no end without a window: hence one byte more than the body has. */

/* One whose window is open goes on past those whose windows are not; these go on in their turn. */
static void run_flows_past_others(void)
{
    start();
    ask(40);
    h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, 79, BIG_BODY + 1);
    expect_big(79);
    for (unsigned i = 0; i < 39; i++)
        assert_in_range(kept(i), 40000, 120000);
    for (uint32_t id = 1; id < 6; id += 2) {
        h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, id, BIG_BODY + 1);
        expect_big(id);
    }
    /* All others at once. */
    for (uint32_t id = 7; id < 79; id += 2)
        h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, id, 50000);
    turns();
    for (unsigned i = 3; i < 39; i++)
        assert_in_range(kept(i), 50001, 200000);
    stop();
}

/* Streams that are reset give back what they had of the session's. */
static void run_reset_makes_room(void)
{
    start();
    ask(40);
    assert_int_equal(kept(39), 40000);
    for (uint32_t id = 1; id < 79; id += 2)
        h2_peer_send_number(&peer, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
    h2_peer_send_number(&peer, NGHTTP2_WINDOW_UPDATE, 79, 40000 - 32768);
    turns();
    assert_in_range(kept(39), 65536, 120000);
    stop();
}

/* Takes blocks until few are left, and puts them before others taken so. */
static uint8_t *take_most(struct block_pool *blocks, uint8_t *all)
{
    while (block_in_use(blocks) < block_max(blocks) - block_max(blocks) / 12) {
        uint8_t *block = block_get(blocks);
        assert_non_null(block);
        block_head(blocks, block)->next = all;
        all = block;
    }
    return all;
}

static void give_back(struct block_pool *blocks, uint8_t *all)
{
    while (all != NULL) {
        uint8_t *next = block_head(blocks, all)->next;
        block_put(blocks, all);
        all = next;
    }
}

static void expect_rst(uint32_t id, uint32_t code)
{
    assert_int_equal(h2_peer_number(h2_peer_expect(&peer, NGHTTP2_RST_STREAM, id), 0), code);
}

/* When blocks are scarce, a session that holds more than its share loses what it has. Then it may
 * begin anew. */
static void run_scarce(void)
{
    static const char piece[1000];
    struct buf head; /* of which the end comes later */
    buf_init(&head, 4096);
    wire_blocks_max = 256;
    start();
    wire_blocks_max = 0;
    struct block_pool *blocks = app.wire.loop->blocks;
    ask(20);
    uint8_t *all = take_most(blocks, NULL);
    h2_server_pool_relieve(app.h2_pool);
    turns(); /* 20 answers are less than half of all blocks */
    assert_true(app.requests[19]->alive);
    give_back(blocks, all);
    for (uint32_t id = 41; id < 81; id += 2)
        h2_peer_get(&peer, id, "/big");
    h2_peer_send_head(&peer, 81, 0, ":method: POST\n:scheme: http\n:path: /later\n:authority: a\n");
    turns();
    h2_server_pool_relieve(app.h2_pool);
    turns(); /* there are blocks */
    assert_true(app.requests[40]->alive);
    all = take_most(blocks, NULL);
    h2_peer_send(&peer, NGHTTP2_DATA, 0, 81, span_make(piece, sizeof(piece)));
    h2_peer_block(&head, ":method: GET\n:scheme: http\n:path: /x\n:authority: a\n");
    h2_peer_send(&peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 83, buf_span(&head));
    for (uint32_t id = 1; id < 83; id += 2) {
        expect_rst(id, NGHTTP2_ENHANCE_YOUR_CALM);
        assert_int_equal(app.requests[id / 2]->reset, HTTP_ERROR_NO_MEMORY);
    }
    turns();
    h2_peer_send(&peer, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 83, SPAN_NONE);
    h2_peer_get(&peer, 85, "/204");
    h2_peer_expect(&peer, NGHTTP2_HEADERS, 85);
    buf_fini(&head);
    give_back(blocks, all);
    stop();
}

#define TESTS(X)                                                                                   \
    X(closed_windows)                                                                              \
    X(flows_past_others)                                                                           \
    X(reset_makes_room)                                                                            \
    X(scarce)

TESTS(WIRE_TEST)

int main(void)
{
    const struct CMUnitTest tests[] = {TESTS(WIRE_ENTRY)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
