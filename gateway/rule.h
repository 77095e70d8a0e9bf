/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_RULE_H
#define RINGGATE_GATEWAY_RULE_H

/* A rule of a route compiled for the data path: its filters as programs with
 * nothing left to look up, and its metric series. Part of a snapshot. */

#include "base/metric.h"
#include "conf/model.h"
#include "gateway/cors.h"
#include "gateway/mirror.h"
#include "http/message.h"
#include "routing/route_table.h"

/* One step of a header filter, in the order set, add, remove. */
struct header_op {
    enum { HEADER_OP_SET, HEADER_OP_ADD, HEADER_OP_REMOVE } type;
    enum http_header_id id;
    struct span name, value;
};

struct header_program {
    struct header_op *ops;
    unsigned count;
};

/* Redirect or rewrite of a URL. */
struct url_program {
    struct span scheme, hostname; /* empty: keep */
    struct span path; /* in normal form (http/uri.h), begins with "/"; or empty */
    enum conf_path_mod path_mod;
    uint16_t port, status;
};

struct filter_step {
    enum model_filter_type type;
    union {
        struct header_program headers; /* REQUEST_HEADERS, RESPONSE_HEADERS */
        struct url_program url; /* REDIRECT, REWRITE */
        struct mirror_program mirror;
        struct cors_policy cors;
    };
};

/* The filters of a rule or backendRef, in the order of its list. */
struct filter_program {
    struct filter_step *steps;
    unsigned count;
};

#define RULE_CODE_CLASSES 6 /* 1xx .. 5xx by index 1-5; 0: no response */

/* Made when the rule serves its first request: most rules of a large configuration never do. */
struct rule_series {
    struct metric_series *requests[RULE_CODE_CLASSES], *seconds; /* made at first use, atomic */
};

struct rule_filters {
    struct filter_program all; /* of the rule, for all backends */
    const struct cors_policy *cors; /* of a filter; NULL: none */
    const struct filter_program *by_backend; /* NULL when no backend has any */
};

#define RULE_CURSOR_NONE UINT32_MAX

/* All that a request reads of its rule, in one line of a cache: where there are ten thousand of
 * them, each other place costs a miss. */
struct rule {
    const struct rule_filters *filters; /* never NULL: rules without any share an empty one */
    const struct conf_rule_rare *rare; /* of conf */
    struct rule_series *series; /* atomic; NULL until first use */
    const struct model_backend *backends; /* of conf */
    const struct route_rule *route_rule; /* names, limits */
    uint64_t idle_timeout_ns; /* 0: none; RULE_IDLE_DEFAULT: by setting */
    uint32_t cursor; /* place among the cursors of a view, or RULE_CURSOR_NONE: without choice */
    int only; /* without choice: the cluster, or -1 */
    uint16_t backends_count;
    bool has_limits;
};
_Static_assert(sizeof(struct rule) <= 64, "one line");

#define RULE_IDLE_DEFAULT UINT64_MAX

/* The rules of a table by id, compiled into the arena; NULL: out of it. *ret_cursors: how many
 * cursors a view needs for them. */
struct rule *rules_compile(const struct route_table *table, struct arena *arena,
                           uint32_t *ret_cursors);
void rule_fini(struct rule *rule);
/* Counts one finished request. Any worker. There are series for METRIC_SERIES_MAX rules, the first
 * that are asked for; the others count together. */
void rule_observe(struct rule *rule, unsigned status, uint64_t duration_ns);
/* NULL: none but what is safe. */
static inline const struct conf_retry *rule_retry(const struct rule *rule)
{
    return rule->rare->has_retry ? &rule->rare->retry : NULL;
}
/* Applies header operations; false: out of arena or fields. */
MUST_CHECK bool rule_headers_apply(const struct header_program *program, struct http_head *head);

/* The new path (without query) of a url_program for a request path whose first *prefix_len bytes
 * were matched. *prefix_len becomes the length of what stands there now, which a later
 * ReplacePrefixMatch replaces. SPAN_NONE: out of arena. */
struct span rule_url_path(const struct url_program *program, struct arena *arena, struct span path,
                          uint32_t *prefix_len);

#endif
