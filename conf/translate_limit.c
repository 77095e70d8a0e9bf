/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include "base/clock.h"
#include "base/panic.h"

/* --- stores --- */

static struct span secret_value(const struct conf_secret *secret, const char *key)
{
    for (unsigned i = 0; i < secret->data_count; i++) {
        if (span_equal_str(secret->data[i].key, key))
            return secret->data[i].value;
    }
    return SPAN_NONE;
}

/* What a reference of ours leads to, after kind and grant; NULL with a finding, told as reason. */
struct lookup {
    const struct conf_object *from;
    const struct conf_ref *ref;
    enum conf_kind kind;
    enum diag_code code;
    const char *field, *reason, *consequence;
};

static const struct conf_object *look_up(struct translation *tr, const struct lookup *lookup,
                                         struct tr_unresolved *unresolved)
{
    const struct conf_ref *ref = lookup->ref;
    struct span ns = translate_ref_ns(ref, lookup->from);
    struct refs_party from = {span_str(conf_kind_group(lookup->from->kind)),
                              span_str(conf_kind_name(lookup->from->kind)), lookup->from->ns};
    struct refs_party to = {span_str(conf_kind_group(lookup->kind)),
                            span_str(conf_kind_name(lookup->kind)), ns};
    bool is_permitted = refs_is_permitted(&tr->refs, &from, &to, ref->name);
    const struct conf_object *object =
        is_permitted ? objects_find(tr->objects, lookup->kind, ns, ref->name) : NULL;
    if (object)
        return object;
    const char *reason = is_permitted ? lookup->reason : "RefNotPermitted";
    struct diag *diag = translate_diag(tr, is_permitted ? lookup->code : DIAG_REF_NOT_PERMITTED,
                                       lookup->from, ref->pos, ref->name);
    diag_field(diag, "%s.%s", lookup->field, is_permitted ? "name" : "namespace");
    if (is_permitted) {
        diag_message(diag, "no %s \"%.*s\" in namespace \"%.*s\"", conf_kind_name(lookup->kind),
                     SPAN_ARG(ref->name), SPAN_ARG(ns));
        translate_suggest(tr, diag, lookup->kind, ns, ref->name);
    } else {
        diag_message(diag,
                     "no ReferenceGrant in namespace \"%.*s\" lets kind %s of \"%.*s\" use %s "
                     "\"%.*s\"",
                     SPAN_ARG(ns), conf_kind_name(lookup->from->kind), SPAN_ARG(from.ns),
                     conf_kind_name(lookup->kind), SPAN_ARG(ref->name));
    }
    diag_condition(diag, "ResolvedRefs=False, %s", reason);
    diag_consequence(diag, "%s", lookup->consequence);
    if (!unresolved->reason)
        *unresolved = (struct tr_unresolved){reason, translate_message(tr, diag)};
    return NULL;
}

#define STORE_CONSEQUENCE "rules that need this store follow their onStoreFailure"

static void store_tls(struct translation *tr, struct tr_store *store)
{
    const struct conf_rate_limit_store *conf = store->object->rate_limit_store;
    struct tr_cert_request request = {
        .from = store->object,
        .refs = &conf->ca,
        .count = 1,
        .field = "spec.redis.tls.caRef",
        .accepts_secret = true,
        .code = DIAG_STORE_INVALID,
        .reason = "InvalidCACertificateRef",
        .kind_reason = "InvalidKind",
        .consequence = STORE_CONSEQUENCE,
    };
    if (conf->has_ca)
        store->model.ca_pem = translate_cert_ca(tr, &request, &store->unresolved);
    if (!conf->has_client_cert)
        return;
    struct model_cert *certs;
    request.refs = &conf->client_cert;
    request.field = "spec.redis.tls.clientCertRef";
    request.reason = "InvalidClientCertificateRef";
    if (translate_cert_pairs(tr, &request, &certs, &store->unresolved) == 1) {
        store->model.has_client_cert = true;
        store->model.client_cert = certs[0];
    }
}

