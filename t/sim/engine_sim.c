/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "t/sim/engine_sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

#define FD_BASE (1 << 24)
#define ENDS_MAX 64
#define BUFFER_MAX 30000u /* what the network holds in one direction */
#define CHUNK_MAX 4096u
#define CAUGHT_MAX 6

/* One end of a connection. */
struct end {
    bool used, far; /* far: driven by the test */
    struct end *peer; /* NULL: not connected yet, or gone */
    struct sock *sock; /* the loop's socket at this end */
    uint8_t *data; /* received and not read */
    size_t len;
    bool fin, fin_sent, reset; /* the other side finished; we did; the connection is dead */
    unsigned stall; /* turns in which nothing is received */
    bool edge; /* something new since readiness was told */
    struct {
        uint8_t *data;
        size_t len;
    } caught[CAUGHT_MAX]; /* taken by the "kernel", delivered in later turns whatever happens */
    unsigned caught_count;
    bool caught_end; /* likewise, after them */
    /* The send under way: its bytes are the loop's memory. */
    struct iovec iov[ENGINE_IOV_MAX];
    int iov_count;
    size_t tx_done, tx_total;
    bool tx_wants_room; /* on_sent(0) is owed */
    int connect_turns, connect_result; /* > 0: under way */
    int release_turns; /* > 0: closed, the kernel lets go later */
};

struct sim {
    struct engine engine; /* first */
    struct sim_options options;
    struct rand_state rand;
    uint64_t now_ns;
    struct end ends[ENDS_MAX];
    struct listener *listener;
    bool accepting;
    int backlog[ENDS_MAX], backlog_count;
    int dialled[ENDS_MAX], dialled_count; /* far ends that wait for sim_peer_accept */
};

struct sim *sim_of(struct loop *loop)
{
    return container_of(loop->engine, struct sim, engine);
}

static bool chance(struct sim *sim, uint32_t one_in)
{
    return rand_below(&sim->rand, one_in) == 0;
}

static size_t some(struct sim *sim, size_t max)
{
    return max == 0 ? 0 : 1 + rand_below(&sim->rand, (uint32_t)max);
}

static struct end *end_of(struct sim *sim, int fd)
{
    ASSERT(fd >= FD_BASE && fd < FD_BASE + ENDS_MAX && sim->ends[fd - FD_BASE].used);
    return &sim->ends[fd - FD_BASE];
}

static struct end *end_of_sock(struct sock *sock)
{
    struct end *end = end_of(sim_of(sock->loop), sock->fd);
    end->sock = sock;
    return end;
}

static int end_fd(struct sim *sim, const struct end *end)
{
    return FD_BASE + (int)(end - sim->ends);
}

static struct end *end_new(struct sim *sim, bool far)
{
    for (int i = 0; i < ENDS_MAX; i++) {
        struct end *end = &sim->ends[i];
        if (end->used)
            continue;
        *end = (struct end){.used = true, .far = far, .data = xmalloc(BUFFER_MAX)};
        return end;
    }
    UNREACHABLE();
}

static void end_free(struct end *end)
{
    if (end->peer)
        end->peer->peer = NULL;
    free(end->data);
    for (unsigned i = 0; i < end->caught_count; i++)
        free(end->caught[i].data);
    *end = (struct end){.used = false};
}

static void join(struct end *a, struct end *b)
{
    a->peer = b;
    b->peer = a;
}

static void kill_connection(struct end *end)
{
    end->reset = end->edge = true;
    if (end->peer)
        end->peer->reset = end->peer->edge = true;
}

/* Moves bytes to the other end; how many it took. */
static size_t deliver(struct sim *sim, struct end *end, const uint8_t *data, size_t len)
{
    struct end *peer = end->peer;
    if (!peer || peer->release_turns > 0)
        return 0;
    size_t n = MIN(len, BUFFER_MAX - peer->len);
    n = MIN(n, some(sim, n));
    memcpy(peer->data + peer->len, data, n);
    peer->len += n;
    peer->edge |= n > 0;
    return n;
}

