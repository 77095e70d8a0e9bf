/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* A set is a table from kind, namespace and name to an object, and for each
 * kind an array that sealing sorts. EndpointSlices have a second array, sorted
 * by the Service they belong to, so that all slices of one stand together.
 * An object keeps the hash of its name: a set of ten thousand that differs
 * from the last in one is made without reading their names again. */

struct object_slot {
    uint32_t hash; /* upper half: the lower one says where the search begins */
    uint32_t number; /* 1 + index into all; 0: free */
};

struct object_array {
    const struct conf_object **items;
    unsigned count, cap;
};

struct objects {
    unsigned refs;
    bool is_sealed;
    struct object_slot *slots;
    uint32_t mask;
    struct conf_object **all; /* as they were added */
    unsigned count, cap;
    struct object_array kinds[CONF_KIND_COUNT];
    const struct conf_object **slices; /* by namespace, Service, age */
};

/* The API bounds namespaces and names to 253 bytes each. */
#define KEY_SIZE_MAX 1024

static const struct kind_info {
    struct span group, name;
    bool is_namespaced;
} kind_infos[CONF_KIND_COUNT] = {
#define KIND(group, name)                                                                          \
    {(group), sizeof(group) - 1},                                                                  \
    {                                                                                              \
        (name), sizeof(name) - 1                                                                   \
    }
    [CONF_KIND_GATEWAY_CLASS] = {KIND(CONF_GROUP_GATEWAY, "GatewayClass"), false},
    [CONF_KIND_GATEWAY] = {KIND(CONF_GROUP_GATEWAY, "Gateway"), true},
    [CONF_KIND_HTTP_ROUTE] = {KIND(CONF_GROUP_GATEWAY, "HTTPRoute"), true},
    [CONF_KIND_GRPC_ROUTE] = {KIND(CONF_GROUP_GATEWAY, "GRPCRoute"), true},
    [CONF_KIND_TCP_ROUTE] = {KIND(CONF_GROUP_GATEWAY, "TCPRoute"), true},
    [CONF_KIND_REFERENCE_GRANT] = {KIND(CONF_GROUP_GATEWAY, "ReferenceGrant"), true},
    [CONF_KIND_BACKEND_TLS_POLICY] = {KIND(CONF_GROUP_GATEWAY, "BackendTLSPolicy"), true},
    [CONF_KIND_TRAFFIC_POLICY] = {KIND("gateway.networking.x-k8s.io", "XBackendTrafficPolicy"),
                                  true},
    [CONF_KIND_SERVICE] = {KIND("", "Service"), true},
    [CONF_KIND_ENDPOINT_SLICE] = {KIND("discovery.k8s.io", "EndpointSlice"), true},
    [CONF_KIND_XBACKEND] = {KIND("gateway.networking.x-k8s.io", "XBackend"), true},
    [CONF_KIND_SECRET] = {KIND("", "Secret"), true},
    [CONF_KIND_CONFIG_MAP] = {KIND("", "ConfigMap"), true},
    [CONF_KIND_NAMESPACE] = {KIND("", "Namespace"), false},
    [CONF_KIND_RATE_LIMIT_POLICY] = {KIND(CONF_GROUP_OWN, "RateLimitPolicy"), true},
    [CONF_KIND_RATE_LIMIT_STORE] = {KIND(CONF_GROUP_OWN, "RateLimitStore"), true},
#undef KIND
};

const char *conf_kind_name(enum conf_kind kind)
{
    ASSERT(kind < CONF_KIND_COUNT);
    return kind_infos[kind].name.ptr;
}

const char *conf_kind_group(enum conf_kind kind)
{
    ASSERT(kind < CONF_KIND_COUNT);
    return kind_infos[kind].group.ptr;
}

enum conf_kind conf_kind_find(struct span group, struct span kind)
{
    for (unsigned i = 0; i < CONF_KIND_COUNT; i++) {
        if (span_equal(kind, kind_infos[i].name) && span_equal(group, kind_infos[i].group))
            return (enum conf_kind)i;
    }
    return CONF_KIND_NONE;
}

bool conf_kind_is_namespaced(enum conf_kind kind)
{
    ASSERT(kind < CONF_KIND_COUNT);
    return kind_infos[kind].is_namespaced;
}

enum conf_kind conf_ref_kind(const struct conf_ref *ref)
{
    return conf_kind_find(span_str(ref->group), span_str(ref->kind));
}

struct conf_pos conf_place_pos(const struct conf_object *obj, struct conf_place place)
{
    if (place.line == 0)
        return (struct conf_pos){0, 0};
    uint32_t left = place.line == 1 && place.column > 0 ? obj->pos.column - 1 : 0;
    return (struct conf_pos){obj->pos.line + place.line - 1, left + place.column};
}

