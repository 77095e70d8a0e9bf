/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_TLS_TLS_DOUBLE_H
#define RINGGATE_T_UNIT_TLS_TLS_DOUBLE_H

#include "tls_fixture.h"

#include <errno.h>

#include "base/buf.h"
#include "base/metric.h"
#include "io/conn.h"
#include "tls/ticket.h"

/* Layers over conns that are two byte buffers, so that a test decides how the bytes are
 * cut and what comes between. The functions of io/ that layers call are here; the real ones
 * are used in tls_conn_test. The peer is another layer, or OpenSSL used directly ("raw") for
 * what our own side would never do. */

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

bool conn_is_over(const struct conn *conn)
{
    return conn->error != 0;
}

/* Slow work of all loops of a thread. */
static __thread struct dlist slow;

void loop_defer_slow(struct loop *loop, struct loop_task *task)
{
    (void)loop;
    if (!slow.next)
        dlist_init(&slow);
    dlist_push_back(&slow, &task->link);
}

void loop_cancel(struct loop_task *task)
{
    dlist_remove(&task->link);
}

/* What the loop does at the end of a turn. */
static inline void conn_run_slow(void)
{
    struct dlist *link;
    while (slow.next && (link = dlist_pop_front(&slow))) {
        struct loop_task *task = dlist_entry(link, struct loop_task, link);
        task->run(task);
    }
}

struct layer *conn_find_layer(const struct conn *conn, const struct layer_ops *ops)
{
    return conn->layer && conn->layer->ops == ops ? conn->layer : NULL;
}

static struct loop loops[2] = {{.conns_max = 2000}, {.conns_max = 2000}};
static struct tls_worker *worker, *worker2;

static inline void conn_begin(struct conn *conn, struct layer *layer)
{
    assert_non_null(layer);
    *conn = (struct conn){.layer = layer, .text = ""};
    buf_init(&conn->out, 8u << 20);
    buf_init(&conn->in, 8u << 20);
    layer->conn = conn;
    layer->ops->on_open(layer);
}

static inline void conn_end(struct conn *conn)
{
    if (conn->layer)
        conn->layer->ops->free(conn->layer);
    buf_fini(&conn->out);
    buf_fini(&conn->in);
    conn->layer = NULL;
}

/* Gives what `from` made to `to`, chunk bytes at a time. */
static inline bool conn_move(struct conn *from, struct conn *to, size_t chunk)
{
    struct buf data = from->out;
    if (data.len == 0)
        return false;
    buf_init(&from->out, 8u << 20);
    for (size_t i = 0; i < data.len && !to->error; i += chunk)
        to->layer->ops->on_data(to->layer, span_make(data.data + i, MIN(chunk, data.len - i)));
    buf_fini(&data);
    conn_run_slow();
    return true;
}

static inline void conn_pump(struct conn *a, struct conn *b, size_t chunk)
{
    bool moved = true;
    while (moved) {
        moved = conn_move(a, b, chunk);
        moved |= conn_move(b, a, chunk);
    }
}

static inline void conn_say(struct conn *conn, const char *text)
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

static inline void count_bad(void *user, const struct model_listener *listener,
                             const struct err *err)
{
    (void)listener;
    assert_true(err->code < 0 && err->text[0] != '\0');
    ++*(unsigned *)user;
}

static inline struct tls_server_spec *server_make(const struct listener_wish *wishes,
                                                  unsigned count, unsigned bad_expected)
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

static inline struct tls_server_spec *server_plain(void)
{
    return server_make(&(struct listener_wish){"ns/gw/a", "", {&fix.a_ec}, {0}, 0, 0}, 1, 0);
}

static inline struct tls_client_spec *client_make(const struct model_backend_tls *tls)
{
    struct tls_client_spec *spec = NULL;
    struct err err = {0};
    int rc = tls_client_compile(tls, &spec, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
    return spec;
}

static inline struct tls_client_spec *client_plain(void)
{
    return client_make(&(struct model_backend_tls){.server_name = SPAN_LIT("a.example"),
                                                   .ca_pem = fix.ca.cert_pem});
}

struct pair {
    struct conn client, server;
};

static inline void pair_begin(struct pair *pair, struct tls_worker *server_worker,
                              const struct tls_server_spec *server,
                              const struct tls_client_spec *client)
{
    conn_begin(&pair->server, tls_server_layer_new(server_worker, server, FIXTURE_ALPN));
    conn_begin(&pair->client, tls_client_layer_new(worker, client, SPAN_LIT("http/1.1")));
}

static inline void pair_end(struct pair *pair)
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

static inline int raw_on_session(SSL *ssl, SSL_SESSION *session)
{
    struct raw *raw = SSL_get_app_data(ssl);
    SSL_SESSION_free(raw->session);
    raw->session = session;
    return 1;
}

static inline void raw_init(struct raw *raw, int version, const struct fixture_pair *cert)
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

static inline void raw_connect(struct raw *raw, const char *server_name)
{
    raw->ssl = SSL_new(raw->ctx);
    raw->open = false;
    raw->error = 0;
    SSL_set_app_data(raw->ssl, raw);
    SSL_set_bio(raw->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (server_name)
        SSL_ctrl(raw->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)server_name);
    SSL_set_connect_state(raw->ssl);
}

static inline void raw_disconnect(struct raw *raw)
{
    if (raw->ssl)
        SSL_set_shutdown(raw->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(raw->ssl);
    raw->ssl = NULL;
}

static inline void raw_fini(struct raw *raw)
{
    raw_disconnect(raw);
    SSL_SESSION_free(raw->session);
    SSL_CTX_free(raw->ctx);
}

static inline void raw_step(struct raw *raw)
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

static inline void raw_pump(struct raw *raw, struct conn *conn)
{
    for (int rounds = 0; rounds < 20; rounds++) {
        char data[65536];
        raw_step(raw);
        int len = BIO_read(SSL_get_wbio(raw->ssl), data, sizeof(data));
        if (len > 0 && !conn->error)
            conn->layer->ops->on_data(conn->layer, span_make(data, (size_t)len));
        conn_run_slow();
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
static inline void raw_dial(struct raw *raw, struct conn *conn, struct tls_worker *on,
                            const struct tls_server_spec *spec, const char *server_name)
{
    conn_begin(conn, tls_server_layer_new(on, spec, FIXTURE_ALPN));
    raw_connect(raw, server_name);
    if (raw->session)
        SSL_set_session(raw->ssl, raw->session);
    raw_pump(raw, conn);
}

static inline int double_setup(void **state)
{
    (void)state;
    metric_thread_init();
    (void)fixture_setup(state);
    for (int i = 0; i < 2; i++)
        loops[i].blocks = block_pool_new(64);
    worker = tls_worker_new(&loops[0], NULL);
    worker2 = tls_worker_new(&loops[1], NULL);
    return worker && worker2 ? 0 : -1;
}

static inline int double_teardown(void **state)
{
    (void)state;
    tls_worker_free(worker);
    tls_worker_free(worker2);
    for (int i = 0; i < 2; i++)
        block_pool_free(loops[i].blocks); /* all are back */
    (void)fixture_teardown(state);
    return 0;
}

#endif
