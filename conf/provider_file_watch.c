/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/provider_file_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Which directories are watched, and what their events mean for the sources. */

#define WATCH_MASK                                                                                 \
    (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |            \
     IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)

/* Under which name its files are sources. With two names, or when all of it is watched, none. */
static void watch_name(struct provider_watch *watch, const char *path, bool is_first)
{
    bool is_known = watch->path != NULL && strcmp(watch->path, path) == 0;
    if ((is_first || is_known) && watch->scope != PROVIDER_WATCH_ALL) {
        if (!is_known) {
            free(watch->path);
            watch->path = xstrdup(path);
        }
        return;
    }
    free(watch->path);
    watch->path = NULL;
}

void provider_file_watch(struct provider_file *provider, const char *path,
                         enum provider_watch_scope scope)
{
    int wd = inotify_add_watch(provider->inotify_fd, path, WATCH_MASK | IN_ONLYDIR);
    if (wd < 0) {
        /* Gone, or the user's watch limit: then SIGHUP still reloads. */
        provider->is_blind = provider->is_blind || (errno != ENOENT && errno != ENOTDIR);
        return;
    }
    for (unsigned i = 0; i < provider->watches_count; i++) {
        struct provider_watch *watch = &provider->watches[i];
        if (watch->wd != wd)
            continue;
        bool is_first = !watch->is_seen;
        watch->scope = is_first ? scope : MAX(watch->scope, scope);
        watch->is_seen = true;
        watch_name(watch, path, is_first);
        return;
    }
    if (provider->watches_count == provider->watches_cap) {
        provider->watches_cap = provider->watches_cap == 0 ? 16 : provider->watches_cap * 2;
        provider->watches =
            xrealloc(provider->watches, provider->watches_cap * sizeof(provider->watches[0]));
    }
    struct provider_watch *fresh = &provider->watches[provider->watches_count++];
    *fresh = (struct provider_watch){.wd = wd, .scope = scope, .is_seen = true};
    watch_name(fresh, path, true);
}

const char *provider_file_directory_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return ".";
    slash[slash == path ? 1 : 0] = '\0';
    return path;
}

void provider_file_watch_target(struct provider_file *provider, const char *path, bool with_own)
{
    if (with_own) {
        char *own = xstrdup(path);
        provider_file_watch(provider, provider_file_directory_of(own), PROVIDER_WATCH_ALL);
        free(own);
    }
    char *target = realpath(path, NULL);
    if (target == NULL)
        return;
    provider_file_watch(provider, provider_file_directory_of(target), PROVIDER_WATCH_ALL);
    free(target);
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
    if (watch->path == NULL) /* a directory of two names: of a link, as a rule */
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
    if (provider_file_is_config_name(event->name) || strncmp(event->name, "..", 2) == 0)
        return true;
    return watch->scope == PROVIDER_WATCH_TREE &&
           ((event->mask & IN_ISDIR) != 0 || is_link_event(provider, watch, event));
}

static bool event_take(struct provider_file *provider, const struct inotify_event *event)
{
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        provider->wants_walk = true;
        return true;
    }
    if ((event->mask & IN_IGNORED) != 0)
        return false;
    for (unsigned i = 0; i < provider->watches_count; i++) {
        const struct provider_watch *watch = &provider->watches[i];
        if (watch->wd != event->wd)
            continue;
        if (!watch_matters(provider, watch, event))
            return false;
        struct provider_source *source =
            provider->wants_walk ? NULL : event_source(provider, watch, event);
        if (source != NULL)
            source->is_told = true;
        else
            provider->wants_walk = true;
        provider->is_writing = (event->mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) == 0;
        return true;
    }
    return false;
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
