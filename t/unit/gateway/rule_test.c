/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "conf/objects.h"
#include "conf/schema.h"
#include "gateway/rule.h"

struct path_case {
    enum conf_path_mod mod;
    const char *with, *path;
    uint32_t prefix_len; /* as route_match gives it: without a trailing slash */
    const char *expected;
    uint32_t expected_prefix_len;
};

/* The table of HTTPPathModifier.replacePrefixMatch in the Gateway API, and the other modes. */
static const struct path_case path_cases[] = {
    {CONF_PATH_KEEP, "", "/a/b", 2, "/a/b", 2},
    {CONF_PATH_REPLACE_FULL, "/x", "/a/b", 2, "/x", 2},
    {CONF_PATH_REPLACE_FULL, "", "/a/b", 2, "/", 0},
    {CONF_PATH_REPLACE_PREFIX, "/xyz", "/foo/bar", 4, "/xyz/bar", 4},
    {CONF_PATH_REPLACE_PREFIX, "/xyz/", "/foo/bar", 4, "/xyz/bar", 4},
    {CONF_PATH_REPLACE_PREFIX, "/xyz", "/foo", 4, "/xyz", 4},
    {CONF_PATH_REPLACE_PREFIX, "/xyz", "/foo/", 4, "/xyz/", 4},
    {CONF_PATH_REPLACE_PREFIX, "", "/foo/bar", 4, "/bar", 0},
    {CONF_PATH_REPLACE_PREFIX, "", "/foo/", 4, "/", 0},
    {CONF_PATH_REPLACE_PREFIX, "", "/foo", 4, "/", 0},
    {CONF_PATH_REPLACE_PREFIX, "/", "/foo/", 4, "/", 0},
    {CONF_PATH_REPLACE_PREFIX, "/", "/foo", 4, "/", 0},
    {CONF_PATH_REPLACE_PREFIX, "/", "/foo/bar", 4, "/bar", 0},
    {CONF_PATH_REPLACE_PREFIX, "/xyz", "/any", 0, "/xyz/any", 4},
    {CONF_PATH_REPLACE_PREFIX, "/xyz", "/", 0, "/xyz/", 4},
};

static void replaces_paths(void **state UNUSED)
{
    struct arena arena;
    arena_init(&arena, 4096, 0, NULL);
    for (unsigned i = 0; i < ARRAY_COUNT(path_cases); i++) {
        const struct path_case *c = &path_cases[i];
        struct url_program url = {.path_mod = c->mod, .path = span_str(c->with)};
        uint32_t prefix_len = c->prefix_len;
        struct span got = rule_url_path(&url, &arena, span_str(c->path), &prefix_len);
        if (!span_equal_str(got, c->expected) || prefix_len != c->expected_prefix_len)
            fail_msg("%s in place of %u of %s: %.*s (%u), expected %s (%u)", c->with, c->prefix_len,
                     c->path, SPAN_ARG(got), prefix_len, c->expected, c->expected_prefix_len);
    }
    arena_fini(&arena);
}

/* A rule's rewrite, then its backend's: the second replaces what the first put there. */
static void replaces_what_was_replaced(void **state UNUSED)
{
    static const struct {
        enum conf_path_mod first, second;
        const char *with_first, *with_second, *path, *expected;
    } cases[] = {
        {CONF_PATH_REPLACE_PREFIX, CONF_PATH_REPLACE_PREFIX, "/longer/one", "/b", "/foo/x", "/b/x"},
        {CONF_PATH_REPLACE_PREFIX, CONF_PATH_REPLACE_PREFIX, "/", "/b", "/foo/x", "/b/x"},
        {CONF_PATH_REPLACE_PREFIX, CONF_PATH_REPLACE_PREFIX, "/a", "/", "/foo", "/"},
        {CONF_PATH_REPLACE_FULL, CONF_PATH_REPLACE_PREFIX, "/whole", "/b", "/foo/x", "/b"},
        {CONF_PATH_KEEP, CONF_PATH_REPLACE_PREFIX, "", "/b", "/foo/x", "/b/x"},
        {CONF_PATH_REPLACE_PREFIX, CONF_PATH_KEEP, "/a", "", "/foo/x", "/a/x"},
    };
    struct arena arena;
    arena_init(&arena, 4096, 0, NULL);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct url_program first = {.path_mod = cases[i].first,
                                    .path = span_str(cases[i].with_first)};
        struct url_program second = {.path_mod = cases[i].second,
                                     .path = span_str(cases[i].with_second)};
        uint32_t prefix_len = 4;
        struct span path = rule_url_path(&first, &arena, span_str(cases[i].path), &prefix_len);
        path = rule_url_path(&second, &arena, path, &prefix_len);
        if (!span_equal_str(path, cases[i].expected))
            fail_msg("case %u: %.*s", i, SPAN_ARG(path));
    }
    arena_fini(&arena);
}

