/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io_fixture.h"

#include "base/rand.h"

static void write_all(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static uint8_t pattern_at(size_t i)
{
    return (uint8_t)(i * 131 + i / 257);
}

static void fill_pattern(uint8_t *data, size_t offset, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = pattern_at(offset + i);
}

static void test_echo_random_sizes(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        p.rec.echo = true;
        struct rand_state rand;
        rand_seed(&rand, 7);
        static uint8_t out[65536], in[65536];
        size_t offset = 0;
        for (int round = 0; round < 200; round++) {
            size_t len = 1 + rand_below(&rand, round % 4 == 0 ? 60000 : 3000);
            fill_pattern(out, offset, len);
            write_all(p.client, out, len);
            offset += len;
            FIXTURE_UNTIL(p.loop, p.rec.len == offset && conn_queued(p.rec.conn) == 0);
            size_t got = 0;
            while (got < len) {
                ssize_t n = recv(p.client, in + got, len - got, 0);
                assert_true(n > 0);
                got += (size_t)n;
            }
            assert_memory_equal(in, out, len);
        }
        assert_int_equal(block_in_use(p.loop->blocks), 0);
        assert_int_equal(p.rec.opens, 0);
        (void)close(p.client);
        FIXTURE_UNTIL(p.loop, p.rec.ends == 1);
        assert_true(conn_is_ended(p.rec.conn));
        fixture_link_end(&p);
    }
}

/* A link whose conn has a tiny send buffer. */
static void link_start_tight(struct fixture_link *link, enum loop_engine engine)
{
    fixture_link_start(link, fixture_loop(engine));
    int size = 4096;
    assert_int_equal(
        setsockopt(conn_fd(link->rec.conn), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

/* 8 MiB through a tiny send buffer to a reader that reads in small steps. */
static void test_large_stream_slow_reader(void **state)
{
    (void)state;
    const size_t total = 8u << 20;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        link_start_tight(&p, engine);
        static uint8_t piece[50000], in[32768];
        size_t sent = 0, got = 0;
        unsigned step = 0;
        while (got < total) {
            while (sent < total && !conn_is_congested(p.rec.conn)) {
                size_t len = MIN(total - sent, 1 + (size_t)(step++ * 7919 % sizeof(piece)));
                fill_pattern(piece, sent, len);
                assert_int_equal(conn_write_span(p.rec.conn, span_make(piece, len)), 0);
                sent += len;
            }
            loop_turn(p.loop, 0);
            ssize_t n = recv(p.client, in, 1 + step * 13 % sizeof(in), MSG_DONTWAIT);
            if (n < 0) {
                assert_int_equal(errno, EAGAIN);
                loop_turn(p.loop, NS_PER_MS);
                continue;
            }
            for (ssize_t i = 0; i < n; i++)
                assert_int_equal(in[i], pattern_at(got + (size_t)i));
            got += (size_t)n;
        }
        assert_true(p.rec.drains > 0);
        FIXTURE_UNTIL(p.loop, conn_queued(p.rec.conn) == 0);
        assert_int_equal(conn_bytes_out(p.rec.conn), total);
        assert_int_equal(block_in_use(p.loop->blocks), 0);
        (void)close(p.client);
        fixture_link_end(&p);
    }
}

/* Small writes, each in a turn of its own, until the socket takes no more; then all is read. */
static void test_small_writes_until_full(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        link_start_tight(&p, engine);
        uint8_t piece[1000], in[4096];
        size_t sent = 0, got = 0;
        for (int blocked = 0; blocked < 20; sent += sizeof(piece)) {
            fill_pattern(piece, sent, sizeof(piece));
            assert_int_equal(conn_write_span(p.rec.conn, span_make(piece, sizeof(piece))), 0);
            loop_turn(p.loop, 0);
            loop_turn(p.loop, 0); /* with the ring the completion is seen in the next one */
            blocked += conn_queued(p.rec.conn) > 0;
        }
        while (got < sent) {
            loop_turn(p.loop, 0);
            ssize_t n = recv(p.client, in, sizeof(in), MSG_DONTWAIT);
            for (ssize_t i = 0; i < n; i++)
                assert_int_equal(in[i], pattern_at(got + (size_t)i));
            got += n > 0 ? (size_t)n : 0;
        }
        FIXTURE_UNTIL(p.loop, conn_queued(p.rec.conn) == 0);
        assert_int_equal(block_in_use(p.loop->blocks), 0);
        (void)close(p.client);
        fixture_link_end(&p);
    }
}

static void test_half_close_from_peer(void **state)
{
    (void)state;
    const size_t total = 1u << 20;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        write_all(p.client, "request", 7);
        assert_int_equal(shutdown(p.client, SHUT_WR), 0);
        FIXTURE_UNTIL(p.loop, p.rec.ends == 1);
        assert_int_equal(p.rec.len, 7);
        uint8_t *answer = xmalloc(total);
        fill_pattern(answer, 0, total);
        assert_int_equal(conn_write_span(p.rec.conn, span_make(answer, total)), 0);
        conn_close(p.rec.conn, false);
        p.rec.conn = NULL;
        static uint8_t in[65536];
        size_t got = 0;
        for (;;) {
            ssize_t n = recv(p.client, in, sizeof(in), MSG_DONTWAIT);
            if (n == 0)
                break;
            if (n < 0) {
                assert_int_equal(errno, EAGAIN);
                loop_turn(p.loop, NS_PER_MS);
                continue;
            }
            assert_memory_equal(in, answer + got, n);
            got += (size_t)n;
        }
        assert_int_equal(got, total);
        free(answer);
        (void)close(p.client);
        fixture_link_end(&p);
    }
}

