/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_LOOP_INT_H
#define RINGGATE_IO_LOOP_INT_H

/* The loop's pools of small objects, for the files of io/. */

#include "base/pool.h"
#include "io/engine.h"

#define LOOP_PIPES 64 /* of one loop, in use or not; each may hold 1 MiB */

struct loop_pools {
    struct pool conns, addrs, relays;
    int pipes[LOOP_PIPES][2]; /* empty ones, for splice */
    unsigned pipe_count, pipe_held; /* in pipes; by flows */
};

/* Runs task->run when this turn ends, after all callbacks: to free memory. */
void loop_bury(struct loop *loop, struct loop_task *task);

#endif
