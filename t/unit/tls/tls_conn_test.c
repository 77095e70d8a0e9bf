/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls_fixture.h"

#include "t/unit/io/io_fixture.h"

/* Both layers over real sockets, on every engine. */

struct world {
    struct loop *loop;
    struct tls_worker *worker;
    struct tls_server_spec *server_spec;
    struct acceptor *acceptor;
    struct addr addr;
    struct recorder server, client;
    int depth; /* TLS layers on each side */
};

static void accept_tls(struct acceptor *acceptor, struct conn *conn, void *user)
{
    struct world *world = user;
    for (int i = 0; i < world->depth; i++) {
        struct layer *layer = tls_server_layer_new(world->worker, world->server_spec, FIXTURE_ALPN);
        assert_non_null(layer);
        conn_push_layer(conn, layer);
    }
    recorder_accept(acceptor, conn, &world->server);
}

static void world_begin(struct world *world, enum loop_engine engine, const char *hostname,
                        bool validate)
{
    struct model_cert cert = fixture_model_cert(&fix.a_ec);
    struct model_listener listener = {
        .id = SPAN_LIT("ns/gw/l"),
        .protocol = MODEL_PROTOCOL_HTTPS,
        .hostname = span_str(hostname),
        .certs = &cert,
        .certs_count = 1,
        .frontend = {.validate = validate, .ca_pem = fix.ca.cert_pem},
    };
    const struct model_listener *listeners[] = {&listener};
    memset(world, 0, sizeof(*world));
    world->depth = 1;
    world->loop = fixture_loop(engine);
    world->worker = tls_worker_new(world->loop, NULL);
    assert_non_null(world->worker);
    world->server_spec = tls_server_compile(listeners, 1, NULL, NULL);
    assert_non_null(world->server_spec);
    int fd = fixture_listen(&world->addr);
    world->acceptor = acceptor_start(world->loop, fd, accept_tls, world);
    assert_non_null(world->acceptor);
    recorder_init(&world->server);
    recorder_init(&world->client);
}

static void world_dial(struct world *world, const struct model_backend_tls *tls)
{
    struct tls_client_spec *spec;
    int error = 0;
    assert_int_equal(tls_client_compile(tls, &spec, NULL), 0);
    world->client.conn =
        conn_dial(world->loop, &world->addr, 10 * NS_PER_S, &world->client.owner, &error);
    assert_non_null(world->client.conn);
    for (int i = 0; i < world->depth; i++) {
        struct layer *layer = tls_client_layer_new(world->worker, spec, SPAN_LIT("http/1.1"));
        assert_non_null(layer);
        conn_push_layer(world->client.conn, layer);
    }
    tls_client_spec_free(spec); /* not needed any more */
}

static void world_end(struct world *world)
{
    recorder_fini(&world->server);
    recorder_fini(&world->client);
    acceptor_stop(world->acceptor);
    loop_free(world->loop);
    tls_server_spec_free(world->server_spec);
    tls_worker_free(world->worker);
}

static struct model_backend_tls good_backend(void)
{
    return (struct model_backend_tls){.server_name = SPAN_LIT("a.example"),
                                      .ca_pem = fix.ca.cert_pem};
}

#define ECHO_BYTES (1u << 20)

