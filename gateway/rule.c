/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/rule.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/uri.h"

static struct header_op header_op_make(int type, struct span name, struct span value)
{
    return (struct header_op){type, http_header_find(name), name, value};
}

static struct header_program header_program_make(const struct conf_header_mod *mod,
                                                 struct arena *arena)
{
    unsigned count = mod->set_count + mod->add_count + mod->remove_count;
    struct header_op *ops = arena_array(arena, struct header_op, count);
    if (ops == NULL)
        return (struct header_program){0};
    struct header_op *op = ops;
    for (unsigned i = 0; i < mod->set_count; i++)
        *op++ = header_op_make(HEADER_OP_SET, mod->set[i].key, mod->set[i].value);
    for (unsigned i = 0; i < mod->add_count; i++)
        *op++ = header_op_make(HEADER_OP_ADD, mod->add[i].key, mod->add[i].value);
    for (unsigned i = 0; i < mod->remove_count; i++)
        *op++ = header_op_make(HEADER_OP_REMOVE, mod->remove[i], SPAN_NONE);
    return (struct header_program){ops, count};
}

/* Backends see one form of a path, whether it comes from a client or from a filter. */
static struct span url_program_path(struct span path, struct arena *arena)
{
    struct span normal;
    if (path.len == 0)
        return path;
    /* The schema refuses it: without the slash it would become a part of the host. */
    if (path.ptr[0] != '/')
        path = arena_printf(arena, "/%.*s", SPAN_ARG(path));
    return uri_normalize_path(arena, path, &normal) == 0 ? normal : path;
}

static struct url_program url_program_make(const struct conf_filter *conf, struct arena *arena)
{
    return (struct url_program){
        .scheme = conf->url.scheme,
        .hostname = conf->url.hostname,
        .path = url_program_path(conf->url.path, arena),
        .path_mod = conf->url.path_mod,
        .port = conf->url.port,
        .status = conf->url.status,
    };
}

static void filter_program_compile(struct filter_program *program,
                                   const struct model_filter *filters, unsigned count,
                                   struct arena *arena)
{
    program->steps = arena_array(arena, struct filter_step, count);
    for (unsigned i = 0; program->steps != NULL && i < count; i++) {
        struct filter_step *step = &program->steps[program->count++];
        step->type = filters[i].type;
        switch (filters[i].type) {
        case MODEL_FILTER_REQUEST_HEADERS:
        case MODEL_FILTER_RESPONSE_HEADERS:
            step->headers = header_program_make(&filters[i].conf->headers, arena);
            break;
        case MODEL_FILTER_REDIRECT:
        case MODEL_FILTER_REWRITE:
            step->url = url_program_make(filters[i].conf, arena);
            break;
        case MODEL_FILTER_MIRROR:
            step->mirror =
                (struct mirror_program){filters[i].cluster, filters[i].conf->mirror.numerator,
                                        filters[i].conf->mirror.denominator};
            break;
        case MODEL_FILTER_CORS:
            cors_compile(&step->cors, &filters[i].conf->cors, arena);
            break;
        }
    }
}

static const struct filter_program *backend_filters_compile(const struct model_rule *conf,
                                                            struct arena *arena)
{
    struct filter_program *each = arena_array(arena, struct filter_program, conf->backends_count);
    for (unsigned i = 0; each != NULL && i < conf->backends_count; i++)
        filter_program_compile(&each[i], conf->backends[i].filters, conf->backends[i].filters_count,
                               arena);
    return each;
}

static const struct rule_filters no_filters;

static const struct rule_filters *filters_compile(const struct model_rule *conf,
                                                  struct arena *arena)
{
    bool of_backend = false;
    for (unsigned i = 0; i < conf->backends_count; i++)
        of_backend |= conf->backends[i].filters_count > 0;
    if (conf->filters_count == 0 && !of_backend)
        return &no_filters;
    struct rule_filters *filters = arena_new(arena, struct rule_filters);
    if (filters == NULL)
        return &no_filters; /* the arena tells */
    filter_program_compile(&filters->all, conf->filters, conf->filters_count, arena);
    for (unsigned i = 0; i < filters->all.count; i++) {
        if (filters->all.steps[i].type == MODEL_FILTER_CORS)
            filters->cors = &filters->all.steps[i].cors;
    }
    if (of_backend)
        filters->by_backend = backend_filters_compile(conf, arena);
    return filters;
}

static void rule_compile(struct rule *rule, const struct route_rule *route_rule,
                         struct arena *arena)
{
    const struct model_rule *conf = route_rule->conf;
    const struct model_http_route *route = route_rule->route;
    *rule = (struct rule){
        .filters = filters_compile(conf, arena),
        .rare = conf->rare,
        .backends = conf->backends,
        .route_rule = route_rule,
        .idle_timeout_ns = route->has_idle_timeout ? route->idle_timeout_ns : RULE_IDLE_DEFAULT,
        .cursor = RULE_CURSOR_NONE,
        .only = conf->backends_count == 1 && conf->backends[0].weight > 0
                    ? conf->backends[0].cluster
                    : -1,
        .backends_count = conf->backends_count,
        .has_limits = conf->limits_count > 0,
    };
}

struct rule *rules_compile(const struct route_table *table, struct arena *arena,
                           uint32_t *ret_cursors)
{
    uint32_t count = route_table_rules_count(table);
    struct rule *rules = arena_alloc_aligned(arena, count * sizeof(struct rule), 64);
    *ret_cursors = 0;
    for (uint32_t i = 0; rules != NULL && i < count; i++) {
        rule_compile(&rules[i], route_table_rule(table, i), arena);
        if (rules[i].backends_count > 1)
            rules[i].cursor = (*ret_cursors)++;
    }
    return rules;
}

