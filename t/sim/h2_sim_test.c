/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "http/h2_server.h"
#include "io/acceptor.h"
#include "t/sim/engine_sim.h"

/* HTTP/2 servers over the simulated engine, one world a seed; the far ends are clients of nghttp2.
 * A request's body is a pattern, and so is its response of as many bytes as the path says; in
 * worlds without faults all of both must arrive, in order. In the end nothing may be left. */

#define CLIENTS_MAX 4
#define STREAMS_MAX 12
#define OUT_MAX 200000
#define TURNS_MAX 300000
#define SEEDS 400

struct world;

struct call { /* server's side of a stream */
    struct http_stream_user user;
    struct http_stream *stream; /* NULL: gone */
    struct world *world;
    struct arena arena;
    struct dlist link;
    size_t got, left, sent, debt;
    bool asked, ended, answered, done;
};

struct request { /* client's side */
    struct client *client;
    int32_t id;
    size_t upload, sent, download, got;
    bool closed;
};

struct client {
    struct world *world;
    int fd; /* -1: gone */
    nghttp2_session *ng;
    struct request requests[STREAMS_MAX];
    unsigned begun, total;
    uint8_t *out;
    size_t out_len;
    bool failed;
};

struct server {
    struct http_server_owner owner;
    struct world *world;
    struct http_server *session; /* NULL: closed */
};

struct world {
    uint64_t seed;
    bool chaos, resets;
    struct loop *loop;
    struct sim *sim;
    struct rand_state rand;
    struct http_limits limits;
    struct h2_server_pool *pool;
    struct client clients[CLIENTS_MAX];
    unsigned client_count;
    struct server servers[CLIENTS_MAX];
    unsigned server_count;
    struct dlist calls;
    unsigned arenas, failures;
};

static bool chance(struct world *world, uint32_t one_in)
{
    return rand_below(&world->rand, one_in) == 0;
}

static uint8_t pattern_at(size_t i)
{
    return (uint8_t)(i * 131 + i / 257);
}

/* The server's application. */

static void call_gone(struct call *call)
{
    call->stream = NULL;
    call->done = true;
}

static void call_check(struct call *call)
{
    if (call->ended && call->answered && call->left == 0)
        call_gone(call);
}

static void call_send(struct call *call)
{
    static uint8_t piece[30000];
    struct world *world = call->world;
    size_t before = SIZE_MAX;
    while (call->stream != NULL && call->left > 0 && !http_stream_is_congested(call->stream)) {
        size_t n = MIN(call->left, 1 + rand_below(&world->rand, sizeof(piece) - 1));
        ASSERT(call->left != before);
        before = call->left;
        for (size_t i = 0; i < n; i++)
            piece[i] = pattern_at(call->sent + i);
        struct iovec iov[2] = {{piece, n / 2}, {piece + n / 2, n - n / 2}};
        call->left -= n;
        call->sent += n;
        if (http_stream_send_body(call->stream, iov, 2) < 0) {
            world->failures++; /* on_reset follows */
            return;
        }
        memset(piece, 0xff, n);
    }
    if (call->stream == NULL || call->left > 0)
        return;
    struct http_head *trailers = NULL;
    if (chance(world, 2)) {
        trailers = http_head_new(&call->arena, 1);
        assert_true(http_head_add(trailers, SPAN_LIT("x-sum"), SPAN_LIT("1")));
    }
    if (http_stream_end(call->stream, trailers) < 0)
        world->failures++;
    else
        call_check(call);
}

static void call_answer(struct call *call)
{
    struct http_head *head = http_head_new(&call->arena, 2);
    call->answered = true;
    head->is_response = true;
    head->status = 200;
    head->content_length = HTTP_LENGTH_UNKNOWN;
    assert_true(http_head_add(head, SPAN_LIT("x-test"), SPAN_LIT("yes")));
    if (http_stream_send_head(call->stream, head, false) < 0) {
        call->world->failures++;
        return;
    }
    call_send(call);
}

static struct call *call_of(struct http_stream_user *user)
{
    return container_of(user, struct call, user);
}

