/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "server_app.h"
#include "vectors.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST3(path) "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"

static void run_keep_alive(void)
{
    struct app app;
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, GET("/one"));
    wire_expect(&app.wire, "x-path: /one\r\ncontent-length: 0\r\ndate: ");
    wire_send_text(&app.wire, POST3("/two") "abc");
    wire_expect(&app.wire, "\r\n\r\nabc");
    assert_int_equal(app.closes, 0);
    assert_true(http_server_is_idle(app.session));
    wire_send_text(&app.wire, "GET /three HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wire_expect(&app.wire, "connection: close\r\n");
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(app.count, 3);
    app_stop(&app);
    assert_int_equal(app.closed, HTTP_ERROR_NONE);
}

static void run_one_byte_segments(void)
{
    struct app app;
    static const char text[] = "\r\n" POST3("/a") "xyz" GET(
        "/b") "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
              "2;a=\"b\"\r\nhi\r\n3\r\n!!!\r\n0\r\nX-T: 1\r\n\r\n";
    app_open(&app, NULL, false);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        wire_send(&app.wire, text + i, 1);
        loop_turn(app.wire.loop, NS_PER_MS);
    }
    wire_expect(&app.wire, "xyz");
    wire_expect(&app.wire, "hi!!!");
    assert_int_equal(app.count, 3);
    assert_true(app.requests[2]->trailer);
    app_stop(&app);
}

static void run_pipelining(void)
{
    struct app app;
    static char text[16384];
    size_t len = 0;
    app_open(&app, NULL, false);
    for (int i = 0; i < 100; i++)
        len +=
            (size_t)snprintf(text + len, sizeof(text) - len,
                             "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%03d", i, i);
    wire_send(&app.wire, text, len);
    wire_expect(&app.wire, "x-path: /99\r\n");
    wire_settle(&app.wire);
    assert_int_equal(app.count, 100);
    assert_int_equal(wire_count(&app.wire, "HTTP/1.1 200 OK"), 100);
    const char *at = buf_str(&app.wire.in);
    for (int i = 0; i < 100; i++) { /* in order */
        char path[32];
        snprintf(path, sizeof(path), "x-path: /%d\r\n", i);
        at = strstr(at, path);
        assert_non_null(at);
    }
    app_stop(&app);
}

/* What comes after an error or a close is not answered. */
/* No answer to what is no version of HTTP (h2spec 3.5/2 over cleartext). */
static void run_not_http(void)
{
    struct app app;
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, "INVALID CONNECTION PREFACE\r\n\r\n");
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(app.wire.in.len, 0);
    assert_int_equal(app.refused, HTTP_ERROR_NOT_HTTP);
    app_stop(&app);
}

static void run_nothing_after_error(void)
{
    static const struct {
        const char *text;
        enum http_error error;
        unsigned requests;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n" GET("/no"), HTTP_ERROR_BAD_HOST, 0},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/no"), HTTP_ERROR_NONE, 1},
        {"GET / HTTP/1.0\r\n\r\n" GET("/no"), HTTP_ERROR_NONE, 1},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n" GET("/no"),
         HTTP_ERROR_BAD_REQUEST, 0},
        {"\x16\x03\x01\x02", HTTP_ERROR_BAD_REQUEST, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct app app;
        app_open(&app, NULL, false);
        wire_send_text(&app.wire, cases[i].text);
        wire_expect(&app.wire, "connection: close");
        assert_true(wire_expect_end(&app.wire));
        assert_int_equal(app.count, cases[i].requests);
        assert_int_equal(wire_count(&app.wire, "HTTP/1.1 "), 1);
        assert_int_equal(app.refused, cases[i].error);
        app_stop(&app);
        assert_int_equal(app.closed, cases[i].error);
    }
}

static void run_vectors(void)
{
    const struct vector *v;
    size_t count = vectors_load(&v);
    for (size_t i = 0; i < count; i++) {
        if (v[i].is_response)
            continue;
        struct app app;
        char line[32];
        app_open(&app, NULL, false);
        wire_send(&app.wire, v[i].bytes, v[i].len);
        snprintf(line, sizeof(line), "HTTP/1.1 %u ", v[i].status ? v[i].status : 200);
        wire_expect(&app.wire, line);
        if (v[i].status != 0) {
            wire_expect(&app.wire, "connection: close");
            assert_true(wire_expect_end(&app.wire));
            assert_int_equal(wire_count(&app.wire, "HTTP/1.1 "), 1);
        }
        app_stop(&app);
    }
}

