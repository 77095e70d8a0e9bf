/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

#include <string.h>

/* HTTPRoute and TCPRoute (gateway.networking.k8s.io), with the rules their
 * CRDs state in CEL. */

/* The API counts matches over all rules of a route. */
#define MATCHES_PER_ROUTE_MAX 128

/* --- matches --- */

static const char *const path_types[] = {
    [CONF_MATCH_EXACT] = "Exact",
    [CONF_MATCH_PREFIX] = "PathPrefix",
    [CONF_MATCH_REGEX] = "RegularExpression",
    NULL,
};

static const struct decode_field path_fields[] = {
    {.name = "type",
     .type = DECODE_ENUM,
     .at = DECODE_AT(conf_http_match, path_type),
     .words = path_types,
     .def_int = CONF_MATCH_PREFIX},
    {.name = "value",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_http_match, path),
     .at_pos = DECODE_AT(conf_http_match, path_pos),
     .max = 1024,
     .def = "/"},
};

static bool contains(struct span text, const char *what)
{
    return text.len > 0 && memmem(text.ptr, text.len, what, strlen(what)) != NULL;
}

/* What an Exact or PathPrefix value may not hold: what normalisation would take away. */
static void path_check(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const parts[] = {"//", "/./", "/../", "%2f", "%2F", "#"};
    const struct conf_http_match *match = out;
    if (match->path_type == CONF_MATCH_REGEX)
        return;
    if (match->path.len == 0 || match->path.ptr[0] != '/') {
        schema_rule(decode, node, "value", "\"%.*s\" must begin with \"/\"", SPAN_ARG(match->path));
        return;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++) {
        if (contains(match->path, parts[i]))
            schema_rule(decode, node, "value", "\"%.*s\" must not contain \"%s\"",
                        SPAN_ARG(match->path), parts[i]);
    }
    if (span_ends_with(match->path, SPAN_LIT("/..")) || span_ends_with(match->path, SPAN_LIT("/.")))
        schema_rule(decode, node, "value", "\"%.*s\" must not end with \"/.\" or \"/..\"",
                    SPAN_ARG(match->path));
    for (size_t i = 0; i < match->path.len; i++) {
        unsigned char c = (unsigned char)match->path.ptr[i];
        if (c <= ' ' || c >= 0x7f) {
            schema_rule(decode, node, "value", "\"%.*s\" must be percent-encoded ASCII",
                        SPAN_ARG(match->path));
            return;
        }
    }
}

static const struct decode_table path_table = DECODE_TABLE(path_fields, .check = path_check);

enum conf_match_type schema_match_type(struct decode *decode, const struct doc_node *node)
{
    static const char *const words[] = {"Exact", "RegularExpression", NULL};
    return schema_word(decode, node, words) == 1 ? CONF_MATCH_REGEX : CONF_MATCH_EXACT;
}

static void kv_type_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    ((struct conf_kv_match *)out)->type = schema_match_type(decode, node);
}

/* Header matches have 4096 bytes of value, query matches 1024; names are tokens in both. */
#define KV_FIELDS(value_max)                                                                       \
    {.name = "type", .type = DECODE_FN, .fn = kv_type_decode},                                     \
        {.name = "name",                                                                           \
         .type = DECODE_STR,                                                                       \
         .required = true,                                                                         \
         .at = DECODE_AT(conf_kv_match, name),                                                     \
         .min = 1,                                                                                 \
         .max = 256,                                                                               \
         .check = schema_is_header_name},                                                          \
    {                                                                                              \
        .name = "value", .type = DECODE_STR, .required = true,                                     \
        .at = DECODE_AT(conf_kv_match, value), .min = 1, .max = (value_max)                        \
    }

static const struct decode_field header_match_fields[] = {KV_FIELDS(4096)};
static const struct decode_table header_match_table =
    DECODE_TABLE(header_match_fields, .at_pos = DECODE_AT(conf_kv_match, pos));
static const struct decode_field query_match_fields[] = {KV_FIELDS(1024)};
static const struct decode_table query_match_table =
    DECODE_TABLE(query_match_fields, .at_pos = DECODE_AT(conf_kv_match, pos));

