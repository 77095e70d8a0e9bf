/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_SIM_ENGINE_SIM_H
#define RINGGATE_T_SIM_ENGINE_SIM_H

/* A simulated engine: a network in memory, virtual time, and a kernel that is as unhelpful as a
 * kernel may be. What happens follows from the seed alone.
 *
 * Faults: short sends and receives, receives that stall for turns (what an exhausted buffer ring
 * or an ended multishot looks like from above), bytes delivered after receiving was turned off,
 * completions long after a close, failing accepts, refused and silent connects, resets. Bytes of
 * an asynchronous send are read only when it makes progress, and a receive is a heap copy of
 * exactly its size, so a sanitizer sees every use after its time.
 *
 * The far ends are driven by the test: sim_peer_*. Descriptors are numbers that no process has. */

#include "io/engine.h"

struct sim;

struct sim_options {
    uint64_t seed;
    bool resets; /* the network kills connections */
};

MUST_CHECK int sim_loop_new(struct loop **ret, const struct loop_options *options,
                            struct sim_options sim_options);
struct sim *sim_of(struct loop *loop);

/* A descriptor to give to acceptor_start; conns are dialled to sim_peer_accept otherwise. */
int sim_listener(struct sim *sim);
/* A far end connecting to the listener. */
int sim_peer_connect(struct sim *sim);
/* The far end of a conn that the loop dialled, in order; -1: none waits. */
int sim_peer_accept(struct sim *sim);
/* Bytes taken or got, 0 none now; -ECONNRESET. */
ssize_t sim_peer_write(struct sim *sim, int fd, const uint8_t *data, size_t len);
ssize_t sim_peer_read(struct sim *sim, int fd, uint8_t *data, size_t size);
bool sim_peer_is_ended(struct sim *sim, int fd); /* all was read and the other side finished */
void sim_peer_finish(struct sim *sim, int fd); /* half-close */
void sim_peer_close(struct sim *sim, int fd, bool reset);
/* Operations and sockets that the loop still has. */
unsigned sim_open(const struct sim *sim);

/* Runs the worlds of seeds 1 to count, or the one that SIM_SEED names. */
void sim_each_seed(uint64_t count, void (*run)(uint64_t seed));

#endif
