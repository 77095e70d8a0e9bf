/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_LISTENER_H
#define RINGGATE_GATEWAY_LISTENER_H

/* Listening sockets by address, on the control thread: which are bound, which
 * a new snapshot keeps, opens or drops. A kept socket is never closed, so a
 * reload refuses no connection. */

#include "conf/diag.h"
#include "conf/settings.h"
#include "gateway/snapshot.h"

struct listener_set;
struct worker_publish;

struct listener_set *listener_set_new(const struct settings *settings);
void listener_set_free(struct listener_set *set); /* sockets that no worker took are closed */

/* Binds what is new, one socket a worker, and forgets what is gone. An address that cannot be bound
 * is told to diags and statuses and left out; it is tried again at the next apply. How many there
 * are of those. */
unsigned listener_set_apply(struct listener_set *set, const struct snapshot *snapshot,
                            unsigned workers, struct diags *diags, struct statuses *statuses);
/* Addresses that are bound. */
unsigned listener_set_count(const struct listener_set *set);
/* The message for one worker (each once per apply): keeps and new sockets, which become the
 * worker's. */
struct worker_publish *listener_set_publish(struct listener_set *set, struct snapshot *snapshot,
                                            unsigned worker);

#endif
