/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/provider_file_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"

/* A file is cut into documents before anything is parsed. A document whose
 * text has the digest of one that was there before is that one: its objects
 * are kept, only their positions move. So a change costs what changed. */

#define TREE_CHUNK 65536
#define TREE_SIZE_MAX (256u << 20)
#define DATA_CHUNK 16384

static void doc_free(struct provider_doc *doc)
{
    if (doc == NULL)
        return;
    for (unsigned i = 0; i < doc->items_count; i++)
        schema_output_fini(&doc->items[i]);
    free(doc->items);
    diags_fini(&doc->diags);
    free(doc);
}

void provider_file_drop_docs(struct provider_source *source)
{
    for (unsigned i = 0; i < source->docs_count; i++)
        doc_free(source->docs[i]);
    free(source->docs);
    source->docs = NULL;
    source->docs_count = 0;
}

void provider_file_drop_stale(struct provider_source *source)
{
    for (unsigned i = 0; i < source->stale_count; i++)
        conf_object_unref(source->stale[i]);
    free(source->stale);
    source->stale = NULL;
    source->stale_count = 0;
}

/* --- data files --- */

struct reader {
    struct decode_files super;
    struct provider_file *provider;
    struct provider_source *source;
};

static bool has_parent_step(struct span path)
{
    struct span head;
    bool more;
    do {
        more = span_split(path, '/', &head, &path);
        if (span_equal(head, SPAN_LIT("..")))
            return true;
    } while (more);
    return false;
}

/* Opens path below base, whatever links lie between. Kernels before 5.6 have no openat2. */
static int open_beneath(const char *base, const char *path)
{
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    int dir = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
    if (fd < 0 && errno == ENOSYS)
        fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    int r = fd < 0 ? -errno : (int)fd;
    close(dir);
    return r;
}

static int data_error(int r, const char *path, const char *base, struct err *reterr)
{
    if (r == -EXDEV)
        return err_set(reterr, r, "file \"%s\" leads out of the directory %s", path, base);
    if (r == -EFBIG)
        return err_set(reterr, r, "file \"%s\" is longer than 1 MiB", path);
    if (r == -EISDIR)
        return err_set(reterr, r, "\"%s\" is no regular file", path);
    return err_set(reterr, r == -EPERM ? -EACCES : r, "file \"%s\" in %s cannot be read: %s", path,
                   base, strerror(-r));
}

/* A key that everybody on the machine can read is no secret. */
static bool is_exposed_key(const char *text, size_t len, const struct stat *info)
{
    static const char mark[] = "PRIVATE KEY-----";
    return (info->st_mode & S_IROTH) != 0 && memmem(text, len, mark, sizeof(mark) - 1) != NULL;
}

/* The text into `room`. -EPERM: a private key that others may read; schema_common.c adds the
 * remedy. */
static int data_read(const char *base, const char *path, struct arena *room, struct span *ret,
                     struct err *reterr)
{
    struct stat info;
    int fd = open_beneath(base, path);
    if (fd < 0)
        return data_error(fd, path, base, reterr);
    int r = provider_file_read(fd, PROVIDER_DATA_SIZE_MAX, room, ret, &info);
    close(fd);
    if (r != 0)
        return data_error(r, path, base, reterr);
    if (is_exposed_key(ret->ptr, ret->len, &info))
        return err_set(reterr, -EPERM, "file \"%s\" holds a private key that every user may read",
                       path);
    return 0;
}

/* Errors that pass without an event. */
static bool is_passing(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EIO || r == -ESTALE;
}