static const char *const methods[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                      "CONNECT", "OPTIONS", "TRACE", "PATCH", NULL};

struct conf_match_more *schema_match_more(struct decode *decode, struct conf_http_match *match)
{
    if (match->more == NULL)
        match->more = decode_array(decode, 1, sizeof(*match->more));
    return match->more;
}

static void more_decode(struct decode *decode, const struct decode_field *field,
                        const struct doc_node *node, struct conf_http_match *match)
{
    struct conf_match_more *more = schema_match_more(decode, match);
    if (more != NULL)
        decode_field(decode, field, node, more);
}

void schema_match_headers(struct decode *decode, const struct doc_node *node, void *out)
{
    static const struct decode_field field = {
        .type = DECODE_LIST,
        .at = DECODE_AT(conf_match_more, headers),
        .at_count = DECODE_AT(conf_match_more, headers_count),
        .max = 16,
        .item_size = sizeof(struct conf_kv_match),
        .table = &header_match_table,
    };
    more_decode(decode, &field, node, out);
}

static void queries_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const struct decode_field field = {
        .type = DECODE_LIST,
        .at = DECODE_AT(conf_match_more, queries),
        .at_count = DECODE_AT(conf_match_more, queries_count),
        .max = 16,
        .item_size = sizeof(struct conf_kv_match),
        .table = &query_match_table,
    };
    more_decode(decode, &field, node, out);
}

static void method_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const struct decode_field field = {
        .type = DECODE_STR, .at = DECODE_AT(conf_match_more, method), .words = methods};
    more_decode(decode, &field, node, out);
}

static const struct decode_field match_fields[] = {
    {.name = "path", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &path_table},
    SCHEMA_HEADER_MATCHES,
    {.name = "queryParams", .type = DECODE_FN, .fn = queries_decode},
    {.name = "method", .type = DECODE_FN, .fn = method_decode},
};

static void kv_unique(struct decode *decode, const struct doc_node *node, const char *name,
                      const struct conf_kv_match *items, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (!span_equal(items[i].name, items[j].name))
                continue;
            struct diag *diag =
                decode_report(decode, DIAG_DUPLICATE_ITEM, schema_child(node, name), name);
            diag_message(diag, "name \"%.*s\" is there twice", SPAN_ARG(items[i].name));
        }
    }
}

void schema_match_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_http_match *match = out;
    if (match->path.ptr == NULL) {
        match->path = SPAN_LIT("/");
        match->path_type = CONF_MATCH_PREFIX;
    }
    const struct conf_match_more *more = conf_match_more(match);
    kv_unique(decode, node, "headers", more->headers, more->headers_count);
    kv_unique(decode, node, "queryParams", more->queries, more->queries_count);
}

static const struct decode_table match_table = DECODE_TABLE(
    match_fields, .at_pos = DECODE_AT(conf_http_match, pos), .check = schema_match_check);

/* --- rules --- */

static const struct decode_field timeouts_fields[] = {
    {.name = "request",
     .type = DECODE_DURATION,
     .at = DECODE_AT(conf_rule_rare, request_timeout_ns),
     .at_has = DECODE_AT(conf_rule_rare, has_request_timeout)},
    {.name = "backendRequest",
     .type = DECODE_DURATION,
     .at = DECODE_AT(conf_rule_rare, backend_timeout_ns),
     .at_has = DECODE_AT(conf_rule_rare, has_backend_timeout)},
};

static void timeouts_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_rule_rare *rule = out;
    if (rule->has_request_timeout && rule->has_backend_timeout && rule->request_timeout_ns != 0 &&
        rule->backend_timeout_ns > rule->request_timeout_ns)
        schema_rule(decode, node, "backendRequest", "must not be longer than timeouts.request");
}

static const struct decode_table timeouts_table =
    DECODE_TABLE(timeouts_fields, .check = timeouts_check);

