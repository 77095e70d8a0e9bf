/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/objects.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct conf_object *make(enum conf_kind kind, const char *ns, const char *name,
                                uint64_t created_s)
{
    struct conf_object *obj = conf_object_new(kind);
    arena_init(&obj->arena, 256, 0, NULL);
    obj->ns = span_str(ns);
    obj->name = span_str(name);
    obj->created_s = created_s;
    return obj;
}

static void add(struct objects *set, struct conf_object *obj)
{
    assert_int_equal(objects_add(set, obj, NULL), 0);
    conf_object_unref(obj);
}

static void test_kinds(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONF_KIND_COUNT; i++) {
        enum conf_kind kind = (enum conf_kind)i;
        assert_int_equal(conf_kind_find(span_str(conf_kind_group(kind)),
                                        span_str(conf_kind_name(kind))),
                         kind);
    }
    assert_int_equal(conf_kind_find(SPAN_LIT("networking.istio.io"), SPAN_LIT("Gateway")),
                     CONF_KIND_NONE);
    assert_int_equal(conf_kind_find(SPAN_LIT(""), SPAN_LIT("HTTPRoute")), CONF_KIND_NONE);
    assert_false(conf_kind_is_namespaced(CONF_KIND_GATEWAY_CLASS));
    assert_false(conf_kind_is_namespaced(CONF_KIND_NAMESPACE));
    assert_true(conf_kind_is_namespaced(CONF_KIND_SECRET));
}

static void test_find_and_order(void **state)
{
    (void)state;
    struct objects *set = objects_new();
    add(set, make(CONF_KIND_HTTP_ROUTE, "b", "x", 0));
    add(set, make(CONF_KIND_HTTP_ROUTE, "a", "y", 0));
    add(set, make(CONF_KIND_HTTP_ROUTE, "a", "x", 0));
    add(set, make(CONF_KIND_HTTP_ROUTE, "z", "old", 5));
    add(set, make(CONF_KIND_HTTP_ROUTE, "z", "older", 4));
    add(set, make(CONF_KIND_GATEWAY, "a", "x", 0));
    add(set, make(CONF_KIND_NAMESPACE, "", "a", 0));

    struct conf_object *twice = make(CONF_KIND_HTTP_ROUTE, "a", "x", 9), *other = NULL;
    assert_int_equal(objects_add(set, twice, &other), -EEXIST);
    assert_true(other != twice && other->created_s == 0);
    conf_object_unref(twice);
    objects_seal(set);

    static const char *const names[] = {"x", "y", "x", "older", "old"};
    unsigned count;
    const struct conf_object *const *list = objects_list(set, CONF_KIND_HTTP_ROUTE, &count);
    assert_int_equal(count, ARRAY_COUNT(names));
    for (unsigned i = 0; i < count; i++)
        assert_true(span_equal_str(list[i]->name, names[i]));
    assert_true(span_equal_str(list[2]->ns, "b"));
    assert_int_equal(objects_count(set), 7);

    assert_non_null(objects_find(set, CONF_KIND_GATEWAY, SPAN_LIT("a"), SPAN_LIT("x")));
    assert_null(objects_find(set, CONF_KIND_GATEWAY, SPAN_LIT("b"), SPAN_LIT("x")));
    assert_null(objects_find(set, CONF_KIND_SECRET, SPAN_LIT("a"), SPAN_LIT("x")));
    /* The namespace of a cluster-scoped kind does not count. */
    assert_non_null(objects_find(set, CONF_KIND_NAMESPACE, SPAN_LIT("q"), SPAN_LIT("a")));
    objects_list(set, CONF_KIND_SECRET, &count);
    assert_int_equal(count, 0);
    objects_unref(set);
}

static void test_slices(void **state)
{
    static struct conf_endpoint_slice a = {.service_name = {"up", 2}};
    static struct conf_endpoint_slice b = {.service_name = {"upper", 5}};
    static const struct {
        const char *ns, *service;
        unsigned count;
    } cases[] = {
        {"one", "up", 2}, {"two", "up", 1},   {"one", "upper", 1},
        {"two", "upper", 0}, {"one", "u", 0}, {"zzz", "up", 0},
    };
    (void)state;
    struct objects *set = objects_new();
    struct conf_object *slices[] = {
        make(CONF_KIND_ENDPOINT_SLICE, "one", "s3", 0),
        make(CONF_KIND_ENDPOINT_SLICE, "two", "s1", 0),
        make(CONF_KIND_ENDPOINT_SLICE, "one", "s1", 0),
        make(CONF_KIND_ENDPOINT_SLICE, "one", "s2", 0),
    };
    slices[0]->endpoint_slice = slices[1]->endpoint_slice = slices[2]->endpoint_slice = &a;
    slices[3]->endpoint_slice = &b;
    for (unsigned i = 0; i < ARRAY_COUNT(slices); i++)
        add(set, slices[i]);
    objects_seal(set);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        unsigned count;
        const struct conf_object *const *list =
            objects_slices(set, span_str(cases[i].ns), span_str(cases[i].service), &count);
        assert_int_equal(count, cases[i].count);
        assert_true(count == 0 || span_equal_str(list[0]->ns, cases[i].ns));
    }
    objects_unref(set);
}

/* An object outlives the set it came from when another one holds it. */
static void test_lifetime(void **state)
{
    (void)state;
    struct objects *first = objects_new(), *second = objects_new();
    struct conf_object *obj = make(CONF_KIND_GATEWAY, "a", "x", 0);
    struct conf_source *source = conf_source_new("file.yaml", strdup("text"), 4);
    obj->source = conf_source_ref(source);
    conf_source_unref(source);
    assert_int_equal(objects_add(first, obj, NULL), 0);
    assert_int_equal(objects_add(second, obj, NULL), 0);
    conf_object_unref(obj);
    objects_seal(first);
    objects_seal(second);
    objects_unref(objects_ref(first));
    objects_unref(first);
    const struct conf_object *found =
        objects_find(second, CONF_KIND_GATEWAY, SPAN_LIT("a"), SPAN_LIT("x"));
    assert_string_equal(found->source->path, "file.yaml");
    objects_unref(second);
    objects_unref(NULL);
    conf_object_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_find_and_order),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_lifetime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
