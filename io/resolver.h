/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_RESOLVER_H
#define RINGGATE_IO_RESOLVER_H

/* Names to addresses, one resolver a loop, used by its thread only. DNS over UDP, over TCP for
 * answers that do not fit, and /etc/hosts, by c-ares on watches and timers of the loop.
 *
 * Answers are cached for their TTL, at least a second and at most ttl_max_ns; failures for a
 * second. Questions for the same name are asked once. An answer that has run out is served while a
 * new one is fetched if that was not long ago (30 s), or if the servers have failed to give a new
 * one, for a day at most (RFC 8767); that a name does not exist is believed at once.
 *
 * An answer is bounded: RESOLVER_IPS_MAX addresses, 8 aliases. Addresses that nobody can be at
 * (0.0.0.0, multicast) are dropped, and so is IPv6 beside IPv4 on a host without a route for it.
 *
 * /etc/hosts (a local file) is read when a name is asked for, not on a hit. */

#include "base/hmap.h"
#include "base/span.h"
#include "io/addr.h"
#include "io/loop.h"

#define RESOLVER_IPS_MAX 32u /* of a name; more are left out */
#define RESOLVER_ALIASES_MAX 8u /* CNAMEs in a row; a longer chain is a failure */

struct resolver_options {
    /* "IP", "IP:PORT" or "[IP]:PORT", separated by commas, at most 8; then /etc/resolv.conf is not
     * read and names are taken as they are. NULL or "": what /etc/resolv.conf says now, search list
     * included. */
    const char *servers;
    uint64_t timeout_ns; /* of a lookup; 0: 2 s */
    uint64_t ttl_min_ns, ttl_max_ns; /* 0: 1 s and 300 s; failures are kept for ttl_min_ns */
    unsigned names_max; /* in the cache; 0: 1024 */
};

struct resolver;
struct resolver_entry;

/* Addresses in the order in which the server gave them, without doubles. */
struct resolver_answer {
    unsigned count; /* at least 1 */
    struct resolver_ip {
        bool is_v6;
        uint8_t ip[16];
    } ips[RESOLVER_IPS_MAX];
};

/* One lookup that waits; embedded in whoever asks. */
struct resolver_query {
    /* From the loop, once. error: 0, or as resolver_lookup; answer: borrowed for the call; NULL on
     * error. The query is the caller's again. */
    void (*on_done)(struct resolver_query *query, int error, const struct resolver_answer *answer);
    /* private */
    struct dlist link;
    struct resolver_entry *entry; /* NULL: does not wait */
};

/* In the thread of the loop. NULL with reterr: no memory, or servers is malformed. */
struct resolver *resolver_new(struct loop *loop, const struct resolver_options *options,
                              struct err *reterr);
/* Queries that wait are forgotten: their on_done is not called. NULL is ignored. */
void resolver_free(struct resolver *resolver);

/* name: 1 to 253 bytes of a-z, A-Z, 0-9, '-', '_' and '.'; borrowed for the call.
 *
 * 0: *ret is the answer, valid until the loop goes on or the resolver is called again. Nothing is
 * allocated.
 * -EINPROGRESS: query->on_done comes within timeout_ns; never from within this call.
 * -ENOENT: there is no such name, or it has no address; -ETIMEDOUT; -EIO: the servers fail, refuse
 * or give nonsense; -EINVAL: not a name; -ENOBUFS: names_max names are being asked for;
 * -ENOMEM. */
MUST_CHECK int resolver_lookup(struct resolver *resolver, struct resolver_query *query,
                               struct span name, const struct resolver_answer **ret);
/* on_done will not be called. Does nothing when the query does not wait. */
void resolver_cancel(struct resolver_query *query);
/* The answer proved useless: the next lookup asks again, though at most once in ttl_min_ns, and
 * is served the old answer meanwhile. */
void resolver_doubt(struct resolver *resolver, struct span name);

/* Address `index` (any number: it wraps around) with a port. */
void resolver_answer_addr(const struct resolver_answer *answer, unsigned index, uint16_t port,
                          struct addr *ret);
/* One of the errors above as a static text: "no such name". */
const char *resolver_error_text(int error);
/* 0; -EINVAL with reterr. */
MUST_CHECK int resolver_check_servers(const char *servers, struct err *reterr);

#endif
