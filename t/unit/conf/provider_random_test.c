/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"
#include "conf/provider_file.h"
#include "conf/translate.h"

/* Random changes of a tree of files: what a provider makes of each change is what one makes that
 * reads all for the first time, up to the model and the statuses. */

enum { STEPS = 150, ROUTES = 24, SERVICES = 5, FILES = 6, TEXT_MAX = 1 << 22 };

struct tree {
    char dir[64];
    struct rand_state rand;
    bool is_moved; /* directory d is called e */
    int file_of[ROUTES]; /* -1: nowhere */
    unsigned version_of[ROUTES], blank_lines[FILES];
    bool has_service[SERVICES];
    struct provider_file *provider;
    struct history *history;
};

static unsigned pick(struct tree *tree, unsigned below)
{
    return rand_below(&tree->rand, below);
}

static char *path_of(const struct tree *tree, unsigned file)
{
    static const char *const names[FILES] = {"a.yaml", "b.yaml",      "/c.yaml",
                                             "/d.yml", "/sub/e.yaml", "z.yaml"};
    bool is_below = names[file][0] == '/';
    return xasprintf("%s/%s%s", tree->dir,
                     !is_below        ? ""
                     : tree->is_moved ? "e"
                                      : "d",
                     names[file]);
}

static void add_route(const struct tree *tree, unsigned route, struct buf *out)
{
    unsigned version = tree->version_of[route];
    buf_printf(out,
               "---\napiVersion: gateway.networking.k8s.io/v1\nkind: %s\nmetadata: {name: r%u}\n"
               "spec:\n  parentRefs: [{name: %s}]\n  hostnames: [h%u.test]\n  rules:\n",
               route % 5 == 4 ? "GRPCRoute" : "HTTPRoute", route,
               version % 7 == 6 ? "missing" : "edge", version % 3 == 0 ? route : 0);
    for (unsigned rule = 0; rule <= version % 3; rule++)
        buf_printf(out, "  - {backendRefs: [{name: s%u, port: 80}]}\n", (route + rule) % SERVICES);
}

static void write_file(struct tree *tree, unsigned file)
{
    struct buf text;
    unsigned count = 0;
    char *path = path_of(tree, file), *temporary = xasprintf("%s.tmp", path);
    buf_init(&text, TEXT_MAX);
    for (unsigned i = 0; i < tree->blank_lines[file]; i++)
        buf_add_str(&text, "# a line\n");
    for (unsigned i = 0; i < ROUTES; i++) {
        if (tree->file_of[i] == (int)file) {
            add_route(tree, i, &text);
            count++;
        }
    }
    bool is_atomic = pick(tree, 2) == 0;
    if (count == 0 && pick(tree, 2) == 0) {
        (void)unlink(path); /* it may not be there */
    } else {
        FILE *out = fopen(is_atomic ? temporary : path, "w");
        assert_non_null(out);
        assert_int_equal(fwrite(buf_str(&text), 1, text.len, out), text.len);
        assert_int_equal(fclose(out), 0);
        if (is_atomic)
            assert_int_equal(rename(temporary, path), 0);
    }
    buf_fini(&text);
    free(path);
    free(temporary);
}

static void write_base(struct tree *tree)
{
    char *path = xasprintf("%s/base.yaml", tree->dir);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out, "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge}\n"
                 "spec:\n  gatewayClassName: ringgate\n"
                 "  listeners: [{name: l, port: 80, protocol: HTTP}]\n");
    for (unsigned i = 0; i < SERVICES; i++) {
        if (tree->has_service[i])
            fprintf(out,
                    "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%u}\n"
                    "spec: {ports: [{port: 80}]}\n",
                    i);
    }
    assert_int_equal(fclose(out), 0);
    free(path);
}

static void make_dirs(struct tree *tree)
{
    static const char *const names[] = {"d", "d/sub"};
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        char *path = xasprintf("%s/%s", tree->dir, names[i]);
        assert_int_equal(mkdir(path, 0755), 0);
        free(path);
    }
}

static void move_dir(struct tree *tree)
{
    char *d = xasprintf("%s/d", tree->dir), *e = xasprintf("%s/e", tree->dir);
    assert_int_equal(tree->is_moved ? rename(e, d) : rename(d, e), 0);
    tree->is_moved = !tree->is_moved;
    free(d);
    free(e);
}

