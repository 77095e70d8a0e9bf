/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_head.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/chars.h"

static struct arena arena;
static struct http_limits limits;
static struct h2_head block;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 8192, 256u << 10, NULL);
    http_limits_default(&limits);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

struct pair {
    const char *name;
    const char *value; /* NULL: the field of the usual request is left out */
    size_t len; /* of value when it has a NUL in it */
};

#define PAIRS 10
#define NO_LEN 0

static struct span pair_value(const struct pair *pair)
{
    return pair->len > 0 ? span_make(pair->value, pair->len) : span_str(pair->value);
}

static bool add(const char *name, struct span value)
{
    /* The session's bytes are gone after the call. */
    size_t name_len = strlen(name);
    char *name_copy = malloc(name_len + 1), *value_copy = malloc(value.len + 1);
    assert_non_null(name_copy);
    assert_non_null(value_copy);
    memcpy(name_copy, name, name_len);
    if (value.len > 0)
        memcpy(value_copy, value.ptr, value.len);
    bool go_on =
        h2_head_add(&block, span_make(name_copy, name_len), span_make(value_copy, value.len));
    free(name_copy);
    free(value_copy);
    return go_on;
}

static void add_text(const char *name, const char *value)
{
    assert_true(add(name, span_str(value)));
}

static const struct pair usual[] = {
    {":method", "GET", NO_LEN},
    {":scheme", "https", NO_LEN},
    {":path", "/a", NO_LEN},
    {":authority", "a.example", NO_LEN},
};

/* The usual request with changes: a pair of a name that the usual one has takes its
 * place at the first mention, all others are added after. */
static enum http_error read_request(const struct pair *pairs, bool end, struct http_head **ret)
{
    bool used[PAIRS] = {false};
    struct h2_head_rules rules = {.limits = &limits, .kind = H2_HEAD_REQUEST, .secure = true};
    arena_reset(&arena);
    h2_head_begin(&block, &rules, &arena);
    for (size_t i = 0; i < ARRAY_COUNT(usual); i++) {
        const struct pair *pair = &usual[i];
        for (size_t k = 0; k < PAIRS && pairs[k].name != NULL; k++) {
            if (!used[k] && strcmp(pairs[k].name, usual[i].name) == 0) {
                used[k] = true;
                pair = &pairs[k];
                break;
            }
        }
        if (pair->value != NULL)
            assert_true(add(pair->name, pair_value(pair)));
    }
    for (size_t k = 0; k < PAIRS && pairs[k].name != NULL; k++)
        if (!used[k])
            assert_true(add(pairs[k].name, pair_value(&pairs[k])));
    return h2_head_end(&block, end, ret);
}

struct request_case {
    const char *text;
    enum http_error error;
    bool body; /* no END_STREAM */
    struct pair pairs[PAIRS];
};

#define ERR(id) HTTP_ERROR_##id