static void test_half_close_from_us(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        assert_int_equal(conn_write_span(p.rec.conn, SPAN_LIT("last")), 0);
        conn_shutdown(p.rec.conn);
        assert_int_equal(conn_write_span(p.rec.conn, SPAN_LIT("more")), -EPIPE);
        loop_turn(p.loop, 0);
        loop_turn(p.loop, 0);
        char in[16];
        assert_int_equal(recv(p.client, in, sizeof(in), MSG_WAITALL), 4);
        assert_int_equal(recv(p.client, in, sizeof(in), 0), 0);
        write_all(p.client, "still heard", 11);
        FIXTURE_UNTIL(p.loop, p.rec.len == 11);
        (void)close(p.client);
        FIXTURE_UNTIL(p.loop, p.rec.ends == 1);
        fixture_link_end(&p);
    }
}

static void reset_client(int client)
{
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    (void)close(client);
}

enum reset_state {
    RESET_IDLE,
    RESET_PAUSED,
    RESET_QUEUED,
    RESET_BULK,
    RESET_CLOSING,
    RESET_STATES
};

static void test_peer_reset(void **state)
{
    (void)state;
    static uint8_t big[6u << 20];
    FIXTURE_EACH_ENGINE(engine)
    {
        for (int when = 0; when < RESET_STATES; when++) {
            struct fixture_link p;
            fixture_link_start(&p, fixture_loop(engine));
            if (when == RESET_PAUSED)
                conn_pause_input(p.rec.conn);
            if (when == RESET_BULK)
                conn_set_rx_mode(p.rec.conn, CONN_RX_BULK);
            if (when == RESET_QUEUED || when == RESET_CLOSING)
                assert_int_equal(conn_write_span(p.rec.conn, span_make(big, sizeof(big))), 0);
            loop_turn(p.loop, NS_PER_MS);
            loop_turn(p.loop, NS_PER_MS);
            if (when == RESET_CLOSING) {
                conn_close(p.rec.conn, true);
                p.rec.conn = NULL;
            }
            reset_client(p.client);
            if (when == RESET_CLOSING) {
                FIXTURE_UNTIL(p.loop, p.loop->conns == 0);
                assert_int_equal(p.rec.closes, 0);
            } else {
                FIXTURE_UNTIL(p.loop, p.rec.closes == 1);
                assert_true(p.rec.error == -ECONNRESET || p.rec.error == -EPIPE);
                assert_string_not_equal(p.rec.text, "");
            }
            fixture_link_end(&p);
        }
    }
}

