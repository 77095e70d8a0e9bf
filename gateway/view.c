/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/view.h"

#include <stdlib.h>

#include "gateway/control.h"

struct view *view_new(struct control *control, struct snapshot *snapshot)
{
    struct view *view = xcalloc(1, sizeof(*view));
    view->snapshot = snapshot;
    view->control = control;
    view->pins = 1;
    view->cursors = xcalloc(snapshot->ports_count + 1, sizeof(*view->cursors));
    for (unsigned i = 0; i < snapshot->ports_count; i++)
        view->cursors[i] = xcalloc(snapshot->ports[i].cursors_count + 1, sizeof(**view->cursors));
    return view;
}

void view_hold_clusters(struct view *view, const struct cluster_set *set)
{
    unsigned count = view->snapshot->model->clusters_count;
    ASSERT(view->clusters == NULL);
    view->clusters = xcalloc(count + 1, sizeof(struct cluster *));
    for (unsigned i = 0; i < count; i++) {
        view->clusters[i] = cluster_at(set, i);
        cluster_ref(view->clusters[i]);
    }
}

void view_drop_clusters(struct view *view)
{
    if (view->clusters == NULL)
        return;
    for (unsigned i = 0; i < view->snapshot->model->clusters_count; i++)
        cluster_unref(view->clusters[i]);
    free(view->clusters);
    view->clusters = NULL;
}

struct view *view_pin(struct view *view)
{
    view->pins++;
    return view;
}

static void view_free(struct view *view)
{
    view_drop_clusters(view);
    for (unsigned i = 0; i < view->snapshot->ports_count; i++)
        free(view->cursors[i]);
    free(view->cursors);
    view->cursors = NULL;
}

static void view_on_release(struct mail *mail)
{
    struct view *view = container_of(mail, struct view, release);
    snapshot_free(view->snapshot);
    free(view);
}

void view_unpin(struct view *view)
{
    ASSERT(view->pins > 0);
    if (--view->pins > 0)
        return;
    view_free(view);
    if (!snapshot_unref(view->snapshot)) {
        free(view);
        return;
    }
    view->release.on_mail = view_on_release;
    control_send(view->control, &view->release);
}