static void resolve_store(struct translation *tr, struct tr_store *store)
{
    const struct conf_object *object = store->object;
    const struct conf_rate_limit_store *conf = object->rate_limit_store;
    store->index = -1;
    store->model.id =
        arena_printf(tr->arena, "%.*s/%.*s", SPAN_ARG(object->ns), SPAN_ARG(object->name));
    store->model.conf = conf;
    if (conf->has_auth) {
        struct lookup lookup = {
            .from = object,
            .ref = &conf->auth,
            .kind = CONF_KIND_SECRET,
            .code = DIAG_STORE_INVALID,
            .field = "spec.redis.auth.secretRef",
            .reason = "InvalidSecretRef",
            .consequence = STORE_CONSEQUENCE,
        };
        const struct conf_object *secret = look_up(tr, &lookup, &store->unresolved);
        if (secret) {
            store->model.username = secret_value(secret->secret, "username");
            store->model.password = secret_value(secret->secret, "password");
        }
    }
    if (conf->has_tls)
        store_tls(tr, store);
}

/* The store that a policy names; NULL: it cannot be used, which is told. */
static struct tr_store *find_store(struct translation *tr, struct tr_limit_policy *policy)
{
    const struct conf_rate_limit_policy *conf = policy->object->rate_limit_policy;
    struct lookup lookup = {
        .from = policy->object,
        .ref = &conf->store,
        .kind = CONF_KIND_RATE_LIMIT_STORE,
        .code = DIAG_STORE_NOT_FOUND,
        .field = "spec.storeRef",
        .reason = "StoreNotFound",
        .consequence = "rules of scope Global follow their onStoreFailure",
    };
    const struct conf_object *object = look_up(tr, &lookup, &policy->unresolved);
    struct tr_store *store = NULL;
    for (unsigned i = 0; i < tr->stores_count && object; i++) {
        if (tr->stores[i].object == object)
            store = &tr->stores[i];
    }
    if (!store || !store->unresolved.reason)
        return store;
    policy->unresolved = (struct tr_unresolved){
        "InvalidStore",
        arena_printf(&tr->statuses->arena, "store %.*s: %.*s", SPAN_ARG(store->model.id),
                     SPAN_ARG(store->unresolved.message))};
    return NULL;
}

/* Its index in the model, where only those are that a policy uses. */
static int use_store(struct translation *tr, struct tr_store *store)
{
    if (!store)
        return MODEL_STORE_LOST;
    if (store->index < 0) {
        struct model *model = tr->model;
        model->stores = translate_grow(model->stores, model->stores_count, &tr->stores_cap,
                                       sizeof(*model->stores));
        store->index = (int)model->stores_count;
        model->stores[model->stores_count++] = store->model;
    }
    return store->index;
}

/* --- policies --- */

static struct span limit_item(struct translation *tr, const struct conf_limit_rule *rule)
{
    uint64_t period_s = (rule->period_ns + NS_PER_S - 1) / NS_PER_S;
    return arena_printf(tr->arena, "\"%.*s\";q=%llu;w=%llu", SPAN_ARG(rule->name),
                        (unsigned long long)rule->requests, (unsigned long long)period_s);
}

static void add_limit(struct translation *tr, struct tr_limit_policy *policy, unsigned index,
                      int store)
{
    const struct conf_object *object = policy->object;
    const struct conf_limit_rule *rule = &object->rate_limit_policy->rules[index];
    struct model *model = tr->model;
    struct model_limit limit = {
        .policy =
            arena_printf(tr->arena, "%.*s/%.*s", SPAN_ARG(object->ns), SPAN_ARG(object->name)),
        .rule = rule,
        .item = limit_item(tr, rule),
        .store = rule->is_global ? store : MODEL_STORE_NONE,
    };
    if (rule->name.len > 0)
        limit.scope_id =
            arena_printf(tr->arena, "%.*s/%.*s", SPAN_ARG(limit.policy), SPAN_ARG(rule->name));
    else
        limit.scope_id = arena_printf(tr->arena, "%.*s/%u", SPAN_ARG(limit.policy), index);
    model->limits =
        translate_grow(model->limits, model->limits_count, &tr->limits_cap, sizeof(*model->limits));
    policy->limits[policy->limits_count++] = model->limits_count;
    model->limits[model->limits_count++] = limit;
}

