/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/provider_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/pages.h"
#include "conf/provider_file_int.h"

/* A load walks the roots, reads the files whose stamp changed, and puts a set
 * together from all documents. An object gets into the set by the first of:
 * its good document; the last set, when its document has errors or it is
 * defined twice; a broken file that defined it before. */

#define QUIET_NS (20 * NS_PER_MS)
#define QUIET_MAX_NS (200 * NS_PER_MS)
/* A file that was closed or moved here is whole: when nothing was loaded for a while, little is
 * waited for. */
#define QUIET_WHOLE_NS (2 * NS_PER_MS)
#define QUIET_LOAD_NS (200 * NS_PER_MS)
#define TEXTS_CHUNK 65536u
/* A file that changed this short before it was read may change again within one tick of the
 * clock that stamps files. */
#define SETTLE_NS (1 * NS_PER_S)
#define STAYS "its last good version stays in force"

int provider_file_new(struct provider_file **ret, const char *const *paths, unsigned count,
                      struct err *reterr)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return err_set(reterr, -errno, "cannot watch files: %s", strerror(errno));
    struct provider_file *provider = xcalloc(1, sizeof(*provider));
    provider->inotify_fd = fd;
    provider->wants_walk = true;
    arena_init(&provider->texts, TEXTS_CHUNK, 0, &pages_brief_source);
    provider->roots_count = count;
    provider->roots = xcalloc(MAX(count, 1u), sizeof(provider->roots[0]));
    hmap_init(&provider->names, 0);
    diags_init(&provider->scan_diags);
    provider->history = provider->own_history = history_new();
    for (unsigned i = 0; i < count; i++) {
        char *path = provider->roots[i].path = xstrdup(paths[i]);
        size_t len = strlen(path);
        while (len > 1 && path[len - 1] == '/')
            path[--len] = '\0';
    }
    *ret = provider;
    return 0;
}

static void source_free(struct provider_source *source)
{
    provider_file_drop_docs(source);
    provider_file_drop_stale(source);
    diags_fini(&source->diags);
    conf_source_set_text(source->source, NULL, 0); /* objects may hold it on */
    conf_source_unref(source->source);
    free(source);
}

void provider_file_free(struct provider_file *provider)
{
    if (provider == NULL)
        return;
    for (unsigned i = 0; i < provider->sources_count; i++)
        source_free(provider->sources[i]);
    free(provider->sources);
    arena_fini(&provider->texts);
    for (unsigned i = 0; i < provider->roots_count; i++) {
        free(provider->roots[i].path);
        free(provider->roots[i].base);
    }
    for (unsigned i = 0; i < provider->watches_count; i++)
        free(provider->watches[i].path);
    free(provider->roots);
    provider_file_drop_unread(provider);
    free(provider->unread);
    provider_file_forget_names(provider);
    hmap_fini(&provider->names);
    free(provider->watches);
    objects_unref(provider->set);
    objects_unref(provider->refused);
    provider_file_drop_lost(provider);
    history_free(provider->own_history);
    close(provider->inotify_fd);
    free(provider);
}

void provider_file_set_history(struct provider_file *provider, const struct history *history)
{
    provider->history = history;
}

struct objects *provider_file_refused(const struct provider_file *provider)
{
    return provider->refused;
}

const struct conf_object *const *provider_file_lost(const struct provider_file *provider,
                                                    unsigned *ret_count)
{
    *ret_count = provider->lost_count;
    return (const struct conf_object *const *)provider->lost;
}

int provider_file_fd(const struct provider_file *provider)
{
    return provider->inotify_fd;
}

bool provider_file_poll(struct provider_file *provider, uint64_t now_ns, uint64_t *ret_delay_ns)
{
    if (provider_file_drain(provider)) {
        if (!provider->is_dirty)
            provider->first_event_ns = now_ns;
        provider->is_dirty = true;
        provider->last_event_ns = now_ns;
    }
    if (!provider->is_dirty)
        return false;
    bool is_short =
        !provider->is_writing && provider->first_event_ns >= provider->loaded_ns + QUIET_LOAD_NS;
    uint64_t quiet_ns = is_short ? QUIET_WHOLE_NS : QUIET_NS;
    uint64_t at_ns =
        MIN(provider->last_event_ns + quiet_ns, provider->first_event_ns + QUIET_MAX_NS);
    *ret_delay_ns = at_ns > now_ns ? at_ns - now_ns : 0;
    return true;
}

