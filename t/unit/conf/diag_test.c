/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/diag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/objects.h"
#include "t/unit/conf/conf_fixture.h"

static void test_did_you_mean(void **state)
{
    (void)state;
    static const char *const names[] = {"echo", "orders", "payments", "", "a"};
    static const struct {
        const char *wrong, *near;
    } cases[] = {
        {"ecoh", "echo"},
        {"ehco", "echo"},
        {"echoo", "echo"},
        {"eco", "echo"},
        {"xyz", NULL},
        {"echo", NULL},
        {"order", "orders"},
        {"ECHO", "echo"},
        {"Ordesr", "orders"},
        {"A", "a"},
        {"ordres", "orders"},
        {"orderssss", "orders"},
        {"pyaments", "payments"},
        {"paym", NULL},
        {"", NULL},
        {"b", NULL},
        {"ab", "a"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *near = diag_did_you_mean(span_str(cases[i].wrong), names, ARRAY_COUNT(names));
        if (cases[i].near)
            assert_string_equal(near ? near : "(none)", cases[i].near);
        else
            assert_null(near);
    }
    char longest[4096];
    memset(longest, 'e', sizeof(longest));
    assert_null(diag_did_you_mean(span_make(longest, sizeof(longest)), names, 5));
    assert_null(diag_did_you_mean(SPAN_LIT("echo"), NULL, 0));
}

static const char text[] = "first: line\n"
                           "        - name: ecoh\n"
                           "short\r\n"
                           "uml\xc3\xa4ut: b\x1b[31m\xc2\x9b x\n"
                           "last";

static const struct conf_source source = {
    .path = "examples/demo.yaml", .text = text, .text_len = sizeof(text) - 1};

static void expect_print(struct diags *diags, bool color, const char *expected)
{
    struct buf out;
    buf_init(&out, 65536);
    diags_print(diags, &out, color);
    assert_string_equal(buf_str(&out), expected);
    buf_fini(&out);
}

static struct diag *add(struct diags *diags, enum diag_code code, unsigned line, unsigned column)
{
    struct diag *diag = diags_add(diags, code, NULL, (struct conf_pos){line, column});
    diag->source = &source;
    return diag;
}

static void test_print(void **state)
{
    (void)state;
    struct conf_object object = {
        .kind = CONF_KIND_HTTP_ROUTE,
        .ns = SPAN_LIT("demo"),
        .name = SPAN_LIT("hello"),
        .source = &source,
        .pos = {1, 1},
    };
    struct diags diags;
    diags_init(&diags);
    expect_print(&diags, false, "0 errors, 0 warnings.\n");
    struct diag *diag =
        diags_add(&diags, DIAG_BACKEND_NOT_FOUND, &object, (struct conf_pos){2, 17});
    diag->length = 4;
    diag_field(diag, "rules[%d].backendRefs[0].name", 0);
    diag_message(diag, "no Service \"%s\" in namespace \"demo\"", "ecoh");
    diag_hint(diag, "did you mean \"%s\"?", "echo");
    diag_condition(diag, "ResolvedRefs=False, BackendNotFound");
    diag_consequence(diag, "this rule would answer 500, others are unaffected");
    expect_print(&diags, false,
                 "examples/demo.yaml:2:17: error[RG103] HTTPRoute demo/hello: "
                 "rules[0].backendRefs[0].name: no Service \"ecoh\" in namespace \"demo\"\n"
                 "    2 |         - name: ecoh\n"
                 "      |                 ^~~~ did you mean \"echo\"?\n"
                 "      = Kubernetes would show: ResolvedRefs=False, BackendNotFound; this rule "
                 "would answer 500, others are unaffected\n"
                 "1 error, 0 warnings.\n");
    /* Without a position of its own a finding stands where its object does. */
    diag = diags_add(&diags, DIAG_NO_PARENTS, &object, (struct conf_pos){0, 0});
    assert_int_equal(diag->pos.line, 1);
    assert_int_equal(diags.errors, 1);
    assert_int_equal(diags.warnings, 1);
    diags_fini(&diags);
}

static void test_excerpts(void **state)
{
    (void)state;
    static const struct {
        unsigned line, column, length;
        const char *expected;
    } cases[] = {
        {3, 1, 5, "    3 | short\n      | ^~~~~\n"},
        {3, 4, 9, "    3 | short\n      |    ^~\n"}, /* underlines no more than there is */
        {3, 99, 1, "    3 | short\n      |      ^\n"},
        {4, 10, 1, "    4 | uml\xc3\xa4ut: b?[31m? x\n      |          ^\n"},
        {5, 2, 0, "    5 | last\n      |  ^\n"},
        {6, 1, 1, ""}, /* beyond the end */
        {4000000000u, 1, 1, ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char expected[256];
        struct diags diags;
        diags_init(&diags);
        struct diag *diag = add(&diags, DIAG_SYNTAX, cases[i].line, cases[i].column);
        diag->length = cases[i].length;
        diag_message(diag, "m");
        snprintf(expected, sizeof(expected),
                 "examples/demo.yaml:%u:%u: error[RG001] m\n%s1 error, 0 warnings.\n",
                 cases[i].line, cases[i].column, cases[i].expected);
        expect_print(&diags, false, expected);
        diags_fini(&diags);
    }
}

/* A long line is cut, and the place stays in sight. */
static void test_long_line(void **state)
{
    (void)state;
    char line[1000];
    memset(line, 'x', sizeof(line));
    line[700] = 'Y';
    struct conf_source long_source = {.path = "f", .text = line, .text_len = sizeof(line)};
    struct diags diags;
    struct buf out;
    diags_init(&diags);
    buf_init(&out, 65536);
    struct diag *diag = diags_add(&diags, DIAG_SYNTAX, NULL, (struct conf_pos){1, 701});
    diag->source = &long_source;
    diags_print(&diags, &out, false);
    const char *excerpt = strstr(buf_str(&out), "| ");
    assert_non_null(excerpt);
    const char *caret = strstr(excerpt, "\n      | ");
    assert_non_null(caret);
    assert_int_equal(strchr(excerpt, 'Y') - excerpt, strchr(caret, '^') - (caret + 7));
    assert_true(out.len < 400);
    buf_fini(&out);
    diags_fini(&diags);
}

/* Lines of Secrets are key material. */
static void test_secret(void **state)
{
    (void)state;
    struct conf_object object = {
        .kind = CONF_KIND_SECRET,
        .ns = SPAN_LIT("a"),
        .name = SPAN_LIT("b"),
        .source = &source,
        .pos = {2, 1},
    };
    struct diags diags;
    diags_init(&diags);
    diag_message(diags_add(&diags, DIAG_BASE64, &object, (struct conf_pos){2, 3}), "m");
    expect_print(&diags, false,
                 "examples/demo.yaml:2:3: error[RG021] Secret a/b: m\n1 error, 0 warnings.\n");
    diags_fini(&diags);
}

static void test_sort_and_json(void **state)
{
    (void)state;
    struct diags diags;
    struct buf out;
    struct json_out json;
    diags_init(&diags);
    buf_init(&out, 65536);
    diag_message(add(&diags, DIAG_RANGE, 3, 1), "c");
    diag_message(add(&diags, DIAG_UNKNOWN_FIELD, 2, 9), "b \"quoted\"");
    diag_message(add(&diags, DIAG_RANGE, 2, 1), "a1");
    diag_message(add(&diags, DIAG_RANGE, 2, 1), "a2");
    diag_message(diags_add(&diags, DIAG_RANGE, NULL, (struct conf_pos){0, 0}), "nowhere");
    diags_sort(&diags);
    static const char *const order[] = {"nowhere", "a1", "a2", "b \"quoted\"", "c"};
    for (unsigned i = 0; i < ARRAY_COUNT(order); i++)
        assert_string_equal(diags.items[i]->message, order[i]);
    json_out_init(&json, &out);
    diags_json(&diags, &json);
    assert_non_null(strstr(buf_str(&out), "{\"errors\":4,\"warnings\":1,\"dropped\":0,"
                                          "\"refused\":0,\"findings\":["));
    assert_non_null(strstr(buf_str(&out),
                           "{\"severity\":\"warning\",\"code\":\"RG015\",\"title\":\"field is not "
                           "known and is ignored\",\"file\":\"examples/demo.yaml\",\"line\":2,"
                           "\"column\":9,\"length\":1,\"message\":\"b \\\"quoted\\\"\"}"));
    buf_fini(&out);
    diags_fini(&diags);
}

static void test_cap(void **state)
{
    (void)state;
    struct diags diags;
    diags_init(&diags);
    for (unsigned i = 0; i < DIAGS_MAX + 5; i++)
        diag_message(diags_add(&diags, DIAG_RANGE, NULL, (struct conf_pos){0, 0}), "%u", i);
    assert_int_equal(diags.count, DIAGS_MAX);
    assert_int_equal(diags.dropped, 5);
    assert_int_equal(diags.errors, DIAGS_MAX + 5);
    diags_fini(&diags);
    struct diag *scratch = diags_add(NULL, DIAG_RANGE, NULL, (struct conf_pos){0, 0});
    assert_non_null(scratch);
    diag_message(scratch, "%*s", 5000, "longer than it may be");
    assert_int_equal(strlen(scratch->message), sizeof(scratch->message) - 1);
}

static void test_digest(void **state)
{
    (void)state;
    struct diags diags;
    uint64_t seen[6];
    unsigned count = 0;
    diags_init(&diags);
    seen[count++] = diags_digest(&diags);
    struct diag *diag = add(&diags, DIAG_RANGE, 1, 2);
    seen[count++] = diags_digest(&diags);
    diag_message(diag, "ab");
    seen[count++] = diags_digest(&diags);
    diag_hint(diag, "ab");
    seen[count++] = diags_digest(&diags);
    diag->pos.line = 2;
    seen[count++] = diags_digest(&diags);
    (void)add(&diags, DIAG_RANGE, 1, 2);
    seen[count++] = diags_digest(&diags);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
    }
    assert_true(seen[count - 1] == diags_digest(&diags));
    diags_fini(&diags);
}

/* doc/codes.md explains every code, and no other. */
static void test_documented(void **state)
{
    (void)state;
    char path[1024];
    size_t len;
    unsigned documented = 0;
    conf_fixture_path(path, sizeof(path), "doc/codes.md");
    char *doc = conf_fixture_read(path, &len);
    for (unsigned code = 0; code < DIAG_CODE_COUNT; code++) {
        char heading[160];
        snprintf(heading, sizeof(heading), "\n### %s %s: %s\n", diag_code_text(code),
                 diag_code_severity(code) == DIAG_ERROR ? "error" : "warning",
                 diag_code_title(code));
        if (!strstr(doc, heading))
            fail_msg("doc/codes.md has no heading \"%s\"", heading + 1);
        for (unsigned other = 0; other < code; other++)
            assert_string_not_equal(diag_code_text(code), diag_code_text(other));
    }
    for (const char *at = doc; (at = strstr(at, "\n### ")) != NULL; at++)
        documented++;
    assert_int_equal(documented, DIAG_CODE_COUNT);
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_did_you_mean), cmocka_unit_test(test_print),
        cmocka_unit_test(test_excerpts),     cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_secret),       cmocka_unit_test(test_sort_and_json),
        cmocka_unit_test(test_cap), cmocka_unit_test(test_digest),
        cmocka_unit_test(test_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
