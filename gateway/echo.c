/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/echo.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/panic.h"
#include "conf/model.h"
#include "http/h1_server.h"
#include "io/acceptor.h"
#include "io/mailbox.h"
#include "tls/tls_server.h"

#define ECHO_CLIENTS_MAX 4096u
#define ECHO_ANSWER_MAX (256u << 10) /* bytes of JSON: a whole head, every byte escaped */

/* The echo thread owns all but what echo_start has made before it begins:
 * sockets, certificates and the TLS spec. A client is first a conn that shakes
 * hands, then a session; it dies with whichever it is. A request lives from
 * request_arena to its answer or reset. */

struct echo_socket {
    struct echo *echo;
    struct acceptor *acceptor;
    int fd;
    uint16_t port;
    bool mtls;
};

struct echo {
    struct echo_socket sockets[ECHO_PORT_COUNT];
    enum loop_engine engine;
    struct model_listener listener;
    struct model_cert cert;
    struct arena arena; /* the PEM texts */
    struct tls_server_spec *spec;
    struct loop *loop;
    struct mailbox *mailbox;
    struct tls_worker *tls;
    struct h1_server_pool *sessions;
    struct http_limits limits;
    struct dlist clients; /* struct echo_client.link */
    struct mail stop;
    pthread_t thread;
    sem_t started;
    int start_error;
    struct err err;
};

struct echo_client {
    struct dlist link;
    struct echo_socket *socket;
    struct conn *conn; /* while it shakes hands; then the session's */
    struct conn_owner conn_owner;
    struct http_server_owner server_owner;
    struct http_server *session; /* NULL: shaking hands */
};

struct echo_request {
    struct http_stream_user user;
    struct arena arena;
    struct http_head *head;
    uint64_t body_bytes;
};

/* --- a request ----------------------------------------------------------- */

static void echo_request_free(struct echo_request *request)
{
    arena_fini(&request->arena);
    free(request);
}

static struct echo_request *echo_request_of(struct http_stream_user *user)
{
    return container_of(user, struct echo_request, user);
}

static void echo_write_tls(struct json_out *out, const struct tls_info *tls)
{
    json_out_key(out, "tls");
    if (tls == NULL) {
        json_out_null(out);
        return;
    }
    json_out_object_begin(out);
    json_out_key(out, "version");
    json_out_str(out, tls->version);
    json_out_key(out, "server_name");
    json_out_span(out, tls->server_name);
    json_out_key(out, "peer_spiffe_id");
    json_out_span(out, tls->peer_spiffe_id);
    json_out_object_end(out);
}

static void echo_write_answer(const struct echo_request *request, const struct conn *conn,
                              struct buf *buf)
{
    const struct http_head *head = request->head;
    struct json_out out;

    json_out_init(&out, buf);
    json_out_object_begin(&out);
    json_out_key(&out, "method");
    json_out_span(&out, head->method_text);
    json_out_key(&out, "target");
    json_out_span(&out, head->target);
    json_out_key(&out, "headers");
    json_out_object_begin(&out);
    for (unsigned i = 0; i < head->fields_count; i++) {
        if (head->fields[i].removed)
            continue;
        char name[256];
        struct span field = head->fields[i].name;
        field.len = MIN(field.len, sizeof(name) - 1);
        span_lower_to(field, name);
        name[field.len] = '\0';
        json_out_key(&out, name);
        json_out_span(&out, head->fields[i].value);
    }
    json_out_object_end(&out);
    json_out_key(&out, "body_bytes");
    json_out_int(&out, (int64_t)request->body_bytes);
    echo_write_tls(&out, tls_info_of(conn));
    json_out_object_end(&out);
    buf_add_char(buf, '\n');
}

static int echo_send(struct echo_request *request, struct http_stream *stream, struct span body)
{
    bool is_head = request->head->method == HTTP_METHOD_HEAD;
    struct http_head *head = http_head_new(&request->arena, 4);

    if (head == NULL)
        return -ENOMEM;
    head->is_response = true;
    head->status = 200;
    head->content_length = (int64_t)body.len;
    if (!http_head_add(head, SPAN_LIT("content-type"), SPAN_LIT("application/json")))
        return -ENOMEM;
    int rc = http_stream_send_head(stream, head, is_head);
    if (rc != 0 || is_head)
        return rc;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)body.ptr, .iov_len = body.len};
    rc = http_stream_send_body(stream, &iov, 1);
    return rc != 0 ? rc : http_stream_end(stream, NULL);
}

