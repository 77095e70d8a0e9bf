/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include <string.h>

#include "base/panic.h"

/* Rules are many, so they share what they can with the decoded objects and
 * with these constants. */

static const struct conf_http_match match_all = {
    .path_type = CONF_MATCH_PREFIX,
    .path = {"/", 1},
};

static const struct conf_rule_rare nothing_rare;

static const struct span default_names[] = {
    {"rule-0", 6},  {"rule-1", 6},  {"rule-2", 6},  {"rule-3", 6},  {"rule-4", 6},  {"rule-5", 6},
    {"rule-6", 6},  {"rule-7", 6},  {"rule-8", 6},  {"rule-9", 6},  {"rule-10", 7}, {"rule-11", 7},
    {"rule-12", 7}, {"rule-13", 7}, {"rule-14", 7}, {"rule-15", 7},
};

static enum model_filter_type filter_type(enum conf_filter_type type)
{
    switch (type) {
    case CONF_FILTER_REQUEST_HEADERS:
        return MODEL_FILTER_REQUEST_HEADERS;
    case CONF_FILTER_RESPONSE_HEADERS:
        return MODEL_FILTER_RESPONSE_HEADERS;
    case CONF_FILTER_REDIRECT:
        return MODEL_FILTER_REDIRECT;
    case CONF_FILTER_REWRITE:
        return MODEL_FILTER_REWRITE;
    case CONF_FILTER_MIRROR:
        return MODEL_FILTER_MIRROR;
    case CONF_FILTER_CORS:
        return MODEL_FILTER_CORS;
    case CONF_FILTER_UNSUPPORTED:
        break;
    }
    UNREACHABLE(); /* validate_http_rule refuses it */
}

/* A list of the rule or of one of its backendRefs. */
struct filter_list {
    const struct conf_filter *conf;
    unsigned conf_count;
    struct model_filter *filters;
    unsigned count;
};

/* A mirror whose target does not resolve is left out; the rule is served without it. */
static void build_filters(struct translation *tr, struct tr_site *site, struct filter_list *list,
                          struct tr_unresolved *unresolved)
{
    if (list->conf_count == 0)
        return;
    list->filters = arena_array(tr->arena, struct model_filter, list->conf_count);
    ASSERT(list->filters);
    for (unsigned i = 0; i < list->conf_count; i++) {
        const struct conf_filter *conf = &list->conf[i];
        int cluster = 0;
        if (conf->type == CONF_FILTER_MIRROR) {
            site->is_mirror = true;
            site->filter = i;
            cluster = translate_backend(tr, &conf->mirror.ref, site, unresolved);
            site->is_mirror = false;
        }
        if (cluster >= 0)
            list->filters[list->count++] =
                (struct model_filter){filter_type(conf->type), conf, (unsigned)cluster};
    }
}

struct model_backend *translate_rule_backends(struct translation *tr, struct tr_site *site,
                                              const struct conf_backend_ref *backends,
                                              unsigned count, struct tr_unresolved *unresolved)
{
    struct model_backend *built = arena_array(tr->arena, struct model_backend, count);
    ASSERT(built);
    site->is_only = count == 1;
    for (unsigned i = 0; i < count; i++) {
        site->backend = i;
        built[i].weight = backends[i].weight;
        built[i].cluster = translate_backend(tr, &backends[i].ref, site, unresolved);
    }
    return built;
}

static bool is_same_backend(const struct conf_backend_ref *a, const struct conf_backend_ref *b)
{
    return a->weight == b->weight && a->filters_count == 0 && b->filters_count == 0 &&
           a->ref.port == b->ref.port && span_equal(a->ref.name, b->ref.name) &&
           a->ref.has_ns == b->ref.has_ns && span_equal(a->ref.ns, b->ref.ns) &&
           strcmp(a->ref.kind, b->ref.kind) == 0 && strcmp(a->ref.group, b->ref.group) == 0;
}

/* Many routes lead to one Service by all of their rules: whether the backends of the rule before,
 * all of them resolved, are this one's. */
static bool has_backends_of(const struct conf_http_rule *rule, const struct conf_http_rule *before,
                            const struct model_backend *built)
{
    bool is_same = rule->backends_count == before->backends_count;
    for (unsigned i = 0; i < rule->backends_count && is_same; i++)
        is_same =
            built[i].cluster >= 0 && is_same_backend(&rule->backends[i], &before->backends[i]);
    return is_same;
}

static void warn_backends(struct translation *tr, const struct tr_site *site,
                          const struct conf_http_rule *rule)
{
    uint64_t weights = 0;
    for (unsigned i = 0; i < rule->filters_count; i++) {
        if (rule->filters[i].type == CONF_FILTER_REDIRECT)
            return;
    }
    for (unsigned i = 0; i < rule->backends_count; i++)
        weights += rule->backends[i].weight;
    if (weights > 0 || site->is_quiet)
        return;
    bool is_none = rule->backends_count == 0;
    struct diag *diag = translate_diag(tr, is_none ? DIAG_NO_BACKENDS : DIAG_WEIGHTS_ZERO,
                                       site->object, rule->pos, SPAN_NONE);
    diag_field(diag, "spec.rules[%u].backendRefs", site->rule);
    bool is_grpc = translate_rule_is_grpc(site);
    diag_message(diag, !is_none  ? "the weights of all backends are 0"
                       : is_grpc ? "the rule has no backend"
                                 : "the rule has no backend and no redirect");
    diag_consequence(diag, "this rule would answer %s, others are unaffected",
                     is_grpc ? "UNAVAILABLE (14)" : "500");
}

