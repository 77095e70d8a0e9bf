/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ROUTING_CLUSTER_H
#define RINGGATE_ROUTING_CLUSTER_H

/* What a worker remembers about a cluster across snapshots: the round-robin
 * position and, per endpoint, requests in flight and passive health. Keyed by
 * the cluster's stable id; endpoints by address, so health survives a change of
 * the list. Sockets live elsewhere (gateway/upstream_pool.h). One thread. */

#include "base/dlist.h"
#include "base/hmap.h"
#include "base/rand.h"
#include "conf/model.h"
#include "routing/retry.h"

struct cluster_endpoint {
    struct hmap_node node; /* key: "host:port" */
    unsigned active; /* requests in flight; keeps the endpoint alive after it left the list */
    unsigned failures; /* consecutive */
    uint64_t ejected_until_ns; /* 0: healthy */
    unsigned ejections; /* in a row: back-off */
    bool listed; /* in the current spec */
    void *user; /* the holder's: address, idle connections */
    char host[256];
    uint16_t port;
};

struct cluster;
/* What it may retry; the holder counts. */
struct retry_budget *cluster_retry_budget(struct cluster *cluster);

enum cluster_result {
    CLUSTER_RESULT_OK,
    CLUSTER_RESULT_CONNECT_FAILED, /* refused, timed out, TLS failure */
    CLUSTER_RESULT_RESET, /* broke before the response head */
};

/* Who is told of endpoints; neither may call back into the set. */
struct cluster_owner {
    void *user;
    /* Gives the endpoint's user pointer. */
    void *(*on_new)(void *user, const struct model_cluster *cluster,
                    const struct cluster_endpoint *endpoint);
    /* It left and nothing is in flight: now, or later from cluster_release and cluster_unref. */
    void (*on_gone)(void *user, void *endpoint_user);
};

struct cluster_set; /* all clusters of one worker */
struct cluster_set *cluster_set_new(const struct cluster_owner *owner); /* NULL: no memory */
/* Calls on_gone for every endpoint that is left. No request may be in flight. NULL is ignored. */
void cluster_set_free(struct cluster_set *set);
/* For each cluster of a model its number in the one before, when id and endpoints are the same,
 * else -1: also where the order changed by more than a few places. Any thread. */
void cluster_compare(const struct model *last, const struct model *model, int32_t *ret);
/* Reconciles with a new model: KEEP, NEW, DROP. Endpoints named twice count once; hosts of
 * 256 bytes and more are left out. same: by cluster_compare with the model that was applied last,
 * so that ten thousand of which one changed take a worker a millisecond; NULL: not known. Heap. 0;
 * -ENOMEM: nothing changed. */
MUST_CHECK int cluster_set_apply(struct cluster_set *set, const struct model *model,
                                 const int32_t *same);
/* By position in the clusters of the model that was applied last. */
struct cluster *cluster_at(const struct cluster_set *set, unsigned model_index);
/* By model_cluster.id, for exchanges that began on an older model; NULL: it is gone. */
struct cluster *cluster_find(const struct cluster_set *set, struct span id);
struct span cluster_id(const struct cluster *cluster); /* valid as long as the cluster */

/* A dropped cluster stays allocated until its last active request is released. With a reference it
 * goes on serving its last endpoints until the last unref (for exchanges that began
 * before). With neither, a pointer is valid until the next apply. */
void cluster_ref(struct cluster *cluster);
void cluster_unref(struct cluster *cluster); /* may free it and call on_gone; NULL is ignored */

/* The next endpoint in turn that is not ejected and is not `avoid` (a retry) if another is there.
 * Ejected ones are used when all are (panic). NULL: the cluster has none. active is raised: pair
 * with cluster_release. */
struct cluster_endpoint *cluster_pick(struct cluster *cluster, const struct cluster_endpoint *avoid,
                                      uint64_t now_ns, struct rand_state *rand);
/* The request is over. Three connect failures in a row eject for 1 s, doubling to 30 s, +-20 %
 * jitter; one that succeeds ends it. Returns true when this ejected it: the endpoint is still
 * there. After false it may be gone, and with it a dropped cluster that nobody references. */
bool cluster_release(struct cluster *cluster, struct cluster_endpoint *endpoint,
                     enum cluster_result result, uint64_t now_ns, struct rand_state *rand);

#endif
