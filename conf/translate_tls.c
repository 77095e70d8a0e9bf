/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include "base/panic.h"

static void reject(struct translation *tr, struct tr_tls_policy *policy, const char *reason,
                   const char *text)
{
    struct diag *diag = translate_diag(tr, DIAG_POLICY_CA_INVALID, policy->object,
                                       (struct conf_place){0}, SPAN_NONE);
    diag_field(diag, "spec.validation");
    diag_message(diag, "%s", text);
    diag_condition(diag, "Accepted=False, %s", reason);
    diag_consequence(diag, "backends that it targets answer 503, never without TLS");
    policy->rejected = reason;
    policy->rejected_message = translate_message(tr, diag);
}

static void resolve_ca(struct translation *tr, struct tr_tls_policy *policy)
{
    const struct conf_backend_tls_policy *conf = policy->object->backend_tls_policy;
    if (conf->ca_refs_count == 0) {
        if (!span_equal_str(conf->well_known_ca, "System"))
            reject(tr, policy, "NoValidCACertificate",
                   "needs caCertificateRefs, or wellKnownCACertificates \"System\"");
        return;
    }
    struct tr_cert_request request = {
        .from = policy->object,
        .refs = conf->ca_refs,
        .count = conf->ca_refs_count,
        .field = "spec.validation.caCertificateRefs",
        .is_list = true,
        .is_local = true,
        .code = DIAG_POLICY_CA_INVALID,
        .reason = "InvalidCACertificateRef",
        .kind_reason = "InvalidKind",
        .consequence = conf->ca_refs_count > 1
                           ? "backends of this authority are not trusted"
                           : "backends that it targets answer 503, never without TLS",
    };
    policy->ca_pem = translate_cert_ca(tr, &request, &policy->unresolved);
    if (policy->ca_pem.len > 0)
        return;
    policy->rejected = "NoValidCACertificate";
    policy->rejected_message = policy->unresolved.message;
}

static struct diag *lose(struct translation *tr, struct tr_tls_target *target, unsigned index,
                         enum diag_code code, const char *reason)
{
    const struct conf_object *object = target->policy->object;
    const struct conf_ref *ref = &object->backend_tls_policy->targets[index];
    struct diag *diag = translate_diag(tr, code, object, ref->pos, ref->name);
    translate_target_field(diag, index);
    diag_condition(diag, "Accepted=False, %s", reason);
    diag_consequence(diag, "the policy has no effect on this target");
    target->lost = reason;
    return diag;
}

static bool has_port_name(const struct conf_service *service, struct span name)
{
    for (unsigned i = 0; i < service->ports_count; i++) {
        if (span_equal(service->ports[i].name, name))
            return true;
    }
    return false;
}

/* Appends to the chain of a Service; an older policy of the same section keeps it. */
static void chain_add(struct translation *tr, struct tr_tls_target *target, unsigned index)
{
    struct hmap_node *node =
        hmap_find(&tr->tls_map, span_make(&target->service, sizeof(target->service)));
    if (!node) {
        hmap_insert(&tr->tls_map, &target->node,
                    span_make(&target->service, sizeof(target->service)));
        return;
    }
    struct tr_tls_target *last = container_of(node, struct tr_tls_target, node);
    for (;; last = last->next) {
        if (!target->lost && !last->lost && last->policy != target->policy &&
            !target->policy->is_lost && span_equal(last->port_name, target->port_name)) {
            struct diag *diag = lose(tr, target, index, DIAG_POLICY_CONFLICTED, "Conflicted");
            diag_message(diag, "BackendTLSPolicy \"%.*s\" is older and has Service \"%.*s\"",
                         SPAN_ARG(last->policy->object->name), SPAN_ARG(target->service->name));
            target->policy->lost_message = translate_message(tr, diag);
        }
        if (!last->next)
            break;
    }
    last->next = target;
}

static void add_target(struct translation *tr, struct tr_tls_policy *policy, unsigned index)
{
    const struct conf_object *object = policy->object;
    const struct conf_ref *ref = &object->backend_tls_policy->targets[index];
    struct tr_tls_target *target = arena_new(&tr->scratch, struct tr_tls_target);
    struct diag *diag;
    ASSERT(target);
    target->policy = policy;
    target->port_name = span_str(ref->section_name);
    if (conf_ref_kind(ref) != CONF_KIND_SERVICE) {
        diag = lose(tr, target, index, DIAG_POLICY_TARGET_KIND, "Invalid");
        diag_message(diag, "kind \"%s\" of group \"%s\" is not served here, it must be a Service",
                     ref->kind, ref->group);
        return;
    }
    target->service = objects_find(tr->objects, CONF_KIND_SERVICE, object->ns, ref->name);
    if (!target->service) {
        diag = lose(tr, target, index, DIAG_POLICY_TARGET_NOT_FOUND, "TargetNotFound");
        diag_message(diag, "no Service \"%.*s\" in namespace \"%.*s\"", SPAN_ARG(ref->name),
                     SPAN_ARG(object->ns));
        translate_suggest(tr, diag, CONF_KIND_SERVICE, object->ns, ref->name);
        return;
    }
    if (ref->section_name != NULL && !has_port_name(target->service->service, target->port_name)) {
        diag = lose(tr, target, index, DIAG_POLICY_TARGET_NOT_FOUND, "TargetNotFound");
        diag_field(diag, "spec.targetRefs[%u].sectionName", index);
        diag_message(diag, "Service \"%.*s\" has no port named \"%s\"", SPAN_ARG(ref->name),
                     ref->section_name);
        policy->lost_message = translate_message(tr, diag);
    }
    chain_add(tr, target, index);
}

