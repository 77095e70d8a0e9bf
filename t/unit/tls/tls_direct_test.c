/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls_double.h"

#include "tls/secret.h"
#include "tls/tls_int.h"

/* What follows the handover from OpenSSL: our record layer against OpenSSL as the peer, and
 * against a peer that has the right keys and does what none should. */

struct suite {
    int version;
    const char *name;
};

static const struct suite suites[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

static struct tls_layer *inside(const struct conn *conn)
{
    return container_of(conn->layer, struct tls_layer, layer);
}

static void use_suite(SSL_CTX *ctx, const struct suite *suite)
{
    SSL_CTX_set_max_proto_version(ctx, suite->version);
    int ok = suite->version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(ctx, suite->name)
                                              : SSL_CTX_set_cipher_list(ctx, suite->name);
    assert_int_equal(ok, 1);
}

/* No context or session of a test is there for the next. */
static void forget(void)
{
    tls_server_sweep(worker, NULL, 0);
    tls_client_sweep(worker, 0);
}

/* --- OpenSSL as the peer --- */

struct peer {
    struct raw raw;
    struct conn conn; /* ours */
    struct tls_server_spec *server;
    struct tls_client_spec *client;
    struct buf in; /* what OpenSSL read */
    size_t chunk; /* bytes that our side is given at a time */
};

/* Bytes both ways until there are none. */
static void peer_pump(struct peer *peer)
{
    static char data[65536];
    SSL *ssl = peer->raw.ssl;
    for (bool moved = true; moved;) {
        moved = false;
        if (peer->conn.out.len > 0) {
            BIO_write(SSL_get_rbio(ssl), peer->conn.out.data, (int)peer->conn.out.len);
            buf_reset(&peer->conn.out);
        }
        ERR_clear_error();
        int n;
        while ((n = SSL_read(ssl, data, sizeof(data))) > 0)
            buf_add(&peer->in, data, (size_t)n);
        if (SSL_get_error(ssl, n) == SSL_ERROR_SSL && peer->raw.error == 0)
            peer->raw.error = ERR_GET_REASON(ERR_peek_error());
        while ((n = BIO_read(SSL_get_wbio(ssl), data, sizeof(data))) > 0) {
            moved = true;
            for (size_t at = 0; at < (size_t)n && !peer->conn.error; at += peer->chunk)
                peer->conn.layer->ops->on_data(
                    peer->conn.layer, span_make(data + at, MIN(peer->chunk, (size_t)n - at)));
            conn_run_slow();
        }
        moved |= peer->conn.out.len > 0;
    }
}

static void peer_begin(struct peer *peer, const struct suite *suite, bool ours_is_server,
                       size_t chunk)
{
    memset(peer, 0, sizeof(*peer));
    peer->chunk = chunk;
    buf_init(&peer->in, 8u << 20);
    raw_init(&peer->raw, suite->version, ours_is_server ? NULL : &fix.a_ec);
    use_suite(peer->raw.ctx, suite);
    raw_connect(&peer->raw, "a.example");
    if (ours_is_server) {
        peer->server = server_plain();
        conn_begin(&peer->conn, tls_server_layer_new(worker, peer->server, FIXTURE_ALPN));
    } else {
        SSL_set_accept_state(peer->raw.ssl);
        peer->client = client_plain();
        conn_begin(&peer->conn, tls_client_layer_new(worker, peer->client, SPAN_NONE));
    }
    peer_pump(peer);
    assert_true(peer->conn.open);
}

static void peer_end(struct peer *peer)
{
    conn_end(&peer->conn);
    raw_fini(&peer->raw);
    buf_fini(&peer->in);
    if (peer->server)
        tls_server_spec_free(peer->server);
    tls_client_spec_free(peer->client);
    forget();
}

static uint8_t pattern[3 * RECORD_PLAIN_MAX];

static void peer_says(struct peer *peer, size_t len)
{
    buf_reset(&peer->conn.in);
    if (len > 0)
        assert_int_equal(SSL_write(peer->raw.ssl, pattern, (int)len), len);
    peer_pump(peer);
    assert_int_equal(peer->conn.error, 0);
    assert_int_equal(peer->conn.in.len, len);
    if (len > 0)
        assert_memory_equal(peer->conn.in.data, pattern, len);
}

static void we_say(struct peer *peer, size_t len)
{
    struct iovec iov[3] = {
        {pattern, len / 3}, {pattern + len / 3, 0}, {pattern + len / 3, len - len / 3}};
    buf_reset(&peer->in);
    assert_int_equal(peer->conn.layer->ops->write(peer->conn.layer, iov, 3), 0);
    peer_pump(peer);
    assert_int_equal(peer->raw.error, 0);
    assert_int_equal(peer->in.len, len);
    if (len > 0)
        assert_memory_equal(peer->in.data, pattern, len);
}

static void test_suites_and_sizes(void **state)
{
    static const size_t chunks[] = {1, 7, 4096, 1u << 20};
    static const size_t sizes[] = {0,    1,    15,   16,    17,    100,   1369,
                                   1370, 1371, 4096, 16383, 16384, 16385, 40000};
    (void)state;
    for (size_t s = 0; s < ARRAY_COUNT(suites); s++) {
        for (size_t c = 0; c < 2 * ARRAY_COUNT(chunks); c++) {
            struct peer peer;
            peer_begin(&peer, &suites[s], c & 1, chunks[c / 2]);
            const struct tls_layer *layer = inside(&peer.conn);
            const char *name = SSL_get_cipher_name(peer.raw.ssl);
            assert_string_equal(name, suites[s].name);
            we_say(&peer, 33); /* from a client of TLS 1.3 by OpenSSL still */
            peer_says(&peer, 44);
            assert_null(layer->ssl);
            for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
                we_say(&peer, sizes[i]);
                peer_says(&peer, sizes[i]);
            }
            /* What is known stays known. */
            assert_string_equal(tls_info_of(&peer.conn)->cipher, name);
            assert_string_equal(tls_info_of(&peer.conn)->version, SSL_get_version(peer.raw.ssl));
            assert_int_equal(SSL_shutdown(peer.raw.ssl), 0);
            peer_pump(&peer);
            assert_true(peer.conn.ended && !peer.conn.error);
            assert_false(tls_info_of(&peer.conn)->truncated);
            peer.conn.layer->ops->shutdown(peer.conn.layer);
            peer_pump(&peer);
            assert_int_equal(SSL_get_shutdown(peer.raw.ssl),
                             SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
            peer_end(&peer);
        }
    }
}

/* Both kinds of KeyUpdate, from both ends, with data between them. */
static void test_key_update(void **state)
{
    (void)state;
    for (size_t s = 0; s < 3; s++) {
        for (int server = 0; server < 2; server++) {
            struct peer peer;
            peer_begin(&peer, &suites[s], server, 5);
            peer_says(&peer, 10);
            assert_null(inside(&peer.conn)->ssl);
            for (int i = 0; i < 12; i++) {
                int kind = i % 3 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED;
                uint64_t ours = inside(&peer.conn)->tx.seq;
                assert_int_equal(SSL_key_update(peer.raw.ssl, kind), 1);
                peer_says(&peer, 100);
                assert_int_equal(inside(&peer.conn)->rx.seq, 1);
                assert_int_equal(inside(&peer.conn)->tx.seq, i % 3 ? 0 : ours);
                we_say(&peer, 200);
            }
            peer_end(&peer);
        }
    }
}

/* A server that changes its key before its first answer keeps OpenSSL busy for ever. */
static void test_early_key_update_keeps_openssl(void **state)
{
    struct peer peer;
    (void)state;
    peer_begin(&peer, &suites[0], false, 1000);
    assert_int_equal(SSL_key_update(peer.raw.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    for (int i = 0; i < 3; i++) {
        peer_says(&peer, 100);
        we_say(&peer, 20000);
    }
    assert_non_null(inside(&peer.conn)->ssl);
    peer_end(&peer);
}

/* A suite that our record layer does not have. */
static void test_other_suite_keeps_openssl(void **state)
{
    static const struct suite ccm = {TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256"};
    struct peer peer;
    (void)state;
    peer_begin(&peer, &suites[0], true, 1000);
    struct hmap_node *node = hmap_next(&worker->servers, NULL);
    use_suite(container_of(node, struct tls_server_ctx, node)->ctx, &ccm);
    conn_end(&peer.conn);
    raw_disconnect(&peer.raw);
    use_suite(peer.raw.ctx, &ccm);
    raw_connect(&peer.raw, "a.example");
    conn_begin(&peer.conn, tls_server_layer_new(worker, peer.server, FIXTURE_ALPN));
    peer_pump(&peer);
    assert_true(peer.conn.open);
    for (int i = 0; i < 3; i++) {
        peer_says(&peer, 20000);
        we_say(&peer, 20000);
    }
    assert_string_equal(tls_info_of(&peer.conn)->cipher, ccm.name);
    assert_non_null(inside(&peer.conn)->ssl);
    peer_end(&peer);
}

/* TLS 1.2: refused with a warning, after which data may go on. */
static void test_renegotiation(void **state)
{
    (void)state;
    for (int server = 0; server < 2; server++) {
        struct peer peer;
        peer_begin(&peer, &suites[3], server, 1000);
        assert_null(inside(&peer.conn)->ssl);
        assert_int_equal(SSL_renegotiate(peer.raw.ssl), 1);
        SSL_do_handshake(peer.raw.ssl);
        peer_pump(&peer);
        assert_int_equal(peer.raw.error, SSL_R_NO_RENEGOTIATION);
        peer_end(&peer);
    }
}

/* Tickets after the handover are nothing to us; those before it were OpenSSL's. */
static void test_tickets_of_a_server(void **state)
{
    (void)state;
    for (int tickets = 0; tickets < 5; tickets += 2) {
        struct peer peer;
        peer_begin(&peer, &suites[0], false, 3);
        const struct tls_layer *layer = inside(&peer.conn);
        assert_non_null(layer->client->session);
        for (int i = 0; i < tickets; i++)
            assert_int_equal(SSL_new_session_ticket(peer.raw.ssl), 1);
        peer_says(&peer, 10);
        assert_null(layer->ssl);
        for (int i = 0; i < tickets; i++)
            assert_int_equal(SSL_new_session_ticket(peer.raw.ssl), 1);
        peer_says(&peer, 10);
        we_say(&peer, 10);
        peer_end(&peer);
    }
}

/* --- a peer with the right keys --- */

struct direct {
    struct pair pair;
    struct tls_server_spec *server;
    struct tls_client_spec *client;
};

static void direct_begin(struct direct *direct, const struct suite *suite)
{
    direct->server = server_plain();
    direct->client = client_plain();
    struct layer *layer = tls_client_layer_new(worker, direct->client, SPAN_LIT("http/1.1"));
    struct tls_layer *client = container_of(layer, struct tls_layer, layer);
    use_suite(client->client->ctx, suite);
    conn_begin(&direct->pair.server, tls_server_layer_new(worker, direct->server, FIXTURE_ALPN));
    conn_begin(&direct->pair.client, layer);
    conn_pump(&direct->pair.client, &direct->pair.server, 1000);
    conn_say(&direct->pair.server, "x");
    conn_pump(&direct->pair.client, &direct->pair.server, 1000);
    assert_null(inside(&direct->pair.client)->ssl);
    assert_null(inside(&direct->pair.server)->ssl);
    buf_reset(&direct->pair.client.in);
}

static void direct_end(struct direct *direct)
{
    pair_end(&direct->pair);
    tls_server_spec_free(direct->server);
    tls_client_spec_free(direct->client);
    forget();
}

/* A record of any type and content, with the keys of `from`, in its output. */
static void forge(struct conn *from, int type, const void *data, size_t len)
{
    static uint8_t out[RECORD_PLAIN_MAX + RECORD_OVERHEAD_MAX];
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct record_pieces pieces = {&iov, 1, 0};
    ssize_t n = record_seal(&inside(from)->tx, (enum record_type)type, &pieces, len, out);
    assert_true(n > 0);
    buf_add(&from->out, out, (size_t)n);
}

struct forgery {
    const char *label;
    int suite; /* of suites[] */
    bool to_client;
    int type; /* of every record */
    struct {
        const char *data;
        size_t len;
    } records[5];
    const char *text; /* NULL: nothing is wrong */
    const char *alert; /* what the peer is told; NULL: nothing */
};

#define R(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define UNEXPECTED "TLS: peer alert: unexpected message"

static const struct forgery forgeries[] = {
    {"warning", 0, 0, 21, {R("\x01\x5a")}, NULL, NULL},
    {"warning 1.2", 3, 0, 21, {R("\x01\x64")}, NULL, NULL},
    {"all alerts are fatal in 1.3",
     0,
     0,
     21,
     {R("\x01\x28")},
     "TLS: peer alert: handshake failure",
     NULL},
    {"fatal", 0, 1, 21, {R("\x02\x74")}, "TLS: peer alert: certificate required", NULL},
    {"fatal 1.2", 3, 1, 21, {R("\x02\x30")}, "TLS: peer alert: unknown ca", NULL},
    {"unknown alert", 0, 0, 21, {R("\x02\xff")}, "TLS: peer alert", NULL},
    {"short alert",
     0,
     0,
     21,
     {R("\x01")},
     "TLS: malformed message",
     "TLS: peer alert: decode error"},
    {"long alert",
     3,
     0,
     21,
     {R("\x01\x00\x00")},
     "TLS: malformed message",
     "TLS: peer alert: decode error"},
    {"empty alert", 0, 0, 21, {R("")}, "TLS: malformed message", "TLS: peer alert: decode error"},
    {"inner type", 0, 0, 24, {R("xx")}, "TLS: unexpected record", UNEXPECTED},
    {"inner change cipher spec", 0, 0, 20, {R("\x01")}, "TLS: unexpected record", UNEXPECTED},
    {"change cipher spec 1.2", 3, 0, 20, {R("\x01")}, "TLS: unexpected record", UNEXPECTED},
    {"no inner type", 0, 0, 0, {R("\0\0\0")}, "TLS: unexpected record", UNEXPECTED},
    {"padding", 0, 0, 0, {R("data\x17\0\0\0\0\0\0\0\0")}, NULL, NULL},
    {"ticket",
     0,
     1,
     22,
     {R("\x04\x00\x00\x05"
        "12345")},
     NULL,
     NULL},
    {"two tickets",
     0,
     1,
     22,
     {R("\x04\x00\x00\x05"
        "12345\x04\x00\x00\x02"
        "ab")},
     NULL,
     NULL},
    {"ticket in pieces",
     0,
     1,
     22,
     {R("\x04"), R("\x00\x00"),
      R("\x03"
        "a"),
      R("bc")},
     NULL,
     NULL},
    {"ticket to a server",
     0,
     0,
     22,
     {R("\x04\x00\x00\x01"
        "1")},
     "TLS: unexpected message",
     UNEXPECTED},
    {"client hello",
     0,
     0,
     22,
     {R("\x01\x00\x00\x01"
        "1")},
     "TLS: unexpected message",
     UNEXPECTED},
    {"certificate request",
     0,
     1,
     22,
     {R("\x0d\x00\x00\x01"
        "1")},
     "TLS: unexpected message",
     UNEXPECTED},
    {"end of early data", 0, 0, 22, {R("\x05\x00\x00\x00")}, "TLS: unexpected message", UNEXPECTED},
    {"empty handshake", 0, 0, 22, {R("")}, "TLS: unexpected message", UNEXPECTED},
    {"hello request 1.2", 3, 1, 22, {R("\x00\x00\x00\x00")}, NULL, NULL},
    {"key update that is long",
     0,
     0,
     22,
     {R("\x18\x00\x00\x02\x00\x00")},
     "TLS: unexpected message",
     UNEXPECTED},
    {"key update of 2",
     0,
     0,
     22,
     {R("\x18\x00\x00\x01\x02")},
     "TLS: malformed message",
     "TLS: peer alert: illegal parameter"},
    {"key update and more",
     0,
     0,
     22,
     {R("\x18\x00\x00\x01\x00\x18")},
     "TLS: unexpected message",
     UNEXPECTED},
    {"key update 1.2", 3, 0, 22, {R("\x18\x00\x00\x01\x00")}, NULL, NULL},
};

static void forge_case(const struct forgery *f, size_t chunk)
{
    struct direct direct;
    direct_begin(&direct, &suites[f->suite]);
    struct conn *from = f->to_client ? &direct.pair.server : &direct.pair.client;
    struct conn *to = f->to_client ? &direct.pair.client : &direct.pair.server;
    for (size_t i = 0; i < ARRAY_COUNT(f->records) && f->records[i].data; i++)
        forge(from, f->type, f->records[i].data, f->records[i].len);
    conn_pump(from, to, chunk);
    if (f->text) {
        assert_int_equal(to->error, -EPROTO);
        assert_string_equal(to->text, f->text);
        assert_string_equal(from->text, f->alert ? f->alert : "");
    } else {
        assert_string_equal(to->text, "");
        conn_say(from, "after");
        conn_say(to, "answer");
        conn_pump(from, to, chunk);
        assert_true(strstr(buf_str(&to->in), "after") != NULL);
        assert_string_equal(buf_str(&from->in), "answer");
    }
    direct_end(&direct);
}

static void test_forged_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(forgeries); i++) {
        forge_case(&forgeries[i], 1u << 20);
        forge_case(&forgeries[i], 3);
    }
}

/* Records of other types have no place inside a message. */
static void test_no_data_inside_a_message(void **state)
{
    struct direct direct;
    (void)state;
    direct_begin(&direct, &suites[0]);
    forge(&direct.pair.server, 22,
          "\x04\x00\x00\x05"
          "12",
          6);
    conn_say(&direct.pair.server, "data");
    conn_pump(&direct.pair.client, &direct.pair.server, 1000);
    assert_string_equal(direct.pair.client.text, "TLS: unexpected record");
    assert_int_equal(direct.pair.client.in.len, 0);
    direct_end(&direct);
}

/* Up to 32 records in a row that bring nothing, of any kind. */
static void test_empty_records_are_limited(void **state)
{
    static const struct {
        int suite, type;
        const char *data;
        size_t len;
    } cases[] = {{0, 23, "", 0},
                 {3, 23, "", 0},
                 {0, 21, "\x01\x5a", 2},
                 {3, 21, "\x01\x5a", 2},
                 {3, 22, "\x00\x00\x00\x00", 4}};
    (void)state;
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        struct direct direct;
        direct_begin(&direct, &suites[cases[c].suite]);
        struct conn *client = &direct.pair.client, *server = &direct.pair.server;
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 32; i++)
                forge(client, cases[c].type, cases[c].data, cases[c].len);
            conn_pump(client, server, 1000);
            assert_int_equal(server->error, 0);
            conn_say(client, "data"); /* begins a new row, here and there */
            conn_say(server, "data");
            conn_pump(client, server, 1000);
        }
        for (int i = 0; i < 33; i++)
            forge(client, cases[c].type, cases[c].data, cases[c].len);
        conn_move(client, server, 1000);
        assert_string_equal(server->text, "TLS: too many empty records");
        direct_end(&direct);
    }
}