static void change_route(struct tree *tree)
{
    unsigned route = pick(tree, ROUTES);
    int from = tree->file_of[route];
    if (pick(tree, 2) == 0)
        tree->version_of[route]++;
    else
        tree->file_of[route] = (int)pick(tree, FILES + 1) - 1;
    if (from >= 0)
        write_file(tree, (unsigned)from);
    if (tree->file_of[route] >= 0 && tree->file_of[route] != from)
        write_file(tree, (unsigned)tree->file_of[route]);
}

static void change(struct tree *tree)
{
    unsigned file = pick(tree, FILES), service = pick(tree, SERVICES);
    switch (pick(tree, 12)) {
    case 0:
        move_dir(tree);
        break;
    case 1:
        tree->has_service[service] = !tree->has_service[service];
        write_base(tree);
        break;
    case 2:
        tree->blank_lines[file] = pick(tree, 9);
        write_file(tree, file);
        break;
    default:
        change_route(tree);
    }
}

static void print_findings(struct diags *diags, struct buf *out)
{
    diags_sort(diags);
    for (unsigned i = 0; i < diags->count; i++) {
        const struct diag *diag = diags->items[i];
        buf_printf(out, "%s %s %s %s:%u:%u %s\n", diag_code_text(diag->code), diag->object,
                   diag->field, diag->source != NULL ? diag->source->path : "", diag->pos.line,
                   diag->pos.column, diag->message);
    }
}

/* All that a load leads to, as text. */
static void load(struct provider_file *provider, struct history *history, struct buf *out)
{
    struct diags diags;
    struct objects *set;
    struct model *model;
    struct statuses *statuses;
    struct translate_options options = {.from_files = true, .generation = 1};
    diags_init(&diags);
    (void)provider_file_load(provider, &diags, &set);
    if (history != NULL)
        history_update(history, set, false);
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        unsigned count;
        const struct conf_object *const *list = objects_list(set, (enum conf_kind)kind, &count);
        for (unsigned i = 0; i < count; i++)
            buf_printf(out, "%s %.*s %llx %u %s\n", conf_kind_name(list[i]->kind),
                       SPAN_ARG(list[i]->name), (unsigned long long)list[i]->digest,
                       list[i]->pos.line, list[i]->source->path);
    }
    translate(set, &options, &diags, &model, &statuses);
    model_dump(model, out);
    for (unsigned i = 0; i < statuses->count; i++)
        status_format(&statuses->items[i], "now", SPAN_NONE, out);
    print_findings(&diags, out);
    statuses_free(statuses);
    model_free(model);
    objects_unref(set);
    diags_fini(&diags);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void step(struct tree *tree)
{
    const char *paths[] = {tree->dir};
    struct provider_file *fresh;
    struct err err;
    struct buf step, whole;
    buf_init(&step, TEXT_MAX);
    buf_init(&whole, TEXT_MAX);
    for (unsigned i = pick(tree, 4); i > 0; i--)
        change(tree);
    load(tree->provider, tree->history, &step);
    if (pick(tree, 2) == 0)
        provider_file_forget_text(tree->provider);
    assert_int_equal(provider_file_new(&fresh, paths, 1, &err), 0);
    provider_file_set_history(fresh, tree->history);
    load(fresh, NULL, &whole);
    assert_true(step.len > 0);
    assert_string_equal(buf_str(&step), buf_str(&whole));
    provider_file_free(fresh);
    buf_fini(&step);
    buf_fini(&whole);
}

static void test_random(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 3; seed++) {
        struct tree tree = {.dir = "/tmp/ringgate-test-XXXXXX", .history = history_new()};
        struct err err;
        rand_seed(&tree.rand, seed);
        assert_non_null(mkdtemp(tree.dir));
        const char *paths[] = {tree.dir};
        make_dirs(&tree);
        for (unsigned i = 0; i < ROUTES; i++)
            tree.file_of[i] = (int)(i % FILES);
        for (unsigned i = 0; i < FILES; i++)
            write_file(&tree, i);
        write_base(&tree);
        assert_int_equal(provider_file_new(&tree.provider, paths, 1, &err), 0);
        provider_file_set_history(tree.provider, tree.history);
        for (unsigned i = 0; i < STEPS; i++)
            step(&tree);
        provider_file_free(tree.provider);
        history_free(tree.history);
        (void)nftw(tree.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
