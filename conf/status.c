/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/status.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hmap.h"
#include "base/json_out.h"
#include "base/panic.h"

#define CONTROLLER "ringgate.dev/gateway-controller"
/* A Gateway with 64 listeners needs about 100 KiB. */
#define DOCUMENT_SIZE_MAX (4u << 20)

/* Most have two. */
static void conditions_grow(struct arena *arena, struct status_conditions *conditions)
{
    unsigned cap = MAX(conditions->cap * 2, 2u);
    struct status_condition *items = arena_array(arena, struct status_condition, cap);
    ASSERT(items);
    if (conditions->count > 0)
        memcpy(items, conditions->items, conditions->count * sizeof(items[0]));
    conditions->items = items;
    conditions->cap = cap;
}

void status_set(struct arena *arena, struct status_conditions *conditions,
                const struct status_condition *condition)
{
    unsigned i = 0;
    while (i < conditions->count && strcmp(conditions->items[i].type, condition->type) != 0)
        i++;
    if (i == conditions->cap)
        conditions_grow(arena, conditions);
    if (i == conditions->count)
        conditions->count++;
    conditions->items[i] = *condition;
}

static void set_false(struct statuses *statuses, struct status_conditions *conditions,
                      const char *type, const char *reason, struct span message)
{
    status_set(&statuses->arena, conditions,
               &(struct status_condition){.type = type, .reason = reason, .message = message});
}

const struct status_condition *status_find(const struct status_conditions *conditions,
                                           const char *type)
{
    for (unsigned i = 0; i < conditions->count; i++) {
        if (strcmp(conditions->items[i].type, type) == 0)
            return &conditions->items[i];
    }
    return NULL;
}

void statuses_free(struct statuses *statuses)
{
    if (!statuses)
        return;
    arena_fini(&statuses->arena);
    objects_unref(statuses->objects);
    objects_unref(statuses->refused);
    free(statuses);
}

struct status *statuses_find(const struct statuses *statuses, enum conf_kind kind, struct span ns,
                             struct span name)
{
    for (unsigned i = 0; i < statuses->count; i++) {
        const struct conf_object *object = statuses->items[i].object;
        if (object->kind == kind && span_equal(object->ns, ns) && span_equal(object->name, name))
            return &statuses->items[i];
    }
    return NULL;
}

static struct status_listener *listener_find(struct status *status, struct span name)
{
    for (unsigned i = 0; status && i < status->listeners_count; i++) {
        if (span_equal(status->listeners[i].name, name))
            return &status->listeners[i];
    }
    return NULL;
}

/* A listener lost its Programmed: the Gateway follows when none is left. */
static void gateway_update(struct statuses *statuses, struct status *status, const char *reason,
                           struct span message)
{
    const struct status_condition *now = status_find(&status->conditions, "Programmed");
    for (unsigned i = 0; i < status->listeners_count; i++) {
        const struct status_condition *programmed =
            status_find(&status->listeners[i].conditions, "Programmed");
        if (programmed && programmed->is_true)
            return;
    }
    if (now && now->is_true)
        set_false(statuses, &status->conditions, "Programmed", reason, message);
}

void statuses_set_listener_cert_invalid(struct statuses *statuses,
                                        const struct status_listener_id *id, bool is_served,
                                        struct span message)
{
    struct status *status = statuses_find(statuses, CONF_KIND_GATEWAY, id->gateway_ns, id->gateway);
    struct status_listener *listener = listener_find(status, id->listener);
    if (!listener)
        return;
    message = arena_copy(&statuses->arena, message);
    set_false(statuses, &listener->conditions, "ResolvedRefs", "InvalidCertificateRef", message);
    const struct status_condition *now = status_find(&status->conditions, "ResolvedRefs");
    if (now && now->is_true)
        set_false(statuses, &status->conditions, "ResolvedRefs", "ListenersNotResolved", message);
    if (is_served)
        return;
    set_false(statuses, &listener->conditions, "Programmed", "Invalid", message);
    gateway_update(statuses, status, "Invalid", message);
}

void statuses_set_listener_unbound(struct statuses *statuses, const struct status_listener_id *id,
                                   struct span message)
{
    struct status *status = statuses_find(statuses, CONF_KIND_GATEWAY, id->gateway_ns, id->gateway);
    struct status_listener *listener = listener_find(status, id->listener);
    if (!listener)
        return;
    message = arena_copy(&statuses->arena, message);
    set_false(statuses, &listener->conditions, "Programmed", "Invalid", message);
    gateway_update(statuses, status, "AddressNotUsable", message);
}

