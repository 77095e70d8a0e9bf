/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "io/acceptor.h"
#include "io/conn.h"
#include "io/relay.h"
#include "t/sim/engine_sim.h"

/* Conns, acceptors and relays over the simulated engine, one world a seed.
 * Far clients send a pattern; what comes back must be that pattern from its
 * beginning, and all of it when nothing failed. In the end nothing may be left: loop_free
 * asserts on conns, relays and blocks, the sanitizer on the rest. */

#define CLIENTS_MAX 6
#define SESSIONS_MAX 16
#define TURNS_MAX 400000
#define SEEDS 2000

enum mode { MODE_ECHO, MODE_LAYERED, MODE_RELAY, MODE_CLOSER, MODE_CHAOS, MODES };

struct client {
    int fd; /* -1: done */
    size_t total, sent, got;
    bool finished;
};

struct session {
    struct conn_owner owner;
    struct relay_owner relay_owner;
    struct world *world;
    struct conn *conn; /* NULL: gone */
    struct conn *upstream; /* being dialled */
    struct conn_owner upstream_owner;
    bool paused;
};

struct world {
    uint64_t seed;
    enum mode mode;
    bool resets;
    struct loop *loop;
    struct sim *sim;
    struct rand_state rand;
    struct client clients[CLIENTS_MAX];
    unsigned client_count;
    int servers[CLIENTS_MAX]; /* far ends that echo for relays; -1: none */
    uint8_t held[CLIENTS_MAX][2000];
    size_t held_len[CLIENTS_MAX];
    struct session sessions[SESSIONS_MAX];
    unsigned session_count, failures;
};

static bool chance(struct world *world, uint32_t one_in)
{
    return rand_below(&world->rand, one_in) == 0;
}

static uint8_t pattern_at(size_t i)
{
    return (uint8_t)(i * 131 + i / 257);
}

/* A layer that mangles bytes both ways. */
struct mangle {
    struct layer layer;
};

static void mangle_on_open(struct layer *layer)
{
    layer_up_open(layer);
}

static void mangle_on_data(struct layer *layer, struct span data)
{
    uint8_t *copy = xmalloc(data.len);
    for (size_t i = 0; i < data.len; i++)
        copy[i] = (uint8_t)data.ptr[i] ^ 0x55;
    size_t half = data.len / 2;
    layer_up_data(layer, span_make(copy, half));
    layer_up_data(layer, span_make(copy + half, data.len - half));
    free(copy);
}

static void mangle_on_end(struct layer *layer)
{
    layer_up_end(layer);
}