/* Of all rules that came when there were series enough: they share one more cold place. */
static struct rule_series other_series;

void rule_fini(struct rule *rule)
{
    if (rule->series != &other_series)
        free(rule->series);
}

/* Spans of the model are followed by a NUL (arena_copy), but not those that
 * are parts of a text: labels are copied to be sure. */
static const char *rule_label(struct span s, char *out, size_t size)
{
    size_t len = MIN(s.len, size - 1);
    if (len > 0)
        memcpy(out, s.ptr, len);
    out[len] = '\0';
    return out;
}

static COLD struct metric_series *rule_series(const struct rule *rule, unsigned code_class)
{
    static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    const struct route_rule *r = rule->route_rule;
    char gateway[640], listener[260], ns[260], route[260], name[260], gateway_name[260];

    rule_label(r->listener->gateway_ns, ns, sizeof(ns));
    rule_label(r->listener->gateway, gateway_name, sizeof(gateway_name));
    snprintf(gateway, sizeof(gateway), "%s/%s", ns, gateway_name);
    const char *values[] = {
        gateway,
        rule_label(r->listener->name, listener, sizeof(listener)),
        rule_label(r->route->ns, ns, sizeof(ns)),
        rule_label(r->route->name, route, sizeof(route)),
        rule_label(r->conf->name, name, sizeof(name)),
        code_class < RULE_CODE_CLASSES ? classes[code_class] : NULL,
    };
    return metric_series_get(code_class < RULE_CODE_CLASSES ? METRIC_FAMILY_REQUESTS
                                                            : METRIC_FAMILY_REQUEST_SECONDS,
                             values);
}

/* Two workers may make the same series at once: metric_series_get gives both the same one. */
static struct metric_series *rule_series_once(const struct rule *rule, struct metric_series **slot,
                                              unsigned code_class)
{
    struct metric_series *series = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (UNLIKELY(series == NULL)) {
        series = rule_series(rule, code_class);
        __atomic_store_n(slot, series, __ATOMIC_RELEASE);
    }
    return series;
}

/* A rule without a histogram of its own has no counter either: it asks for a counter first, and a
 * rule has one or more of these. */
static COLD struct rule_series *rule_series_new(struct rule *rule, unsigned code_class)
{
    struct metric_series *requests = rule_series(rule, code_class);
    struct metric_series *seconds = rule_series(rule, RULE_CODE_CLASSES);
    struct rule_series *fresh = &other_series, *old = NULL;
    if (!metric_series_is_other(seconds)) {
        fresh = xcalloc(1, sizeof(*fresh));
        fresh->requests[code_class] = requests;
        fresh->seconds = seconds;
    }
    if (__atomic_compare_exchange_n(&rule->series, &old, fresh, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return fresh;
    if (fresh != &other_series)
        free(fresh); /* another worker was first */
    return old;
}

void rule_observe(struct rule *rule, unsigned status, uint64_t duration_ns)
{
    unsigned code_class = status / 100 < RULE_CODE_CLASSES ? status / 100 : 0;
    struct rule_series *s = __atomic_load_n(&rule->series, __ATOMIC_ACQUIRE);
    if (UNLIKELY(s == NULL))
        s = rule_series_new(rule, code_class);
    metric_series_add(rule_series_once(rule, &s->requests[code_class], code_class), 1);
    metric_series_observe(rule_series_once(rule, &s->seconds, RULE_CODE_CLASSES), duration_ns);
}

bool rule_headers_apply(const struct header_program *program, struct http_head *head)
{
    for (unsigned i = 0; i < program->count; i++) {
        const struct header_op *op = &program->ops[i];
        bool ok = true;
        switch (op->type) {
        case HEADER_OP_SET:
            ok = http_head_set(head, op->name, op->value);
            break;
        case HEADER_OP_ADD:
            ok = http_head_add(head, op->name, op->value);
            break;
        case HEADER_OP_REMOVE:
            http_head_remove(head, op->name);
            break;
        }
        if (!ok)
            return false;
    }
    return true;
}

static uint32_t len_without_slash(struct span path)
{
    size_t len = path.len;
    while (len > 0 && path.ptr[len - 1] == '/')
        len--;
    return (uint32_t)len;
}

struct span rule_url_path(const struct url_program *program, struct arena *arena, struct span path,
                          uint32_t *prefix_len)
{
    if (program->path_mod == CONF_PATH_KEEP)
        return path;
    struct span rest = span_skip(path, MIN(*prefix_len, path.len));
    *prefix_len = len_without_slash(program->path);
    if (program->path_mod == CONF_PATH_REPLACE_FULL)
        return program->path.len > 0 ? program->path : SPAN_LIT("/");
    /* Replacement and rest meet in exactly one slash (HTTPPathModifier.replacePrefixMatch). */
    struct span with = span_make(program->path.ptr, *prefix_len);
    if (rest.len > 0 && rest.ptr[0] != '/')
        return arena_printf(arena, "%.*s/%.*s", SPAN_ARG(with), SPAN_ARG(rest));
    if (with.len == 0 && rest.len == 0)
        return SPAN_LIT("/");
    return arena_printf(arena, "%.*s%.*s", SPAN_ARG(with), SPAN_ARG(rest));
}
