/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/diag_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "conf/objects.h"

static const char text[] = "\xef\xbb\xbf# comment\n"
                           "---\n"
                           "kind: A\n"
                           "metadata:\n"
                           "  annotations: {a: x, a.b/c: \"y z\", a.b: w}\n"
                           "---\n"
                           "- not: parsed\n"
                           " x\n"
                           "---\n"
                           "kind: List\n"
                           "items:\n"
                           "- kind: B\n"
                           "  spec:\n"
                           "    refs:\n"
                           "    - name: one\n"
                           "      port: 80\n"
                           "    - name: two\n"
                           "    empty: ''\n"
                           "- kind: C\n"
                           "  spec: {name: c}\n"
                           "---\n"
                           "kind: D";

static const struct conf_source source = {
    .path = "a.yaml", .text = text, .text_len = sizeof(text) - 1};

static const struct conf_pos a = {3, 1}, broken = {7, 1}, b = {12, 3}, c = {19, 3}, d = {22, 1};

/* A finding about the object that begins at object, given as if it were at pos. */
static const struct place_case {
    const char *field;
    const struct conf_pos *object;
    struct conf_pos given;
    struct conf_pos expected;
    unsigned length;
} cases[] = {
    {"kind", &a, {3, 1}, {3, 7}, 1},
    {"metadata", &a, {3, 1}, {4, 1}, 8},
    {"metadata.annotations.a", &a, {3, 1}, {5, 20}, 1},
    {"metadata.annotations.a.b/c", &a, {3, 1}, {5, 30}, 5},
    {"metadata.annotations[a.b/c]", &a, {3, 1}, {5, 30}, 5},
    {"metadata.annotations[a.b]", &a, {3, 1}, {5, 42}, 1},
    {"metadata.annotations[none]", &a, {3, 1}, {3, 1}, 0},
    {"metadata.annotations[a.b", &a, {3, 1}, {3, 1}, 0},
    {"metadata.name", &a, {5, 3}, {5, 3}, 0},
    {"kind.x", &a, {5, 3}, {5, 3}, 0},
    {"kind[0]", &a, {5, 3}, {5, 3}, 0},
    {"", &a, {3, 1}, {3, 1}, 0},
    {"kind", &broken, {7, 1}, {7, 1}, 0},
    {"spec.refs[0].port", &b, {15, 13}, {16, 13}, 2},
    {"spec.refs[1].name", &b, {12, 3}, {17, 13}, 3},
    {"spec.refs[1].port", &b, {17, 13}, {17, 13}, 0},
    {"spec.refs[1]", &b, {17, 13}, {17, 13}, 0},
    {"spec.refs[1]", &b, {12, 3}, {17, 7}, 0},
    {"spec.refs[2]", &b, {12, 3}, {12, 3}, 0},
    {"spec.refs[x]", &b, {12, 3}, {12, 3}, 0},
    {"spec.refs.name", &b, {12, 3}, {12, 3}, 0},
    {"spec.refs", &b, {15, 7}, {14, 5}, 4},
    {"spec.empty", &b, {12, 3}, {18, 12}, 0},
    {"spec.name", &c, {19, 3}, {20, 16}, 1},
    {"kind", &d, {22, 1}, {22, 7}, 1},
};

static struct diag *add(struct diags *diags, const struct place_case *it)
{
    struct conf_object object = {
        .kind = CONF_KIND_SERVICE, .source = &source, .pos = *it->object, .name = {"n", 1}};
    struct diag *diag = diags_add(diags, DIAG_RANGE, &object, it->given);
    diag_field(diag, "%s", it->field);
    diag_message(diag, "%zu", (size_t)(it - cases));
    return diag;
}

static void expect(const struct diag *diag, const struct place_case *it)
{
    if (diag->pos.line != it->expected.line || diag->pos.column != it->expected.column ||
        diag->length != it->length)
        fail_msg("\"%s\" is at %u:%u, %u long, not at %u:%u, %u long", it->field, diag->pos.line,
                 diag->pos.column, diag->length, it->expected.line, it->expected.column,
                 it->length);
}

static void test_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct diags diags;
        diags_init(&diags);
        add(&diags, &cases[i]);
        diag_place_all(&diags);
        expect(diags.items[0], &cases[i]);
        diags_fini(&diags);
    }
}

/* All of a file together, the last ones first; and they are sorted by where they go. */
static void test_together(void **state)
{
    (void)state;
    struct diags diags;
    diags_init(&diags);
    for (size_t i = ARRAY_COUNT(cases); i > 0; i--)
        add(&diags, &cases[i - 1]);
    diag_place_all(&diags);
    for (unsigned i = 0; i < diags.count; i++) {
        uint64_t index;
        assert_int_equal(span_to_u64(span_str(diags.items[i]->message), 1000, &index), 0);
        expect(diags.items[i], &cases[index]);
        assert_true(i == 0 || diags.items[i - 1]->pos.line <= diags.items[i]->pos.line);
    }
    diags_fini(&diags);
}

static void test_left_alone(void **state)
{
    (void)state;
    static const struct conf_source forgotten = {.path = "b.yaml"};
    struct diags diags;
    diags_init(&diags);
    struct diag *exact = add(&diags, &cases[0]);
    exact->object_pos = (struct conf_pos){0, 0};
    struct diag *textless = add(&diags, &cases[1]);
    textless->source = &forgotten;
    struct diag *nowhere = diags_add(&diags, DIAG_RANGE, NULL, (struct conf_pos){0, 0});
    diag_field(nowhere, "kind");
    diag_place_all(&diags);
    assert_int_equal(exact->pos.column, cases[0].given.column);
    assert_int_equal(textless->pos.line, cases[1].given.line);
    assert_int_equal(nowhere->pos.line, 0);
    diags_fini(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