static void warn_no_store(struct translation *tr, const struct tr_limit_policy *policy)
{
    const struct conf_rate_limit_policy *conf = policy->object->rate_limit_policy;
    const struct conf_limit_rule *global = NULL;
    for (unsigned i = 0; i < conf->rules_count && !global; i++)
        global = conf->rules[i].is_global && !conf->rules[i].unlimited ? &conf->rules[i] : NULL;
    if (!global)
        return;
    struct diag *diag =
        translate_diag(tr, DIAG_STORE_MISSING, policy->object, global->pos, SPAN_NONE);
    diag_field(diag, "spec.storeRef");
    diag_message(diag, "rule \"%.*s\" has scope Global, but the policy names no store",
                 SPAN_ARG(global->name));
    diag_hint(diag, "add a storeRef, or say scope: Instance");
    diag_consequence(diag, "it counts in each process alone");
}

/* Limits that need no store come first: they are decided at once, and a request that they deny
 * costs the store nothing. */
static void build_limits(struct translation *tr, struct tr_limit_policy *policy, int store)
{
    const struct conf_rate_limit_policy *conf = policy->object->rate_limit_policy;
    policy->limits = arena_array(tr->arena, unsigned, conf->rules_count);
    ASSERT(policy->limits);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < conf->rules_count; i++) {
            bool needs_store = conf->rules[i].is_global && store >= 0;
            if (!conf->rules[i].unlimited && needs_store == (pass == 1))
                add_limit(tr, policy, i, store);
        }
    }
}

static struct diag *lose(struct translation *tr, struct tr_limit_policy *policy, unsigned index,
                         enum diag_code code, const char *reason)
{
    const struct conf_ref *ref = &policy->object->rate_limit_policy->targets[index];
    struct diag *diag = translate_diag(tr, code, policy->object, ref->pos, ref->name);
    translate_target_field(diag, index);
    diag_condition(diag, "Accepted=False, %s", reason);
    diag_consequence(diag, "the policy has no effect on this target");
    policy->lost[policy->lost_count].ref = ref;
    policy->lost[policy->lost_count].reason = reason;
    return diag;
}

static void lose_end(struct translation *tr, struct tr_limit_policy *policy,
                     const struct diag *diag)
{
    policy->lost[policy->lost_count++].message = translate_message(tr, diag);
}

/* The object of a target, when it is there and has the section; NULL with a finding. */
static const struct conf_object *find_target(struct translation *tr, struct tr_limit_policy *policy,
                                             unsigned index)
{
    const struct conf_ref *ref = &policy->object->rate_limit_policy->targets[index];
    enum conf_kind kind = conf_ref_kind(ref);
    struct diag *diag;
    if (kind != CONF_KIND_GATEWAY && kind != CONF_KIND_HTTP_ROUTE && kind != CONF_KIND_GRPC_ROUTE) {
        diag = lose(tr, policy, index, DIAG_POLICY_TARGET_KIND, "Invalid");
        diag_message(diag,
                     "kind \"%s\" of group \"%s\" cannot be limited, only Gateway, HTTPRoute "
                     "and GRPCRoute",
                     ref->kind, ref->group);
        lose_end(tr, policy, diag);
        return NULL;
    }
    const struct conf_object *object =
        objects_find(tr->objects, kind, policy->object->ns, ref->name);
    if (!object) {
        diag = lose(tr, policy, index, DIAG_POLICY_TARGET_NOT_FOUND, "TargetNotFound");
        diag_message(diag, "no %s \"%.*s\" in namespace \"%.*s\"", conf_kind_name(kind),
                     SPAN_ARG(ref->name), SPAN_ARG(policy->object->ns));
        translate_suggest(tr, diag, kind, policy->object->ns, ref->name);
        lose_end(tr, policy, diag);
        return NULL;
    }
    bool has_section = ref->section_name == NULL;
    if (kind == CONF_KIND_GATEWAY) {
        for (unsigned i = 0; i < object->gateway->listeners_count && !has_section; i++)
            has_section = span_equal_str(object->gateway->listeners[i].name, ref->section_name);
    } else {
        for (unsigned i = 0; i < object->http_route->rules_count && !has_section; i++)
            has_section = span_equal_str(object->http_route->rules[i].name, ref->section_name);
    }
    if (has_section)
        return object;
    diag = lose(tr, policy, index, DIAG_POLICY_TARGET_NOT_FOUND, "TargetNotFound");
    diag_field(diag, "spec.targetRefs[%u].sectionName", index);
    diag_message(diag, "%s \"%.*s\" has no %s named \"%s\"", conf_kind_name(kind),
                 SPAN_ARG(ref->name), kind == CONF_KIND_GATEWAY ? "listener" : "rule",
                 ref->section_name);
    lose_end(tr, policy, diag);
    return NULL;
}

