/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "http/chunk.h"
#include "vectors.h"

/* A message as a session would read it, without a session: bytes come in pieces, the
 * verdict is the status of the first message. */

struct reader {
    struct arena arena;
    struct http_limits limits;
    struct http_head *head, *trailers;
    size_t body, used; /* bytes of body; bytes of input that belong to the message */
};

static void reader_init(struct reader *r)
{
    memset(r, 0, sizeof(*r));
    arena_init(&r->arena, 8192, 256 * 1024, NULL);
    http_limits_default(&r->limits);
}

#define MORE 1u /* the verdict when bytes are missing */

static unsigned status_of(enum http_error error, bool response)
{
    if (error == HTTP_ERROR_NONE)
        return 0;
    return response ? 502 : http_error_status(error);
}

/* Head of data, whose bytes become visible `step` at a time, after `first`. */
static unsigned read_head(struct reader *r, struct span data, bool response, size_t first,
                          size_t step)
{
    struct h1_scan scan = {0};
    enum h1_scan_kind kind = response ? H1_SCAN_RESPONSE : H1_SCAN_REQUEST;
    size_t skip = !response && data.len > 1 && memcmp(data.ptr, "\r\n", 2) == 0 ? 2 : 0;
    struct span bytes = span_skip(data, skip);
    for (size_t seen = first;; seen += step) {
        seen = MIN(seen, bytes.len);
        ssize_t n = h1_scan_run(&scan, kind, span_make(bytes.ptr, seen), &r->limits);
        if (n < 0)
            return status_of((enum http_error) - n, response);
        if (n > 0) {
            struct h1_parse parse = {.arena = &r->arena, .limits = &r->limits, .lines = scan.lines};
            struct span head = span_make(bytes.ptr, (size_t)n);
            r->used = skip + (size_t)n;
            return status_of(response ? h1_parse_response(&parse, head, &r->head)
                                      : h1_parse_request(&parse, head, &r->head),
                             response);
        }
        if (seen == bytes.len)
            return MORE;
    }
}

static unsigned read_trailers(struct reader *r, struct span data)
{
    struct h1_scan scan = {0};
    ssize_t n = h1_scan_run(&scan, H1_SCAN_TRAILERS, data, &r->limits);
    struct h1_parse parse = {.arena = &r->arena, .limits = &r->limits, .lines = scan.lines};
    if (n == 0)
        return MORE;
    if (n < 0 ||
        h1_parse_trailers(&parse, span_make(data.ptr, (size_t)n), &r->trailers) != HTTP_ERROR_NONE)
        return 400;
    r->used += (size_t)n;
    return 0;
}

static unsigned read_body(struct reader *r, struct span data, size_t step)
{
    struct chunk chunk;
    size_t at = r->used;
    if (!r->head->has_body)
        return 0;
    if (!r->head->chunked) {
        if (r->head->content_length < 0)
            return 0;
        r->used += (size_t)r->head->content_length;
        return r->used <= data.len ? 0 : MORE;
    }
    chunk_init(&chunk, r->limits.chunk_ext_bytes_max);
    while (at < data.len) {
        size_t used = 0;
        struct span body;
        struct span in = span_make(data.ptr + at, MIN(step, data.len - at));
        int event = chunk_decode(&chunk, in, SIZE_MAX, &used, &body);
        if (event < 0)
            return 400;
        at += used;
        if (event == CHUNK_DATA)
            r->body += body.len;
        if (event == CHUNK_END) {
            r->used = at;
            return read_trailers(r, span_skip(data, at));
        }
    }
    return MORE;
}

static unsigned verdict(struct reader *r, struct span data, bool response, size_t first,
                        size_t step)
{
    unsigned status = read_head(r, data, response, first, step);
    if (status == 0)
        status = read_body(r, data, step);
    if (response && status >= 400)
        status = 502;
    return status;
}