static bool is_valid(const struct translation *tr, const struct conf_http_rule *rule,
                     struct validate_finding *finding)
{
    return validate_http_rule(rule, tr->options->patterns, finding);
}

/* Whether the route keeps any rule. */
static bool has_valid_rule(const struct translation *tr, const struct conf_http_route *route)
{
    struct validate_finding finding;
    for (unsigned i = 0; i < route->rules_count; i++) {
        if (is_valid(tr, &route->rules[i], &finding))
            return true;
    }
    return false;
}

static void tell_invalid(struct translation *tr, const struct tr_site *site,
                         const struct validate_finding *finding)
{
    struct diag *diag =
        translate_diag(tr, finding->code, site->object, finding->pos, finding->value);
    diag_field(diag, "spec.rules[%u].%s", site->rule, finding->field);
    diag_message(diag, "%s", finding->text);
    if (has_valid_rule(tr, site->object->http_route))
        diag_condition(diag, "PartiallyInvalid=True, " TR_PARTIALLY_INVALID);
    else
        diag_condition(diag, "Accepted=False, %s", finding->reason);
    diag_consequence(diag, "this rule would not be served, others are unaffected");
}

/* False: the rule must be left out. */
static bool check_rule(struct translation *tr, const struct tr_site *site,
                       const struct conf_http_rule *rule, struct tr_rules_outcome *ret)
{
    struct validate_finding finding;
    if (is_valid(tr, rule, &finding))
        return true;
    if (ret->invalid++ == 0) {
        ret->reason = finding.reason;
        ret->message = arena_printf(&tr->statuses->arena, "rules[%u].%s: %s", site->rule,
                                    finding.field, finding.text);
    }
    if (!site->is_quiet)
        tell_invalid(tr, site, &finding);
    return false;
}

/* Most specific wins whole: rule, route, listener, Gateway (GEP-713, atomic defaults). */
static void set_limits(struct translation *tr, const struct tr_site *site,
                       struct tr_limit_policy *outer, struct model_rule *rule,
                       struct span rule_name)
{
    struct tr_limit_policy *policy = NULL;
    if (rule_name.len > 0)
        policy = translate_limit_find(tr, site->object, rule_name);
    if (!policy)
        policy = translate_limit_find(tr, site->object, SPAN_NONE);
    policy = policy ? policy : outer;
    if (policy)
        translate_limit_use(policy, site->gateway, rule);
}

static void build_rule_filters(struct translation *tr, struct tr_site *site,
                               const struct conf_http_rule *rule, struct model_rule *ret,
                               struct tr_unresolved *unresolved)
{
    struct filter_list list = {.conf = rule->filters, .conf_count = rule->filters_count};
    site->is_of_backend = false;
    build_filters(tr, site, &list, unresolved);
    ret->filters = list.filters;
    ret->filters_count = (uint16_t)list.count;
    site->is_of_backend = true;
    for (unsigned i = 0; i < rule->backends_count; i++) {
        list = (struct filter_list){.conf = rule->backends[i].filters,
                                    .conf_count = rule->backends[i].filters_count};
        site->backend = i;
        build_filters(tr, site, &list, unresolved);
        ret->backends[i].filters = list.filters;
        ret->backends[i].filters_count = list.count;
    }
}

static void build_rule(struct translation *tr, const struct tr_site *site,
                       const struct conf_http_rule *rule, struct model_rule *ret)
{
    ret->index = (uint16_t)site->rule;
    ret->name = rule->name;
    if (rule->name.len == 0 && site->rule < ARRAY_COUNT(default_names))
        ret->name = default_names[site->rule];
    else if (rule->name.len == 0)
        ret->name = arena_printf(tr->arena, "rule-%u", site->rule);
    ret->matches = rule->matches_count > 0 ? rule->matches : &match_all;
    ret->matches_count = (uint16_t)MAX(rule->matches_count, 1u);
    ret->backends_count = (uint16_t)rule->backends_count;
    ret->rare = rule->rare ? rule->rare : &nothing_rare;
}

void translate_rules(struct translation *tr, struct tr_site *site, struct tr_limit_policy *outer,
                     struct model_http_route *route, struct tr_rules_outcome *ret)
{
    const struct conf_http_route *conf = site->object->http_route;
    *ret = (struct tr_rules_outcome){0};
    route->ns = site->object->ns;
    route->name = site->object->name;
    route->has_idle_timeout = conf->has_idle_timeout;
    route->idle_timeout_ns = conf->idle_timeout_ns;
    route->rules = arena_array(tr->arena, struct model_rule, conf->rules_count);
    ASSERT(route->rules);
    struct model_backend *backends = NULL;
    for (unsigned i = 0; i < conf->rules_count; i++) {
        const struct conf_http_rule *rule = &conf->rules[i];
        struct model_rule *built = &route->rules[route->rules_count];
        site->rule = i;
        bool is_kept = check_rule(tr, site, rule, ret);
        if (i == 0 || !has_backends_of(rule, &conf->rules[i - 1], backends))
            backends = translate_rule_backends(tr, site, rule->backends, rule->backends_count,
                                               &ret->unresolved);
        if (!is_kept)
            continue;
        warn_backends(tr, site, rule);
        built->backends = backends;
        build_rule(tr, site, rule, built);
        build_rule_filters(tr, site, rule, built, &ret->unresolved);
        set_limits(tr, site, outer, built, rule->name);
        route->rules_count++;
    }
}
