/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io_fixture.h"

#include "io/loop_int.h"
#include "io/relay.h"

struct rig {
    struct relay_owner owner;
    struct loop *loop;
    struct acceptor *acceptor;
    struct recorder a, b;
    int client_a, client_b;
    struct relay *relay;
    int ends, error;
    enum relay_end end;
    uint64_t bytes_ab, bytes_ba;
};

static void on_relay_end(struct relay_owner *owner, enum relay_end end, int error,
                         uint64_t bytes_ab, uint64_t bytes_ba)
{
    struct rig *rig = container_of(owner, struct rig, owner);
    rig->ends++;
    rig->end = end;
    rig->error = error;
    rig->bytes_ab = bytes_ab;
    rig->bytes_ba = bytes_ba;
    rig->relay = NULL;
}

static void rig_accept(struct acceptor *acceptor, struct conn *conn, void *user)
{
    struct rig *rig = user;
    recorder_accept(acceptor, conn, rig->a.conn ? &rig->b : &rig->a);
}

static void rig_init(struct rig *rig, enum loop_engine engine)
{
    *rig = (struct rig){.owner = {.on_end = on_relay_end}, .loop = fixture_loop(engine)};
    recorder_init(&rig->a);
    recorder_init(&rig->b);
    rig->a.keep = rig->b.keep = SIZE_MAX; /* all bytes are left to the relay */
    struct addr addr;
    int fd = fixture_listen(&addr);
    rig->acceptor = acceptor_start(rig->loop, fd, rig_accept, rig);
    rig->client_a = fixture_connect(&addr);
    FIXTURE_UNTIL(rig->loop, rig->a.conn);
    rig->client_b = fixture_connect(&addr);
    FIXTURE_UNTIL(rig->loop, rig->b.conn);
}

static void rig_start(struct rig *rig, uint64_t idle_ns)
{
    rig->relay = relay_start(rig->a.conn, rig->b.conn, idle_ns, &rig->owner);
    assert_non_null(rig->relay);
    rig->a.conn = rig->b.conn = NULL;
}

/* The owner has it end now. */
static void rig_stop(struct rig *rig)
{
    relay_stop_at(rig->relay, rig->loop->clock.mono_ns);
    FIXTURE_UNTIL(rig->loop, rig->ends == 1);
}

static void rig_fini(struct rig *rig)
{
    FIXTURE_UNTIL(rig->loop, rig->loop->conns == 0);
    assert_int_equal(block_in_use(rig->loop->blocks), 0);
    (void)close(rig->client_a);
    (void)close(rig->client_b);
    recorder_fini(&rig->a);
    recorder_fini(&rig->b);
    fixture_end(rig->loop, rig->acceptor);
}

static uint8_t pattern_at(size_t i)
{
    return (uint8_t)(i * 131 + i / 257);
}

struct transfer {
    size_t total, step; /* step: at most in one send */
    unsigned slow; /* the receiver looks only every slow-th time */
};

/* From the client of a to that of b, or back. */
static void stream(struct rig *rig, bool a_to_b, struct transfer transfer)
{
    int from = a_to_b ? rig->client_a : rig->client_b, to = a_to_b ? rig->client_b : rig->client_a;
    size_t total = transfer.total, step = transfer.step;
    unsigned slow = transfer.slow;
    static uint8_t out[262144], in[262144];
    size_t sent = 0, got = 0;
    for (unsigned i = 0; got < total; i++) {
        size_t n = MIN(total - sent, step);
        n = MIN(n, sizeof(out));
        for (size_t at = 0; at < n; at++)
            out[at] = pattern_at(sent + at);
        if (n > 0) {
            ssize_t rc = send(from, out, n, MSG_DONTWAIT | MSG_NOSIGNAL);
            assert_true(rc >= 0 || errno == EAGAIN);
            sent += rc > 0 ? (size_t)rc : 0;
        }
        loop_turn(rig->loop, sent == total ? NS_PER_MS : 0);
        if (slow && i % slow != 0)
            continue;
        ssize_t rc = recv(to, in, sizeof(in), MSG_DONTWAIT);
        if (rc < 0) {
            assert_int_equal(errno, EAGAIN);
            continue;
        }
        assert_true(rc > 0);
        for (ssize_t at = 0; at < rc; at++)
            if (in[at] != pattern_at(got + (size_t)at))
                fail_msg("wrong byte at %zu", got + (size_t)at);
        got += (size_t)rc;
    }
}

