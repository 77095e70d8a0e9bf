/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls_double.h"

#include <malloc.h>
#include <pthread.h>

/* Bytes: how they are cut, spoiled, ended and refused. */

static void test_handshake_and_data(void **state)
{
    static const size_t chunks[] = {1, 7, 4096, 1u << 20};
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *client = client_plain();
    for (size_t i = 0; i < ARRAY_COUNT(chunks); i++) {
        struct pair pair;
        pair_begin(&pair, worker, server, client);
        conn_pump(&pair.client, &pair.server, chunks[i]);
        assert_true(pair.client.open && pair.server.open);
        const struct tls_info *info = tls_info_of(&pair.server);
        assert_true(span_equal_str(info->server_name, "a.example"));
        assert_true(span_equal_str(info->listener_id, "ns/gw/a"));
        assert_true(span_equal_str(info->alpn, "http/1.1"));
        assert_string_equal(info->version, "TLSv1.3");
        assert_false(info->peer_cert || info->peer_verified);
        info = tls_info_of(&pair.client);
        assert_true(info->peer_verified && span_equal_str(info->peer_dns, "a.example"));
        assert_int_equal(info->peer_hash.len, 64);

        conn_say(&pair.client, "GET / HTTP");
        conn_pump(&pair.client, &pair.server, chunks[i]);
        assert_string_equal(buf_str(&pair.server.in), "GET / HTTP");
        static char answer[] = "answer";
        struct iovec iov[3] = {{answer, 2}, {answer + 2, 1}, {answer + 3, 3}};
        int writes = pair.server.writes;
        assert_int_equal(pair.server.layer->ops->write(pair.server.layer, iov, 3), 0);
        assert_int_equal(pair.server.writes, writes + 1);
        assert_int_equal(pair.server.out.len, 5 + 6 + 1 + 16); /* one record */
        conn_pump(&pair.client, &pair.server, chunks[i]);
        assert_string_equal(buf_str(&pair.client.in), "answer");

        pair.client.layer->ops->shutdown(pair.client.layer);
        assert_true(pair.client.shut);
        conn_pump(&pair.client, &pair.server, chunks[i]);
        assert_true(pair.server.ended && !tls_info_of(&pair.server)->truncated);
        conn_say(&pair.server, "late"); /* half-closed */
        conn_pump(&pair.client, &pair.server, chunks[i]);
        assert_string_equal(buf_str(&pair.client.in), "answerlate");
        pair.server.layer->ops->on_end(pair.server.layer); /* FIN after close_notify: nothing new */
        pair.client.layer->ops->on_end(pair.client.layer);
        assert_true(pair.client.ended && tls_info_of(&pair.client)->truncated);
        pair_end(&pair);
    }
    tls_server_spec_free(server);
    tls_client_spec_free(client);
}

/* The client's Finished, its first request and close_notify in one receive. */
static void test_all_in_the_last_flight(void **state)
{
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *client = client_plain();
    struct pair pair;
    pair_begin(&pair, worker, server, client);
    conn_move(&pair.client, &pair.server, 1u << 20);
    conn_move(&pair.server, &pair.client, 1u << 20);
    assert_true(pair.client.open && !pair.server.open);
    conn_say(&pair.client, "request");
    pair.client.layer->ops->shutdown(pair.client.layer);
    conn_move(&pair.client, &pair.server, 1u << 20);
    assert_true(pair.server.open && pair.server.ended);
    assert_string_equal(buf_str(&pair.server.in), "request");
    conn_say(&pair.server, "answer");
    conn_move(&pair.server, &pair.client, 1u << 20);
    assert_string_equal(buf_str(&pair.client.in), "answer");
    pair_end(&pair);
    tls_server_spec_free(server);
    tls_client_spec_free(client);
}

/* A ClientHello for a new server conn; what follows it comes with it or alone. */
static void hello_begin(struct pair *pair, const struct tls_server_spec *server,
                        const struct tls_client_spec *client, struct span rest, bool alone)
{
    pair_begin(pair, worker, server, client);
    struct buf *out = &pair->client.out;
    if (!alone) {
        buf_add_span(out, rest);
        rest = SPAN_NONE;
    }
    pair->server.layer->ops->on_data(pair->server.layer, buf_span(out));
    buf_reset(out);
    if (rest.len > 0)
        pair->server.layer->ops->on_data(pair->server.layer, rest);
    assert_false(pair->server.writes > 0 || pair->server.open);
}

#define HELD_MAX (2 * BLOCK_SIZE)
#define CHANGE_CIPHER_SPEC "\x14\x03\x03\x00\x01\x01" /* allowed there by RFC 8446 D.4 */

