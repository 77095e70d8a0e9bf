/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "routing/path_index.h"

#include <stdlib.h>

/* Distinct paths stand sorted by bytes. For a request path P let N be the last
 * one that is not greater than P. Every path Q that P begins with satisfies
 * Q <= N <= P, and whatever lies between Q and Q + "..." begins with Q. So all
 * prefixes of P are N itself or prefixes of N, and a chain of parents made at
 * compile time (each node to the longest shorter node that it begins with and
 * that has prefix matches) visits them from the longest. No hash, no table per
 * host, nothing a client can degrade: at most log2(n) comparisons and the chain.
 *
 * Layout of the block:
 *   header | nodes | candidates | regular expressions | bytes of the paths
 * The candidates of a node: first .. exact_end are Exact, exact_end .. end are
 * prefix matches; each part in order of precedence. */
#define NODE_NONE UINT32_MAX

struct node {
    uint32_t path, len; /* offset in the block */
    uint32_t parent;
    uint32_t first, exact_end, end;
};

struct candidate {
    const struct predicate *predicate;
    const struct route_rule *rule;
};

struct expression {
    const struct pattern *pattern;
    struct candidate candidate;
};

struct path_index {
    uint32_t nodes_count, candidates_count, expressions_count, unused;
    struct node nodes[];
};

static struct candidate *candidates_of(const struct path_index *index)
{
    return (struct candidate *)(uintptr_t)&index->nodes[index->nodes_count];
}

static struct expression *expressions_of(const struct path_index *index)
{
    return (struct expression *)&candidates_of(index)[index->candidates_count];
}

static struct span node_path(const struct path_index *index, const struct node *node)
{
    return span_make((const char *)index + node->path, node->len);
}

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* Regular expressions last; the others by path, then Exact before prefix; then precedence. */
static int item_compare(const void *left, const void *right)
{
    const struct path_item *a = left, *b = right;
    const struct path_match *x = a->match, *y = b->match;
    int order = COMPARE(x->type == CONF_MATCH_REGEX, y->type == CONF_MATCH_REGEX);
    if (order == 0 && x->type != CONF_MATCH_REGEX) {
        order = span_compare(x->path, y->path);
        if (order == 0)
            order = COMPARE(x->type == CONF_MATCH_PREFIX, y->type == CONF_MATCH_PREFIX);
    }
    if (order == 0)
        order = COMPARE(y->priority, x->priority);
    if (order == 0)
        order = COMPARE(a->rank, b->rank);
    return order != 0 ? order : COMPARE(a->order, b->order);
}