static size_t take(struct end *end, uint8_t *data, size_t n)
{
    memcpy(data, end->data, n);
    memmove(end->data, end->data + n, end->len - n);
    end->len -= n;
    return n;
}

/* Engine operations. */

static void sim_rx_set(struct sock *sock, enum sock_rx rx)
{
    struct end *end = end_of_sock(sock);
    sock->rx_want = (uint8_t)rx;
    dlist_remove(&sock->link);
    if (rx == SOCK_RX_READY && sock->readable && end->caught_count == 0)
        engine_mark_readable(sock, false);
    if (rx == SOCK_RX_DATA)
        end->edge = true;
}

static ssize_t sim_recv(struct sock *sock, void *data, size_t size)
{
    struct end *end = end_of_sock(sock);
    ASSERT(end->caught_count == 0);
    if (end->len > 0) {
        size_t n = MIN(size, end->len);
        if (chance(sim_of(sock->loop), 3))
            n = some(sim_of(sock->loop), n);
        (void)take(end, data, n);
        end->edge |= end->len > 0; /* a short receive promises another edge */
        return (ssize_t)n;
    }
    if (end->reset)
        return -ECONNRESET;
    return end->fin ? 0 : -EAGAIN;
}

static bool is_dead(const struct end *end)
{
    return end->reset || !end->peer || end->peer->release_turns > 0;
}

static ssize_t sim_send_now(struct sock *sock, const struct iovec *iov, int count)
{
    struct end *end = end_of_sock(sock);
    ASSERT(end->iov_count == 0 && !end->fin_sent);
    if (is_dead(end))
        return -EPIPE;
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        size_t n = deliver(sim_of(sock->loop), end, iov[i].iov_base, iov[i].iov_len);
        total += (ssize_t)n;
        if (n < iov[i].iov_len)
            break;
    }
    return total;
}

static ssize_t sim_send(struct sock *sock, const struct iovec *iov, int count)
{
    struct end *end = end_of_sock(sock);
    ASSERT(!sock->closing && end->iov_count == 0 && !end->tx_wants_room && !end->fin_sent);
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (chance(sim_of(sock->loop), 3)) { /* like epoll */
        ssize_t n = sim_send_now(sock, iov, count);
        end->tx_wants_room = n >= 0 && (size_t)n < total;
        return n;
    }
    memcpy(end->iov, iov, (size_t)count * sizeof(*iov));
    end->iov_count = count;
    end->tx_total = total;
    end->tx_done = 0;
    sock->tx.armed = true;
    return -EINPROGRESS;
}

static void sim_wait_writable(struct sock *sock)
{
    end_of_sock(sock)->tx_wants_room = true;
}

static void sim_shutdown(struct sock *sock)
{
    struct end *end = end_of_sock(sock);
    ASSERT(end->iov_count == 0); /* what is sent goes before the end */
    end->fin_sent = true;
    if (end->peer)
        end->peer->fin = end->peer->edge = true;
}

static int sim_open_socket(struct engine *engine, int family)
{
    (void)family;
    struct sim *sim = container_of(engine, struct sim, engine);
    return chance(sim, 50) ? -EMFILE : end_fd(sim, end_new(sim, false));
}

static void sim_connect(struct sock *sock, const struct addr *addr)
{
    (void)addr;
    struct sim *sim = sim_of(sock->loop);
    struct end *end = end_of_sock(sock);
    end->connect_turns = 1 + (int)rand_below(&sim->rand, 10);
    if (chance(sim, 20))
        end->connect_result = -ECONNREFUSED;
    else if (chance(sim, 30))
        end->connect_turns = 1 << 30; /* never: the deadline has to end it */
    sock->tx.armed = true;
}