/* --- reading --- */

static struct provider_source *source_new(const struct provider_found *found)
{
    struct provider_source *source = xcalloc(1, sizeof(*source));
    source->is_pem_dir = found->is_pem_dir;
    source->is_root = found->is_root;
    source->source = conf_source_new(found->path, NULL, 0);
    source->path = source->source->path;
    diags_init(&source->diags);
    return source;
}

static bool has_findings(const struct provider_source *source)
{
    for (unsigned i = 0; i < source->docs_count; i++) {
        if (source->docs[i]->diags.count > 0 || source->docs[i]->has_files)
            return true;
    }
    return source->diags.count > 0;
}

static uint64_t stamp_of(const struct stat *info)
{
    uint64_t parts[] = {
        (uint64_t)info->st_dev,          (uint64_t)info->st_ino,
        (uint64_t)info->st_size,         (uint64_t)info->st_mtim.tv_sec,
        (uint64_t)info->st_mtim.tv_nsec, (uint64_t)info->st_ctim.tv_sec,
        (uint64_t)info->st_ctim.tv_nsec,
    };
    return hash_fast(span_make(parts, sizeof(parts)), 0);
}

/* Nothing to read: the file is who it was, and no finding needs its text. */
static bool is_unchanged(const struct provider_source *source, const struct stat *info)
{
    return source->is_settled && !source->is_read_again && source->stamp == stamp_of(info);
}

static void report_unreadable(struct provider_source *source, int r)
{
    enum diag_code code = r == -EFBIG ? DIAG_TOO_BIG : DIAG_FILE_UNREADABLE;
    struct diag *diag = diags_add(&source->diags, code, NULL, (struct conf_pos){0, 0});
    diag->source = source->source;
    if (r == -EFBIG)
        diag_message(diag, "is longer than %u MiB and was not read", DOC_FILE_SIZE_MAX >> 20);
    else if (r == -EISDIR)
        diag_message(diag, "is no regular file");
    else
        diag_message(diag, "cannot be read: %s", strerror(-r));
    if (source->docs_count > 0)
        diag_consequence(diag, "what it defined before stays in force");
    if (r == -EFBIG || r == -EISDIR)
        return;
    source->error = r;
    diag_hint(diag, "put it back or make it readable: it is tried again each second");
}

static void source_gone(struct provider_source *source)
{
    provider_file_drop_docs(source);
    provider_file_drop_stale(source);
    conf_source_set_text(source->source, NULL, 0);
}

/* Files of a directory come and go; one that was asked for by name is missed, and so is one whose
 * directory or link went. */
static bool is_missed(const struct provider_source *source)
{
    return source->is_root || (source->docs_count > 0 && !provider_file_is_gone(source->path));
}

static void source_read(struct provider_file *provider, struct provider_source *source)
{
    struct stat info;
    struct span text;
    if (source->is_pem_dir) {
        provider_file_parse_pem(provider, source);
        return;
    }
    if (source->is_settled && stat(source->path, &info) == 0 && is_unchanged(source, &info))
        return;
    int fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int r = fd < 0 ? -errno : 0;
    diags_fini(&source->diags);
    uint64_t now_ns = clock_wall_ns();
    if (r == 0)
        r = provider_file_read(fd, DOC_FILE_SIZE_MAX, &provider->texts, &text, &info);
    if (fd >= 0)
        close(fd);
    source->is_settled = false;
    if ((r == -ENOENT || r == -ENOTDIR) && !is_missed(source)) {
        source_gone(source);
        return;
    }
    if (r != 0) {
        report_unreadable(source, r);
        return;
    }
    uint64_t changed_ns = (uint64_t)info.st_ctim.tv_sec * NS_PER_S + (uint64_t)info.st_ctim.tv_nsec;
    source->stamp = stamp_of(&info);
    source->is_settled = changed_ns + SETTLE_NS < now_ns;
    conf_source_lend_text(source->source, text);
    provider_file_parse(provider, source);
}

static void source_load(struct provider_file *provider, struct provider_source *source)
{
    source->error = 0;
    if (source->is_kept)
        return;
    source_read(provider, source);
    source->is_told = false;
    source->is_read_again = has_findings(source);
}

