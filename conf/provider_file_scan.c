/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/provider_file_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Walking the roots and watching them. A directory is watched before it is
 * listed, so nothing that happens after the listing is missed. Symbolic links
 * are followed, with a bound on depth: a loop ends there. All on the way to
 * where a link leads is watched as well, and a link named ..data (how
 * Kubernetes mounts swap a whole directory) counts as a change of everything
 * beside it. */

struct walk {
    struct provider_file *provider;
    const struct provider_root *root;
    struct provider_found *found;
    unsigned count, cap;
    bool is_full;
};

/* --- files --- */

int provider_file_read(int fd, size_t max, struct arena *arena, struct span *ret,
                       struct stat *ret_stat)
{
    if (fstat(fd, ret_stat) != 0)
        return -errno;
    if (!S_ISREG(ret_stat->st_mode))
        return -EISDIR;
    if ((uint64_t)ret_stat->st_size > max)
        return -EFBIG;
    /* One byte more than it had tells a file that grows. */
    size_t cap = (size_t)ret_stat->st_size + 1, len = 0;
    char *text = arena_alloc_aligned(arena, cap + 1, 1);
    while (text != NULL && len < cap) {
        ssize_t n = read(fd, text + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
        if (len < cap)
            continue;
        if (cap > max)
            return -EFBIG;
        cap = MIN(cap * 2, max + 1);
        char *more = arena_alloc_aligned(arena, cap + 1, 1);
        if (more != NULL)
            memcpy(more, text, len);
        explicit_bzero(text, len);
        text = more;
    }
    if (text == NULL)
        return -ENOMEM;
    text[len] = '\0';
    *ret = span_make(text, len);
    return 0;
}

/* --- the walk --- */

bool provider_file_is_gone(const char *path)
{
    struct stat info;
    const char *slash = strrchr(path, '/');
    char *own = xstrdup(path);
    int dir = open(provider_file_directory_of(own), O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool is_gone =
        dir >= 0 &&
        fstatat(dir, slash != NULL ? slash + 1 : path, &info, AT_SYMLINK_NOFOLLOW) != 0 &&
        errno == ENOENT;
    if (dir >= 0)
        close(dir);
    free(own);
    return is_gone;
}

bool provider_file_is_there(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

void provider_file_drop_unread(struct provider_file *provider)
{
    diags_fini(&provider->scan_diags);
    for (unsigned i = 0; i < provider->unread_count; i++)
        conf_source_unref(provider->unread[i].source);
    provider->unread_count = 0;
}

/* NULL: the path has a finding. */
static struct diag *scan_report(struct provider_file *provider, const char *path, int error)
{
    for (unsigned i = 0; i < provider->unread_count; i++) {
        if (strcmp(provider->unread[i].source->path, path) == 0)
            return NULL;
    }
    struct conf_source *source = conf_source_new(path, NULL, 0);
    provider->unread =
        xrealloc(provider->unread, (provider->unread_count + 1) * sizeof(provider->unread[0]));
    provider->unread[provider->unread_count++] = (struct provider_unread){source, error};
    struct diag *diag =
        diags_add(&provider->scan_diags, DIAG_FILE_UNREADABLE, NULL, (struct conf_pos){0, 0});
    diag->source = source;
    return diag;
}

/* kind: all of it but the path and base. */
static void walk_add(struct walk *walk, const char *path, struct provider_found kind)
{
    if (walk->count == PROVIDER_FILES_MAX) {
        struct diag *diag = walk->is_full ? NULL : scan_report(walk->provider, path, 0);
        if (diag != NULL)
            diag_message(diag, "more than 100000 files: this one and those after it are left out");
        walk->is_full = true;
        return;
    }
    if (walk->count == walk->cap) {
        walk->cap = walk->cap == 0 ? 64 : walk->cap * 2;
        walk->found = xrealloc(walk->found, walk->cap * sizeof(walk->found[0]));
    }
    kind.path = xstrdup(path);
    kind.base = walk->root->base;
    walk->found[walk->count++] = kind;
}

/* What the last walk found at path or below it is found again. Returns how many. */
static unsigned walk_keep(struct walk *walk, const char *path)
{
    const struct provider_file *provider = walk->provider;
    size_t len = strlen(path);
    unsigned kept = 0;
    for (unsigned i = provider_file_lower_bound(provider, path); i < provider->sources_count; i++) {
        const struct provider_source *source = provider->sources[i];
        if (strncmp(source->path, path, len) != 0)
            break;
        if (source->path[len] != '/' && source->path[len] != '\0')
            continue; /* path-more stands before path/name */
        walk_add(walk, source->path,
                 (struct provider_found){.is_pem_dir = source->is_pem_dir, .is_kept = true});
        kept++;
    }
    return kept;
}

/* A path that cannot be read costs nothing of what it gave, unless it is known to be gone; a root
 * is only away. */
static void walk_failed(struct walk *walk, const char *path, int r)
{
    struct stat info;
    bool is_root = path == walk->root->path;
    bool is_there = stat(path, &info) == 0;
    if (!is_root && (is_there ? !S_ISDIR(info.st_mode) : provider_file_is_gone(path)))
        return;
    unsigned kept = walk_keep(walk, path);
    if (!is_root && !is_there && kept == 0)
        return;
    struct diag *diag = scan_report(walk->provider, path, r);
    if (diag == NULL)
        return;
    diag_message(diag, "directory cannot be read: %s", strerror(-r));
    diag_hint(diag, "put it back or make it readable: it is tried again each second");
    if (kept > 0)
        diag_consequence(diag, "what its files defined before stays in force");
}

struct name {
    char *text;
    unsigned char type; /* DT_REG and so on; DT_UNKNOWN: it has to be asked for */
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static void free_names(struct name *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(names[i].text);
    free(names);
}

/* Names of a directory, sorted; at most PROVIDER_FILES_MAX of them. */
static int list_names(const char *path, struct name **ret, unsigned *ret_count)
{
    DIR *dir = opendir(path);
    struct name *names = NULL;
    unsigned count = 0, cap = 0;
    if (dir == NULL)
        return -errno;
    const struct dirent *entry;
    /* Its end and its errors differ in errno only. */
    while (errno = 0, count < PROVIDER_FILES_MAX && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (count == cap) {
            cap = cap == 0 ? 32 : cap * 2;
            names = xrealloc(names, cap * sizeof(names[0]));
        }
        names[count++] = (struct name){xstrdup(entry->d_name), entry->d_type};
    }
    int r = -errno;
    closedir(dir);
    if (r != 0) {
        free_names(names, count);
        return r;
    }
    if (count > 1)
        qsort(names, count, sizeof(names[0]), compare_names);
    *ret = names;
    *ret_count = count;
    return 0;
}

static int walk_directory(struct walk *walk, const char *path, unsigned depth);

/* An entry that is no plain file. */
static void walk_other(struct walk *walk, const char *dir, const struct name *name, unsigned depth)
{
    struct stat info;
    char *path = xasprintf("%s/%s", dir, name->text);
    if (name->type == DT_LNK ||
        (name->type == DT_UNKNOWN && lstat(path, &info) == 0 && S_ISLNK(info.st_mode)))
        provider_file_watch_path(walk->provider, dir, name->text);
    int r = stat(path, &info) == 0 ? 0 : -errno;
    if (r == 0 && S_ISDIR(info.st_mode)) {
        if (depth < PROVIDER_DEPTH_MAX)
            (void)walk_directory(walk, path, depth + 1); /* it has told */
    } else if (r != 0 && provider_file_has_sources(walk->provider, path)) {
        walk_failed(walk, path, r);
    } else if (provider_file_is_config_name(name->text)) {
        walk_add(walk, path, (struct provider_found){0});
    }
    free(path);
}

/* depth: of the directory below its root; bounded, so is the recursion. -errno: it was not read,
 * and that was told. */
static int walk_directory(struct walk *walk, const char *path, unsigned depth)
{
    struct name *names = NULL;
    unsigned count = 0;
    provider_file_watch(walk->provider, path, PROVIDER_WATCH_TREE);
    int r = list_names(path, &names, &count);
    if (r != 0) {
        walk_failed(walk, path, r);
        return r;
    }
    for (unsigned i = 0; i < count && !walk->is_full; i++) {
        /* Most are plain files: ten thousand of them need no look at each. */
        if (names[i].type != DT_REG) {
            walk_other(walk, path, &names[i], depth);
        } else if (provider_file_is_config_name(names[i].text)) {
            char *child = xasprintf("%s/%s", path, names[i].text);
            walk_add(walk, child, (struct provider_found){0});
            free(child);
        }
    }
    free_names(names, count);
    return 0;
}

static bool has_files(const char *path, const char *first, const char *second)
{
    char *a = xasprintf("%s/%s", path, first), *b = xasprintf("%s/%s", path, second);
    bool has_both = provider_file_is_there(a) && provider_file_is_there(b);
    free(a);
    free(b);
    return has_both;
}

static void walk_pem(struct walk *walk, const char *path, unsigned depth);

static void walk_pem_entry(struct walk *walk, const char *child, unsigned depth)
{
    struct stat info;
    if (stat(child, &info) != 0) {
        walk_failed(walk, child, -errno);
        return;
    }
    if (!S_ISDIR(info.st_mode))
        return;
    if (depth == 0) {
        walk_pem(walk, child, 1);
        return;
    }
    provider_file_watch(walk->provider, child, PROVIDER_WATCH_ALL);
    if (has_files(child, "tls.crt", "tls.key") || has_files(child, "fullchain.pem", "privkey.pem"))
        walk_add(walk, child, (struct provider_found){.is_pem_dir = true});
}

/* BASE/tls/<namespace>/<name>/ with a certificate and a key is a Secret. */
static void walk_pem(struct walk *walk, const char *path, unsigned depth)
{
    struct name *names = NULL;
    unsigned count = 0;
    provider_file_watch(walk->provider, path, PROVIDER_WATCH_ALL);
    int r = list_names(path, &names, &count);
    if (r != 0) {
        walk_failed(walk, path, r);
        return;
    }
    for (unsigned i = 0; i < count && !walk->is_full; i++) {
        char *child = xasprintf("%s/%s", path, names[i].text);
        provider_file_watch_path(walk->provider, path, names[i].text);
        walk_pem_entry(walk, child, depth);
        free(child);
    }
    free_names(names, count);
}

static char *base_of(const struct provider_root *root)
{
    const char *slash = strrchr(root->path, '/');
    bool is_conf_d = strcmp(slash != NULL ? slash + 1 : root->path, "conf.d") == 0;
    if (root->is_directory && !is_conf_d)
        return xstrdup(root->path);
    char *parent = xstrdup(root->path);
    char *base = xstrdup(provider_file_directory_of(parent));
    free(parent);
    return base;
}

static void walk_root(struct walk *walk, struct provider_root *root)
{
    struct stat info;
    provider_file_watch_path(walk->provider, "", root->path);
    int r = stat(root->path, &info) == 0 ? 0 : -errno;
    if (r == 0 || root->base == NULL) {
        root->is_directory = r == 0 && S_ISDIR(info.st_mode);
        free(root->base);
        root->base = base_of(root);
    }
    walk->root = root;
    if (!root->is_directory) {
        walk_add(walk, root->path, (struct provider_found){.is_root = true});
        return;
    }
    if (r == 0)
        r = walk_directory(walk, root->path, 0);
    else
        walk_failed(walk, root->path, r);
    if (r != 0 && strcmp(root->base, root->path) == 0)
        return;
    provider_file_watch_path(walk->provider, root->base, "tls");
    char *pem = xasprintf("%s/tls", root->base);
    walk_pem(walk, pem, 0);
    free(pem);
}

/* What was read goes before what is kept of the same path. */
static int compare_found(const void *a, const void *b)
{
    const struct provider_found *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    return order != 0 ? order : (int)x->is_kept - (int)y->is_kept;
}

void provider_file_scan(struct provider_file *provider, struct provider_found **ret,
                        unsigned *ret_count)
{
    struct walk walk = {.provider = provider};
    for (unsigned i = 0; i < provider->watches_count; i++)
        provider->watches[i].is_seen = false;
    provider->watch_error = 0;
    provider_file_drop_unread(provider);
    provider_file_forget_names(provider);

    for (unsigned i = 0; i < provider->roots_count; i++)
        walk_root(&walk, &provider->roots[i]);
    if (walk.count > 1)
        qsort(walk.found, walk.count, sizeof(walk.found[0]), compare_found);
    /* Two roots may overlap. */
    unsigned kept = 0;
    for (unsigned i = 0; i < walk.count; i++) {
        if (kept > 0 && strcmp(walk.found[i].path, walk.found[kept - 1].path) == 0)
            free(walk.found[i].path);
        else
            walk.found[kept++] = walk.found[i];
    }
    *ret = walk.found;
    *ret_count = kept;
}