static const struct request_case requests[] = {
    {"usual", ERR(NONE), false, {{0}}},
    {"with a body", ERR(NONE), true, {{":method", "POST", 0}}},
    /* Pseudo fields, RFC 9113 8.3. */
    {"unknown pseudo field", ERR(BAD_REQUEST), false, {{":x", "1", 0}}},
    {"empty pseudo name", ERR(BAD_REQUEST), false, {{":", "1", 0}}},
    {"of a response", ERR(BAD_REQUEST), false, {{":status", "200", 0}}},
    {"upper case", ERR(BAD_REQUEST), false, {{":Path", "/", 0}}},
    {"two methods", ERR(BAD_REQUEST), false, {{":method", "GET", 0}, {":method", "GET", 0}}},
    {"two paths", ERR(BAD_REQUEST), false, {{":path", "/", 0}, {":path", "/", 0}}},
    {"two schemes", ERR(BAD_REQUEST), false, {{":scheme", "https", 0}, {":scheme", "https", 0}}},
    {"two authorities",
     ERR(BAD_REQUEST),
     false,
     {{":authority", "a.example", 0}, {":authority", "a.example", 0}}},
    {"late",
     ERR(BAD_REQUEST),
     false,
     {{":authority", NULL, 0}, {"x", "1", 0}, {":authority", "a.example", 0}}},
    {"late after a dropped field",
     ERR(BAD_REQUEST),
     false,
     {{":authority", NULL, 0}, {"x_y", "1", 0}, {":authority", "a.example", 0}}},
    {"no method", ERR(BAD_REQUEST), false, {{":method", NULL, 0}}},
    {"no scheme", ERR(BAD_REQUEST), false, {{":scheme", NULL, 0}}},
    {"no path", ERR(BAD_REQUEST), false, {{":path", NULL, 0}}},
    {"empty path", ERR(BAD_REQUEST), false, {{":path", "", 0}}},
    {"empty method", ERR(BAD_REQUEST), false, {{":method", "", 0}}},
    /* Methods: as with HTTP/1. */
    {"lower case method", ERR(METHOD), false, {{":method", "get", 0}}},
    {"unknown method", ERR(METHOD), false, {{":method", "FROBNICATE", 0}}},
    {"WebDAV method", ERR(NONE), false, {{":method", "PROPFIND", 0}}},
    {"method with a space", ERR(BAD_REQUEST), false, {{":method", "GET /", 0}}},
    {"method with CR LF", ERR(BAD_REQUEST), false, {{":method", "GET\r\nx: y", 0}}},
    {"TRACE is the exchange's", ERR(NONE), false, {{":method", "TRACE", 0}}},
    {"CONNECT",
     ERR(METHOD),
     true,
     {{":method", "CONNECT", 0}, {":path", NULL, 0}, {":scheme", NULL, 0}}},
    {"CONNECT with a path", ERR(BAD_REQUEST), true, {{":method", "CONNECT", 0}}},
    /* Schemes. */
    {"of plain text", ERR(BAD_TARGET), false, {{":scheme", "http", 0}}},
    {"mixed case", ERR(BAD_TARGET), false, {{":scheme", "HTTPS", 0}}},
    {"ftp", ERR(BAD_TARGET), false, {{":scheme", "ftp", 0}}},
    {"with a slash", ERR(BAD_TARGET), false, {{":scheme", "https://evil/", 0}}},
    /* Host. */
    {"same host", ERR(NONE), false, {{"host", "a.example", 0}}},
    {"same in capitals and with a dot", ERR(NONE), false, {{"host", "A.Example.", 0}}},
    {"other host", ERR(BAD_HOST), false, {{"host", "b.example", 0}}},
    {"other port", ERR(BAD_HOST), false, {{"host", "a.example:8443", 0}}},
    {"two hosts", ERR(BAD_HOST), false, {{"host", "a.example", 0}, {"host", "a.example", 0}}},
    {"host alone", ERR(NONE), false, {{":authority", NULL, 0}, {"host", "a.example", 0}}},
    {"none", ERR(BAD_HOST), false, {{":authority", NULL, 0}}},
    {"empty", ERR(BAD_HOST), false, {{":authority", "", 0}}},
    {"empty with host", ERR(BAD_HOST), false, {{":authority", "", 0}, {"host", "a.example", 0}}},
    {"bad host with authority", ERR(BAD_HOST), false, {{"host", "a example", 0}}},
    {"user", ERR(BAD_HOST), false, {{":authority", "u:p@a.example", 0}}},
    {"list", ERR(BAD_HOST), false, {{":authority", "a.example,b.example", 0}}},
    {"port 0", ERR(BAD_HOST), false, {{":authority", "a.example:0", 0}}},
    {"path in it", ERR(BAD_HOST), false, {{":authority", "a.example/x", 0}}},
    {"CR LF in it", ERR(BAD_REQUEST), false, {{":authority", "a\r\nx: y", 0}}},
    {"address", ERR(NONE), false, {{":authority", "[2001:DB8::1]:8443", 0}}},
    /* Paths: uri_test has the rest. */
    {"fragment", ERR(BAD_TARGET), false, {{":path", "/a#b", 0}}},
    {"fragment in the query", ERR(BAD_TARGET), false, {{":path", "/a?b#c", 0}}},
    {"byte above 0x7f", ERR(BAD_TARGET), false, {{":path", "/\xc3\xa4", 0}}},
    {"space", ERR(BAD_TARGET), false, {{":path", "/a b", 0}}},
    {"tab", ERR(BAD_TARGET), false, {{":path", "/a\tb", 0}}},
    {"space at the end", ERR(BAD_REQUEST), false, {{":path", "/a ", 0}}},
    {"CR LF", ERR(BAD_REQUEST), false, {{":path", "/ HTTP/1.1\r\nhost: b\r\n\r\n", 0}}},
    {"NUL", ERR(BAD_REQUEST), false, {{":path", "/a\0b", 4}}},
    {"escaped NUL", ERR(BAD_TARGET), false, {{":path", "/a%00", 0}}},
    {"backslash", ERR(BAD_TARGET), false, {{":path", "/a\\b", 0}}},
    {"no slash", ERR(BAD_TARGET), false, {{":path", "a", 0}}},
    {"absolute form", ERR(BAD_TARGET), false, {{":path", "https://a.example/", 0}}},
    {"star", ERR(BAD_TARGET), false, {{":path", "*", 0}}},
    {"star of OPTIONS", ERR(NONE), false, {{":method", "OPTIONS", 0}, {":path", "*", 0}}},
    /* Names and values, RFC 9113 8.2.1. */
    {"upper case name", ERR(BAD_REQUEST), false, {{"X-a", "1", 0}}},
    {"empty name", ERR(BAD_REQUEST), false, {{"", "1", 0}}},
    {"space in a name", ERR(BAD_REQUEST), false, {{"x y", "1", 0}}},
    {"colon in a name", ERR(BAD_REQUEST), false, {{"x:y", "1", 0}}},
    {"CR LF in a name", ERR(BAD_REQUEST), false, {{"x\r\ny", "1", 0}}},
    {"0x80 in a name", ERR(BAD_REQUEST), false, {{"x\x80", "1", 0}}},
    {"CR in a value", ERR(BAD_REQUEST), false, {{"x", "1\r2", 0}}},
    {"LF in a value", ERR(BAD_REQUEST), false, {{"x", "1\n2", 0}}},
    {"NUL in a value", ERR(BAD_REQUEST), false, {{"x", "1\0002", 3}}},
    {"DEL in a value", ERR(BAD_REQUEST), false, {{"x", "1\x7f", 0}}},
    {"control in a value", ERR(BAD_REQUEST), false, {{"x", "\x01", 0}}},
    {"space before a value", ERR(BAD_REQUEST), false, {{"x", " 1", 0}}},
    {"tab after a value", ERR(BAD_REQUEST), false, {{"x", "1\t", 0}}},
    {"tab in a value", ERR(NONE), false, {{"x", "1\t2", 0}}},
    {"empty value", ERR(NONE), false, {{"x", "", 0}}},
    {"byte above 0x7f in a value", ERR(NONE), false, {{"x", "\xc3\xa4", 0}}},
    {"bad value of a name that is dropped", ERR(BAD_REQUEST), false, {{"x_y", "1\r\n", 0}}},
    /* Connection-specific fields, 8.2.2. */
    {"connection", ERR(BAD_REQUEST), false, {{"connection", "close", 0}}},
    {"keep-alive", ERR(BAD_REQUEST), false, {{"keep-alive", "1", 0}}},
    {"proxy-connection", ERR(BAD_REQUEST), false, {{"proxy-connection", "close", 0}}},
    {"transfer-encoding", ERR(BAD_REQUEST), true, {{"transfer-encoding", "chunked", 0}}},
    {"upgrade", ERR(BAD_REQUEST), false, {{"upgrade", "websocket", 0}}},
    {"te", ERR(BAD_REQUEST), false, {{"te", "gzip", 0}}},
    {"te of two", ERR(BAD_REQUEST), false, {{"te", "trailers, gzip", 0}}},
    {"te trailers", ERR(NONE), false, {{"te", "trailers", 0}}},
    /* Length, 8.1.1. */
    {"length", ERR(NONE), true, {{"content-length", "5", 0}}},
    {"length 0 at the end", ERR(NONE), false, {{"content-length", "0", 0}}},
    {"length without a body", ERR(BAD_FRAMING), false, {{"content-length", "5", 0}}},
    {"two lengths",
     ERR(BAD_FRAMING),
     true,
     {{"content-length", "5", 0}, {"content-length", "5", 0}}},
    {"list of lengths", ERR(BAD_FRAMING), true, {{"content-length", "5, 5", 0}}},
    {"signed length", ERR(BAD_FRAMING), true, {{"content-length", "+5", 0}}},
    {"empty length", ERR(BAD_FRAMING), true, {{"content-length", "", 0}}},
    {"huge length", ERR(BAD_FRAMING), true, {{"content-length", "99999999999999999999", 0}}},
    {"expectation", ERR(NONE), true, {{"expect", "100-Continue", 0}}},
    {"unknown expectation", ERR(EXPECTATION), true, {{"expect", "200-ok", 0}}},
    {"two expectations",
     ERR(EXPECTATION),
     true,
     {{"expect", "100-continue", 0}, {"expect", "100-continue", 0}}},
    /* Extended CONNECT, RFC 8441 4. */
    {"WebSocket", ERR(NONE), true, {{":method", "CONNECT", 0}, {":protocol", "websocket", 0}}},
    {"other protocol", ERR(METHOD), true, {{":method", "CONNECT", 0}, {":protocol", "h2c", 0}}},
    {"protocol of a GET", ERR(BAD_REQUEST), true, {{":protocol", "websocket", 0}}},
    {"WebSocket without a path",
     ERR(BAD_REQUEST),
     true,
     {{":method", "CONNECT", 0}, {":protocol", "websocket", 0}, {":path", NULL, 0}}},
    {"WebSocket without an authority",
     ERR(BAD_HOST),
     true,
     {{":method", "CONNECT", 0}, {":protocol", "websocket", 0}, {":authority", NULL, 0}}},
    {"WebSocket that ends",
     ERR(BAD_FRAMING),
     false,
     {{":method", "CONNECT", 0}, {":protocol", "websocket", 0}}},
    {"WebSocket with a length",
     ERR(BAD_FRAMING),
     true,
     {{":method", "CONNECT", 0}, {":protocol", "websocket", 0}, {"content-length", "0", 0}}},
};

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct http_head *head;
        enum http_error error = read_request(requests[i].pairs, !requests[i].body, &head);
        if (error != requests[i].error)
            fail_msg("%s: %s", requests[i].text, http_error_text(error));
        assert_non_null(head); /* for the log */
        assert_int_equal(head->version_major, 2);
        if (error != HTTP_ERROR_NONE) {
            bool malformed = error == HTTP_ERROR_BAD_REQUEST || error == HTTP_ERROR_BAD_FRAMING;
            assert_int_equal(h2_head_is_malformed(error), malformed);
            assert_true(http_error_status(error) >= 400);
        }
    }
}

