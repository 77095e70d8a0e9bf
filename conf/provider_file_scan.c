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
 * are followed, with a bound on depth: a loop ends there. Where a link leads
 * is watched as well, and a link named ..data (how Kubernetes mounts swap a
 * whole directory) counts as a change of everything beside it. */

struct walk {
    struct provider_file *provider;
    const char *base;
    struct provider_found *found;
    unsigned count, cap;
    bool is_full;
};

/* --- files --- */

int provider_file_read(int fd, size_t max, char **ret, size_t *ret_len, struct stat *ret_stat)
{
    if (fstat(fd, ret_stat) != 0)
        return -errno;
    if (!S_ISREG(ret_stat->st_mode))
        return -EISDIR;
    if ((uint64_t)ret_stat->st_size > max)
        return -EFBIG;
    /* One byte more than it had tells a file that grows. */
    size_t cap = (size_t)ret_stat->st_size + 1, len = 0;
    char *text = xmalloc(cap + 1);
    while (len < cap) {
        ssize_t n = read(fd, text + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int r = -errno;
            free(text);
            return r;
        }
        if (n == 0)
            break;
        len += (size_t)n;
        if (len < cap)
            continue;
        if (cap > max) {
            free(text);
            return -EFBIG;
        }
        cap = MIN(cap * 2, max + 1);
        text = xrealloc(text, cap + 1);
    }
    text[len] = '\0';
    *ret = text;
    *ret_len = len;
    return 0;
}

/* --- the walk --- */

static void scan_report(struct provider_file *provider, const char *path, const char *problem)
{
    struct conf_source *source = conf_source_new(path, NULL, 0);
    provider->scan_sources =
        xrealloc(provider->scan_sources,
                 (provider->scan_sources_count + 1) * sizeof(provider->scan_sources[0]));
    provider->scan_sources[provider->scan_sources_count++] = source;
    struct diag *diag =
        diags_add(&provider->scan_diags, DIAG_FILE_UNREADABLE, NULL, (struct conf_pos){0, 0});
    diag->source = source;
    diag_message(diag, "%s", problem);
}

static void walk_add(struct walk *walk, const char *path, bool is_pem_dir, bool is_root)
{
    if (walk->count == PROVIDER_FILES_MAX) {
        if (!walk->is_full)
            scan_report(walk->provider, path,
                        "more than 100000 files: this one and those after it are left out");
        walk->is_full = true;
        return;
    }
    if (walk->count == walk->cap) {
        walk->cap = walk->cap == 0 ? 64 : walk->cap * 2;
        walk->found = xrealloc(walk->found, walk->cap * sizeof(walk->found[0]));
    }
    walk->found[walk->count++] = (struct provider_found){
        .path = xstrdup(path), .base = walk->base, .is_pem_dir = is_pem_dir, .is_root = is_root};
}

struct name {
    char *text;
    unsigned char type; /* DT_REG and so on; DT_UNKNOWN: it has to be asked for */
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
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
    while ((entry = readdir(dir)) != NULL && count < PROVIDER_FILES_MAX) {
        if (entry->d_name[0] == '.')
            continue;
        if (count == cap) {
            cap = cap == 0 ? 32 : cap * 2;
            names = xrealloc(names, cap * sizeof(names[0]));
        }
        names[count++] = (struct name){xstrdup(entry->d_name), entry->d_type};
    }
    closedir(dir);
    if (count > 1)
        qsort(names, count, sizeof(names[0]), compare_names);
    *ret = names;
    *ret_count = count;
    return 0;
}

static void free_names(struct name *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(names[i].text);
    free(names);
}