static void echo_on_body(struct http_stream_user *user, struct http_stream *stream,
                         struct span data)
{
    echo_request_of(user)->body_bytes += data.len;
    http_stream_grant(stream, data.len);
}

static void echo_on_end(struct http_stream_user *user, struct http_stream *stream,
                        struct http_head *trailers UNUSED)
{
    struct echo_request *request = echo_request_of(user);
    struct buf answer;

    buf_init(&answer, ECHO_ANSWER_MAX);
    echo_write_answer(request, http_stream_conn(stream), &answer);
    /* A failed send tells on_reset, which frees the request. */
    if (echo_send(request, stream, buf_span(&answer)) == 0)
        echo_request_free(request);
    buf_fini(&answer);
}

static void echo_on_drain(struct http_stream_user *user UNUSED, struct http_stream *stream UNUSED)
{
}

static void echo_on_reset(struct http_stream_user *user, struct http_stream *stream UNUSED,
                          enum http_error error UNUSED)
{
    echo_request_free(echo_request_of(user));
}

static const struct http_stream_user_ops echo_user_ops = {
    .on_body = echo_on_body,
    .on_end = echo_on_end,
    .on_drain = echo_on_drain,
    .on_reset = echo_on_reset,
};

/* --- a client ------------------------------------------------------------ */

static void echo_client_free(struct echo_client *client)
{
    dlist_remove(&client->link);
    free(client);
}

static void echo_on_request(struct http_server_owner *owner UNUSED, struct http_stream *stream,
                            struct http_head *head)
{
    struct echo_request *request = container_of(head->arena, struct echo_request, arena);
    request->user.ops = &echo_user_ops;
    request->head = head;
    stream->user = &request->user;
    http_stream_grant(stream, HTTP_STREAM_WINDOW);
}

static struct arena *echo_request_arena(struct http_server_owner *owner UNUSED)
{
    struct echo_request *request = xcalloc(1, sizeof(*request));
    arena_init(&request->arena, 8192, 256u << 10, NULL);
    return &request->arena;
}

static void echo_release_arena(struct http_server_owner *owner UNUSED, struct arena *arena)
{
    echo_request_free(container_of(arena, struct echo_request, arena));
}

static void echo_on_refused(struct http_server_owner *owner UNUSED, enum http_error error UNUSED,
                            const struct http_head *head UNUSED)
{
}

static void echo_on_session_closed(struct http_server_owner *owner, enum http_error error UNUSED)
{
    echo_client_free(container_of(owner, struct echo_client, server_owner));
}

static const struct http_server_owner_ops echo_server_ops = {
    .on_request = echo_on_request,
    .request_arena = echo_request_arena,
    .release_arena = echo_release_arena,
    .on_refused = echo_on_refused,
    .on_closed = echo_on_session_closed,
};

static void echo_client_serve(struct echo_client *client)
{
    struct echo *echo = client->socket->echo;
    struct h1_server_options options = {.limits = &echo->limits, .secure = client->socket->mtls};

    client->session =
        h1_server_start(echo->sessions, client->conn, &options, &client->server_owner);
    if (client->session == NULL) {
        conn_abort(client->conn);
        echo_client_free(client);
    }
}

static void echo_on_open(struct conn_owner *owner, struct conn *conn UNUSED)
{
    echo_client_serve(container_of(owner, struct echo_client, conn_owner));
}

/* Nothing is consumed: what comes before the handshake has ended stays for the session. */
static void echo_on_early_data(struct conn_owner *owner UNUSED, struct conn *conn UNUSED)
{
}

static void echo_on_conn_close(struct conn_owner *owner, struct conn *conn UNUSED, int error UNUSED)
{
    echo_client_free(container_of(owner, struct echo_client, conn_owner));
}

static void echo_on_conn_end(struct conn_owner *owner, struct conn *conn)
{
    conn_abort(conn);
    echo_on_conn_close(owner, conn, 0);
}