/* Before the limit of the AEAD we change our key; TLS 1.2 has no way to. */
static void test_own_key_update(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_COUNT(suites); s++) {
        struct direct direct;
        direct_begin(&direct, &suites[s]);
        struct tls_layer *client = inside(&direct.pair.client);
        struct tls_layer *server = inside(&direct.pair.server);
        client->tx.seq = server->rx.seq = RECORD_KEY_USES_MAX - 2;
        for (int i = 0; i < 5; i++)
            conn_say(&direct.pair.client, "data");
        conn_pump(&direct.pair.client, &direct.pair.server, 1000);
        assert_string_equal(buf_str(&direct.pair.server.in), "datadatadatadatadata");
        assert_int_equal(client->tx.seq, s < 3 ? 3 : RECORD_KEY_USES_MAX + 3);
        assert_int_equal(server->rx.seq, client->tx.seq);
        direct_end(&direct);
    }
}

/* Any bit of a record: an alert, and no byte of it. */
static void test_flipped_bits_are_told(void **state)
{
    (void)state;
    for (size_t at = 0; at < 36; at++) {
        struct direct direct;
        direct_begin(&direct, &suites[at & 1 ? 0 : 3]);
        struct conn *client = &direct.pair.client, *server = &direct.pair.server;
        conn_say(client, "some data for it");
        size_t i = at % client->out.len;
        client->out.data[i] = (char)(client->out.data[i] ^ (i == 3 ? 0x40 : i == 4 ? 0x20 : 0x10));
        conn_pump(client, server, 1000);
        assert_int_equal(server->in.len, 0);
        if (i == 3 || (i == 4 && !server->error)) {
            assert_true(i == 4 || strcmp(client->text, "TLS: peer alert: record overflow") == 0);
        } else {
            assert_string_equal(server->text, i ? "TLS: bad record mac" : "TLS: unexpected record");
            assert_string_equal(client->text, i ? "TLS: peer alert: bad record mac" : UNEXPECTED);
        }
        direct_end(&direct);
    }
}

