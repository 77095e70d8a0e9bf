/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_write.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire.h"

/* What leaves a conn, byte for byte. */

struct sender {
    struct conn_owner owner;
    struct wire wire;
    struct arena arena;
};

static void sender_on_event(struct conn_owner *owner, struct conn *conn)
{
    assert_non_null(owner);
    conn_consume(conn, conn_input(conn).len);
}

static void sender_on_close(struct conn_owner *owner, struct conn *conn, int error)
{
    assert_non_null(owner);
    fail_msg("%s: %d", conn_error_text(conn), error);
}

static const struct conn_owner_ops sender_ops = {
    .on_data = sender_on_event,
    .on_end = sender_on_event,
    .on_close = sender_on_close,
};

static void sender_start(struct sender *s)
{
    memset(s, 0, sizeof(*s));
    s->owner.ops = &sender_ops;
    arena_init(&s->arena, 8192, 0, NULL);
    wire_open(&s->wire, wire_loop_new());
    conn_set_owner(s->wire.conn, &s->owner);
    conn_start(s->wire.conn);
}

static void sender_stop(struct sender *s)
{
    conn_close(s->wire.conn, false);
    wire_fini(&s->wire);
    arena_fini(&s->arena);
    loop_free(s->wire.loop);
}

static void expect_all(struct sender *s, const char *text)
{
    wire_expect(&s->wire, text);
    assert_string_equal(buf_str(&s->wire.in), text);
    buf_reset(&s->wire.in);
}

static struct http_head *response(struct sender *s, unsigned status)
{
    struct http_head *head = http_head_new(&s->arena, 4);
    head->is_response = true;
    head->status = (uint16_t)status;
    return head;
}

static void test_response(void **state)
{
    (void)state;
    struct sender s;
    sender_start(&s);
    struct http_head *head = response(&s, 200);
    assert_true(http_head_add(head, SPAN_LIT("X-A"), SPAN_LIT("1")));
    assert_true(http_head_add(head, SPAN_LIT("x-gone"), SPAN_LIT("2")));
    assert_true(http_head_add(head, SPAN_LIT("Content-Length"), SPAN_LIT("77")));
    assert_true(http_head_add(head, SPAN_LIT("Transfer-Encoding"), SPAN_LIT("gzip")));
    assert_true(http_head_add(head, SPAN_LIT("Keep-Alive"), SPAN_LIT("5")));
    assert_int_equal(http_head_remove(head, SPAN_LIT("X-Gone")), 1);
    struct h1_plan plan = {.framing = H1_FRAMING_LENGTH, .announce = 1234567890123};
    assert_int_equal(h1_write_response(s.wire.conn, head, &plan), 0);
    expect_all(&s, "HTTP/1.1 200 OK\r\nX-A: 1\r\ncontent-length: 1234567890123\r\n\r\n");
    plan = (struct h1_plan){.framing = H1_FRAMING_CHUNKED,
                            .announce = HTTP_LENGTH_UNKNOWN,
                            .connection = SPAN_LIT("close"),
                            .date = SPAN_LIT("today")};
    assert_int_equal(h1_write_response(s.wire.conn, response(&s, 599), &plan), 0);
    expect_all(&s, "HTTP/1.1 599 \r\ntransfer-encoding: chunked\r\ndate: today\r\n"
                   "connection: close\r\n\r\n");
    assert_int_equal(h1_write_error(s.wire.conn, HTTP_ERROR_BAD_HOST, SPAN_LIT("today")), 0);
    expect_all(&s, "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 43\r\n"
                   "date: today\r\nconnection: close\r\n\r\n"
                   "400 Bad Request: missing or malformed Host\n");
    sender_stop(&s);
}

/* Heads around and far above one block. */
static void test_large_heads(void **state)
{
    (void)state;
    static char value[20000], expected[70000];
    static const size_t sizes[] = {1,     300,   16000, 16340, 16341, 16342, 16343, 16344,
                                   16345, 16346, 16347, 16348, 16349, 16350, 20000};
    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct sender s;
        sender_start(&s);
        struct http_head *head = response(&s, 200);
        int len = snprintf(expected, sizeof(expected), "HTTP/1.1 200 OK\r\n");
        for (int f = 0; f < 3; f++) {
            assert_true(http_head_add(head, SPAN_LIT("x"), span_make(value, sizes[i])));
            len += snprintf(expected + len, sizeof(expected) - (size_t)len, "x: %.*s\r\n",
                            (int)sizes[i], value);
        }
        snprintf(expected + len, sizeof(expected) - (size_t)len, "content-length: 0\r\n\r\n");
        struct h1_plan plan = {.framing = H1_FRAMING_LENGTH};
        assert_int_equal(h1_write_response(s.wire.conn, head, &plan), 0);
        expect_all(&s, expected);
        sender_stop(&s);
    }
}

