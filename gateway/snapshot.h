/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_SNAPSHOT_H
#define RINGGATE_GATEWAY_SNAPSHOT_H

/* A configuration as the workers use it: compiled, immutable, complete. Built
 * by the control thread, read by all workers, freed by the control thread when
 * the last worker has let go. */

#include "base/metric.h"
#include "conf/diag.h"
#include "conf/model.h"
#include "conf/status.h"
#include "gateway/rule.h"
#include "io/addr.h"
#include "routing/route_table.h"
#include "tls/tls_client.h"
#include "tls/tls_server.h"

/* All listeners that share one set of sockets. */
struct snapshot_port {
    struct addr *addrs; /* what is bound */
    unsigned addrs_count;
    enum model_protocol protocol;
    bool proxy_protocol;
    struct route_table *routes; /* HTTP, HTTPS */
    struct tls_server_spec *tls; /* HTTPS */
    struct rule *rules; /* by route_match.rule */
    uint32_t cursors_count; /* that a view needs; TCP: one */
    const struct model_listener *listener; /* TCP; else the first, for messages */
    const struct model_listener **listeners; /* all of them */
    unsigned listeners_count;
};

/* What a dial to a cluster needs; index as in model.clusters. */
struct snapshot_cluster {
    struct tls_client_spec *tls; /* NULL: plain, or invalid */
    bool tls_invalid; /* never connect */
};

struct snapshot {
    uint64_t generation;
    struct model *model; /* owned */
    struct arena arena;
    struct snapshot_port *ports;
    unsigned ports_count;
    struct snapshot_cluster *clusters;
    int32_t *same_clusters; /* cluster_compare with the snapshot before; NULL: there is none */
    unsigned refs; /* atomic: workers and control that hold it */
};

/* Takes the model. last: the snapshot that the workers have, or NULL. What cannot be served (a pair
 * that does not match, a pattern that does not compile) is left out, told to diags and written into
 * statuses; the rest is served. Never fails but for memory (panics). The caller holds the one
 * reference. */
struct snapshot *snapshot_build(struct model *model, const struct snapshot *last,
                                struct diags *diags, struct statuses *statuses);
void snapshot_ref(struct snapshot *snapshot); /* any thread */
/* True when it was the last one: the caller then passes it to snapshot_free on the control thread.
 */
MUST_CHECK bool snapshot_unref(struct snapshot *snapshot);
void snapshot_free(struct snapshot *snapshot);

#endif