static void run_chunked_response(void)
{
    struct app app;
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, GET("/chunked"));
    wire_expect(&app.wire, "transfer-encoding: chunked\r\n");
    wire_expect(&app.wire, "\r\n\r\n6\r\nonetwo\r\n0\r\nx-sum: 6\r\n\r\n");
    wire_send_text(&app.wire, "GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    wire_expect(&app.wire, "connection: close\r\n\r\nonetwo");
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(wire_count(&app.wire, "chunked"), 1);
    app_stop(&app);
}

static void run_no_body(void)
{
    struct app app;
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, "HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n" GET(
                                  "/204") "HEAD /chunked HTTP/1.1\r\nHost: a\r\n\r\n" GET("/last"));
    wire_expect(&app.wire, "x-path: /last");
    assert_int_equal(wire_count(&app.wire, "content-length: 5"), 1);
    assert_int_equal(wire_count(&app.wire, "12345"), 0);
    assert_int_equal(wire_count(&app.wire, "onetwo"), 0);
    assert_int_equal(wire_count(&app.wire, "chunked"), 0);
    assert_int_equal(wire_count(&app.wire, "content-length"), 2);
    app_stop(&app);
}

static void run_http10_keep_alive(void)
{
    struct app app;
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    wire_expect(&app.wire, "connection: keep-alive\r\n");
    wire_send_text(&app.wire, "GET /b HTTP/1.0\r\n\r\n");
    wire_expect(&app.wire, "x-path: /b");
    assert_true(wire_expect_end(&app.wire));
    app_stop(&app);
}

static void run_early_response(void)
{
    struct app app;
    static char body[300000];
    /* The rest of the body is in the window: the connection goes on. */
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, POST3("/early") "abc"
                                              "POST /early HTTP/1.1\r\nHost: a\r\n"
                                              "Transfer-Encoding: chunked\r\n\r\n"
                                              "3\r\nabc\r\n0\r\nX: 1\r\n\r\n" GET("/next"));
    wire_expect(&app.wire, "too much");
    wire_expect(&app.wire, "x-path: /next");
    app_stop(&app);
    /* It is not: the answer arrives whole, then the end. */
    app_open(&app, NULL, false);
    wire_send_text(&app.wire,
                   "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
    wire_send(&app.wire, body, 30000);
    wire_expect(&app.wire, "413 Content Too Large");
    wire_expect(&app.wire, "too much");
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(app.count, 1);
    app_stop(&app);
}