static void assert_span(struct span s, const char *text)
{
    if (!span_equal_str(s, text))
        fail_msg("\"%.*s\" is not \"%s\"", SPAN_ARG(s), text);
}

static void assert_field(const struct http_head *head, const char *name, const char *value)
{
    const struct http_field *field = http_head_find(head, span_str(name));
    if (value == NULL) {
        assert_null(field);
        return;
    }
    assert_non_null(field);
    assert_span(field->value, value);
}

static void test_request(void **state)
{
    (void)state;
    static const struct pair pairs[PAIRS] = {
        {":method", "POST", 0},
        {":path", "/x/../%7eu?q=1", 0},
        {":authority", "A.example:8443", 0},
        {"cookie", "a=1", 0},
        {"x-other", "v", 0},
        {"cookie", "", 0},
        {"x_forwarded_for", "1.2.3.4", 0},
        {"host", "a.example:8443", 0},
        {"expect", "100-continue", 0},
        {"cookie", "b=2", 0},
    };
    struct http_head *head;
    assert_int_equal(read_request(pairs, false, &head), HTTP_ERROR_NONE);
    assert_int_equal(head->method, HTTP_METHOD_POST);
    assert_span(head->method_text, "POST");
    assert_span(head->target, "/x/../%7eu?q=1");
    assert_span(head->path, "/~u");
    assert_span(head->query, "q=1");
    assert_true(head->has_query);
    assert_span(head->host, "a.example");
    assert_int_equal(head->port, 8443);
    assert_span(head->authority, "a.example:8443");
    assert_span(head->scheme, "https");
    assert_true(head->has_body && head->expect_continue && head->keep_alive);
    assert_false(head->chunked || head->is_response);
    assert_int_equal(head->content_length, HTTP_LENGTH_UNKNOWN);
    assert_string_equal(http_head_protocol(head), "HTTP/2");
    assert_field(head, "cookie", "a=1; ; b=2");
    assert_int_equal(http_head_remove_id(head, HTTP_HEADER_COOKIE), 1);
    assert_field(head, "host", "a.example:8443");
    assert_int_equal(http_head_remove_id(head, HTTP_HEADER_HOST), 1);
    assert_field(head, "x-other", "v");
    assert_field(head, "x_forwarded_for", NULL);
    assert_field(head, "expect", NULL);

    static const struct pair none[PAIRS] = {{0}};
    assert_int_equal(read_request(none, true, &head), HTTP_ERROR_NONE);
    assert_int_equal(head->content_length, 0);
    assert_false(head->has_body || head->has_query || head->expect_continue);
    assert_field(head, "host", "a.example");

    static const struct pair tunnel[PAIRS] = {{":method", "CONNECT", 0},
                                              {":protocol", "websocket", 0}};
    assert_int_equal(read_request(tunnel, false, &head), HTTP_ERROR_NONE);
    assert_int_equal(head->method, HTTP_METHOD_GET);
    assert_span(head->method_text, "GET");
    assert_span(head->upgrade, "websocket");
    assert_false(head->has_body);
    assert_int_equal(head->content_length, 0);

    limits.underscores = true;
    static const struct pair under[PAIRS] = {{"x_y", "1", 0}, {"x_real_ip", "2", 0}};
    assert_int_equal(read_request(under, true, &head), HTTP_ERROR_NONE);
    assert_field(head, "x_y", "1");
    assert_field(head, "x_real_ip", NULL);
}

