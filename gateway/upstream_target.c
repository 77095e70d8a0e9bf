/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/upstream_target.h"

#include <errno.h>
#include <stdlib.h>

int upstream_place_init(struct upstream_place *place, const char *host, uint16_t port)
{
    *place = (struct upstream_place){.port = port};
    if (addr_from_ip(span_str(host), port, &place->addr) == 0)
        return 0;
    place->addr.len = 0;
    place->name = strdup(host);
    return place->name != NULL ? 0 : -ENOMEM;
}

void upstream_place_fini(struct upstream_place *place)
{
    free(place->name);
    place->name = NULL;
}

void upstream_target_init(struct upstream_target *target, struct upstream_place *place,
                          struct resolver *resolver, void (*on_done)(struct upstream_target *, int))
{
    *target = (struct upstream_target){
        .place = place, .resolver = resolver, .on_done = on_done, .turn = place->turn++};
}

/* The answer may be another one than for the address before: tried then counts in that one. */
static int target_take(struct upstream_target *target, int error,
                       const struct resolver_answer *answer)
{
    struct upstream_place *place = target->place;
    if (error != 0) {
        target->text = resolver_error_text(error);
        return error == -ENOMEM ? -ENOMEM : -ENXIO;
    }
    target->count = answer->count;
    if (target->tried >= target->count)
        return -EHOSTUNREACH;
    resolver_answer_addr(answer, target->turn % answer->count + target->tried, place->port,
                         &place->addr);
    target->tried++;
    return 0;
}

static void target_on_lookup(struct resolver_query *query, int error,
                             const struct resolver_answer *answer)
{
    struct upstream_target *target = container_of(query, struct upstream_target, query);
    target->on_done(target, target_take(target, error, answer));
}

int upstream_target_next(struct upstream_target *target)
{
    const struct resolver_answer *answer = NULL;

    if (target->tried > 0 && target->tried >= target->count)
        return -EHOSTUNREACH;
    if (target->place->name == NULL) {
        target->tried = target->count = 1;
        return 0;
    }
    target->query.on_done = target_on_lookup;
    int rc =
        resolver_lookup(target->resolver, &target->query, span_str(target->place->name), &answer);
    return rc == -EINPROGRESS ? rc : target_take(target, rc, answer);
}

uint64_t upstream_target_timeout(struct upstream_target *target, uint64_t connect_timeout_ns,
                                 uint64_t now_ns)
{
    if (target->dial_ns == 0)
        target->dial_ns = now_ns;
    uint64_t past_ns = now_ns - target->dial_ns;
    uint64_t left_ns = past_ns < connect_timeout_ns ? connect_timeout_ns - past_ns : 0;
    return MAX(left_ns / (target->count - target->tried + 1), NS_PER_MS);
}

void upstream_target_cancel(struct upstream_target *target)
{
    resolver_cancel(&target->query);
}
