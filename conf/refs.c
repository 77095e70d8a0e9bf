/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/refs.h"

#include <stdio.h>

#include "base/panic.h"

/* Group, kind, namespace and name of both ends; the API bounds each to 253 bytes. */
#define KEY_SIZE_MAX 2048

/* A separator that no name of the API can hold. */
#define GRANT_FORMAT "%.*s\x1f%.*s\x1f%.*s\x1f%.*s\x1f%.*s\x1f%.*s\x1f%.*s"

static void grant_insert(struct refs *refs, const struct conf_grant_from *from,
                         const struct conf_grant_to *to, struct span ns)
{
    struct span key = arena_printf(&refs->arena, GRANT_FORMAT, SPAN_ARG(from->group),
                                   SPAN_ARG(from->kind), SPAN_ARG(from->ns), SPAN_ARG(to->group),
                                   SPAN_ARG(to->kind), SPAN_ARG(ns), SPAN_ARG(to->name));
    struct hmap_node *node = arena_new(&refs->arena, struct hmap_node);
    ASSERT(arena_ok(&refs->arena));
    if (!hmap_find(&refs->grants, key))
        hmap_insert(&refs->grants, node, key);
}

void refs_init(struct refs *refs, const struct objects *objects)
{
    unsigned count;
    const struct conf_object *const *list =
        objects_list(objects, CONF_KIND_REFERENCE_GRANT, &count);
    *refs = (struct refs){.objects = objects};
    hmap_init(&refs->grants, count);
    arena_init(&refs->arena, 4096, 0, NULL);
    for (unsigned i = 0; i < count; i++) {
        const struct conf_reference_grant *grant = list[i]->reference_grant;
        for (unsigned from = 0; from < grant->from_count; from++) {
            for (unsigned to = 0; to < grant->to_count; to++)
                grant_insert(refs, &grant->from[from], &grant->to[to], list[i]->ns);
        }
    }
}

void refs_fini(struct refs *refs)
{
    hmap_fini(&refs->grants);
    arena_fini(&refs->arena);
}

static bool grant_find(const struct refs *refs, const struct refs_party *from,
                       const struct refs_party *to, struct span name)
{
    char key[KEY_SIZE_MAX];
    int len = snprintf(key, sizeof(key), GRANT_FORMAT, SPAN_ARG(from->group), SPAN_ARG(from->kind),
                       SPAN_ARG(from->ns), SPAN_ARG(to->group), SPAN_ARG(to->kind),
                       SPAN_ARG(to->ns), SPAN_ARG(name));
    if (len < 0 || (size_t)len >= sizeof(key))
        return false;
    return hmap_find(&refs->grants, span_make(key, (size_t)len)) != NULL;
}

bool refs_is_permitted(const struct refs *refs, const struct refs_party *from,
                       const struct refs_party *to, struct span name)
{
    if (span_equal(from->ns, to->ns))
        return true;
    return refs->grants.count > 0 &&
           (grant_find(refs, from, to, name) || grant_find(refs, from, to, SPAN_NONE));
}

/* The value of a label of a namespace, or false. */
static bool label_find(const struct conf_object *object, struct span ns, struct span key,
                       struct span *ret)
{
    if (span_equal_str(key, "kubernetes.io/metadata.name")) {
        *ret = ns;
        return true;
    }
    for (unsigned i = 0; object && i < object->labels_count; i++) {
        if (span_equal(object->labels[i].key, key)) {
            *ret = object->labels[i].value;
            return true;
        }
    }
    return false;
}

static bool requirement_holds(const struct conf_requirement *requirement, bool has_label,
                              struct span value)
{
    if (requirement->op == CONF_OP_EXISTS)
        return has_label;
    if (requirement->op == CONF_OP_DOES_NOT_EXIST)
        return !has_label;
    bool is_in = false;
    for (unsigned i = 0; has_label && i < requirement->values_count && !is_in; i++)
        is_in = span_equal(requirement->values[i], value);
    return requirement->op == CONF_OP_IN ? is_in : !is_in;
}

bool refs_namespace_matches(const struct refs *refs, struct span ns,
                            const struct conf_requirement *requirements, unsigned count)
{
    const struct conf_object *object =
        objects_find(refs->objects, CONF_KIND_NAMESPACE, SPAN_NONE, ns);
    for (unsigned i = 0; i < count; i++) {
        struct span value = SPAN_NONE;
        bool has_label = label_find(object, ns, requirements[i].key, &value);
        if (!requirement_holds(&requirements[i], has_label, value))
            return false;
    }
    return true;
}