/* Nothing is answered before the slow work of the turn; what comes meanwhile is kept. */
static void test_hello_awaits_its_turn(void **state)
{
    enum { COUNT = 5 };
    static char flood[HELD_MAX + 1];
    struct pair pairs[COUNT];
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *client = client_plain();
    int64_t waiting = metric_get(METRIC_TLS_HANDSHAKES_WAITING);
    size_t blocks = block_in_use(loops[0].blocks);
    hello_begin(&pairs[0], server, client, SPAN_NONE, false);
    hello_begin(&pairs[1], server, client, SPAN_LIT(CHANGE_CIPHER_SPEC), false);
    hello_begin(&pairs[2], server, client, SPAN_LIT(CHANGE_CIPHER_SPEC), true);
    hello_begin(&pairs[3], server, client, SPAN_NONE, false);
    pairs[3].server.layer->ops->on_end(pairs[3].server.layer);
    hello_begin(&pairs[4], server, client, span_make(flood, HELD_MAX), true);
    assert_int_equal(pairs[4].server.error, 0);
    pairs[4].server.layer->ops->on_data(pairs[4].server.layer, SPAN_LIT("x"));
    assert_string_equal(pairs[4].server.text, "TLS: more than the handshake allows");
    assert_int_equal(metric_get(METRIC_TLS_HANDSHAKES_WAITING), waiting + COUNT);

    conn_run_slow();
    assert_int_equal(metric_get(METRIC_TLS_HANDSHAKES_WAITING), waiting);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(pairs[i].server.writes, i < 3);
        conn_pump(&pairs[i].client, &pairs[i].server, 1u << 20);
        assert_int_equal(pairs[i].server.open, i < 3);
        pair_end(&pairs[i]);
    }
    assert_int_equal(block_in_use(loops[0].blocks), blocks);

    /* Gone before its turn. */
    hello_begin(&pairs[0], server, client, SPAN_LIT(CHANGE_CIPHER_SPEC), true);
    pair_end(&pairs[0]);
    assert_int_equal(metric_get(METRIC_TLS_HANDSHAKES_WAITING), waiting);
    assert_true(dlist_is_empty(&slow));
    assert_int_equal(block_in_use(loops[0].blocks), blocks);
    tls_server_spec_free(server);
    tls_client_spec_free(client);
}

static void test_large_transfer(void **state)
{
    const size_t size = 1u << 20;
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *client = client_plain();
    struct pair pair;
    char *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 31 + (i >> 12));
    pair_begin(&pair, worker, server, client);
    conn_pump(&pair.client, &pair.server, 1u << 20);
    /* Pieces that do not fall on record boundaries. */
    struct iovec iov[4] = {
        {data, 100}, {data + 100, 16384}, {data + 16484, 500000}, {data + 516484, size - 516484}};
    assert_int_equal(pair.server.layer->ops->write(pair.server.layer, iov, 4), 0);
    conn_pump(&pair.client, &pair.server, 5000);
    assert_int_equal(pair.client.in.len, size);
    assert_memory_equal(pair.client.in.data, data, size);
    pair_end(&pair);
    free(data);
    tls_server_spec_free(server);
    tls_client_spec_free(client);
}

static void test_garbage(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "TLS: the client speaks plain HTTP"},
        {"HTTP/1.1 200 OK\r\n\r\n", "TLS: what came is not TLS"},
        {"\x16\x03\x01\xff\xff"
         "aaaaaaaaaaaaaaaaa",
         NULL},
        {"\x17\x03\x03\x01\x01"
         "aaaaaaaaaaaaaaaaaaaaaa",
         NULL},
        {"\x15\x03\x03\x01\x02\x02\x28", NULL},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "TLS: what came is not TLS"},
    };
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *client = client_plain();
    for (size_t i = 0; i < 2 * ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct layer *layer = i & 1 ? tls_client_layer_new(worker, client, SPAN_NONE)
                                    : tls_server_layer_new(worker, server, FIXTURE_ALPN);
        conn_begin(&conn, layer);
        buf_reset(&conn.out);
        conn.layer->ops->on_data(conn.layer, span_str(cases[i / 2].bytes));
        conn.layer->ops->on_end(conn.layer);
        assert_false(conn.open || conn.ended);
        assert_true(conn.error == -EPROTO || conn.error == -ECONNRESET);
        assert_true(strncmp(conn.text, "TLS: ", 5) == 0);
        if (cases[i / 2].text && !(i & 1))
            assert_string_equal(conn.text, cases[i / 2].text);
        /* Nothing more is taken. */
        conn.layer->ops->on_data(conn.layer, SPAN_LIT("more"));
        conn.layer->ops->shutdown(conn.layer);
        struct iovec iov = {(void *)(uintptr_t) "x", 1};
        assert_int_equal(conn.layer->ops->write(conn.layer, &iov, 1), -EPIPE);
        conn_end(&conn);
    }
    tls_server_spec_free(server);
    tls_client_spec_free(client);
}

