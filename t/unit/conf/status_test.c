/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/translate.h"
#include "t/unit/conf/conf_fixture.h"

#define NOW "2026-05-06T07:08:09Z"
#define OLD "2020-01-01T00:00:00Z"

static const char yaml[] =
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
    "metadata: {name: g, namespace: a}\n"
    "spec: {gatewayClassName: ringgate, listeners: [{name: one, port: 80, protocol: HTTP}, "
    "{name: two, port: 81, protocol: HTTP}]}\n---\n"
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
    "metadata: {name: r, namespace: a}\n"
    "spec: {parentRefs: [{name: g, sectionName: one}], rules: [{backendRefs: [{name: s, port: "
    "80}]}]}\n";

static const char without_route[] =
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
    "metadata: {name: g, namespace: a}\n"
    "spec: {gatewayClassName: ringgate, listeners: [{name: one, port: 80, protocol: HTTP}, "
    "{name: two, port: 81, protocol: HTTP}]}\n";

static struct statuses *make(struct span text)
{
    struct conf_fixture fixture;
    struct translate_options options = {.from_files = true};
    struct model *model;
    struct statuses *statuses;
    conf_fixture_init(&fixture, "x.yaml", text);
    translate(fixture.objects, &options, NULL, &model, &statuses);
    model_free(model);
    conf_fixture_fini(&fixture); /* the statuses keep what they need */
    return statuses;
}

static struct status *gateway_of(struct statuses *statuses)
{
    struct status *status =
        statuses_find(statuses, CONF_KIND_GATEWAY, SPAN_LIT("a"), SPAN_LIT("g"));
    assert_non_null(status);
    return status;
}

static void test_set(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024, 0, NULL);
    struct status_conditions conditions = {0};
    const struct status_condition set[] = {
        {"Accepted", "Accepted", SPAN_NONE, true},
        {"Programmed", "Invalid", SPAN_LIT("why"), false},
        {"ResolvedRefs", "ResolvedRefs", SPAN_NONE, true},
        {"Accepted", "Other", SPAN_LIT("m"), false},
    };
    assert_null(status_find(&conditions, "Accepted"));
    for (unsigned i = 0; i < ARRAY_COUNT(set); i++)
        status_set(&arena, &conditions, &set[i]);
    assert_int_equal(conditions.count, 3);
    assert_true(status_find(&conditions, "ResolvedRefs")->is_true);
    const struct status_condition *accepted = status_find(&conditions, "Accepted");
    assert_string_equal(accepted->reason, "Other");
    assert_false(accepted->is_true);
    arena_fini(&arena);
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        count++;
    return count;
}

/* lastTransitionTime stays where the condition's status stayed. */
static void test_transition_times(void **state)
{
    (void)state;
    struct statuses *statuses = make(SPAN_LIT(yaml));
    struct buf old, new;
    buf_init(&old, 65536);
    buf_init(&new, 65536);
    status_format(gateway_of(statuses), OLD, SPAN_NONE, &old);
    assert_int_equal(count_of(buf_str(&old), OLD), 3 + 2 * 4);
    struct status_listener_id id = {SPAN_LIT("a"), SPAN_LIT("g"), SPAN_LIT("two")};
    statuses_set_listener_unbound(statuses, &id, SPAN_LIT("port \"81\" is taken\nreally"));
    status_format(gateway_of(statuses), NOW, buf_span(&old), &new);
    /* Only Programmed of listener two changed. */
    assert_int_equal(count_of(buf_str(&new), NOW), 1);
    assert_int_equal(count_of(buf_str(&new), OLD), 3 + 2 * 4 - 1);
    const char *changed = strstr(buf_str(&new), "message: \"port \\\"81\\\" is taken\\nreally\"");
    assert_non_null(changed);
    assert_true(changed > strstr(buf_str(&new), "- name: \"two\""));
    assert_true(changed < strstr(buf_str(&new), NOW));
    buf_fini(&old);
    buf_fini(&new);
    statuses_free(statuses);
}