/* Bytes and a reset that were there before anybody received: both are told. */
static void test_reset_before_receiving(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p = {.loop = fixture_loop(engine)};
        struct addr addr;
        recorder_init(&p.rec);
        p.acceptor = acceptor_start(p.loop, fixture_listen(&addr), recorder_accept, &p.rec);
        assert_non_null(p.acceptor);
        p.client = fixture_connect(&addr);
        write_all(p.client, "early", 5);
        reset_client(p.client);
        FIXTURE_UNTIL(p.loop, p.rec.closes == 1);
        assert_int_equal(p.rec.error, -ECONNRESET);
        assert_int_equal(p.rec.len, 5);
        fixture_link_end(&p);
    }
}

/* An answer to a request that was not read to its end must reach the peer. */
static void test_close_with_linger(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        static uint8_t body[20000];
        write_all(p.client, body, sizeof(body));
        FIXTURE_UNTIL(p.loop, p.rec.len > 0);
        assert_int_equal(conn_write_span(p.rec.conn, SPAN_LIT("413")), 0);
        conn_close(p.rec.conn, true);
        p.rec.conn = NULL;
        loop_turn(p.loop, NS_PER_MS);
        loop_turn(p.loop, NS_PER_MS);
        write_all(p.client, body, sizeof(body)); /* what a close would answer with a reset */
        for (int i = 0; i < 5; i++)
            loop_turn(p.loop, NS_PER_MS);
        char in[16];
        assert_int_equal(recv(p.client, in, sizeof(in), 0), 3);
        assert_int_equal(recv(p.client, in, sizeof(in), 0), 0);
        assert_int_equal(p.loop->conns, 1); /* still discarding */
        (void)close(p.client);
        FIXTURE_UNTIL(p.loop, p.loop->conns == 0);
        fixture_link_end(&p);
    }
}

/* A peer that keeps sending to a closed conn is cut off. */
static void test_linger_is_bounded(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        conn_close(p.rec.conn, true);
        p.rec.conn = NULL;
        static uint8_t flood[32768];
        while (p.loop->conns > 0) {
            (void)send(p.client, flood, sizeof(flood), MSG_DONTWAIT | MSG_NOSIGNAL);
            loop_turn(p.loop, NS_PER_MS);
        }
        (void)close(p.client);
        fixture_link_end(&p);
    }
}

static void test_write_timeout(void **state)
{
    (void)state;
    static uint8_t big[16u << 20];
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        conn_set_write_timeout(p.rec.conn, 50 * NS_PER_MS);
        assert_int_equal(conn_write_span(p.rec.conn, span_make(big, sizeof(big))), 0);
        assert_true(conn_is_congested(p.rec.conn));
        FIXTURE_UNTIL(p.loop, p.rec.closes == 1);
        assert_int_equal(p.rec.error, -ETIMEDOUT);
        assert_string_equal(p.rec.text, "write timed out");
        FIXTURE_UNTIL(p.loop, p.loop->conns == 0);
        assert_int_equal(block_in_use(p.loop->blocks), 0);
        (void)close(p.client);
        fixture_link_end(&p);
    }
}

static void test_deadline(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        conn_set_deadline(p.rec.conn, p.loop->clock.mono_ns + 20 * NS_PER_MS);
        conn_set_deadline(p.rec.conn, p.loop->clock.mono_ns + 40 * NS_PER_MS);
        uint64_t due = p.loop->clock.mono_ns + 40 * NS_PER_MS;
        FIXTURE_UNTIL(p.loop, p.rec.timeouts == 1);
        assert_true(p.loop->clock.mono_ns >= due);
        conn_set_deadline(p.rec.conn, p.loop->clock.mono_ns + 10 * NS_PER_MS);
        conn_set_deadline(p.rec.conn, 0);
        uint64_t later = p.loop->clock.mono_ns + 30 * NS_PER_MS;
        FIXTURE_UNTIL(p.loop, p.loop->clock.mono_ns > later);
        assert_int_equal(p.rec.timeouts, 1);
        (void)close(p.client);
        fixture_link_end(&p);
    }
}