static void echo(enum loop_engine engine, enum conn_rx_mode mode, int depth, const uint8_t *data)
{
    struct world world;
    world_begin(&world, engine, "", false);
    world.depth = depth;
    world.server.echo = true;
    struct model_backend_tls tls = good_backend();
    world_dial(&world, &tls);
    FIXTURE_UNTIL(world.loop, world.client.opens && world.server.opens);
    conn_set_rx_mode(world.client.conn, mode);
    conn_set_rx_mode(world.server.conn, mode);
    assert_true(tls_info_of(world.client.conn)->peer_verified);
    assert_false(conn_is_plain(world.client.conn));
    for (size_t sent = 0; sent < ECHO_BYTES;) {
        size_t len = MIN((size_t)40000, ECHO_BYTES - sent);
        FIXTURE_UNTIL(world.loop, !conn_is_congested(world.client.conn));
        assert_int_equal(conn_write_span(world.client.conn, span_make(data + sent, len)), 0);
        sent += len;
    }
    FIXTURE_UNTIL(world.loop, world.client.len == ECHO_BYTES);
    assert_memory_equal(world.client.data, data, ECHO_BYTES);

    conn_shutdown(world.client.conn);
    FIXTURE_UNTIL(world.loop, world.server.ends);
    assert_false(tls_info_of(world.server.conn)->truncated);
    conn_shutdown(world.server.conn);
    FIXTURE_UNTIL(world.loop, world.client.ends);
    assert_int_equal(world.client.closes + world.server.closes, 0);
    world_end(&world);
}

static void test_echo(void **state)
{
    (void)state;
    uint8_t *data = xmalloc(ECHO_BYTES);
    for (size_t i = 0; i < ECHO_BYTES; i++)
        data[i] = (uint8_t)(i * 13 + (i >> 10));
    FIXTURE_EACH_ENGINE(engine)
    {
        echo(engine, CONN_RX_INTERACTIVE, 1, data);
        echo(engine, CONN_RX_BULK, 1, data);
        echo(engine, CONN_RX_BULK, 2, data); /* TLS inside TLS */
    }
    free(data);
}

/* The last bytes, close_notify and FIN come in one go: nothing is lost. */
static void test_write_and_close(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct world world;
        world_begin(&world, engine, "", false);
        struct model_backend_tls tls = good_backend();
        world_dial(&world, &tls);
        FIXTURE_UNTIL(world.loop, world.client.opens && world.server.opens);
        assert_int_equal(conn_write_span(world.server.conn, SPAN_LIT("good bye")), 0);
        conn_close(world.server.conn, true);
        world.server.conn = NULL;
        FIXTURE_UNTIL(world.loop, world.client.ends);
        assert_int_equal(world.client.len, 8);
        assert_memory_equal(world.client.data, "good bye", 8);
        assert_false(tls_info_of(world.client.conn)->truncated);
        world_end(&world);
    }
}

#define RECORD_OVERHEAD 22u /* TLS 1.3 */

/* What is written in a turn goes out in order, small pieces in one record. */
static void test_writes_of_a_turn_share_a_record(void **state)
{
    static uint8_t large[20000];
    (void)state;
    memset(large, 'x', sizeof(large));
    FIXTURE_EACH_ENGINE(engine)
    {
        struct world world;
        world_begin(&world, engine, "", false);
        struct model_backend_tls tls = good_backend();
        world_dial(&world, &tls);
        FIXTURE_UNTIL(world.loop, world.client.opens && world.server.opens);
        struct conn *conn = world.server.conn;
        FIXTURE_UNTIL(world.loop, conn_queued(conn) == 0);
        uint64_t before = conn_bytes_out(conn);
        assert_int_equal(conn_write_span(conn, SPAN_LIT("he")), 0);
        memcpy(conn_reserve(conn, 2), "ad", 2);
        assert_int_equal(conn_commit(conn, 2), 0);
        assert_int_equal(conn_write_span(conn, SPAN_LIT("")), 0);
        assert_int_equal(conn_write_span(conn, SPAN_LIT("body")), 0);
        assert_int_equal(conn_queued(conn), 8);
        FIXTURE_UNTIL(world.loop, world.client.len == 8);
        assert_memory_equal(world.client.data, "headbody", 8);
        assert_int_equal(conn_bytes_out(conn) - before, 8 + RECORD_OVERHEAD);

        /* A whole block begins a new one; a large piece takes along what is before it. */
        size_t expected = 8;
        for (int i = 0; i < 3; i++) {
            memset(conn_reserve(conn, BLOCK_SIZE), 'a' + i, BLOCK_SIZE);
            assert_int_equal(conn_commit(conn, BLOCK_SIZE - 1), 0);
            assert_int_equal(conn_write_span(conn, SPAN_LIT("small")), 0);
            assert_int_equal(conn_write_span(conn, span_make(large, sizeof(large))), 0);
            expected += BLOCK_SIZE - 1 + 5 + sizeof(large);
        }
        assert_int_equal(conn_write_span(conn, SPAN_LIT("end")), 0);
        conn_shutdown(conn);
        FIXTURE_UNTIL(world.loop, world.client.ends);
        assert_int_equal(world.client.len, expected + 3);
        for (size_t i = 0, at = 8; i < 3; i++, at += BLOCK_SIZE + 4 + sizeof(large)) {
            assert_int_equal(world.client.data[at], 'a' + i);
            assert_int_equal(world.client.data[at + BLOCK_SIZE - 2], 'a' + i);
            assert_memory_equal(world.client.data + at + BLOCK_SIZE - 1, "smallx", 6);
        }
        assert_memory_equal(world.client.data + expected - 1, "xend", 4);
        assert_int_equal(block_in_use(world.loop->blocks), 0);
        world_end(&world);
    }
}

