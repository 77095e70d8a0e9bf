/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_HTTP_WIRE_H
#define RINGGATE_T_UNIT_HTTP_WIRE_H

/* A loop, and loopback TCP connections of which one end is a conn and the other
 * a raw socket that a test reads and writes byte by byte. */

#include "base/buf.h"
#include "io/conn.h"

struct wire {
    struct loop *loop;
    struct conn *conn; /* our end; the session's after it took it */
    int fd; /* the peer's end, -1: closed */
    struct buf in; /* what the peer has received */
    bool eof, reset; /* what the peer has seen */
};

/* Runs the test once on each engine that there is here. */
void wire_each_engine(void (*test)(void));
/* Of the loops that are made from now on; 0: the default. */
extern unsigned wire_blocks_max;
/* On the engine of wire_each_engine; outside of it on epoll. */
struct loop *wire_loop_new(void);
void wire_open(struct wire *wire, struct loop *loop);
/* Closes the peer's end when it is open. */
void wire_fini(struct wire *wire);
void wire_send(struct wire *wire, const char *data, size_t len);
void wire_send_text(struct wire *wire, const char *text);
/* Reads what has arrived; takes a turn of the loop before. */
void wire_turn(struct wire *wire);
/* Turns until the peer has received text (anywhere), or fails the test with what came. */
void wire_expect(struct wire *wire, const char *text);
/* Turns until the peer has seen the end or a reset; true: an orderly end. */
bool wire_expect_end(struct wire *wire);
/* A good number of turns without a reason to wait for. */
void wire_settle(struct wire *wire);
void wire_shutdown(struct wire *wire); /* the peer's half-close */
void wire_close(struct wire *wire, bool reset);
/* How often text is in what the peer received. */
unsigned wire_count(struct wire *wire, const char *text);

/* test_x for cmocka: run_x on each engine. */
#define WIRE_TEST(name)                                                                            \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        wire_each_engine(run_##name);                                                              \
    }
#define WIRE_ENTRY(name) cmocka_unit_test(test_##name),

#endif