/* Part of a record, then the end: truncation, and the part is dropped. */
static void test_truncated_record(void **state)
{
    static const size_t parts[] = {1, 4, 5, 6, 100, 16383, 16384, 16385, 16405};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        struct direct direct;
        direct_begin(&direct, &suites[0]);
        struct conn *client = &direct.pair.client, *server = &direct.pair.server;
        struct iovec iov = {pattern, RECORD_PLAIN_MAX};
        assert_int_equal(client->layer->ops->write(client->layer, &iov, 1), 0);
        assert_int_equal(client->out.len, 16406);
        server->layer->ops->on_data(server->layer, span_make(client->out.data, parts[i]));
        assert_int_equal(server->in.len, 0);
        assert_int_equal(block_in_use(loops[0].blocks), parts[i] > BLOCK_SIZE ? 2 : 1);
        server->layer->ops->on_end(server->layer);
        assert_true(server->ended && tls_info_of(server)->truncated);
        direct_end(&direct);
        assert_int_equal(block_in_use(loops[0].blocks), 0);
    }
}

static void test_no_blocks(void **state)
{
    struct direct direct;
    void *taken[64];
    (void)state;
    direct_begin(&direct, &suites[0]);
    for (size_t i = 0; i < ARRAY_COUNT(taken); i++)
        taken[i] = block_get(loops[0].blocks);
    conn_say(&direct.pair.client, "data");
    direct.pair.client.out.len--;
    conn_move(&direct.pair.client, &direct.pair.server, 1000);
    assert_int_equal(direct.pair.server.error, -ENOBUFS);
    for (size_t i = 0; i < ARRAY_COUNT(taken); i++)
        block_put(loops[0].blocks, taken[i]);
    direct_end(&direct);
}

