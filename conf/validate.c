/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/validate.h"

#include <stdio.h>

static bool is_tls(enum conf_protocol protocol)
{
    return protocol == CONF_PROTOCOL_HTTPS || protocol == CONF_PROTOCOL_TLS;
}

enum validate_conflict validate_listeners(const struct conf_listener *a,
                                          const struct conf_listener *b)
{
    if (a->port != b->port)
        return VALIDATE_CONFLICT_NONE;
    if (a->protocol == CONF_PROTOCOL_OTHER || b->protocol == CONF_PROTOCOL_OTHER)
        return VALIDATE_CONFLICT_NONE;
    if (a->protocol == CONF_PROTOCOL_UDP || b->protocol == CONF_PROTOCOL_UDP)
        return a->protocol == b->protocol ? VALIDATE_CONFLICT_PROTOCOL : VALIDATE_CONFLICT_NONE;
    if (a->protocol == CONF_PROTOCOL_TCP || b->protocol == CONF_PROTOCOL_TCP)
        return VALIDATE_CONFLICT_PROTOCOL;
    if (is_tls(a->protocol) != is_tls(b->protocol))
        return VALIDATE_CONFLICT_PROTOCOL;
    return span_equal_fold(a->hostname, b->hostname) ? VALIDATE_CONFLICT_HOSTNAME
                                                     : VALIDATE_CONFLICT_NONE;
}

/* ReplacePrefixMatch replaces what a PathPrefix matched: it means nothing beside another type. */
static bool has_only_prefix_matches(const struct conf_http_rule *rule)
{
    for (unsigned i = 0; i < rule->matches_count; i++) {
        if (rule->matches[i].path_type != CONF_MATCH_PREFIX)
            return false;
    }
    return true;
}

static bool is_url_filter(const struct conf_filter *filter)
{
    return filter->type == CONF_FILTER_REDIRECT || filter->type == CONF_FILTER_REWRITE;
}

/* A list of the rule, or of one of its backendRefs. */
struct filter_list {
    const struct conf_filter *filters;
    unsigned count;
    int backend; /* its index; -1: the rule's own list */
};

static void name_field(const struct filter_list *list, unsigned filter, const char *member,
                       struct validate_finding *ret)
{
    if (list->backend < 0)
        snprintf(ret->field, sizeof(ret->field), "filters[%u]%s", filter, member);
    else
        snprintf(ret->field, sizeof(ret->field), "backendRefs[%d].filters[%u]%s", list->backend,
                 filter, member);
}

static bool check_filters(const struct conf_http_rule *rule, const struct filter_list *list,
                          struct validate_finding *ret)
{
    const struct conf_filter *url_filter = NULL;
    for (unsigned i = 0; i < list->count; i++) {
        const struct conf_filter *filter = &list->filters[i];
        ret->pos = filter->pos;
        ret->code = DIAG_RULE_UNSUPPORTED;
        ret->reason = "UnsupportedValue";
        ret->value = filter->type_text;
        /* A preflight and its request may be for different backends: only the rule can answer. */
        bool is_misplaced = filter->type == CONF_FILTER_CORS && list->backend >= 0;
        if (filter->type == CONF_FILTER_UNSUPPORTED || is_misplaced) {
            name_field(list, i, ".type", ret);
            snprintf(ret->text, sizeof(ret->text), "filter type \"%.*s\" is not served%s",
                     SPAN_ARG(filter->type_text), is_misplaced ? " on a backendRef" : "");
            return false;
        }
        if (!is_url_filter(filter))
            continue;
        if (filter->url.path_mod == CONF_PATH_REPLACE_PREFIX && !has_only_prefix_matches(rule)) {
            name_field(list, i, "", ret);
            snprintf(ret->text, sizeof(ret->text),
                     "ReplacePrefixMatch needs matches of type PathPrefix only");
            return false;
        }
        if (url_filter && url_filter->type != filter->type) {
            ret->code = DIAG_INCOMPATIBLE_FILTERS;
            ret->reason = "IncompatibleFilters";
            name_field(list, i, "", ret);
            snprintf(ret->text, sizeof(ret->text),
                     "RequestRedirect and URLRewrite exclude each other");
            return false;
        }
        url_filter = filter;
    }
    return true;
}

static bool check_all_filters(const struct conf_http_rule *rule, struct validate_finding *ret)
{
    struct filter_list list = {rule->filters, rule->filters_count, -1};
    if (!check_filters(rule, &list, ret))
        return false;
    for (unsigned i = 0; i < rule->backends_count; i++) {
        list.filters = rule->backends[i].filters;
        list.count = rule->backends[i].filters_count;
        list.backend = (int)i;
        if (!check_filters(rule, &list, ret))
            return false;
    }
    return true;
}