/* Both lists are sorted: files that stay keep their documents, others are made or freed. */
static void merge_sources(struct provider_file *provider, struct provider_found *found,
                          unsigned count)
{
    struct provider_source **sources = xcalloc(MAX(count, 1u), sizeof(sources[0]));
    unsigned old = 0;
    for (unsigned i = 0; i < count; i++) {
        while (old < provider->sources_count &&
               strcmp(provider->sources[old]->path, found[i].path) < 0)
            source_free(provider->sources[old++]);
        bool stays = old < provider->sources_count &&
                     strcmp(provider->sources[old]->path, found[i].path) == 0 &&
                     provider->sources[old]->is_pem_dir == found[i].is_pem_dir;
        sources[i] = stays ? provider->sources[old++] : source_new(&found[i]);
        sources[i]->base = found[i].base;
        sources[i]->is_kept = found[i].is_kept;
        free(found[i].path);
    }
    while (old < provider->sources_count)
        source_free(provider->sources[old++]);
    free(found);
    free(provider->sources);
    provider->sources = sources;
    provider->sources_count = count;
}

/* --- the set --- */

struct building {
    struct provider_file *provider;
    struct objects *set, *refused;
    struct objects *twice; /* one of each object that is defined more than once */
    struct diags *diags;
};

static void report_twice(struct building *building, const struct conf_object *obj,
                         const struct conf_object *other)
{
    struct diag *diag = diags_add(building->diags, DIAG_DUPLICATE_OBJECT, obj, obj->pos);
    const struct objects *last_set = building->provider->set;
    bool stays = last_set != NULL && objects_find(last_set, obj->kind, obj->ns, obj->name) != NULL;
    const char *end = stays ? "" : ": neither is used";
    if (other->pos.line > 0)
        diag_message(diag, "is also defined in %s, line %u%s", other->source->path, other->pos.line,
                     end);
    else
        diag_message(diag, "is also defined by %s%s", other->source->path, end);
    diag_hint(diag, "remove one of them, or give it another name");
    if (stays)
        diag_consequence(diag, STAYS);
    else
        provider_file_tell_lost(obj, diag);
}

static void add_good(struct building *building, struct conf_object *obj)
{
    struct conf_object *other;
    if (building->twice != NULL &&
        objects_find(building->twice, obj->kind, obj->ns, obj->name) != NULL)
        return;
    int r = objects_add(building->set, obj, &other);
    ASSERT(r == 0); /* names have a bound and doubles were taken out */
}

/* Notes objects that are defined twice, with a finding for each place. */
static void find_twice(struct building *building, struct conf_object *obj)
{
    struct conf_object *other = NULL;
    int r = objects_add(building->set, obj, &other);
    if (r != -EEXIST)
        return;
    if (building->twice == NULL)
        building->twice = objects_new();
    report_twice(building, obj, other);
    if (objects_add(building->twice, other, NULL) == 0)
        report_twice(building, other, obj);
}

static void each_good(struct building *building,
                      void (*fn)(struct building *building, struct conf_object *obj))
{
    const struct provider_file *provider = building->provider;
    for (unsigned i = 0; i < provider->sources_count; i++) {
        const struct provider_source *source = provider->sources[i];
        for (unsigned j = 0; j < source->docs_count; j++) {
            const struct provider_doc *doc = source->docs[j];
            for (unsigned k = 0; k < doc->items_count; k++) {
                if (doc->items[k].is_good)
                    fn(building, doc->items[k].object);
            }
        }
    }
}

/* The last version of an object that is refused now stays. */
static void add_last(struct building *building, const struct conf_object *refused)
{
    const struct objects *last_set = building->provider->set;
    if (objects_add(building->refused, (struct conf_object *)(uintptr_t)refused, NULL) != 0)
        return; /* two of one name: once is enough */
    if (last_set == NULL ||
        objects_find(building->set, refused->kind, refused->ns, refused->name) != NULL)
        return;
    const struct conf_object *last =
        objects_find(last_set, refused->kind, refused->ns, refused->name);
    if (last != NULL)
        add_good(&(struct building){.set = building->set}, (struct conf_object *)(uintptr_t)last);
}

static void add_refused(struct building *building)
{
    const struct provider_file *provider = building->provider;
    for (unsigned i = 0; i < provider->sources_count; i++) {
        const struct provider_source *source = provider->sources[i];
        for (unsigned j = 0; j < source->docs_count; j++) {
            const struct provider_doc *doc = source->docs[j];
            for (unsigned k = 0; k < doc->items_count; k++) {
                if (!doc->items[k].is_good && doc->items[k].object->name.len > 0)
                    add_last(building, doc->items[k].object);
            }
        }
    }
    if (building->twice == NULL)
        return;
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        unsigned count;
        const struct conf_object *const *list =
            objects_list(building->twice, (enum conf_kind)kind, &count);
        for (unsigned i = 0; i < count; i++)
            add_last(building, list[i]);
    }
}