/* A server begins in small records, and again after a pause. */
static void test_small_records_first(void **state)
{
    struct direct direct;
    (void)state;
    direct_begin(&direct, &suites[0]);
    for (int round = 0; round < 3; round++) {
        for (int side = 0; side < 2; side++) {
            struct conn *conn = side ? &direct.pair.server : &direct.pair.client;
            unsigned records = 0, small = 0;
            struct iovec iov = {pattern, sizeof(pattern)};
            assert_int_equal(conn->layer->ops->write(conn->layer, &iov, 1), 0);
            for (size_t at = 0; at < conn->out.len; records++) {
                const uint8_t *head = (const uint8_t *)conn->out.data + at;
                size_t len = 5 + ((size_t)head[3] << 8 | head[4]);
                small += len <= 1400;
                at += len;
            }
            assert_int_equal(small, side && round != 1 ? 12 : 0);
            assert_int_equal(records - small, side && round != 1 ? 2 : 3);
        }
        conn_pump(&direct.pair.client, &direct.pair.server, 16384);
        loops[0].clock.mono_ns += round == 0 ? NS_PER_S - 1 : NS_PER_S;
    }
    direct_end(&direct);
}

/* After our close_notify nothing of ours goes out, whatever the peer asks for. */
static void test_nothing_after_close_notify(void **state)
{
    struct direct direct;
    (void)state;
    direct_begin(&direct, &suites[0]);
    struct conn *client = &direct.pair.client, *server = &direct.pair.server;
    server->layer->ops->shutdown(server->layer);
    conn_move(server, client, 1000);
    assert_true(client->ended);
    forge(client, 22, "\x18\x00\x00\x01\x01", 5);
    secret_update(&inside(client)->tx);
    conn_say(client, "more");
    conn_move(client, server, 1000);
    assert_string_equal(buf_str(&server->in), "more");
    assert_int_equal(server->out.len, 0);
    direct_end(&direct);
}