static const struct conn_owner_ops echo_conn_ops = {
    .name = "echo",
    .on_open = echo_on_open,
    .on_data = echo_on_early_data,
    .on_end = echo_on_conn_end,
    .on_timeout = echo_on_conn_end,
    .on_close = echo_on_conn_close,
};

static void echo_on_accept(struct acceptor *acceptor UNUSED, struct conn *conn, void *user)
{
    struct echo_socket *socket = user;
    struct echo *echo = socket->echo;
    struct echo_client *client = xcalloc(1, sizeof(*client));

    dlist_push_back(&echo->clients, &client->link);
    client->socket = socket;
    client->conn = conn;
    client->conn_owner.ops = &echo_conn_ops;
    client->server_owner.ops = &echo_server_ops;
    conn_set_owner(conn, &client->conn_owner);
    if (!socket->mtls) {
        conn_start(conn);
        echo_client_serve(client);
        return;
    }
    struct layer *layer = tls_server_layer_new(echo->tls, echo->spec, SPAN_LIT("http/1.1"));
    if (layer == NULL) {
        conn_abort(conn);
        echo_client_free(client);
        return;
    }
    conn_push_layer(conn, layer);
    conn_set_deadline(conn, echo->loop->clock.mono_ns + 5 * NS_PER_S);
    conn_start(conn);
}

/* --- the thread ---------------------------------------------------------- */

static void echo_on_stop(struct mail *mail)
{
    loop_stop(container_of(mail, struct echo, stop)->loop);
}

static int echo_open(struct echo *echo)
{
    struct loop_options options = {
        .engine = echo->engine,
        .conns_max = ECHO_CLIENTS_MAX,
        .blocks_max = 1024,
        .rx_buffers = 64,
    };
    int rc = loop_new(&echo->loop, &options, &echo->err);
    if (rc != 0)
        return rc;
    rc = mailbox_new(&echo->mailbox, echo->loop, 4);
    if (rc != 0)
        return err_set(&echo->err, rc, "cannot make a mailbox: %s", strerror(-rc));
    echo->tls = tls_worker_new(echo->loop, &echo->err);
    if (echo->tls == NULL)
        return -ENOMEM;
    echo->sessions = h1_server_pool_new(echo->loop, ECHO_CLIENTS_MAX);
    for (unsigned i = 0; i < ECHO_PORT_COUNT; i++) {
        struct echo_socket *socket = &echo->sockets[i];
        socket->acceptor = acceptor_start(echo->loop, socket->fd, echo_on_accept, socket);
        if (socket->acceptor == NULL)
            return err_set(&echo->err, -ENOMEM, "cannot accept connections: no memory");
        socket->fd = -1;
    }
    return 0;
}

static void echo_close(struct echo *echo)
{
    for (unsigned i = 0; i < ECHO_PORT_COUNT; i++)
        if (echo->sockets[i].acceptor != NULL)
            acceptor_stop(echo->sockets[i].acceptor);
    dlist_foreach(it, next, &echo->clients)
    {
        struct echo_client *client = container_of(it, struct echo_client, link);
        if (client->session != NULL) {
            http_server_abort(client->session);
        } else {
            conn_abort(client->conn);
            echo_client_free(client);
        }
    }
    if (echo->loop == NULL)
        return;
    /* Connections free their TLS layers, so they go before the TLS state. */
    for (int turns = 0; turns < 100 && echo->loop->conns > 0; turns++)
        loop_turn(echo->loop, 10 * NS_PER_MS);
    if (echo->mailbox != NULL)
        mailbox_free(echo->mailbox);
    h1_server_pool_free(echo->sessions);
    tls_worker_free(echo->tls);
    loop_free(echo->loop);
}

static void *echo_main(void *arg)
{
    struct echo *echo = arg;
    bool open = (echo->start_error = echo_open(echo)) == 0;
    sem_post(&echo->started);
    if (open)
        loop_run(echo->loop);
    echo_close(echo);
    return NULL;
}