static int mangle_write(struct layer *layer, const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i++) {
        uint8_t *copy = xmalloc(iov[i].iov_len);
        for (size_t at = 0; at < iov[i].iov_len; at++)
            copy[at] = ((const uint8_t *)iov[i].iov_base)[at] ^ 0x55;
        struct iovec out = {.iov_base = copy, .iov_len = iov[i].iov_len};
        int rc = layer_down_write(layer, &out, 1);
        free(copy);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void mangle_shutdown(struct layer *layer)
{
    layer_down_shutdown(layer);
}

static void mangle_free(struct layer *layer)
{
    free(container_of(layer, struct mangle, layer));
}

static const struct layer_ops mangle_ops = {
    .name = "mangle",
    .on_open = mangle_on_open,
    .on_data = mangle_on_data,
    .on_end = mangle_on_end,
    .write = mangle_write,
    .shutdown = mangle_shutdown,
    .free = mangle_free,
};

/* Owners. */

static void meddle(struct session *session)
{
    struct world *world = session->world;
    struct conn *conn = session->conn;
    switch (rand_below(&world->rand, 40)) {
    case 0:
        session->conn = NULL;
        conn_close(conn, chance(world, 2));
        break;
    case 1:
        session->conn = NULL;
        conn_abort(conn);
        break;
    case 2:
        conn_shutdown(conn);
        break;
    case 3:
    case 4:
        conn_set_rx_mode(conn, chance(world, 2) ? CONN_RX_BULK : CONN_RX_INTERACTIVE);
        break;
    case 5:
    case 6:
        session->paused = true;
        conn_pause_input(conn);
        break;
    case 7:
        conn_flush(conn);
        break;
    case 8:
        conn_set_deadline(conn,
                          world->loop->clock.mono_ns + 1 + rand_below(&world->rand, 1u << 24));
        break;
    case 9: {
        uint8_t *room = conn_reserve(conn, 5000);
        if (!room)
            break;
        memset(room, 'r', 5000);
        if (conn_commit(conn, chance(world, 2) ? 0 : 5000) < 0)
            world->failures++; /* also told by on_close */
        break;
    }
    default:
        break;
    }
}

static void session_on_data(struct conn_owner *owner, struct conn *conn)
{
    struct session *session = container_of(owner, struct session, owner);
    struct world *world = session->world;
    struct span in = conn_input(conn);
    assert_true(in.len > 0);
    if (world->mode == MODE_CLOSER) {
        session->conn = NULL;
        if (conn_write_span(conn, SPAN_LIT("bye")) < 0)
            world->failures++;
        conn_close(conn, true);
        return;
    }
    if (world->mode == MODE_RELAY)
        return; /* until the upstream is there */
    size_t n = in.len;
    if (chance(world, 4) && !conn_is_ended(conn))
        n = rand_below(&world->rand, (uint32_t)n + 1); /* the rest later */
    if (n > 0 && conn_write_span(conn, span_make(in.ptr, n)) < 0)
        world->failures++;
    conn_consume(conn, n);
    if (conn_is_congested(conn) || chance(world, 6)) {
        session->paused = true;
        conn_pause_input(conn);
    }
    if (world->mode == MODE_CHAOS)
        meddle(session);
}

static void session_on_end(struct conn_owner *owner, struct conn *conn)
{
    struct session *session = container_of(owner, struct session, owner);
    struct world *world = session->world;
    if (world->mode == MODE_RELAY)
        return;
    struct span in = conn_input(conn);
    if (in.len > 0 && conn_write_span(conn, in) < 0)
        world->failures++;
    session->conn = NULL;
    conn_close(conn, chance(world, 2));
}

static void session_on_drain(struct conn_owner *owner, struct conn *conn)
{
    struct session *session = container_of(owner, struct session, owner);
    session->paused = false;
    conn_resume_input(conn);
}

static void session_on_timeout(struct conn_owner *owner, struct conn *conn)
{
    struct session *session = container_of(owner, struct session, owner);
    assert_int_equal(session->world->mode, MODE_CHAOS);
    session->conn = NULL;
    conn_close(conn, true);
}

static void session_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    struct session *session = container_of(owner, struct session, owner);
    assert_ptr_equal(session->conn, conn);
    assert_true(error < 0);
    session->conn = NULL;
    session->world->failures++;
    if (session->upstream) {
        conn_abort(session->upstream);
        session->upstream = NULL;
    }
}

static const struct conn_owner_ops session_ops = {
    .name = "session",
    .on_data = session_on_data,
    .on_end = session_on_end,
    .on_drain = session_on_drain,
    .on_timeout = session_on_timeout,
    .on_close = session_on_close,
};

static void on_relay_end(struct relay_owner *owner, enum relay_end end, int error,
                         uint64_t bytes_ab, uint64_t bytes_ba)
{
    (void)error;
    (void)bytes_ab;
    (void)bytes_ba;
    struct session *session = container_of(owner, struct session, relay_owner);
    if (end != RELAY_END_DONE)
        session->world->failures++;
}

static void upstream_on_open(struct conn_owner *owner, struct conn *conn)
{
    struct session *session = container_of(owner, struct session, upstream_owner);
    session->upstream = NULL;
    struct relay *relay = relay_start(session->conn, conn, 60 * NS_PER_S, &session->relay_owner);
    assert_non_null(relay);
    session->conn = NULL;
}

static void upstream_unexpected(struct conn_owner *owner, struct conn *conn)
{
    (void)owner;
    (void)conn;
    fail_msg("the relay owns the conn since it opened");
}

static void upstream_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    (void)conn;
    struct session *session = container_of(owner, struct session, upstream_owner);
    assert_true(error == -ECONNREFUSED || error == -ETIMEDOUT || error == -ECONNRESET);
    session->upstream = NULL;
    session->world->failures++;
    conn_abort(session->conn);
    session->conn = NULL;
}

