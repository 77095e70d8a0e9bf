/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_IO_IO_FIXTURE_H
#define RINGGATE_T_UNIT_IO_IO_FIXTURE_H

/* Shared by the tests of io/: loops of both engines, real loopback sockets,
 * and an owner that records what it is told. */

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/panic.h"
#include "io/acceptor.h"
#include "io/conn.h"
#include "io/loop.h"

/* What a test runs on: both engines; io_uring also as on older kernels, and as under load. */
struct fixture_variant {
    enum loop_engine engine;
    bool rx_poll, tx_ring;
};

static struct fixture_variant fixture_variant;

/* io_uring is left out where it is refused. */
static inline size_t fixture_variants(struct fixture_variant variants[4])
{
    char reason[256];
    enum loop_engine chosen;
    size_t count = 0;
    variants[count++] = (struct fixture_variant){.engine = LOOP_ENGINE_EPOLL};
    if (loop_engine_choose(LOOP_ENGINE_URING, &chosen, reason, sizeof(reason)) == 0) {
        variants[count++] = (struct fixture_variant){.engine = LOOP_ENGINE_URING};
        variants[count++] = (struct fixture_variant){.engine = LOOP_ENGINE_URING, .rx_poll = true};
        variants[count++] = (struct fixture_variant){.engine = LOOP_ENGINE_URING, .tx_ring = true};
    } else {
        print_message("io_uring is not tested: %s\n", reason);
    }
    return count;
}

#define FIXTURE_EACH_ENGINE(engine_name)                                                           \
    struct fixture_variant variants_[4];                                                           \
    size_t variant_count_ = fixture_variants(variants_);                                           \
    for (size_t at_ = 0; at_ < variant_count_; at_++)                                              \
        for (enum loop_engine engine_name = (fixture_variant = variants_[at_]).engine,             \
                              *once_ = &engine_name;                                               \
             once_; once_ = NULL)

static inline struct loop *fixture_loop_with(struct loop_options options)
{
    struct loop *loop = NULL;
    struct err err = {0};
    if (options.conns_max == 0)
        options.conns_max = 4096;
    options.rx_poll = fixture_variant.rx_poll;
    options.tx_ring = fixture_variant.tx_ring;
    int rc = loop_new(&loop, &options, &err);
    if (rc < 0)
        print_message("loop_new: %s\n", err.text);
    assert_int_equal(rc, 0);
    return loop;
}

static inline struct loop *fixture_loop(enum loop_engine engine)
{
    return fixture_loop_with((struct loop_options){.engine = engine});
}

/* A listening socket on a free port of 127.0.0.1. */
static inline int fixture_listen(struct addr *ret)
{
    struct acceptor_options options = {.reuse_port = false};
    struct err err;
    assert_int_equal(addr_parse(SPAN_LIT("127.0.0.1:0"), ret), 0);
    int fd = acceptor_listen(ret, &options, &err);
    assert_true(fd >= 0);
    ret->len = sizeof(ret->in);
    assert_int_equal(getsockname(fd, &ret->sa, &ret->len), 0);
    return fd;
}

/* A connected plain descriptor. */
static inline int fixture_connect(const struct addr *addr)
{
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &addr->sa, addr->len), 0);
    return fd;
}