static void call_on_body(struct http_stream_user *user, struct http_stream *stream,
                         struct span data)
{
    struct call *call = call_of(user);
    assert_ptr_equal(call->stream, stream);
    for (size_t i = 0; i < data.len; i++)
        if ((uint8_t)data.ptr[i] != pattern_at(call->got + i))
            fail_msg("seed %llu: wrong byte", (unsigned long long)call->world->seed);
    call->got += data.len;
    if (call->world->chaos && chance(call->world, 40)) {
        call_gone(call);
        http_stream_reset(stream, HTTP_ERROR_GONE);
    } else if (chance(call->world, 3)) {
        call->debt += data.len;
    } else {
        http_stream_grant(stream, data.len);
    }
}

static void call_on_end(struct http_stream_user *user, struct http_stream *stream,
                        struct http_head *trailers)
{
    struct call *call = call_of(user);
    assert_ptr_equal(call->stream, stream);
    assert_null(trailers);
    assert_false(call->ended);
    call->ended = true;
    call->debt = 0;
    if (call->answered)
        call_check(call);
    else if (chance(call->world, 2))
        call_answer(call);
}

static void call_on_drain(struct http_stream_user *user, struct http_stream *stream)
{
    struct call *call = call_of(user);
    assert_ptr_equal(call->stream, stream);
    if (call->answered && call->left > 0)
        call_send(call);
}

static void call_on_reset(struct http_stream_user *user, struct http_stream *stream,
                          enum http_error error)
{
    struct call *call = call_of(user);
    assert_ptr_equal(call->stream, stream);
    assert_true(error != HTTP_ERROR_NONE);
    call->world->failures++;
    call_gone(call);
}

static const struct http_stream_user_ops call_ops = {
    .on_body = call_on_body,
    .on_end = call_on_end,
    .on_drain = call_on_drain,
    .on_reset = call_on_reset,
};

static struct arena *server_request_arena(struct http_server_owner *owner)
{
    struct world *world = container_of(owner, struct server, owner)->world;
    if (world->chaos && chance(world, 30))
        return NULL;
    struct call *call = xcalloc(1, sizeof(*call));
    call->world = world;
    arena_init(&call->arena, BLOCK_SIZE, 8 * BLOCK_SIZE, NULL);
    world->arenas++;
    return &call->arena;
}

static void call_free(struct call *call)
{
    call->world->arenas--;
    arena_fini(&call->arena);
    free(call);
}

static void server_release_arena(struct http_server_owner *owner, struct arena *arena)
{
    (void)owner;
    call_free(container_of(arena, struct call, arena));
}

static void server_on_request(struct http_server_owner *owner, struct http_stream *stream,
                              struct http_head *head)
{
    struct world *world = container_of(owner, struct server, owner)->world;
    struct call *call = container_of(head->arena, struct call, arena);
    uint64_t size = 0;
    assert_int_equal(span_to_u64(span_skip(head->path, 1), UINT32_MAX, &size), 0);
    call->user.ops = &call_ops;
    call->stream = stream;
    call->left = (size_t)size;
    stream->user = &call->user;
    dlist_push_back(&world->calls, &call->link);
    if (chance(world, 3)) {
        call->asked = true;
        http_stream_grant(stream, HTTP_STREAM_WINDOW);
    }
    if (chance(world, 5))
        call_answer(call);
}

static void server_on_refused(struct http_server_owner *owner, enum http_error error,
                              const struct http_head *head)
{
    (void)head;
    assert_true(error != HTTP_ERROR_NONE);
    container_of(owner, struct server, owner)->world->failures++;
}

static void server_on_closed(struct http_server_owner *owner, enum http_error error)
{
    struct server *server = container_of(owner, struct server, owner);
    server->session = NULL;
    server->world->failures += error != HTTP_ERROR_NONE;
}

static const struct http_server_owner_ops server_ops = {
    .on_request = server_on_request,
    .request_arena = server_request_arena,
    .release_arena = server_release_arena,
    .on_refused = server_on_refused,
    .on_closed = server_on_closed,
};

/* Between turns: late grants and answers, resets, drains, aborts. */
static void calls_turn(struct world *world)
{
    dlist_foreach(it, next, &world->calls)
    {
        struct call *call = dlist_entry(it, struct call, link);
        if (call->done) {
            dlist_remove(&call->link);
            call_free(call);
            continue;
        }
        if (!call->asked && chance(world, 10)) {
            call->asked = true;
            http_stream_grant(call->stream, HTTP_STREAM_WINDOW);
        } else if (call->debt > 0 && chance(world, 4)) {
            http_stream_grant(call->stream, call->debt);
            call->debt = 0;
        } else if (!call->answered && chance(world, 20)) {
            call_answer(call);
        } else if (world->chaos && chance(world, 300)) {
            struct http_stream *stream = call->stream;
            call_gone(call);
            http_stream_reset(stream, HTTP_ERROR_GONE);
        }
    }
    for (unsigned i = 0; i < world->server_count && world->chaos; i++) {
        if (world->servers[i].session != NULL && chance(world, 2000))
            http_server_drain(world->servers[i].session);
        if (world->servers[i].session != NULL && chance(world, 3000))
            http_server_abort(world->servers[i].session);
    }
}

