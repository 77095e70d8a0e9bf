/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/message.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/chars.h"
#include "http/date.h"
#include "http/field.h"
#include "http/stream.h"

static void test_header_names(void **state)
{
    (void)state;
    for (unsigned id = 1; id < HTTP_HEADER_COUNT; id++) {
        struct span name = http_header_name((enum http_header_id)id);
        char text[64];
        assert_true(name.len < sizeof(text));
        assert_int_equal(http_header_find(name), id);
        for (size_t i = 0; i < name.len; i++) {
            text[i] = (char)toupper(name.ptr[i]);
            assert_int_equal(text[i] == name.ptr[i], name.ptr[i] == '-' || isdigit(name.ptr[i]));
        }
        assert_int_equal(http_header_find(span_make(text, name.len)), id);
        for (size_t i = 0; i < name.len; i++) { /* one byte off */
            memcpy(text, name.ptr, name.len);
            text[i] = (char)(text[i] ^ 0x01);
            assert_int_not_equal(http_header_find(span_make(text, name.len)), id);
        }
        assert_int_not_equal(http_header_find(span_make(name.ptr, name.len - 1)), id);
        if (id > 1)
            assert_true(span_compare(http_header_name((enum http_header_id)(id - 1)), name) < 0);
    }
    assert_int_equal(http_header_find(SPAN_NONE), HTTP_HEADER_OTHER);
    assert_int_equal(http_header_find(SPAN_LIT("x-other")), HTTP_HEADER_OTHER);
    char large[70000];
    memset(large, 'a', sizeof(large));
    static const size_t sizes[] = {255, 256, 65535, 65536};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        assert_int_equal(http_header_find(span_make(large, sizes[i])), HTTP_HEADER_OTHER);
}

static struct arena arena;

static int arena_setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0, NULL);
    return 0;
}

static int arena_teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void test_fields(void **state)
{
    (void)state;
    struct http_head *head = http_head_new(&arena, 1);
    assert_true(http_head_add(head, SPAN_LIT("X-A"), SPAN_LIT("1")));
    assert_true(http_head_add(head, SPAN_LIT("x-a"), SPAN_LIT("2")));
    assert_true(http_head_add_id(head, HTTP_HEADER_VIA, SPAN_LIT("v")));
    assert_int_equal(head->fields_count, 3);
    assert_true(span_equal_str(http_head_find(head, SPAN_LIT("X-a"))->value, "1"));
    assert_true(span_equal_str(http_head_find(head, SPAN_LIT("VIA"))->value, "v"));
    assert_true(http_head_set(head, SPAN_LIT("x-A"), SPAN_LIT("3")));
    assert_int_equal(http_head_remove(head, SPAN_LIT("X-A")), 1);
    assert_null(http_head_find(head, SPAN_LIT("x-a")));
    assert_int_equal(http_head_remove(head, SPAN_LIT("X-A")), 0);
    assert_true(http_head_set_id(head, HTTP_HEADER_SERVER, SPAN_LIT("s")));
    assert_non_null(http_head_find_id(head, HTTP_HEADER_SERVER));
    assert_int_equal(http_head_remove_id(head, HTTP_HEADER_VIA), 1);
    struct http_head *empty = http_head_new(&arena, 0);
    assert_true(http_head_set(empty, SPAN_LIT("a"), SPAN_LIT("")));
    unsigned count = 1;
    while (http_head_add(empty, SPAN_LIT("b"), SPAN_LIT("")))
        count++;
    assert_int_equal(count, 4096);
}