static const struct conn_owner_ops upstream_ops = {
    .name = "upstream",
    .on_open = upstream_on_open,
    .on_data = upstream_unexpected,
    .on_end = upstream_unexpected,
    .on_close = upstream_on_close,
};

static void on_accept(struct acceptor *acceptor, struct conn *conn, void *user)
{
    (void)acceptor;
    struct world *world = user;
    assert_true(world->session_count < SESSIONS_MAX);
    struct session *session = &world->sessions[world->session_count++];
    *session = (struct session){
        .owner = {.ops = &session_ops},
        .relay_owner = {.on_end = on_relay_end},
        .upstream_owner = {.ops = &upstream_ops},
        .world = world,
        .conn = conn,
    };
    conn_set_owner(conn, &session->owner);
    if (world->mode == MODE_LAYERED) {
        struct mangle *mangle = xcalloc(1, sizeof(*mangle));
        mangle->layer.ops = &mangle_ops;
        conn_push_layer(conn, &mangle->layer);
    }
    if (chance(world, 3))
        conn_set_rx_mode(conn, CONN_RX_BULK);
    conn_start(conn);
    if (world->mode != MODE_RELAY)
        return;
    struct addr addr;
    assert_int_equal(addr_parse(SPAN_LIT("192.0.2.1:1"), &addr), 0);
    int error = 0;
    session->upstream =
        conn_dial(world->loop, &addr, 500 * NS_PER_MS, &session->upstream_owner, &error);
    if (!session->upstream) {
        assert_int_equal(error, -EMFILE);
        world->failures++;
        conn_abort(conn);
        session->conn = NULL;
    }
}

/* Far ends. */

static void client_check(const struct world *world, struct client *client, const uint8_t *data,
                         size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t want = pattern_at(client->got + i);
        if (world->mode == MODE_CLOSER)
            want = (uint8_t)"bye"[MIN(client->got + i, (size_t)3)];
        if (world->mode == MODE_CHAOS && data[i] == 'r')
            continue; /* its own output is somewhere between */
        if (world->mode != MODE_CHAOS && data[i] != want)
            fail_msg("seed %llu: wrong byte at %zu", (unsigned long long)world->seed,
                     client->got + i);
    }
    client->got += len;
}

static void client_done(struct world *world, struct client *client, bool reset)
{
    bool complete = client->got == (world->mode == MODE_CLOSER ? 3 : client->total);
    if (world->mode != MODE_CHAOS && !world->resets && world->failures == 0 &&
        (!complete || (reset && world->mode != MODE_CLOSER)))
        fail_msg("seed %llu: client ended at %zu of %zu, reset %d",
                 (unsigned long long)world->seed, client->got, client->total, reset);
    sim_peer_close(world->sim, client->fd, false);
    client->fd = -1;
}

static void client_turn(struct world *world, struct client *client)
{
    uint8_t data[3000];
    if (client->sent < client->total && !chance(world, 3)) {
        size_t len = client->total - client->sent;
        len = MIN(len, 1 + rand_below(&world->rand, sizeof(data)));
        for (size_t i = 0; i < len; i++)
            data[i] = pattern_at(client->sent + i);
        ssize_t n = sim_peer_write(world->sim, client->fd, data, len);
        client->sent += n > 0 ? (size_t)n : 0;
    } else if (client->sent == client->total && !client->finished && chance(world, 5)) {
        sim_peer_finish(world->sim, client->fd);
        client->finished = true;
    }
    if (chance(world, 3))
        return;
    ssize_t n = sim_peer_read(world->sim, client->fd, data,
                              1 + rand_below(&world->rand, sizeof(data) - 1));
    if (n > 0)
        client_check(world, client, data, (size_t)n);
    else if (n < 0)
        client_done(world, client, true);
    else if (sim_peer_is_ended(world->sim, client->fd))
        client_done(world, client, false);
}