struct conf_source *conf_source_new(const char *path, char *text, size_t text_len)
{
    ASSERT(path != NULL);
    struct conf_source *source = xcalloc(1, sizeof(*source));
    *source =
        (struct conf_source){.path = xstrdup(path), .text = text, .text_len = text_len, .refs = 1};
    return source;
}

/* The counter is the only thing that changes in a shared source. */
static struct conf_source *source_writable(const struct conf_source *source)
{
    return (struct conf_source *)(uintptr_t)source;
}

static void text_drop(struct conf_source *source)
{
    if (source->text == NULL)
        return;
    char *writable = (char *)(uintptr_t)source->text;
    explicit_bzero(writable, source->text_len);
    if (!source->is_lent)
        free(writable);
    source->text = NULL;
    source->text_len = 0;
}

const struct conf_source *conf_source_ref(const struct conf_source *source)
{
    if (source != NULL && source->refs > 0)
        source_writable(source)->refs++;
    return source;
}

void conf_source_unref(const struct conf_source *source)
{
    if (source == NULL || source->refs == 0)
        return;
    struct conf_source *owned = source_writable(source);
    if (--owned->refs > 0)
        return;
    text_drop(owned);
    free((char *)(uintptr_t)owned->path);
    free(owned);
}

void conf_source_set_text(struct conf_source *source, char *text, size_t text_len)
{
    ASSERT(source != NULL && source->refs > 0);
    text_drop(source);
    source->text = text;
    source->text_len = text_len;
    source->is_lent = false;
}

void conf_source_lend_text(struct conf_source *source, struct span text)
{
    text_drop(source);
    source->text = text.ptr;
    source->text_len = text.len;
    source->is_lent = true;
}

struct conf_object *conf_object_new(enum conf_kind kind)
{
    ASSERT(kind < CONF_KIND_COUNT);
    struct conf_object *obj = xcalloc(1, sizeof(*obj));
    obj->kind = kind;
    obj->refs = 1;
    return obj;
}

struct conf_object *conf_object_ref(struct conf_object *obj)
{
    ASSERT(obj != NULL && obj->refs > 0);
    obj->refs++;
    return obj;
}

static void pairs_wipe(struct conf_pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (pairs[i].value.len > 0)
            explicit_bzero((char *)(uintptr_t)pairs[i].value.ptr, pairs[i].value.len);
    }
}

void conf_object_unref(struct conf_object *obj)
{
    if (obj == NULL)
        return;
    ASSERT(obj->refs > 0);
    if (--obj->refs > 0)
        return;
    /* Uncounted sources are those of objects made by hand: their data may be constant. */
    if (obj->kind == CONF_KIND_SECRET && obj->secret != NULL && obj->source != NULL &&
        obj->source->refs > 0)
        pairs_wipe(obj->secret->data, obj->secret->data_count);
    conf_source_unref(obj->source);
    arena_fini(&obj->arena);
    free(obj);
}

#define SLOTS_MIN 16

struct objects *objects_new(void)
{
    struct objects *set = xcalloc(1, sizeof(*set));
    set->refs = 1;
    set->mask = SLOTS_MIN - 1;
    set->slots = xcalloc(SLOTS_MIN, sizeof(set->slots[0]));
    return set;
}

struct objects *objects_ref(struct objects *set)
{
    ASSERT(set != NULL && set->refs > 0);
    set->refs++;
    return set;
}

void objects_unref(struct objects *set)
{
    if (set == NULL)
        return;
    ASSERT(set->refs > 0);
    if (--set->refs > 0)
        return;
    for (unsigned i = 0; i < set->count; i++)
        conf_object_unref(set->all[i]);
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++)
        free(set->kinds[kind].items);
    free(set->all);
    free(set->slices);
    free(set->slots);
    free(set);
}

/* What names an object; a kind without namespaces has none. */
struct object_name {
    enum conf_kind kind;
    struct span ns, name;
    uint64_t hash; /* never 0; 0 here: longer than any object's name */
};

static struct object_name name_make(enum conf_kind kind, struct span ns, struct span name)
{
    char key[KEY_SIZE_MAX], *at = key;
    if (!kind_infos[kind].is_namespaced)
        ns = SPAN_NONE;
    struct object_name ret = {.kind = kind, .ns = ns, .name = name};
    if (ns.len + name.len + 2 > sizeof(key))
        return ret;
    *at++ = (char)kind;
    if (ns.len > 0)
        memcpy(at, ns.ptr, ns.len);
    at += ns.len;
    *at++ = '\0';
    if (name.len > 0)
        memcpy(at, name.ptr, name.len);
    size_t len = (size_t)(at - key) + name.len;
    ret.hash = hash_sip(hash_process_key(), span_make(key, len)) | 1u << 31;
    return ret;
}

