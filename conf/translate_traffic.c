/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include "base/panic.h"

/* Who has a target is decided by age alone; that the loser is told so through every Gateway that
 * leads to the target is why losers stay in the chain. */
struct traffic_policy {
    const struct conf_object *object;
    struct tr_ancestors ancestors;
    struct span lost_message;
};

/* One targetRef; chained by what it targets, oldest first. */
struct traffic_target {
    struct hmap_node node; /* of the first in the chain; key: object */
    const struct conf_object *object;
    struct traffic_target *next;
    struct traffic_policy *policy;
    const char *lost; /* why the policy does not affect it, or NULL */
};

static struct traffic_target *chain_find(const struct translation *tr,
                                         const struct conf_object *object)
{
    struct hmap_node *node = hmap_find(&tr->traffic_map, span_make(&object, sizeof(object)));
    return node ? container_of(node, struct traffic_target, node) : NULL;
}

static struct diag *lose(struct translation *tr, const struct traffic_policy *policy,
                         unsigned index, enum diag_code code, const char *reason)
{
    const struct conf_ref *ref = &policy->object->traffic_policy->targets[index];
    struct diag *diag = translate_diag(tr, code, policy->object, ref->pos, ref->name);
    translate_target_field(diag, index);
    diag_condition(diag, "Accepted=False, %s", reason);
    diag_consequence(diag, "the policy has no effect on this target");
    return diag;
}

/* NULL: told. */
static const struct conf_object *target_find(struct translation *tr,
                                             const struct traffic_policy *policy, unsigned index)
{
    const struct conf_ref *ref = &policy->object->traffic_policy->targets[index];
    enum conf_kind kind = conf_ref_kind(ref);
    if (kind != CONF_KIND_SERVICE && kind != CONF_KIND_XBACKEND) {
        struct diag *diag = lose(tr, policy, index, DIAG_POLICY_TARGET_KIND, "Invalid");
        diag_message(diag,
                     "kind \"%s\" of group \"%s\" is not served here, only Service and "
                     "XBackend",
                     ref->kind, ref->group);
        return NULL;
    }
    const struct conf_object *object =
        objects_find(tr->objects, kind, policy->object->ns, ref->name);
    if (!object) {
        struct diag *diag = lose(tr, policy, index, DIAG_POLICY_TARGET_NOT_FOUND, "TargetNotFound");
        diag_message(diag, "no %s \"%.*s\" in namespace \"%.*s\"", ref->kind, SPAN_ARG(ref->name),
                     SPAN_ARG(policy->object->ns));
        translate_suggest(tr, diag, kind, policy->object->ns, ref->name);
    }
    return object;
}

static void add_target(struct translation *tr, struct traffic_policy *policy, unsigned index)
{
    const struct conf_object *object = target_find(tr, policy, index);
    if (!object)
        return;
    struct traffic_target *target = arena_new(&tr->scratch, struct traffic_target);
    ASSERT(target);
    target->object = object;
    target->policy = policy;
    struct traffic_target *first = chain_find(tr, object);
    if (!first) {
        hmap_insert(&tr->traffic_map, &target->node,
                    span_make(&target->object, sizeof(target->object)));
        return;
    }
    target->next = first->next;
    first->next = target;
    struct diag *diag = lose(tr, policy, index, DIAG_POLICY_CONFLICTED, "Conflicted");
    diag_message(diag, "XBackendTrafficPolicy \"%.*s\" is older and has %s \"%.*s\"",
                 SPAN_ARG(first->policy->object->name), conf_kind_name(object->kind),
                 SPAN_ARG(object->name));
    target->lost = "Conflicted";
    policy->lost_message = translate_message(tr, diag);
}

void translate_traffic_policies(struct translation *tr)
{
    unsigned count;
    const struct conf_object *const *list =
        objects_list(tr->objects, CONF_KIND_TRAFFIC_POLICY, &count);
    tr->traffic_policies = arena_array(&tr->scratch, struct traffic_policy, count);
    tr->traffic_policies_count = count;
    ASSERT(tr->traffic_policies);
    for (unsigned i = 0; i < count; i++) {
        tr->traffic_policies[i].object = list[i];
        for (unsigned j = 0; j < list[i]->traffic_policy->targets_count; j++)
            add_target(tr, &tr->traffic_policies[i], j);
    }
}

void translate_traffic_reach(struct translation *tr, const struct conf_object *backend,
                             const struct tr_gateway *gateway)
{
    for (struct traffic_target *target = chain_find(tr, backend); target; target = target->next)
        translate_ancestor(&target->policy->ancestors, gateway, target->lost);
}

const struct conf_retry_constraint *translate_traffic_retry(const struct translation *tr,
                                                            const struct conf_object *backend)
{
    const struct traffic_target *target = chain_find(tr, backend);
    if (!target || !target->policy->object->traffic_policy->has_retry)
        return NULL;
    return &target->policy->object->traffic_policy->retry;
}

void translate_traffic_policies_finish(struct translation *tr)
{
    for (unsigned i = 0; i < tr->traffic_policies_count; i++) {
        const struct traffic_policy *policy = &tr->traffic_policies[i];
        struct status *status = translate_status(tr, policy->object);
        status->parents_count = policy->ancestors.count;
        status->parents =
            arena_array(&tr->statuses->arena, struct status_parent, status->parents_count);
        ASSERT(status->parents);
        for (unsigned j = 0; j < status->parents_count; j++) {
            const char *lost = policy->ancestors.items[j].lost;
            status->parents[j].ref = translate_ancestor_ref(policy->ancestors.items[j].gateway);
            translate_condition(tr, &status->parents[j].conditions, "Accepted", lost,
                                lost ? policy->lost_message : SPAN_NONE);
        }
    }
}
