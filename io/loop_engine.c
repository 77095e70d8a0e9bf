/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "io/uring.h"

#define PROBE_BYTES 10000u

/* -1: there is no such sysctl. */
static int read_disabled(void)
{
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (!file)
        return -1;
    int c = fgetc(file);
    (void)fclose(file); /* read only */
    return c >= '0' && c <= '9' ? c - '0' : -1;
}

static void explain_failure(int error, char *out, size_t size)
{
    int disabled = read_disabled();
    if (error == -ENOSYS) {
        snprintf(out, size, "io_uring_setup: ENOSYS, this kernel has no io_uring");
    } else if (error == -ENOMEM) {
        snprintf(out, size,
                 "io_uring_setup: ENOMEM, the limit of locked memory is too low; raise "
                 "LimitMEMLOCK (1 MiB a worker)");
    } else if ((error == -EPERM || error == -EACCES) && disabled > 0) {
        snprintf(out, size,
                 "io_uring_setup: EPERM, sysctl kernel.io_uring_disabled is %d; 0 "
                 "allows it",
                 disabled);
    } else if (error == -EPERM || error == -EACCES) {
        snprintf(out, size, "io_uring_setup: EPERM, refused by seccomp; see README");
    } else if (error == -EINVAL || error == -ENOTSUP) {
        snprintf(out, size, "io_uring_setup: the kernel is older than 5.19");
    } else {
        snprintf(out, size, "io_uring: %s", strerror(-error));
    }
}

static int probe_ops(struct io_uring *ring)
{
    static const int needed[] = {IORING_OP_POLL_ADD, IORING_OP_RECV,        IORING_OP_SEND,
                                 IORING_OP_SENDMSG,  IORING_OP_CONNECT,     IORING_OP_ACCEPT,
                                 IORING_OP_CLOSE,    IORING_OP_ASYNC_CANCEL};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (!probe)
        return -ENOMEM;
    int rc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        if (!io_uring_opcode_supported(probe, needed[i]))
            rc = -ENOTSUP;
    }
    io_uring_free_probe(probe);
    return rc;
}

struct probe_state {
    uint8_t data[PROBE_BYTES];
    size_t got;
    bool ended;
    int error;
};

static struct probe_state *probe_of(struct sock *sock);

struct probe_sock {
    struct sock sock;
    struct probe_state state;
};

static struct probe_state *probe_of(struct sock *sock)
{
    return &container_of(sock, struct probe_sock, sock)->state;
}

static void probe_on_rx(struct sock *sock, const uint8_t *data, size_t len)
{
    struct probe_state *state = probe_of(sock);
    size_t n = MIN(len, PROBE_BYTES - state->got);
    memcpy(state->data + state->got, data, n);
    state->got += n;
}

static void probe_on_rx_end(struct sock *sock, int error)
{
    struct probe_state *state = probe_of(sock);
    state->ended = true;
    state->error = error;
}

static bool probe_on_readable(struct sock *sock)
{
    uint8_t buffer[BUFRING_BUFFER_SIZE];
    ssize_t n = engine_sys_recv(sock, buffer, sizeof(buffer));
    if (n > 0)
        probe_on_rx(sock, buffer, (size_t)n);
    else if (n != -EAGAIN)
        engine_end_rx(sock, (int)n);
    return n <= 0;
}

static void probe_on_sent(struct sock *sock, int res)
{
    if (res < 0)
        probe_of(sock)->error = res;
}

static void probe_on_released(struct sock *sock)
{
    sock->fd = -2;
}

static const struct sock_events probe_events = {
    .on_rx = probe_on_rx,
    .on_rx_end = probe_on_rx_end,
    .on_readable = probe_on_readable,
    .on_sent = probe_on_sent,
    .on_released = probe_on_released,
};

/* Sends a pattern through the engine from one end of a socket pair to the other. 0; -EIO: the
 * bytes are not the same. */
