/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_VIEW_H
#define RINGGATE_GATEWAY_VIEW_H

/* A worker's hold on a snapshot, with the cursors that go with it. Pinned by
 * exchanges and handshakes in progress (a plain count: one thread), the newest
 * one also by the worker. When the last pin goes, the worker's reference goes,
 * and the snapshot itself is freed by the control thread: it is large. */

#include "gateway/snapshot.h"
#include "io/mailbox.h"
#include "routing/backend_set.h"
#include "routing/cluster.h"

struct control;

struct view {
    struct snapshot *snapshot;
    unsigned pins;
    struct backend_cursor **cursors; /* [port][rule.cursor]; a TCP port has one */
    struct cluster **clusters; /* as in the model; referenced, so that they serve while pinned */
    struct mail release; /* sent to control with the last reference */
    struct control *control;
};

/* Takes the caller's reference on the snapshot; pinned once. */
struct view *view_new(struct control *control, struct snapshot *snapshot);
/* Once, when the model was applied to the set: from here backends can be chosen. */
void view_hold_clusters(struct view *view, const struct cluster_set *set);
/* No backend is chosen any more. view_unpin does it too. */
void view_drop_clusters(struct view *view);
struct view *view_pin(struct view *view);
void view_unpin(struct view *view); /* may free it */

#endif