static void on_accept(struct acceptor *acceptor, struct conn *conn, void *user)
{
    (void)acceptor;
    struct world *world = user;
    assert_true(world->server_count < CLIENTS_MAX);
    struct server *server = &world->servers[world->server_count++];
    struct h2_server_options options = {.limits = &world->limits};
    *server = (struct server){.owner.ops = &server_ops, .world = world};
    server->session = h2_server_start(world->pool, conn, &options, &server->owner);
    if (server->session == NULL) { /* the blocks are all in use */
        assert_true(world->chaos);
        conn_close(conn, false);
        return;
    }
    conn_start(conn);
}

/* Clients. */

static struct request *request_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

static int client_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
                          size_t len, void *user)
{
    struct request *r = request_of(ng, id);
    struct client *client = user;
    (void)flags;
    for (size_t i = 0; i < len; i++)
        if (data[i] != pattern_at(r->got + i))
            fail_msg("seed %llu: wrong byte", (unsigned long long)client->world->seed);
    r->got += len;
    assert_true(r->got <= r->download);
    if (client->world->chaos && chance(client->world, 100))
        (void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    return 0;
}

static int client_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct request *r = request_of(ng, id);
    struct client *client = user;
    r->closed = true;
    if (code != NGHTTP2_NO_ERROR)
        client->failed = true;
    return 0;
}

static ssize_t client_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct request *r = source->ptr;
    struct client *client = user;
    (void)ng;
    (void)id;
    size_t n = MIN(r->upload - r->sent, 1 + rand_below(&client->world->rand, (uint32_t)size));
    n = MIN(n, size);
    for (size_t i = 0; i < n; i++)
        buf[i] = pattern_at(r->sent + i);
    r->sent += n;
    if (r->sent == r->upload)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void client_open(struct world *world, struct client *client)
{
    nghttp2_session_callbacks *callbacks;
    *client = (struct client){.world = world, .fd = sim_peer_connect(world->sim)};
    client->total = 1 + rand_below(&world->rand, STREAMS_MAX);
    client->out = xmalloc(OUT_MAX);
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, client_on_close);
    assert_int_equal(nghttp2_session_client_new(&client->ng, callbacks, client), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                     1000 + rand_below(&world->rand, 200000)};
    assert_int_equal(nghttp2_submit_settings(client->ng, 0, &window, 1), 0);
}

