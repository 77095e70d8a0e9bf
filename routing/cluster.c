/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "routing/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

/* Who keeps what alive:
 *   endpoint  while it is listed, or a request is in flight on it (active > 0)
 *   cluster   while it is in the newest model, referenced, or has an endpoint
 *   set       its owner; frees all
 * An apply first makes everything new (may fail, then it is undone), then
 * commits, which cannot fail. The heap is used here and not per request. */
#define COMPARE_AHEAD 16u
#define EJECT_FAILURES 3u
#define EJECT_FIRST_NS NS_PER_S
#define EJECT_MAX_NS (30 * NS_PER_S)

struct endpoint {
    struct cluster_endpoint pub;
    bool is_new; /* made by the apply that runs now */
    char key[264]; /* "host:port" */
};

struct cluster {
    struct hmap_node node; /* key: id */
    struct dlist link; /* in the set */
    struct cluster_set *set;
    const struct model_cluster *spec; /* NULL: dropped from the model */
    const struct model_cluster *next_spec; /* during an apply: what it will be */
    struct cluster_endpoint **listed, **next;
    unsigned listed_count, next_count;
    unsigned turn; /* where the next pick begins */
    bool is_new, has_turn;
    bool is_same; /* during an apply: only its spec moves */
    unsigned refs;
    struct retry_budget retries;
    struct hmap endpoints; /* listed or active */
    size_t id_len;
    char id[];
};

struct cluster_set {
    struct hmap clusters;
    struct dlist all;
    struct cluster **by_index;
    unsigned by_index_count;
    struct cluster_owner owner;
};

struct cluster_set *cluster_set_new(const struct cluster_owner *owner)
{
    struct cluster_set *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return NULL;
    set->owner = *owner;
    hmap_init(&set->clusters, 0);
    dlist_init(&set->all);
    return set;
}

static void endpoint_free(struct cluster *cluster, struct endpoint *endpoint)
{
    hmap_remove(&cluster->endpoints, &endpoint->pub.node);
    if (!endpoint->is_new)
        cluster->set->owner.on_gone(cluster->set->owner.user, endpoint->pub.user);
    free(endpoint);
}

static void cluster_free(struct cluster *cluster)
{
    hmap_remove(&cluster->set->clusters, &cluster->node);
    dlist_remove(&cluster->link);
    hmap_fini(&cluster->endpoints);
    free(cluster->listed);
    free(cluster->next);
    free(cluster);
}

/* Frees it when nothing holds it any more. true: it is gone. */
static bool cluster_settle(struct cluster *cluster)
{
    if (cluster->spec != NULL || cluster->refs > 0)
        return false;
    for (unsigned i = 0; i < cluster->listed_count; i++) {
        cluster->listed[i]->listed = false;
        if (cluster->listed[i]->active == 0)
            endpoint_free(cluster, container_of(cluster->listed[i], struct endpoint, pub));
    }
    cluster->listed_count = 0;
    if (cluster->endpoints.count > 0)
        return false;
    cluster_free(cluster);
    return true;
}

void cluster_set_free(struct cluster_set *set)
{
    if (set == NULL)
        return;
    dlist_foreach(it, next, &set->all)
    {
        struct cluster *cluster = dlist_entry(it, struct cluster, link);
        struct hmap_node *node;
        while ((node = hmap_next(&cluster->endpoints, NULL)) != NULL) {
            struct endpoint *endpoint = container_of(node, struct endpoint, pub.node);
            endpoint_free(cluster, endpoint);
        }
        cluster_free(cluster);
    }
    hmap_fini(&set->clusters);
    free(set->by_index);
    free(set);
}

static struct cluster *cluster_new(struct cluster_set *set, struct span id)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster) + id.len);
    if (cluster == NULL)
        return NULL;
    cluster->set = set;
    cluster->is_new = true;
    cluster->id_len = id.len;
    if (id.len > 0)
        memcpy(cluster->id, id.ptr, id.len);
    hmap_init(&cluster->endpoints, 0);
    hmap_insert(&set->clusters, &cluster->node, span_make(cluster->id, id.len));
    dlist_push_back(&set->all, &cluster->link);
    return cluster;
}

/* The cluster of that id, new when there is none; NULL: no memory. */
static struct cluster *cluster_get(struct cluster_set *set, struct span id)
{
    struct cluster *cluster = cluster_find(set, id);
    return cluster != NULL ? cluster : cluster_new(set, id);
}

/* The endpoint of that address, new when there is none; NULL: no memory. */
static struct cluster_endpoint *endpoint_get(struct cluster *cluster,
                                             const struct model_endpoint *conf)
{
    char text[264];
    int len = snprintf(text, sizeof(text), "%.*s:%u", SPAN_ARG(conf->host), conf->port);
    ASSERT(len > 0 && (size_t)len < sizeof(text));
    struct span key = span_make(text, (size_t)len);
    struct hmap_node *node = hmap_find(&cluster->endpoints, key);
    if (node != NULL)
        return container_of(node, struct cluster_endpoint, node);
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
    if (endpoint == NULL)
        return NULL;
    endpoint->is_new = true;
    memcpy(endpoint->key, text, key.len);
    if (conf->host.len > 0)
        memcpy(endpoint->pub.host, conf->host.ptr, conf->host.len);
    endpoint->pub.port = conf->port;
    hmap_insert(&cluster->endpoints, &endpoint->pub.node, span_make(endpoint->key, key.len));
    return &endpoint->pub;
}

