/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_CLOCK_H
#define RINGGATE_BASE_CLOCK_H

/* Time. Deadlines use monotonic nanoseconds; people see wall time. Loops cache
 * both once per turn (struct clock_cache); the simulated engine sets them. */

#include "base/base.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

struct clock_cache {
    uint64_t mono_ns; /* CLOCK_MONOTONIC */
    uint64_t wall_ns; /* CLOCK_REALTIME since 1970 */
};

uint64_t clock_mono_ns(void);
uint64_t clock_wall_ns(void);
void clock_cache_update(struct clock_cache *cache);
/* "2026-11-23T05:48:46.123Z" (24 characters and a NUL). */
#define CLOCK_ISO_SIZE 25
void clock_iso(uint64_t wall_ns, char out[CLOCK_ISO_SIZE]);

#endif
