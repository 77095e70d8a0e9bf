/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/panic.h"
#include "io/addr.h"

#define WIRE_TURNS_MAX 5000 /* of at most 1 ms: far more than anything here needs */

unsigned wire_blocks_max;
static enum loop_engine engine_now = LOOP_ENGINE_EPOLL;

void wire_each_engine(void (*test)(void))
{
    static const enum loop_engine engines[] = {LOOP_ENGINE_EPOLL, LOOP_ENGINE_URING};
    enum loop_engine got;
    char reason[256];
    for (size_t i = 0; i < ARRAY_COUNT(engines); i++) {
        engine_now = engines[i];
        if (loop_engine_choose(engine_now, &got, reason, sizeof(reason)) == 0)
            test();
    }
    engine_now = LOOP_ENGINE_EPOLL;
}

struct loop *wire_loop_new(void)
{
    struct loop *loop;
    struct loop_options options = {
        .engine = engine_now, .conns_max = 64, .blocks_max = wire_blocks_max, .seed = 1};
    struct err err;
    int error = loop_new(&loop, &options, &err);
    if (error < 0)
        fprintf(stderr, "# loop_new: %s\n", err.text);
    ASSERT(error == 0);
    return loop;
}

void wire_open(struct wire *wire, struct loop *loop)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(name);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT(bind(listener, (struct sockaddr *)&name, len) == 0 && listen(listener, 1) == 0);
    ASSERT(getsockname(listener, (struct sockaddr *)&name, &len) == 0);
    *wire = (struct wire){.loop = loop, .fd = socket(AF_INET, SOCK_STREAM, 0)};
    ASSERT(connect(wire->fd, (struct sockaddr *)&name, len) == 0);
    ASSERT(setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ASSERT(fd >= 0);
    ASSERT(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0);
    close(listener);
    wire->conn = conn_new(loop, fd);
    ASSERT(wire->conn != NULL);
    buf_init(&wire->in, 16u << 20);
}

void wire_fini(struct wire *wire)
{
    wire_close(wire, false);
    buf_fini(&wire->in);
}

static void wire_receive(struct wire *wire)
{
    static char data[65536];
    while (wire->fd >= 0 && !wire->eof && !wire->reset) {
        ssize_t n = recv(wire->fd, data, sizeof(data), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            wire->reset = true;
        else if (n == 0)
            wire->eof = true;
        else
            buf_add(&wire->in, data, (size_t)n);
    }
}

void wire_turn(struct wire *wire)
{
    loop_turn(wire->loop, NS_PER_MS);
    wire_receive(wire);
}

void wire_send(struct wire *wire, const char *data, size_t len)
{
    while (len > 0 && !wire->reset) {
        ssize_t n = send(wire->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return; /* the other end has gone: the test looks at that */
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else {
            wire_turn(wire);
        }
    }
}

void wire_send_text(struct wire *wire, const char *text)
{
    wire_send(wire, text, strlen(text));
}

void wire_expect(struct wire *wire, const char *text)
{
    for (int i = 0; i < WIRE_TURNS_MAX; i++) {
        if (wire->in.len > 0 && memmem(wire->in.data, wire->in.len, text, strlen(text)) != NULL)
            return;
        wire_turn(wire);
    }
    panic(__FILE__, __LINE__, "expected \"%s\", got \"%s\"", text, buf_str(&wire->in));
}

bool wire_expect_end(struct wire *wire)
{
    for (int i = 0; i < WIRE_TURNS_MAX && !wire->eof && !wire->reset; i++)
        wire_turn(wire);
    if (!wire->eof && !wire->reset)
        panic(__FILE__, __LINE__, "still open after \"%s\"", buf_str(&wire->in));
    return wire->eof;
}

void wire_settle(struct wire *wire)
{
    for (int i = 0; i < 20; i++)
        wire_turn(wire);
}

void wire_shutdown(struct wire *wire)
{
    ASSERT(shutdown(wire->fd, SHUT_WR) == 0);
}

void wire_close(struct wire *wire, bool reset)
{
    if (wire->fd < 0)
        return;
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        ASSERT(setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    close(wire->fd);
    wire->fd = -1;
}

unsigned wire_count(struct wire *wire, const char *text)
{
    unsigned count = 0;
    const char *at = buf_str(&wire->in), *end = at + wire->in.len;
    while (at != NULL && (at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
        count++;
        at += strlen(text);
    }
    return count;
}