static void test_pause_and_resume(void **state)
{
    (void)state;
    const size_t total = 24u << 20;
    FIXTURE_EACH_ENGINE(engine)
    {
        for (int bulk = 0; bulk < 2; bulk++) {
            struct fixture_link p;
            fixture_link_start(&p, fixture_loop(engine));
            conn_set_rx_mode(p.rec.conn, bulk ? CONN_RX_BULK : CONN_RX_INTERACTIVE);
            uint8_t *out = xmalloc(total);
            fill_pattern(out, 0, total);
            size_t sent = 0;
            conn_pause_input(p.rec.conn);
            for (int i = 0; i < 200; i++) {
                ssize_t n = send(p.client, out + sent, total - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
                sent += n > 0 ? (size_t)n : 0;
                loop_turn(p.loop, 0);
            }
            assert_int_equal(p.rec.len, 0);
            assert_true(sent < total); /* back pressure reached the sender */
            assert_true(block_in_use(p.loop->blocks) <= 80);
            for (unsigned i = 0; p.rec.len < total; i++) {
                if (i % 3 == 0)
                    conn_resume_input(p.rec.conn);
                else if (i % 3 == 1)
                    conn_pause_input(p.rec.conn);
                if (sent < total) {
                    ssize_t n =
                        send(p.client, out + sent, total - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
                    sent += n > 0 ? (size_t)n : 0;
                }
                loop_turn(p.loop, 0);
            }
            assert_int_equal(p.rec.len, total);
            assert_memory_equal(p.rec.data, out, total);
            conn_pause_input(p.rec.conn);
            (void)close(p.client);
            FIXTURE_UNTIL(p.loop, p.rec.ends == 1); /* told although paused */
            assert_int_equal(block_in_use(p.loop->blocks), 0);
            free(out);
            fixture_link_end(&p);
        }
    }
}

static void test_input_grows_until_full(void **state)
{
    (void)state;
    const size_t total = 300000;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        p.rec.keep = SIZE_MAX; /* consumes nothing */
        uint8_t *out = xmalloc(total);
        fill_pattern(out, 0, total);
        size_t sent = 0, got = 0;
        bool was_full = false;
        while (got < total) {
            if (sent < total) {
                ssize_t n =
                    send(p.client, out + sent, MIN(total - sent, (size_t)5000), MSG_DONTWAIT);
                sent += n > 0 ? (size_t)n : 0;
            }
            loop_turn(p.loop, 0);
            struct span in = conn_input(p.rec.conn);
            assert_memory_equal(in.ptr, out + got, in.len);
            assert_true(in.len <= BLOCK_LARGE_SIZE);
            if (conn_input_is_full(p.rec.conn) || sent == total) {
                was_full |= conn_input_is_full(p.rec.conn);
                size_t n = MIN(in.len, (size_t)20011);
                conn_consume(p.rec.conn, n);
                got += n;
            }
        }
        assert_true(was_full);
        assert_int_equal(block_in_use(p.loop->blocks), 0);
        free(out);
        (void)close(p.client);
        fixture_link_end(&p);
    }
}

static void test_dial(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct loop *loop = fixture_loop(engine);
        struct addr addr;
        int fd = fixture_listen(&addr);
        struct recorder rec, server;
        recorder_init(&rec);
        recorder_init(&server);
        server.echo = true;
        struct acceptor *acceptor = acceptor_start(loop, fd, recorder_accept, &server);
        int error = 0;
        rec.conn = conn_dial(loop, &addr, NS_PER_S, &rec.owner, &error);
        assert_non_null(rec.conn);
        assert_int_equal(conn_write_span(rec.conn, SPAN_LIT("early")), -ENOTCONN);
        FIXTURE_UNTIL(loop, rec.opens == 1);
        assert_int_equal(conn_write_span(rec.conn, SPAN_LIT("hello")), 0);
        FIXTURE_UNTIL(loop, rec.len == 5);
        assert_memory_equal(rec.data, "hello", 5);
        struct addr peer;
        conn_peer(rec.conn, &peer);
        assert_true(addr_equal(&peer, &addr));
        conn_peer(server.conn, &peer);
        struct addr local = {.len = sizeof(local.un)};
        assert_int_equal(getsockname(conn_fd(rec.conn), &local.sa, &local.len), 0);
        assert_true(addr_equal(&local, &peer));
        recorder_fini(&rec);
        FIXTURE_UNTIL(loop, server.ends == 1);
        recorder_fini(&server);
        fixture_end(loop, acceptor);
    }
}

