/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_UPSTREAM_TARGET_H
#define RINGGATE_GATEWAY_UPSTREAM_TARGET_H

/* The addresses of a backend one after the other: its own, when it is given by address, or those
 * that DNS has for its name. Every connection begins with the next address in turn and goes on to
 * the others while dials fail. All dials of a connection share the time to connect: each may take
 * what is left, divided by the addresses that are left. */

#include "io/resolver.h"

/* Where a backend is. One thread. */
struct upstream_place {
    struct addr addr; /* of an address; else of the last dial, len 0 before it */
    char *name; /* NULL: an address */
    uint16_t port;
    unsigned turn; /* of the next connection */
};
/* host: an IP address or a name. 0; -ENOMEM. */
MUST_CHECK int upstream_place_init(struct upstream_place *place, const char *host, uint16_t port);
void upstream_place_fini(struct upstream_place *place);

/* A connection that is being made; embedded in whoever makes it. */
struct upstream_target {
    struct resolver_query query;
    struct upstream_place *place; /* outlives the use of the target */
    struct resolver *resolver;
    /* From the loop, after -EINPROGRESS, with what upstream_target_next would return. */
    void (*on_done)(struct upstream_target *target, int error);
    const char *text; /* static: why a name has no address */
    uint64_t dial_ns; /* of the first dial; 0 before it */
    unsigned turn, tried, count; /* of the first address; dials so far; addresses */
};
void upstream_target_init(struct upstream_target *target, struct upstream_place *place,
                          struct resolver *resolver,
                          void (*on_done)(struct upstream_target *, int));
/* The next address. 0: it is place->addr, to be dialled now; -EINPROGRESS: on_done follows;
 * -EHOSTUNREACH: all were tried; -ENXIO: DNS gives no address, text says why. */
MUST_CHECK int upstream_target_next(struct upstream_target *target);
/* The time for this dial out of connect_timeout_ns for all; at least a millisecond. */
uint64_t upstream_target_timeout(struct upstream_target *target, uint64_t connect_timeout_ns,
                                 uint64_t now_ns);
/* on_done will not be called. Also when nothing waits, and on a zeroed target. */
void upstream_target_cancel(struct upstream_target *target);

#endif