static void applies_headers(void **state UNUSED)
{
    struct header_op ops[] = {
        {HEADER_OP_SET, HTTP_HEADER_OTHER, SPAN_LIT("X-Set"), SPAN_LIT("new")},
        {HEADER_OP_ADD, HTTP_HEADER_OTHER, SPAN_LIT("X-Add"), SPAN_LIT("more")},
        {HEADER_OP_REMOVE, HTTP_HEADER_OTHER, SPAN_LIT("x-gone"), SPAN_NONE},
    };
    struct header_program program = {ops, ARRAY_COUNT(ops)};
    struct arena arena;

    arena_init(&arena, 4096, 0, NULL);
    struct http_head *head = http_head_new(&arena, 4);
    assert_true(http_head_add(head, SPAN_LIT("x-set"), SPAN_LIT("old")));
    assert_true(http_head_add(head, SPAN_LIT("x-add"), SPAN_LIT("first")));
    assert_true(http_head_add(head, SPAN_LIT("X-Gone"), SPAN_LIT("1")));
    assert_true(rule_headers_apply(&program, head));
    assert_true(span_equal_str(http_head_find(head, SPAN_LIT("x-set"))->value, "new"));
    assert_true(span_equal_str(http_head_find(head, SPAN_LIT("x-add"))->value, "first"));
    assert_null(http_head_find(head, SPAN_LIT("x-gone")));
    assert_int_equal(http_head_remove(head, SPAN_LIT("X-ADD")), 2);
    arena_fini(&arena);
}

static void chooses_mirrors(void **state UNUSED)
{
    static const struct {
        uint32_t numerator, denominator;
        unsigned low, high; /* of 10,000, five standard deviations */
    } cases[] = {
        {0, 100, 0, 0},       {1, 1, 10000, 10000}, {100, 100, 10000, 10000}, {20, 100, 1800, 2200},
        {25, 50, 4750, 5250}, {0, 1, 0, 0},         {1, INT32_MAX, 0, 1},
    };
    struct rand_state rand;
    rand_seed(&rand, 7);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct mirror_program program = {0, cases[i].numerator, cases[i].denominator};
        unsigned chosen = 0;
        for (unsigned k = 0; k < 10000; k++)
            chosen += mirror_is_chosen(&program, &rand);
        assert_in_range(chosen, cases[i].low, cases[i].high);
    }
}

/* A table of one listener and one route with these rules, each for a path of its own. */
struct table_fixture {
    struct arena arena;
    struct model_listener listener;
    struct model_http_route route;
    struct route_table *table;
};

static void table_init(struct table_fixture *fixture, struct model_rule *rules, unsigned count)
{
    static const struct conf_rule_rare nothing;
    static struct span any[] = {{"", 0}};
    *fixture = (struct table_fixture){
        .listener = {.gateway_ns = SPAN_LIT("ns"),
                     .gateway = SPAN_LIT("gw"),
                     .name = SPAN_LIT("web"),
                     .http_count = 1},
        .route = {.ns = SPAN_LIT("ns"),
                  .name = SPAN_LIT("route"),
                  .rules = rules,
                  .rules_count = count},
    };
    struct arena *arena = &fixture->arena;
    arena_init(arena, 65536, 0, NULL);
    struct conf_http_match *matches = arena_array(arena, struct conf_http_match, count);
    for (unsigned i = 0; i < count; i++) {
        matches[i].path = arena_printf(arena, "/%u", i);
        matches[i].path_type = CONF_MATCH_EXACT;
        rules[i].name = matches[i].path;
        rules[i].matches = &matches[i];
        rules[i].matches_count = 1;
        if (rules[i].rare == NULL)
            rules[i].rare = &nothing;
    }
    struct model_attachment *attachment = arena_new(arena, struct model_attachment);
    *attachment = (struct model_attachment){&fixture->route, any, 1};
    fixture->listener.http = attachment;
    const struct model_listener *listener = &fixture->listener;
    fixture->table = route_table_compile(&listener, 1, NULL, NULL);
    assert_non_null(fixture->table);
}