/* Address of the object, then the section; 0: longer than any name of the API. */
#define TARGET_KEY_MAX (sizeof(void *) + 256)

static size_t target_key(const struct conf_object *object, struct span section, char *key)
{
    if (section.len > 256)
        return 0;
    memcpy(key, &object, sizeof(object));
    if (section.len > 0)
        memcpy(key + sizeof(object), section.ptr, section.len);
    return sizeof(object) + section.len;
}

static struct tr_limit_policy *target_find(const struct translation *tr,
                                           const struct conf_object *object, struct span section)
{
    char key[TARGET_KEY_MAX];
    size_t len = target_key(object, section, key);
    struct hmap_node *node = len > 0 ? hmap_find(&tr->limit_map, span_make(key, len)) : NULL;
    return node ? container_of(node, struct tr_limit_target, node)->policy : NULL;
}

static void apply_to_gateway(struct translation *tr, struct tr_limit_policy *policy,
                             const struct conf_object *object, struct span section)
{
    struct tr_gateway *gateway = translate_gateway_find(tr, object);
    if (!gateway)
        return;
    translate_ancestor(&policy->ancestors, gateway, NULL);
    if (section.len == 0)
        gateway->limits = policy;
    for (unsigned i = 0; i < gateway->listeners_count && section.len > 0; i++) {
        if (span_equal(gateway->listeners[i].conf->name, section))
            gateway->listeners[i].limits = policy;
    }
}

/* True: the policy has the target. */
static bool add_target(struct translation *tr, struct tr_limit_policy *policy, unsigned index)
{
    const struct conf_ref *ref = &policy->object->rate_limit_policy->targets[index];
    const struct conf_object *object = find_target(tr, policy, index);
    struct span section = span_str(ref->section_name);
    char key[TARGET_KEY_MAX];
    if (!object)
        return false;
    size_t len = target_key(object, section, key);
    const struct tr_limit_policy *older = target_find(tr, object, section);
    if (older == policy || len == 0)
        return false; /* named twice */
    if (older) {
        struct diag *diag = lose(tr, policy, index, DIAG_POLICY_CONFLICTED, "Conflicted");
        diag_message(diag, "RateLimitPolicy \"%.*s\" is older and has %s \"%.*s\"",
                     SPAN_ARG(older->object->name), ref->kind, SPAN_ARG(ref->name));
        lose_end(tr, policy, diag);
        return false;
    }
    struct tr_limit_target *target = arena_new(&tr->scratch, struct tr_limit_target);
    ASSERT(target);
    target->policy = policy;
    hmap_insert(&tr->limit_map, &target->node, arena_copy(&tr->scratch, span_make(key, len)));
    if (object->kind == CONF_KIND_GATEWAY)
        apply_to_gateway(tr, policy, object, section);
    return true;
}

