/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/provider_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "conf/doc.h"

/* A provider over a directory of its own, with the kernel's inotify. */
struct world {
    char dir[64];
    struct provider_file *provider;
    struct objects *set;
    struct diags diags;
    bool differs;
};

static struct world *world_new(const char *below)
{
    struct world *world = calloc(1, sizeof(*world));
    struct err err;
    assert_non_null(world);
    (void)snprintf(world->dir, sizeof(world->dir), "/tmp/ringgate-test-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    char *root = xasprintf("%s%s", world->dir, below);
    const char *paths[] = {root};
    assert_int_equal(provider_file_new(&world->provider, paths, 1, &err), 0);
    free(root);
    return world;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void world_free(struct world *world)
{
    diags_fini(&world->diags);
    objects_unref(world->set);
    provider_file_free(world->provider);
    (void)nftw(world->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(world);
}

static void put(struct world *world, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", world->dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static void make_dir(struct world *world, const char *name)
{
    char *path = xasprintf("%s/%s", world->dir, name);
    assert_int_equal(mkdir(path, 0755), 0);
    free(path);
}

static void load(struct world *world)
{
    diags_fini(&world->diags);
    objects_unref(world->set);
    world->set = NULL;
    world->differs = provider_file_load(world->provider, &world->diags, &world->set);
    diags_sort(&world->diags);
}

/* Waits for the kernel to tell of a change, then loads. */
static void wait_and_load(struct world *world)
{
    uint64_t delay_ns;
    struct pollfd fd = {.fd = provider_file_fd(world->provider), .events = POLLIN};
    for (;;) {
        assert_int_equal(poll(&fd, 1, 20000), 1);
        if (provider_file_poll(world->provider, clock_mono_ns(), &delay_ns))
            break;
    }
    assert_true(delay_ns <= 20 * NS_PER_MS);
    load(world);
}

static void expect_findings(const struct world *world, const char *codes)
{
    struct buf out;
    buf_init(&out, 4096);
    for (unsigned i = 0; i < world->diags.count; i++)
        buf_printf(&out, "%s%s", i > 0 ? " " : "", diag_code_text(world->diags.items[i]->code));
    if (!span_equal_str(buf_span(&out), codes)) {
        buf_reset(&out);
        diags_print(&world->diags, &out, false);
        fail_msg("expected %s, found:\n%s", codes, buf_str(&out));
    }
    buf_fini(&out);
}

static const struct conf_object *find(const struct world *world, enum conf_kind kind,
                                      const char *name)
{
    return objects_find(world->set, kind, SPAN_LIT("default"), span_str(name));
}

#define SERVICE(name, port)                                                                        \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name "}\nspec: {ports: [{port: " port "}]}\n"

static unsigned port_of(const struct world *world, const char *name)
{
    const struct conf_object *obj = find(world, CONF_KIND_SERVICE, name);
    return obj != NULL ? obj->service->ports[0].port : 0;
}

static void test_tree(void **state)
{
    (void)state;
    struct world *world = world_new("");
    make_dir(world, "sub");
    make_dir(world, ".hidden");
    put(world, "a.yaml", SERVICE("a", "1") "---\n" SERVICE("b", "2"));
    put(world, "sub/c.json",
        "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", "
        "\"kind\": \"Service\", \"metadata\": {\"name\": \"c\"}, \"spec\": {}}]}");
    put(world, "sub/d.yml", "\xef\xbb\xbf" SERVICE("d", "4"));
    put(world, ".e.yaml", "nonsense");
    put(world, ".hidden/f.yaml", "nonsense");
    put(world, "g.yaml~", "nonsense");
    put(world, "h.yaml.swp", "nonsense");
    put(world, "i.txt", "nonsense");
    put(world, "j.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n"
                         "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b}\n");
    load(world);
    expect_findings(world, "RG006");
    assert_true(world->differs);
    assert_int_equal(objects_count(world->set), 4);
    assert_int_equal(port_of(world, "b"), 2);
    assert_int_equal(port_of(world, "d"), 4);
    assert_int_equal(find(world, CONF_KIND_SERVICE, "b")->pos.line, 6);

    load(world);
    assert_false(world->differs);
    expect_findings(world, "RG006");
    world_free(world);
}

static void test_changes(void **state)
{
    (void)state;
    struct world *world = world_new("");
    put(world, "a.yaml", SERVICE("a", "1") "---\n" SERVICE("b", "2"));
    load(world);
    const struct conf_object *a = find(world, CONF_KIND_SERVICE, "a");
    const struct conf_object *b = find(world, CONF_KIND_SERVICE, "b");
    assert_int_equal(b->generation, 1);

    /* Only what changed is another object; what did not has moved. */
    put(world, "a.yaml", "# one\n# two\n---\n" SERVICE("a", "11") "---\n" SERVICE("b", "2"));
    wait_and_load(world);
    assert_true(world->differs);
    assert_int_equal(port_of(world, "a"), 11);
    assert_int_equal(find(world, CONF_KIND_SERVICE, "a")->generation, 2);
    assert_ptr_equal(find(world, CONF_KIND_SERVICE, "b"), b);
    assert_int_equal(b->pos.line, 9);
    assert_ptr_not_equal(find(world, CONF_KIND_SERVICE, "a"), a);

    /* Another text of the same spec is no new generation. */
    put(world, "a.yaml", "# comment\n" SERVICE("a", " 11") "---\n" SERVICE("b", "2"));
    wait_and_load(world);
    assert_int_equal(find(world, CONF_KIND_SERVICE, "a")->generation, 2);

    /* A new file, a new directory, a rename, an end. */
    put(world, "b.yaml", SERVICE("c", "3"));
    wait_and_load(world);
    assert_int_equal(port_of(world, "c"), 3);
    char *from = xasprintf("%s/b.yaml", world->dir), *to = xasprintf("%s/b.txt", world->dir);
    assert_int_equal(rename(from, to), 0);
    wait_and_load(world);
    assert_int_equal(port_of(world, "c"), 0);
    assert_int_equal(rename(to, from), 0);
    wait_and_load(world);
    assert_int_equal(port_of(world, "c"), 3);
    assert_int_equal(unlink(from), 0);
    wait_and_load(world);
    assert_int_equal(port_of(world, "c"), 0);
    free(from);
    free(to);
    make_dir(world, "sub");
    wait_and_load(world);
    put(world, "sub/x.yaml", SERVICE("x", "5"));
    wait_and_load(world);
    assert_int_equal(port_of(world, "x"), 5);
    expect_findings(world, "");
    world_free(world);
}

/* Files that do not concern us are no reason to load. */
static void test_other_files(void **state)
{
    uint64_t delay_ns;
    (void)state;
    struct world *world = world_new("");
    put(world, "a.yaml", SERVICE("a", "1"));
    load(world);
    put(world, "access.log", "line\n");
    assert_false(provider_file_poll(world->provider, clock_mono_ns(), &delay_ns));
    put(world, "a.yaml", SERVICE("a", "2"));
    assert_true(provider_file_poll(world->provider, 1000 * NS_PER_MS, &delay_ns));
    assert_int_equal(delay_ns, 20 * NS_PER_MS);
    /* Writes go on: the load waits, but not for ever. */
    put(world, "a.yaml", SERVICE("a", "3"));
    assert_true(provider_file_poll(world->provider, 1015 * NS_PER_MS, &delay_ns));
    assert_int_equal(delay_ns, 20 * NS_PER_MS);
    put(world, "a.yaml", SERVICE("a", "4"));
    assert_true(provider_file_poll(world->provider, 1195 * NS_PER_MS, &delay_ns));
    assert_int_equal(delay_ns, 5 * NS_PER_MS);
    assert_true(provider_file_poll(world->provider, 1300 * NS_PER_MS, &delay_ns));
    assert_int_equal(delay_ns, 0);
    load(world);
    assert_int_equal(port_of(world, "a"), 4);
    assert_false(provider_file_poll(world->provider, 1400 * NS_PER_MS, &delay_ns));
    world_free(world);
}

static void test_last_good(void **state)
{
    (void)state;
    struct world *world = world_new("");
    put(world, "a.yaml", SERVICE("a", "1") "---\n" SERVICE("b", "2") "---\n" SERVICE("c", "3"));
    load(world);

    /* An object with an error stays as it was; its neighbours change. */
    put(world, "a.yaml",
        SERVICE("a", "99999") "---\n" SERVICE("b", "22") "---\n" SERVICE("c", "3"));
    load(world);
    expect_findings(world, "RG011");
    assert_non_null(strstr(world->diags.items[0]->consequence, "last good"));
    assert_int_equal(port_of(world, "a"), 1);
    assert_int_equal(port_of(world, "b"), 22);

    /* A document that cannot be parsed: whatever it defined stays. */
    put(world, "a.yaml", SERVICE("a", "11") "---\n{{{\n---\n" SERVICE("c", "33"));
    load(world);
    expect_findings(world, "RG001");
    assert_int_equal(world->diags.items[0]->pos.line, 6);
    assert_int_equal(port_of(world, "a"), 11);
    assert_int_equal(port_of(world, "b"), 22);
    assert_int_equal(port_of(world, "c"), 33);
    load(world);
    assert_int_equal(port_of(world, "b"), 22);
    assert_false(world->differs);
    put(world, "a.yaml", SERVICE("a", "11") "---\n{{{ \n---\n" SERVICE("c", "33"));
    load(world);
    assert_true(world->differs); /* what is refused may be another thing */

    /* Half a file, as a writer leaves it for a moment. */
    put(world, "a.yaml", SERVICE("a", "12") "---\napiVersion: v1\nkind: [Serv");
    load(world);
    assert_int_equal(port_of(world, "a"), 12);
    assert_int_equal(port_of(world, "b"), 22);
    assert_int_equal(port_of(world, "c"), 33);

    /* Whole again: what is not there is gone. */
    put(world, "a.yaml", SERVICE("a", "13"));
    load(world);
    expect_findings(world, "");
    assert_int_equal(port_of(world, "a"), 13);
    assert_int_equal(port_of(world, "b"), 0);
    assert_int_equal(objects_count(world->set), 1);
    world_free(world);
}

static void test_twice(void **state)
{
    (void)state;
    struct world *world = world_new("");
    put(world, "a.yaml", SERVICE("a", "1"));
    load(world);
    put(world, "b.yaml", SERVICE("a", "2") "---\n" SERVICE("b", "3") "---\n" SERVICE("b", "4"));
    load(world);
    expect_findings(world, "RG009 RG009 RG009 RG009");
    assert_non_null(strstr(world->diags.items[0]->message, "b.yaml, line 1"));
    assert_non_null(strstr(world->diags.items[1]->message, "a.yaml, line 1"));
    assert_null(strstr(world->diags.items[0]->message, "neither"));
    assert_non_null(strstr(world->diags.items[0]->consequence, "last good version stays"));
    assert_non_null(strstr(world->diags.items[2]->message, "neither is used"));
    /* Known before: it stays. Never known: neither is used. */
    assert_int_equal(port_of(world, "a"), 1);
    assert_int_equal(port_of(world, "b"), 0);
    load(world);
    assert_int_equal(port_of(world, "a"), 1);

    char *path = xasprintf("%s/a.yaml", world->dir);
    assert_int_equal(unlink(path), 0);
    free(path);
    load(world);
    assert_int_equal(port_of(world, "a"), 2);
    world_free(world);
}

/* Ages and generations come from the history, refused objects are named. */
static void test_history(void **state)
{
    (void)state;
    struct world *world = world_new("");
    struct history *history = history_new();
    put(world, "a.yaml", SERVICE("a", "1") "---\n" SERVICE("b", "2"));
    load(world);
    const struct conf_object *a = find(world, CONF_KIND_SERVICE, "a");
    uint64_t created_s = a->created_s;
    assert_true(created_s > 1500000000);
    put(world, "a.yaml", SERVICE("a", "3") "---\n" SERVICE("b", "2"));
    wait_and_load(world);
    assert_int_equal(find(world, CONF_KIND_SERVICE, "a")->generation, 2);
    assert_int_equal(find(world, CONF_KIND_SERVICE, "a")->created_s, created_s);
    assert_int_equal(objects_count(provider_file_refused(world->provider)), 0);
    history_update(history, world->set, false);

    /* Another process: nothing changed of a, b is another one and then broken. */
    struct world *next = world_new("");
    put(next, "a.yaml", SERVICE("a", "3") "---\n" SERVICE("b", "4"));
    provider_file_set_history(next->provider, history);
    load(next);
    assert_int_equal(find(next, CONF_KIND_SERVICE, "a")->generation, 2);
    assert_int_equal(find(next, CONF_KIND_SERVICE, "b")->generation, 2);
    put(next, "a.yaml", SERVICE("a", "3") "---\n" SERVICE("b", "[]"));
    wait_and_load(next);
    struct objects *refused = provider_file_refused(next->provider);
    assert_int_equal(objects_count(refused), 1);
    assert_non_null(objects_find(refused, CONF_KIND_SERVICE, SPAN_LIT("default"), SPAN_LIT("b")));
    assert_int_equal(find(next, CONF_KIND_SERVICE, "b")->generation, 2);
    world_free(next);
    world_free(world);
    history_free(history);
}

/* How Kubernetes mounts a ConfigMap: x.yaml -> ..data/x.yaml, ..data -> ..1. */
static void test_symlink_swap(void **state)
{
    uint64_t delay_ns;
    (void)state;
    struct world *world = world_new("");
    make_dir(world, "..1");
    make_dir(world, "..2");
    put(world, "..1/x.yaml", SERVICE("x", "1"));
    put(world, "..2/x.yaml", SERVICE("x", "2"));
    char *data = xasprintf("%s/..data", world->dir), *next = xasprintf("%s/..next", world->dir);
    char *link = xasprintf("%s/x.yaml", world->dir), *loop = xasprintf("%s/loop", world->dir);
    assert_int_equal(symlink("..1", data), 0);
    assert_int_equal(symlink("..data/x.yaml", link), 0);
    assert_int_equal(symlink(".", loop), 0);
    load(world);
    /* The loop ends at the depth limit: the file is found under nine names. */
    assert_int_equal(unlink(loop), 0);
    load(world);
    expect_findings(world, "");
    assert_int_equal(port_of(world, "x"), 1);
    assert_int_equal(symlink("..2", next), 0);
    assert_int_equal(rename(next, data), 0);
    wait_and_load(world);
    assert_int_equal(port_of(world, "x"), 2);
    /* The file that the links lead to is watched as well. */
    put(world, "..2/x.yaml", SERVICE("x", "3"));
    wait_and_load(world);
    assert_int_equal(port_of(world, "x"), 3);
    put(world, "..2/beside.yaml", SERVICE("y", "3"));
    assert_false(provider_file_poll(world->provider, clock_mono_ns(), &delay_ns));
    free(data);
    free(next);
    free(link);
    free(loop);
    world_free(world);
}

#define SECRET_FILES                                                                               \
    "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata:\n  name: s\n"                \
    "  annotations:\n"                                                                             \
    "    ringgate.dev/files: '{\"tls.crt\": \"pem/c.pem\", \"tls.key\": \"pem/k.pem\"}'\n"
#define KEY "-----BEGIN PRIVATE KEY-----\n"

static void test_data_files(void **state)
{
    (void)state;
    struct world *world = world_new("/conf.d");
    make_dir(world, "conf.d");
    make_dir(world, "pem");
    put(world, "conf.d/s.yaml", SECRET_FILES);
    put(world, "pem/c.pem", "certificate 1");
    load(world);
    expect_findings(world, "RG022");
    assert_null(find(world, CONF_KIND_SECRET, "s"));

    put(world, "pem/k.pem", KEY);
    char *key = xasprintf("%s/pem/k.pem", world->dir);
    assert_int_equal(chmod(key, 0644), 0);
    load(world);
    expect_findings(world, "RG022");
    assert_non_null(strstr(world->diags.items[0]->hint, "chmod 600"));

    assert_int_equal(chmod(key, 0600), 0);
    wait_and_load(world);
    expect_findings(world, "");
    const struct conf_object *secret = find(world, CONF_KIND_SECRET, "s");
    assert_non_null(secret);
    assert_true(span_equal_str(secret->secret->data[0].value, "certificate 1"));
    load(world);
    assert_false(world->differs);
    assert_ptr_equal(find(world, CONF_KIND_SECRET, "s"), secret);

    /* A renewed certificate is a new generation; a broken one leaves the last. */
    put(world, "pem/c.pem", "certificate 2");
    wait_and_load(world);
    assert_true(world->differs);
    secret = find(world, CONF_KIND_SECRET, "s");
    assert_int_equal(secret->generation, 2);
    assert_true(span_equal_str(secret->secret->data[0].value, "certificate 2"));
    assert_int_equal(unlink(key), 0);
    wait_and_load(world);
    expect_findings(world, "RG022");
    assert_ptr_equal(find(world, CONF_KIND_SECRET, "s"), secret);
    free(key);
    world_free(world);
}

/* Whatever the path tries, it stays below the directory. */
static void test_data_escape(void **state)
{
    static const char *const paths[] = {"../c.pem",    "pem/../../c.pem", "/etc/hostname",
                                        "link/passwd", "absolute",        "pem", ""};
    (void)state;
    struct world *world = world_new("/conf.d");
    make_dir(world, "conf.d");
    make_dir(world, "pem");
    char *link = xasprintf("%s/link", world->dir), *absolute = xasprintf("%s/absolute", world->dir);
    assert_int_equal(symlink("../../etc", link), 0);
    assert_int_equal(symlink("/etc/hostname", absolute), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(paths); i++) {
        char *text = xasprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, annotations: "
                               "{ringgate.dev/files: '{\"a\": \"%s\"}'}}\n", paths[i]);
        put(world, "conf.d/m.yaml", text);
        free(text);
        load(world);
        if (world->diags.errors != 1 || find(world, CONF_KIND_CONFIG_MAP, "m") != NULL)
            fail_msg("%s", paths[i]);
    }
    free(link);
    free(absolute);
    world_free(world);
}

static void test_pem_directory(void **state)
{
    (void)state;
    struct world *world = world_new("");
    make_dir(world, "tls");
    make_dir(world, "tls/shop");
    make_dir(world, "tls/shop/web");
    make_dir(world, "tls/shop/bot");
    make_dir(world, "tls/shop/empty");
    put(world, "tls/shop/web/tls.crt", "crt");
    put(world, "tls/shop/web/tls.key", "key");
    put(world, "tls/shop/bot/fullchain.pem", "chain");
    put(world, "tls/shop/bot/privkey.pem", "key");
    load(world);
    expect_findings(world, "");
    assert_int_equal(objects_count(world->set), 2);
    const struct conf_object *bot =
        objects_find(world->set, CONF_KIND_SECRET, SPAN_LIT("shop"), SPAN_LIT("bot"));
    assert_true(span_equal_str(bot->secret->data[0].value, "chain"));
    put(world, "tls/shop/bot/fullchain.pem", "chain 2");
    wait_and_load(world);
    bot = objects_find(world->set, CONF_KIND_SECRET, SPAN_LIT("shop"), SPAN_LIT("bot"));
    assert_true(span_equal_str(bot->secret->data[0].value, "chain 2"));
    world_free(world);
}

/* A root that is a file, is missing, cannot be read, comes back. */
static void test_root_file(void **state)
{
    uint64_t delay_ns;
    (void)state;
    struct world *world = world_new("/only.conf");
    char *path = xasprintf("%s/only.conf", world->dir);
    load(world);
    expect_findings(world, "RG005");
    put(world, "only.conf", SERVICE("a", "1"));
    wait_and_load(world);
    expect_findings(world, "");
    assert_int_equal(port_of(world, "a"), 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("only.conf", path), 0); /* ELOOP: cannot be read */
    load(world);
    expect_findings(world, "RG005");
    assert_int_equal(port_of(world, "a"), 1);
    assert_int_equal(unlink(path), 0);
    load(world);
    expect_findings(world, "RG005");
    assert_non_null(strstr(world->diags.items[0]->consequence, "stays in force"));
    assert_int_equal(port_of(world, "a"), 1);
    assert_true(provider_file_is_waiting(world->provider));
    assert_false(provider_file_retry(world->provider, clock_mono_ns()));
    put(world, "only.conf", SERVICE("a", "2"));
    assert_true(provider_file_retry(world->provider, clock_mono_ns()));
    wait_and_load(world);
    expect_findings(world, "");
    assert_int_equal(port_of(world, "a"), 2);
    assert_false(provider_file_is_waiting(world->provider));
    put(world, "beside.conf", SERVICE("a", "3"));
    assert_false(provider_file_poll(world->provider, clock_mono_ns(), &delay_ns));
    free(path);
    world_free(world);
}

/* Directories that cannot be looked at for a while: what they gave stays. */
static const struct away {
    const char *name, *path; /* what goes, below the directory */
    bool is_denied; /* may not be read, else: is renamed */
    const char *message;
} aways[] = {
    {"the root is renamed", "/conf.d", false, "No such file"},
    {"the root may not be read", "/conf.d", true, "Permission denied"},
    {"what the root is in is renamed", "", false, "No such file"},
    {"a directory may not be read", "/conf.d/sub", true, "Permission denied"},
    {"a directory of certificates may not be read", "/tls/ns", true, "Permission denied"},
};

/* Root may read all. */
static void be_root(bool is_root)
{
    if (getuid() == 0)
        assert_int_equal(seteuid(is_root ? 0 : 65534), 0);
}

static void expect_all(const struct world *world)
{
    assert_int_equal(port_of(world, "a"), 1);
    assert_int_equal(port_of(world, "b"), 2);
    assert_int_equal(objects_count(world->set), 3);
}

static void try_away(const struct away *away)
{
    struct world *world = world_new("/conf.d");
    char *path = xasprintf("%s%s", world->dir, away->path), *other = xasprintf("%s-away", path);
    assert_int_equal(chmod(world->dir, 0755), 0);
    make_dir(world, "conf.d");
    make_dir(world, "conf.d/sub");
    make_dir(world, "tls");
    make_dir(world, "tls/ns");
    make_dir(world, "tls/ns/name");
    put(world, "tls/ns/name/tls.crt", "crt");
    put(world, "tls/ns/name/tls.key", "key");
    put(world, "conf.d/a.yaml", SERVICE("a", "1"));
    put(world, "conf.d/sub/b.yaml", SERVICE("b", "2"));
    load(world);
    expect_findings(world, "");
    expect_all(world);
    assert_int_equal(away->is_denied ? chmod(path, 0) : rename(path, other), 0);
    be_root(false);
    for (unsigned i = 0; i < 2; i++) {
        provider_file_walk(world->provider);
        load(world);
        expect_all(world);
        assert_true(world->diags.count >= 1);
        const struct diag *diag = world->diags.items[0];
        if (strstr(diag->message, away->message) == NULL ||
            strstr(diag->consequence, "stays in force") == NULL)
            fail_msg("%s: %s, %s", away->name, diag->message, diag->consequence);
        assert_true(provider_file_is_waiting(world->provider));
        assert_false(provider_file_retry(world->provider, clock_mono_ns()));
    }
    be_root(true);
    assert_int_equal(away->is_denied ? chmod(path, 0755) : rename(other, path), 0);
    assert_true(provider_file_retry(world->provider, clock_mono_ns()));
    put(world, "conf.d/sub/b.yaml", SERVICE("b", "3"));
    load(world);
    expect_findings(world, "");
    assert_int_equal(port_of(world, "b"), 3);
    assert_int_equal(objects_count(world->set), 3);
    assert_false(provider_file_is_waiting(world->provider));
    free(other);
    free(path);
    world_free(world);
}

static void test_away(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(aways); i++)
        try_away(&aways[i]);
}

/* What is no longer in a directory that can be read is gone: directory, link; not its target. */
static void test_gone(void **state)
{
    (void)state;
    struct world *world = world_new("");
    char *link = xasprintf("%s/link", world->dir), *to = xasprintf("%s/.to", world->dir);
    char *other = xasprintf("%s/.other", world->dir), *sub = xasprintf("%s/sub", world->dir);
    make_dir(world, ".to");
    make_dir(world, "sub");
    put(world, "sub/a.yaml", SERVICE("a", "1"));
    put(world, ".to/b.yaml", SERVICE("b", "2"));
    assert_int_equal(symlink(".to", link), 0);
    load(world);
    assert_int_equal(objects_count(world->set), 2);
    assert_int_equal(rename(to, other), 0);
    wait_and_load(world);
    expect_findings(world, "RG005");
    assert_int_equal(objects_count(world->set), 2);
    assert_int_equal(unlink(link), 0);
    wait_and_load(world);
    expect_findings(world, "");
    assert_int_equal(port_of(world, "b"), 0);
    assert_int_equal(rename(sub, to), 0);
    wait_and_load(world);
    expect_findings(world, "");
    assert_int_equal(objects_count(world->set), 0);
    free(sub);
    free(other);
    free(to);
    free(link);
    world_free(world);
}

/* No descriptor for a directory, a file or a data file. */
static void test_no_descriptors(void **state)
{
    (void)state;
    struct world *world = world_new("");
    struct rlimit old, none;
    make_dir(world, "tls");
    make_dir(world, "tls/ns");
    make_dir(world, "tls/ns/name");
    put(world, "tls/ns/name/tls.crt", "crt");
    put(world, "tls/ns/name/tls.key", "key");
    put(world, "a.yaml", SERVICE("a", "1"));
    put(world, "b.yaml", SERVICE("b", "2"));
    load(world);
    expect_all(world);
    put(world, "b.yaml", SERVICE("b", "3"));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){0, old.rlim_max};
    for (unsigned i = 0; i < 2; i++) {
        if (i == 1)
            provider_file_walk(world->provider);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        load(world);
        bool is_changed = provider_file_retry(world->provider, clock_mono_ns());
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_false(is_changed);
        expect_all(world);
        assert_true(world->diags.count > 0);
        assert_non_null(strstr(world->diags.items[0]->message, "Too many open files"));
        assert_true(provider_file_is_waiting(world->provider));
    }
    assert_true(provider_file_retry(world->provider, clock_mono_ns()));
    load(world);
    expect_findings(world, "");
    assert_int_equal(port_of(world, "b"), 3);
    world_free(world);
}

/* Below a directory that may not be read links cannot be watched: they are looked at. */
static void test_not_watched(void **state)
{
    (void)state;
    struct world *world = world_new("/x/link");
    char *x = xasprintf("%s/x", world->dir), *link = xasprintf("%s/link", x);
    assert_int_equal(chmod(world->dir, 0755), 0);
    make_dir(world, "x");
    make_dir(world, "1");
    make_dir(world, "2");
    put(world, "1/a.yaml", SERVICE("a", "1"));
    put(world, "2/a.yaml", SERVICE("a", "2"));
    assert_int_equal(symlink("../1", link), 0);
    assert_int_equal(chmod(x, 0311), 0);
    be_root(false);
    load(world);
    uint64_t now_ns = clock_mono_ns();
    be_root(true);
    expect_findings(world, "");
    assert_int_equal(provider_file_watch_error(world->provider), -EACCES);
    assert_true(provider_file_is_waiting(world->provider));
    assert_false(provider_file_retry(world->provider, now_ns));
    assert_true(provider_file_retry(world->provider, now_ns + PROVIDER_FILE_LOOK_NS));
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("../2", link), 0);
    load(world);
    assert_int_equal(port_of(world, "a"), 2);
    assert_int_equal(provider_file_watch_error(world->provider), getuid() == 0 ? 0 : -EACCES);
    free(link);
    free(x);
    world_free(world);
}

