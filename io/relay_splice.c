/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/relay_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/panic.h"
#include "io/loop_int.h"

/* Large plain transfers without touching the bytes: socket -> pipe -> socket by
 * splice(2), synchronously, driven by readiness (the ring's own splice operation would run
 * on helper threads).
 *
 * A flow climbs: receives that fill a buffer turn its conn to bulk mode; 256 KiB
 * in receives of 16 KiB or more turn it to splicing, as soon as nothing is queued. It
 * climbs down when splices move little. A pipe is held only while it
 * holds bytes, so that idle flows cost nothing; a worker has LOOP_PIPES of them, what
 * finds none is copied.
 *
 * Both descriptors are non-blocking meanwhile: what SPLICE_F_NONBLOCK means for the socket
 * differs between kernels. */

/* Room for a whole receive buffer: fewer calls, and fewer short segments at their ends. An
 * unprivileged user has 64 MiB of them in all, so the smaller one is tried as well. */
#define PIPE_SIZE (1024 * 1024)
#define PIPE_SIZE_MIN (256 * 1024)
#define FULL_RECEIVES 8u /* in a row: bulk mode */
#define SPLICE_AFTER (256u * 1024)
#define SPLICE_CHUNK (16u * 1024)
#define SMALL_SPLICE 4096u
#define SMALL_SPLICES 16u /* in a row: back to copying */
#define ROUNDS 4 /* of splicing in one turn */