/* Records with the right keys and noise inside, cut anywhere. */
static void test_noise(void **state)
{
    uint32_t seed = 4711;
    (void)state;
    for (unsigned i = 0; i < 150; i++) {
        struct direct direct;
        direct_begin(&direct, &suites[i % ARRAY_COUNT(suites)]);
        struct conn *from = i & 1 ? &direct.pair.server : &direct.pair.client;
        struct conn *to = i & 1 ? &direct.pair.client : &direct.pair.server;
        for (unsigned n = 0; n < 20; n++) {
            uint8_t noise[40];
            for (size_t b = 0; b < sizeof(noise); b++) {
                seed = seed * 1664525u + 1013904223u;
                noise[b] = (uint8_t)((seed >> 24) % (b & 1 ? 256 : 30));
            }
            forge(from, 20 + (noise[0] & 3), noise + 1, noise[1] % 39);
            if (n == 19)
                from->out.data[noise[2] % from->out.len] ^= 1;
        }
        conn_move(from, to, 1 + i % 60);
        to->layer->ops->on_end(to->layer);
        direct_end(&direct);
    }
    assert_int_equal(block_in_use(loops[0].blocks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suites_and_sizes),
        cmocka_unit_test(test_key_update),
        cmocka_unit_test(test_early_key_update_keeps_openssl),
        cmocka_unit_test(test_other_suite_keeps_openssl),
        cmocka_unit_test(test_renegotiation),
        cmocka_unit_test(test_tickets_of_a_server),
        cmocka_unit_test(test_forged_records),
        cmocka_unit_test(test_no_data_inside_a_message),
        cmocka_unit_test(test_empty_records_are_limited),
        cmocka_unit_test(test_own_key_update),
        cmocka_unit_test(test_flipped_bits_are_told),
        cmocka_unit_test(test_truncated_record),
        cmocka_unit_test(test_no_blocks),
        cmocka_unit_test(test_small_records_first),
        cmocka_unit_test(test_nothing_after_close_notify),
        cmocka_unit_test(test_noise),
    };
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 37 + (i >> 9));
    return cmocka_run_group_tests(tests, double_setup, double_teardown);
}