static void test_big_files(void **state)
{
    (void)state;
    struct world *world = world_new("");
    char *path = xasprintf("%s/big.yaml", world->dir);
    /* Over the cap: not even read. */
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)DOC_FILE_SIZE_MAX + 1), 0);
    put(world, "a.yaml", SERVICE("a", "1"));
    load(world);
    expect_findings(world, "RG004");
    assert_int_equal(port_of(world, "a"), 1);
    /* 50 MiB of NULs, then of text, in one document: refused without parsing. */
    assert_int_equal(ftruncate(fd, 50 << 20), 0);
    load(world);
    expect_findings(world, "RG004");
    char line[64];
    memset(line, 'x', sizeof(line));
    line[1] = ':';
    line[2] = ' ';
    line[63] = '\n';
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    for (unsigned i = 0; i < (50u << 20) / sizeof(line); i++)
        assert_int_equal(write(fd, line, sizeof(line)), (ssize_t)sizeof(line));
    close(fd);
    load(world);
    expect_findings(world, "RG004");
    assert_int_equal(port_of(world, "a"), 1);
    free(path);
    world_free(world);
}

/* Thousands of documents: one changes, one comes in between, all others are the same objects. */
static void test_many(void **state)
{
    enum { COUNT = 2000 };
    (void)state;
    struct world *world = world_new("/r.yaml");
    const struct conf_object *before[COUNT];
    for (unsigned round = 0; round < 3; round++) {
        struct buf text;
        buf_init(&text, 1 << 24);
        for (unsigned i = 0; i < COUNT; i++) {
            if (round == 2 && i == COUNT / 2)
                buf_add_str(&text, "---\n# new\n" SERVICE("new", "7"));
            buf_printf(&text, "---\n" SERVICE("s%u", "%u"), i, round == 1 && i == 5 ? 2u : 1u);
        }
        put(world, "r.yaml", buf_str(&text));
        buf_fini(&text);
        load(world);
        expect_findings(world, "");
        unsigned same = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            char name[16];
            (void)snprintf(name, sizeof(name), "s%u", i);
            const struct conf_object *obj = find(world, CONF_KIND_SERVICE, name);
            assert_non_null(obj);
            assert_int_equal(obj->pos.line, 5 * i + 2 + (round == 2 && i >= COUNT / 2 ? 6 : 0));
            same += round > 0 && before[i] == obj;
            before[i] = obj;
        }
        assert_int_equal(same, round == 0 ? 0 : COUNT - 1);
    }
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_other_files), cmocka_unit_test(test_last_good),
        cmocka_unit_test(test_twice),       cmocka_unit_test(test_symlink_swap),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_data_files),  cmocka_unit_test(test_data_escape),
        cmocka_unit_test(test_pem_directory), cmocka_unit_test(test_root_file),
        cmocka_unit_test(test_away),        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_no_descriptors), cmocka_unit_test(test_not_watched),
        cmocka_unit_test(test_big_files),   cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