static void add_stale(struct building *building)
{
    const struct provider_file *provider = building->provider;
    for (unsigned i = 0; i < provider->sources_count; i++) {
        struct provider_source *source = provider->sources[i];
        unsigned kept = 0;
        for (unsigned j = 0; j < source->stale_count; j++) {
            struct conf_object *obj = source->stale[j];
            if (objects_add(building->set, obj, NULL) == 0)
                source->stale[kept++] = obj;
            else
                conf_object_unref(obj);
        }
        source->stale_count = kept;
    }
}

static struct objects *build_set(struct provider_file *provider, struct diags *diags)
{
    struct building building = {.provider = provider, .set = objects_new(), .diags = diags};
    building.refused = objects_new();
    each_good(&building, find_twice);
    if (building.twice != NULL) {
        objects_seal(building.twice);
        objects_unref(building.set);
        building.set = objects_new();
        each_good(&building, add_good);
    }
    add_refused(&building);
    add_stale(&building);
    provider_file_find_lost(provider, building.set, building.twice);
    objects_unref(building.twice);
    if (provider->set != NULL)
        objects_seal_after(building.set, provider->set);
    else
        objects_seal(building.set);
    objects_seal(building.refused);
    objects_unref(provider->refused);
    provider->refused = building.refused;
    return building.set;
}

/* --- findings --- */

/* Kinds that are ignored are named once in all files. */
struct named {
    struct hmap_node node;
};

/* The finding when it is an error whose consequence is to be told, else NULL. */
static struct diag *tell(struct diags *diags, const struct diag *finding, struct hmap *kinds)
{
    if (finding->code == DIAG_KIND_UNKNOWN) {
        struct span message = span_str(finding->message);
        if (hmap_find(kinds, message) != NULL)
            return NULL;
        struct named *named = xcalloc(1, sizeof(*named));
        hmap_insert(kinds, &named->node, message);
    }
    struct diag *diag = diags_add(diags, finding->code, NULL, finding->pos);
    *diag = *finding;
    return diag_code_severity(finding->code) == DIAG_ERROR && diag->consequence[0] == '\0' ? diag
                                                                                           : NULL;
}

/* Whether a finding is about this object of its document. */
static bool is_about(const struct diag *finding, const struct provider_doc *doc,
                     const struct conf_object *obj)
{
    return doc->items_count == 1 ||
           strcmp(diags_add(NULL, finding->code, obj, obj->pos)->object, finding->object) == 0;
}

static void tell_consequence(const struct provider_file *provider, const struct provider_doc *doc,
                             const struct objects *set, struct diag *diag)
{
    for (unsigned i = 0; i < doc->items_count; i++) {
        const struct conf_object *obj = doc->items[i].object;
        if (doc->items[i].is_good || (!doc->is_broken && !is_about(diag, doc, obj)))
            continue;
        if (doc->is_broken && !provider_file_is_lost(provider, obj))
            continue;
        if (obj->name.len > 0 && objects_find(set, obj->kind, obj->ns, obj->name) != NULL)
            diag_consequence(diag, STAYS);
        else
            provider_file_tell_lost(obj, diag);
        return;
    }
    if (doc->is_broken)
        diag_consequence(diag, "what this document defined before stays in force; the other "
                               "documents of the file are read");
}

static void tell_all(struct provider_file *provider, const struct objects *set, struct diags *diags)
{
    struct hmap kinds;
    hmap_init(&kinds, 0);
    for (unsigned i = 0; i < provider->scan_diags.count; i++)
        (void)tell(diags, provider->scan_diags.items[i], &kinds);
    for (unsigned i = 0; i < provider->sources_count; i++) {
        const struct provider_source *source = provider->sources[i];
        for (unsigned j = 0; j < source->diags.count; j++)
            (void)tell(diags, source->diags.items[j], &kinds);
        for (unsigned j = 0; j < source->docs_count; j++) {
            const struct provider_doc *doc = source->docs[j];
            for (unsigned k = 0; k < doc->diags.count; k++) {
                struct diag *diag = tell(diags, doc->diags.items[k], &kinds);
                if (diag != NULL)
                    tell_consequence(provider, doc, set, diag);
            }
        }
    }
    struct hmap_node *node = hmap_next(&kinds, NULL);
    while (node != NULL) {
        struct hmap_node *next = hmap_next(&kinds, node);
        hmap_remove(&kinds, node);
        free(container_of(node, struct named, node));
        node = next;
    }
    hmap_fini(&kinds);
}