/* Turns the loop until cond holds; fails the test after very many turns. */
#define FIXTURE_UNTIL(loop, cond)                                                                  \
    do {                                                                                           \
        int turns_ = 0;                                                                            \
        while (!(cond)) {                                                                          \
            loop_turn((loop), NS_PER_MS);                                                          \
            if (++turns_ > 100000)                                                                 \
                fail_msg("never true: %s", #cond);                                                 \
        }                                                                                          \
    } while (0)

/* An owner that records. */
struct recorder {
    struct conn_owner owner;
    struct conn *conn; /* NULL after on_close */
    uint8_t *data;
    size_t len, size;
    size_t keep; /* consume only when more than this is there */
    int opens, ends, drains, timeouts, closes, error;
    char text[64];
    bool echo, close_on_end, count_only, shutdown_on_end;
};

static inline void recorder_on_open(struct conn_owner *owner, struct conn *conn)
{
    (void)conn;
    container_of(owner, struct recorder, owner)->opens++;
}

static inline void recorder_on_data(struct conn_owner *owner, struct conn *conn)
{
    struct recorder *rec = container_of(owner, struct recorder, owner);
    struct span in = conn_input(conn);
    assert_true(in.len > 0);
    if (in.len <= rec->keep)
        return;
    if (!rec->count_only) {
        if (rec->len + in.len > rec->size) {
            rec->size = (rec->len + in.len) * 2;
            rec->data = xrealloc(rec->data, rec->size);
        }
        memcpy(rec->data + rec->len, in.ptr, in.len);
    }
    rec->len += in.len;
    if (rec->echo) {
        /* A failure is told by on_close. */
        if (conn_write_span(conn, in) == 0 && conn_is_congested(conn))
            conn_pause_input(conn);
    }
    conn_consume(conn, in.len);
}

static inline void recorder_on_end(struct conn_owner *owner, struct conn *conn)
{
    struct recorder *rec = container_of(owner, struct recorder, owner);
    rec->ends++;
    if (rec->shutdown_on_end)
        conn_shutdown(conn);
    if (rec->close_on_end) {
        rec->conn = NULL;
        conn_close(conn, false);
    }
}

static inline void recorder_on_drain(struct conn_owner *owner, struct conn *conn)
{
    struct recorder *rec = container_of(owner, struct recorder, owner);
    rec->drains++;
    if (rec->echo)
        conn_resume_input(conn);
}

static inline void recorder_on_timeout(struct conn_owner *owner, struct conn *conn)
{
    (void)conn;
    container_of(owner, struct recorder, owner)->timeouts++;
}

static inline void recorder_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    struct recorder *rec = container_of(owner, struct recorder, owner);
    assert_ptr_equal(rec->conn, conn);
    rec->conn = NULL;
    rec->closes++;
    rec->error = error;
    (void)snprintf(rec->text, sizeof(rec->text), "%s", conn_error_text(conn));
}

static const struct conn_owner_ops recorder_ops = {
    .name = "recorder",
    .on_open = recorder_on_open,
    .on_data = recorder_on_data,
    .on_end = recorder_on_end,
    .on_drain = recorder_on_drain,
    .on_timeout = recorder_on_timeout,
    .on_close = recorder_on_close,
};

static inline void recorder_init(struct recorder *rec)
{
    *rec = (struct recorder){.owner = {.ops = &recorder_ops}};
}

/* Hands an accepted conn to the recorder that `user` is. */
static inline void recorder_accept(struct acceptor *acceptor, struct conn *conn, void *user)
{
    (void)acceptor;
    struct recorder *rec = user;
    assert_null(rec->conn);
    rec->conn = conn;
    conn_set_owner(conn, &rec->owner);
    conn_start(conn);
}

static inline void recorder_fini(struct recorder *rec)
{
    if (rec->conn)
        conn_close(rec->conn, false);
    free(rec->data);
}

/* Nothing of the loop may be left behind: conns, blocks and memory are asserted by loop_free. */
static inline void fixture_end(struct loop *loop, struct acceptor *acceptor)
{
    acceptor_stop(acceptor);
    loop_free(loop);
}

/* A conn pair: `client` is a plain blocking descriptor, rec gets the accepted end. */
static inline struct acceptor *fixture_accept(struct loop *loop, struct recorder *rec, int *client)
{
    struct addr addr;
    int fd = fixture_listen(&addr);
    struct acceptor *acceptor = acceptor_start(loop, fd, recorder_accept, rec);
    assert_non_null(acceptor);
    *client = fixture_connect(&addr);
    FIXTURE_UNTIL(loop, rec->conn);
    return acceptor;
}

/* A loop with one conn, whose other end is a plain blocking descriptor. */
struct fixture_link {
    struct loop *loop;
    struct acceptor *acceptor;
    struct recorder rec; /* has the accepted end */
    int client; /* the test closes it */
};

static inline void fixture_link_start(struct fixture_link *link, struct loop *loop)
{
    link->loop = loop;
    recorder_init(&link->rec);
    link->acceptor = fixture_accept(loop, &link->rec, &link->client);
}

static inline void fixture_link_end(struct fixture_link *link)
{
    recorder_fini(&link->rec);
    fixture_end(link->loop, link->acceptor);
}

/* The kernel's helper threads mean that an operation went the slow way. The last test of a file. */
static inline void test_no_helper_threads(void **state)
{
    (void)state;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        char path[300], name[64] = "";
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (fgets(name, sizeof(name), file) && strncmp(name, "iou-wrk", 7) == 0)
            fail_msg("helper thread %s", name);
        (void)fclose(file);
    }
    (void)closedir(dir);
}

#endif