static int reader_read(const struct decode_files *files, struct span path, struct arena *arena,
                       struct span *ret, struct err *reterr)
{
    const struct reader *reader = container_of(files, const struct reader, super);
    const char *base = reader->source->base;
    struct span text = SPAN_NONE;
    struct arena room;
    if (path.len == 0 || path.len > 1024 || path.ptr[0] == '/' || has_parent_step(path) ||
        memchr(path.ptr, '\0', path.len) != NULL)
        return err_set(reterr, -EINVAL, "path \"%.*s\" must be relative to %s and without \"..\"",
                       (int)MIN(path.len, (size_t)100), path.ptr, base);
    char *name = xasprintf("%.*s", (int)path.len, path.ptr);
    provider_file_watch_path(reader->provider, base, name);
    arena_init(&room, DATA_CHUNK, 0, NULL);
    int r = data_read(base, name, &room, &text, reterr);
    if (is_passing(r))
        reader->source->error = r;
    if (r == 0)
        *ret = arena_copy(arena, text);
    if (r == 0 && ret->ptr == NULL)
        r = err_set(reterr, -ENOMEM, "no memory for a data file");
    if (text.len > 0)
        explicit_bzero((char *)(uintptr_t)text.ptr, text.len);
    arena_fini(&room);
    free(name);
    return r;
}

/* --- decoding one document --- */

struct schema_output *provider_file_doc_item(struct provider_doc *doc)
{
    doc->items = xrealloc(doc->items, (doc->items_count + 1) * sizeof(doc->items[0]));
    struct schema_output *item = &doc->items[doc->items_count++];
    *item = (struct schema_output){0};
    return item;
}

static void report_unknown_kind(struct provider_doc *doc, const struct provider_source *source,
                                const struct doc_node *root)
{
    const char *names[CONF_KIND_COUNT];
    const struct doc_node *kind = doc_find(root, "kind"), *version = doc_find(root, "apiVersion");
    for (unsigned i = 0; i < CONF_KIND_COUNT; i++)
        names[i] = conf_kind_name((enum conf_kind)i);
    struct diag *diag = diags_add(&doc->diags, DIAG_KIND_UNKNOWN, NULL, kind->pos);
    diag->source = source->source;
    diag->length = (unsigned)MIN(kind->text.len, (size_t)100);
    diag_message(diag, "kind %.*s of %.*s is not used by a gateway: all of this kind are ignored",
                 (int)MIN(kind->text.len, (size_t)80), kind->text.ptr,
                 (int)MIN(version->text.len, (size_t)80), version->text.ptr);
    const char *near = diag_did_you_mean(kind->text, names, CONF_KIND_COUNT);
    if (near != NULL)
        diag_hint(diag, "did you mean \"%s\"?", near);
}

static void number(const struct provider_file *provider, struct conf_object *obj)
{
    const struct conf_object *last =
        provider->set != NULL ? objects_find(provider->set, obj->kind, obj->ns, obj->name) : NULL;
    history_number(provider->history, obj, last, provider->load_s);
}

struct decoding {
    struct provider_file *provider;
    struct provider_source *source;
    struct provider_doc *doc;
    struct reader reader;
};

static void decode_root(struct decoding *decoding, const struct doc_node *root, uint64_t digest)
{
    struct schema_output output = {0};
    struct schema_input input = {
        .root = root,
        .source = decoding->source->source,
        .digest = digest,
        .diags = &decoding->doc->diags,
        .files = &decoding->reader.super,
    };
    int r = schema_decode(&input, &output);
    if (r == -ENOENT)
        report_unknown_kind(decoding->doc, decoding->source, root);
    if (r != 0)
        return;
    if (output.is_good)
        number(decoding->provider, output.object);
    decoding->doc->has_files = decoding->doc->has_files || output.has_files;
    *provider_file_doc_item(decoding->doc) = output;
}

/* kind List, and HTTPRouteList and the like, hold objects in items. */
static const struct doc_node *list_items(const struct doc_node *root)
{
    const struct doc_node *kind = doc_find(root, "kind"), *items = doc_find(root, "items");
    if (kind == NULL || kind->type != DOC_SCALAR || items == NULL || items->type != DOC_LIST)
        return NULL;
    return span_ends_with(kind->text, SPAN_LIT("List")) ? items : NULL;
}

