/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_L4_H
#define RINGGATE_GATEWAY_L4_H

/* TCP routes: one backend connection for each client connection, bytes
 * relayed both ways. */

#include "gateway/worker.h"

/* Takes an accepted conn of a TCP port. */
void l4_accept(struct worker_listener *listener, const struct snapshot_port *port,
               struct conn *conn);
/* All connections of the worker that are relayed end by then. */
void l4_stop_at(struct worker *worker, uint64_t deadline_ns);
/* Those that are not yet: at once. */
void l4_abort_pending(struct worker *worker);
/* The size of the object in worker->l4s. */
size_t l4_object_size(void);

#endif
