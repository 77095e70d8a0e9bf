/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/provider_file_int.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Which directories are watched, and what their events mean for the sources.
 * Directories that are walked are watched as a whole. What lies on the way to
 * something else is watched by name, each symbolic link of the way where it
 * lies: whichever of them is swapped, what it leads to is read again. */

#define WATCH_MASK                                                                                 \
    (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |            \
     IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)

/* As many as the kernel follows. */
#define LINKS_MAX 40

/* --- names of directories that are watched for some names only --- */

struct watched_name {
    struct hmap_node node;
    char key[]; /* watch and name */
};

#define KEY_SIZE_MAX (NAME_MAX + 16)

static struct span name_key(char buf[KEY_SIZE_MAX], int wd, const char *name)
{
    return span_make(buf, (size_t)snprintf(buf, KEY_SIZE_MAX, "%d/%.*s", wd, NAME_MAX, name));
}

static bool is_watched_name(const struct provider_file *provider, int wd, const char *name)
{
    char buf[KEY_SIZE_MAX];
    return hmap_find(&provider->names, name_key(buf, wd, name)) != NULL;
}

static void add_name(struct provider_file *provider, int wd, const char *name)
{
    char buf[KEY_SIZE_MAX];
    struct span key = name_key(buf, wd, name);
    if (hmap_find(&provider->names, key) != NULL)
        return;
    struct watched_name *watched = xmalloc(sizeof(*watched) + key.len);
    memcpy(watched->key, key.ptr, key.len);
    hmap_insert(&provider->names, &watched->node, span_make(watched->key, key.len));
}

void provider_file_forget_names(struct provider_file *provider)
{
    struct hmap_node *node = hmap_next(&provider->names, NULL);
    while (node != NULL) {
        struct hmap_node *next = hmap_next(&provider->names, node);
        hmap_remove(&provider->names, node);
        free(container_of(node, struct watched_name, node));
        node = next;
    }
}

/* --- watches --- */

static struct provider_watch *watch_find(const struct provider_file *provider, int wd)
{
    for (unsigned i = 0; i < provider->watches_count; i++) {
        if (provider->watches[i].wd == wd)
            return &provider->watches[i];
    }
    return NULL;
}

/* NULL: it cannot be watched. */
static struct provider_watch *watch_add(struct provider_file *provider, const char *path,
                                        enum provider_watch_scope scope)
{
    int wd = inotify_add_watch(provider->inotify_fd, path, WATCH_MASK | IN_ONLYDIR);
    if (wd < 0) {
        /* A directory that is walked and may not be read is told of by the walk. */
        bool is_told = errno == EACCES && scope != PROVIDER_WATCH_NAMES;
        if (errno != ENOENT && errno != ENOTDIR && !is_told)
            provider->watch_error = -errno;
        return NULL;
    }
    struct provider_watch *watch = watch_find(provider, wd);
    if (watch != NULL && watch->is_seen) {
        watch->scope = MAX(watch->scope, scope);
        return watch;
    }
    if (watch == NULL && provider->watches_count == provider->watches_cap) {
        provider->watches_cap = provider->watches_cap == 0 ? 16 : provider->watches_cap * 2;
        provider->watches =
            xrealloc(provider->watches, provider->watches_cap * sizeof(provider->watches[0]));
    }
    if (watch == NULL)
        watch = &provider->watches[provider->watches_count++];
    else
        free(watch->path);
    *watch = (struct provider_watch){.wd = wd, .scope = scope, .is_seen = true};
    return watch;
}

void provider_file_watch(struct provider_file *provider, const char *path,
                         enum provider_watch_scope scope)
{
    struct provider_watch *watch = watch_add(provider, path, scope);
    if (watch == NULL || watch->is_twice)
        return;
    if (watch->path == NULL) {
        watch->path = xstrdup(path);
    } else if (strcmp(watch->path, path) != 0) {
        free(watch->path);
        watch->path = NULL;
        watch->is_twice = true;
    }
}

const char *provider_file_directory_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return ".";
    slash[slash == path ? 1 : 0] = '\0';
    return path;
}

/* --- paths through symbolic links --- */

static void watch_entry(struct provider_file *provider, const char *path)
{
    char *own = xstrdup(path);
    const char *slash = strrchr(path, '/');
    const struct provider_watch *watch =
        watch_add(provider, provider_file_directory_of(own), PROVIDER_WATCH_NAMES);
    if (watch != NULL)
        add_name(provider, watch->wd, slash != NULL ? slash + 1 : path);
    free(own);
}

/* Where the link at path leads, on the heap; NULL: errno tells why it is none. */
static char *link_target(const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target));
    return n < 0 ? NULL : xasprintf("%.*s", (int)n, target);
}

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

struct way {
    char *done; /* as far as it was looked at; its links are watched */
    char *rest;
    unsigned links;
};

static char *join(const char *dir, const char *name, size_t len)
{
    size_t dir_len = strlen(dir);
    bool is_joined = dir_len == 0 || dir[dir_len - 1] == '/';
    return xasprintf("%s%s%.*s", dir, is_joined ? "" : "/", (int)len, name);
}

/* Takes the next name of the rest; a link gives way to where it leads. False: the way ends. */
static bool way_step(struct provider_file *provider, struct way *way)
{
    const char *name = way->rest + strspn(way->rest, "/");
    size_t len = strcspn(name, "/");
    if (len == 0)
        return false;
    char *path = join(way->done, name, len);
    char *target = link_target(path);
    if (target != NULL || errno == ENOENT) {
        free(target);
        watch_entry(provider, path);
        target = link_target(path); /* every change after this one is told */
    }
    bool goes_on = target != NULL || errno == EINVAL;
    char *rest = target != NULL ? xasprintf("%s%s", target, name + len) : xstrdup(name + len);
    free(way->rest);
    way->rest = rest;
    if (target == NULL || target[0] == '/') {
        free(way->done);
        way->done = target == NULL ? xstrdup(path) : xstrdup("/");
    }
    way->links += target != NULL;
    free(target);
    free(path);
    return goes_on && way->links <= LINKS_MAX;
}