static void check_vector(const struct vector *v, size_t first, size_t step)
{
    struct reader r;
    reader_init(&r);
    unsigned status = verdict(&r, span_make(v->bytes, v->len), v->is_response, first, step);
    /* A 101 is well-formed; that nobody asked for it is for h1_client to say. */
    bool unasked = r.head != NULL && r.head->status == 101;
    if (status != v->status && !unasked)
        fail_msg("%s (first %zu, step %zu): %u instead of %u", v->name, first, step, status,
                 v->status);
    arena_fini(&r.arena);
}

static void test_vectors(void **state)
{
    (void)state;
    const struct vector *v;
    size_t count = vectors_load(&v);
    for (size_t i = 0; i < count; i++) {
        check_vector(&v[i], v[i].len, v[i].len);
        check_vector(&v[i], 1, 1);
        for (size_t split = 1; split < v[i].len; split++)
            check_vector(&v[i], split, v[i].len);
    }
}

/* Bytes that mean something to the grammar, more often than others. */
static char odd_byte(struct rand_state *rand)
{
    static const char odd[] = "\r\n \t:;,=\"0/%.#?*a\0\x7f\x80\xff\x01";
    return odd[rand_below(rand, sizeof(odd) - 1)];
}

/* How a message is cut has no influence on what it means: same verdict, same length. */
static void test_mutations(void **state)
{
    (void)state;
    struct rand_state rand;
    const struct vector *v;
    size_t count = vectors_load(&v);
    rand_seed(&rand, 7);
    for (unsigned round = 0; round < 20000; round++) {
        char text[VECTORS_BYTES_MAX];
        const struct vector *from = &v[rand_below(&rand, (uint32_t)count)];
        struct reader whole, bytes;
        memcpy(text, from->bytes, from->len);
        for (unsigned n = 1 + rand_below(&rand, 3); n > 0; n--)
            text[rand_below(&rand, (uint32_t)from->len)] = odd_byte(&rand);
        struct span data = span_make(text, from->len);
        reader_init(&whole);
        reader_init(&bytes);
        unsigned a = verdict(&whole, data, from->is_response, from->len, from->len);
        unsigned b = verdict(&bytes, data, from->is_response, 1, 1);
        if (a != b || (a == 0 && (whole.used != bytes.used || whole.body != bytes.body)))
            fail_msg("round %u, %s: %u, byte by byte %u", round, from->name, a, b);
        arena_fini(&whole.arena);
        arena_fini(&bytes.arena);
    }
}

struct head_case {
    const char *bytes;
    unsigned status;
};