/* depth: of the directory below its root; bounded, so is the recursion. */
static void walk_directory(struct walk *walk, const char *path, unsigned depth)
{
    struct name *names = NULL;
    unsigned count = 0;
    provider_file_watch(walk->provider, path, PROVIDER_WATCH_TREE);
    int r = list_names(path, &names, &count);
    if (r != 0) {
        char problem[128];
        (void)snprintf(problem, sizeof(problem), "directory cannot be read: %s", strerror(-r));
        scan_report(walk->provider, path, problem);
        return;
    }
    for (unsigned i = 0; i < count && !walk->is_full; i++) {
        struct stat info, link;
        char *child = xasprintf("%s/%s", path, names[i].text);
        /* Most are plain files: ten thousand of them need no look at each. */
        bool is_directory =
            names[i].type != DT_REG && stat(child, &info) == 0 && S_ISDIR(info.st_mode);
        if (is_directory && depth < PROVIDER_DEPTH_MAX) {
            walk_directory(walk, child, depth + 1);
        } else if (provider_file_is_config_name(names[i].text) && !is_directory) {
            if (names[i].type != DT_REG && lstat(child, &link) == 0 && S_ISLNK(link.st_mode))
                provider_file_watch_target(walk->provider, child, false);
            walk_add(walk, child, false, false);
        }
        free(child);
    }
    free_names(names, count);
}

static bool has_files(const char *path, const char *first, const char *second)
{
    char *a = xasprintf("%s/%s", path, first), *b = xasprintf("%s/%s", path, second);
    bool has_both = access(a, F_OK) == 0 && access(b, F_OK) == 0;
    free(a);
    free(b);
    return has_both;
}

/* BASE/tls/<namespace>/<name>/ with a certificate and a key is a Secret. */
static void walk_pem(struct walk *walk, const char *path, unsigned depth)
{
    struct name *names = NULL;
    unsigned count = 0;
    if (list_names(path, &names, &count) != 0)
        return;
    provider_file_watch(walk->provider, path, PROVIDER_WATCH_ALL);
    for (unsigned i = 0; i < count && !walk->is_full; i++) {
        struct stat info;
        char *child = xasprintf("%s/%s", path, names[i].text);
        if (stat(child, &info) == 0 && S_ISDIR(info.st_mode)) {
            if (depth == 0)
                walk_pem(walk, child, 1);
            else if (has_files(child, "tls.crt", "tls.key") ||
                     has_files(child, "fullchain.pem", "privkey.pem"))
                walk_add(walk, child, true, false);
            if (depth == 1)
                provider_file_watch(walk->provider, child, PROVIDER_WATCH_ALL);
        }
        free(child);
    }
    free_names(names, count);
}

/* A root that is a file, or is not there yet: its directory tells when it changes or comes. */
static void walk_root_file(struct walk *walk, const char *root, bool exists)
{
    struct stat link;
    const char *slash = strrchr(root, '/');
    char *parent = xstrdup(root);
    bool by_name = exists && provider_file_is_config_name(slash != NULL ? slash + 1 : root);
    provider_file_watch(walk->provider, provider_file_directory_of(parent),
                        by_name ? PROVIDER_WATCH_FILES : PROVIDER_WATCH_ALL);
    free(parent);
    if (lstat(root, &link) == 0 && S_ISLNK(link.st_mode))
        provider_file_watch_target(walk->provider, root, false);
    walk_add(walk, root, false, true);
}

static void walk_root(struct walk *walk, const char *root)
{
    struct stat info;
    bool exists = stat(root, &info) == 0;
    if (!exists || !S_ISDIR(info.st_mode)) {
        walk_root_file(walk, root, exists);
        return;
    }
    walk_directory(walk, root, 0);
    char *pem = xasprintf("%s/tls", walk->base);
    walk_pem(walk, pem, 0);
    free(pem);
}

static int compare_found(const void *a, const void *b)
{
    const struct provider_found *x = a, *y = b;
    return strcmp(x->path, y->path);
}

void provider_file_scan(struct provider_file *provider, struct provider_found **ret,
                        unsigned *ret_count)
{
    struct walk walk = {.provider = provider};
    for (unsigned i = 0; i < provider->watches_count; i++)
        provider->watches[i].is_seen = false;
    provider->is_blind = false;
    diags_fini(&provider->scan_diags);
    for (unsigned i = 0; i < provider->scan_sources_count; i++)
        conf_source_unref(provider->scan_sources[i]);
    provider->scan_sources_count = 0;

    for (unsigned i = 0; i < provider->roots_count; i++) {
        walk.base = provider->bases[i];
        walk_root(&walk, provider->roots[i]);
    }
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