/* A flipped bit anywhere ends the handshake or the connection; never a crash, never wrong
 * plaintext. */
static void test_flipped_bits(void **state)
{
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *client = client_plain();
    for (unsigned seed = 0; seed < 200; seed++) {
        struct pair pair;
        pair_begin(&pair, worker, server, client);
        for (int flight = 0; flight < 4; flight++) {
            struct conn *from = flight & 1 ? &pair.server : &pair.client;
            if (flight == (int)(seed & 3) && from->out.len > 0) {
                size_t at = (seed * 7919u) % from->out.len;
                from->out.data[at] = (char)(from->out.data[at] ^ (1 << (seed % 8)));
            }
            conn_move(from, flight & 1 ? &pair.client : &pair.server, 1000);
        }
        if (pair.client.open && pair.server.open && !pair.client.error && !pair.server.error) {
            conn_say(&pair.client, "plain");
            size_t at = (seed * 104729u) % pair.client.out.len;
            pair.client.out.data[at] = (char)(pair.client.out.data[at] ^ 0x40);
            conn_pump(&pair.client, &pair.server, 1000);
            assert_int_equal(pair.server.in.len, 0);
        }
        pair_end(&pair);
    }
    tls_server_spec_free(server);
    tls_client_spec_free(client);
}

static void test_renegotiation_is_refused(void **state)
{
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct conn conn;
    struct raw raw;
    raw_init(&raw, TLS1_2_VERSION, NULL);
    raw_dial(&raw, &conn, worker, server, "a.example");
    assert_true(conn.open && raw.open);
    assert_int_equal(SSL_renegotiate(raw.ssl), 1);
    SSL_do_handshake(raw.ssl);
    raw_pump(&raw, &conn);
    assert_int_equal(raw.error, SSL_R_NO_RENEGOTIATION);
    /* Refused with a warning: the connection lives on. */
    assert_true(conn.error == 0 || conn.error == -EPROTO);
    conn_end(&conn);
    raw_fini(&raw);
    tls_server_spec_free(server);
}

static void test_key_updates_are_limited(void **state)
{
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct conn conn;
    struct raw raw;
    raw_init(&raw, TLS1_3_VERSION, NULL);
    raw_dial(&raw, &conn, worker, server, "a.example");
    assert_true(conn.open && raw.open);
    int updates = 0;
    for (; updates < 100 && !conn.error; updates++) {
        assert_int_equal(SSL_key_update(raw.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(raw.ssl), 1);
        raw_pump(&raw, &conn);
    }
    assert_in_range(updates, 32, 34);
    assert_string_equal(conn.text, "TLS: too many key updates");
    conn_end(&conn);
    raw_fini(&raw);
    tls_server_spec_free(server);
}

static void test_versions(void **state)
{
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct conn conn;
    struct raw raw;
    raw_init(&raw, TLS1_1_VERSION, NULL);
    SSL_CTX_set_security_level(raw.ctx, 0);
    SSL_CTX_set_min_proto_version(raw.ctx, TLS1_VERSION);
    raw_dial(&raw, &conn, worker, server, "a.example");
    assert_false(conn.open);
    assert_string_equal(conn.text, "TLS: no protocol version in common");
    assert_int_equal(raw.error, SSL_AD_REASON_OFFSET + SSL_AD_PROTOCOL_VERSION);
    conn_end(&conn);
    raw_fini(&raw);
    tls_server_spec_free(server);
}

static void test_handshake_cut_short(void **state)
{
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *client = client_plain();
    int64_t errors = metric_get(METRIC_TLS_HANDSHAKE_ERRORS);
    struct pair pair;
    pair_begin(&pair, worker, server, client);
    conn_move(&pair.client, &pair.server, 10000);
    pair.server.layer->ops->on_end(pair.server.layer);
    assert_int_equal(pair.server.error, -ECONNRESET);
    pair_end(&pair);
    assert_int_equal(metric_get(METRIC_TLS_HANDSHAKE_ERRORS), errors + 1);
    pair_begin(&pair, worker, server, client); /* the owner's deadline: freed in the middle */
    conn_move(&pair.client, &pair.server, 10000);
    pair_end(&pair);
    assert_int_equal(metric_get(METRIC_TLS_HANDSHAKE_ERRORS), errors + 2);
    pair_begin(&pair, worker, server, client); /* a probe that sends nothing is no handshake */
    pair_end(&pair);
    assert_int_equal(metric_get(METRIC_TLS_HANDSHAKE_ERRORS), errors + 2);
    tls_server_spec_free(server);
    tls_client_spec_free(client);
}

/* --- what an idle connection costs --- */

static size_t heap_bytes;

static void *count_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    void *ptr = malloc(size);
    __atomic_add_fetch(&heap_bytes, malloc_usable_size(ptr), __ATOMIC_RELAXED);
    return ptr;
}