static void run_back_pressure(void)
{
    struct app app;
    static char body[200000];
    memset(body, 'b', sizeof(body));
    app_open(&app, NULL, false);
    wire_send_text(&app.wire,
                   "POST /nogrant HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    wire_send(&app.wire, body, sizeof(body));
    wire_settle(&app.wire);
    struct request *r = app.requests[0];
    assert_int_equal(r->body.len, HTTP_STREAM_WINDOW);
    size_t given = 0;
    while (!r->ended) {
        size_t n = r->body.len - given;
        given += n;
        http_stream_grant(r->stream, n);
        wire_settle(&app.wire);
    }
    assert_int_equal(r->body.len, sizeof(body));
    wire_expect(&app.wire, "content-length: 200000");
    for (int i = 0; i < 1000 && app.wire.in.len < 200000; i++)
        wire_turn(&app.wire);
    assert_true(app.wire.in.len > 200000);
    app_stop(&app);
}

static void turn_for(struct app *app, uint64_t time_ns)
{
    for (uint64_t start = clock_mono_ns(); clock_mono_ns() < start + time_ns;)
        wire_turn(&app->wire);
}

/* A request's body waits for its first credit, and no timeout runs meanwhile, nor when it may rest.
 */
static void run_no_credit(void)
{
    struct http_limits limits;
    struct app app;
    http_limits_default(&limits);
    limits.body_timeout_ns = limits.idle_timeout_ns = 10 * NS_PER_MS;
    app_open(&app, &limits, false);
    wire_send_text(&app.wire, POST3("/later") "ab");
    turn_for(&app, 40 * NS_PER_MS);
    struct request *r = app.requests[0];
    assert_true(r->alive);
    assert_int_equal(r->body.len, 0);
    r->stream->may_rest = true;
    http_stream_grant(r->stream, 2);
    turn_for(&app, 40 * NS_PER_MS);
    assert_true(r->alive);
    wire_send_text(&app.wire, "c");
    wire_settle(&app.wire);
    assert_true(r->ended); /* the test's on_body grants more */
    wire_expect(&app.wire, "\r\n\r\nabc");
    app_stop(&app);
}

/* A client that pipelines and does not read: what waits for it is bounded. */
static void run_deaf_client(void)
{
    enum { COUNT = 300, BODY = 3000 };
    struct app app;
    int small = 32768;
    static char text[COUNT * (BODY + 100)];
    size_t len = 0, sent = 0;
    app_open(&app, NULL, false);
    for (int i = 0; i < COUNT; i++) {
        len += (size_t)snprintf(text + len, 100,
                                "POST / HTTP/1.1\r\nHost: a\r\n"
                                "Content-Length: %d\r\n\r\n",
                                BODY);
        memset(text + len, 'x', BODY);
        len += BODY;
    }
    int fd = conn_fd(app.wire.conn);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    assert_int_equal(setsockopt(app.wire.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    for (int quiet = 0; quiet < 20 && sent < len;) {
        ssize_t n = send(app.wire.fd, text + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        quiet = n > 0 ? 0 : quiet + 1;
        loop_turn(app.wire.loop, NS_PER_MS);
        assert_true(conn_queued(app.wire.conn) < CONN_HIGH_WATER + 2 * BODY);
    }
    assert_true(app.count < COUNT);
    wire_send(&app.wire, text + sent, len - sent);
    for (int i = 0; i < 20000; i++) {
        wire_turn(&app.wire);
        if (app.count == COUNT && wire_count(&app.wire, "HTTP/1.1 200 OK") == COUNT)
            break;
    }
    assert_int_equal(app.count, COUNT);
    assert_int_equal(wire_count(&app.wire, "HTTP/1.1 200 OK"), COUNT);
    app_stop(&app);
}

static void run_continue(void)
{
    struct app app;
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, "POST /continue HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                              "Content-Length: 2\r\n\r\n");
    wire_expect(&app.wire, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_send_text(&app.wire, "ok");
    wire_expect(&app.wire, "\r\n\r\nok");
    app_stop(&app);
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, "POST /continue HTTP/1.0\r\nExpect: 100-continue\r\n"
                              "Content-Length: 2\r\n\r\nok");
    wire_expect(&app.wire, "\r\n\r\nok");
    assert_int_equal(wire_count(&app.wire, "100 Continue"), 0);
    app_stop(&app);
}

static void run_timeouts(void)
{
    struct http_limits limits;
    struct app app;
    http_limits_default(&limits);
    limits.idle_timeout_ns = limits.head_timeout_ns = limits.body_timeout_ns = 20 * NS_PER_MS;
    app_open(&app, &limits, false); /* silent: no answer */
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(app.wire.in.len, 0);
    app_stop(&app);
    app_open(&app, &limits, false); /* part of a head */
    wire_send_text(&app.wire, "GET / HT");
    wire_expect(&app.wire, "HTTP/1.1 408 Request Timeout\r\n");
    assert_true(wire_expect_end(&app.wire));
    app_stop(&app);
    assert_int_equal(app.refused, HTTP_ERROR_REQUEST_TIMEOUT);
    app_open(&app, &limits, false); /* part of a body */
    wire_send_text(&app.wire, POST3("/x") "a");
    wire_expect(&app.wire, "HTTP/1.1 408 Request Timeout\r\n");
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_REQUEST_TIMEOUT);
    app_stop(&app);
    app_open(&app, &limits, false); /* between requests */
    wire_send_text(&app.wire, GET("/x"));
    wire_expect(&app.wire, "x-path: /x");
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(wire_count(&app.wire, "HTTP/1.1"), 1);
    app_stop(&app);
}

static void run_requests_max(void)
{
    struct http_limits limits;
    struct app app;
    http_limits_default(&limits);
    limits.requests_max = 2;
    app_open(&app, &limits, false);
    wire_send_text(&app.wire, GET("/1") GET("/2") GET("/3"));
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(wire_count(&app.wire, "x-path"), 2);
    assert_int_equal(wire_count(&app.wire, "connection: close"), 1);
    app_stop(&app);
}

static void run_drain(void)
{
    struct app app;
    app_open(&app, NULL, false);
    http_server_drain(app.session);
    assert_true(wire_expect_end(&app.wire));
    app_stop(&app);
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, POST3("/x"));
    wire_settle(&app.wire);
    http_server_drain(app.session);
    wire_send_text(&app.wire, "abc");
    wire_expect(&app.wire, "connection: close");
    assert_true(wire_expect_end(&app.wire));
    app_stop(&app);
}

static void run_ends(void)
{
    struct app app;
    app_open(&app, NULL, false); /* half-close after requests: all are answered */
    wire_send_text(&app.wire, GET("/1") GET("/2"));
    wire_shutdown(&app.wire);
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(wire_count(&app.wire, "x-path"), 2);
    app_stop(&app);
    app_open(&app, NULL, false); /* half-close inside a body: incomplete, never complete */
    wire_send_text(&app.wire, POST3("/1") "ab");
    wire_shutdown(&app.wire);
    assert_true(wire_expect_end(&app.wire));
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_TRUNCATED);
    assert_false(app.requests[0]->ended);
    app_stop(&app);
    app_open(&app, NULL, false); /* half-close inside a head */
    wire_send_text(&app.wire, "GET / HTTP/1.1\r\n");
    wire_shutdown(&app.wire);
    assert_true(wire_expect_end(&app.wire));
    app_stop(&app);
    assert_int_equal(app.closed, HTTP_ERROR_TRUNCATED);
    app_open(&app, NULL, false); /* bad chunk after the head was given out */
    wire_send_text(&app.wire,
                   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabX");
    wire_expect(&app.wire, "HTTP/1.1 400 Bad Request");
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_BAD_CHUNK);
    app_stop(&app);
    app_open(&app, NULL, false); /* a response shorter than announced ends in an error */
    wire_send_text(&app.wire, GET("/short"));
    (void)wire_expect_end(&app.wire); /* orderly or not: ten bytes did not come */
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_GONE);
    app_stop(&app);
    app_open(&app, NULL, false); /* the holder drops the stream inside on_body */
    wire_send_text(&app.wire, POST3("/drop") "abc");
    (void)wire_expect_end(&app.wire);
    app_stop(&app);
    app_open(&app, NULL, false); /* no memory */
    app.no_memory = true;
    wire_send_text(&app.wire, GET("/"));
    wire_expect(&app.wire, "HTTP/1.1 503 Service Unavailable");
    app_stop(&app);
}