/* Echoes, then ends when the other side has. */
static void server_turn(struct world *world, unsigned i)
{
    int fd = world->servers[i];
    uint8_t *held = world->held[i];
    size_t *len = &world->held_len[i];
    if (*len == 0) {
        ssize_t n = sim_peer_read(world->sim, fd, held, sizeof(world->held[i]));
        if (n < 0 || (n == 0 && sim_peer_is_ended(world->sim, fd))) {
            sim_peer_close(world->sim, fd, false);
            world->servers[i] = -1;
            return;
        }
        *len = (size_t)n;
    }
    if (*len == 0)
        return;
    ssize_t n = sim_peer_write(world->sim, fd, held, *len);
    if (n < 0) {
        sim_peer_close(world->sim, fd, false);
        world->servers[i] = -1;
        return;
    }
    memmove(held, held + n, *len - (size_t)n);
    *len -= (size_t)n;
}

static bool far_turn(struct world *world)
{
    bool busy = false;
    for (unsigned i = 0; i < world->client_count; i++) {
        if (world->clients[i].fd < 0)
            continue;
        client_turn(world, &world->clients[i]);
        busy = true;
    }
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        if (world->servers[i] < 0) {
            world->servers[i] = sim_peer_accept(world->sim);
            world->held_len[i] = 0;
        }
        if (world->servers[i] >= 0) {
            server_turn(world, i);
            busy = true;
        }
    }
    for (unsigned i = 0; i < world->session_count; i++) {
        struct session *session = &world->sessions[i];
        if (session->paused && session->conn && chance(world, 10)) {
            session->paused = false;
            conn_resume_input(session->conn);
        }
    }
    return busy;
}

static void run_world(uint64_t seed)
{
    static struct world world;
    world = (struct world){.seed = seed, .mode = (enum mode)(seed % MODES)};
    rand_seed(&world.rand, seed * 7919 + 1);
    world.resets = chance(&world, 3);
    const struct loop_options options = {
        .conns_max = 64,
        .blocks_max = world.mode == MODE_CHAOS && chance(&world, 2) ? 12 : 1024,
    };
    const struct sim_options sim_options = {.seed = seed + 1, .resets = world.resets};
    assert_int_equal(sim_loop_new(&world.loop, &options, sim_options), 0);
    world.sim = sim_of(world.loop);
    struct acceptor *acceptor =
        acceptor_start(world.loop, sim_listener(world.sim), on_accept, &world);
    assert_non_null(acceptor);
    world.client_count = 1 + rand_below(&world.rand, CLIENTS_MAX);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        world.servers[i] = -1;
    for (unsigned i = 0; i < world.client_count; i++) {
        size_t max = world.mode == MODE_CLOSER ? 20000 : chance(&world, 4) ? 300000 : 20000;
        world.clients[i] = (struct client){
            .fd = sim_peer_connect(world.sim),
            .total = 1 + rand_below(&world.rand, (uint32_t)max),
        };
    }
    unsigned turns = 0;
    while (far_turn(&world) || world.loop->conns > 0) {
        loop_turn(world.loop, 10 * NS_PER_MS);
        if (++turns > TURNS_MAX)
            fail_msg("seed %llu: stuck, %u conns", (unsigned long long)seed, world.loop->conns);
    }
    assert_int_equal(block_in_use(world.loop->blocks), 0);
    assert_int_equal(sim_open(world.sim), 0);
    acceptor_stop(acceptor);
    loop_free(world.loop);
}

static void test_worlds(void **state)
{
    (void)state;
    sim_each_seed(SEEDS, run_world);
}

/* A loop is freed while everything is under way. */
static void test_free_in_the_middle(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        static struct world world;
        world = (struct world){.seed = seed, .mode = MODE_ECHO};
        rand_seed(&world.rand, seed);
        const struct loop_options options = {.conns_max = 64, .blocks_max = 256};
        assert_int_equal(
            sim_loop_new(&world.loop, &options, (struct sim_options){.seed = seed}), 0);
        world.sim = sim_of(world.loop);
        struct acceptor *acceptor =
            acceptor_start(world.loop, sim_listener(world.sim), on_accept, &world);
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
            world.servers[i] = -1;
        world.client_count = CLIENTS_MAX;
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
            world.clients[i] =
                (struct client){.fd = sim_peer_connect(world.sim), .total = 200000};
        for (uint64_t turn = 0; turn < seed; turn++) {
            (void)far_turn(&world); /* all are busy */
            loop_turn(world.loop, NS_PER_MS);
        }
        acceptor_stop(acceptor);
        loop_free(world.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worlds),
        cmocka_unit_test(test_free_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