void translate_limits(struct translation *tr)
{
    unsigned count;
    const struct conf_object *const *list =
        objects_list(tr->objects, CONF_KIND_RATE_LIMIT_STORE, &count);
    tr->stores = arena_array(&tr->scratch, struct tr_store, count);
    tr->stores_count = count;
    ASSERT(tr->stores);
    for (unsigned i = 0; i < count; i++) {
        tr->stores[i].object = list[i];
        resolve_store(tr, &tr->stores[i]);
    }
    list = objects_list(tr->objects, CONF_KIND_RATE_LIMIT_POLICY, &count);
    tr->limit_policies = arena_array(&tr->scratch, struct tr_limit_policy, count);
    tr->limit_policies_count = count;
    ASSERT(tr->limit_policies);
    for (unsigned i = 0; i < count; i++) {
        struct tr_limit_policy *policy = &tr->limit_policies[i];
        const struct conf_rate_limit_policy *conf = list[i]->rate_limit_policy;
        bool has_target = false;
        policy->object = list[i];
        policy->lost = arena_array(&tr->scratch, struct tr_lost_target, conf->targets_count);
        ASSERT(policy->lost);
        for (unsigned j = 0; j < conf->targets_count; j++)
            has_target |= add_target(tr, policy, j);
        /* What is wrong with the store is told whatever is wrong with the targets. */
        struct tr_store *store = conf->has_store ? find_store(tr, policy) : NULL;
        if (!conf->has_store)
            warn_no_store(tr, policy);
        if (has_target)
            build_limits(tr, policy, conf->has_store ? use_store(tr, store) : MODEL_STORE_NONE);
    }
}

struct tr_limit_policy *translate_limit_find(const struct translation *tr,
                                             const struct conf_object *object, struct span section)
{
    return tr->limit_map.count > 0 ? target_find(tr, object, section) : NULL;
}

void translate_limit_use(struct tr_limit_policy *policy, const struct tr_gateway *gateway,
                         struct model_rule *rule)
{
    translate_ancestor(&policy->ancestors, gateway, NULL);
    rule->limits = policy->limits;
    rule->limits_count = policy->limits_count;
}

static void finish_policy(struct translation *tr, const struct tr_limit_policy *policy)
{
    const struct conf_object *object = policy->object;
    struct status *status = translate_status(tr, object);
    unsigned count = policy->ancestors.count + policy->lost_count;
    status->parents = arena_array(&tr->statuses->arena, struct status_parent, count);
    ASSERT(status->parents);
    for (unsigned i = 0; i < count; i++) {
        struct status_parent *parent = &status->parents[status->parents_count++];
        bool is_lost = i >= policy->ancestors.count;
        const struct tr_lost_target *lost =
            is_lost ? &policy->lost[i - policy->ancestors.count] : NULL;
        parent->ref =
            lost ? *lost->ref : translate_ancestor_ref(policy->ancestors.items[i].gateway);
        translate_condition(tr, &parent->conditions, "Accepted", lost ? lost->reason : NULL,
                            lost ? lost->message : SPAN_NONE);
        if (!lost)
            translate_condition(tr, &parent->conditions, "ResolvedRefs", policy->unresolved.reason,
                                policy->unresolved.message);
    }
}

void translate_limits_finish(struct translation *tr)
{
    for (unsigned i = 0; i < tr->limit_policies_count; i++)
        finish_policy(tr, &tr->limit_policies[i]);
    for (unsigned i = 0; i < tr->stores_count; i++) {
        const struct tr_store *store = &tr->stores[i];
        struct status *status = translate_status(tr, store->object);
        translate_condition(tr, &status->conditions, "Accepted",
                            store->unresolved.reason ? "Invalid" : NULL,
                            store->unresolved.reason ? store->unresolved.message : SPAN_NONE);
        translate_condition(tr, &status->conditions, "ResolvedRefs", store->unresolved.reason,
                            store->unresolved.message);
    }
}