static void test_dial_refused(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct loop *loop = fixture_loop(engine);
        struct addr addr;
        (void)close(fixture_listen(&addr));
        struct recorder rec;
        recorder_init(&rec);
        int error = 0;
        rec.conn = conn_dial(loop, &addr, NS_PER_S, &rec.owner, &error);
        assert_non_null(rec.conn);
        FIXTURE_UNTIL(loop, rec.closes == 1);
        assert_int_equal(rec.error, -ECONNREFUSED);
        assert_int_equal(rec.opens, 0);
        /* A socket file that is not there fails at once, and is told later all the same. */
        assert_int_equal(addr_parse(SPAN_LIT("unix:/nonexistent/socket"), &addr), 0);
        rec.conn = conn_dial(loop, &addr, NS_PER_S, &rec.owner, &error);
        assert_non_null(rec.conn);
        assert_int_equal(rec.closes, 1);
        FIXTURE_UNTIL(loop, rec.closes == 2);
        assert_int_equal(rec.error, -ENOENT);
        recorder_fini(&rec);
        fixture_end(loop, NULL);
    }
}

/* A listener whose backlog is full drops the handshake: the dial hangs. */
static void test_dial_timeout(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct loop *loop = fixture_loop(engine);
        struct acceptor_options options = {.backlog = 1};
        struct addr addr;
        assert_int_equal(addr_parse(SPAN_LIT("127.0.0.1:0"), &addr), 0);
        int fd = acceptor_listen(&addr, &options, NULL);
        assert_true(fd >= 0);
        addr.len = sizeof(addr.in);
        assert_int_equal(getsockname(fd, &addr.sa, &addr.len), 0);
        int fill[2] = {fixture_connect(&addr), fixture_connect(&addr)};
        struct recorder rec;
        recorder_init(&rec);
        int error = 0;
        rec.conn = conn_dial(loop, &addr, 50 * NS_PER_MS, &rec.owner, &error);
        assert_non_null(rec.conn);
        FIXTURE_UNTIL(loop, rec.closes == 1);
        assert_int_equal(rec.error, -ETIMEDOUT);
        assert_string_equal(rec.text, "connect timed out");
        FIXTURE_UNTIL(loop, loop->conns == 0);
        (void)close(fill[0]);
        (void)close(fill[1]);
        (void)close(fd);
        recorder_fini(&rec);
        fixture_end(loop, NULL);
    }
}

static void test_abort_resets(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        conn_abort(p.rec.conn);
        p.rec.conn = NULL;
        FIXTURE_UNTIL(p.loop, p.loop->conns == 0);
        loop_turn(p.loop, 0);
        char in[4];
        assert_int_equal(recv(p.client, in, sizeof(in), 0), -1);
        assert_int_equal(errno, ECONNRESET);
        (void)close(p.client);
        fixture_link_end(&p);
    }
}