static int echo_bind(struct echo *echo, struct err *reterr)
{
    struct acceptor_options options = {.backlog = 512};
    for (unsigned i = 0; i < ECHO_PORT_COUNT; i++) {
        struct echo_socket *socket = &echo->sockets[i];
        struct addr addr;
        socklen_t len = sizeof(addr.in);

        int rc = addr_from_ip(SPAN_LIT("127.0.0.1"), 0, &addr);
        ASSERT(rc == 0);
        socket->echo = echo;
        socket->mtls = i == ECHO_PORT_MTLS;
        socket->fd = acceptor_listen(&addr, &options, reterr);
        if (socket->fd < 0)
            return socket->fd;
        if (getsockname(socket->fd, &addr.sa, &len) != 0)
            return err_set(reterr, -errno, "getsockname: %s", strerror(errno));
        socket->port = addr_port(&addr);
    }
    return 0;
}

static void echo_on_bad_cert(void *user, const struct model_listener *listener UNUSED,
                             const struct err *err)
{
    struct echo *echo = user;
    echo->start_error = err->code;
    echo->err = *err;
}

static int echo_tls(struct echo *echo, const struct echo_options *options)
{
    struct arena *arena = &echo->arena;
    const struct model_listener *listener = &echo->listener;

    echo->cert = (struct model_cert){
        .id = SPAN_LIT("demo/echo"),
        .cert_pem = arena_copy(arena, options->cert_pem),
        .key_pem = arena_copy(arena, options->key_pem),
    };
    echo->listener = (struct model_listener){
        .id = SPAN_LIT("demo/echo/mtls"),
        .gateway_ns = SPAN_LIT("demo"),
        .gateway = SPAN_LIT("echo"),
        .name = SPAN_LIT("mtls"),
        .protocol = MODEL_PROTOCOL_HTTPS,
        .port = echo->sockets[ECHO_PORT_MTLS].port,
        .certs = &echo->cert,
        .certs_count = 1,
        .frontend = {.validate = true, .ca_pem = arena_copy(arena, options->ca_pem)},
    };
    echo->spec = tls_server_compile(&listener, 1, echo_on_bad_cert, echo);
    if (echo->spec == NULL && echo->start_error == 0)
        echo->start_error = err_set(&echo->err, -ENOMEM, "out of memory");
    return echo->start_error;
}

/* Signals stay with the main thread. */
static int echo_thread(struct echo *echo)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&echo->thread, NULL, echo_main, echo);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return err_set(&echo->err, -rc, "cannot start a thread: %s", strerror(rc));
    while (sem_wait(&echo->started) != 0)
        ; /* EINTR */
    if (echo->start_error != 0)
        pthread_join(echo->thread, NULL);
    return echo->start_error;
}

static void echo_free(struct echo *echo)
{
    for (unsigned i = 0; i < ECHO_PORT_COUNT; i++)
        if (echo->sockets[i].fd >= 0)
            close(echo->sockets[i].fd);
    if (echo->spec != NULL)
        tls_server_spec_free(echo->spec);
    arena_fini(&echo->arena);
    sem_destroy(&echo->started);
    free(echo);
}

int echo_start(struct echo **ret, const struct echo_options *options, struct err *reterr)
{
    struct echo *echo = xcalloc(1, sizeof(*echo));

    for (unsigned i = 0; i < ECHO_PORT_COUNT; i++)
        echo->sockets[i].fd = -1;
    echo->engine = options->engine;
    echo->stop.on_mail = echo_on_stop;
    dlist_init(&echo->clients);
    arena_init(&echo->arena, 16384, 0, NULL);
    http_limits_default(&echo->limits);
    sem_init(&echo->started, 0, 0);
    tls_init();
    int rc = echo_bind(echo, &echo->err);
    if (rc == 0)
        rc = echo_tls(echo, options);
    if (rc == 0)
        rc = echo_thread(echo);
    if (rc != 0) {
        if (reterr != NULL)
            *reterr = echo->err;
        err_prefix(reterr, "the demo's backend");
        echo_free(echo);
        return rc;
    }
    *ret = echo;
    return 0;
}

uint16_t echo_port(const struct echo *echo, enum echo_port port)
{
    return echo->sockets[port].port;
}

void echo_stop(struct echo *echo)
{
    if (echo == NULL)
        return;
    int rc = mailbox_send(echo->mailbox, &echo->stop);
    ASSERT(rc == 0); /* the only message it ever gets */
    pthread_join(echo->thread, NULL);
    echo_free(echo);
}