static void report_syntax(struct provider_doc *doc, const struct provider_source *source,
                          const struct err *err, struct span text)
{
    enum diag_code code = DIAG_SYNTAX;
    if (err->code == -EEXIST)
        code = DIAG_DUPLICATE_KEY;
    else if (err->code == -ELOOP)
        code = DIAG_ALIAS;
    else if (err->code == -E2BIG)
        code = DIAG_TOO_BIG;
    struct diag *diag =
        diags_add(&doc->diags, code, NULL, (struct conf_pos){err->line, err->column});
    diag->source = source->source;
    diag_message(diag, "%s", err->text);
    /* Findings of Secrets show no excerpt. */
    if (memmem(text.ptr, MIN(text.len, (size_t)DOC_SIZE_MAX), "Secret", 6) != NULL)
        (void)snprintf(diag->object, sizeof(diag->object), "Secret ?");
}

static struct provider_doc *doc_decode(struct provider_file *provider,
                                       struct provider_source *source, struct span text,
                                       uint32_t line)
{
    struct provider_doc *doc = xcalloc(1, sizeof(*doc));
    struct doc_node *root = NULL;
    struct err err = {0};
    struct arena arena;
    doc->digest = hash_fast(text, 0);
    doc->line = line;
    diags_init(&doc->diags);
    arena_init(&arena, TREE_CHUNK, TREE_SIZE_MAX, NULL);
    struct decoding decoding = {
        .provider = provider,
        .source = source,
        .doc = doc,
        .reader = {.super = {reader_read}, .provider = provider, .source = source},
    };
    int r = doc_parse(&arena, text, line, &root, &err);
    if (r != 0) {
        doc->is_broken = true;
        report_syntax(doc, source, &err, text);
        provider_file_find_policies(doc, source->source, text);
    } else if (root != NULL && !doc_is_null(root)) {
        const struct doc_node *items = list_items(root);
        uint64_t index = 0;
        if (items == NULL)
            decode_root(&decoding, root, doc->digest);
        else
            for (const struct doc_node *item = items->first; item != NULL; item = item->next)
                decode_root(&decoding, item, doc->digest + ++index);
    }
    arena_fini(&arena);
    return doc;
}

/* --- a file again --- */

/* The documents of the last reading; each is taken at most once. */
struct lookup {
    struct provider_doc **docs;
    unsigned count, next;
    uint32_t *slots; /* 1 + index by digest, open addressing; made at the first miss of the order */
    uint32_t mask;
};

static struct provider_doc *lookup_take_at(struct lookup *lookup, unsigned at)
{
    struct provider_doc *doc = lookup->docs[at];
    lookup->docs[at] = NULL;
    lookup->next = at + 1;
    return doc;
}

/* The next document, if the text goes on with it: then no end is looked for and no line counted. */
static struct provider_doc *lookup_expect(struct lookup *lookup, struct span rest)
{
    unsigned at = lookup->next;
    const struct provider_doc *doc = at < lookup->count ? lookup->docs[at] : NULL;
    if (doc == NULL || doc->size > rest.len || !doc_ends_at(rest, doc->size) ||
        hash_fast(span_make(rest.ptr, doc->size), 0) != doc->digest)
        return NULL;
    return lookup_take_at(lookup, at);
}

static void lookup_index(struct lookup *lookup)
{
    uint32_t size = 4;
    while (size < 2 * lookup->count)
        size *= 2;
    lookup->slots = xcalloc(size, sizeof(lookup->slots[0]));
    lookup->mask = size - 1;
    for (unsigned i = 0; i < lookup->count; i++) {
        if (lookup->docs[i] == NULL)
            continue;
        uint32_t at = (uint32_t)lookup->docs[i]->digest & lookup->mask;
        while (lookup->slots[at] != 0)
            at = (at + 1) & lookup->mask;
        lookup->slots[at] = i + 1;
    }
}

/* Of several that are equal the first. */
static struct provider_doc *lookup_take(struct lookup *lookup, uint64_t digest)
{
    if (lookup->count == 0)
        return NULL;
    if (lookup->slots == NULL)
        lookup_index(lookup);
    for (uint32_t at = (uint32_t)digest & lookup->mask; lookup->slots[at] != 0;
         at = (at + 1) & lookup->mask) {
        unsigned i = lookup->slots[at] - 1;
        if (lookup->docs[i] != NULL && lookup->docs[i]->digest == digest)
            return lookup_take_at(lookup, i);
    }
    return NULL;
}

