/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/history.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "t/unit/conf/conf_fixture.h"

#define SERVICES                                                                                   \
    "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 1}]}\n---\n"        \
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n---\n"                                  \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: guess}\n"

struct world {
    char dir[32], path[64];
    struct conf_fixture fixture;
};

static void setup(struct world *world)
{
    (void)snprintf(world->dir, sizeof(world->dir), "/tmp/history-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    (void)snprintf(world->path, sizeof(world->path), "%s/history", world->dir);
    conf_fixture_init(&world->fixture, "x.yaml", SPAN_LIT(SERVICES));
}

static void teardown(struct world *world)
{
    conf_fixture_fini(&world->fixture);
    (void)unlink(world->path);
    assert_int_equal(rmdir(world->dir), 0); /* nothing half-written stays */
}

static struct conf_object *object_of(struct world *world, enum conf_kind kind)
{
    unsigned count;
    const struct conf_object *const *list = objects_list(world->fixture.objects, kind, &count);
    assert_int_equal(count, 1);
    return (struct conf_object *)(uintptr_t)list[0];
}

/* A history of the fixture's objects as a process leaves it. */
static void write_history(struct world *world)
{
    struct history *history = history_new();
    struct err err;
    struct conf_object *a = object_of(world, CONF_KIND_SERVICE);
    a->created_s = 1000;
    a->generation = 7;
    history_update(history, world->fixture.objects, false);
    assert_int_equal(history_save(history, world->path, &err), 0);
    history_free(history);
}

static void survives_a_restart(void **state UNUSED)
{
    struct world world;
    struct err err;
    setup(&world);
    write_history(&world);
    struct history *history = history_new();
    assert_int_equal(history_load(history, world.path, &err), 0);
    struct conf_object *a = object_of(&world, CONF_KIND_SERVICE);
    a->created_s = 0;
    a->generation = 1;
    history_number(history, a, NULL, 5000);
    assert_int_equal(a->created_s, 1000);
    assert_int_equal(a->generation, 7);
    a->spec_digest++; /* it was changed while nobody looked */
    a->created_s = 30; /* and says when it was made */
    history_number(history, a, NULL, 5000);
    assert_int_equal(a->created_s, 30);
    assert_int_equal(a->generation, 8);
    history_free(history);
    teardown(&world);
}

static void keeps_no_hash_of_secrets(void **state UNUSED)
{
    struct world world;
    struct buf text;
    struct err err;
    setup(&world);
    write_history(&world);
    buf_init(&text, 65536);
    assert_int_equal(file_read(AT_FDCWD, world.path, 0, &text), 0);
    const char *line = strstr(buf_str(&text), "Secret default s ");
    assert_non_null(line);
    assert_int_equal(strncmp(strchr(line, '\n') - 4, " 1 0", 4), 0);
    buf_fini(&text);
    struct history *history = history_new();
    assert_int_equal(history_load(history, world.path, &err), 0);
    struct conf_object *secret = object_of(&world, CONF_KIND_SECRET);
    secret->generation = 3;
    history_number(history, secret, NULL, 1);
    assert_int_equal(secret->generation, 1); /* as it was written */
    history_free(history);
    teardown(&world);
}

/* Whatever is changed in the file, nothing of it is used. */
static void refuses_broken_files(void **state UNUSED)
{
    struct world world;
    struct buf text;
    struct err err;
    setup(&world);
    write_history(&world);
    buf_init(&text, 65536);
    assert_int_equal(file_read(AT_FDCWD, world.path, 0, &text), 0);
    for (size_t i = 0; i < text.len * 2; i++) {
        struct history *history = history_new();
        size_t at = i / 2; /* changed there, or cut */
        char kept = text.data[at];
        text.data[at] = (char)(text.data[at] ^ 1);
        struct span cut = i % 2 ? buf_span(&text) : span_make(text.data, at);
        assert_int_equal(file_replace(AT_FDCWD, world.path, cut), 0);
        text.data[at] = kept;
        if (history_load(history, world.path, &err) != -EBADMSG)
            fail_msg("byte %zu", at);
        struct conf_object *a = object_of(&world, CONF_KIND_SERVICE);
        a->created_s = 0;
        history_number(history, a, NULL, 5000);
        assert_int_equal(a->created_s, 5000);
        history_free(history);
    }
    buf_fini(&text);
    teardown(&world);
}

static void forgets_what_is_gone(void **state UNUSED)
{
    struct world world;
    struct objects *none = objects_new();
    struct err err;
    setup(&world);
    objects_seal(none);
    struct conf_object *a = object_of(&world, CONF_KIND_SERVICE);
    a->created_s = 1000;
    for (unsigned keep = 0; keep < 2; keep++) {
        struct history *history = history_new();
        history_update(history, world.fixture.objects, false);
        history_update(history, none, keep);
        a->created_s = 0;
        history_number(history, a, NULL, 5000);
        assert_int_equal(a->created_s, keep ? 1000 : 5000);
        a->created_s = 1000;
        history_free(history);
    }
    /* The file is written only when something changed. */
    struct history *history = history_new();
    history_update(history, none, false);
    assert_int_equal(history_save(history, world.path, &err), 0);
    assert_int_equal(access(world.path, F_OK), -1);
    assert_int_equal(history_load(history, world.path, &err), 0);
    history_update(history, world.fixture.objects, false);
    assert_true(history_save(history, "/dev/null/history", &err) < 0);
    assert_non_null(strstr(err.text, "/dev/null/history"));
    assert_int_equal(history_save(history, world.path, &err), 0);
    assert_int_equal(access(world.path, F_OK), 0);
    history_free(history);
    objects_unref(none);
    teardown(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_restart),
        cmocka_unit_test(keeps_no_hash_of_secrets),
        cmocka_unit_test(refuses_broken_files),
        cmocka_unit_test(forgets_what_is_gone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
