/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_SCHEMA_INT_H
#define RINGGATE_CONF_SCHEMA_INT_H

/* What the schema files share: one table a kind, common tables and the forms
 * of names. Only for conf/schema*.c. */

#include "conf/decode.h"

#define SCHEMA_NAME_MAX 253
#define SCHEMA_LABEL_MAX 63

/* Of the whole document: apiVersion, kind, metadata, spec or top-level fields. */
extern const struct decode_table schema_gateway_class, schema_gateway, schema_http_route,
    schema_grpc_route, schema_tcp_route, schema_reference_grant, schema_backend_tls_policy,
    schema_traffic_policy, schema_service, schema_endpoint_slice, schema_xbackend, schema_secret,
    schema_config_map, schema_namespace, schema_rate_limit_policy, schema_rate_limit_store;

/* The fields that every document has and schema_decode reads itself. */
#define SCHEMA_HEAD                                                                                \
    {.name = "apiVersion", .type = DECODE_SKIP}, {.name = "kind", .type = DECODE_SKIP},            \
        {.name = "metadata", .type = DECODE_SKIP},                                                 \
    {                                                                                              \
        .name = "status", .type = DECODE_SKIP                                                      \
    }
#define SCHEMA_SPEC(fields_table)                                                                  \
    {                                                                                              \
        .name = "spec", .type = DECODE_OBJECT, .required = true, .at = DECODE_HERE,                \
        .table = &(fields_table)                                                                   \
    }

/* Of every route; its struct has parents and parents_count. */
#define SCHEMA_PARENTS(route)                                                                      \
    {                                                                                              \
        .name = "parentRefs", .type = DECODE_LIST, .at = DECODE_AT(route, parents),                \
        .at_count = DECODE_AT(route, parents_count), .max = 32,                                    \
        .item_size = sizeof(struct conf_ref), .table = &schema_parent_ref                          \
    }

/* What HTTPRoute and GRPCRoute share: spec, a rule, a match. */
#define SCHEMA_ROUTE_FIELDS(rules_min, rule)                                                       \
    SCHEMA_PARENTS(conf_http_route),                                                               \
        {.name = "hostnames", .type = DECODE_FN, .fn = schema_hostnames},                          \
        {.name = "rules",                                                                          \
         .type = DECODE_LIST,                                                                      \
         .at = DECODE_AT(conf_http_route, rules),                                                  \
         .at_count = DECODE_AT(conf_http_route, rules_count),                                      \
         .min = (rules_min),                                                                       \
         .max = 16,                                                                                \
         .item_size = sizeof(struct conf_http_rule),                                               \
         .table = &(rule)},                                                                        \
    {                                                                                              \
        .name = "useDefaultGateways", .type = DECODE_UNSERVED                                      \
    }
#define SCHEMA_RULE_FIELDS(match, filter, backend)                                                 \
    {.name = "name",                                                                               \
     .type = DECODE_STR,                                                                           \
     .at = DECODE_AT(conf_http_rule, name),                                                        \
     .min = 1,                                                                                     \
     .max = SCHEMA_NAME_MAX,                                                                       \
     .check = schema_is_subdomain},                                                                \
        {.name = "matches",                                                                        \
         .type = DECODE_LIST,                                                                      \
         .at = DECODE_AT(conf_http_rule, matches),                                                 \
         .at_count = DECODE_AT(conf_http_rule, matches_count),                                     \
         .max = 64,                                                                                \
         .item_size = sizeof(struct conf_http_match),                                              \
         .table = &(match)},                                                                       \
        {.name = "filters",                                                                        \
         .type = DECODE_LIST,                                                                      \
         .at = DECODE_AT(conf_http_rule, filters),                                                 \
         .at_count = DECODE_AT(conf_http_rule, filters_count),                                     \
         .max = 16,                                                                                \
         .item_size = sizeof(struct conf_filter),                                                  \
         .table = &(filter)},                                                                      \
        {.name = "backendRefs",                                                                    \
         .type = DECODE_LIST,                                                                      \
         .at = DECODE_AT(conf_http_rule, backends),                                                \
         .at_count = DECODE_AT(conf_http_rule, backends_count),                                    \
         .max = 16,                                                                                \
         .item_size = sizeof(struct conf_backend_ref),                                             \
         .table = &(backend)},                                                                     \
    {                                                                                              \
        .name = "sessionPersistence", .type = DECODE_FN, .fn = schema_rule_unsupported             \
    }