static void begin(enum h2_head_kind kind, struct arena *to)
{
    struct h2_head_rules rules = {.limits = &limits, .kind = kind, .secure = true};
    h2_head_begin(&block, &rules, to);
    if (kind != H2_HEAD_REQUEST)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(usual); i++)
        add_text(usual[i].name, usual[i].value);
}

static char large[70000];

/* Adds count fields of `name`; the error of the whole head. */
static enum http_error read_many(enum h2_head_kind kind, const char *name, size_t len,
                                 unsigned count)
{
    struct http_head *head;
    arena_reset(&arena);
    begin(kind, &arena);
    if (kind == H2_HEAD_RESPONSE)
        add_text(":status", "200");
    for (unsigned i = 0; i < count; i++)
        assert_true(add(name, span_make(large, len)));
    return h2_head_end(&block, true, &head);
}

/* A field of the name and count more are at a limit, with one more over it. */
static void test_limits(void **state)
{
    (void)state;
    memset(large, 'v', sizeof(large));
    static const char *const names[] = {"x", "cookie", "x_y"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        assert_int_equal(read_many(H2_HEAD_REQUEST, names[i], 0, 100), HTTP_ERROR_NONE);
        assert_int_equal(read_many(H2_HEAD_REQUEST, names[i], 0, 101), HTTP_ERROR_HEAD_TOO_LARGE);
    }
    assert_int_equal(read_many(H2_HEAD_REQUEST, "host", 0, 101), HTTP_ERROR_BAD_HOST);
    assert_int_equal(read_many(H2_HEAD_RESPONSE, "x", 0, 101), HTTP_ERROR_BAD_RESPONSE);
    assert_int_equal(read_many(H2_HEAD_TRAILERS, "x", 0, 32), HTTP_ERROR_NONE);
    assert_int_equal(read_many(H2_HEAD_TRAILERS, "x", 0, 33), HTTP_ERROR_TRAILERS_TOO_LARGE);
    assert_int_equal(read_many(H2_HEAD_TRAILERS, "date", 0, 33), HTTP_ERROR_TRAILERS_TOO_LARGE);
    assert_int_equal(read_many(H2_HEAD_TRAILERS, "x", 8192 - 33, 1), HTTP_ERROR_NONE);
    assert_int_equal(read_many(H2_HEAD_TRAILERS, "x", 8192 - 32, 1), HTTP_ERROR_TRAILERS_TOO_LARGE);
    /* One field. */
    assert_int_equal(read_many(H2_HEAD_REQUEST, "x", 16383, 1), HTTP_ERROR_NONE);
    assert_int_equal(read_many(H2_HEAD_REQUEST, "x", 16384, 1), HTTP_ERROR_HEAD_TOO_LARGE);
    /* All of them: pseudo fields count too. */
    begin(H2_HEAD_REQUEST, &arena);
    size_t left = limits.head_bytes_max - block.bytes - 2 * (32 + 1);
    assert_int_equal(read_many(H2_HEAD_REQUEST, "x", left / 2, 2), HTTP_ERROR_NONE);
    assert_int_equal(read_many(H2_HEAD_REQUEST, "x", left / 2 + 1, 2), HTTP_ERROR_HEAD_TOO_LARGE);
    /* A path. */
    struct http_head *head;
    large[8192] = '\0';
    large[0] = '/';
    const struct pair longest[PAIRS] = {{":path", large, 8192}};
    assert_int_equal(read_request(longest, true, &head), HTTP_ERROR_NONE);
    large[8192] = 'v';
    const struct pair longer[PAIRS] = {{":path", large, 8193}};
    assert_int_equal(read_request(longer, true, &head), HTTP_ERROR_URI_TOO_LONG);
}