void provider_file_watch_path(struct provider_file *provider, const char *dir, const char *path)
{
    struct way way = {.done = xstrdup(path[0] == '/' ? "/" : dir), .rest = xstrdup(path)};
    while (way_step(provider, &way)) {
    }
    if (!is_directory(way.done))
        watch_entry(provider, way.done);
    free(way.done);
    free(way.rest);
}

void provider_file_trim_watches(struct provider_file *provider)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < provider->watches_count; i++) {
        struct provider_watch watch = provider->watches[i];
        if (watch.is_seen) {
            provider->watches[kept++] = watch;
            continue;
        }
        (void)inotify_rm_watch(provider->inotify_fd, watch.wd); /* may be gone already */
        free(watch.path);
    }
    provider->watches_count = kept;
}

static bool has_suffix(const char *name, const char *suffix)
{
    return span_ends_with(span_str(name), span_str(suffix));
}

bool provider_file_is_config_name(const char *name)
{
    if (name[0] == '.' || has_suffix(name, "~") || has_suffix(name, ".swp") ||
        has_suffix(name, ".tmp"))
        return false;
    return has_suffix(name, ".yaml") || has_suffix(name, ".yml") || has_suffix(name, ".json");
}

/* Something else than a file beside others that were read: what is a source may have changed. */
#define STRUCTURE_MASK (IN_ISDIR | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF)

static int compare_path(const void *key, const void *item)
{
    return strcmp(key, (*(struct provider_source *const *)item)->path);
}

/* The source that an event is about; NULL: none, or it is more than a change of a file. */
static struct provider_source *event_source(const struct provider_file *provider,
                                            const struct provider_watch *watch,
                                            const struct inotify_event *event)
{
    struct stat info;
    if (watch->path == NULL || event->len == 0 || (event->mask & STRUCTURE_MASK) != 0 ||
        provider->sources_count == 0)
        return NULL;
    char *path = xasprintf("%s/%s", watch->path, event->name);
    struct provider_source **found = bsearch(path, provider->sources, provider->sources_count,
                                             sizeof(provider->sources[0]), compare_path);
    /* Where a symbolic link leads has to be watched. */
    bool is_file = found != NULL && lstat(path, &info) == 0 && S_ISREG(info.st_mode);
    free(path);
    return is_file ? *found : NULL;
}

unsigned provider_file_lower_bound(const struct provider_file *provider, const char *path)
{
    unsigned low = 0, high = provider->sources_count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (strcmp(provider->sources[middle]->path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool provider_file_has_sources(const struct provider_file *provider, const char *path)
{
    size_t len = strlen(path);
    char *below = xasprintf("%s/", path);
    unsigned at = provider_file_lower_bound(provider, below);
    free(below);
    return at < provider->sources_count && strncmp(provider->sources[at]->path, path, len) == 0 &&
           provider->sources[at]->path[len] == '/';
}

/* A symbolic link, maybe to a directory, came or went. */
static bool is_link_event(const struct provider_file *provider, const struct provider_watch *watch,
                          const struct inotify_event *event)
{
    struct stat info;
    if (event->name[0] == '.')
        return false;
    if (watch->is_twice) /* of a link, as a rule */
        return (event->mask & (IN_CREATE | IN_DELETE | IN_MOVE)) != 0;
    char *path = xasprintf("%s/%s", watch->path, event->name);
    bool is_link = (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0 && lstat(path, &info) == 0 &&
                   S_ISLNK(info.st_mode);
    if ((event->mask & (IN_DELETE | IN_MOVED_FROM)) != 0)
        is_link = provider_file_has_sources(provider, path);
    free(path);
    return is_link;
}

static bool watch_matters(const struct provider_file *provider, const struct provider_watch *watch,
                          const struct inotify_event *event)
{
    if (watch->scope == PROVIDER_WATCH_ALL || event->len == 0)
        return true;
    if (watch->scope == PROVIDER_WATCH_NAMES)
        return false;
    if (provider_file_is_config_name(event->name) || strncmp(event->name, "..", 2) == 0)
        return true;
    return (event->mask & IN_ISDIR) != 0 || is_link_event(provider, watch, event);
}

static bool event_take(struct provider_file *provider, const struct inotify_event *event)
{
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        provider->wants_walk = true;
        return true;
    }
    if ((event->mask & IN_IGNORED) != 0)
        return false;
    const struct provider_watch *watch = watch_find(provider, event->wd);
    bool is_named = event->len > 0 && is_watched_name(provider, event->wd, event->name);
    if (watch == NULL || (!is_named && !watch_matters(provider, watch, event)))
        return false;
    /* Which sources a name is part of the way to is not known. */
    struct provider_source *source =
        provider->wants_walk || is_named ? NULL : event_source(provider, watch, event);
    if (source != NULL)
        source->is_told = true;
    else
        provider->wants_walk = true;
    provider->is_writing = (event->mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) == 0;
    return true;
}

bool provider_file_drain(struct provider_file *provider)
{
    char events[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool matters = false;
    for (;;) {
        ssize_t n = read(provider->inotify_fd, events, sizeof(events));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return matters;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(events + at);
            bool is_taken = event_take(provider, event);
            matters = matters || is_taken;
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}