static bool sim_close(struct sock *sock, bool reset)
{
    struct sim *sim = sim_of(sock->loop);
    struct end *end = end_of_sock(sock);
    ASSERT(!sock->closing);
    sock->closing = true;
    dlist_remove(&sock->link);
    if (end->peer && (reset || end->len > 0))
        end->peer->reset = true; /* as TCP does when bytes were left unread */
    if (end->peer)
        end->peer->fin = end->peer->edge = true;
    bool armed = sock->tx.armed || end->caught_count > 0 || chance(sim, 2);
    sock->fd = -1;
    if (!armed) {
        end_free(end);
        return true;
    }
    end->release_turns = 1 + (int)rand_below(&sim->rand, 4);
    return false;
}

static void sim_accept_start(struct listener *listener)
{
    struct sim *sim = sim_of(listener->loop);
    sim->listener = listener;
    sim->accepting = true;
}

static bool sim_accept_close(struct listener *listener)
{
    struct sim *sim = sim_of(listener->loop);
    while (sim->backlog_count > 0)
        listener->on_accept(listener, sim->backlog[--sim->backlog_count]);
    sim->listener = NULL;
    sim->accepting = false;
    return true;
}

/* A turn of the network and the kernel. */

static void touch(const struct iovec *iov, int count)
{
    volatile uint8_t sum = 0;
    for (int i = 0; i < count; i++)
        for (size_t at = 0; at < iov[i].iov_len; at += 512)
            sum = (uint8_t)(sum + ((const uint8_t *)iov[i].iov_base)[at]);
}

static void turn_released(struct sim *sim, struct end *end)
{
    touch(end->iov, end->iov_count); /* the loop keeps them until it is told */
    if (--end->release_turns > 0)
        return;
    struct sock *sock = end->sock;
    end_free(end);
    sock->tx.armed = false;
    (void)sim;
    sock->events->on_released(sock);
}

static void turn_connect(struct sim *sim, struct end *end)
{
    struct sock *sock = end->sock;
    if (--end->connect_turns > 0)
        return;
    sock->tx.armed = false;
    if (end->connect_result == 0) {
        struct end *far = end_new(sim, true);
        join(end, far);
        sim->dialled[sim->dialled_count++] = end_fd(sim, far);
    }
    sock->events->on_connected(sock, end->connect_result);
}

static void send_done(struct end *end, int res)
{
    struct sock *sock = end->sock;
    end->iov_count = 0;
    sock->tx.armed = false;
    sock->events->on_sent(sock, res);
}

static void turn_send(struct sim *sim, struct end *end)
{
    struct sock *sock = end->sock;
    if (end->tx_wants_room && chance(sim, 2)) {
        end->tx_wants_room = false;
        sock->events->on_sent(sock, 0);
        return;
    }
    if (end->iov_count == 0 || chance(sim, 4))
        return;
    if (is_dead(end)) {
        /* A partly sent one reports what it sent; the error comes with the next. */
        send_done(end, end->tx_done > 0 ? (int)end->tx_done : -ECONNRESET);
        return;
    }
    size_t skip = end->tx_done;
    for (int i = 0; i < end->iov_count; i++) {
        if (skip >= end->iov[i].iov_len) {
            skip -= end->iov[i].iov_len;
            continue;
        }
        size_t left = end->iov[i].iov_len - skip;
        size_t n = deliver(sim, end, (const uint8_t *)end->iov[i].iov_base + skip, left);
        end->tx_done += n;
        skip = 0;
        if (n < left)
            break;
    }
    bool interrupted = end->tx_done > 0 && chance(sim, 30);
    if (end->tx_done == end->tx_total || interrupted)
        send_done(end, (int)end->tx_done);
}

static void catch_some(struct sim *sim, struct end *end)
{
    while (end->len > 0 && end->caught_count < CAUGHT_MAX) {
        size_t n = MIN(end->len, CHUNK_MAX);
        n = chance(sim, 2) ? n : some(sim, n);
        uint8_t *data = xmalloc(n);
        end->caught[end->caught_count].data = data;
        end->caught[end->caught_count++].len = take(end, data, n);
        if (chance(sim, 3))
            return;
    }
}

