/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls_fixture.h"

#include <errno.h>

#include "base/buf.h"
#include "base/metric.h"
#include "io/conn.h"
#include "tls/ticket.h"

/* The layers over conns that are two byte buffers, so that a test decides how the bytes are cut and what
 * comes between. The functions of io/ that layers call are here; the real ones are used in
 * tls_conn_test. The peer is another layer, or OpenSSL used directly ("raw") for what
 * our own side would never do. */

struct conn {
    struct layer *layer;
    struct buf out, in; /* records for the peer; plaintext received */
    bool open, ended, shut;
    int error, writes;
    const char *text;
};

void layer_up_open(struct layer *layer)
{
    assert_false(layer->conn->open);
    layer->conn->open = true;
}

void layer_up_data(struct layer *layer, struct span data)
{
    assert_true(layer->conn->open);
    assert_int_equal(layer->conn->error, 0);
    buf_add_span(&layer->conn->in, data);
}

void layer_up_end(struct layer *layer)
{
    assert_false(layer->conn->ended);
    layer->conn->ended = true;
}

int layer_down_write(struct layer *layer, const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i++)
        buf_add(&layer->conn->out, iov[i].iov_base, iov[i].iov_len);
    layer->conn->writes++;
    return 0;
}

void layer_down_shutdown(struct layer *layer)
{
    layer->conn->shut = true;
}

void conn_fail(struct conn *conn, int error, const char *text)
{
    if (conn->error)
        return;
    conn->error = error;
    conn->text = text;
}

void conn_flush(struct conn *conn)
{
    (void)conn;
}

struct layer *conn_find_layer(const struct conn *conn, const struct layer_ops *ops)
{
    return conn->layer && conn->layer->ops == ops ? conn->layer : NULL;
}

static struct fixture fix;
static struct loop loops[2] = {{.conns_max = 2000}, {.conns_max = 2000}};
static struct tls_worker *worker, *worker2;

static void conn_begin(struct conn *conn, struct layer *layer)
{
    assert_non_null(layer);
    *conn = (struct conn){.layer = layer, .text = ""};
    buf_init(&conn->out, 8u << 20);
    buf_init(&conn->in, 8u << 20);
    layer->conn = conn;
    layer->ops->on_open(layer);
}

static void conn_end(struct conn *conn)
{
    if (conn->layer)
        conn->layer->ops->free(conn->layer);
    buf_fini(&conn->out);
    buf_fini(&conn->in);
    conn->layer = NULL;
}

/* Gives what `from` made to `to`, chunk bytes at a time. */
static bool conn_move(struct conn *from, struct conn *to, size_t chunk)
{
    struct buf data = from->out;
    if (data.len == 0)
        return false;
    buf_init(&from->out, 8u << 20);
    for (size_t i = 0; i < data.len && !to->error; i += chunk)
        to->layer->ops->on_data(to->layer, span_make(data.data + i, MIN(chunk, data.len - i)));
    buf_fini(&data);
    return true;
}

static void conn_pump(struct conn *a, struct conn *b, size_t chunk)
{
    bool moved = true;
    while (moved) {
        moved = conn_move(a, b, chunk);
        moved |= conn_move(b, a, chunk);
    }
}

static void conn_say(struct conn *conn, const char *text)
{
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    assert_int_equal(conn->layer->ops->write(conn->layer, &iov, 1), 0);
}

/* --- listeners --- */

struct listener_wish {
    const char *id, *hostname;
    const struct fixture_pair *certs[3];
    struct span ca_pem;
    bool validate, fallback;
};

static void count_bad(void *user, const struct model_listener *listener, const struct err *err)
{
    (void)listener;
    assert_true(err->code < 0 && err->text[0] != '\0');
    ++*(unsigned *)user;
}