/* Findings about it were told where it was refused; it is known here for what it closes. */
static void add_lost(struct translation *tr, struct tr_tls_policy *policy)
{
    const struct conf_object *object = policy->object;
    const struct conf_backend_tls_policy *conf = object->backend_tls_policy;
    policy->is_lost = true;
    policy->rejected = "Invalid";
    policy->rejected_message = SPAN_LIT("it is not valid and has no last good version");
    if (conf->targets_count == 0 && hmap_find(&tr->tls_ns_map, object->ns) == NULL)
        hmap_insert(&tr->tls_ns_map, &policy->ns_node, object->ns);
    for (unsigned i = 0; i < conf->targets_count; i++) {
        const struct conf_ref *ref = &conf->targets[i];
        struct tr_tls_target *target = arena_new(&tr->scratch, struct tr_tls_target);
        ASSERT(target);
        target->policy = policy;
        target->port_name = span_str(ref->section_name);
        target->service = objects_find(tr->objects, CONF_KIND_SERVICE, object->ns, ref->name);
        if (target->service && conf_ref_kind(ref) == CONF_KIND_SERVICE)
            chain_add(tr, target, i);
    }
}

void translate_tls_policies(struct translation *tr)
{
    const struct translate_options *options = tr->options;
    unsigned count;
    const struct conf_object *const *list =
        objects_list(tr->objects, CONF_KIND_BACKEND_TLS_POLICY, &count);
    tr->tls_policies =
        arena_array(&tr->scratch, struct tr_tls_policy, (size_t)count + options->lost_count);
    tr->tls_policies_count = count;
    ASSERT(tr->tls_policies);
    for (unsigned i = 0; i < count; i++) {
        tr->tls_policies[i].object = list[i];
        resolve_ca(tr, &tr->tls_policies[i]);
        for (unsigned j = 0; j < list[i]->backend_tls_policy->targets_count; j++)
            add_target(tr, &tr->tls_policies[i], j);
    }
    /* Good ones come first: a Service that has another policy keeps it. */
    for (unsigned i = 0; i < options->lost_count; i++) {
        if (options->lost[i]->kind != CONF_KIND_BACKEND_TLS_POLICY)
            continue;
        tr->tls_policies[count].object = options->lost[i];
        add_lost(tr, &tr->tls_policies[count++]);
    }
}

/* The policy that closes a whole namespace because its targets are not known, or NULL. */
static const struct tr_tls_policy *find_closing(const struct translation *tr, struct span ns)
{
    struct hmap_node *node = hmap_find(&tr->tls_ns_map, ns);
    if (!node)
        node = hmap_find(&tr->tls_ns_map, SPAN_NONE);
    return node ? container_of(node, struct tr_tls_policy, ns_node) : NULL;
}

const struct tr_tls_policy *translate_tls_find(struct translation *tr,
                                               const struct conf_object *service,
                                               const struct conf_service_port *port,
                                               const struct tr_gateway *gateway)
{
    struct hmap_node *node = hmap_find(&tr->tls_map, span_make(&service, sizeof(service)));
    const struct tr_tls_target *found = NULL;
    struct tr_tls_target *first = node ? container_of(node, struct tr_tls_target, node) : NULL;
    for (struct tr_tls_target *target = first; target; target = target->next) {
        bool is_missing = target->lost && strcmp(target->lost, "TargetNotFound") == 0;
        bool is_section = target->port_name.len > 0;
        if (is_section && !is_missing && !span_equal(target->port_name, port->name))
            continue;
        translate_ancestor(&target->policy->ancestors, gateway, target->lost);
        if (!target->lost && (!found || (is_section && found->port_name.len == 0)))
            found = target;
    }
    return found ? found->policy : find_closing(tr, service->ns);
}

bool translate_tls_covers(const struct translation *tr, const struct conf_object *service,
                          const struct conf_service_port *port)
{
    struct hmap_node *node = hmap_find(&tr->tls_map, span_make(&service, sizeof(service)));
    struct tr_tls_target *first = node ? container_of(node, struct tr_tls_target, node) : NULL;
    for (struct tr_tls_target *target = first; target; target = target->next) {
        if (!target->lost &&
            (target->port_name.len == 0 || span_equal(target->port_name, port->name)))
            return true;
    }
    return find_closing(tr, service->ns) != NULL;
}

void translate_tls_policies_finish(struct translation *tr)
{
    for (unsigned i = 0; i < tr->tls_policies_count; i++) {
        const struct tr_tls_policy *policy = &tr->tls_policies[i];
        const struct conf_object *object = policy->object;
        struct status *status = translate_status(tr, object);
        status->parents_count = policy->ancestors.count;
        status->parents =
            arena_array(&tr->statuses->arena, struct status_parent, status->parents_count);
        ASSERT(status->parents);
        for (unsigned j = 0; j < status->parents_count; j++) {
            struct status_parent *parent = &status->parents[j];
            const char *lost = policy->ancestors.items[j].lost;
            parent->ref = translate_ancestor_ref(policy->ancestors.items[j].gateway);
            translate_condition(tr, &parent->conditions, "Accepted", lost ? lost : policy->rejected,
                                lost ? policy->lost_message : policy->rejected_message);
            translate_condition(tr, &parent->conditions, "ResolvedRefs", policy->unresolved.reason,
                                policy->unresolved.message);
        }
    }
}