#define SCHEMA_HEADER_MATCHES                                                                      \
    {                                                                                              \
        .name = "headers", .type = DECODE_FN, .fn = schema_match_headers                           \
    }

/* struct conf_ref; those of backends are the first member of a struct conf_backend_ref. */
extern const struct decode_table schema_parent_ref; /* Gateway by default */
extern const struct decode_table schema_secret_ref; /* Secret by default */
extern const struct decode_table schema_ca_ref; /* group and kind required */
extern const struct decode_table schema_store_ca_ref; /* ConfigMap by default */
extern const struct decode_table schema_store_ref; /* RateLimitStore by default */
extern const struct decode_table schema_target_ref; /* local; group and kind required */
extern const struct decode_table schema_http_backend, schema_grpc_backend, schema_tcp_backend;
extern const struct decode_table schema_mirror_ref; /* Service by default */
/* Filters of rules and backends: struct conf_filter. In a GRPCRoute those that change a URL are
 * marked unsupported. */
extern const struct decode_table schema_filter, schema_grpc_filter;
extern const struct decode_table schema_request_headers, schema_response_headers; /* header_mod */
void schema_filters_check(struct decode *decode, const struct doc_node *node,
                          const struct conf_filter *filters, unsigned count);
/* What HTTPRoute and GRPCRoute have in common: struct conf_kv_match, conf_http_match,
 * conf_http_rule and conf_http_route. */
enum conf_match_type schema_match_type(struct decode *decode, const struct doc_node *node);
/* The match's, made now or before; NULL: no memory, told. */
struct conf_match_more *schema_match_more(struct decode *decode, struct conf_http_match *match);
decode_fn schema_match_headers, schema_match_check, schema_rule_unsupported, schema_hostnames,
    schema_route_check;
/* Of the whole document: annotations. */
decode_fn schema_idle_timeout, schema_proxy_protocol;
extern const struct decode_table schema_retry; /* struct conf_retry */
/* targetRefs of a policy. */
void schema_targets_unique(struct decode *decode, const struct doc_node *node,
                           const struct conf_ref *targets, unsigned count);
/* Gives a refused policy a spec with its targets alone, none when they cannot be read without a
 * mistake. Only BackendTLSPolicy and RateLimitPolicy; other kinds stay without a spec. */
void schema_targets_keep(struct conf_object *obj, const struct doc_node *root);
/* A list of struct conf_ref *parents with its rules. */
void schema_parents_check(struct decode *decode, const struct doc_node *node,
                          const struct conf_ref *parents, unsigned count);

decode_check_fn schema_is_label, schema_is_subdomain, schema_is_group, schema_is_kind,
    schema_is_hostname, schema_is_precise_hostname, schema_is_header_name, schema_is_ip;

#define SCHEMA_ANNOTATION_FILES CONF_GROUP_OWN "/files"
#define SCHEMA_ANNOTATION_IDLE CONF_GROUP_OWN "/idle-timeout"
#define SCHEMA_ANNOTATION_PROXY CONF_GROUP_OWN "/proxy-protocol"
/* The annotation of an object; NULL: it has none, or it is no string. */
const struct doc_node *schema_annotation(const struct doc_node *root, const char *name);
struct diag *schema_annotation_report(struct decode *decode, enum diag_code code,
                                      const struct doc_node *node);
/* Warns of those under our name that the kind does not have. */
void schema_annotations_check(struct decode *decode, const struct doc_node *root);

/* Reports a broken rule over several fields. */
void schema_rule(struct decode *decode, const struct doc_node *node, const char *name,
                 const char *format, ...) PRINTF_LIKE(4, 5);
/* Index of the word that node is; 0 after a finding. */
unsigned schema_word(struct decode *decode, const struct doc_node *node, const char *const *words);
/* Reads a file that the object names; the finding stands at node. SPAN_NONE after a failure. */
struct span schema_file(struct decode *decode, const struct doc_node *node, struct span path);
/* node's child by name for a position; node itself when there is none. */
const struct doc_node *schema_child(const struct doc_node *node, const char *name);

#endif