static struct tls_server_spec *server_make(const struct listener_wish *wishes, unsigned count,
                                           unsigned bad_expected)
{
    struct model_listener listeners[4];
    const struct model_listener *pointers[4];
    struct model_cert certs[4][3];
    unsigned bad = 0;
    assert_true(count <= 4);
    memset(listeners, 0, sizeof(listeners));
    for (unsigned i = 0; i < count; i++) {
        pointers[i] = &listeners[i];
        listeners[i].id = span_str(wishes[i].id);
        listeners[i].hostname = span_str(wishes[i].hostname);
        listeners[i].protocol = MODEL_PROTOCOL_HTTPS;
        listeners[i].certs = certs[i];
        for (unsigned c = 0; c < 3 && wishes[i].certs[c]; c++)
            certs[i][listeners[i].certs_count++] = fixture_model_cert(wishes[i].certs[c]);
        listeners[i].frontend.validate = wishes[i].validate;
        listeners[i].frontend.insecure_fallback = wishes[i].fallback;
        listeners[i].frontend.ca_pem = wishes[i].ca_pem;
    }
    struct tls_server_spec *spec = tls_server_compile(pointers, count, count_bad, &bad);
    assert_non_null(spec);
    assert_int_equal(bad, bad_expected);
    return spec;
}

static struct tls_server_spec *server_plain(void)
{
    return server_make(&(struct listener_wish){"ns/gw/a", "", {&fix.a_ec}, {0}, 0, 0}, 1, 0);
}

static struct tls_client_spec *client_make(const struct model_backend_tls *tls)
{
    struct tls_client_spec *spec = NULL;
    struct err err = {0};
    int rc = tls_client_compile(tls, &spec, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
    return spec;
}

static struct tls_client_spec *client_plain(void)
{
    return client_make(&(struct model_backend_tls){.server_name = SPAN_LIT("a.example"),
                                                   .ca_pem = fix.ca.cert_pem});
}

struct pair {
    struct conn client, server;
};

static void pair_begin(struct pair *pair, struct tls_worker *server_worker,
                       const struct tls_server_spec *server, const struct tls_client_spec *client)
{
    conn_begin(&pair->server, tls_server_layer_new(server_worker, server));
    conn_begin(&pair->client, tls_client_layer_new(worker, client, SPAN_LIT("http/1.1")));
}

static void pair_end(struct pair *pair)
{
    conn_end(&pair->client);
    conn_end(&pair->server);
}

/* --- raw OpenSSL as the peer --- */

struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    SSL_SESSION *session; /* newest */
    int error; /* reason of the first error, alerts of the peer as 1000 + n */
    bool open;
};

static int raw_on_session(SSL *ssl, SSL_SESSION *session)
{
    struct raw *raw = SSL_get_app_data(ssl);
    SSL_SESSION_free(raw->session);
    raw->session = session;
    return 1;
}

