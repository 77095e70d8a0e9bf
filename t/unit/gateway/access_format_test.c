/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/access_format.h"

static struct http_head *hostile_head(struct arena *arena, struct span bytes)
{
    struct http_head *head = http_head_new(arena, 4);
    head->method_text = SPAN_LIT("GET");
    head->target = bytes;
    head->authority = bytes;
    return head;
}

/* Whatever bytes a client sends, a line stays one line, and in JSON one object. */
static void escapes_every_byte(void **state UNUSED)
{
    char bytes[256], line[ACCESS_LINE_SIZE];
    struct arena arena;

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    arena_init(&arena, 4096, 0, NULL);
    struct access_record record = {
        .kind = ACCESS_REQUEST,
        .outcome = OUTCOME_NO_ROUTE,
        .status = 404,
        .request = hostile_head(&arena, span_make(bytes, sizeof(bytes))),
        .protocol = "HTTP/1.1",
        .listener = "127.0.0.1:80",
    };
    for (int format = ACCESS_TEXT; format <= ACCESS_JSON; format++) {
        size_t len = access_format_line((enum access_format)format, &record, line, sizeof(line));
        assert_true(len > 0 && len < sizeof(line));
        assert_ptr_equal(memchr(line, '\n', len), line + len - 1);
        for (size_t i = 0; i + 1 < len; i++)
            assert_true((unsigned char)line[i] >= 0x20);
    }
    size_t len = access_format_line(ACCESS_JSON, &record, line, sizeof(line));
    json_error_t error;
    json_t *object = json_loadb(line, len, JSON_ALLOW_NUL, &error);
    assert_non_null(object);
    assert_int_equal(json_integer_value(json_object_get(object, "response_code")), 404);
    assert_string_equal(json_string_value(json_object_get(object, "response_flags")), "NR");
    json_decref(object);
    arena_fini(&arena);
}

/* Too long a value is cut; the line still ends. */
static void cuts_long_values(void **state UNUSED)
{
    static char bytes[100000];
    char line[ACCESS_LINE_SIZE];
    struct arena arena;

    memset(bytes, 'a', sizeof(bytes));
    arena_init(&arena, 4096, 0, NULL);
    struct access_record record = {
        .kind = ACCESS_REQUEST,
        .request = hostile_head(&arena, span_make(bytes, sizeof(bytes))),
        .listener = "x",
    };
    for (size_t size = 3; size < sizeof(line); size = size * 2 + 1) {
        size_t len = access_format_line(ACCESS_TEXT, &record, line, size);
        assert_true(len < size);
        assert_int_equal(line[len - 1], '\n');
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_every_byte),
        cmocka_unit_test(cuts_long_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