static void doc_shift(struct provider_doc *doc, uint32_t line)
{
    int64_t lines = (int64_t)line - (int64_t)doc->line;
    if (lines == 0)
        return;
    doc->line = line;
    for (unsigned i = 0; i < doc->items_count; i++)
        doc->items[i].object->pos.line =
            (uint32_t)((int64_t)doc->items[i].object->pos.line + lines);
    for (unsigned i = 0; i < doc->diags.count; i++) {
        struct conf_pos *pos = &doc->diags.items[i]->pos;
        if (pos->line > 0)
            pos->line = (uint32_t)((int64_t)pos->line + lines);
    }
}

/* Whether decoding again gave the same objects, data files included, without a finding. */
static bool doc_is_same(const struct provider_doc *a, const struct provider_doc *b)
{
    if (a->items_count != b->items_count || a->diags.count > 0 || b->diags.count > 0)
        return false;
    for (unsigned i = 0; i < a->items_count; i++) {
        if (!a->items[i].is_good || !b->items[i].is_good ||
            a->items[i].object->digest != b->items[i].object->digest)
            return false;
    }
    return true;
}

/* old: the document with the same text, taken over; or NULL. */
static struct provider_doc *doc_renew(struct provider_file *provider,
                                      struct provider_source *source, struct provider_doc *old,
                                      struct span text, uint32_t line)
{
    if (old != NULL && !old->is_broken && !old->has_files) {
        doc_shift(old, line);
        return old;
    }
    struct provider_doc *doc = doc_decode(provider, source, text, line);
    if (old != NULL && doc_is_same(old, doc)) {
        doc_shift(old, line);
        doc_free(doc);
        return old;
    }
    doc_free(old);
    return doc;
}

/* The version of an item that is in force; NULL: none. */
static struct conf_object *item_version(const struct provider_file *provider,
                                        const struct schema_output *item)
{
    const struct conf_object *obj = item->object;
    if (item->is_good)
        return item->object;
    if (provider->set == NULL || obj->name.len == 0)
        return NULL;
    return (struct conf_object *)(uintptr_t)objects_find(provider->set, obj->kind, obj->ns,
                                                         obj->name);
}

static void keep_stale(const struct provider_file *provider, struct provider_source *source,
                       struct lookup *lookup)
{
    unsigned count = source->stale_count;
    for (unsigned i = 0; i < lookup->count; i++)
        count += lookup->docs[i] != NULL ? lookup->docs[i]->items_count : 0;
    struct conf_object **stale = xcalloc(MAX(count, 1u), sizeof(stale[0]));
    unsigned kept = 0;
    /* The newest first: it is the one that is used. */
    for (unsigned i = 0; i < lookup->count; i++) {
        const struct provider_doc *doc = lookup->docs[i];
        for (unsigned j = 0; doc != NULL && j < doc->items_count; j++) {
            struct conf_object *obj = item_version(provider, &doc->items[j]);
            if (obj != NULL)
                stale[kept++] = conf_object_ref(obj);
        }
    }
    for (unsigned i = 0; i < source->stale_count; i++)
        stale[kept++] = conf_object_ref(source->stale[i]);
    provider_file_drop_stale(source);
    source->stale = stale;
    source->stale_count = kept;
}

/* What was not found again: gone, or hidden by a document that cannot be parsed. */
static void finish(const struct provider_file *provider, struct provider_source *source,
                   struct lookup *lookup, bool is_broken)
{
    if (is_broken)
        keep_stale(provider, source, lookup);
    else
        provider_file_drop_stale(source);
    for (unsigned i = 0; i < lookup->count; i++)
        doc_free(lookup->docs[i]);
    free(lookup->docs);
    free(lookup->slots);
}