/* The first error that was found in the object, and how many more there are. */
static struct span refusal_message(struct statuses *statuses, const struct conf_object *object,
                                   const struct diags *diags)
{
    const struct diag *first = NULL;
    unsigned count = 0;
    char name[sizeof(first->object)];
    snprintf(name, sizeof(name), "%s %.*s%s%.*s", conf_kind_name(object->kind),
             SPAN_ARG(object->ns), object->ns.len > 0 ? "/" : "", SPAN_ARG(object->name));
    for (unsigned i = 0; i < diags->count; i++) {
        const struct diag *diag = diags->items[i];
        if (diag_code_severity(diag->code) != DIAG_ERROR || strcmp(diag->object, name) != 0)
            continue;
        first = first != NULL ? first : diag;
        count++;
    }
    if (first == NULL)
        return SPAN_LIT("the object is not valid");
    struct span more =
        count > 1 ? arena_printf(&statuses->arena, " (and %u more)", count - 1) : SPAN_NONE;
    return arena_printf(&statuses->arena, "%s %s%s%s%.*s", diag_code_text(first->code),
                        first->field, first->field[0] != '\0' ? ": " : "", first->message,
                        SPAN_ARG(more));
}

/* Objects that could not be decoded stay as they were, or have no status but this. */
static void status_refuse(struct statuses *statuses, const struct conf_object *object,
                          const struct diags *diags)
{
    struct span message = refusal_message(statuses, object, diags);
    struct status *status = statuses_find(statuses, object->kind, object->ns, object->name);
    bool is_new = status == NULL;
    if (is_new) {
        status = &statuses->items[statuses->count++];
        status->object = object;
    }
    set_false(statuses, &status->conditions, "Valid", "Invalid", message);
    if (is_new)
        set_false(statuses, &status->conditions, "Accepted", "Invalid", message);
}

void statuses_add_refused(struct statuses *statuses, struct objects *refused,
                          const struct diags *diags)
{
    unsigned total = statuses->count + objects_count(refused);
    struct status *items = arena_array(&statuses->arena, struct status, total);
    if (items == NULL)
        panic(__FILE__, __LINE__, "no memory for statuses");
    if (statuses->count > 0)
        memcpy(items, statuses->items, statuses->count * sizeof(*items));
    statuses->items = items;
    statuses->refused = objects_ref(refused);
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        unsigned count;
        const struct conf_object *const *list = objects_list(refused, (enum conf_kind)kind, &count);
        for (unsigned i = 0; i < count; i++)
            status_refuse(statuses, list[i], diags);
    }
}

/* --- text --- */

/* A quoted scalar: JSON's escapes are YAML's too. */
static void quote(struct buf *out, struct span text)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_span(&json, text);
}

/* What a document said before, to find when a condition last changed. The lines are our own. */
struct writer {
    struct buf *out;
    struct span previous;
    const char *now_iso;
    int64_t generation;
    struct buf owner; /* the line that begins the listener or parent whose conditions follow */
};

static bool line_value(struct span line, const char *key, struct span *ret)
{
    if (!span_starts_with(line, span_str(key)))
        return false;
    *ret = span_skip(line, strlen(key));
    return true;
}

/* The old lastTransitionTime of a condition with the same status, or now. */
static struct span transition_time(const struct writer *writer, const char *type,
                                   const char *status)
{
    struct span rest = writer->previous, line, owner = SPAN_NONE, value;
    struct span seen_type = SPAN_NONE, seen_status = SPAN_NONE;
    while (rest.len > 0) {
        (void)span_split(rest, '\n', &line, &rest);
        if (span_starts_with(line, SPAN_LIT("  - name: ")) ||
            span_starts_with(line, SPAN_LIT("  - parentRef: ")) ||
            span_starts_with(line, SPAN_LIT("  - ancestorRef: ")))
            owner = line;
        line = span_trim(line);
        if (line_value(line, "- type: ", &value))
            seen_type = value;
        else if (line_value(line, "status: ", &value))
            seen_status = value;
        else if (line_value(line, "lastTransitionTime: ", &value) &&
                 span_equal(owner, buf_span(&writer->owner)) && span_equal_str(seen_type, type) &&
                 span_equal_str(seen_status, status))
            return value;
    }
    return SPAN_NONE;
}

static void write_conditions(const struct writer *writer,
                             const struct status_conditions *conditions, const char *indent)
{
    struct buf *out = writer->out;
    if (conditions->count == 0) {
        buf_printf(out, "%sconditions: []\n", indent);
        return;
    }
    buf_printf(out, "%sconditions:\n", indent);
    for (unsigned i = 0; i < conditions->count; i++) {
        const struct status_condition *condition = &conditions->items[i];
        const char *status = condition->is_true ? "\"True\"" : "\"False\"";
        struct span when = transition_time(writer, condition->type, status);
        buf_printf(out, "%s- type: %s\n%s  status: %s\n%s  reason: %s\n%s  message: ", indent,
                   condition->type, indent, status, indent, condition->reason, indent);
        quote(out, condition->message);
        buf_printf(out, "\n%s  observedGeneration: %lld\n%s  lastTransitionTime: ", indent,
                   (long long)writer->generation, indent);
        if (when.len > 0)
            buf_add_span(out, when);
        else
            quote(out, span_str(writer->now_iso));
        buf_add_char(out, '\n');
    }
}