/* A copy outlives the head it was made of. */
static void test_copy(void **state)
{
    (void)state;
    struct arena first, second;
    arena_init(&first, 4096, 0, NULL);
    arena_init(&second, 4096, 0, NULL);
    struct http_head *head = http_head_new(&first, 2);
    const char *name = arena_copy(&first, SPAN_LIT("x-name")).ptr;
    assert_true(http_head_add(head, span_str(name), arena_copy(&first, SPAN_LIT("one"))));
    assert_true(http_head_add(head, SPAN_LIT("x-gone"), SPAN_LIT("two")));
    assert_true(http_head_add_id(head, HTTP_HEADER_COOKIE, arena_copy(&first, SPAN_LIT("c"))));
    assert_true(http_head_add_id(head, HTTP_HEADER_TE, arena_copy(&first, SPAN_LIT("trailers"))));
    assert_int_equal(http_head_remove(head, SPAN_LIT("x-gone")), 1);
    assert_int_equal(http_head_remove_id(head, HTTP_HEADER_TE), 1);
    head->method = HTTP_METHOD_POST;
    head->path = arena_copy(&first, SPAN_LIT("/path"));
    head->host = arena_copy(&first, SPAN_LIT("a.test"));
    head->content_length = 7;
    struct http_head *copy = http_head_copy(head, &second);
    arena_fini(&first);
    assert_int_equal(copy->fields_count, 3);
    assert_true(copy->fields[2].removed && span_equal_str(copy->fields[2].value, "trailers"));
    assert_true(span_equal_str(http_head_find(copy, SPAN_LIT("X-Name"))->value, "one"));
    assert_true(span_equal_str(http_head_find_id(copy, HTTP_HEADER_COOKIE)->value, "c"));
    assert_null(http_head_find(copy, SPAN_LIT("x-gone")));
    assert_true(copy->method == HTTP_METHOD_POST && copy->content_length == 7);
    assert_true(span_equal_str(copy->path, "/path") && span_equal_str(copy->host, "a.test"));
    assert_int_equal(copy->query.len, 0);
    assert_true(http_head_add(copy, SPAN_LIT("x-more"), SPAN_LIT("3")));
    struct arena tiny;
    arena_init(&tiny, 256, 256, NULL);
    assert_null(http_head_copy(copy, &tiny));
    arena_fini(&tiny);
    arena_fini(&second);
}

static void test_arena_overflow(void **state)
{
    (void)state;
    struct arena small;
    arena_init(&small, 512, 2048, NULL);
    struct http_head *head = http_head_new(&small, 2);
    assert_non_null(head);
    unsigned count = 0;
    while (count < 1000 && http_head_add(head, SPAN_LIT("a"), SPAN_LIT("b")))
        count++;
    assert_true(count >= 2 && count < 60);
    assert_int_equal(head->fields_count, count);
    assert_null(http_head_new(&small, 100));
    arena_fini(&small);
}

static void test_hop_by_hop(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        bool kept;
    } fields[] = {
        {"Connection", "close, X-One ,, x-two,Host", false},
        {"connection", "X-Forwarded-For, content-length, Authorization, X-Three", false},
        {"X-One", "1", false},
        {"X-Two", "2", false},
        {"X-THREE", "3", false},
        {"X-Four", "4", true},
        {"Host", "h", true},
        {"Content-Length", "4", true},
        {"Authorization", "a", true},
        {"X-Forwarded-For", "f", true},
        {"Keep-Alive", "5", false},
        {"TE", "trailers", false},
        {"Upgrade", "h2c", false},
        {"HTTP2-Settings", "x", false},
        {"Transfer-Encoding", "chunked", false},
        {"Proxy-Connection", "x", false},
        {"Proxy-Authorization", "x", false},
        {"Proxy", "x", false},
        {"Trailer", "X-Sum", true},
    };
    struct http_head *head = http_head_new(&arena, 0);
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        assert_true(http_head_add(head, span_str(fields[i].name), span_str(fields[i].value)));
    http_head_remove_hop_by_hop(head);
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        if (head->fields[i].removed == fields[i].kept)
            fail_msg("%s", fields[i].name);
}

static void test_aliases(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool alias;
    } cases[] = {
        {"X_Forwarded_For", true},
        {"x-forwarded_for", true},
        {"X.Forwarded.For", true},
        {"X-Forwarded-For", false},
        {"content_length", true},
        {"Content.Length", true},
        {"Transfer_Encoding", true},
        {"x_other", false},
        {"x.y", false},
        {"_", false},
        {"X_Real.IP", true},
        {"Host", false},
        {"HOST_", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span name = span_str(cases[i].name);
        bool under = strchr(cases[i].name, '_') != NULL;
        assert_int_equal(field_is_alias(name), cases[i].alias);
        assert_int_equal(field_is_dropped(name, true), cases[i].alias);
        assert_int_equal(field_is_dropped(name, false), cases[i].alias || under);
    }
}