/* Most hosts have a handful of matches, for which the library's sort costs more. */
static void items_sort(struct path_item *items, uint32_t count)
{
    if (count > 16) {
        qsort(items, count, sizeof(*items), item_compare);
        return;
    }
    for (uint32_t i = 1; i < count; i++) {
        struct path_item item = items[i];
        uint32_t at = i;
        for (; at > 0 && item_compare(&items[at - 1], &item) > 0; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

static bool is_new_path(const struct path_item *items, uint32_t i)
{
    return i == 0 || !span_equal(items[i].match->path, items[i - 1].match->path);
}

static struct path_index *block_new(struct arena *arena, const struct path_item *items,
                                    uint32_t count)
{
    uint32_t nodes = 0, plain = 0;
    size_t bytes = 0;
    for (; plain < count && items[plain].match->type != CONF_MATCH_REGEX; plain++) {
        if (is_new_path(items, plain)) {
            nodes++;
            bytes += items[plain].match->path.len;
        }
    }
    size_t size = sizeof(struct path_index) + nodes * sizeof(struct node) +
                  plain * sizeof(struct candidate) + (count - plain) * sizeof(struct expression) +
                  bytes;
    struct path_index *index = arena_zalloc(arena, size);
    if (index == NULL)
        return NULL;
    ASSERT(size < NODE_NONE);
    index->nodes_count = nodes;
    index->candidates_count = plain;
    index->expressions_count = count - plain;
    return index;
}

static uint32_t parent_find(const struct path_index *index, uint32_t i)
{
    struct span path = node_path(index, &index->nodes[i]);
    uint32_t at = i - 1;
    while (i > 0 && at != NODE_NONE) {
        const struct node *node = &index->nodes[at];
        if (node->end > node->exact_end && span_starts_with(path, node_path(index, node)))
            return at;
        at = node->parent;
    }
    return NODE_NONE;
}

struct path_index *path_index_new(struct arena *arena, struct path_item *items, uint32_t count)
{
    items_sort(items, count);
    struct path_index *index = block_new(arena, items, count);
    if (index == NULL)
        return NULL;
    struct candidate *candidates = candidates_of(index);
    struct expression *expressions = expressions_of(index);
    char *text = (char *)&expressions[index->expressions_count];
    struct node *node = NULL;
    uint32_t nodes = 0;
    for (uint32_t i = 0; i < index->candidates_count; i++) {
        const struct path_match *match = items[i].match;
        if (is_new_path(items, i)) {
            node = &index->nodes[nodes++];
            *node = (struct node){
                .path = (uint32_t)(text - (char *)index),
                .len = (uint32_t)match->path.len,
                .first = i,
                .exact_end = i,
            };
            if (node->len > 0)
                memcpy(text, match->path.ptr, node->len);
            text += node->len;
        }
        candidates[i] = (struct candidate){.predicate = match->predicate, .rule = items[i].rule};
        node->end = i + 1;
        if (match->type == CONF_MATCH_EXACT)
            node->exact_end = i + 1;
    }
    for (uint32_t i = 0; i < index->expressions_count; i++) {
        const struct path_item *item = &items[index->candidates_count + i];
        expressions[i] = (struct expression){
            .pattern = item->match->pattern,
            .candidate = {.predicate = item->match->predicate, .rule = item->rule},
        };
    }
    for (uint32_t i = 0; i < nodes; i++)
        index->nodes[i].parent = parent_find(index, i);
    return index;
}

static bool candidates_find(const struct path_index *index, uint32_t first, uint32_t end,
                            const struct route_query *query, struct route_match *ret)
{
    const struct candidate *candidates = candidates_of(index);
    for (uint32_t i = first; i < end; i++) {
        if (predicate_holds(candidates[i].predicate, query)) {
            *ret = (struct route_match){.rule = candidates[i].rule};
            return true;
        }
    }
    return false;
}

/* The last node that is not greater than path, or NODE_NONE. */
static uint32_t node_find(const struct path_index *index, struct span path)
{
    uint32_t low = 0, high = index->nodes_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (span_compare(node_path(index, &index->nodes[middle]), path) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1; /* 0 - 1 is NODE_NONE */
}

static uint32_t common_len(struct span a, struct span b)
{
    uint32_t len = 0, max = (uint32_t)MIN(a.len, b.len);
    while (len < max && a.ptr[len] == b.ptr[len])
        len++;
    return len;
}

static bool prefixes_find(const struct path_index *index, uint32_t at,
                          const struct route_query *query, struct route_match *ret)
{
    struct span path = query->path;
    uint32_t common = common_len(path, node_path(index, &index->nodes[at]));
    for (; at != NODE_NONE; at = index->nodes[at].parent) {
        const struct node *node = &index->nodes[at];
        /* Whole path elements only. */
        if (node->len > common || (node->len < path.len && path.ptr[node->len] != '/'))
            continue;
        if (candidates_find(index, node->exact_end, node->end, query, ret)) {
            ret->is_prefix = true;
            ret->prefix_len = node->len;
            return true;
        }
    }
    return false;
}

bool path_index_find(const struct path_index *index, const struct route_query *query,
                     struct route_match *ret)
{
    uint32_t at = node_find(index, query->path);
    if (at != NODE_NONE) {
        const struct node *node = &index->nodes[at];
        if (node->exact_end > node->first && span_equal(node_path(index, node), query->path) &&
            candidates_find(index, node->first, node->exact_end, query, ret))
            return true;
    }
    const struct expression *expressions = expressions_of(index);
    for (uint32_t i = 0; i < index->expressions_count; i++) {
        const struct pattern *pattern = expressions[i].pattern;
        if ((pattern == NULL || pattern_matches(pattern, query->path)) &&
            predicate_holds(expressions[i].candidate.predicate, query)) {
            *ret = (struct route_match){.rule = expressions[i].candidate.rule};
            return true;
        }
    }
    return at != NODE_NONE && prefixes_find(index, at, query, ret);
}