static void write_member(struct buf *out, const char *key, struct span value)
{
    if (value.len == 0)
        return;
    buf_printf(out, ", %s: ", key);
    quote(out, value);
}

static void write_listeners(struct writer *writer, const struct status *status)
{
    buf_add_str(writer->out, "  listeners:\n");
    for (unsigned i = 0; i < status->listeners_count; i++) {
        const struct status_listener *listener = &status->listeners[i];
        buf_reset(&writer->owner);
        buf_add_str(&writer->owner, "  - name: ");
        quote(&writer->owner, listener->name);
        buf_add_span(writer->out, buf_span(&writer->owner));
        buf_printf(writer->out, "\n    attachedRoutes: %u\n    supportedKinds:%s\n",
                   listener->attached_routes, listener->supported_kinds_count > 0 ? "" : " []");
        for (unsigned j = 0; j < listener->supported_kinds_count; j++)
            buf_printf(writer->out, "    - {group: %s, kind: %s}\n", CONF_GROUP_GATEWAY,
                       listener->supported_kinds[j]);
        write_conditions(writer, &listener->conditions, "    ");
    }
}

static void write_parents(struct writer *writer, const struct status *status)
{
    enum conf_kind kind = status->object->kind;
    bool is_route =
        kind == CONF_KIND_HTTP_ROUTE || kind == CONF_KIND_GRPC_ROUTE || kind == CONF_KIND_TCP_ROUTE;
    const char *empty = status->parents_count > 0 ? "" : " []";
    buf_printf(writer->out, "  %s:%s\n", is_route ? "parents" : "ancestors", empty);
    for (unsigned i = 0; i < status->parents_count; i++) {
        const struct conf_ref *ref = &status->parents[i].ref;
        struct buf *owner = &writer->owner;
        buf_reset(owner);
        buf_printf(owner, "  - %s: {group: ", is_route ? "parentRef" : "ancestorRef");
        quote(owner, span_str(ref->group));
        write_member(owner, "kind", span_str(ref->kind));
        if (ref->has_ns)
            write_member(owner, "namespace", ref->ns);
        write_member(owner, "name", ref->name);
        write_member(owner, "sectionName", span_str(ref->section_name));
        if (ref->port > 0)
            buf_printf(owner, ", port: %u", ref->port);
        buf_add_char(owner, '}');
        buf_add_span(writer->out, buf_span(owner));
        buf_printf(writer->out, "\n    controllerName: %s\n", CONTROLLER);
        write_conditions(writer, &status->parents[i].conditions, "    ");
    }
}

void status_format(const struct status *status, const char *now_iso, struct span previous,
                   struct buf *out)
{
    const struct conf_object *object = status->object;
    struct writer writer = {
        .out = out, .previous = previous, .now_iso = now_iso, .generation = object->generation};
    buf_init(&writer.owner, DOCUMENT_SIZE_MAX);
    buf_add_str(out, "apiVersion: ");
    quote(out, object->api_version);
    buf_printf(out, "\nkind: %s\nmetadata:\n  name: ", conf_kind_name(object->kind));
    quote(out, object->name);
    if (object->ns.len > 0) {
        buf_add_str(out, "\n  namespace: ");
        quote(out, object->ns);
    }
    buf_printf(out, "\n  generation: %lld\nstatus:\n", (long long)object->generation);
    if (object->kind == CONF_KIND_GATEWAY) {
        buf_printf(out, "  addresses:%s\n", status->addresses_count > 0 ? "" : " []");
        for (unsigned i = 0; i < status->addresses_count; i++) {
            buf_add_str(out, "  - {type: IPAddress");
            write_member(out, "value", status->addresses[i]);
            buf_add_str(out, "}\n");
        }
    }
    if (status->conditions.count > 0)
        write_conditions(&writer, &status->conditions, "  ");
    if (object->kind == CONF_KIND_GATEWAY)
        write_listeners(&writer, status);
    else if (status->parents_count > 0 || status->conditions.count == 0)
        write_parents(&writer, status);
    buf_fini(&writer.owner);
}

/* --- files --- */

/* One relative path below the status directory. */
struct entry {
    struct hmap_node node;
    char path[640];
};

struct directory {
    const char *path;
    int fd;
    struct hmap known; /* entries of this run */
    struct entry *entries;
    int result; /* first failure */
    struct err *reterr;
};

static void directory_fail(struct directory *dir, int code, const char *path)
{
    if (dir->result == 0)
        dir->result = err_set(dir->reterr, code, "%s/%s: %s", dir->path, path, strerror(-code));
}