static void client_request(struct world *world, struct client *client)
{
    struct request *r = &client->requests[client->begun++];
    char path[24];
    *r = (struct request){
        .client = client,
        .upload = chance(world, 2) ? 0 : rand_below(&world->rand, 300000),
        .download = rand_below(&world->rand, chance(world, 2) ? 500 : 300000),
    };
    struct span text = {path, (size_t)snprintf(path, sizeof(path), "/%zu", r->download)};
#define NV(name, value, len)                                                                       \
    {(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1, (len),         \
     NGHTTP2_NV_FLAG_NONE}
    nghttp2_nv nv[] = {NV(":method", "POST", 4), NV(":scheme", "http", 4), NV(":authority", "a", 1),
                       NV(":path", text.ptr, text.len)};
    nghttp2_data_provider source = {.source.ptr = r, .read_callback = client_read};
    r->id = nghttp2_submit_request(client->ng, NULL, nv, ARRAY_COUNT(nv), &source, r);
    assert_true(r->id > 0);
}

static bool client_is_done(const struct client *client)
{
    for (unsigned i = 0; i < client->begun; i++)
        if (!client->requests[i].closed)
            return false;
    return client->begun == client->total;
}

static void client_close(struct world *world, struct client *client, bool reset)
{
    for (unsigned i = 0; i < client->begun && !world->chaos && !world->resets; i++) {
        const struct request *r = &client->requests[i];
        if (client->failed || !r->closed || r->got != r->download || r->sent != r->upload)
            fail_msg("seed %llu: request %u: got %zu of %zu, sent %zu of %zu, failed %d",
                     (unsigned long long)world->seed, i, r->got, r->download, r->sent, r->upload,
                     client->failed);
    }
    sim_peer_close(world->sim, client->fd, reset);
    client->fd = -1;
    nghttp2_session_del(client->ng);
    free(client->out);
}

static void client_write(struct world *world, struct client *client)
{
    const uint8_t *data;
    ssize_t n;
    while (client->out_len < OUT_MAX / 2 && (n = nghttp2_session_mem_send(client->ng, &data)) > 0) {
        memcpy(client->out + client->out_len, data, (size_t)n);
        client->out_len += (size_t)n;
    }
    if (client->out_len == 0)
        return;
    n = sim_peer_write(world->sim, client->fd, client->out,
                       1 + rand_below(&world->rand, (uint32_t)client->out_len));
    if (n <= 0)
        return;
    client->out_len -= (size_t)n;
    memmove(client->out, client->out + n, client->out_len);
}

static void client_turn(struct world *world, struct client *client)
{
    uint8_t data[9000];
    if (client->begun < client->total && chance(world, 4))
        client_request(world, client);
    if (chance(world, 2))
        client_write(world, client);
    if (world->chaos && chance(world, 3000)) {
        client_close(world, client, chance(world, 2));
        return;
    }
    if (chance(world, 3))
        return;
    ssize_t n =
        sim_peer_read(world->sim, client->fd, data, 1 + rand_below(&world->rand, sizeof(data) - 1));
    if (n > 0 && nghttp2_session_mem_recv(client->ng, data, (size_t)n) != n)
        fail_msg("seed %llu: bad frames", (unsigned long long)world->seed);
    if (n < 0 || (n == 0 && sim_peer_is_ended(world->sim, client->fd)))
        client_close(world, client, n < 0);
    else if (client_is_done(client) && chance(world, 10))
        client_close(world, client, false);
}

static void run_world(uint64_t seed)
{
    static struct world world;
    world = (struct world){.seed = seed, .chaos = seed % 2 == 1};
    rand_seed(&world.rand, seed * 7919 + 3);
    world.resets = world.chaos && chance(&world, 3);
    http_limits_default(&world.limits);
    world.limits.head_timeout_ns = world.limits.body_timeout_ns = 0;
    world.limits.h2_window_bytes = chance(&world, 2) ? 1u << 20 : 65536;
    const struct loop_options options = {
        .conns_max = 16,
        .blocks_max = world.chaos && chance(&world, 3) ? 40 : 4096,
    };
    const struct sim_options sim_options = {.seed = seed + 1, .resets = world.resets};
    dlist_init(&world.calls);
    assert_int_equal(sim_loop_new(&world.loop, &options, sim_options), 0);
    world.sim = sim_of(world.loop);
    world.pool = h2_server_pool_new(world.loop, CLIENTS_MAX);
    struct acceptor *acceptor =
        acceptor_start(world.loop, sim_listener(world.sim), on_accept, &world);
    world.client_count = 1 + rand_below(&world.rand, CLIENTS_MAX);
    for (unsigned i = 0; i < world.client_count; i++)
        client_open(&world, &world.clients[i]);
    bool busy = true;
    for (unsigned turns = 0; busy || world.loop->conns > 0; turns++) {
        busy = false;
        for (unsigned i = 0; i < world.client_count; i++) {
            if (world.clients[i].fd >= 0)
                client_turn(&world, &world.clients[i]);
            busy |= world.clients[i].fd >= 0;
        }
        calls_turn(&world);
        loop_turn(world.loop, 5 * NS_PER_MS);
        if (turns > TURNS_MAX)
            fail_msg("seed %llu: stuck, %u conns", (unsigned long long)seed, world.loop->conns);
    }
    calls_turn(&world);
    assert_true(dlist_is_empty(&world.calls));
    assert_int_equal(world.arenas, 0);
    assert_int_equal(block_in_use(world.loop->blocks), 0);
    assert_int_equal(sim_open(world.sim), 0);
    h2_server_pool_free(world.pool);
    acceptor_stop(acceptor);
    loop_free(world.loop);
}

static void test_worlds(void **state)
{
    (void)state;
    sim_each_seed(SEEDS, run_world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