static void table_fini(struct table_fixture *fixture)
{
    route_table_free(fixture->table);
    arena_fini(&fixture->arena);
}

/* Only a rule with a choice has a cursor, no two of them the same. */
static void compiles_backends(void **state UNUSED)
{
    static struct model_backend pair[] = {{.cluster = 4, .weight = 1}, {.cluster = 5, .weight = 1}};
    static struct model_backend one[] = {{.cluster = 7, .weight = 9}},
                                off[] = {{.cluster = 7, .weight = 0}},
                                lost[] = {{.cluster = -1, .weight = 1}};
    static const struct conf_rule_rare retry = {.has_retry = true};
    unsigned limit = 0;
    struct model_rule rules[] = {
        {.backends = one, .backends_count = 1},
        {.backends = pair, .backends_count = 2},
        {.backends = off, .backends_count = 1},
        {.backends = lost, .backends_count = 1},
        {.backends_count = 0},
        {.backends = pair, .backends_count = 2},
        {.rare = &retry, .limits = &limit, .limits_count = 1},
    };
    static const struct {
        uint32_t cursor;
        int only;
    } expect[] = {
        {RULE_CURSOR_NONE, 7},  {0, -1}, {RULE_CURSOR_NONE, -1}, {RULE_CURSOR_NONE, -1},
        {RULE_CURSOR_NONE, -1}, {1, -1}, {RULE_CURSOR_NONE, -1},
    };
    struct table_fixture fixture;
    uint32_t cursors = 0;
    table_init(&fixture, rules, ARRAY_COUNT(rules));
    fixture.route.has_idle_timeout = false;
    struct rule *compiled = rules_compile(fixture.table, &fixture.arena, &cursors);
    assert_int_equal(cursors, 2);
    for (unsigned i = 0; i < ARRAY_COUNT(expect); i++) {
        bool is_last = i == ARRAY_COUNT(expect) - 1;
        assert_int_equal(compiled[i].cursor, expect[i].cursor);
        assert_int_equal(compiled[i].only, expect[i].only);
        assert_int_equal(compiled[i].has_limits, is_last);
        assert_int_equal(rule_retry(&compiled[i]) != NULL, is_last);
        assert_true(compiled[i].idle_timeout_ns == RULE_IDLE_DEFAULT);
        assert_ptr_equal(compiled[i].route_rule->conf, &rules[i]);
    }
    fixture.route.has_idle_timeout = true;
    fixture.route.idle_timeout_ns = 0;
    compiled = rules_compile(fixture.table, &fixture.arena, &cursors);
    assert_true(compiled[0].idle_timeout_ns == 0);
    table_fini(&fixture);
}

/* Whether decoding a filter that sets the header gives a finding that this has no effect. */
static bool is_told_to_be_fixed(const char *filter, struct span name)
{
    char text[600];
    struct arena arena;
    struct doc_node *root;
    struct err err;
    struct diags diags;
    struct schema_output output;
    struct conf_source *source = conf_source_new("test.yaml", NULL, 0);
    snprintf(text, sizeof(text),
             "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
             "metadata: {name: x, namespace: ns}\nspec: {rules: [{filters: [{type: %c%s, "
             "%s: {set: [{name: %.*s, value: x}]}}]}]}",
             filter[0] - 'a' + 'A', filter + 1, filter, SPAN_ARG(name));
    arena_init(&arena, 65536, 0, NULL);
    diags_init(&diags);
    assert_int_equal(doc_parse(&arena, span_str(text), 1, &root, &err), 0);
    const struct schema_input input = {.root = root, .source = source, .diags = &diags};
    assert_int_equal(schema_decode(&input, &output), 0);
    assert_true(output.is_good);
    bool is_told = diags.count > 0;
    assert_true(!is_told || diags.items[0]->code == DIAG_HEADER_FIXED);
    schema_output_fini(&output);
    diags_fini(&diags);
    arena_fini(&arena);
    conf_source_unref(source);
    return is_told;
}