/* Of the findings, and of the texts: what is refused can differ under the same finding. */
static uint64_t findings_digest(const struct provider_file *provider, const struct diags *diags)
{
    if (diags == NULL || diags->count == 0)
        return 0;
    uint64_t digest = diags_digest(diags);
    for (unsigned i = 0; i < provider->sources_count; i++) {
        const struct provider_source *source = provider->sources[i];
        for (unsigned j = 0; j < source->docs_count; j++)
            digest = hash_fast(span_make(&source->docs[j]->digest, sizeof(source->docs[j]->digest)),
                               digest);
    }
    return digest;
}

static void load_all(struct provider_file *provider)
{
    struct provider_found *found;
    unsigned count;
    provider->wants_walk = false;
    provider_file_scan(provider, &found, &count);
    merge_sources(provider, found, count);
    for (unsigned i = 0; i < provider->sources_count; i++)
        source_load(provider, provider->sources[i]);
    provider_file_trim_watches(provider);
}

/* Only what events told of, and what is read each time. */
static void load_told(struct provider_file *provider)
{
    for (unsigned i = 0; i < provider->sources_count; i++) {
        if (provider->sources[i]->is_told || provider->sources[i]->is_read_again)
            source_load(provider, provider->sources[i]);
    }
}

/* --- what could not be read --- */

int provider_file_watch_error(const struct provider_file *provider)
{
    return provider->watch_error;
}

bool provider_file_is_waiting(const struct provider_file *provider)
{
    if (provider->watch_error != 0)
        return true;
    for (unsigned i = 0; i < provider->unread_count; i++) {
        if (provider->unread[i].error != 0)
            return true;
    }
    for (unsigned i = 0; i < provider->sources_count; i++) {
        if (provider->sources[i]->error != 0)
            return true;
    }
    return false;
}

/* Whether opening a path no longer fails as it did. */
static bool is_other_error(const char *path, int error)
{
    if (error == 0)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error != -errno;
    close(fd);
    return true;
}

bool provider_file_retry(struct provider_file *provider, uint64_t now_ns)
{
    bool is_other =
        provider->watch_error != 0 && now_ns >= provider->loaded_ns + PROVIDER_FILE_LOOK_NS;
    for (unsigned i = 0; i < provider->unread_count && !is_other; i++)
        is_other = is_other_error(provider->unread[i].source->path, provider->unread[i].error);
    for (unsigned i = 0; i < provider->sources_count && !is_other; i++)
        is_other = is_other_error(provider->sources[i]->path, provider->sources[i]->error);
    provider->wants_walk = provider->wants_walk || is_other;
    return is_other;
}

void provider_file_walk(struct provider_file *provider)
{
    provider->wants_walk = true;
}

bool provider_file_load(struct provider_file *provider, struct diags *diags, struct objects **ret)
{
    /* What happened before the walk is seen by it; what happens from now on stays in the queue. */
    (void)provider_file_drain(provider);
    provider->is_dirty = false;
    provider->load_s = clock_wall_ns() / NS_PER_S;
    if (provider->wants_walk || provider->watch_error != 0)
        load_all(provider);
    else
        load_told(provider);

    struct objects *set = build_set(provider, diags);
    if (diags != NULL)
        tell_all(provider, set, diags);
    uint64_t findings = findings_digest(provider, diags);
    bool differs = provider->set == NULL || !objects_is_same(provider->set, set);
    if (differs) {
        objects_unref(provider->set);
        provider->set = set;
    } else {
        objects_unref(set);
    }
    *ret = objects_ref(provider->set);
    differs = differs || provider->findings != findings;
    provider->findings = findings;
    provider->loaded_ns = clock_mono_ns();
    return differs;
}

void provider_file_forget_text(struct provider_file *provider)
{
    for (unsigned i = 0; i < provider->sources_count; i++)
        conf_source_set_text(provider->sources[i]->source, NULL, 0);
    arena_reset(&provider->texts);
}