/* The rule's, made now or before; NULL: no memory, told. */
static struct conf_rule_rare *rare_get(struct decode *decode, struct conf_http_rule *rule)
{
    if (rule->rare == NULL)
        rule->rare = decode_array(decode, 1, sizeof(*rule->rare));
    return rule->rare;
}

static void timeouts_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_rule_rare *rare = rare_get(decode, out);
    if (rare != NULL)
        decode_table(decode, &timeouts_table, node, rare);
}

static void retry_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_rule_rare *rare = rare_get(decode, out);
    if (rare == NULL)
        return;
    rare->has_retry = true;
    decode_table(decode, &schema_retry, node, &rare->retry);
}

/* The rule is decoded and marked: the translator refuses it with UnsupportedValue. */
void schema_rule_unsupported(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_rule_rare *rare = rare_get(decode, out);
    if (rare == NULL)
        return;
    rare->unsupported = "sessionPersistence";
    rare->unsupported_pos = decode_place(decode, node->key_pos);
}

static const struct decode_field rule_fields[] = {
    SCHEMA_RULE_FIELDS(match_table, schema_filter, schema_http_backend),
    {.name = "timeouts", .type = DECODE_FN, .fn = timeouts_decode},
    {.name = "retry", .type = DECODE_FN, .fn = retry_decode},
};

/* ReplacePrefixMatch needs to know the one prefix that matched. member: where the filters are. */
static void prefix_check(struct decode *decode, const struct doc_node *node,
                         const struct conf_http_rule *rule, const char *member,
                         const struct conf_filter *filter)
{
    bool has_prefix = rule->matches_count == 0 ||
                      (rule->matches_count == 1 && rule->matches[0].path_type == CONF_MATCH_PREFIX);
    if (filter->url.path_mod == CONF_PATH_REPLACE_PREFIX && !has_prefix)
        schema_rule(decode, node, member,
                    "%.*s with replacePrefixMatch needs exactly one match, of type PathPrefix",
                    SPAN_ARG(filter->type_text));
}

static void rule_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_http_rule *rule = out;
    schema_filters_check(decode, schema_child(node, "filters"), rule->filters, rule->filters_count);
    for (unsigned i = 0; i < rule->filters_count; i++) {
        const struct conf_filter *filter = &rule->filters[i];
        prefix_check(decode, node, rule, "filters", filter);
        if (filter->type == CONF_FILTER_REDIRECT && rule->backends_count > 0)
            schema_rule(decode, node, "backendRefs",
                        "must not be there with a RequestRedirect filter");
    }
    for (unsigned i = 0; i < rule->backends_count; i++) {
        for (unsigned j = 0; j < rule->backends[i].filters_count; j++)
            prefix_check(decode, node, rule, "backendRefs", &rule->backends[i].filters[j]);
    }
}

static const struct decode_table rule_table =
    DECODE_TABLE(rule_fields, .at_pos = DECODE_AT(conf_http_rule, pos), .check = rule_check,
                 .check_always = true);

/* --- HTTPRoute --- */

void schema_hostnames(struct decode *decode, const struct doc_node *node, void *out)
{
    static const struct decode_field name = {
        .type = DECODE_STR,
        .at = DECODE_AT(conf_hostname, name),
        .at_pos = DECODE_AT(conf_hostname, pos),
        .min = 1,
        .max = SCHEMA_NAME_MAX,
        .check = schema_is_hostname,
    };
    struct conf_http_route *route = out;
    if (!decode_is_list(decode, node))
        return;
    if (node->count > 16) {
        struct diag *diag = decode_report(decode, DIAG_COUNT, node, NULL);
        diag_message(diag, "has %u entries: allowed are 0 to 16", node->count);
        return;
    }
    route->hostnames = decode_array(decode, node->count, sizeof(*route->hostnames));
    if (route->hostnames == NULL)
        return;
    for (const struct doc_node *child = node->first; child != NULL; child = child->next) {
        struct decode_path frame;
        decode_enter(decode, &frame, SPAN_NONE, (int)route->hostnames_count);
        decode_field(decode, &name, child, &route->hostnames[route->hostnames_count++]);
        decode_leave(decode);
    }
}