/* `listed` is used as a mark here: what is listed now is unmarked first. 0; -ENOMEM. */
static int cluster_prepare(struct cluster *cluster, const struct model_cluster *spec)
{
    cluster->next_spec = spec;
    cluster->next = calloc(MAX(spec->endpoints_count, 1u), sizeof(struct cluster_endpoint *));
    if (cluster->next == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < cluster->listed_count; i++)
        cluster->listed[i]->listed = false;
    for (unsigned i = 0; i < spec->endpoints_count; i++) {
        if (spec->endpoints[i].host.len >= sizeof(((struct cluster_endpoint *)0)->host))
            continue;
        struct cluster_endpoint *endpoint = endpoint_get(cluster, &spec->endpoints[i]);
        if (endpoint == NULL)
            return -ENOMEM;
        if (!endpoint->listed)
            cluster->next[cluster->next_count++] = endpoint;
        endpoint->listed = true;
    }
    return 0;
}

static void cluster_undo(struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->next_count; i++) {
        struct endpoint *endpoint = container_of(cluster->next[i], struct endpoint, pub);
        endpoint->pub.listed = false;
        if (endpoint->is_new)
            endpoint_free(cluster, endpoint);
    }
    for (unsigned i = 0; i < cluster->listed_count; i++)
        cluster->listed[i]->listed = true;
    free(cluster->next);
    cluster->next = NULL;
    cluster->next_count = 0;
    cluster->next_spec = NULL;
    cluster->is_same = false;
    if (cluster->is_new)
        cluster_free(cluster);
}

static void cluster_commit(struct cluster *cluster)
{
    const struct cluster_owner *owner = &cluster->set->owner;
    struct cluster_endpoint **old = cluster->listed;
    unsigned old_count = cluster->listed_count;
    cluster->spec = cluster->next_spec;
    if (cluster->is_same) {
        cluster->next_spec = NULL;
        cluster->is_same = false;
        return;
    }
    cluster->listed = cluster->next;
    cluster->listed_count = cluster->next_count;
    cluster->next = NULL;
    cluster->next_count = 0;
    cluster->next_spec = NULL;
    cluster->is_new = false;
    for (unsigned i = 0; i < cluster->listed_count; i++) {
        struct endpoint *endpoint = container_of(cluster->listed[i], struct endpoint, pub);
        if (endpoint->is_new)
            endpoint->pub.user = owner->on_new(owner->user, cluster->spec, &endpoint->pub);
        endpoint->is_new = false;
    }
    for (unsigned i = 0; i < old_count; i++) {
        if (!old[i]->listed && old[i]->active == 0)
            endpoint_free(cluster, container_of(old[i], struct endpoint, pub));
    }
    free(old);
}

static bool is_equal(const struct model_cluster *a, const struct model_cluster *b)
{
    bool same = a->endpoints_count == b->endpoints_count && span_equal(a->id, b->id);
    for (unsigned i = 0; i < a->endpoints_count && same; i++) {
        const struct model_endpoint *x = &a->endpoints[i], *y = &b->endpoints[i];
        /* Most are the same bytes, of an object that both models hold. */
        same = x->port == y->port && x->host.len == y->host.len &&
               (x->host.ptr == y->host.ptr || span_equal(x->host, y->host));
    }
    return same;
}

/* Models list clusters as routes lead to them, the oldest route first: one that comes or goes moves
 * the others by one. */
void cluster_compare(const struct model *last, const struct model *model, int32_t *ret)
{
    unsigned next = 0;
    for (unsigned i = 0; i < model->clusters_count; i++) {
        unsigned end = MIN(last->clusters_count, next + COMPARE_AHEAD);
        ret[i] = -1;
        for (unsigned at = next; at < end && ret[i] < 0; at++) {
            if (!span_equal(last->clusters[at].id, model->clusters[i].id))
                continue;
            next = at + 1;
            if (is_equal(&last->clusters[at], &model->clusters[i]))
                ret[i] = (int32_t)at;
            break;
        }
    }
}