/* The decoder is stopped at twice the limit, whatever is kept, and little memory was used. */
static void test_bomb(void **state)
{
    (void)state;
    for (unsigned counted = 0; counted < 2; counted++) {
        arena_reset(&arena);
        begin(H2_HEAD_REQUEST, counted ? NULL : &arena);
        size_t fields = 0;
        while (add("cookie", span_make(large, 4000)))
            fields++;
        assert_int_equal(fields, (65536 - block.bytes % 4038 + 4038) / 4038 - 1);
        assert_true(arena.used <= 64u << 10);
        struct http_head *head;
        enum http_error error = h2_head_end(&block, true, &head);
        assert_int_equal(error, counted ? HTTP_ERROR_NONE : HTTP_ERROR_HEAD_TOO_LARGE);
        assert_int_equal(head == NULL, counted);
    }
}

/* At every size of arena: the head or NO_MEMORY. */
static void test_arena_full(void **state)
{
    (void)state;
    static const struct pair pairs[PAIRS] = {
        {":path", "/./a", 0}, {":authority", "A.example:1", 0}, {"cookie", "a", 0},
        {"cookie", "b", 0},   {"host", "A.EXAMPLE:1", 0},       {"x", "1", 0},
    };
    bool done = false;
    for (size_t cap = 256; !done; cap += 256) {
        struct http_head *head;
        arena_fini(&arena);
        arena_init(&arena, 256, cap, NULL);
        enum http_error error = read_request(pairs, true, &head);
        done = error == HTTP_ERROR_NONE;
        assert_true(done || error == HTTP_ERROR_NO_MEMORY);
        assert_true(cap < 16384);
    }
}