/* The oldest; false: the socket was closed in the call. */
static bool deliver_caught(struct end *end)
{
    struct sock *sock = end->sock;
    uint8_t *data = end->caught[0].data;
    size_t len = end->caught[0].len;
    end->caught_count--;
    memmove(&end->caught[0], &end->caught[1], end->caught_count * sizeof(end->caught[0]));
    if (!sock->rx_over)
        sock->events->on_rx(sock, data, len);
    free(data);
    return !sock->closing;
}

static void turn_receive(struct sim *sim, struct end *end)
{
    struct sock *sock = end->sock;
    while (end->caught_count > 0) {
        if (chance(sim, 3) || !deliver_caught(end))
            return;
    }
    if (end->caught_end) {
        end->caught_end = false;
        engine_end_rx(sock, 0);
        return;
    }
    if (sock->rx_over)
        return;
    if (end->stall > 0) {
        end->stall--;
        return;
    }
    if (chance(sim, 15))
        end->stall = rand_below(&sim->rand, 20);
    if (sock->rx_want == SOCK_RX_DATA && end->len > 0) {
        catch_some(sim, end);
        end->caught_end = end->len == 0 && end->fin && !end->reset;
        return;
    }
    if (sock->rx_want == SOCK_RX_DATA && (end->reset || end->fin)) {
        engine_end_rx(sock, end->reset ? -ECONNRESET : 0);
        return;
    }
    if (sock->rx_want == SOCK_RX_READY && end->edge) {
        end->edge = false;
        engine_mark_readable(sock, end->fin || end->reset);
    }
}

static void turn_accept(struct sim *sim)
{
    while (sim->listener && sim->accepting && sim->backlog_count > 0 && !chance(sim, 3)) {
        if (chance(sim, 20)) {
            sim->accepting = false;
            sim->listener->on_accept(sim->listener, -EMFILE);
            return;
        }
        sim->listener->on_accept(sim->listener, sim->backlog[--sim->backlog_count]);
    }
}

static void sim_dispatch(struct engine *engine)
{
    struct sim *sim = container_of(engine, struct sim, engine);
    turn_accept(sim);
    unsigned first = rand_below(&sim->rand, ENDS_MAX);
    for (unsigned i = 0; i < ENDS_MAX; i++) {
        struct end *end = &sim->ends[(first + i) % ENDS_MAX];
        if (!end->used || !end->sock)
            continue;
        if (end->release_turns > 0) {
            turn_released(sim, end);
            continue;
        }
        if (end->connect_turns > 0) {
            turn_connect(sim, end);
            continue;
        }
        if (sim->options.resets && chance(sim, 3000))
            kill_connection(end);
        struct sock *sock = end->sock;
        turn_send(sim, end);
        if (end->used && end->sock == sock && !sock->closing)
            turn_receive(sim, end);
    }
}

static void sim_wait(struct engine *engine, uint64_t wait_ns)
{
    struct sim *sim = container_of(engine, struct sim, engine);
    sim->now_ns += MIN(wait_ns, (uint64_t)rand_below(&sim->rand, 2 * (uint32_t)NS_PER_MS));
}

static bool sim_is_ready(const struct engine *engine)
{
    return !dlist_is_empty(&engine->ready);
}

static void sim_clock(struct engine *engine, struct clock_cache *clock)
{
    struct sim *sim = container_of(engine, struct sim, engine);
    *clock = (struct clock_cache){.mono_ns = sim->now_ns, .wall_ns = sim->now_ns};
}

static void sim_free(struct engine *engine)
{
    struct sim *sim = container_of(engine, struct sim, engine);
    for (int i = 0; i < ENDS_MAX; i++)
        if (sim->ends[i].used)
            end_free(&sim->ends[i]);
    free(sim);
}

