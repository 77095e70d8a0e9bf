/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include "base/panic.h"

/* Under a host name of a listener there are HTTPRoutes or GRPCRoutes, never
 * both: the older route has the name and all names that intersect with it
 * (Gateway API, GRPCRouteSpec.hostnames). A name is looked up with the
 * wildcards above it, and each name is noted at them, so a question costs as
 * many steps as the name has labels, however many routes there are. */

enum { KINDS = 2 };

struct claim {
    struct hmap_node node; /* key: listener, '=' or '*', name or what follows the star */
    const struct conf_object *holder[KINDS]; /* the first route of this very name */
    const struct conf_object *below[KINDS]; /* the first route with a name under this wildcard */
};

/* A host name on its way up: itself, the wildcards that cover it, any. */
struct climb {
    const struct tr_listener *listener;
    char form;
    struct span text;
};

static unsigned kind_index(enum conf_kind kind)
{
    return kind == CONF_KIND_GRPC_ROUTE;
}

static struct climb climb_begin(const struct tr_listener *listener, struct span name)
{
    bool is_wildcard = name.len == 0 || name.ptr[0] == '*';
    return (struct climb){
        .listener = listener,
        .form = is_wildcard ? '*' : '=',
        .text = span_skip(name, is_wildcard && name.len > 0 ? 1 : 0),
    };
}

/* False: it stood at any. */
static bool climb_up(struct climb *climb)
{
    if (climb->form == '*' && climb->text.len == 0)
        return false;
    size_t at = climb->form == '*'; /* past the dot of a wildcard */
    while (at < climb->text.len && climb->text.ptr[at] != '.')
        at++;
    climb->form = '*';
    climb->text = span_skip(climb->text, at);
    return true;
}

static struct span climb_key(struct translation *tr, const struct climb *climb)
{
    size_t head = sizeof(climb->listener) + 1;
    char *key = arena_alloc_aligned(&tr->scratch, head + climb->text.len, 1);
    ASSERT(key);
    memcpy(key, &climb->listener, sizeof(climb->listener));
    key[head - 1] = climb->form;
    if (climb->text.len > 0)
        memcpy(key + head, climb->text.ptr, climb->text.len);
    return span_make(key, head + climb->text.len);
}

static struct claim *claim_find(struct translation *tr, const struct climb *climb)
{
    struct hmap_node *node = hmap_find(&tr->claim_map, climb_key(tr, climb));
    return node ? container_of(node, struct claim, node) : NULL;
}

static struct claim *claim_get(struct translation *tr, const struct climb *climb)
{
    struct claim *claim = claim_find(tr, climb);
    if (claim)
        return claim;
    claim = arena_new(&tr->scratch, struct claim);
    ASSERT(claim);
    hmap_insert(&tr->claim_map, &claim->node, climb_key(tr, climb));
    return claim;
}

const struct conf_object *translate_claim_find(struct translation *tr,
                                               const struct tr_listener *listener,
                                               enum conf_kind kind, struct span name)
{
    unsigned other = !kind_index(kind);
    struct climb climb = climb_begin(listener, name);
    struct claim *claim = claim_find(tr, &climb);
    if (claim && climb.form == '*' && claim->below[other])
        return claim->below[other];
    for (;;) {
        if (claim && claim->holder[other])
            return claim->holder[other];
        if (!climb_up(&climb))
            return NULL;
        claim = claim_find(tr, &climb);
    }
}

void translate_claim_add(struct translation *tr, const struct tr_listener *listener,
                         const struct conf_object *route, struct span name)
{
    unsigned kind = kind_index(route->kind);
    struct climb climb = climb_begin(listener, name);
    struct claim *claim = claim_get(tr, &climb);
    if (claim->holder[kind])
        return;
    claim->holder[kind] = route;
    while (climb_up(&climb)) {
        claim = claim_get(tr, &climb);
        if (!claim->below[kind])
            claim->below[kind] = route;
    }
}