static void set_nonblocking(struct conn *conn, bool on)
{
    int flags = fcntl(conn->sock.fd, F_GETFL);
    if (flags < 0)
        return; /* closed already */
    /* Cannot fail for these flags on an open socket. */
    (void)fcntl(conn->sock.fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

static void pipe_close(int pipe[2])
{
    (void)close(pipe[0]);
    (void)close(pipe[1]);
    pipe[0] = pipe[1] = -1;
}

static int pipe_open(int pipe[2])
{
    if (pipe2(pipe, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
    if (fcntl(pipe[1], F_SETPIPE_SZ, PIPE_SIZE) >= 0 ||
        fcntl(pipe[1], F_SETPIPE_SZ, PIPE_SIZE_MIN) >= 0)
        return 0;
    pipe_close(pipe); /* over the user's quota it may hold two pages: copying is better */
    return -EPERM;
}

static bool pipe_is_available(const struct loop_pools *pools)
{
    return pools->pipe_count > 0 || pools->pipe_held < LOOP_PIPES;
}

static int pipe_take(struct relay_flow *flow)
{
    struct loop_pools *pools = flow->relay->loop->pools;
    if (flow->pipe[0] >= 0)
        return 0;
    if (!pipe_is_available(pools))
        return -EMFILE;
    if (pools->pipe_count > 0) {
        pools->pipe_count--;
        memcpy(flow->pipe, pools->pipes[pools->pipe_count], sizeof(flow->pipe));
    } else {
        int rc = pipe_open(flow->pipe);
        if (rc < 0)
            return rc;
    }
    pools->pipe_held++;
    return 0;
}

static void pipe_put(struct relay_flow *flow)
{
    struct loop_pools *pools = flow->relay->loop->pools;
    if (flow->pipe[0] < 0)
        return;
    pools->pipe_held--;
    if (flow->pipe_bytes == 0 && pools->pipe_count < LOOP_PIPES)
        memcpy(pools->pipes[pools->pipe_count++], flow->pipe, sizeof(flow->pipe));
    else
        pipe_close(flow->pipe);
    flow->pipe[0] = flow->pipe[1] = -1;
    flow->pipe_bytes = 0;
}

/* Bytes; 0: the end; -EAGAIN; -errno. */
static ssize_t splice_once(int from, int to, size_t size)
{
    ssize_t n;
    do {
        n = splice(from, NULL, to, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Empties the pipe. 0; -EAGAIN: to is full and on_writable follows; -errno: to has failed. */
static int pipe_flush(struct relay_flow *flow)
{
    struct conn *to = flow->to;
    while (flow->pipe_bytes > 0) {
        ssize_t n = splice_once(flow->pipe[0], to->sock.fd, flow->pipe_bytes);
        if (n == -EAGAIN) {
            to->tx_busy = true;
            to->write_deadline_ns = conn_write_deadline(to);
            conn_timer_update(to);
            flow->relay->loop->engine->ops->wait_writable(&to->sock);
            return -EAGAIN;
        }
        if (n <= 0) {
            int error = n < 0 ? (int)n : -EPIPE;
            conn_fail(to, error, "send failed");
            return error;
        }
        flow->pipe_bytes -= (uint32_t)n;
        flow->bytes += (uint64_t)n;
        to->bytes_out += (uint64_t)n;
    }
    return 0;
}

static void splice_ended(struct relay_flow *flow)
{
    relay_splice_leave(flow);
    engine_end_rx(&flow->from->sock, 0); /* on_end of the relay passes it on */
}

static void splice_back(struct relay_flow *flow)
{
    relay_splice_leave(flow);
    flow->from->bulk = false;
    conn_rx_update(flow->from);
}

/* Moves what is there. true: from was drained. */
static bool splice_pump(struct relay_flow *flow)
{
    struct conn *from = flow->from;
    uint64_t before = flow->bytes;
    for (int i = 0; i < ROUNDS; i++) {
        if (from->error || flow->to->error)
            return true;
        if (pipe_take(flow) < 0) {
            splice_back(flow); /* no pipe: copy */
            return false;
        }
        ssize_t n = splice_once(from->sock.fd, flow->pipe[1], PIPE_SIZE);
        if (n == -EAGAIN) {
            pipe_put(flow);
            flow->small = (uint8_t)(flow->bytes - before < SMALL_SPLICE ? flow->small + 1 : 0);
            if (flow->small >= SMALL_SPLICES)
                splice_back(flow);
            return true;
        }
        if (n < 0) {
            conn_fail(from, (int)n, "receive failed");
            return true;
        }
        if (n == 0) {
            splice_ended(flow);
            return true;
        }
        flow->pipe_bytes += (uint32_t)n;
        from->bytes_in += (uint64_t)n;
        flow->relay->active_ns = flow->relay->loop->clock.mono_ns;
        int rc = pipe_flush(flow);
        if (rc == -EAGAIN) {
            from->sock.loop->engine->ops->rx_set(&from->sock, SOCK_RX_OFF);
            return false;
        }
        if (rc < 0)
            return true;
    }
    return false;
}

static bool on_readable(struct conn_raw *raw, struct conn *conn)
{
    struct relay_flow *flow = container_of(raw, struct relay_flow, raw);
    ASSERT(flow->from == conn && flow->pipe_bytes == 0);
    return splice_pump(flow);
}

static void on_writable(struct conn_raw *raw, struct conn *conn)
{
    struct relay_flow *flow = container_of(raw, struct relay_flow, raw);
    ASSERT(flow->to == conn);
    flow->relay->active_ns = flow->relay->loop->clock.mono_ns;
    conn->write_deadline_ns = 0;
    if (pipe_flush(flow) < 0 || flow->from->error)
        return;
    pipe_put(flow);
    /* What is left in the socket was kept as readable. */
    struct sock *sock = &flow->from->sock;
    sock->loop->engine->ops->rx_set(sock, SOCK_RX_READY);
}

static bool splice_is_possible(const struct relay_flow *flow)
{
    const struct conn *from = flow->from, *to = flow->to;
    return from->sock.loop->engine->ops->real && !from->top && !to->top && !from->error &&
           !to->error && !from->rx_eof && !to->tx_shut && from->in_len == 0 &&
           from->stash_len == 0 && to->queued == 0 && !to->tx_busy &&
           pipe_is_available(flow->relay->loop->pools);
}

void relay_splice_leave(struct relay_flow *flow)
{
    if (!flow->spliced)
        return;
    struct relay *relay = flow->relay;
    pipe_put(flow);
    flow->spliced = false;
    flow->from->raw_rx = NULL;
    flow->to->raw_tx = NULL;
    flow->full = 0;
    flow->small = 0;
    flow->recent_bytes = flow->recent_count = 0;
    if (!relay->ab.spliced && !relay->ba.spliced) {
        set_nonblocking(flow->from, false);
        set_nonblocking(flow->to, false);
    }
}

static void splice_enter(struct relay_flow *flow)
{
    struct conn *from = flow->from;
    flow->spliced = true;
    flow->small = 0;
    flow->raw = (struct conn_raw){.on_readable = on_readable, .on_writable = on_writable};
    from->raw_rx = &flow->raw;
    flow->to->raw_tx = &flow->raw;
    set_nonblocking(from, true);
    set_nonblocking(flow->to, true);
    from->sock.loop->engine->ops->rx_set(&from->sock, SOCK_RX_READY);
}

void relay_splice_consider(struct relay_flow *flow, size_t len)
{
    struct conn *from = flow->from;
    if (!from->bulk) {
        flow->full = (uint8_t)(len >= CONN_RX_FULL ? flow->full + 1 : 0);
        if (flow->full < FULL_RECEIVES)
            return;
        flow->full = 0;
        flow->recent_bytes = flow->recent_count = 0;
        conn_set_rx_mode(from, CONN_RX_BULK);
        return;
    }
    flow->recent_bytes += (uint32_t)len;
    flow->recent_count++;
    if (flow->recent_bytes >= SPLICE_AFTER &&
        flow->recent_bytes / flow->recent_count >= SPLICE_CHUNK) {
        flow->recent_bytes = SPLICE_AFTER; /* asked again next time */
        flow->recent_count = SPLICE_AFTER / SPLICE_CHUNK;
        if (splice_is_possible(flow))
            splice_enter(flow);
        return;
    }
    if (flow->recent_count < 2 * SMALL_SPLICES)
        return;
    if (flow->recent_bytes / flow->recent_count < SMALL_SPLICE)
        conn_set_rx_mode(from, CONN_RX_INTERACTIVE);
    flow->recent_bytes = flow->recent_count = 0;
}