struct response_case {
    const char *text, *status;
    bool bad, end, to_head;
    const char *length;
    int64_t want_length;
    bool want_body;
};

static void test_responses(void **state)
{
    (void)state;
    static const struct response_case cases[] = {
        {"usual", "200", false, false, false, "5", 5, true},
        {"unknown length", "200", false, false, false, NULL, -1, true},
        {"empty", "200", false, true, false, NULL, 0, false},
        {"said to be empty", "200", false, false, false, "0", 0, false},
        {"too short", "200", true, true, false, "5", 0, false},
        {"to HEAD", "200", false, true, true, "5", 5, false},
        {"to HEAD, unknown", "200", false, true, true, NULL, -1, false},
        {"not modified", "304", false, true, false, "5", 5, false},
        {"not modified, unknown", "304", false, true, false, NULL, -1, false},
        {"no content", "204", false, true, false, NULL, 0, false},
        {"no content of a length", "204", true, true, false, "5", 0, false},
        {"interim", "103", false, false, false, NULL, 0, false},
        {"interim that ends", "100", true, true, false, NULL, 0, false},
        {"switch", "101", true, false, false, NULL, 0, false},
        {"below", "099", true, false, false, NULL, 0, false},
        {"zero", "000", true, false, false, NULL, 0, false},
        {"above", "600", true, false, false, NULL, 0, false},
        {"last", "599", false, true, false, NULL, 0, false},
        {"far above", "999", true, false, false, NULL, 0, false},
        {"four digits", "0200", true, false, false, NULL, 0, false},
        {"two digits", "20", true, false, false, NULL, 0, false},
        {"letters", "2xx", true, false, false, NULL, 0, false},
        {"with a phrase", "200 OK", true, false, false, NULL, 0, false},
        {"empty status", "", true, false, false, NULL, 0, false},
        {"none", NULL, true, false, false, NULL, 0, false},
        {"bad length", "200", true, false, false, "-1", 0, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct response_case *c = &cases[i];
        struct h2_head_rules rules = {
            .limits = &limits, .kind = H2_HEAD_RESPONSE, .to_head = c->to_head};
        struct http_head *head;
        h2_head_begin(&block, &rules, &arena);
        if (c->status != NULL)
            add_text(":status", c->status);
        if (c->length != NULL)
            add_text("content-length", c->length);
        enum http_error error = h2_head_end(&block, c->end, &head);
        if (error != (c->bad ? HTTP_ERROR_BAD_RESPONSE : HTTP_ERROR_NONE))
            fail_msg("%s: %s", c->text, http_error_text(error));
        if (c->bad)
            continue;
        assert_true(head->is_response);
        if (head->content_length != c->want_length || head->has_body != c->want_body)
            fail_msg("%s: length %lld", c->text, (long long)head->content_length);
    }
}

static void test_response_fields(void **state)
{
    (void)state;
    static const struct pair bad[] = {
        {":path", "/", 0},
        {":status", "200", 0},
        {":x", "1", 0},
        {"X", "1", 0},
        {"x", "1\r\ny: 2", 0},
        {"x", " 1", 0},
        {"connection", "close", 0},
        {"transfer-encoding", "chunked", 0},
    };
    struct http_head *head;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        begin(H2_HEAD_RESPONSE, &arena);
        add_text(":status", "200");
        add_text(bad[i].name, bad[i].value);
        assert_int_equal(h2_head_end(&block, false, &head), HTTP_ERROR_BAD_RESPONSE);
        assert_true(h2_head_is_malformed(HTTP_ERROR_BAD_RESPONSE));
    }
    begin(H2_HEAD_RESPONSE, &arena);
    add_text("x", "1");
    add_text(":status", "200");
    assert_int_equal(h2_head_end(&block, false, &head), HTTP_ERROR_BAD_RESPONSE);
    begin(H2_HEAD_RESPONSE, &arena);
    add_text(":status", "200");
    add_text("set-cookie", "a=1");
    add_text("set-cookie", "b=2");
    add_text("cookie", "a");
    add_text("cookie", "b");
    assert_int_equal(h2_head_end(&block, false, &head), HTTP_ERROR_NONE);
    assert_int_equal(http_head_remove_id(head, HTTP_HEADER_SET_COOKIE), 2);
    assert_int_equal(http_head_remove_id(head, HTTP_HEADER_COOKIE), 2);
}

