/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_REDIS_FAULT_H
#define RINGGATE_RATELIMIT_REDIS_FAULT_H

/* What an error reply of Redis means for us. Pure. */

#include "base/span.h"

enum redis_fault {
    REDIS_FAULT_NONE,
    REDIS_FAULT_NETWORK, /* refused, reset, silent: connect again */
    REDIS_FAULT_PROTOCOL, /* not Redis, or not what was asked: connect again */
    REDIS_FAULT_SCRIPT, /* NOSCRIPT: not a failure, send the script */
    REDIS_FAULT_READONLY, /* a replica: connect again, perhaps elsewhere */
    REDIS_FAULT_BUSY, /* LOADING, MASTERDOWN, BUSY, TRYAGAIN, CLUSTERDOWN: soon again */
    REDIS_FAULT_WRITES, /* OOM, MISCONF, NOREPLICAS: the store refuses writes; keep the connection
                         */
    REDIS_FAULT_AUTH, /* NOAUTH, WRONGPASS, NOPERM: credentials or rights are wrong */
    REDIS_FAULT_OTHER,
};

/* text: of an error reply, without the "-". */
enum redis_fault redis_fault_classify(struct span text);
/* A few words for log and status. */
const char *redis_fault_text(enum redis_fault fault);

#endif
