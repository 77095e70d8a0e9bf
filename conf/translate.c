/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate.h"

#include <stdlib.h>

#include "base/pages.h"
#include "conf/translate_int.h"

/* The passes, in order: classes and Gateways with their listeners; policies by
 * target; routes, which pull in the clusters and limits they use; at last the
 * conditions that depend on what was attached. Ties are broken by age, and
 * every list comes sorted by age, so the first taker wins everywhere. */

/* Names compared with a wrong one, in all and for one finding. */
#define SUGGESTIONS_MAX 200
#define CANDIDATES_MAX 2000

struct diag *translate_diag(struct translation *tr, enum diag_code code,
                            const struct conf_object *object, struct conf_place place,
                            struct span value)
{
    struct diag *diag = diags_add(tr->diags, code, object, conf_place_pos(object, place));
    diag->length = place.line > 0 ? (unsigned)MIN(value.len, (size_t)200) : 0;
    return diag;
}

struct span translate_message(struct translation *tr, const struct diag *diag)
{
    return arena_copy(&tr->statuses->arena, span_str(diag->message));
}

void translate_suggest(struct translation *tr, struct diag *diag, enum conf_kind kind,
                       struct span ns, struct span wrong)
{
    const struct objects *refused = tr->options->refused;
    if (refused != NULL && objects_find(refused, kind, ns, wrong) != NULL) {
        diag_hint(diag, "it is left out for its own errors, which are told where it stands");
        return;
    }
    const char *candidates[CANDIDATES_MAX];
    unsigned list_count, count = 0;
    const struct conf_object *const *list = objects_list(tr->objects, kind, &list_count);
    if (!tr->diags || tr->suggestions++ >= SUGGESTIONS_MAX)
        return;
    for (unsigned i = 0; i < list_count && count < CANDIDATES_MAX; i++) {
        if (!conf_kind_is_namespaced(kind) || span_equal(list[i]->ns, ns))
            candidates[count++] = arena_printf(&tr->scratch, "%.*s", SPAN_ARG(list[i]->name)).ptr;
    }
    const char *near = diag_did_you_mean(wrong, candidates, count);
    if (near)
        diag_hint(diag, "did you mean \"%s\"?", near);
}

void translate_target_field(struct diag *diag, unsigned index)
{
    const char *member = "";
    if (diag->code == DIAG_POLICY_TARGET_KIND)
        member = ".kind";
    else if (diag->code == DIAG_POLICY_TARGET_NOT_FOUND)
        member = ".name";
    diag_field(diag, "spec.targetRefs[%u]%s", index, member);
}

void *translate_grow(void *array, unsigned count, unsigned *cap, size_t size)
{
    if (count < *cap)
        return array;
    *cap = *cap ? *cap * 2 : 8;
    return xrealloc(array, *cap * size);
}

void *translate_settle(struct translation *tr, void *array, unsigned count, size_t size)
{
    void *copy = arena_alloc(tr->arena, count * size);
    ASSERT(copy);
    if (count > 0)
        memcpy(copy, array, count * size);
    free(array);
    return copy;
}

struct status *translate_status(struct translation *tr, const struct conf_object *object)
{
    struct status *status = &tr->statuses->items[tr->statuses->count++];
    status->object = object;
    return status;
}

void translate_condition(struct translation *tr, struct status_conditions *conditions,
                         const char *type, const char *reason, struct span message)
{
    struct status_condition condition = {type, reason ? reason : type, message, reason == NULL};
    status_set(&tr->statuses->arena, conditions, &condition);
}

void translate_condition_true(struct translation *tr, struct status_conditions *conditions,
                              const char *type, const char *reason, struct span message)
{
    struct status_condition condition = {type, reason, message, true};
    status_set(&tr->statuses->arena, conditions, &condition);
}

void translate_ancestor(struct tr_ancestors *ancestors, const struct tr_gateway *gateway,
                        const char *lost)
{
    for (unsigned i = 0; i < ancestors->count; i++) {
        if (ancestors->items[i].gateway == gateway) {
            if (!lost)
                ancestors->items[i].lost = NULL;
            return;
        }
    }
    if (ancestors->count == TR_ANCESTORS_MAX)
        return;
    ancestors->items[ancestors->count].gateway = gateway;
    ancestors->items[ancestors->count++].lost = lost;
}

