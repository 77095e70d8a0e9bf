/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A set is a hash map from kind, namespace and name to an object, and for each
 * kind an array that sealing sorts. EndpointSlices have a second array, sorted
 * by the Service they belong to, so that all slices of one stand together. */

struct object_entry {
    struct hmap_node node; /* key: kind byte, namespace, NUL, name */
    struct conf_object *obj;
};

struct object_array {
    const struct conf_object **items;
    unsigned count, cap;
};

struct objects {
    unsigned refs;
    bool is_sealed;
    struct hmap map;
    struct arena arena; /* entries and their keys */
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

static void text_free(const char *text, size_t len)
{
    if (text == NULL)
        return;
    char *writable = (char *)(uintptr_t)text;
    explicit_bzero(writable, len);
    free(writable);
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
    text_free(owned->text, owned->text_len);
    free((char *)(uintptr_t)owned->path);
    free(owned);
}

void conf_source_set_text(struct conf_source *source, char *text, size_t text_len)
{
    ASSERT(source != NULL && source->refs > 0);
    text_free(source->text, source->text_len);
    source->text = text;
    source->text_len = text_len;
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

struct objects *objects_new(void)
{
    struct objects *set = xcalloc(1, sizeof(*set));
    set->refs = 1;
    hmap_init(&set->map, 0);
    arena_init(&set->arena, 16384, 0, NULL);
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
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        struct object_array *array = &set->kinds[kind];
        for (unsigned i = 0; i < array->count; i++)
            conf_object_unref((struct conf_object *)(uintptr_t)array->items[i]);
        free(array->items);
    }
    free(set->slices);
    hmap_fini(&set->map);
    arena_fini(&set->arena);
    free(set);
}

/* The key's length; 0: longer than any object's. */
static size_t key_write(char *key, enum conf_kind kind, struct span ns, struct span name)
{
    if (!kind_infos[kind].is_namespaced)
        ns = SPAN_NONE;
    if (ns.len + name.len + 2 > KEY_SIZE_MAX)
        return 0;
    char *at = key;
    *at++ = (char)kind;
    if (ns.len > 0)
        memcpy(at, ns.ptr, ns.len);
    at += ns.len;
    *at++ = '\0';
    if (name.len > 0)
        memcpy(at, name.ptr, name.len);
    return (size_t)(at - key) + name.len;
}

static struct object_entry *entry_find(const struct objects *set, struct span key)
{
    struct hmap_node *node = hmap_find(&set->map, key);
    return node != NULL ? container_of(node, struct object_entry, node) : NULL;
}

int objects_add(struct objects *set, struct conf_object *obj, struct conf_object **ret_other)
{
    ASSERT(!set->is_sealed);
    char key[KEY_SIZE_MAX];
    size_t key_len = key_write(key, obj->kind, obj->ns, obj->name);
    if (key_len == 0)
        return -ENAMETOOLONG;
    struct object_entry *entry = entry_find(set, span_make(key, key_len));
    if (entry != NULL) {
        if (ret_other != NULL)
            *ret_other = entry->obj;
        return -EEXIST;
    }
    entry = arena_new(&set->arena, struct object_entry);
    struct span kept = arena_copy(&set->arena, span_make(key, key_len));
    if (!arena_ok(&set->arena))
        panic(__FILE__, __LINE__, "no memory for an object set");
    entry->obj = conf_object_ref(obj);
    hmap_insert(&set->map, &entry->node, kept);

    struct object_array *array = &set->kinds[obj->kind];
    if (array->count == array->cap) {
        array->cap = array->cap == 0 ? 16 : array->cap * 2;
        array->items = xrealloc(array->items, array->cap * sizeof(array->items[0]));
    }
    array->items[array->count++] = obj;
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

void objects_seal(struct objects *set)
{
    if (set->is_sealed)
        return;
    set->is_sealed = true;
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        struct object_array *array = &set->kinds[kind];
        if (array->count > 1)
            qsort(array->items, array->count, sizeof(array->items[0]), compare_items);
    }
    const struct object_array *slices = &set->kinds[CONF_KIND_ENDPOINT_SLICE];
    if (slices->count == 0)
        return;
    set->slices = xmalloc(slices->count * sizeof(set->slices[0]));
    for (unsigned i = 0; i < slices->count; i++)
        set->slices[i] = slices->items[i];
    qsort(set->slices, slices->count, sizeof(set->slices[0]), compare_slices);
}

const struct conf_object *objects_find(const struct objects *set, enum conf_kind kind,
                                       struct span ns, struct span name)
{
    ASSERT(kind < CONF_KIND_COUNT);
    char key[KEY_SIZE_MAX];
    size_t key_len = key_write(key, kind, ns, name);
    if (key_len == 0)
        return NULL;
    const struct object_entry *entry = entry_find(set, span_make(key, key_len));
    return entry != NULL ? entry->obj : NULL;
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
    return (unsigned)set->map.count;
}