/* The client resets the connection after each prefix of a session's bytes. */
static void run_resets(void)
{
    static const char text[] = "POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                               "\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\nGET / HTTP/1.1\r\n";
    for (size_t len = 0; len < sizeof(text); len += 5) {
        struct app app;
        app_open(&app, NULL, false);
        wire_send(&app.wire, text, len);
        wire_turn(&app.wire);
        wire_close(&app.wire, true);
        app_stop(&app);
        for (unsigned i = 0; i < app.count; i++)
            assert_true(i < 1);
    }
}

static void run_abort(void)
{
    struct app app;
    app_open(&app, NULL, false);
    wire_send_text(&app.wire, GET("/hold"));
    wire_settle(&app.wire);
    assert_int_equal(app.count, 1);
    http_server_abort(app.session);
    assert_null(app.session);
    assert_int_equal(app.requests[0]->reset, HTTP_ERROR_GONE);
    assert_int_equal(app.closed, HTTP_ERROR_GONE);
    app_stop(&app);
}

WIRE_TEST(keep_alive)
WIRE_TEST(one_byte_segments)
WIRE_TEST(pipelining)
WIRE_TEST(nothing_after_error)
WIRE_TEST(not_http)
WIRE_TEST(vectors)
WIRE_TEST(chunked_response)
WIRE_TEST(no_body)
WIRE_TEST(http10_keep_alive)
WIRE_TEST(early_response)
WIRE_TEST(back_pressure)
WIRE_TEST(no_credit)
WIRE_TEST(deaf_client)
WIRE_TEST(continue)
WIRE_TEST(timeouts)
WIRE_TEST(requests_max)
WIRE_TEST(drain)
WIRE_TEST(ends)
WIRE_TEST(resets)
WIRE_TEST(abort)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_one_byte_segments),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_nothing_after_error),
        cmocka_unit_test(test_not_http),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_chunked_response),
        cmocka_unit_test(test_no_body),
        cmocka_unit_test(test_http10_keep_alive),
        cmocka_unit_test(test_early_response),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_no_credit),
        cmocka_unit_test(test_deaf_client),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_requests_max),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