static int probe_move(struct loop *loop, int fds[2])
{
    static const uint64_t turn_ns = 100 * NS_PER_MS;
    struct probe_sock *ends = calloc(2, sizeof(*ends));
    if (!ends) {
        (void)close(fds[0]);
        (void)close(fds[1]);
        return -ENOMEM;
    }
    uint8_t pattern[PROBE_BYTES];
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 31 + i / 251);
    const struct engine_ops *ops = loop->engine->ops;
    bool gone[2];
    for (int i = 0; i < 2; i++) {
        ends[i].sock = (struct sock){.loop = loop, .events = &probe_events, .fd = fds[i]};
        dlist_init(&ends[i].sock.link);
    }
    struct iovec iov = {.iov_base = pattern, .iov_len = sizeof(pattern)};
    ops->rx_set(&ends[1].sock, SOCK_RX_DATA);
    ssize_t sent = ops->send(&ends[0].sock, &iov, 1);
    struct probe_state *state = &ends[1].state;
    for (int i = 0; i < 20 && state->got < sizeof(pattern) && !state->ended; i++)
        loop_turn(loop, turn_ns);
    int rc = state->got == sizeof(pattern) && memcmp(state->data, pattern, sizeof(pattern)) == 0
                 ? 0
                 : -EIO;
    if (sent < 0 && sent != -EINPROGRESS)
        rc = (int)sent;
    for (int i = 0; i < 2; i++)
        gone[i] = ops->close(&ends[i].sock, false);
    for (int i = 0; i < 20; i++)
        if ((!gone[0] && ends[0].sock.fd != -2) || (!gone[1] && ends[1].sock.fd != -2))
            loop_turn(loop, turn_ns);
    loop_turn(loop, 0); /* submits the closing */
    free(ends);
    return rc;
}

struct probe_op {
    struct op op;
    int res;
    bool done;
};

static void probe_on_done(struct op *op, int res, uint32_t flags UNUSED)
{
    struct probe_op *probe = container_of(op, struct probe_op, op);
    probe->res = res;
    probe->done = true;
}

/* A ring that says it is restricted has to refuse what is not on the list. */
static int probe_restriction(struct loop *loop, const struct uring *uring)
{
    struct probe_op probe = {.op.on_done = probe_on_done};
    if (!uring->restricted)
        return 0;
    struct io_uring_sqe *sqe = uring_sqe(uring_of(loop->engine), &probe.op);
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data(sqe, &probe.op);
    for (int i = 0; i < 20 && !probe.done; i++)
        loop_turn(loop, 100 * NS_PER_MS);
    return probe.done && probe.res == -EACCES ? 0 : -EIO;
}

/* What the ring can do; ret is filled in any case. */
struct probe_result {
    bool multishot; /* receives use provided buffers */
    bool restricted;
};

static int probe_uring(struct probe_result *ret)
{
    struct loop_options options = {.engine = LOOP_ENGINE_URING, .conns_max = 1, .blocks_max = 4};
    struct loop *loop = NULL;
    int rc = loop_new(&loop, &options, NULL);
    if (rc < 0)
        return rc;
    struct uring *uring = container_of(loop->engine, struct uring, engine);
    *ret = (struct probe_result){uring->multishot, uring->restricted};
    rc = probe_ops(&uring->ring);
    int fds[2];
    if (rc == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        rc = -errno;
    else if (rc == 0)
        rc = probe_move(loop, fds);
    if (rc == 0)
        rc = probe_restriction(loop, uring);
    loop_free(loop);
    if (rc == 0 || !ret->restricted)
        return rc;
    uring_restrict_off(); /* better without than not at all */
    return probe_uring(ret);
}

int loop_engine_choose(enum loop_engine wish, enum loop_engine *ret, char *reason,
                       size_t reason_size)
{
    if (wish == LOOP_ENGINE_EPOLL) {
        *ret = LOOP_ENGINE_EPOLL;
        snprintf(reason, reason_size, "epoll (as asked for)");
        return 0;
    }
    struct probe_result probe = {0};
    int rc = probe_uring(&probe);
    if (rc == 0) {
        struct utsname name;
        int version_len = 0;
        if (uname(&name) == 0)
            version_len = (int)strcspn(name.release, "-+_");
        *ret = LOOP_ENGINE_URING;
        snprintf(reason, reason_size, "io_uring (kernel %.*s; multishot accept%s; %s)", version_len,
                 name.release, probe.multishot ? ", receive" : "; receive by poll",
                 probe.restricted ? "restricted" : "not restricted");
        return 0;
    }
    char why[160];
    explain_failure(rc, why, sizeof(why));
    if (wish == LOOP_ENGINE_URING) {
        snprintf(reason, reason_size, "%s", why);
        return -ENOTSUP;
    }
    *ret = LOOP_ENGINE_EPOLL;
    snprintf(reason, reason_size, "epoll (%s)", why);
    return 0;
}
