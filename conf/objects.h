/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_OBJECTS_H
#define RINGGATE_CONF_OBJECTS_H

/* A set of API objects at one moment: immutable once sealed, shared by
 * reference count (control thread only). A new set is made from the old one's
 * unchanged objects and the newly decoded ones. */

#include "base/panic.h"
#include "conf/kinds.h"

struct objects;

struct objects *objects_new(void);
struct objects *objects_ref(struct objects *set);
void objects_unref(struct objects *set); /* NULL is ignored */
/* Takes a reference on obj. -EEXIST: same kind, namespace and name is there already (*ret_other,
 * which may be NULL); -ENAMETOOLONG: longer than any name of the API. */
MUST_CHECK int objects_add(struct objects *set, struct conf_object *obj,
                           struct conf_object **ret_other);
/* No more changes; sorts. */
void objects_seal(struct objects *set);
/* The same, for a set that shares most objects with a sealed one: their order is taken over. */
void objects_seal_after(struct objects *set, const struct objects *last);
/* Whether two sealed sets hold the very same objects. */
bool objects_is_same(const struct objects *a, const struct objects *b);
/* NULL: not there. Cluster-scoped kinds: ns is ignored. */
const struct conf_object *objects_find(const struct objects *set, enum conf_kind kind,
                                       struct span ns, struct span name);
/* All of a kind, oldest first (created_s, then namespace/name). Sealed sets only. */
const struct conf_object *const *objects_list(const struct objects *set, enum conf_kind kind,
                                              unsigned *ret_count);
/* The order of objects_list: less than 0 when a is the older. */
int objects_compare_age(const struct conf_object *a, const struct conf_object *b);
/* Slices of a Service (label kubernetes.io/service-name). Sealed sets only. */
const struct conf_object *const *objects_slices(const struct objects *set, struct span ns,
                                                struct span service, unsigned *ret_count);

/* Objects in the set, of all kinds. */
unsigned objects_count(const struct objects *set);

/* Zeroed but for kind and refs (1). The caller calls arena_init before it uses obj->arena. */
struct conf_object *conf_object_new(enum conf_kind kind);
struct conf_object *conf_object_ref(struct conf_object *obj);
void conf_object_unref(struct conf_object *obj); /* NULL is ignored; also unrefs obj->source */

/* A file's name and text with one reference. text may be NULL; it is taken over (free) and zeroed
 * before it is freed, since it may hold keys. */
struct conf_source *conf_source_new(const char *path, char *text, size_t text_len);
/* A source that is not counted (refs 0, as in tests) is left alone by both. */
const struct conf_source *conf_source_ref(const struct conf_source *source);
void conf_source_unref(const struct conf_source *source); /* NULL is ignored */
/* Replaces the text; NULL forgets it. Only for the one who made the source. */
void conf_source_set_text(struct conf_source *source, char *text, size_t text_len);
/* The same with a text that stays the caller's, until the next of these calls; zeroed then. */
void conf_source_lend_text(struct conf_source *source, struct span text);

const char *conf_kind_name(enum conf_kind kind); /* "HTTPRoute" */
const char *conf_kind_group(enum conf_kind kind); /* "" for core */
/* By group and kind; CONF_KIND_NONE. */
enum conf_kind conf_kind_find(struct span group, struct span kind);
bool conf_kind_is_namespaced(enum conf_kind kind);
enum conf_kind conf_ref_kind(const struct conf_ref *ref); /* CONF_KIND_NONE: none of ours */
/* Where it stands in the file, now; nowhere for none. */
struct conf_pos conf_place_pos(const struct conf_object *obj, struct conf_place place);

#endif