static void test_methods_and_statuses(void **state)
{
    (void)state;
    assert_int_equal(http_method_from_span(SPAN_LIT("GET")), HTTP_METHOD_GET);
    assert_int_equal(http_method_from_span(SPAN_LIT("PATCH")), HTTP_METHOD_PATCH);
    assert_int_equal(http_method_from_span(SPAN_LIT("get")), HTTP_METHOD_OTHER);
    assert_int_equal(http_method_from_span(SPAN_NONE), HTTP_METHOD_OTHER);
    assert_true(http_method_is_known(SPAN_LIT("TRACE")));
    assert_true(http_method_is_known(SPAN_LIT("QUERY")));
    assert_false(http_method_is_known(SPAN_LIT("query")));
    assert_false(http_method_is_known(SPAN_LIT("QUER")));
    assert_false(http_method_is_known(SPAN_NONE));
    assert_true(http_method_is_idempotent(HTTP_METHOD_DELETE));
    assert_false(http_method_is_idempotent(HTTP_METHOD_POST));
    assert_false(http_method_is_idempotent(HTTP_METHOD_OTHER));
    assert_string_equal(http_status_text(404), "Not Found");
    assert_string_equal(http_status_text(418), "");
    assert_true(http_status_has_no_body(103) && http_status_has_no_body(204) &&
                http_status_has_no_body(304));
    assert_false(http_status_has_no_body(200) || http_status_has_no_body(205));
}

/* The names are the enumerators in lower case. */
static void test_errors(void **state)
{
    (void)state;
    static const char *const ids[] = {
#define X(id, status, text) #id,
        HTTP_ERRORS(X)
#undef X
    };
    for (unsigned e = 0; e < HTTP_ERROR_COUNT; e++) {
        const char *name = http_error_name((enum http_error)e);
        assert_true(span_equal_fold(span_str(name), span_str(ids[e])));
        assert_true(http_error_text((enum http_error)e)[0] != '\0');
        unsigned status = http_error_status((enum http_error)e);
        assert_true(status == 0 || http_status_text(status)[0] != '\0');
    }
}

static void test_date(void **state)
{
    (void)state;
    static const struct {
        uint64_t second;
        const char *text;
    } cases[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"},
    };
    struct date_cache cache = {0};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t ns = cases[i].second * 1000000000u;
        assert_true(span_equal_str(date_cache_get(&cache, ns), cases[i].text));
        assert_true(span_equal_str(date_cache_get(&cache, ns + 999999999), cases[i].text));
    }
}

static bool in_text(int c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static void test_chars(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool alnum = c < 128 && isalnum(c);
        bool unreserved = alnum || in_text(c, "-._~");
        bool path = unreserved || in_text(c, "!$&'()*+,;=:@/");
        bool value = c == '\t' || (c >= ' ' && c != 0x7f);
        unsigned expected = 0;
        expected |= alnum || in_text(c, "!#$%&'*+-.^_`|~") ? CHARS_TOKEN : 0;
        expected |= value ? CHARS_VALUE : 0;
        expected |= path ? CHARS_PATH : 0;
        expected |= path || in_text(c, "?[]|{}^`") ? CHARS_QUERY : 0;
        expected |= unreserved ? CHARS_UNRESERVED | CHARS_HOST : 0;
        expected |= c < 128 && isxdigit(c) ? CHARS_HEX : 0;
        if (chars_class[c] != expected)
            fail_msg("0x%02x: 0x%02x instead of 0x%02x", c, chars_class[c], expected);
        /* The byte anywhere in values of all lengths that are handled in ways of their own. */
        for (size_t len = 1; len < 20; len++) {
            for (size_t at = 0; at < len; at++) {
                char text[20];
                memset(text, c % 2 ? 'x' : (char)0xff, len);
                text[at] = (char)c;
                assert_int_equal(chars_is_value(span_make(text, len)), value);
                memset(text, ' ', len);
                text[at] = (char)c;
                assert_int_equal(chars_is_printable(span_make(text, len)), c >= ' ' && c <= '~');
            }
        }
    }
    assert_true(chars_is_value(SPAN_NONE) && chars_is_printable(SPAN_NONE));
    assert_false(chars_is_token(SPAN_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_names),
        cmocka_unit_test_setup_teardown(test_fields, arena_setup, arena_teardown),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_arena_overflow),
        cmocka_unit_test_setup_teardown(test_hop_by_hop, arena_setup, arena_teardown),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_methods_and_statuses),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_date),
        cmocka_unit_test(test_chars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
