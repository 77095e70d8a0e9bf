/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_PROVIDER_FILE_INT_H
#define RINGGATE_CONF_PROVIDER_FILE_INT_H

/* What the files of the file provider share. Only for conf/provider_file*.c. */

#include <sys/stat.h>

#include "base/hmap.h"
#include "conf/provider_file.h"
#include "conf/schema.h"

#define PROVIDER_DEPTH_MAX 8
#define PROVIDER_FILES_MAX 100000
#define PROVIDER_DATA_SIZE_MAX (1u << 20)

/* Kinds of policies that protect. */
#define PROVIDER_POLICIES 2

/* One document of a file: what it gave and what is wrong with it. */
struct provider_doc {
    uint64_t digest; /* of its text */
    uint32_t size, lines; /* of its text */
    uint32_t line; /* first line, for the shift when text before it changes */
    bool is_broken; /* not parsed: items are nameless policies that its text mentions */
    bool has_files;
    unsigned mentions[PROVIDER_POLICIES]; /* of such policies, by kind: provider_file_lost.c */
    unsigned items_count;
    struct schema_output *items; /* several for kind List */
    struct diags diags;
};

/* A file, or a directory of PEM files that stands for a Secret. */
struct provider_source {
    const char *path; /* the source's */
    const char *base; /* directory for data files; owned by the provider */
    bool is_pem_dir, is_root;
    bool is_kept; /* where the last walk could not look: it stays as it is */
    bool is_settled; /* stamp can tell a change */
    bool is_told; /* an event since the last load */
    bool is_read_again; /* at each load: findings need its text, or objects other files */
    int error; /* -errno of the last try to read it, if another may succeed; else 0 */
    uint64_t stamp; /* hash of who the file was when it was read */
    struct conf_source *source;
    struct provider_doc **docs;
    unsigned docs_count;
    /* Good objects of documents that are broken now; last resort of the set. */
    struct conf_object **stale;
    unsigned stale_count;
    struct diags diags; /* of the file itself */
};

/* Which names of a watched directory matter; a higher one includes the lower. */
enum provider_watch_scope {
    PROVIDER_WATCH_NAMES, /* those it is watched for */
    PROVIDER_WATCH_TREE, /* *.yaml and so on, ..data, directories and links */
    PROVIDER_WATCH_ALL,
};

struct provider_watch {
    int wd;
    enum provider_watch_scope scope;
    bool is_seen;
    bool is_twice; /* walked under two paths */
    char *path; /* files below it are sources; NULL: none, or two: each event asks for a walk */
};

/* What a walk over the roots finds; sorted by path. */
struct provider_found {
    char *path;
    const char *base;
    bool is_pem_dir, is_root, is_kept;
};

/* A path of the configuration. base and is_directory are of when it was there last. */
struct provider_root {
    char *path, *base;
    bool is_directory;
};

/* A path that a walk could not read; error: -errno, 0: there is nothing to try again. */
struct provider_unread {
    struct conf_source *source;
    int error;
};

struct provider_file {
    struct provider_root *roots;
    unsigned roots_count;
    int inotify_fd;
    struct provider_watch *watches;
    unsigned watches_count, watches_cap;
    struct hmap names; /* that directories are watched for, whatever their scope */
    struct provider_source **sources; /* sorted by path */
    unsigned sources_count;
    struct arena texts; /* of files, apart from the objects that are made of them */
    struct objects *set, *refused; /* of the last load; NULL before */
    struct conf_object **lost; /* policies that would protect, of the last load */
    unsigned lost_count;
    const struct history *history;
    struct history *own_history; /* empty: when none is set */
    struct diags scan_diags; /* of directories */
    struct provider_unread *unread; /* their paths */
    unsigned unread_count;
    bool is_dirty;
    bool wants_walk; /* more changed than the text of files that are known */
    int watch_error; /* -errno of a directory that cannot be watched: every load is a walk; or 0 */
    bool is_writing; /* by the last event somebody may go on writing */
    uint64_t load_s; /* when the load began, seconds since 1970 */
    uint64_t first_event_ns, last_event_ns;
    uint64_t findings; /* digest of those of the last load and of their texts; 0: none */
    uint64_t loaded_ns; /* end of the last load, monotonic */
};

/* --- provider_file_scan.c --- */

/* Walks all roots, renews watches and findings of directories. *ret: on the heap, paths too. */
void provider_file_scan(struct provider_file *provider, struct provider_found **ret,
                        unsigned *ret_count);
/* The whole file into the arena, followed by a NUL. -EFBIG: over max; -EISDIR: no regular file;
 * -ENOMEM: the arena is full; else -errno of the system. */
MUST_CHECK int provider_file_read(int fd, size_t max, struct arena *arena, struct span *ret,
                                  struct stat *ret_stat);

/* Whether path is not in its directory, and not only out of reach with it. A link is there even if
 * it leads nowhere. */
bool provider_file_is_gone(const char *path);
/* Whether path is in its directory, as far as that can be told. */
bool provider_file_is_there(const char *path);
/* Frees the findings of directories. */
void provider_file_drop_unread(struct provider_file *provider);

/* --- provider_file_watch.c --- */

/* Watches a directory that is walked, until a walk that does not ask for it. */
void provider_file_watch(struct provider_file *provider, const char *path,
                         enum provider_watch_scope scope);
/* Drops the watches that the last walk and load did not ask for. */
void provider_file_trim_watches(struct provider_file *provider);
/* Watches, by name, the symbolic links on the way from dir along path (from "" for a path as it is
 * given), and the file at its end, or the first name that is missing. */
void provider_file_watch_path(struct provider_file *provider, const char *dir, const char *path);
/* Forgets for which names directories are watched. */
void provider_file_forget_names(struct provider_file *provider);
/* Takes what inotify has: notes which files changed, or that a walk is wanted. True when something
 * that matters changed. */
bool provider_file_drain(struct provider_file *provider);
/* Index of the first source whose path is not before this one. */
unsigned provider_file_lower_bound(const struct provider_file *provider, const char *path);
/* Whether sources lie below a path. */
bool provider_file_has_sources(const struct provider_file *provider, const char *path);
/* A name that is read in a directory. */
bool provider_file_is_config_name(const char *name);
/* The directory part of path, in place; "." when there is none. */
const char *provider_file_directory_of(char *path);

/* --- provider_file_doc.c --- */

/* Replaces the documents of a file by those of its new text, keeping what did not change. */
void provider_file_parse(struct provider_file *provider, struct provider_source *source);
/* The same for a directory of PEM files. */
void provider_file_parse_pem(struct provider_file *provider, struct provider_source *source);
void provider_file_drop_docs(struct provider_source *source);
void provider_file_drop_stale(struct provider_source *source);
/* One more item of a document, zeroed. */
struct schema_output *provider_file_doc_item(struct provider_doc *doc);

/* --- provider_file_lost.c --- */

/* Gives a document that cannot be parsed an item for each kind of policy that its text mentions. */
void provider_file_find_policies(struct provider_doc *doc, const struct conf_source *source,
                                 struct span text);
/* Notes the policies that cannot be used and of which the set has no version. twice: objects that
 * are defined more than once, or NULL. */
void provider_file_find_lost(struct provider_file *provider, const struct objects *set,
                             const struct objects *twice);
void provider_file_drop_lost(struct provider_file *provider);
bool provider_file_is_lost(const struct provider_file *provider, const struct conf_object *obj);
/* The consequence of an object that is left out. */
void provider_file_tell_lost(const struct conf_object *obj, struct diag *diag);

#endif