static int sim_watch_start(struct engine *engine, struct watch *watch)
{
    (void)engine;
    (void)watch;
    return -ENOTSUP; /* there are no real descriptors */
}

static void sim_watch_stop(struct engine *engine, struct watch *watch)
{
    (void)engine;
    (void)watch;
}

static const struct engine_ops sim_ops = {
    .name = "simulated",
    .free = sim_free,
    .wait = sim_wait,
    .dispatch = sim_dispatch,
    .is_ready = sim_is_ready,
    .clock = sim_clock,
    .rx_set = sim_rx_set,
    .recv = sim_recv,
    .send = sim_send,
    .send_now = sim_send_now,
    .wait_writable = sim_wait_writable,
    .shutdown = sim_shutdown,
    .open = sim_open_socket,
    .connect = sim_connect,
    .close = sim_close,
    .accept_start = sim_accept_start,
    .accept_close = sim_accept_close,
    .watch_start = sim_watch_start,
    .watch_stop = sim_watch_stop,
};

static int sim_make(struct loop *loop, const struct loop_options *options, struct engine **ret,
                    struct err *reterr)
{
    (void)reterr;
    struct sim *sim = xcalloc(1, sizeof(*sim));
    engine_init(&sim->engine, &sim_ops, loop);
    rand_seed(&sim->rand, options->seed);
    sim->now_ns = NS_PER_S;
    *ret = &sim->engine;
    return 0;
}

int sim_loop_new(struct loop **ret, const struct loop_options *options,
                 struct sim_options sim_options)
{
    struct loop_options seeded = *options;
    seeded.seed = sim_options.seed;
    int rc = loop_new_with_engine(ret, &seeded, sim_make, NULL);
    if (rc == 0)
        sim_of(*ret)->options = sim_options;
    return rc;
}

/* The far side. */

int sim_listener(struct sim *sim)
{
    (void)sim;
    return FD_BASE + ENDS_MAX;
}

int sim_peer_connect(struct sim *sim)
{
    struct end *far = end_new(sim, true), *near = end_new(sim, false);
    join(far, near);
    sim->backlog[sim->backlog_count++] = end_fd(sim, near);
    return end_fd(sim, far);
}

int sim_peer_accept(struct sim *sim)
{
    return sim->dialled_count > 0 ? sim->dialled[--sim->dialled_count] : -1;
}

ssize_t sim_peer_write(struct sim *sim, int fd, const uint8_t *data, size_t len)
{
    struct end *end = end_of(sim, fd);
    if (is_dead(end))
        return -ECONNRESET;
    return (ssize_t)deliver(sim, end, data, len);
}

ssize_t sim_peer_read(struct sim *sim, int fd, uint8_t *data, size_t size)
{
    struct end *end = end_of(sim, fd);
    size_t n = MIN(size, end->len);
    if (n > 0)
        return (ssize_t)take(end, data, n);
    return end->reset ? -ECONNRESET : 0;
}

bool sim_peer_is_ended(struct sim *sim, int fd)
{
    const struct end *end = end_of(sim, fd);
    return end->len == 0 && end->fin;
}

void sim_peer_finish(struct sim *sim, int fd)
{
    struct end *end = end_of(sim, fd);
    end->fin_sent = true;
    if (end->peer)
        end->peer->fin = end->peer->edge = true;
}

void sim_peer_close(struct sim *sim, int fd, bool reset)
{
    struct end *end = end_of(sim, fd);
    if (end->peer) {
        end->peer->reset |= reset || end->len > 0;
        end->peer->fin = end->peer->edge = true;
    }
    end_free(end);
}

unsigned sim_open(const struct sim *sim)
{
    unsigned count = 0;
    for (int i = 0; i < ENDS_MAX; i++)
        count += sim->ends[i].used && sim->ends[i].sock;
    return count;
}

void sim_each_seed(uint64_t count, void (*run)(uint64_t seed))
{
    const char *only = getenv("SIM_SEED");
    if (only) {
        run(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= count; seed++)
        run(seed);
}