/* The peer sees the end at once, in every receive mode: no armed operation keeps the file open. */
static void test_close_is_seen(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        for (int bulk = 0; bulk < 2; bulk++) {
            struct fixture_link p;
            fixture_link_start(&p, fixture_loop(engine));
            conn_set_rx_mode(p.rec.conn, bulk ? CONN_RX_BULK : CONN_RX_INTERACTIVE);
            write_all(p.client, "x", 1);
            FIXTURE_UNTIL(p.loop, p.rec.len == 1);
            conn_close(p.rec.conn, false);
            p.rec.conn = NULL;
            FIXTURE_UNTIL(p.loop, p.loop->conns == 0);
            loop_turn(p.loop, 0);
            char in[4];
            assert_int_equal(recv(p.client, in, sizeof(in), 0), 0);
            (void)close(p.client);
            fixture_link_end(&p);
        }
    }
}

static void test_reserve_and_commit(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        uint8_t *room = conn_reserve(p.rec.conn, BLOCK_SIZE);
        assert_non_null(room);
        assert_int_equal(conn_commit(p.rec.conn, 0), 0);
        assert_int_equal(block_in_use(p.loop->blocks), 0);
        for (int i = 0; i < 5; i++) {
            room = conn_reserve(p.rec.conn, 10000);
            assert_non_null(room);
            memset(room, 'a' + i, 7000);
            assert_int_equal(conn_commit(p.rec.conn, 7000), 0);
            assert_int_equal(conn_write_span(p.rec.conn, SPAN_LIT("!")), 0);
        }
        static char in[5 * 7001];
        FIXTURE_UNTIL(p.loop, conn_queued(p.rec.conn) == 0);
        assert_int_equal(recv(p.client, in, sizeof(in), MSG_WAITALL), sizeof(in));
        for (int i = 0; i < 5; i++) {
            assert_int_equal(in[i * 7001 + 6999], 'a' + i);
            assert_int_equal(in[i * 7001 + 7000], '!');
        }
        (void)close(p.client);
        fixture_link_end(&p);
    }
}

/* Output beyond the cap of blocks fails that conn only. */
static void test_out_of_blocks(void **state)
{
    (void)state;
    static uint8_t big[8u << 20];
    FIXTURE_EACH_ENGINE(engine)
    {
        struct fixture_link p;
        fixture_link_start(
            &p, fixture_loop_with((struct loop_options){.engine = engine, .blocks_max = 8}));
        assert_int_equal(conn_write_span(p.rec.conn, span_make(big, sizeof(big))), -ENOBUFS);
        assert_int_equal(p.rec.closes, 0); /* not from inside the call */
        FIXTURE_UNTIL(p.loop, p.rec.closes == 1);
        assert_int_equal(p.rec.error, -ENOBUFS);
        (void)close(p.client);
        FIXTURE_UNTIL(p.loop, p.loop->conns == 0);
        assert_int_equal(block_in_use(p.loop->blocks), 0);
        fixture_link_end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_random_sizes),
        cmocka_unit_test(test_large_stream_slow_reader),
        cmocka_unit_test(test_small_writes_until_full),
        cmocka_unit_test(test_half_close_from_peer),
        cmocka_unit_test(test_half_close_from_us),
        cmocka_unit_test(test_peer_reset),
        cmocka_unit_test(test_reset_before_receiving),
        cmocka_unit_test(test_close_with_linger),
        cmocka_unit_test(test_linger_is_bounded),
        cmocka_unit_test(test_write_timeout),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_pause_and_resume),
        cmocka_unit_test(test_input_grows_until_full),
        cmocka_unit_test(test_dial),
        cmocka_unit_test(test_dial_refused),
        cmocka_unit_test(test_dial_timeout),
        cmocka_unit_test(test_abort_resets),
        cmocka_unit_test(test_close_is_seen),
        cmocka_unit_test(test_reserve_and_commit),
        cmocka_unit_test(test_out_of_blocks),
        cmocka_unit_test(test_no_helper_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