static struct object_name name_of(struct conf_object *obj)
{
    if (obj->name_hash == 0)
        obj->name_hash = name_make(obj->kind, obj->ns, obj->name).hash;
    bool has_ns = kind_infos[obj->kind].is_namespaced;
    return (struct object_name){obj->kind, has_ns ? obj->ns : SPAN_NONE, obj->name, obj->name_hash};
}

static bool is_named(const struct conf_object *obj, const struct object_name *name)
{
    return obj->name_hash == name->hash && obj->kind == name->kind &&
           span_equal(obj->name, name->name) &&
           (!kind_infos[obj->kind].is_namespaced || span_equal(obj->ns, name->ns));
}

/* The slot of the name, or the free one where it belongs. */
static struct object_slot *slot_find(const struct objects *set, const struct object_name *name)
{
    uint32_t at = (uint32_t)name->hash & set->mask;
    for (;; at = (at + 1) & set->mask) {
        struct object_slot *slot = &set->slots[at];
        if (slot->number == 0 || (slot->hash == (uint32_t)(name->hash >> 32) &&
                                  is_named(set->all[slot->number - 1], name)))
            return slot;
    }
}

static void slots_grow(struct objects *set)
{
    struct object_slot *old = set->slots;
    uint32_t old_mask = set->mask;
    set->mask = old_mask * 2 + 1;
    set->slots = xcalloc((size_t)set->mask + 1, sizeof(set->slots[0]));
    for (uint32_t i = 0; i <= old_mask; i++) {
        if (old[i].number == 0)
            continue;
        uint32_t at = (uint32_t)set->all[old[i].number - 1]->name_hash & set->mask;
        while (set->slots[at].number != 0)
            at = (at + 1) & set->mask;
        set->slots[at] = old[i];
    }
    free(old);
}

static void array_add(struct object_array *array, const struct conf_object *obj)
{
    if (array->count == array->cap) {
        array->cap = array->cap == 0 ? 16 : array->cap * 2;
        array->items = xrealloc(array->items, array->cap * sizeof(array->items[0]));
    }
    array->items[array->count++] = obj;
}

int objects_add(struct objects *set, struct conf_object *obj, struct conf_object **ret_other)
{
    ASSERT(!set->is_sealed);
    struct object_name name = name_of(obj);
    if (name.hash == 0)
        return -ENAMETOOLONG;
    struct object_slot *slot = slot_find(set, &name);
    if (slot->number != 0) {
        if (ret_other != NULL)
            *ret_other = set->all[slot->number - 1];
        return -EEXIST;
    }
    if (set->count == set->cap) {
        set->cap = set->cap == 0 ? 16 : set->cap * 2;
        set->all = xrealloc(set->all, set->cap * sizeof(set->all[0]));
    }
    set->all[set->count++] = conf_object_ref(obj);
    *slot = (struct object_slot){(uint32_t)(name.hash >> 32), set->count};
    array_add(&set->kinds[obj->kind], obj);
    if (set->count > set->mask - set->mask / 4)
        slots_grow(set);
    return 0;
}

int objects_compare_age(const struct conf_object *a, const struct conf_object *b)
{
    if (a->created_s != b->created_s)
        return a->created_s < b->created_s ? -1 : 1;
    int order = span_compare(a->ns, b->ns);
    return order != 0 ? order : span_compare(a->name, b->name);
}

static int compare_items(const void *a, const void *b)
{
    return objects_compare_age(*(const struct conf_object *const *)a,
                               *(const struct conf_object *const *)b);
}

static struct span slice_service(const struct conf_object *slice)
{
    return slice->endpoint_slice != NULL ? slice->endpoint_slice->service_name : SPAN_NONE;
}

static int compare_slices(const void *a, const void *b)
{
    const struct conf_object *x = *(const struct conf_object *const *)a;
    const struct conf_object *y = *(const struct conf_object *const *)b;
    int order = span_compare(x->ns, y->ns);
    if (order == 0)
        order = span_compare(slice_service(x), slice_service(y));
    return order != 0 ? order : objects_compare_age(x, y);
}

static void slices_sort(struct objects *set)
{
    const struct object_array *slices = &set->kinds[CONF_KIND_ENDPOINT_SLICE];
    if (slices->count == 0)
        return;
    set->slices = xmalloc(slices->count * sizeof(set->slices[0]));
    memcpy(set->slices, slices->items, slices->count * sizeof(set->slices[0]));
    qsort(set->slices, slices->count, sizeof(set->slices[0]), compare_slices);
}