struct conf_ref translate_ancestor_ref(const struct tr_gateway *gateway)
{
    return (struct conf_ref){
        .group = CONF_GROUP_GATEWAY,
        .kind = "Gateway",
        .ns = gateway->object->ns,
        .has_ns = true,
        .name = gateway->object->name,
    };
}

struct span translate_ref_ns(const struct conf_ref *ref, const struct conf_object *from)
{
    return ref->has_ns ? ref->ns : from->ns;
}

static void init(struct translation *tr)
{
    static const enum conf_kind kinds[] = {
        CONF_KIND_GATEWAY_CLASS,  CONF_KIND_GATEWAY,           CONF_KIND_HTTP_ROUTE,
        CONF_KIND_GRPC_ROUTE,     CONF_KIND_TCP_ROUTE,         CONF_KIND_BACKEND_TLS_POLICY,
        CONF_KIND_TRAFFIC_POLICY, CONF_KIND_RATE_LIMIT_POLICY, CONF_KIND_RATE_LIMIT_STORE,
    };
    unsigned total = 0, count;
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
        (void)objects_list(tr->objects, kinds[i], &count);
        total += count;
    }
    tr->model = xcalloc(1, sizeof(*tr->model));
    tr->model->generation = tr->options->generation;
    tr->model->objects = objects_ref(tr->objects);
    tr->arena = &tr->model->arena;
    arena_init(tr->arena, 65536, 0, &pages_source);
    tr->statuses = xcalloc(1, sizeof(*tr->statuses));
    tr->statuses->objects = objects_ref(tr->objects);
    arena_init(&tr->statuses->arena, 65536, 0, &pages_brief_source);
    tr->statuses->items = arena_array(&tr->statuses->arena, struct status, total);
    ASSERT(tr->statuses->items);
    arena_init(&tr->scratch, 65536, 0, &pages_brief_source);
    refs_init(&tr->refs, tr->objects);
    hmap_init(&tr->gateway_map, 0);
    hmap_init(&tr->address_map, 0);
    hmap_init(&tr->tls_map, 0);
    hmap_init(&tr->tls_ns_map, 0);
    hmap_init(&tr->claim_map, 0);
    hmap_init(&tr->traffic_map, 0);
    hmap_init(&tr->cluster_map, 0);
    hmap_init(&tr->cluster_ids, 0);
    hmap_init(&tr->limit_map, 0);
}

static void fini(struct translation *tr)
{
    struct model *model = tr->model;
    model->clusters =
        translate_settle(tr, model->clusters, model->clusters_count, sizeof(*model->clusters));
    model->limits =
        translate_settle(tr, model->limits, model->limits_count, sizeof(*model->limits));
    model->stores =
        translate_settle(tr, model->stores, model->stores_count, sizeof(*model->stores));
    for (unsigned i = 0; i < tr->gateways_count; i++) {
        for (unsigned j = 0; j < tr->gateways[i].listeners_count; j++)
            free(tr->gateways[i].listeners[j].attachments);
    }
    hmap_fini(&tr->gateway_map);
    hmap_fini(&tr->address_map);
    hmap_fini(&tr->tls_map);
    hmap_fini(&tr->tls_ns_map);
    hmap_fini(&tr->claim_map);
    hmap_fini(&tr->traffic_map);
    hmap_fini(&tr->cluster_map);
    hmap_fini(&tr->cluster_ids);
    hmap_fini(&tr->limit_map);
    refs_fini(&tr->refs);
    arena_fini(&tr->scratch);
    ASSERT(arena_ok(tr->arena) && arena_ok(&tr->statuses->arena));
}

void translate(struct objects *objects, const struct translate_options *options,
               struct diags *diags, struct model **ret_model, struct statuses **ret_statuses)
{
    struct translation tr = {.objects = objects, .options = options, .diags = diags};
    init(&tr);
    translate_gateway_classes(&tr);
    translate_gateways(&tr);
    translate_tls_policies(&tr);
    translate_traffic_policies(&tr);
    translate_limits(&tr);
    translate_routes(&tr);
    translate_gateways_finish(&tr);
    translate_tls_policies_finish(&tr);
    translate_traffic_policies_finish(&tr);
    translate_limits_finish(&tr);
    fini(&tr);
    *ret_model = tr.model;
    *ret_statuses = tr.statuses;
}