int cluster_set_apply(struct cluster_set *set, const struct model *model, const int32_t *same)
{
    int r = -ENOMEM;
    struct cluster **by_index = calloc(MAX(model->clusters_count, 1u), sizeof(struct cluster *));
    if (by_index == NULL)
        return r;
    for (unsigned i = 0; i < model->clusters_count; i++) {
        const struct model_cluster *spec = &model->clusters[i];
        bool is_same = same != NULL && same[i] >= 0;
        by_index[i] = is_same ? cluster_at(set, (unsigned)same[i]) : cluster_get(set, spec->id);
        if (by_index[i] == NULL)
            goto undo;
        if (by_index[i]->next_spec != NULL)
            continue; /* ids are unique; were one there twice, the first would describe it */
        by_index[i]->is_same = is_same;
        if (is_same)
            by_index[i]->next_spec = spec;
        else if (cluster_prepare(by_index[i], spec) < 0)
            goto undo;
    }
    dlist_foreach(it, next, &set->all)
    {
        struct cluster *cluster = dlist_entry(it, struct cluster, link);
        if (cluster->next_spec != NULL) {
            cluster_commit(cluster);
        } else {
            cluster->spec = NULL;
            (void)cluster_settle(cluster); /* may still serve those who hold it */
        }
    }
    free(set->by_index);
    set->by_index = by_index;
    set->by_index_count = model->clusters_count;
    return 0;

undo:
    free(by_index);
    dlist_foreach(it, next, &set->all)
    {
        struct cluster *cluster = dlist_entry(it, struct cluster, link);
        if (cluster->next_spec != NULL || cluster->is_new)
            cluster_undo(cluster);
    }
    return r;
}

struct cluster *cluster_at(const struct cluster_set *set, unsigned model_index)
{
    ASSERT(model_index < set->by_index_count);
    return set->by_index[model_index];
}

struct cluster *cluster_find(const struct cluster_set *set, struct span id)
{
    struct hmap_node *node = hmap_find(&set->clusters, id);
    return node != NULL ? container_of(node, struct cluster, node) : NULL;
}

struct span cluster_id(const struct cluster *cluster)
{
    return span_make(cluster->id, cluster->id_len);
}

struct retry_budget *cluster_retry_budget(struct cluster *cluster)
{
    return &cluster->retries;
}

void cluster_ref(struct cluster *cluster)
{
    cluster->refs++;
}

void cluster_unref(struct cluster *cluster)
{
    if (cluster == NULL)
        return;
    ASSERT(cluster->refs > 0);
    cluster->refs--;
    (void)cluster_settle(cluster); /* gone or not, the caller lets go */
}

struct cluster_endpoint *cluster_pick(struct cluster *cluster, const struct cluster_endpoint *avoid,
                                      uint64_t now_ns, struct rand_state *rand)
{
    unsigned count = cluster->listed_count;
    if (count == 0)
        return NULL;
    if (!cluster->has_turn) {
        /* Workers begin at different places, so that they do not all call on the first. */
        cluster->turn = rand_below(rand, count);
        cluster->has_turn = true;
    }
    struct cluster_endpoint *best = NULL;
    unsigned best_rank = 0, best_at = 0;
    for (unsigned i = 0; i < count && best_rank < 4; i++) {
        unsigned at = (cluster->turn % count + i) % count;
        struct cluster_endpoint *endpoint = cluster->listed[at];
        /* Healthy counts more than not to be avoided. */
        unsigned rank = 1u + 2u * (endpoint->ejected_until_ns <= now_ns) + (endpoint != avoid);
        if (rank > best_rank) {
            best = endpoint;
            best_rank = rank;
            best_at = at;
        }
    }
    cluster->turn = best_at + 1;
    best->active++;
    return best;
}

static uint64_t ejection_ns(unsigned ejections, struct rand_state *rand)
{
    uint64_t duration = EJECT_FIRST_NS << MIN(ejections - 1, 5u);
    duration = MIN(duration, EJECT_MAX_NS);
    /* 80 % .. 120 %, so that workers and gateways do not try again together. */
    return duration / 1000 * (800 + rand_below(rand, 401));
}

/* true: ejected now. */
static bool endpoint_note(struct cluster_endpoint *endpoint, enum cluster_result result,
                          uint64_t now_ns, struct rand_state *rand)
{
    switch (result) {
    case CLUSTER_RESULT_OK:
        endpoint->failures = 0;
        endpoint->ejections = 0;
        endpoint->ejected_until_ns = 0;
        return false;
    case CLUSTER_RESULT_RESET:
        return false; /* it accepts connections: says nothing about reaching it */
    case CLUSTER_RESULT_CONNECT_FAILED:
        /* Those that were under way when it was ejected, or in panic, add nothing. */
        if (endpoint->ejected_until_ns > now_ns || ++endpoint->failures < EJECT_FAILURES)
            return false;
        endpoint->failures = 0;
        endpoint->ejections++;
        endpoint->ejected_until_ns = now_ns + ejection_ns(endpoint->ejections, rand);
        return true;
    }
    UNREACHABLE();
}

bool cluster_release(struct cluster *cluster, struct cluster_endpoint *endpoint,
                     enum cluster_result result, uint64_t now_ns, struct rand_state *rand)
{
    ASSERT(endpoint->active > 0);
    bool ejected = endpoint_note(endpoint, result, now_ns, rand);
    endpoint->active--;
    if (!endpoint->listed && endpoint->active == 0) {
        endpoint_free(cluster, container_of(endpoint, struct endpoint, pub));
        (void)cluster_settle(cluster); /* its last endpoint may have been all that held it */
        return false;
    }
    return ejected;
}