static void test_tunnel_response(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        unsigned want;
        bool end;
    } cases[] = {{"200", 101, false}, {"204", 101, false}, {"200", 0, true},    {"403", 403, true},
                 {"403", 403, false}, {"302", 302, true},  {"103", 103, false}, {"101", 0, false}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct h2_head_rules rules = {
            .limits = &limits, .kind = H2_HEAD_RESPONSE, .upgrade = SPAN_LIT("websocket")};
        struct http_head *head;
        h2_head_begin(&block, &rules, &arena);
        add_text(":status", cases[i].status);
        enum http_error error = h2_head_end(&block, cases[i].end, &head);
        assert_int_equal(error, cases[i].want ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_RESPONSE);
        if (cases[i].want)
            assert_int_equal(head->status, cases[i].want);
        if (cases[i].want == 101) {
            assert_span(head->upgrade, "websocket");
            assert_false(head->has_body);
        }
    }
}

static void test_trailers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        enum http_error error;
        bool kept, more;
    } cases[] = {
        {"grpc-status", "0", ERR(NONE), true, false},
        {"grpc-status", "0", ERR(BAD_REQUEST), true, true}, /* no END_STREAM */
        {"content-length", "1", ERR(NONE), false, false},
        {"authorization", "1", ERR(NONE), false, false},
        {"x-forwarded-for", "1", ERR(NONE), false, false},
        {"x_auth", "1", ERR(NONE), false, false},
        {"host", "b", ERR(NONE), false, false},
        {":path", "/", ERR(BAD_REQUEST), false, false},
        {":status", "200", ERR(BAD_REQUEST), false, false},
        {"transfer-encoding", "chunked", ERR(BAD_REQUEST), false, false},
        {"X", "1", ERR(BAD_REQUEST), false, false},
        {"x", "1\n", ERR(BAD_REQUEST), false, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_head *head;
        begin(H2_HEAD_TRAILERS, &arena);
        add_text(cases[i].name, cases[i].value);
        enum http_error error = h2_head_end(&block, !cases[i].more, &head);
        assert_int_equal(error, cases[i].error);
        assert_int_equal(head != NULL, cases[i].kept);
    }
}

/* What a block says, a line each. */
static const char *block_text(const struct h2_head_block *out)
{
    static char text[4096];
    size_t at = 0, bytes = 0;
    for (size_t i = 0; i < out->count; i++) {
        const nghttp2_nv *nv = &out->nv[i];
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s: %.*s\n", (int)nv->namelen,
                               (const char *)nv->name, (int)nv->valuelen, (const char *)nv->value);
        bytes += nv->namelen + nv->valuelen + 32;
        assert_true(at < sizeof(text));
    }
    assert_int_equal(bytes, out->bytes);
    return text;
}

static struct http_head *request_head(void)
{
    struct http_head *head = http_head_new(&arena, 0);
    assert_non_null(head);
    head->method = HTTP_METHOD_POST;
    head->method_text = SPAN_LIT("POST");
    head->path = SPAN_LIT("/p");
    head->authority = SPAN_LIT("a:1");
    head->scheme = SPAN_LIT("http");
    return head;
}