/* The next document of the text: the one that stood there, or one that is cut off. */
static struct provider_doc *parse_next(struct provider_file *provider,
                                       struct provider_source *source, struct lookup *lookup,
                                       struct doc_cut *cut)
{
    struct span rest = span_skip(cut->text, cut->offset), piece;
    uint32_t line = cut->line;
    struct provider_doc *doc = lookup_expect(lookup, rest);
    if (doc != NULL) {
        piece = span_make(rest.ptr, doc->size);
        cut->offset += doc->size;
        cut->line += doc->lines;
    } else {
        if (!doc_split(cut, &piece, &line))
            return NULL;
        doc = lookup_take(lookup, hash_fast(piece, 0));
    }
    doc = doc_renew(provider, source, doc, piece, line);
    doc->size = (uint32_t)piece.len;
    doc->lines = cut->line - line;
    return doc;
}

void provider_file_parse(struct provider_file *provider, struct provider_source *source)
{
    struct lookup lookup = {.docs = source->docs, .count = source->docs_count};
    struct doc_cut cut = doc_cut_begin(span_make(source->source->text, source->source->text_len));
    struct provider_doc **docs = NULL, *doc;
    unsigned count = 0, cap = lookup.count + 16;
    bool is_broken = false;
    docs = xmalloc(cap * sizeof(docs[0]));
    while ((doc = parse_next(provider, source, &lookup, &cut)) != NULL) {
        if (count == cap) {
            cap *= 2;
            docs = xrealloc(docs, cap * sizeof(docs[0]));
        }
        is_broken = is_broken || doc->is_broken;
        docs[count++] = doc;
    }
    source->docs = xrealloc(docs, MAX(count, 1u) * sizeof(docs[0])); /* often one of 16 */
    source->docs_count = count;
    finish(provider, source, &lookup, is_broken);
}

/* --- PEM directories --- */

/* BASE/tls/<namespace>/<name>: the two last steps of the path. */
static bool pem_names(const char *path, struct span *ret_ns, struct span *ret_name)
{
    struct span text = span_str(path);
    size_t slash = text.len, before;
    while (slash > 0 && text.ptr[slash - 1] != '/')
        slash--;
    if (slash < 2)
        return false;
    before = slash - 1;
    while (before > 0 && text.ptr[before - 1] != '/')
        before--;
    *ret_name = span_skip(text, slash);
    *ret_ns = span_make(text.ptr + before, slash - 1 - before);
    return true;
}

/* The Secret is written as the document it stands for and goes the way of all documents. */
void provider_file_parse_pem(struct provider_file *provider, struct provider_source *source)
{
    struct lookup lookup = {.docs = source->docs, .count = source->docs_count};
    struct span ns, name;
    struct buf text;
    if (!pem_names(source->path, &ns, &name))
        return;
    char *certificate = xasprintf("%s/tls.crt", source->path);
    bool is_certbot = !provider_file_is_there(certificate);
    free(certificate);
    const char *below = source->path + strlen(source->base) + 1;
    const char *files[] = {is_certbot ? "fullchain.pem" : "tls.crt",
                           is_certbot ? "privkey.pem" : "tls.key"};
    buf_init(&text, 16384);
    buf_printf(&text,
               "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"type\":\"kubernetes.io/tls\","
               "\"metadata\":{\"namespace\":\"%.*s\",\"name\":\"%.*s\",\"annotations\":"
               "{\"ringgate.dev/files\":'{\"tls.crt\":\"%s/%s\",\"tls.key\":\"%s/%s\"}'}}}",
               SPAN_ARG(ns), SPAN_ARG(name), below, files[0], below, files[1]);
    struct span document = buf_span(&text);
    struct provider_doc *old = lookup_take(&lookup, hash_fast(document, 0));
    source->docs = xmalloc(sizeof(source->docs[0]));
    source->docs[0] = doc_renew(provider, source, old, document, 1);
    source->docs_count = 1;
    /* It has no lines that a person could look at. */
    for (unsigned i = 0; i < source->docs[0]->diags.count; i++)
        source->docs[0]->diags.items[i]->pos = (struct conf_pos){0, 0};
    finish(provider, source, &lookup, source->docs[0]->is_broken);
    buf_fini(&text);
}