struct failure {
    const char *hostname; /* of the listener */
    bool validate, wrong_ca;
    const char *client_text, *server_text;
};

/* The alert reaches the other side, which can say why it was refused. */
static void test_failures_are_told(void **state)
{
    static const struct failure cases[] = {
        {"", false, true, "TLS: certificate verify failed: unable to get local issuer certificate",
         "TLS: peer alert: unknown ca"},
        {"b.example", false, false, "TLS: peer alert: unrecognized name",
         "TLS: unrecognized server name"},
        {"", true, false, "TLS: peer alert: certificate required",
         "TLS: the peer sent no certificate"},
    };
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
            struct world world;
            world_begin(&world, engine, cases[i].hostname, cases[i].validate);
            struct model_backend_tls tls = good_backend();
            if (cases[i].wrong_ca)
                tls.ca_pem = fix.other_ca.cert_pem;
            world_dial(&world, &tls);
            FIXTURE_UNTIL(world.loop, world.client.closes && world.server.closes);
            assert_int_equal(world.client.error, -EPROTO);
            assert_int_equal(world.server.error, -EPROTO);
            /* The recorder keeps the beginning. */
            assert_memory_equal(world.client.text, cases[i].client_text,
                                MIN(strlen(cases[i].client_text), sizeof(world.client.text) - 1));
            assert_string_equal(world.server.text, cases[i].server_text);
            assert_int_equal(world.server.opens, 0);
            world_end(&world);
        }
    }
}

static void test_plain_client_and_silence(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct world world;
        world_begin(&world, engine, "", false);
        int fd = fixture_connect(&world.addr);
        assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
        FIXTURE_UNTIL(world.loop, world.server.closes);
        assert_string_equal(world.server.text, "TLS: the client speaks plain HTTP");
        close(fd);

        recorder_init(&world.server);
        fd = fixture_connect(&world.addr); /* says nothing: the owner's deadline ends it */
        FIXTURE_UNTIL(world.loop, world.server.conn);
        conn_set_deadline(world.server.conn, world.loop->clock.mono_ns + NS_PER_MS);
        FIXTURE_UNTIL(world.loop, world.server.timeouts);
        conn_close(world.server.conn, false);
        world.server.conn = NULL;
        char byte;
        FIXTURE_UNTIL(world.loop, recv(fd, &byte, 1, MSG_DONTWAIT) == 0);
        close(fd);
        world_end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_write_and_close),
        cmocka_unit_test(test_writes_of_a_turn_share_a_record),
        cmocka_unit_test(test_failures_are_told),
        cmocka_unit_test(test_plain_client_and_silence),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
