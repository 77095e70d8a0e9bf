/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

/* GRPCRoute (gateway.networking.k8s.io), with the rules its CRD states in CEL.
 * It decodes to the structs of HTTPRoute: what differs is how a match names
 * what is called, and which filters there are. */

/* --- matches --- */

static bool is_letter(unsigned char c)
{
    unsigned char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || c == '_';
}

static bool is_identifier(struct span text)
{
    if (text.len == 0 || !is_letter((unsigned char)text.ptr[0]))
        return false;
    for (size_t i = 1; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (!is_letter(c) && (c < '0' || c > '9'))
            return false;
    }
    return true;
}

/* Identifiers separated by dots; one more dot may stand first (a fully qualified name). */
static bool is_service(struct span text)
{
    struct span part;
    bool has_more = true;
    if (text.len > 0 && text.ptr[0] == '.')
        text = span_skip(text, 1);
    while (has_more) {
        has_more = span_split(text, '.', &part, &text);
        if (!is_identifier(part))
            return false;
    }
    return true;
}

static void rpc_type_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    ((struct conf_rpc_match *)out)->type = schema_match_type(decode, node);
}

static const struct decode_field rpc_fields[] = {
    {.name = "type", .type = DECODE_FN, .fn = rpc_type_decode},
    {.name = "service",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_rpc_match, service),
     .at_pos = DECODE_AT(conf_rpc_match, service_pos),
     .max = 1024},
    {.name = "method",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_rpc_match, method),
     .at_pos = DECODE_AT(conf_rpc_match, method_pos),
     .max = 1024},
};

/* Protocol Buffers write full names so, but in requests no service has the dot. */
static void service_warn(struct decode *decode, const struct doc_node *node, struct span service)
{
    struct diag *diag =
        decode_report(decode, DIAG_SERVICE_DOT, schema_child(node, "service"), "service");
    diag_message(diag, "calls of \"%.*s\" have no dot in front", SPAN_ARG(service));
    diag_hint(diag, "write \"%.*s\"", SPAN_ARG(span_skip(service, 1)));
    diag_consequence(diag, "this match is for requests that begin with \"/.\" only");
}

static void rpc_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_rpc_match *rpc = out;
    if (rpc->service.len == 0 && rpc->method.len == 0)
        schema_rule(decode, node, NULL, "needs a service, a method, or both");
    if (rpc->type != CONF_MATCH_EXACT)
        return;
    if (rpc->service.len > 0 && !is_service(rpc->service))
        schema_rule(decode, node, "service",
                    "\"%.*s\" must be names of letters, digits and _ separated by dots, as in "
                    "package.Service",
                    SPAN_ARG(rpc->service));
    else if (rpc->service.len > 0 && rpc->service.ptr[0] == '.')
        service_warn(decode, node, rpc->service);
    if (rpc->method.len > 0 && !is_identifier(rpc->method))
        schema_rule(decode, node, "method", "\"%.*s\" must be a name of letters, digits and _",
                    SPAN_ARG(rpc->method));
}

static const struct decode_table rpc_table = DECODE_TABLE(rpc_fields, .check = rpc_check);

static void rpc_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_match_more *more = schema_match_more(decode, out);
    struct conf_rpc_match *rpc = decode_array(decode, 1, sizeof(*rpc));
    if (more == NULL || rpc == NULL || !decode_is_map(decode, node))
        return;
    decode_table(decode, &rpc_table, node, rpc);
    more->rpc = rpc;
}

static const struct decode_field match_fields[] = {
    {.name = "method", .type = DECODE_FN, .fn = rpc_decode},
    SCHEMA_HEADER_MATCHES,
};
static const struct decode_table match_table = DECODE_TABLE(
    match_fields, .at_pos = DECODE_AT(conf_http_match, pos), .check = schema_match_check);

/* --- rules --- */

static const struct decode_field rule_fields[] = {
    SCHEMA_RULE_FIELDS(match_table, schema_grpc_filter, schema_grpc_backend),
};

static void rule_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_http_rule *rule = out;
    schema_filters_check(decode, schema_child(node, "filters"), rule->filters, rule->filters_count);
}

static const struct decode_table rule_table =
    DECODE_TABLE(rule_fields, .at_pos = DECODE_AT(conf_http_rule, pos), .check = rule_check,
                 .check_always = true);

/* --- GRPCRoute --- */

/* There is no default rule: a route without rules serves nothing. */
static const struct decode_field spec_fields[] = {
    SCHEMA_ROUTE_FIELDS(0, rule_table),
};
static const struct decode_table spec_table =
    DECODE_TABLE(spec_fields, .check = schema_route_check, .check_always = true);

static const struct decode_field route_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(spec_table)};
const struct decode_table schema_grpc_route =
    DECODE_TABLE(route_fields, .check = schema_idle_timeout);