static void test_bodies(void **state)
{
    (void)state;
    struct sender s;
    struct h1_tx tx;
    static char data[70000];
    memset(data, 'd', sizeof(data));
    struct iovec one = {data, 16}, large = {data, 65536};
    sender_start(&s);
    struct conn *conn = s.wire.conn;

    h1_tx_begin(&tx, &(struct h1_plan){.framing = H1_FRAMING_CHUNKED});
    assert_int_equal(h1_tx_body(&tx, conn, &one, 1), 0);
    assert_int_equal(h1_tx_body(&tx, conn, &one, 0), 0);
    assert_int_equal(h1_tx_end(&tx, conn, NULL), 0);
    expect_all(&s, "10\r\ndddddddddddddddd\r\n0\r\n\r\n");
    assert_int_equal(h1_tx_body(&tx, conn, &large, 1), 0);
    wire_expect(&s.wire, "dd\r\n");
    assert_memory_equal(s.wire.in.data, "10000\r\ndd", 9);
    assert_int_equal(s.wire.in.len, 7 + 65536 + 2);
    buf_reset(&s.wire.in);
    struct http_head *trailers = http_head_new(&s.arena, 2);
    assert_true(http_head_add(trailers, SPAN_LIT("x-t"), SPAN_LIT("1")));
    assert_int_equal(h1_tx_end(&tx, conn, trailers), 0);
    expect_all(&s, "0\r\nx-t: 1\r\n\r\n");

    h1_tx_begin(&tx, &(struct h1_plan){.framing = H1_FRAMING_LENGTH, .announce = 17});
    assert_int_equal(h1_tx_body(&tx, conn, &one, 1), 0);
    assert_int_equal(h1_tx_end(&tx, conn, NULL), -EMSGSIZE);
    assert_int_equal(h1_tx_body(&tx, conn, &one, 1), -EMSGSIZE);
    one.iov_len = 1;
    assert_int_equal(h1_tx_body(&tx, conn, &one, 1), 0);
    assert_int_equal(h1_tx_end(&tx, conn, trailers), 0);
    expect_all(&s, "ddddddddddddddddd");

    h1_tx_begin(&tx, &(struct h1_plan){.framing = H1_FRAMING_NONE});
    assert_int_equal(h1_tx_body(&tx, conn, &one, 1), 0);
    assert_int_equal(h1_tx_end(&tx, conn, trailers), 0);
    h1_tx_begin(&tx, &(struct h1_plan){.framing = H1_FRAMING_UNTIL_CLOSE});
    assert_int_equal(h1_tx_body(&tx, conn, &one, 1), 0);
    assert_int_equal(h1_tx_end(&tx, conn, trailers), 0);
    expect_all(&s, "d");
    sender_stop(&s);
}

/* A head whose parts were changed behind the back of http_head_add does not leave. */
static void test_splitting_aborts(void **state)
{
    (void)state;
    static const struct {
        const char *value, *path, *query;
    } cases[] = {
        {"a\r\nb: c", "/", "q"}, {"a\nb", "/", "q"},   {"a\rb", "/", "q"}, {"\x01", "/", "q"},
        {"a", "/\r\n", "q"},     {"a", "/ HTTP", "q"}, {"a", "/", "q\nx"}, {"a", "/", "q x"},
        {"a", "", "q"},          {"a", "/\t", "q"},    {"a", "/", "q\tx"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct sender s;
            close(STDERR_FILENO);
            signal(SIGABRT, SIG_DFL);
            sender_start(&s);
            struct http_head *head = http_head_new(&s.arena, 1);
            (void)!http_head_add(head, SPAN_LIT("x"), SPAN_LIT("ok"));
            head->method_text = SPAN_LIT("GET");
            head->path = span_str(cases[i].path);
            head->has_query = true;
            head->query = span_str(cases[i].query);
            head->fields[0].value = span_str(cases[i].value);
            (void)!h1_write_request(s.wire.conn, head, &(struct h1_plan){.announce = -1});
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_large_heads),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_splitting_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