static void count_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    __atomic_sub_fetch(&heap_bytes, malloc_usable_size(ptr), __ATOMIC_RELAXED);
    free(ptr);
}

static void *count_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    __atomic_sub_fetch(&heap_bytes, malloc_usable_size(old), __ATOMIC_RELAXED);
    void *ptr = realloc(old, size);
    __atomic_add_fetch(&heap_bytes, malloc_usable_size(ptr), __ATOMIC_RELAXED);
    return ptr;
}

/* Two cipher contexts, which are the worker's: 1.9 KiB with OpenSSL 3.0. An SSL object that stays
 * adds 12 KiB and more, a record buffer 16. */
#define IDLE_BYTES_MAX 6144u

static void test_idle_conn_keeps_no_buffers(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;
    struct tls_server_spec *server = server_plain();
    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, versions[i], NULL);
        size_t before = heap_bytes;
        conn_begin(&conn, tls_server_layer_new(worker, server, FIXTURE_ALPN));
        assert_int_equal(heap_bytes, before); /* nothing before the first byte */
        conn_end(&conn);
        raw_dial(&raw, &conn, worker, server, "a.example");
        assert_true(conn.open);
        assert_int_equal(SSL_write(raw.ssl, "request", 7), 7);
        raw_pump(&raw, &conn);
        conn_say(&conn, "answer");
        before = heap_bytes;
        conn_end(&conn);
        print_message("# TLS %zu: %zu bytes\n", i + 2, before - heap_bytes);
        assert_in_range(before - heap_bytes, 1, IDLE_BYTES_MAX);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

/* --- workers in threads share specs and ticket keys --- */

#define THREADS 2
#define THREAD_HANDSHAKES 20

struct thread_run {
    const struct tls_server_spec *server;
    const struct tls_client_spec *client;
    unsigned opened;
};

static void *run_worker(void *user)
{
    struct thread_run *run = user;
    struct loop loop = {.conns_max = 16, .blocks = block_pool_new(4)};
    struct tls_worker *own = tls_worker_new(&loop, NULL);
    for (unsigned i = 0; own && i < THREAD_HANDSHAKES; i++) {
        struct pair pair;
        conn_begin(&pair.server, tls_server_layer_new(own, run->server, FIXTURE_ALPN));
        conn_begin(&pair.client, tls_client_layer_new(own, run->client, SPAN_LIT("http/1.1")));
        conn_pump(&pair.client, &pair.server, 4096);
        run->opened += pair.client.open && pair.server.open;
        pair_end(&pair);
    }
    tls_worker_free(own);
    block_pool_free(loop.blocks);
    return NULL;
}

static void test_workers_in_threads(void **state)
{
    struct thread_run runs[THREADS];
    pthread_t threads[THREADS];
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *client = client_plain();
    for (unsigned i = 0; i < THREADS; i++) {
        runs[i] = (struct thread_run){.server = server, .client = client};
        assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &runs[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++)
        tls_ticket_rotate();
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(runs[i].opened, THREAD_HANDSHAKES);
    }
    tls_server_spec_free(server);
    tls_client_spec_free(client);
}

int main(void)
{
    /* Before anything else of OpenSSL. */
    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_and_data),
        cmocka_unit_test(test_all_in_the_last_flight),
        cmocka_unit_test(test_hello_awaits_its_turn),
        cmocka_unit_test(test_large_transfer),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_renegotiation_is_refused),
        cmocka_unit_test(test_key_updates_are_limited),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_handshake_cut_short),
        cmocka_unit_test(test_idle_conn_keeps_no_buffers),
        cmocka_unit_test(test_workers_in_threads),
    };
    return cmocka_run_group_tests(tests, double_setup, double_teardown);
}
