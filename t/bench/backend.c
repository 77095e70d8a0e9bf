/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "wire.h"

/* The backends of the benchmark in one thread: backend [-p] HTTP ECHO BULK [MTLS CERT KEY CA],
 * upper case is a port or a file.
 *
 * HTTP  keep-alive; the last segment of the path says how large the body is: 0, 100, 1k, 64k or 1m.
 * A request for an upgrade gets 101 and then an echo. ECHO  sends back what comes.  BULK  sends
 * without end after the first byte. MTLS  HTTP behind TLS with a client certificate. -p polls
 * instead of sleeping, so that no peer pays for waking us. */

#define EVENTS 256

enum kind { HTTP, ECHO, BULK, MTLS, KINDS };

struct conn {
    struct wire wire;
    enum kind kind;
    bool listens;
    const char *out; /* static bytes that are left to send */
    size_t out_len, in_len;
    char in[16384];
};

static struct response {
    const char *segment;
    size_t size, len;
    char *bytes;
} responses[] = {{"0", 0, 0, NULL},
                 {"100", 100, 0, NULL},
                 {"1k", 1024, 0, NULL},
                 {"64k", 65536, 0, NULL},
                 {"1m", 1 << 20, 0, NULL}};

static char bulk[256 * 1024];
static SSL_CTX *tls;
static int epoll;

static void responses_make(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(responses); i++) {
        struct response *response = &responses[i];
        response->bytes = malloc(response->size + 256);
        if (!response->bytes)
            wire_die("malloc");
        int n = snprintf(response->bytes, 256,
                         "HTTP/1.1 200 OK\r\nServer: b\r\nContent-Type: text/plain\r\n"
                         "Content-Length: %zu\r\n\r\n",
                         response->size);
        memset(response->bytes + n, 'x', response->size);
        response->len = (size_t)n + response->size;
    }
}

static void conn_watch(struct conn *conn)
{
    struct epoll_event event = {.events =
                                    EPOLLIN | (conn->listens ? 0 : EPOLLOUT | EPOLLRDHUP | EPOLLET),
                                .data.ptr = conn};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, conn->wire.fd, &event) < 0)
        wire_die("epoll_ctl");
}

static struct conn *conn_new(enum kind kind)
{
    struct conn *conn = malloc(sizeof(*conn));
    if (!conn)
        wire_die("malloc");
    memset(conn, 0, offsetof(struct conn, in));
    conn->kind = kind;
    return conn;
}

static void listen_on(enum kind kind, const char *port)
{
    struct conn *conn = conn_new(kind);
    conn->listens = true;
    conn->wire.fd = wire_listen((uint16_t)strtoul(port, NULL, 10));
    conn_watch(conn);
}

static void accept_all(struct conn *listener)
{
    struct wire wire;
    while (wire_accept(&wire, listener->wire.fd, listener->kind == MTLS ? tls : NULL) == 0) {
        struct conn *conn = conn_new(listener->kind);
        conn->wire = wire;
        conn_watch(conn);
    }
}

static int conn_flush(struct conn *conn)
{
    for (;;) {
        int rc = wire_flush(&conn->wire, &conn->out, &conn->out_len);
        if (rc < 0 || conn->kind != BULK || conn->out_len > 0)
            return rc;
        conn->out = bulk;
        conn->out_len = sizeof(bulk);
    }
}

/* The answer to the head that ends at end. */
static void answer(struct conn *conn, const char *end)
{
    static const char upgraded[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    const char *line = memchr(conn->in, '\r', (size_t)(end - conn->in));
    const char *target = memchr(conn->in, ' ', (size_t)(line - conn->in));
    const char *stop = target ? memchr(target + 1, ' ', (size_t)(line - target - 1)) : NULL;
    const struct response *response = &responses[1];
    if (stop) {
        const char *slash = memrchr(target, '/', (size_t)(stop - target));
        size_t len = slash ? (size_t)(stop - slash - 1) : 0;
        if (len == 2 && memcmp(slash + 1, "ws", 2) == 0) {
            conn->kind = ECHO;
            conn->out = upgraded;
            conn->out_len = sizeof(upgraded) - 1;
            return;
        }
        for (size_t i = 0; i < ARRAY_COUNT(responses); i++)
            if (strlen(responses[i].segment) == len &&
                memcmp(responses[i].segment, slash + 1, len) == 0)
                response = &responses[i];
    }
    conn->out = response->bytes;
    conn->out_len = response->len;
}

static int conn_requests(struct conn *conn)
{
    while (conn->in_len > 0 && conn->out_len == 0 && conn->kind != ECHO) {
        char *end = memmem(conn->in, conn->in_len, "\r\n\r\n", 4);
        if (!end)
            return conn->in_len == sizeof(conn->in) ? -EMSGSIZE : 0;
        answer(conn, end);
        size_t used = (size_t)(end - conn->in) + 4;
        conn->in_len -= used;
        memmove(conn->in, conn->in + used, conn->in_len);
        if (conn_flush(conn) < 0)
            return -EPIPE;
    }
    return 0;
}

static int conn_received(struct conn *conn, size_t n)
{
    switch (conn->kind) {
    case BULK:
        return conn_flush(conn);
    case ECHO: /* one small message at a time, so it fits */
        return wire_write(&conn->wire, conn->in, n) == (ssize_t)n ? 0 : -EPIPE;
    default:
        conn->in_len += n;
        return conn_requests(conn);
    }
}

static int conn_serve(struct conn *conn)
{
    if (conn->out_len > 0 && conn_flush(conn) < 0)
        return -EPIPE;
    if (conn->in_len > 0 && conn_requests(conn) < 0)
        return -EPIPE;
    for (;;) {
        size_t room = sizeof(conn->in) - conn->in_len;
        ssize_t n = wire_read(&conn->wire, conn->in + conn->in_len, room);
        if (n == -EAGAIN)
            return 0;
        if (n <= 0 || conn_received(conn, (size_t)n) < 0)
            return -EPIPE;
        if (!conn->wire.ssl && (size_t)n < room)
            return 0; /* the next byte is a new edge */
    }
}

static void serve_forever(bool poll)
{
    static struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, poll ? 0 : -1);
        if (n == 0)
            (void)sched_yield(); /* the client runs on this core as well */
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            if (conn->listens) {
                accept_all(conn);
            } else if (conn_serve(conn) < 0) {
                wire_close(&conn->wire);
                free(conn);
            }
        }
    }
}

int main(int argc, char **argv)
{
    bool poll = false;
    int option;
    while ((option = getopt(argc, argv, "p")) != -1) {
        if (option != 'p')
            return 2;
        poll = true;
    }
    argv += optind;
    argc -= optind;
    if (argc != 3 && argc != 7) {
        fprintf(stderr, "usage: backend [-p] HTTP ECHO BULK [MTLS CERT KEY CA]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        wire_die("epoll_create1");
    responses_make();
    if (argc == 7)
        tls = wire_server_tls(argv[4], argv[5], argv[6]);
    for (int kind = HTTP; kind < MIN(argc, (int)KINDS); kind++)
        listen_on((enum kind)kind, argv[kind]);
    serve_forever(poll);
}
