/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_CLIENT_COUNT_H
#define RINGGATE_GATEWAY_CLIENT_COUNT_H

/* How many client connections the process holds, in all and by address: one for all workers, since
 * the kernel spreads the connections of one client over them. Any thread, no lock.
 *
 * Memory is fixed: an address has two counters in tables of CLIENT_COUNT_SLOTS, chosen by a keyed
 * hash, and is over the limit when both are. Others may share one of them; that somebody is
 * refused for what others hold takes two full counters by chance. IPv6 counts by /64, which is what
 * one customer gets. Not counted by address: loopback and Unix sockets. */

#include "io/addr.h"

#define CLIENT_COUNT_SLOTS 65536u

struct client_count;

/* What a connection holds; zero: nothing. Embedded in its owner. */
struct client_hold {
    uint32_t slots[2];
    bool entered, has_address;
};

/* total_max: at least 1; address_max 0: no limit by address. */
struct client_count *client_count_new(uint64_t total_max, uint64_t address_max);
void client_count_free(struct client_count *count); /* NULL: nothing */
/* One more connection. false: the process has total_max. */
MUST_CHECK bool client_count_enter(struct client_count *count, struct client_hold *hold);
/* One more of this address. false: it has address_max; hold is as it was. Once for a hold. */
MUST_CHECK bool client_count_address(struct client_count *count, struct client_hold *hold,
                                     const struct addr *addr);
/* Gives back what hold has. */
void client_count_leave(struct client_count *count, struct client_hold *hold);

#endif