static void test_copy_and_splice(void **state)
{
    (void)state;
    static const struct transfer cases[] = {
        {100000, 100, 0},       {1u << 20, 4096, 0},    {1u << 20, 1000, 3},
        {16u << 20, 262144, 0}, {16u << 20, 262144, 7}, {4u << 20, 70000, 2},
    };
    FIXTURE_EACH_ENGINE(engine)
    {
        for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
            struct rig rig;
            rig_init(&rig, engine);
            rig_start(&rig, 0);
            stream(&rig, true, cases[i]);
            /* Then small messages the other way and back again. */
            stream(&rig, false, (struct transfer){20000, 100, 0});
            stream(&rig, true, (struct transfer){50000, 100, 0});
            assert_int_equal(shutdown(rig.client_a, SHUT_WR), 0);
            char byte;
            FIXTURE_UNTIL(rig.loop, recv(rig.client_b, &byte, 1, MSG_DONTWAIT) == 0);
            assert_int_equal(rig.ends, 0);
            /* The other half still works. */
            stream(&rig, false, (struct transfer){cases[i].total, cases[i].step, 0});
            assert_int_equal(shutdown(rig.client_b, SHUT_WR), 0);
            FIXTURE_UNTIL(rig.loop, rig.ends == 1);
            assert_int_equal(rig.end, RELAY_END_DONE);
            assert_int_equal(rig.bytes_ab, cases[i].total + 50000);
            assert_int_equal(rig.bytes_ba, cases[i].total + 20000);
            rig_fini(&rig);
        }
    }
}

/* All pipes are in use elsewhere, or come back while a transfer runs. */
static void test_without_pipes(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct rig rig;
        rig_init(&rig, engine);
        rig_start(&rig, 0);
        struct loop_pools *pools = rig.loop->pools;
        pools->pipe_held = LOOP_PIPES;
        stream(&rig, true, (struct transfer){8u << 20, 262144, 7});
        assert_int_equal(pools->pipe_held, LOOP_PIPES);
        assert_int_equal(pools->pipe_count, 0);
        pools->pipe_held = 0;
        stream(&rig, true, (struct transfer){8u << 20, 262144, 7});
        assert_int_equal(pools->pipe_held, 0);
        assert_int_equal(pools->pipe_count, 1);
        rig_stop(&rig);
        rig_fini(&rig);
    }
}

/* Both directions at once, both spliced. */
static void test_both_ways_at_once(void **state)
{
    (void)state;
    const size_t total = 8u << 20;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct rig rig;
        rig_init(&rig, engine);
        rig_start(&rig, 0);
        static uint8_t out[100000], in[100000];
        const int ends[2] = {rig.client_a, rig.client_b};
        size_t sent[2] = {0}, got[2] = {0};
        while (got[0] < total || got[1] < total) {
            for (int e = 0; e < 2; e++) {
                size_t n = MIN(total - sent[e], sizeof(out));
                for (size_t at = 0; at < n; at++)
                    out[at] = pattern_at(sent[e] + at);
                ssize_t rc = n ? send(ends[e], out, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
                sent[e] += rc > 0 ? (size_t)rc : 0;
                rc = recv(ends[e], in, sizeof(in), MSG_DONTWAIT);
                for (ssize_t at = 0; at < rc; at++)
                    if (in[at] != pattern_at(got[e] + (size_t)at))
                        fail_msg("wrong byte at %zu", got[e] + (size_t)at);
                got[e] += rc > 0 ? (size_t)rc : 0;
            }
            loop_turn(rig.loop, 0);
        }
        for (int e = 0; e < 2; e++)
            assert_int_equal(shutdown(ends[e], SHUT_WR), 0);
        FIXTURE_UNTIL(rig.loop, rig.ends == 1);
        assert_int_equal(rig.bytes_ab, total);
        assert_int_equal(rig.bytes_ba, total);
        rig_fini(&rig);
    }
}