#define H "Host: a\r\n"
static const struct head_case request_cases[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n", 0},
    {"\r\nGET / HTTP/1.1\r\n" H "\r\n", 0},
    {"\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
    {"GET / HTTP/1.0\r\n" H H "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400},
    {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /  HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
    {"GET /\r\n\r\n", 400},
    {"GET\r\n\r\n", 400},
    {"GET / HTTP/1.10\r\n" H "\r\n", 400},
    {"GET / HTTP/1.2\r\n" H "\r\n", 505},
    {"GET / HTTP/3.0\r\n" H "\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\n", 505},
    {"PRI * HTTP/1.1\r\n" H "\r\n", 405},
    {"M-SEARCH / HTTP/1.1\r\n" H "\r\n", 0},
    {"SOURCES / HTTP/1.1\r\n" H "\r\n", 405},
    {"query / HTTP/1.1\r\n" H "\r\n", 405},
    {"GET / ICE/1.0\r\n" H "\r\n", 400},
    {"GET * HTTP/1.1\r\n" H "\r\n", 400},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 0},
    {"CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 405},
    {"CONNECT / HTTP/1.1\r\n" H "\r\n", 405},
    {"GET a:443 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http://b/x HTTP/1.1\r\n" H "\r\n", 0},
    {"GET HTTP://b HTTP/1.1\r\n" H "\r\n", 0},
    {"GET https://b/x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET ftp://b/x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http:///x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http://u@b/x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http://b#x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /?a#b HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /%2fx HTTP/1.1\r\n" H "\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551615\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 3 \r\n\r\nabc", 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length : 3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\n" H "Content_Length: 3\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;a=b\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: \vchunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\nContent-Length: 3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Foo : x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Foo Bar: x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Foo\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Foo: \r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Foo:\t x \t\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Foo: \x80\xff\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Expect: 200-maybe\r\n\r\n", 417},
    {"POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 0\r\n\r\n", 0},
    {"\x16\x03\x01", 400},
    {"BREW / HTTP/1.1\r\n" H "\r\n", 405},
};

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(request_cases); i++) {
        const struct head_case *c = &request_cases[i];
        struct span data = span_str(c->bytes);
        for (size_t step = 1; step <= data.len; step = step < 4 ? step + 1 : data.len + step - 3) {
            struct reader r;
            reader_init(&r);
            unsigned status = verdict(&r, data, false, MIN(step, data.len), step);
            if (status != c->status)
                fail_msg("case %zu \"%s\": %u", i, c->bytes, status);
            arena_fini(&r.arena);
        }
    }
}

static struct http_head *parse_ok(struct reader *r, const char *bytes)
{
    reader_init(r);
    struct span data = span_str(bytes);
    unsigned status = verdict(r, data, false, data.len, data.len);
    if (status != 0)
        fail_msg("\"%s\": %u", bytes, status);
    return r->head;
}

#define assert_span(s, text) assert_true(span_equal_str((s), (text)))

static void test_request_parts(void **state)
{
    (void)state;
    struct reader r;
    struct http_head *head = parse_ok(
        &r, "POST /a/%7Eb/./c?x=1&y HTTP/1.1\r\nhost: EXAMPLE.com.:8080\r\nX-One: 1\r\n"
            "X-Empty:\r\nx_two: 2\r\nX.Forwarded.For: 1.2.3.4\r\nContent-Length: 003\r\n\r\nabc");
    assert_int_equal(head->method, HTTP_METHOD_POST);
    assert_span(head->method_text, "POST");
    assert_span(head->target, "/a/%7Eb/./c?x=1&y");
    assert_span(head->path, "/a/~b/c");
    assert_true(head->has_query);
    assert_span(head->query, "x=1&y");
    assert_span(head->host, "example.com");
    assert_span(head->authority, "example.com:8080");
    assert_int_equal(head->port, 8080);
    assert_span(head->scheme, "http");
    assert_int_equal(head->content_length, 3);
    assert_true(head->has_body && !head->chunked && head->keep_alive);
    assert_span(http_head_find(head, span_str("x-one"))->value, "1");
    assert_span(http_head_find(head, span_str("x-empty"))->value, "");
    assert_null(http_head_find(head, span_str("x_two")));
    assert_null(http_head_find(head, span_str("X.Forwarded.For")));
    assert_int_equal(head->fields_count, 6);
    arena_fini(&r.arena);

    head = parse_ok(&r, "GET http://B.example?q HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_span(head->host, "b.example");
    assert_span(head->authority, "b.example");
    assert_span(head->path, "/");
    assert_span(head->query, "q");
    arena_fini(&r.arena);

    head = parse_ok(&r, "OPTIONS http://b:81 HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_span(head->path, "*");
    assert_span(head->authority, "b:81");
    arena_fini(&r.arena);

    head = parse_ok(&r, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
                        "Upgrade: WebSocket\r\n\r\n");
    assert_span(head->upgrade, "WebSocket");
    arena_fini(&r.arena);
    head = parse_ok(&r, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert_int_equal(head->upgrade.len, 0);
    arena_fini(&r.arena);
    head = parse_ok(&r, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
    assert_int_equal(head->upgrade.len, 0);
    arena_fini(&r.arena);
}

static void test_keep_alive(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x,close ,y\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct reader r;
        assert_int_equal(parse_ok(&r, cases[i].text)->keep_alive, cases[i].keep);
        arena_fini(&r.arena);
    }
}

static void test_trailers(void **state)
{
    (void)state;
    struct reader r;
    struct http_head *head =
        parse_ok(&r, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "3\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nContent-Length: 9\r\n"
                     "Authorization: x\r\nX_Auth: 1\r\nX-Forwarded-For: 1\r\n\r\n");
    assert_true(head->chunked);
    assert_int_equal(r.body, 3);
    assert_non_null(r.trailers);
    assert_int_equal(r.trailers->fields_count, 1);
    assert_span(r.trailers->fields[0].name, "X-Sum");
    arena_fini(&r.arena);
    parse_ok(&r, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "0\r\nHost: evil\r\n\r\n");
    assert_null(r.trailers);
    arena_fini(&r.arena);
}

/* Builds a request whose measured part has the given size; the status it gets. */
static unsigned limit_status(unsigned target, unsigned fields, unsigned value)
{
    static char text[262144];
    struct reader r;
    reader_init(&r);
    int n = snprintf(text, sizeof(text), "GET /%0*u HTTP/1.1\r\nHost: a\r\n", (int)target, 0u);
    for (unsigned i = 0; i < fields; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "x-%u: %0*u\r\n", i, (int)value, 0u);
    n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
    unsigned status = verdict(&r, span_make(text, (size_t)n), false, 100, 1000);
    if (status == 0)
        assert_int_equal(r.head->fields_count, fields + 1);
    arena_fini(&r.arena);
    return status;
}

static void test_limits(void **state)
{
    (void)state;
    /* "GET /" + target + " HTTP/1.1" against 8192; the arena is larger than any of these. */
    assert_int_equal(limit_status(8192 - 14, 0, 1), 0);
    assert_int_equal(limit_status(8192 - 13, 0, 1), 414);
    assert_int_equal(limit_status(1, 99, 1), 0);
    assert_int_equal(limit_status(1, 100, 1), 431);
    /* "x-0: " + value against 16384 */
    assert_int_equal(limit_status(1, 1, 16384 - 5), 0);
    assert_int_equal(limit_status(1, 1, 16384 - 4), 431);
    /* the whole head against 32768 */
    assert_int_equal(limit_status(1, 3, 10000), 0);
    assert_int_equal(limit_status(1, 4, 9000), 431);
    assert_int_equal(limit_status(1, 40, 800), 0);
    assert_int_equal(limit_status(1, 41, 800), 431);
}

static void test_responses(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 0},
        {"HTTP/1.1 200 \r\n\r\n", 0},
        {"HTTP/1.0 404 Not \x80 Found\r\n\r\n", 0},
        {"HTTP/1.1 600 X\r\n\r\n", 502},
        {"HTTP/1.1 2x0 X\r\n\r\n", 502},
        {"HTTP/1.1  200 X\r\n\r\n", 502},
        {"HTTP/1.1 200OK\r\n\r\n", 502},
        {"HTTP/2.0 200 OK\r\n\r\n", 502},
        {"http/1.1 200 OK\r\n\r\n", 502},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 502},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 502},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 502},
        {"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", 502},
        {"HTTP/1.1 200 OK\r\nFoo : x\r\n\r\n", 502},
        {"HTTP/1.1 200 OK\r\n: x\r\n\r\n", 502},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct reader r;
        reader_init(&r);
        struct span data = span_str(cases[i].bytes);
        unsigned status = verdict(&r, data, true, 1, 1);
        if (status != cases[i].status)
            fail_msg("\"%s\": %u", cases[i].bytes, status);
        arena_fini(&r.arena);
    }
}

static void test_arena_full(void **state)
{
    (void)state;
    static const char text[] = "GET /%41%42 HTTP/1.1\r\nHost: EXAMPLE.com\r\nA: b\r\n\r\n";
    for (size_t cap = 256; cap < 8192; cap += 64) {
        struct reader r;
        reader_init(&r);
        arena_init(&r.arena, 256, cap, NULL);
        unsigned status = verdict(&r, span_str(text), false, sizeof(text) - 1, 1);
        assert_true(status == 503 || status == 0);
        arena_fini(&r.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),    cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_requests),   cmocka_unit_test(test_request_parts),
        cmocka_unit_test(test_keep_alive), cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_responses),
        cmocka_unit_test(test_arena_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
