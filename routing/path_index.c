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
 * A request of one host of many finds none of this in a cache, so it is one small block, for
 * five prefixes less than three lines of a cache:
 *   header | nodes and an end | predicates, if there are any | regular expressions | ids | paths
 * What a node has ends where the next one's begins. Its candidates up to exact_end are Exact, the
 * others prefix matches; each part in order of precedence. */
#define NODE_NONE UINT32_MAX

struct node {
    uint32_t path; /* offset in the block */
    uint32_t parent;
    uint32_t first, exact_end; /* candidates */
};

struct expression {
    const struct pattern *pattern;
    const struct predicate *predicate;
    uint32_t rule;
};

struct path_index {
    uint32_t nodes_count, candidates_count, expressions_count;
    bool has_predicates;
    struct node nodes[]; /* nodes_count and the end */
};

/* Of the candidates; only if there are any. */
static const struct predicate **predicates_of(const struct path_index *index)
{
    return (const struct predicate **)(uintptr_t)&index->nodes[index->nodes_count + 1];
}

static struct expression *expressions_of(const struct path_index *index)
{
    uint32_t predicates = index->has_predicates ? index->candidates_count : 0;
    return (struct expression *)(uintptr_t)&predicates_of(index)[predicates];
}

/* Rules of the candidates. */
static uint32_t *ids_of(const struct path_index *index)
{
    return (uint32_t *)&expressions_of(index)[index->expressions_count];
}

static struct span node_path(const struct path_index *index, const struct node *node)
{
    return span_make((const char *)index + node->path, node[1].path - node->path);
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
    struct path_index head = {0};
    size_t bytes = 0;
    for (uint32_t i = 0; i < count && items[i].match->type != CONF_MATCH_REGEX; i++) {
        if (is_new_path(items, i)) {
            head.nodes_count++;
            bytes += items[i].match->path.len;
        }
        head.candidates_count++;
        head.has_predicates |= items[i].match->predicate != NULL;
    }
    head.expressions_count = count - head.candidates_count;
    size_t size = sizeof(head) + (head.nodes_count + 1) * sizeof(struct node) +
                  (head.has_predicates ? head.candidates_count : 0) * sizeof(struct predicate *) +
                  head.expressions_count * sizeof(struct expression) +
                  head.candidates_count * sizeof(uint32_t) + bytes;
    struct path_index *index = arena_zalloc(arena, size);
    if (index == NULL)
        return NULL;
    ASSERT(size < NODE_NONE);
    *index = head;
    return index;
}

static uint32_t parent_find(const struct path_index *index, uint32_t i)
{
    struct span path = node_path(index, &index->nodes[i]);
    uint32_t at = i - 1;
    while (i > 0 && at != NODE_NONE) {
        const struct node *node = &index->nodes[at];
        if (node[1].first > node->exact_end && span_starts_with(path, node_path(index, node)))
            return at;
        at = node->parent;
    }
    return NODE_NONE;
}

static void expressions_fill(struct path_index *index, const struct path_item *items)
{
    struct expression *expressions = expressions_of(index);
    for (uint32_t i = 0; i < index->expressions_count; i++)
        expressions[i] = (struct expression){
            .pattern = items[i].match->pattern,
            .predicate = items[i].match->predicate,
            .rule = items[i].rule,
        };
}

struct path_index *path_index_new(struct arena *arena, struct path_item *items, uint32_t count)
{
    items_sort(items, count);
    struct path_index *index = block_new(arena, items, count);
    if (index == NULL)
        return NULL;
    uint32_t *ids = ids_of(index), nodes = 0;
    char *text = (char *)&ids[index->candidates_count];
    struct node *node = index->nodes;
    for (uint32_t i = 0; i < index->candidates_count; i++) {
        const struct path_match *match = items[i].match;
        if (is_new_path(items, i)) {
            node = &index->nodes[nodes++];
            *node =
                (struct node){.path = (uint32_t)(text - (char *)index), .first = i, .exact_end = i};
            if (match->path.len > 0)
                memcpy(text, match->path.ptr, match->path.len);
            text += match->path.len;
        }
        ids[i] = items[i].rule;
        if (index->has_predicates)
            predicates_of(index)[i] = match->predicate;
        if (match->type == CONF_MATCH_EXACT)
            node->exact_end = i + 1;
    }
    index->nodes[nodes] =
        (struct node){.path = (uint32_t)(text - (char *)index), .first = index->candidates_count};
    expressions_fill(index, items + index->candidates_count);
    for (uint32_t i = 0; i < nodes; i++)
        index->nodes[i].parent = parent_find(index, i);
    return index;
}

static bool candidates_find(const struct path_index *index, uint32_t first, uint32_t end,
                            const struct route_query *query, struct route_match *ret)
{
    for (uint32_t i = first; i < end; i++) {
        if (!index->has_predicates || predicate_holds(predicates_of(index)[i], query)) {
            *ret = (struct route_match){.rule = ids_of(index)[i]};
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
        uint32_t len = node[1].path - node->path;
        /* Whole path elements only. */
        if (len > common || (len < path.len && path.ptr[len] != '/'))
            continue;
        if (candidates_find(index, node->exact_end, node[1].first, query, ret)) {
            ret->is_prefix = true;
            ret->prefix_len = len;
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
            predicate_holds(expressions[i].predicate, query)) {
            *ret = (struct route_match){.rule = expressions[i].rule};
            return true;
        }
    }
    return at != NODE_NONE && prefixes_find(index, at, query, ret);
}
