/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ROUTING_PREDICATE_H
#define RINGGATE_ROUTING_PREDICATE_H

/* What a match demands besides its path: method, headers and query
 * parameters, all of them. Compiled into the table's arena; any thread reads. */

#include "base/arena.h"
#include "base/err.h"
#include "conf/kinds.h"
#include "routing/pattern.h"
#include "routing/route_table.h"

/* Patterns live on the heap of their library; the table frees them through this list. */
struct predicate_patterns {
    struct predicate_pattern {
        struct predicate_pattern *next;
        struct pattern *pattern;
    } * first;
    size_t memory; /* bytes of all */
};

struct predicate;

/* More values of one header than this, or more bytes where a pattern is asked, never match. */
#define PREDICATE_VALUES_MAX 100u
#define PREDICATE_SUBJECT_MAX 8192u

/* Compiles a pattern that the list owns. 0; -EINVAL, -E2BIG as pattern_compile; -ENOMEM. */
MUST_CHECK int predicate_pattern_add(struct predicate_patterns *list, struct arena *arena,
                                     struct span source, const struct pattern **ret,
                                     struct err *reterr);
void predicate_patterns_free(struct predicate_patterns *list);

/* *ret is NULL when the match demands only a path. Of several tests of one header (any case) or
 * parameter the first counts (HTTPHeaderMatch.name). The spans of match are borrowed. */
MUST_CHECK int predicate_compile(const struct conf_http_match *match, struct arena *arena,
                                 struct predicate_patterns *patterns, const struct predicate **ret,
                                 struct err *reterr);
/* Orders by what a gRPC match says of service and method (service, then exact method, then a
 * pattern of it) where the path does not say it; then by method, then number of headers, then of
 * parameters: the larger comes first. */
uint64_t predicate_priority(const struct predicate *predicate);
/* predicate may be NULL. No allocation. */
bool predicate_holds(const struct predicate *predicate, const struct route_query *query);

/* The first value of a parameter in a raw query string, name and value decoded: "+" is a space, %XX
 * a byte, a wrong %XX stands for itself. Its length, or -1: not there or longer than size. */
ssize_t predicate_parameter(struct span query, struct span name, char *dst, size_t size);

#endif