static void expect(const struct status_conditions *conditions, const char *type, bool is_true,
                   const char *reason)
{
    const struct status_condition *condition = status_find(conditions, type);
    assert_non_null(condition);
    assert_int_equal(condition->is_true, is_true);
    assert_string_equal(condition->reason, reason);
}

/* What later layers find out reaches the listener, and the Gateway when nothing is left. */
static void test_later_findings(void **state)
{
    (void)state;
    struct statuses *statuses = make(SPAN_LIT(yaml));
    struct status *status = gateway_of(statuses);
    struct status_listener_id one = {SPAN_LIT("a"), SPAN_LIT("g"), SPAN_LIT("one")};
    struct status_listener_id two = {SPAN_LIT("a"), SPAN_LIT("g"), SPAN_LIT("two")};
    struct status_listener_id unknown = {SPAN_LIT("a"), SPAN_LIT("x"), SPAN_LIT("two")};
    statuses_set_listener_unbound(statuses, &unknown, SPAN_LIT("m"));
    statuses_set_listener_cert_invalid(statuses, &one, true, SPAN_LIT("m"));
    expect(&status->listeners[0].conditions, "ResolvedRefs", false, "InvalidCertificateRef");
    expect(&status->listeners[0].conditions, "Programmed", true, "Programmed");
    expect(&status->conditions, "ResolvedRefs", false, "ListenersNotResolved");
    statuses_set_listener_cert_invalid(statuses, &one, false, SPAN_LIT("m"));
    expect(&status->listeners[0].conditions, "Programmed", false, "Invalid");
    expect(&status->conditions, "Programmed", true, "Programmed");
    statuses_set_listener_unbound(statuses, &two, SPAN_LIT("m"));
    expect(&status->listeners[1].conditions, "Programmed", false, "Invalid");
    expect(&status->listeners[1].conditions, "ResolvedRefs", true, "ResolvedRefs");
    expect(&status->conditions, "Programmed", false, "AddressNotUsable");
    statuses_free(statuses);
}

/* Objects that could not be decoded: what they had, or nothing but the reason. */
static void test_refused(void **state)
{
    struct objects *refused = objects_new();
    struct conf_fixture fixture;
    struct buf text, out;
    (void)state;
    conf_fixture_init(&fixture, "x.yaml", SPAN_NONE);
    for (unsigned i = 0; i < 2; i++) {
        struct conf_object *object = conf_object_new(CONF_KIND_HTTP_ROUTE);
        arena_init(&object->arena, 256, 0, NULL);
        object->ns = SPAN_LIT("a");
        object->name = i == 0 ? SPAN_LIT("r") : SPAN_LIT("new");
        object->api_version = SPAN_LIT("gateway.networking.k8s.io/v1");
        object->generation = 1;
        assert_int_equal(objects_add(refused, object, NULL), 0);
        for (unsigned k = 0; k < 2; k++)
            diag_message(diags_add(&fixture.diags, DIAG_TYPE, object, (struct conf_pos){0}),
                         "is no list (%u)", k);
        conf_object_unref(object);
    }
    objects_seal(refused);
    struct statuses *statuses = make(SPAN_LIT(yaml));
    unsigned count = statuses->count;
    statuses_add_refused(statuses, refused, &fixture.diags);
    assert_int_equal(statuses->count, count + 1);
    struct status *kept =
        statuses_find(statuses, CONF_KIND_HTTP_ROUTE, SPAN_LIT("a"), SPAN_LIT("r"));
    struct status *fresh =
        statuses_find(statuses, CONF_KIND_HTTP_ROUTE, SPAN_LIT("a"), SPAN_LIT("new"));
    expect(&kept->conditions, "Valid", false, "Invalid");
    assert_null(status_find(&kept->conditions, "Accepted"));
    assert_int_equal(kept->parents_count, 1);
    expect(&fresh->conditions, "Valid", false, "Invalid");
    expect(&fresh->conditions, "Accepted", false, "Invalid");
    buf_init(&text, 65536);
    buf_init(&out, 65536);
    status_format(kept, NOW, SPAN_NONE, &text);
    assert_non_null(strstr(buf_str(&text), "message: \"RG010 is no list (0) (and 1 more)\""));
    assert_non_null(strstr(buf_str(&text), "reason: BackendNotFound"));
    status_format(fresh, NOW, SPAN_NONE, &out);
    assert_non_null(strstr(buf_str(&out), "- type: Valid\n    status: \"False\""));
    assert_null(strstr(buf_str(&out), "parents"));
    assert_null(strstr(buf_str(&out), "observedGeneration: 0"));
    buf_fini(&text);
    buf_fini(&out);
    objects_unref(refused);
    statuses_free(statuses);
    conf_fixture_fini(&fixture);
}

