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

struct control;

struct view {
    struct snapshot *snapshot;
    unsigned pins;
    struct backend_cursor **cursors; /* [port][rule]; a TCP port has one */
    struct mail release; /* sent to control with the last reference */
    struct control *control;
};

/* Takes the caller's reference on the snapshot; pinned once. */
struct view *view_new(struct control *control, struct snapshot *snapshot);
struct view *view_pin(struct view *view);
void view_unpin(struct view *view); /* may free it */

#endif
