/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/decode.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"
#include "conf/objects.h"

static void test_duration(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t ms;
    } cases[] = {
        {"0s", 0, 0},
        {"10s", 0, 10000},
        {"500ms", 0, 500},
        {"1h30m", 0, 5400000},
        {"1h2m3s4ms", 0, 3723004},
        {"99999h", 0, UINT64_C(359996400000)},
        {"2s1s", 0, 3000},
        {"", -EINVAL, 0},
        {"10", -EINVAL, 0},
        {"s", -EINVAL, 0},
        {"1.5s", -EINVAL, 0},
        {"-1s", -EINVAL, 0},
        {"100000s", -EINVAL, 0},
        {"1d", -EINVAL, 0},
        {"1h1m1s1ms1h", -EINVAL, 0},
        {"1s ", -EINVAL, 0},
        {"1us", -EINVAL, 0},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t ns = 7;
        int r = decode_duration(span_str(cases[i].text), &ns);
        if (r != cases[i].result || ns != (r == 0 ? cases[i].ms * NS_PER_MS : 7))
            fail_msg("%s", cases[i].text);
    }
}

static void test_base64(void **state)
{
    static const struct {
        const char *text, *plain; /* NULL: refused */
    } cases[] = {
        {"", ""},        {"YQ==", "a"},       {"YWI=", "ab"},  {"YWJj", "abc"},
        {"YW Jj\n", "abc"}, {"YWJjZA==", "abcd"}, {"+/+/", "\xfb\xff\xbf"},
        {"YQ", NULL},    {"YQ=", NULL},       {"YQ===", NULL}, {"Y", NULL},
        {"=", NULL},     {"YW=J", NULL},      {"YW_j", NULL},  {"YQ==YQ==", NULL},
        {"!!!!", NULL},
    };
    (void)state;
    struct conf_object *obj = conf_object_new(CONF_KIND_SECRET);
    arena_init(&obj->arena, 4096, 0, NULL);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct decode decode = {.arena = &obj->arena, .object = obj};
        struct span out = SPAN_NONE;
        int r = decode_base64(&decode, span_str(cases[i].text), &out);
        if (r != (cases[i].plain != NULL ? 0 : -EINVAL))
            fail_msg("%s", cases[i].text);
        if (r == 0)
            assert_true(span_equal_str(out, cases[i].plain));
    }
    conf_object_unref(obj);
}

/* An object that outgrows its arena is a finding, not a crash. */
static void test_full(void **state)
{
    struct diags diags;
    (void)state;
    struct conf_object *obj = conf_object_new(CONF_KIND_CONFIG_MAP);
    arena_init(&obj->arena, 256, 512, NULL);
    diags_init(&diags);
    struct decode decode = {.arena = &obj->arena, .object = obj, .diags = &diags};
    assert_null(decode_array(&decode, 1000, 1000));
    assert_null(decode_array(&decode, 1, 1000));
    assert_int_equal(decode.errors, 1);
    assert_int_equal(diags.items[0]->code, DIAG_TOO_BIG);
    diags_fini(&diags);
    conf_object_unref(obj);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
