/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/pattern_check.h"

#include <stdlib.h>

#include "base/panic.h"
#include "routing/pattern.h"

struct seen_pattern {
    struct hmap_node node; /* key: source */
    char *problem; /* NULL: none */
    unsigned round; /* in which it was asked for last */
    char source[];
};

static char *problem_of(struct span source)
{
    struct pattern *pattern;
    struct err err;
    if (pattern_compile(source, &pattern, &err) != 0)
        return xstrdup(err.text);
    pattern_free(pattern);
    return NULL;
}

static struct seen_pattern *seen_pattern_new(struct pattern_check *check, struct span source)
{
    struct seen_pattern *seen = xcalloc(1, sizeof(*seen) + source.len);
    if (source.len > 0)
        memcpy(seen->source, source.ptr, source.len);
    seen->problem = problem_of(source);
    hmap_insert(&check->seen, &seen->node, span_make(seen->source, source.len));
    return seen;
}

static void seen_pattern_free(struct pattern_check *check, struct seen_pattern *seen)
{
    hmap_remove(&check->seen, &seen->node);
    free(seen->problem);
    free(seen);
}

static const char *pattern_problem(void *user, struct span source)
{
    struct pattern_check *check = user;
    struct hmap_node *node = hmap_find(&check->seen, source);
    struct seen_pattern *seen = node != NULL ? container_of(node, struct seen_pattern, node)
                                             : seen_pattern_new(check, source);
    seen->round = check->round;
    return seen->problem;
}

void pattern_check_init(struct pattern_check *check)
{
    *check = (struct pattern_check){.patterns = {pattern_problem, check}};
    hmap_init(&check->seen, 0);
}

void pattern_check_sweep(struct pattern_check *check)
{
    for (struct hmap_node *next, *node = hmap_next(&check->seen, NULL); node; node = next) {
        struct seen_pattern *seen = container_of(node, struct seen_pattern, node);
        next = hmap_next(&check->seen, node);
        if (seen->round != check->round)
            seen_pattern_free(check, seen);
    }
    check->round++;
}

void pattern_check_fini(struct pattern_check *check)
{
    pattern_check_sweep(check); /* twice: nothing is asked for between them */
    pattern_check_sweep(check);
    hmap_fini(&check->seen);
}