/* The list of such headers in conf/ is that of http/, which it may not include. */
static void tells_of_headers_that_filters_do_not_change(void **state UNUSED)
{
    for (unsigned id = HTTP_HEADER_OTHER + 1; id < HTTP_HEADER_COUNT; id++) {
        bool is_fixed = http_header_has(id, HTTP_HEADER_HOP | HTTP_HEADER_FRAMING);
        bool is_of_requests = id == HTTP_HEADER_HOST || id == HTTP_HEADER_EXPECT;
        struct span name = http_header_name(id);
        if (is_told_to_be_fixed("requestHeaderModifier", name) != (is_fixed || is_of_requests) ||
            is_told_to_be_fixed("responseHeaderModifier", name) != is_fixed)
            fail_msg("%.*s", SPAN_ARG(name));
    }
}

/* What a filter puts in place of a path has the form that paths of requests have. */
static void compiles_paths(void **state UNUSED)
{
    static const struct {
        const char *path, *expected;
    } cases[] = {
        {"", ""},       {"/", "/"},        {"/a/b/", "/a/b/"},      {"/%c3%a9", "/%C3%A9"},
        {"/%61", "/a"}, {"evil", "/evil"}, {"@a.test", "/@a.test"}, {"/a/../b", "/b"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conf_filter conf = {
            .url = {.path_mod = CONF_PATH_REPLACE_FULL, .path = span_str(cases[i].path)}};
        struct model_filter filter = {.type = MODEL_FILTER_REWRITE, .conf = &conf};
        struct model_rule rules[] = {{.filters = &filter, .filters_count = 1}};
        struct table_fixture fixture;
        uint32_t cursors = 0;
        table_init(&fixture, rules, ARRAY_COUNT(rules));
        struct rule *compiled = rules_compile(fixture.table, &fixture.arena, &cursors);
        struct span path = compiled->filters->all.steps[0].url.path;
        if (!span_equal_str(path, cases[i].expected))
            fail_msg("%s became %.*s", cases[i].path, SPAN_ARG(path));
        table_fini(&fixture);
    }
}

static unsigned count_lines(const char *text, const char *begin)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, begin)) != NULL; at++)
        count++;
    return count;
}

/* Rules beyond the number of series count together, also what they answer later; those before them
 * keep what is theirs, over a reload too. */
static void counts_many_rules(void **state UNUSED)
{
    enum { COUNT = METRIC_SERIES_MAX + 3 };
    static struct model_rule rules[COUNT];
    struct table_fixture fixture;
    uint32_t cursors = 0;
    table_init(&fixture, rules, COUNT);
    for (unsigned round = 0; round < 2; round++) {
        struct rule *compiled = rules_compile(fixture.table, &fixture.arena, &cursors);
        for (unsigned i = 0; i < COUNT; i++)
            rule_observe(&compiled[i], 200, 1);
        rule_observe(&compiled[0], 503, 1);
        rule_observe(&compiled[COUNT - 1], 503, 1);
        for (unsigned i = 0; i < COUNT; i++)
            rule_fini(&compiled[i]);
    }
    struct buf text;
    buf_init(&text, 64u << 20);
    metric_expose(&text);
    const char *all = buf_str(&text);
#define OTHER "route_namespace=\"other\",route=\"other\",rule=\"other\""
#define OWN "route_namespace=\"ns\",route=\"route\",rule=\"/0\""
    assert_int_equal(count_lines(all, OTHER ",code_class=\"other\"} 10\n"), 1);
    assert_int_equal(count_lines(all, OTHER "} 8\n"), 1);
    assert_int_equal(count_lines(all, OWN ",code_class=\"2xx\"} 2\n"), 1);
    assert_int_equal(count_lines(all, OWN "} 4\n"), 1);
    buf_fini(&text);
    table_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiles_backends),
        cmocka_unit_test(counts_many_rules),
        cmocka_unit_test(replaces_paths),
        cmocka_unit_test(replaces_what_was_replaced),
        cmocka_unit_test(compiles_paths),
        cmocka_unit_test(tells_of_headers_that_filters_do_not_change),
        cmocka_unit_test(applies_headers),
        cmocka_unit_test(chooses_mirrors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
