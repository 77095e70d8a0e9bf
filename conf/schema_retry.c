/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

#include "base/clock.h"

/* Retries of a rule (GEP-1731) and how many a backend gets
 * (XBackendTrafficPolicy, GEP-3388). */

/* --- HTTPRouteRule.retry --- */

static void codes_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const struct decode_field code_field = {
        .type = DECODE_INT, .at = DECODE_HERE, .min = CONF_RETRY_CODE_MIN,
        .max = CONF_RETRY_CODE_MAX,
    };
    struct conf_retry *retry = out;
    int index = 0;
    if (!decode_is_list(decode, node))
        return;
    for (const struct doc_node *child = node->first; child != NULL; child = child->next) {
        struct decode_path frame;
        uint16_t code = 0;
        decode_enter(decode, &frame, SPAN_NONE, index++);
        decode_field(decode, &code_field, child, &code);
        decode_leave(decode);
        if (code < CONF_RETRY_CODE_MIN)
            continue; /* told */
        unsigned bit = code - CONF_RETRY_CODE_MIN;
        retry->codes[bit / 64] |= UINT64_C(1) << bit % 64;
    }
}

static const struct decode_field retry_fields[] = {
    {.name = "codes", .type = DECODE_FN, .fn = codes_decode},
    {.name = "attempts", .type = DECODE_INT, .at = DECODE_AT(conf_retry, attempts), .def_int = 1,
     .max = 1000},
    {.name = "backoff", .type = DECODE_DURATION, .at = DECODE_AT(conf_retry, backoff_ns),
     .def_int = 50 * NS_PER_MS, .max = 60 * NS_PER_S},
};
const struct decode_table schema_retry = DECODE_TABLE(retry_fields);

/* --- XBackendTrafficPolicy --- */

static const struct decode_field budget_fields[] = {
    {.name = "percent", .type = DECODE_INT, .at = DECODE_AT(conf_retry_constraint, percent),
     .width = 4, .max = 100},
    {.name = "interval", .type = DECODE_DURATION,
     .at = DECODE_AT(conf_retry_constraint, interval_ns), .min = NS_PER_S,
     .max = 3600 * NS_PER_S},
};
static const struct decode_table budget_table = DECODE_TABLE(budget_fields);

static const struct decode_field min_rate_fields[] = {
    {.name = "count", .type = DECODE_INT, .at = DECODE_AT(conf_retry_constraint, min_count),
     .width = 4, .min = 1, .max = 1000000},
    {.name = "interval", .type = DECODE_DURATION,
     .at = DECODE_AT(conf_retry_constraint, min_interval_ns), .min = NS_PER_S,
     .max = 3600 * NS_PER_S},
};
static const struct decode_table min_rate_table = DECODE_TABLE(min_rate_fields);

static const struct decode_field constraint_fields[] = {
    {.name = "budget", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &budget_table},
    {.name = "minRetryRate", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &min_rate_table},
};
static const struct decode_table constraint_table = DECODE_TABLE(constraint_fields);

/* The defaults hold also where a whole map is absent. */
static void constraint_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_traffic_policy *policy = out;
    policy->has_retry = true;
    policy->retry = (struct conf_retry_constraint){20, 10 * NS_PER_S, 10, NS_PER_S};
    decode_table(decode, &constraint_table, node, &policy->retry);
}

static void policy_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_traffic_policy *policy = out;
    schema_targets_unique(decode, node, policy->targets, policy->targets_count);
}

static const struct decode_field policy_spec_fields[] = {
    {.name = "targetRefs", .type = DECODE_LIST, .required = true,
     .at = DECODE_AT(conf_traffic_policy, targets),
     .at_count = DECODE_AT(conf_traffic_policy, targets_count), .min = 1, .max = 16,
     .item_size = sizeof(struct conf_ref), .table = &schema_target_ref},
    {.name = "retryConstraint", .type = DECODE_FN, .fn = constraint_decode},
    {.name = "sessionPersistence", .type = DECODE_UNSERVED},
};
static const struct decode_table policy_spec =
    DECODE_TABLE(policy_spec_fields, .check = policy_check);

static const struct decode_field policy_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(policy_spec)};
const struct decode_table schema_traffic_policy = DECODE_TABLE(policy_fields);