/* A match whose regular expressions are looked at. */
struct pattern_site {
    const struct validate_patterns *patterns;
    unsigned match; /* its index in the rule */
    struct validate_finding *ret;
};

static bool check_pattern(const struct pattern_site *site, struct span source,
                          struct conf_place pos, const char *member)
{
    struct validate_finding *ret = site->ret;
    const char *problem = site->patterns->problem(site->patterns->user, source);
    if (!problem)
        return true;
    ret->code = DIAG_REGEX_INVALID;
    ret->reason = "UnsupportedValue";
    ret->pos = pos;
    ret->value = source;
    snprintf(ret->field, sizeof(ret->field), "matches[%u].%s", site->match, member);
    snprintf(ret->text, sizeof(ret->text), "%s", problem);
    return false;
}

static bool check_kv_patterns(const struct pattern_site *site, const struct conf_kv_match *items,
                              unsigned count, const char *list)
{
    char member[48];
    for (unsigned i = 0; i < count; i++) {
        snprintf(member, sizeof(member), "%s[%u].value", list, i);
        if (items[i].type == CONF_MATCH_REGEX &&
            !check_pattern(site, items[i].value, items[i].pos, member))
            return false;
    }
    return true;
}

static bool check_rpc_patterns(const struct pattern_site *site, const struct conf_rpc_match *rpc)
{
    return rpc == NULL || rpc->type != CONF_MATCH_REGEX ||
           (check_pattern(site, rpc->service, rpc->service_pos, "method.service") &&
            check_pattern(site, rpc->method, rpc->method_pos, "method.method"));
}

static bool check_patterns(const struct conf_http_rule *rule,
                           const struct validate_patterns *patterns, struct validate_finding *ret)
{
    struct pattern_site site = {.patterns = patterns, .ret = ret};
    for (; site.match < rule->matches_count; site.match++) {
        const struct conf_http_match *match = &rule->matches[site.match];
        if (match->path_type == CONF_MATCH_REGEX &&
            !check_pattern(&site, match->path, match->path_pos, "path.value"))
            return false;
        const struct conf_match_more *more = match->more;
        if (more != NULL &&
            (!check_rpc_patterns(&site, more->rpc) ||
             !check_kv_patterns(&site, more->headers, more->headers_count, "headers") ||
             !check_kv_patterns(&site, more->queries, more->queries_count, "queryParams")))
            return false;
    }
    return true;
}

bool validate_http_rule(const struct conf_http_rule *rule, const struct validate_patterns *patterns,
                        struct validate_finding *ret)
{
    const struct conf_rule_rare *rare = rule->rare;
    if (rare && rare->unsupported) {
        ret->code = DIAG_RULE_UNSUPPORTED;
        ret->reason = "UnsupportedValue";
        ret->pos = rare->unsupported_pos;
        ret->value = span_str(rare->unsupported);
        snprintf(ret->field, sizeof(ret->field), "%s", rare->unsupported);
        snprintf(ret->text, sizeof(ret->text), "\"%s\" is not served", rare->unsupported);
        return false;
    }
    return (!patterns || check_patterns(rule, patterns, ret)) && check_all_filters(rule, ret);
}

/* Offset after the next line that starts with prefix, has label before "-----"; or -1. */
static ssize_t pem_find_line(struct span text, size_t from, const char *prefix, const char *label)
{
    size_t prefix_len = strlen(prefix);
    for (size_t at = from; at + prefix_len < text.len;) {
        struct span line, rest;
        (void)span_split(span_skip(text, at), '\n', &line, &rest);
        at += line.len + 1;
        line = span_trim(line);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line = span_trim(span_make(line.ptr, line.len - 1));
        if (!span_starts_with(line, span_str(prefix)) || !span_ends_with(line, SPAN_LIT("-----")) ||
            line.len < prefix_len + 5)
            continue;
        struct span kind = span_make(line.ptr + prefix_len, line.len - prefix_len - 5);
        if (span_ends_with(kind, span_str(label)))
            return (ssize_t)MIN(at, text.len);
    }
    return -1;
}

bool validate_pem(struct span text, const char *label)
{
    ssize_t begin = pem_find_line(text, 0, "-----BEGIN ", label);
    return begin > 0 && pem_find_line(text, (size_t)begin, "-----END ", label) > begin;
}