static void items_sort(const struct conf_object **items, unsigned count)
{
    if (count > 1)
        qsort(items, count, sizeof(items[0]), compare_items);
}

/* Sorts an array whose first `sorted` items are in order. */
static void array_merge(const struct object_array *array, unsigned sorted)
{
    unsigned fresh = array->count - sorted, at = array->count;
    items_sort(array->items + sorted, fresh);
    if (fresh == 0 || sorted == 0)
        return;
    const struct conf_object **rest = xmalloc(fresh * sizeof(rest[0]));
    memcpy(rest, array->items + sorted, fresh * sizeof(rest[0]));
    while (fresh > 0) {
        bool is_fresh =
            sorted == 0 || objects_compare_age(array->items[sorted - 1], rest[fresh - 1]) <= 0;
        array->items[--at] = is_fresh ? rest[--fresh] : array->items[--sorted];
    }
    free(rest);
}

void objects_seal_after(struct objects *set, const struct objects *last)
{
    ASSERT(!set->is_sealed && last->is_sealed);
    set->is_sealed = true;
    bool *is_kept = xcalloc(set->count + 1, sizeof(is_kept[0]));
    unsigned sorted[CONF_KIND_COUNT];
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        struct object_array *array = &set->kinds[kind];
        array->count = 0;
        for (unsigned i = 0; i < last->kinds[kind].count; i++) {
            const struct conf_object *obj = last->kinds[kind].items[i];
            struct object_name name = {
                .kind = obj->kind, .ns = obj->ns, .name = obj->name, .hash = obj->name_hash};
            uint32_t number = slot_find(set, &name)->number;
            if (number == 0 || set->all[number - 1] != obj)
                continue;
            is_kept[number - 1] = true;
            array->items[array->count++] = obj;
        }
        sorted[kind] = array->count;
    }
    for (unsigned i = 0; i < set->count; i++) {
        if (!is_kept[i])
            array_add(&set->kinds[set->all[i]->kind], set->all[i]);
    }
    free(is_kept);
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++)
        array_merge(&set->kinds[kind], sorted[kind]);
    slices_sort(set);
}

void objects_seal(struct objects *set)
{
    if (set->is_sealed)
        return;
    set->is_sealed = true;
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++)
        items_sort(set->kinds[kind].items, set->kinds[kind].count);
    slices_sort(set);
}

const struct conf_object *objects_find(const struct objects *set, enum conf_kind kind,
                                       struct span ns, struct span name)
{
    ASSERT(kind < CONF_KIND_COUNT);
    struct object_name wanted = name_make(kind, ns, name);
    if (wanted.hash == 0)
        return NULL;
    const struct object_slot *slot = slot_find(set, &wanted);
    return slot->number != 0 ? set->all[slot->number - 1] : NULL;
}

bool objects_is_same(const struct objects *a, const struct objects *b)
{
    ASSERT(a->is_sealed && b->is_sealed);
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        const struct object_array *x = &a->kinds[kind], *y = &b->kinds[kind];
        if (x->count != y->count ||
            (x->count > 0 && memcmp(x->items, y->items, x->count * sizeof(x->items[0])) != 0))
            return false;
    }
    return true;
}

const struct conf_object *const *objects_list(const struct objects *set, enum conf_kind kind,
                                              unsigned *ret_count)
{
    ASSERT(set->is_sealed);
    ASSERT(kind < CONF_KIND_COUNT);
    *ret_count = set->kinds[kind].count;
    return set->kinds[kind].items;
}

/* Index of the first slice that does not stand before (ns, service); `after`: behind it. */
static unsigned slice_bound(const struct objects *set, struct span ns, struct span service,
                            bool after)
{
    unsigned low = 0, high = set->kinds[CONF_KIND_ENDPOINT_SLICE].count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = span_compare(set->slices[middle]->ns, ns);
        if (order == 0)
            order = span_compare(slice_service(set->slices[middle]), service);
        if (order < 0 || (order == 0 && after))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct conf_object *const *objects_slices(const struct objects *set, struct span ns,
                                                struct span service, unsigned *ret_count)
{
    ASSERT(set->is_sealed);
    unsigned begin = slice_bound(set, ns, service, false);
    unsigned end = slice_bound(set, ns, service, true);
    *ret_count = end - begin;
    return end > begin ? set->slices + begin : NULL;
}

unsigned objects_count(const struct objects *set)
{
    return set->count;
}