static void raw_init(struct raw *raw, int version, const struct fixture_pair *cert)
{
    memset(raw, 0, sizeof(*raw));
    raw->ctx = SSL_CTX_new(TLS_method());
    SSL_CTX_set_max_proto_version(raw->ctx, version);
    SSL_CTX_set_session_cache_mode(raw->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(raw->ctx, raw_on_session);
    if (cert) {
        SSL_CTX_use_certificate(raw->ctx, cert->cert);
        SSL_CTX_use_PrivateKey(raw->ctx, cert->key);
    }
}

static void raw_connect(struct raw *raw, const char *server_name)
{
    raw->ssl = SSL_new(raw->ctx);
    raw->open = false;
    raw->error = 0;
    SSL_set_app_data(raw->ssl, raw);
    SSL_set_bio(raw->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (server_name)
        SSL_set_tlsext_host_name(raw->ssl, server_name);
    SSL_set_connect_state(raw->ssl);
}

static void raw_disconnect(struct raw *raw)
{
    if (raw->ssl)
        SSL_set_shutdown(raw->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(raw->ssl);
    raw->ssl = NULL;
}

static void raw_fini(struct raw *raw)
{
    raw_disconnect(raw);
    SSL_SESSION_free(raw->session);
    SSL_CTX_free(raw->ctx);
}

static void raw_step(struct raw *raw)
{
    char data[4096];
    ERR_clear_error();
    int ret = raw->open ? SSL_read(raw->ssl, data, sizeof(data)) : SSL_do_handshake(raw->ssl);
    if (!raw->open && ret == 1) {
        raw->open = true;
        ret = SSL_read(raw->ssl, data, sizeof(data));
    }
    if (ret <= 0 && SSL_get_error(raw->ssl, ret) == SSL_ERROR_SSL && raw->error == 0)
        raw->error = ERR_GET_REASON(ERR_peek_error());
}

static void raw_pump(struct raw *raw, struct conn *conn)
{
    for (int rounds = 0; rounds < 20; rounds++) {
        char data[65536];
        raw_step(raw);
        int len = BIO_read(SSL_get_wbio(raw->ssl), data, sizeof(data));
        if (len > 0 && !conn->error)
            conn->layer->ops->on_data(conn->layer, span_make(data, (size_t)len));
        if (conn->out.len > 0) {
            BIO_write(SSL_get_rbio(raw->ssl), conn->out.data, (int)conn->out.len);
            buf_reset(&conn->out);
        } else if (len <= 0) {
            break;
        }
    }
    raw_step(raw);
}

/* One handshake of a raw client with a new server conn. */
static void raw_dial(struct raw *raw, struct conn *conn, struct tls_worker *on,
                     const struct tls_server_spec *spec, const char *server_name)
{
    conn_begin(conn, tls_server_layer_new(on, spec));
    raw_connect(raw, server_name);
    if (raw->session)
        SSL_set_session(raw->ssl, raw->session);
    raw_pump(raw, conn);
}

/* --- tests --- */

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

        struct iovec iov[3] = {{(void *)(uintptr_t) "GET ", 4}, {(void *)(uintptr_t) "/", 1},
                               {(void *)(uintptr_t) " HTTP", 5}};
        int writes = pair.client.writes;
        assert_int_equal(pair.client.layer->ops->write(pair.client.layer, iov, 3), 0);
        assert_int_equal(pair.client.writes, writes + 1);
        assert_int_equal(pair.client.out.len, 5 + 10 + 1 + 16); /* one record */
        conn_say(&pair.server, "answer");
        conn_pump(&pair.client, &pair.server, chunks[i]);
        assert_string_equal(buf_str(&pair.server.in), "GET / HTTP");
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

struct backend_case {
    const char *label;
    const struct fixture_pair *cert;
    const struct fixture_pair *ca;
    const char *server_name;
    struct conf_san sans[2];
    unsigned sans_count;
    const char *client_text, *server_text; /* NULL: it works */
};

#define VERIFY "TLS: certificate verify failed: "

static void test_backend_verification(void **state)
{
    const struct conf_san uri_good = {true, SPAN_LIT("spiffe://cluster.local/ns/x/sa/y")};
    const struct conf_san uri_bad = {true, SPAN_LIT("spiffe://cluster.local/ns/x/sa/z")};
    const struct conf_san dns_good = {false, SPAN_LIT("s.example")};
    const struct conf_san dns_bad = {false, SPAN_LIT("t.example")};
    const struct backend_case cases[] = {
        {"name", &fix.a_ec, &fix.ca, "a.example", {{0}}, 0, NULL, NULL},
        {"rsa", &fix.a_rsa, &fix.ca, "a.example", {{0}}, 0, NULL, NULL},
        {"wildcard", &fix.wild, &fix.ca, "x.wild.example", {{0}}, 0, NULL, NULL},
        {"wildcard is one label", &fix.wild, &fix.ca, "x.y.wild.example", {{0}}, 0,
         VERIFY "hostname mismatch", "TLS: peer alert: bad certificate"},
        {"common name does not count", &fix.b_ec, &fix.ca, "b_ec", {{0}}, 0,
         VERIFY "hostname mismatch", "TLS: peer alert: bad certificate"},
        {"wrong name", &fix.b_ec, &fix.ca, "a.example", {{0}}, 0, VERIFY "hostname mismatch",
         "TLS: peer alert: bad certificate"},
        {"other ca", &fix.a_ec, &fix.other_ca, "a.example", {{0}}, 0,
         VERIFY "unable to get local issuer certificate", "TLS: peer alert: unknown ca"},
        {"system cas", &fix.a_ec, NULL, "a.example", {{0}}, 0,
         VERIFY "unable to get local issuer certificate", "TLS: peer alert: unknown ca"},
        {"expired", &fix.expired, &fix.ca, "a.example", {{0}}, 0,
         VERIFY "certificate has expired", "TLS: peer alert: certificate expired"},
        {"purpose", &fix.client_only, &fix.ca, "a.example", {{0}}, 0,
         VERIFY "unsuitable certificate purpose", "TLS: peer alert: unsupported certificate"},
        {"uri san", &fix.spiffe, &fix.ca, "a.example", {uri_good}, 1, NULL, NULL},
        {"uri san wrong", &fix.spiffe, &fix.ca, "s.example", {uri_bad}, 1,
         VERIFY "hostname mismatch", "TLS: peer alert: bad certificate"},
        {"dns san", &fix.spiffe, &fix.ca, "a.example", {dns_good}, 1, NULL, NULL},
        {"dns san wrong", &fix.spiffe, &fix.ca, "s.example", {dns_bad}, 1,
         VERIFY "hostname mismatch", "TLS: peer alert: bad certificate"},
        {"any of two", &fix.spiffe, &fix.ca, "a.example", {uri_bad, dns_good}, 2, NULL, NULL},
        {"pinned certificate", &fix.a_ec, &fix.a_ec, "a.example", {{0}}, 0, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct backend_case *c = &cases[i];
        struct conf_san sans[2] = {c->sans[0], c->sans[1]};
        /* Listeners of their own: no session of the case before resumes. */
        struct tls_server_spec *server =
            server_make(&(struct listener_wish){c->label, "", {c->cert}, {0}, 0, 0}, 1, 0);
        struct tls_client_spec *client = client_make(&(struct model_backend_tls){
            .server_name = span_str(c->server_name),
            .ca_pem = c->ca ? c->ca->cert_pem : SPAN_NONE,
            .sans = sans,
            .sans_count = c->sans_count});
        struct pair pair;
        pair_begin(&pair, worker, server, client);
        conn_pump(&pair.client, &pair.server, 100000);
        print_message("# %s: %s\n", c->label, pair.client.text);
        if (!c->client_text) {
            assert_true(pair.client.open && pair.server.open);
        } else {
            assert_false(pair.client.open || pair.server.open);
            assert_int_equal(pair.client.error, -EPROTO);
            assert_string_equal(pair.client.text, c->client_text);
            assert_int_equal(pair.server.error, -EPROTO);
            assert_string_equal(pair.server.text, c->server_text);
            assert_int_equal(pair.client.in.len + pair.server.in.len, 0);
        }
        pair_end(&pair);
        tls_server_spec_free(server);
        tls_client_spec_free(client);
    }
}

struct frontend_case {
    const char *label;
    const struct fixture_pair *cert;
    bool fallback;
    bool open, verified;
    const char *server_text;
};

static void frontend_run(const struct frontend_case *c, const struct tls_server_spec *server,
                         int version)
{
    struct conn conn;
    struct raw raw;
    raw_init(&raw, version, c->cert);
    for (int round = 0; round < 2; round++) { /* the second time with the session of the first */
        raw_dial(&raw, &conn, worker, server, "a.example");
        print_message("# %s: %s\n", c->label, conn.text);
        assert_int_equal(conn.open, c->open);
        if (c->open) {
            const struct tls_info *info = tls_info_of(&conn);
            assert_int_equal(info->resumed, round);
            assert_int_equal(info->peer_cert, c->cert != NULL);
            assert_int_equal(info->peer_verified, c->verified);
            assert_true(span_equal_str(info->peer_spiffe_id,
                                       c->verified ? "spiffe://cluster.local/ns/c/sa/c" : ""));
            assert_true(span_equal_str(info->peer_subject, c->verified ? "CN=client" : ""));
            assert_true(span_equal_str(info->peer_uri, c->verified ? "https://other" : ""));
            assert_true(span_equal_str(info->peer_dns, c->verified ? "c.example" : ""));
            assert_int_equal(info->peer_hash.len, c->verified ? 64 : 0);
        } else {
            assert_int_equal(conn.error, -EPROTO);
            assert_string_equal(conn.text, c->server_text);
            assert_true(raw.error >= SSL_AD_REASON_OFFSET);
        }
        conn_end(&conn);
        raw_disconnect(&raw);
        if (!c->open)
            break;
    }
    raw_fini(&raw);
}

static void test_client_certificates(void **state)
{
    const struct frontend_case cases[] = {
        {"valid", &fix.client, false, true, true, NULL},
        {"none", NULL, false, false, false, "TLS: the peer sent no certificate"},
        {"other ca", &fix.client_other, false, false, false,
         VERIFY "unable to get local issuer certificate"},
        {"expired", &fix.client_expired, false, false, false, VERIFY "certificate has expired"},
        {"purpose", &fix.a_ec, false, false, false, VERIFY "unsuitable certificate purpose"},
        {"fallback, valid", &fix.client, true, true, true, NULL},
        {"fallback, none", NULL, true, true, false, NULL},
        {"fallback, other ca", &fix.client_other, true, true, false, NULL},
        {"fallback, expired", &fix.client_expired, true, true, false, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tls_server_spec *server =
            server_make(&(struct listener_wish){
                            "l", "", {&fix.a_ec}, fix.ca.cert_pem, true, cases[i].fallback},
                        1, 0);
        frontend_run(&cases[i], server, TLS1_3_VERSION);
        frontend_run(&cases[i], server, TLS1_2_VERSION);
        tls_server_spec_free(server);
    }
}

static void test_validation_without_ca_refuses(void **state)
{
    static const char *const broken[] = {"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END "
                                             "CERTIFICATE-----\n"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(broken); i++) {
        struct listener_wish wishes[] = {
            {"any", "", {&fix.a_ec}, {0}, false, false},
            {"strict", "a.example", {&fix.a_ec}, span_str(broken[i]), true, i == 1},
        };
        struct tls_server_spec *server = server_make(wishes, 2, 1);
        struct conn conn;
        struct raw raw;
        raw_init(&raw, TLS1_3_VERSION, &fix.client);
        raw_dial(&raw, &conn, worker, server, "a.example");
        assert_string_equal(conn.text, "TLS: client certificates cannot be verified");
        assert_int_equal(raw.error, SSL_AD_REASON_OFFSET + SSL_AD_ACCESS_DENIED);
        conn_end(&conn);
        raw_disconnect(&raw);
        raw_dial(&raw, &conn, worker, server, "b.example");
        assert_true(conn.open);
        conn_end(&conn);
        raw_fini(&raw);
        tls_server_spec_free(server);
    }
}

static void test_server_names(void **state)
{
    static const struct {
        const char *sni, *listener, *name;
    } cases[] = {
        {"a.example", "exact", "a.example"},
        {"A.Example", "exact", "a.example"},
        {"a.example.", "exact", "a.example"},
        {"x.wild.example", "wild", "x.wild.example"},
        {"X.Y.WILD.example.", "wild", "x.y.wild.example"},
        {"in.x.wild.example", "deep", "in.x.wild.example"},
        {"wild.example", NULL, NULL},
        {"b.example", NULL, NULL},
        {NULL, NULL, NULL},
    };
    struct listener_wish wishes[] = {
        {"wild", "*.wild.example", {&fix.wild}, {0}, false, false},
        {"exact", "a.example", {&fix.a_ec}, {0}, false, false},
        {"deep", "in.x.wild.example", {&fix.b_ec}, {0}, false, false},
        {"second", "a.example", {&fix.b_ec}, {0}, false, false},
    };
    (void)state;
    struct tls_server_spec *server = server_make(wishes, 4, 0);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION, NULL);
        raw_dial(&raw, &conn, worker, server, cases[i].sni);
        assert_int_equal(conn.open, cases[i].listener != NULL);
        if (conn.open) {
            assert_true(span_equal_str(tls_info_of(&conn)->listener_id, cases[i].listener));
            assert_true(span_equal_str(tls_info_of(&conn)->server_name, cases[i].name));
        } else {
            assert_int_equal(raw.error, SSL_AD_REASON_OFFSET + SSL_AD_UNRECOGNIZED_NAME);
            assert_string_equal(conn.text, "TLS: unrecognized server name");
        }
        conn_end(&conn);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

static void test_certificate_choice(void **state)
{
    const struct {
        const char *sni, *sigalgs;
        X509 *expected;
    } cases[] = {
        {"a.example", "ECDSA+SHA256:RSA-PSS+SHA256", fix.a_ec.cert},
        {"a.example", "ECDSA+SHA256", fix.a_ec.cert},
        {"a.example", "RSA-PSS+SHA256:RSA+SHA256", fix.a_rsa.cert},
        {"q.wild.example", "ECDSA+SHA256:RSA-PSS+SHA256", fix.wild.cert},
        {"other.example", "ECDSA+SHA256", fix.a_ec.cert},
    };
    (void)state;
    struct tls_server_spec *server = server_make(
        &(struct listener_wish){"l", "", {&fix.a_ec, &fix.a_rsa, &fix.wild}, {0}, 0, 0}, 1, 0);
    for (size_t i = 0; i < 2 * ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION, NULL);
        assert_int_equal(SSL_CTX_set1_sigalgs_list(raw.ctx, cases[i / 2].sigalgs), 1);
        raw_dial(&raw, &conn, worker, server, cases[i / 2].sni);
        assert_true(raw.open);
        assert_int_equal(X509_cmp(SSL_get0_peer_certificate(raw.ssl), cases[i / 2].expected), 0);
        conn_end(&conn);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

static void test_alpn(void **state)
{
    static const struct {
        const char *offer;
        bool open;
        const char *chosen;
    } cases[] = {
        {"", true, ""},
        {"\x08http/1.1", true, "http/1.1"},
        {"\x02h2\x08http/1.1", true, "http/1.1"},
        {"\x02h2", false, NULL},
        {"\x03"
         "ftp",
         false, NULL},
        {"\x07http/1.", false, NULL},
    };
    (void)state;
    struct tls_server_spec *server = server_plain();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, TLS1_3_VERSION, NULL);
        if (cases[i].offer[0])
            SSL_CTX_set_alpn_protos(raw.ctx, (const uint8_t *)cases[i].offer,
                                    (unsigned)strlen(cases[i].offer));
        raw_dial(&raw, &conn, worker, server, "a.example");
        assert_int_equal(conn.open, cases[i].open);
        if (conn.open) {
            assert_true(span_equal_str(tls_info_of(&conn)->alpn, cases[i].chosen));
        } else {
            assert_int_equal(raw.error, SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
            assert_string_equal(conn.text, "TLS: no application protocol in common");
        }
        conn_end(&conn);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

/* CVE-2025-23419's class: a session made with a host without client certificates never resumes on one
 * that asks for them, nor after its CA changed, nor on another listener. */
static void test_resumption_stays_with_its_host(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct listener_wish wishes[] = {
        {"a", "a.example", {&fix.a_ec}, {0}, false, false},
        {"b", "b.example", {&fix.b_ec}, fix.ca.cert_pem, true, false},
        {"c", "c.example", {&fix.a_ec}, {0}, false, false},
    };
    (void)state;
    struct tls_server_spec *server = server_make(wishes, 3, 0);
    struct span both = fixture_concat(fix.ca.cert_pem, fix.other_ca.cert_pem);
    wishes[1].ca_pem = both;
    struct tls_server_spec *changed = server_make(wishes, 3, 0);
    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, versions[i], NULL);
        raw_dial(&raw, &conn, worker, server, "a.example");
        assert_true(conn.open && raw.session);
        conn_end(&conn);
        raw_disconnect(&raw);
        SSL_SESSION *session = SSL_SESSION_dup(raw.session);

        raw_dial(&raw, &conn, worker, server, "b.example"); /* no certificate: not let in */
        assert_false(conn.open);
        assert_string_equal(conn.text, "TLS: the peer sent no certificate");
        conn_end(&conn);
        raw_disconnect(&raw);
        SSL_SESSION_free(raw.session);
        raw.session = session;

        raw_dial(&raw, &conn, worker, server, "c.example");
        assert_true(conn.open && !tls_info_of(&conn)->resumed);
        conn_end(&conn);
        raw_fini(&raw);

        raw_init(&raw, versions[i], &fix.client);
        raw_dial(&raw, &conn, worker, server, "b.example");
        assert_true(conn.open && tls_info_of(&conn)->peer_verified);
        conn_end(&conn);
        raw_disconnect(&raw);
        raw_dial(&raw, &conn, worker, server, "b.example");
        assert_true(conn.open && tls_info_of(&conn)->resumed);
        assert_true(tls_info_of(&conn)->peer_verified);
        conn_end(&conn);
        raw_disconnect(&raw);
        raw_dial(&raw, &conn, worker, changed, "b.example"); /* another CA set */
        assert_true(conn.open && !tls_info_of(&conn)->resumed);
        conn_end(&conn);
        raw_fini(&raw);
    }
    free((char *)(uintptr_t)both.ptr);
    tls_server_spec_free(server);
    tls_server_spec_free(changed);
}

static void test_resumption_across_workers_and_rotation(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;
    struct tls_server_spec *server = server_plain();
    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, versions[i], NULL);
        raw_dial(&raw, &conn, worker, server, "a.example");
        assert_true(conn.open && raw.session);
        conn_end(&conn);
        raw_disconnect(&raw);
        SSL_SESSION *first = raw.session;
        SSL_SESSION_up_ref(first);
        for (int rotations = 0; rotations <= TICKET_KEYS; rotations++) {
            SSL_SESSION_free(raw.session);
            raw.session = SSL_SESSION_dup(first); /* OpenSSL marks a session that was renewed */
            raw_dial(&raw, &conn, worker2, server, "a.example");
            assert_true(conn.open);
            assert_int_equal(tls_info_of(&conn)->resumed, rotations < TICKET_KEYS);
            conn_end(&conn);
            raw_disconnect(&raw);
            tls_ticket_rotate();
        }
        SSL_SESSION_free(first);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

static void test_client_resumes_by_spec(void **state)
{
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *one = client_plain(), *two = client_plain();
    struct model_cert cert = fixture_model_cert(&fix.client);
    struct tls_client_spec *other =
        client_make(&(struct model_backend_tls){.server_name = SPAN_LIT("a.example"),
                                                .ca_pem = fix.ca.cert_pem,
                                                .has_client_cert = true,
                                                .client_cert = cert});
    assert_true(span_equal(tls_client_spec_id(one), tls_client_spec_id(two)));
    assert_false(span_equal(tls_client_spec_id(one), tls_client_spec_id(other)));
    const struct {
        struct tls_client_spec *spec;
        bool resumed;
    } steps[] = {{other, false}, {other, true}, {one, false}, {two, true}, {one, true}};
    tls_client_spec_free(client_plain());
    /* Contexts of earlier tests hold sessions of the same spec. */
    struct tls_worker *fresh = tls_worker_new(&loops[0], NULL);
    assert_non_null(fresh);
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        struct pair pair;
        conn_begin(&pair.server, tls_server_layer_new(worker, server));
        conn_begin(&pair.client,
                   tls_client_layer_new(fresh, steps[i].spec, SPAN_LIT("http/1.1")));
        conn_pump(&pair.client, &pair.server, 100000);
        assert_true(pair.client.open);
        assert_int_equal(tls_info_of(&pair.client)->resumed, steps[i].resumed);
        assert_true(tls_info_of(&pair.client)->peer_verified);
        assert_true(span_equal_str(tls_info_of(&pair.client)->peer_dns, "a.example"));
        pair_end(&pair);
    }
    tls_client_spec_free(one);
    tls_client_spec_free(two);
    tls_client_spec_free(other);
    tls_worker_sweep(fresh, NULL, 0);
    tls_worker_free(fresh);
    tls_server_spec_free(server);
}

static void test_client_certificate_to_backend(void **state)
{
    (void)state;
    struct model_cert cert = fixture_model_cert(&fix.client);
    struct tls_server_spec *server = server_make(
        &(struct listener_wish){"l", "", {&fix.a_ec}, fix.ca.cert_pem, true, false}, 1, 0);
    struct tls_client_spec *with =
        client_make(&(struct model_backend_tls){.server_name = SPAN_LIT("a.example"),
                                                .ca_pem = fix.ca.cert_pem,
                                                .has_client_cert = true,
                                                .client_cert = cert});
    struct tls_client_spec *without = client_plain();
    struct pair pair;
    pair_begin(&pair, worker, server, with);
    conn_pump(&pair.client, &pair.server, 100000);
    assert_true(pair.server.open && tls_info_of(&pair.server)->peer_verified);
    pair_end(&pair);
    pair_begin(&pair, worker, server, without);
    conn_pump(&pair.client, &pair.server, 100000);
    assert_false(pair.server.open);
    /* In TLS 1.3 the client is done before the server looks; the alert comes on the open conn. */
    assert_int_equal(pair.client.error, -EPROTO);
    assert_string_equal(pair.client.text, "TLS: peer alert: certificate required");
    pair_end(&pair);
    tls_client_spec_free(with);
    tls_client_spec_free(without);
    tls_server_spec_free(server);
}

static void test_garbage(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "TLS: the client speaks plain HTTP"},
        {"HTTP/1.1 200 OK\r\n\r\n", "TLS: what came is not TLS"},
        {"\x16\x03\x01\xff\xff" "aaaaaaaaaaaaaaaaa", NULL},
        {"\x17\x03\x03\x01\x01" "aaaaaaaaaaaaaaaaaaaaaa", NULL},
        {"\x15\x03\x03\x01\x02\x02\x28", NULL},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "TLS: what came is not TLS"},
    };
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *client = client_plain();
    for (size_t i = 0; i < 2 * ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct layer *layer = i & 1 ? tls_client_layer_new(worker, client, SPAN_NONE)
                                    : tls_server_layer_new(worker, server);
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

/* A flipped bit anywhere ends the handshake or the connection; never a crash, never wrong plaintext. */
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

static void test_bad_listeners_are_left_out(void **state)
{
    struct fixture_pair mixed = {.cert_pem = fix.a_ec.cert_pem, .key_pem = fix.b_ec.key_pem};
    struct listener_wish wishes[] = {
        {"mixed", "a.example", {&mixed}, {0}, false, false},
        {"empty", "c.example", {NULL}, {0}, false, false},
        {"half", "b.example", {&mixed, &fix.b_ec}, {0}, false, false},
    };
    (void)state;
    struct tls_server_spec *server = server_make(wishes, 3, 3);
    static const struct {
        const char *sni;
        bool open;
    } cases[] = {{"a.example", false}, {"c.example", false}, {"b.example", true}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, TLS1_3_VERSION, NULL);
        raw_dial(&raw, &conn, worker, server, cases[i].sni);
        assert_int_equal(conn.open, cases[i].open);
        conn_end(&conn);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

static void test_bad_client_specs(void **state)
{
    struct model_cert mixed = {.id = SPAN_LIT("x"),
                               .cert_pem = fix.a_ec.cert_pem,
                               .key_pem = fix.b_ec.key_pem};
    struct model_backend_tls cases[] = {
        {.server_name = SPAN_LIT(""), .ca_pem = fix.ca.cert_pem},
        {.server_name = SPAN_LIT("a.example"), .ca_pem = SPAN_LIT("rubbish")},
        {.server_name = SPAN_LIT("a.example"), .has_client_cert = true, .client_cert = mixed},
        {.server_name = SPAN_LIT("a\0b")},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tls_client_spec *spec = NULL;
        struct err err = {0};
        assert_int_equal(tls_client_compile(&cases[i], &spec, &err), -EINVAL);
        assert_null(spec);
        assert_true(err.text[0] != '\0');
    }
}

static void test_sweep_keeps_live_contexts(void **state)
{
    (void)state;
    struct tls_server_spec *one = server_plain();
    struct tls_server_spec *two =
        server_make(&(struct listener_wish){"l", "", {&fix.b_ec}, {0}, 0, 0}, 1, 0);
    struct conn conn;
    struct raw raw;
    raw_init(&raw, TLS1_3_VERSION, NULL);
    raw_dial(&raw, &conn, worker, one, "a.example");
    const struct tls_server_spec *live[] = {two};
    tls_worker_sweep(worker, live, 1); /* the open conn keeps what it needs */
    tls_server_spec_free(one);
    conn_say(&conn, "still here");
    assert_true(conn.out.len > 0);
    conn_end(&conn);
    raw_disconnect(&raw);
    raw_dial(&raw, &conn, worker, two, "a.example");
    assert_true(conn.open);
    conn_end(&conn);
    raw_fini(&raw);
    tls_worker_sweep(worker, live, 1);
    tls_worker_sweep(worker, live, 0);
    tls_server_spec_free(two);
}

static int setup(void **state)
{
    (void)state;
    metric_thread_init();
    fixture_init(&fix);
    worker = tls_worker_new(&loops[0], NULL);
    worker2 = tls_worker_new(&loops[1], NULL);
    return worker && worker2 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    tls_worker_free(worker);
    tls_worker_free(worker2);
    fixture_fini(&fix);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_and_data),
        cmocka_unit_test(test_large_transfer),
        cmocka_unit_test(test_backend_verification),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_validation_without_ca_refuses),
        cmocka_unit_test(test_server_names),
        cmocka_unit_test(test_certificate_choice),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_resumption_stays_with_its_host),
        cmocka_unit_test(test_resumption_across_workers_and_rotation),
        cmocka_unit_test(test_client_resumes_by_spec),
        cmocka_unit_test(test_client_certificate_to_backend),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_renegotiation_is_refused),
        cmocka_unit_test(test_key_updates_are_limited),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_handshake_cut_short),
        cmocka_unit_test(test_bad_listeners_are_left_out),
        cmocka_unit_test(test_bad_client_specs),
        cmocka_unit_test(test_sweep_keeps_live_contexts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