static void fill(struct http_head *head)
{
    static const struct pair pairs[] = {
        {"X-Other", "v", 0},    {"Content-Type", "t", 0}, {"TE", "gzip, Trailers", 0},
        {"Host", "other", 0},   {"Connection", "x", 0},   {"Content-Length", "9", 0},
        {"x-set", " edge ", 0}, {"x-empty", "", 0},       {"Transfer-Encoding", "chunked", 0},
        {"Upgrade", "h2c", 0},  {"Cookie", "a; b", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++)
        assert_true(http_head_add(head, span_str(pairs[i].name), span_str(pairs[i].value)));
    assert_true(http_head_add(head, SPAN_LIT("x-gone"), SPAN_LIT("1")));
    head->fields[head->fields_count - 1].removed = true;
}

static void test_write_request(void **state)
{
    (void)state;
    struct h2_head_block out;
    struct http_head *head = request_head();
    assert_int_equal(h2_head_write_request(head, false, &out), 0);
    assert_string_equal(block_text(&out), ":method: POST\n:scheme: http\n:authority: a:1\n"
                                          ":path: /p\ncontent-length: 0\n");
    fill(head);
    http_head_remove_hop_by_hop(head);
    head->has_query = true;
    head->query = SPAN_LIT("q");
    head->content_length = 7;
    head->expect_continue = true;
    assert_int_equal(h2_head_write_request(head, true, &out), 0);
    assert_string_equal(block_text(&out),
                        ":method: POST\n:scheme: https\n:authority: a:1\n:path: /p?q\n"
                        "x-other: v\ncontent-type: t\nx-set: edge\nx-empty: \ncookie: a; b\n"
                        "content-length: 7\nexpect: 100-continue\nte: trailers\n");
    head = request_head();
    head->method = HTTP_METHOD_GET;
    head->method_text = SPAN_LIT("GET");
    head->has_query = true;
    head->authority = SPAN_NONE;
    assert_int_equal(h2_head_write_request(head, false, &out), 0);
    assert_string_equal(block_text(&out), ":method: GET\n:scheme: http\n:path: /p?\n");
    head->upgrade = SPAN_LIT("websocket");
    assert_int_equal(h2_head_write_request(head, true, &out), 0);
    assert_string_equal(block_text(&out),
                        ":method: CONNECT\n:protocol: websocket\n:scheme: https\n:path: /p?\n");
}

static struct http_head *response_head(unsigned status, int64_t length)
{
    struct http_head *head = http_head_new(&arena, 0);
    assert_non_null(head);
    head->is_response = true;
    head->status = (uint16_t)status;
    head->content_length = length;
    return head;
}

static void test_write_response(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        int64_t length;
        const char *date, *want;
    } cases[] = {
        {200, 5, "D", ":status: 200\ncontent-length: 5\ndate: D\n"},
        {200, 0, "", ":status: 200\ncontent-length: 0\n"},
        {200, HTTP_LENGTH_UNKNOWN, "", ":status: 200\n"},
        {304, 5, "", ":status: 304\ncontent-length: 5\n"},
        {204, 0, "D", ":status: 204\ndate: D\n"},
        {103, 0, "D", ":status: 103\n"},
        {101, 0, "D", ":status: 200\n"},
    };
    struct h2_head_block out;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_head *head = response_head(cases[i].status, cases[i].length);
        assert_int_equal(h2_head_write_response(head, span_str(cases[i].date), &out), 0);
        assert_string_equal(block_text(&out), cases[i].want);
    }
    struct http_head *head = response_head(200, 1);
    fill(head);
    assert_true(http_head_add(head, SPAN_LIT("Date"), SPAN_LIT("theirs")));
    assert_int_equal(h2_head_write_response(head, SPAN_LIT("ours"), &out), 0);
    assert_string_equal(block_text(&out),
                        ":status: 200\nx-other: v\ncontent-type: t\nx-set: edge\nx-empty: \n"
                        "cookie: a; b\ndate: theirs\ncontent-length: 1\n");
    head = http_head_new(&arena, 0);
    fill(head);
    assert_int_equal(h2_head_write_trailers(head, &out), 0);
    assert_string_equal(block_text(&out), "x-other: v\ncontent-type: t\nx-set: edge\nx-empty: \n"
                                          "cookie: a; b\n");
}

static void test_write_arena_full(void **state)
{
    (void)state;
    bool request_done = false, response_done = false;
    for (size_t extra = 0; !request_done || !response_done; extra += 64) {
        struct h2_head_block out;
        arena_fini(&arena);
        arena_init(&arena, 128, 0, NULL);
        struct http_head *request = request_head(), *response = response_head(200, 7);
        request->has_query = true;
        fill(request);
        fill(response);
        arena.cap = arena.used + extra;
        int error = h2_head_write_request(request, false, &out);
        assert_true(error == 0 || error == -ENOBUFS);
        request_done = error == 0;
        arena.overflow = false;
        arena.cap = arena.used + extra;
        error = h2_head_write_response(response, SPAN_NONE, &out);
        assert_true(error == 0 || error == -ENOBUFS);
        response_done = error == 0;
        assert_true(extra < 16384);
    }
}

/* What was written reads back as what it was. */
static void test_round_trip(void **state)
{
    (void)state;
    struct h2_head_block out;
    struct http_head *head = request_head(), *back;
    fill(head);
    head->content_length = 5;
    assert_int_equal(h2_head_write_request(head, true, &out), 0);
    struct h2_head_rules rules = {.limits = &limits, .kind = H2_HEAD_REQUEST, .secure = true};
    h2_head_begin(&block, &rules, &arena);
    for (size_t i = 0; i < out.count; i++)
        assert_true(h2_head_add(&block, span_make(out.nv[i].name, out.nv[i].namelen),
                                span_make(out.nv[i].value, out.nv[i].valuelen)));
    assert_int_equal(block.bytes, out.bytes);
    assert_int_equal(h2_head_end(&block, false, &back), HTTP_ERROR_NONE);
    assert_true(span_equal(back->path, head->path));
    assert_true(span_equal(back->authority, head->authority));
    assert_int_equal(back->content_length, 5);
    assert_field(back, "cookie", "a; b");
    assert_field(back, "te", "trailers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bomb, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arena_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_responses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_response_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tunnel_response, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trailers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_response, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_arena_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