/* Names come from objects; one that could leave the directory is not written. */
static bool is_file_name(struct span name)
{
    return name.len > 0 && name.len < 255 && name.ptr[0] != '.' && span_find_char(name, '/') < 0 &&
           !memchr(name.ptr, '\0', name.len);
}

/* group_Kind/namespace/name.yaml; makes the directories. */
static int entry_path(struct directory *dir, const struct conf_object *object, struct entry *entry)
{
    const char *group = conf_kind_group(object->kind);
    struct span ns = object->ns.len > 0 ? object->ns : SPAN_LIT("cluster");
    if (!is_file_name(ns) || !is_file_name(object->name))
        return -EINVAL;
    size_t size = sizeof(entry->path);
    int len = snprintf(entry->path, size, "%s_%s", group[0] ? group : "core",
                       conf_kind_name(object->kind));
    if (mkdirat(dir->fd, entry->path, 0755) < 0 && errno != EEXIST)
        return -errno;
    len += snprintf(entry->path + len, size - (size_t)len, "/%.*s", SPAN_ARG(ns));
    if (mkdirat(dir->fd, entry->path, 0755) < 0 && errno != EEXIST)
        return -errno;
    len += snprintf(entry->path + len, size - (size_t)len, "/%.*s.yaml", SPAN_ARG(object->name));
    return (size_t)len < size ? 0 : -ENAMETOOLONG;
}

static void write_one(struct directory *dir, const struct status *status, struct entry *entry,
                      const char *now_iso)
{
    struct buf old, text;
    int result = entry_path(dir, status->object, entry);
    if (result < 0) {
        directory_fail(dir, result, entry->path);
        return;
    }
    hmap_insert(&dir->known, &entry->node, span_str(entry->path));
    buf_init(&old, DOCUMENT_SIZE_MAX);
    buf_init(&text, DOCUMENT_SIZE_MAX);
    if (file_read(dir->fd, entry->path, O_NOFOLLOW, &old) != 0)
        buf_reset(&old); /* not there, or not ours: it is written */
    status_format(status, now_iso, buf_span(&old), &text);
    if (!buf_ok(&text))
        result = -EFBIG;
    else if (!span_equal(buf_span(&old), buf_span(&text)))
        result = file_replace(dir->fd, entry->path, buf_span(&text));
    if (result < 0)
        directory_fail(dir, result, entry->path);
    buf_fini(&old);
    buf_fini(&text);
}

/* Removes documents in one directory of ours whose objects are gone. path: "group_Kind/namespace"
 * or "group_Kind", which has directories in it. */
static void sweep(struct directory *dir, const char *path, bool has_files)
{
    int fd = openat(dir->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    if (!list) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *item; (item = readdir(list)) != NULL;) {
        char child[640];
        int len = snprintf(child, sizeof(child), "%s/%s", path, item->d_name);
        if (item->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof(child))
            continue;
        if (!has_files)
            sweep(dir, child, true); /* at most two levels */
        else if (span_ends_with(span_str(child), SPAN_LIT(".yaml")) &&
                 !hmap_find(&dir->known, span_str(child)) && unlinkat(dir->fd, child, 0) < 0)
            directory_fail(dir, -errno, child);
    }
    closedir(list);
    if (has_files)
        (void)unlinkat(dir->fd, path, AT_REMOVEDIR); /* when it is empty */
}

/* Only directories that this file names are looked at. */
static void sweep_all(struct directory *dir)
{
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        const char *group = conf_kind_group((enum conf_kind)kind);
        char path[320];
        snprintf(path, sizeof(path), "%s_%s", group[0] ? group : "core",
                 conf_kind_name((enum conf_kind)kind));
        sweep(dir, path, false);
    }
}

int statuses_write(const struct statuses *statuses, const char *dir_path, struct err *reterr)
{
    struct directory dir = {.path = dir_path, .reterr = reterr};
    char now_iso[CLOCK_ISO_SIZE];
    clock_iso(clock_wall_ns(), now_iso);
    memcpy(now_iso + 19, "Z", 2); /* the API has whole seconds */
    if (mkdir(dir_path, 0755) < 0 && errno != EEXIST)
        return err_set(reterr, -errno, "%s: %s", dir_path, strerror(errno));
    dir.fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir.fd < 0)
        return err_set(reterr, -errno, "%s: %s", dir_path, strerror(errno));
    hmap_init(&dir.known, statuses->count);
    dir.entries = xcalloc(statuses->count + 1, sizeof(*dir.entries));
    for (unsigned i = 0; i < statuses->count; i++)
        write_one(&dir, &statuses->items[i], &dir.entries[i], now_iso);
    sweep_all(&dir);
    hmap_fini(&dir.known);
    free(dir.entries);
    close(dir.fd);
    return dir.result;
}