void schema_route_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_http_route *route = out;
    unsigned matches = 0;
    schema_parents_check(decode, node, route->parents, route->parents_count);
    for (unsigned i = 0; i < route->rules_count; i++) {
        matches += route->rules[i].matches_count;
        for (unsigned j = 0; j < i; j++) {
            if (route->rules[i].name.len > 0 &&
                span_equal(route->rules[i].name, route->rules[j].name))
                schema_rule(decode, node, "rules", "[%u] and [%u] have the same name", j, i);
        }
    }
    if (matches > MATCHES_PER_ROUTE_MAX)
        schema_rule(decode, node, "rules", "have %u matches together: at most %d are allowed",
                    matches, MATCHES_PER_ROUTE_MAX);
}

static void http_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_http_route *route = out;
    schema_route_check(decode, node, route);
    if (route->rules_count > 0)
        return;
    /* The default of the API: one rule that matches everything. */
    route->rules = decode_array(decode, 1, sizeof(*route->rules));
    route->rules_count = route->rules != NULL;
    if (route->rules != NULL)
        route->rules[0].pos = decode_place(decode, node->pos);
}

static const struct decode_field http_spec_fields[] = {
    SCHEMA_ROUTE_FIELDS(1, rule_table),
};
static const struct decode_table http_spec =
    DECODE_TABLE(http_spec_fields, .check = http_check, .check_always = true);

/* The API has no field for it. */
void schema_idle_timeout(struct decode *decode, const struct doc_node *root, void *out)
{
    struct conf_http_route *route = out;
    const struct doc_node *node = schema_annotation(root, SCHEMA_ANNOTATION_IDLE);
    if (node == NULL)
        return;
    route->has_idle_timeout = true;
    if (decode_duration(node->text, &route->idle_timeout_ns) == 0)
        return;
    struct diag *diag = schema_annotation_report(decode, DIAG_FORMAT, node);
    diag_message(diag, "must be a duration, as 90s or 1h30m");
}

static const struct decode_field http_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(http_spec)};
const struct decode_table schema_http_route =
    DECODE_TABLE(http_fields, .check = schema_idle_timeout);

/* --- TCPRoute --- */

static const struct decode_field tcp_rule_fields[] = {
    {.name = "name",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_tcp_route, rule_name),
     .min = 1,
     .max = SCHEMA_NAME_MAX,
     .check = schema_is_subdomain},
    {.name = "backendRefs",
     .type = DECODE_LIST,
     .required = true,
     .at = DECODE_AT(conf_tcp_route, backends),
     .at_count = DECODE_AT(conf_tcp_route, backends_count),
     .min = 1,
     .max = 16,
     .item_size = sizeof(struct conf_backend_ref),
     .table = &schema_tcp_backend},
};
static const struct decode_table tcp_rule_table = DECODE_TABLE(tcp_rule_fields);

static void tcp_rules_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    if (!decode_is_list(decode, node))
        return;
    if (node->count != 1) {
        struct diag *diag = decode_report(decode, DIAG_COUNT, node, NULL);
        diag_message(diag, "has %u entries: exactly one is allowed", node->count);
        return;
    }
    struct decode_path frame;
    decode_enter(decode, &frame, SPAN_NONE, 0);
    decode_table(decode, &tcp_rule_table, node->first, out);
    decode_leave(decode);
}

static void tcp_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_tcp_route *route = out;
    schema_parents_check(decode, node, route->parents, route->parents_count);
}

static const struct decode_field tcp_spec_fields[] = {
    SCHEMA_PARENTS(conf_tcp_route),
    {.name = "rules", .type = DECODE_FN, .required = true, .fn = tcp_rules_decode},
    {.name = "useDefaultGateways", .type = DECODE_UNSERVED},
};
static const struct decode_table tcp_spec = DECODE_TABLE(tcp_spec_fields, .check = tcp_check);

static const struct decode_field tcp_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(tcp_spec)};
const struct decode_table schema_tcp_route = DECODE_TABLE(tcp_fields);