static ino_t inode_of(const char *dir, const char *relative)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, relative);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

static void test_files(void **state)
{
    (void)state;
    static const char gateway_file[] = "gateway.networking.k8s.io_Gateway/a/g.yaml";
    static const char route_file[] = "gateway.networking.k8s.io_HTTPRoute/a/r.yaml";
    char dir[] = "/tmp/status_test_XXXXXX", path[512];
    struct err err;
    assert_non_null(mkdtemp(dir));
    struct statuses *statuses = make(SPAN_LIT(yaml));
    assert_int_equal(statuses_write(statuses, dir, &err), 0);
    ino_t gateway = inode_of(dir, gateway_file);
    assert_true(gateway != 0 && inode_of(dir, route_file) != 0);
    snprintf(path, sizeof(path), "%s/%s", dir, route_file);
    size_t len;
    char *text = conf_fixture_read(path, &len);
    assert_non_null(strstr(text, "      reason: BackendNotFound\n"));
    free(text);
    /* The same again: no file is replaced. */
    assert_int_equal(statuses_write(statuses, dir, &err), 0);
    assert_int_equal(inode_of(dir, gateway_file), gateway);
    statuses_free(statuses);
    /* The route is gone: its file goes, its directory too; a foreign file stays. */
    snprintf(path, sizeof(path), "%s/notes.yaml", dir);
    FILE *notes = fopen(path, "w");
    assert_non_null(notes);
    fclose(notes);
    statuses = make(SPAN_LIT(without_route));
    assert_int_equal(statuses_write(statuses, dir, &err), 0);
    assert_int_equal(inode_of(dir, route_file), 0);
    assert_int_equal(inode_of(dir, "gateway.networking.k8s.io_HTTPRoute/a"), 0);
    /* attachedRoutes changed. */
    assert_int_not_equal(inode_of(dir, gateway_file), 0);
    assert_int_not_equal(inode_of(dir, "notes.yaml"), 0);
    statuses_free(statuses);
    statuses = make(SPAN_NONE);
    assert_int_equal(statuses_write(statuses, dir, &err), 0);
    assert_int_equal(inode_of(dir, gateway_file), 0);
    statuses_free(statuses);
    unlink(path);
    static const char *const kinds[] = {"Gateway", "HTTPRoute"};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        snprintf(path, sizeof(path), "%s/gateway.networking.k8s.io_%s", dir, kinds[i]);
        assert_int_equal(rmdir(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

static void test_file_errors(void **state)
{
    (void)state;
    struct statuses *statuses = make(SPAN_LIT(yaml));
    struct err err = {0};
    assert_true(statuses_write(statuses, "/dev/null/no", &err) < 0);
    assert_non_null(strstr(err.text, "/dev/null/no"));
    statuses_free(statuses);
    statuses_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_transition_times),
        cmocka_unit_test(test_later_findings),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_file_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
