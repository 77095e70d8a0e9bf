/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/websocket.h"

/* The example of RFC 6455 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static struct arena arena;

static struct http_head *head_make(const char *const fields[][2], uint8_t major)
{
    struct http_head *head = http_head_new(&arena, 8);
    head->method = HTTP_METHOD_GET;
    head->version_major = major;
    head->version_minor = 1;
    for (size_t i = 0; i < 3 && fields[i][0] != NULL; i++)
        assert_true(http_head_add(head, span_str(fields[i][0]), span_str(fields[i][1])));
    return head;
}

static const char *value_of(const struct http_head *head, const char *name)
{
    static char text[64];
    const struct http_field *field = http_head_find(head, span_str(name));
    if (field == NULL)
        return NULL;
    snprintf(text, sizeof(text), "%.*s", SPAN_ARG(field->value));
    return text;
}

static void test_check(void **state)
{
    static const struct {
        const char *fields[3][2];
        uint8_t major;
        unsigned status;
    } cases[] = {
        {{{"Sec-WebSocket-Key", KEY}, {"sec-websocket-version", "13"}}, 1, 0},
        {{{"Sec-WebSocket-Version", "13"}}, 1, 400},
        {{{"Sec-WebSocket-Version", "13"}}, 2, 0},
        {{{"Sec-WebSocket-Version", "8"}}, 2, 426},
        {{{NULL, NULL}}, 2, 426},
        {{{"Sec-WebSocket-Key", KEY}}, 1, 426},
        {{{"Sec-WebSocket-Key", KEY}, {"Sec-WebSocket-Version", "8"}}, 1, 426},
        {{{"Sec-WebSocket-Key", KEY}, {"Sec-WebSocket-Version", "13, 8"}}, 1, 426},
        {{{"Sec-WebSocket-Key", KEY}, {"Sec-WebSocket-Key", KEY}, {"Sec-WebSocket-Version", "13"}},
         1,
         400},
        {{{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ="}, {"Sec-WebSocket-Version", "13"}},
         1,
         400},
        {{{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==="}, {"Sec-WebSocket-Version", "13"}},
         1,
         400},
        {{{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ!=="}, {"Sec-WebSocket-Version", "13"}},
         1,
         400},
        {{{"Sec-WebSocket-Key", ""}, {"Sec-WebSocket-Version", "13"}}, 1, 400},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_head *head = head_make(cases[i].fields, cases[i].major);
        assert_int_equal(websocket_check(head), cases[i].status);
        head->method = HTTP_METHOD_POST;
        assert_int_equal(websocket_check(head), 400);
    }
}

static void test_request(void **state)
{
    static const char *const with[3][2] = {{"Sec-WebSocket-Key", KEY}};
    static const char *const without[3][2] = {{"Sec-WebSocket-Version", "13"}};
    static const char *const own[][3][2] = {
        {{"Sec-WebSocket-Key", "abc"}},
        {{"Sec-WebSocket-Key", KEY}},
        {{"Sec-WebSocket-Key", KEY}, {"Sec-WebSocket-Key", KEY}},
    };
    struct rand_state rand;
    struct span key = SPAN_NONE, other = SPAN_NONE;
    (void)state;
    rand_seed(&rand, 1);
    struct http_head *head = head_make(with, 1);
    assert_true(websocket_write_request(head, false, &rand, &key));
    assert_true(span_equal_str(key, KEY));
    assert_string_equal(value_of(head, "sec-websocket-key"), KEY);
    assert_true(websocket_write_request(head, true, &rand, &key));
    assert_true(span_equal_str(key, KEY));
    assert_null(value_of(head, "sec-websocket-key"));
    assert_true(websocket_write_request(head, false, &rand, &key)); /* a second try */
    assert_true(span_equal_str(key, KEY));
    assert_string_equal(value_of(head, "sec-websocket-key"), KEY);

    head = head_make(without, 2);
    key = SPAN_NONE;
    assert_true(websocket_write_request(head, true, &rand, &key));
    assert_int_equal(key.len, 0);
    assert_true(websocket_write_request(head, false, &rand, &key));
    assert_true(span_equal_str(key, value_of(head, "sec-websocket-key")));
    assert_true(websocket_write_request(head_make(without, 2), false, &rand, &other));
    assert_false(span_equal(key, other));
    head->version_major = 1; /* what was made would be accepted */
    assert_int_equal(websocket_check(head), 0);

    for (size_t i = 0; i < ARRAY_COUNT(own); i++) { /* over HTTP/2 a key of the client's is none */
        head = head_make(own[i], 2);
        key = SPAN_NONE;
        assert_true(websocket_write_request(head, false, &rand, &key));
        assert_int_equal(key.len, 24);
        assert_false(span_equal_str(key, KEY));
        assert_true(span_equal_str(key, value_of(head, "sec-websocket-key")));
        assert_true(websocket_write_request(head, false, &rand, &key)); /* a second try */
        assert_true(span_equal_str(key, value_of(head, "sec-websocket-key")));
        assert_int_equal(http_head_remove(head, SPAN_LIT("sec-websocket-key")), 1);
    }
}

static void test_response(void **state)
{
    static const struct {
        const char *key, *accept;
        bool h2_backend, h2_client, good;
        const char *sent;
    } cases[] = {
        {KEY, ACCEPT, false, false, true, ACCEPT},
        {KEY, ACCEPT, false, true, true, NULL},
        {KEY, "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=", false, false, false, NULL},
        {KEY, "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=", false, true, false, NULL},
        {KEY, NULL, false, false, false, NULL},
        {"", ACCEPT, false, true, false, NULL},
        {KEY, NULL, true, false, true, ACCEPT},
        {KEY, "made up", true, false, true, ACCEPT},
        {"", NULL, true, true, true, NULL},
        {"", "made up", true, true, true, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *fields[3][2] = {
            {cases[i].accept ? "Sec-WebSocket-Accept" : NULL, cases[i].accept}};
        struct http_head *head = head_make(fields, 1);
        bool good = websocket_write_response(head, span_str(cases[i].key), cases[i].h2_backend,
                                             cases[i].h2_client);
        assert_int_equal(good, cases[i].good);
        const char *sent = value_of(head, "sec-websocket-accept");
        if (good && cases[i].sent != NULL)
            assert_string_equal(sent, cases[i].sent);
        else if (good)
            assert_null(sent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_response),
    };
    arena_init(&arena, 4096, 0, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