/* Bytes and the end that came before the relay are passed on. */
static void test_bytes_from_before(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct rig rig;
        rig_init(&rig, engine);
        assert_int_equal(send(rig.client_a, "early", 5, 0), 5);
        assert_int_equal(shutdown(rig.client_a, SHUT_WR), 0);
        FIXTURE_UNTIL(rig.loop, rig.a.ends == 1);
        rig_start(&rig, 0);
        char in[8];
        FIXTURE_UNTIL(rig.loop, recv(rig.client_b, in, sizeof(in), MSG_DONTWAIT | MSG_PEEK) == 5);
        assert_int_equal(recv(rig.client_b, in, sizeof(in), 0), 5);
        assert_memory_equal(in, "early", 5);
        FIXTURE_UNTIL(rig.loop, recv(rig.client_b, in, 1, MSG_DONTWAIT) == 0);
        assert_int_equal(shutdown(rig.client_b, SHUT_WR), 0);
        FIXTURE_UNTIL(rig.loop, rig.ends == 1);
        assert_int_equal(rig.bytes_ab, 5);
        rig_fini(&rig);
    }
}

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    (void)close(fd);
}

static void test_reset_is_passed_on(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        for (int spliced = 0; spliced < 2; spliced++) {
            for (int side = 0; side < 2; side++) {
                struct rig rig;
                rig_init(&rig, engine);
                rig_start(&rig, 0);
                if (spliced)
                    stream(&rig, true, (struct transfer){4u << 20, 262144, 0});
                int *victim = side ? &rig.client_b : &rig.client_a;
                int other = side ? rig.client_a : rig.client_b;
                reset(*victim);
                FIXTURE_UNTIL(rig.loop, rig.ends == 1);
                assert_int_equal(rig.end, side ? RELAY_END_B_RESET : RELAY_END_A_RESET);
                *victim = -1;
                FIXTURE_UNTIL(rig.loop, rig.loop->conns == 0);
                loop_turn(rig.loop, 0);
                char byte;
                assert_int_equal(recv(other, &byte, 1, 0), -1);
                assert_int_equal(errno, ECONNRESET);
                rig_fini(&rig);
            }
        }
    }
}

/* A reader that stops while a pipe is full, then the sender goes: nothing stays behind. */
static void test_reset_while_blocked(void **state)
{
    (void)state;
    static uint8_t out[1u << 20];
    FIXTURE_EACH_ENGINE(engine)
    {
        for (int side = 0; side < 2; side++) {
            struct rig rig;
            rig_init(&rig, engine);
            rig_start(&rig, 0);
            stream(&rig, true, (struct transfer){4u << 20, 262144, 0});
            for (int idle = 0; idle < 50;) {
                ssize_t n = send(rig.client_a, out, sizeof(out), MSG_DONTWAIT | MSG_NOSIGNAL);
                idle = n > 0 ? 0 : idle + 1;
                loop_turn(rig.loop, 0);
            }
            int *victim = side ? &rig.client_b : &rig.client_a;
            reset(*victim);
            *victim = -1;
            if (side == 1) {
                FIXTURE_UNTIL(rig.loop, rig.ends == 1);
                assert_int_equal(rig.end, RELAY_END_B_RESET);
            } else {
                /* Nobody reads a, so its reset is not noticed: the owner ends it. */
                for (int i = 0; i < 20; i++)
                    loop_turn(rig.loop, 0);
                if (rig.ends == 0)
                    rig_stop(&rig);
            }
            rig_fini(&rig);
        }
    }
}

static void test_idle_and_deadline(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct rig rig;
        rig_init(&rig, engine);
        rig_start(&rig, 30 * NS_PER_MS);
        FIXTURE_UNTIL(rig.loop, rig.ends == 1);
        assert_int_equal(rig.end, RELAY_END_IDLE);
        rig_fini(&rig);

        rig_init(&rig, engine);
        rig_start(&rig, 0);
        relay_stop_at(rig.relay, rig.loop->clock.mono_ns + 20 * NS_PER_MS);
        FIXTURE_UNTIL(rig.loop, rig.ends == 1);
        assert_int_equal(rig.end, RELAY_END_DEADLINE);
        rig_fini(&rig);

        rig_init(&rig, engine);
        rig_start(&rig, NS_PER_S);
        rig_stop(&rig); /* at once */
        assert_int_equal(rig.end, RELAY_END_DEADLINE);
        rig_fini(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_and_splice),    cmocka_unit_test(test_both_ways_at_once),
        cmocka_unit_test(test_without_pipes),      cmocka_unit_test(test_bytes_from_before),
        cmocka_unit_test(test_reset_is_passed_on), cmocka_unit_test(test_reset_while_blocked),
        cmocka_unit_test(test_idle_and_deadline),  cmocka_unit_test(test_no_helper_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
