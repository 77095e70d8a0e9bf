/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_PAGES_H
#define RINGGATE_BASE_PAGES_H

/* Chunks of an arena straight from the kernel, for what is large, made at once and freed at once:
 * they go back to the kernel whatever the heap looks like. A fault for each page costs more than
 * filling it. No state; any thread. */

#include "base/arena.h"

/* For what stays: small pages, there before they are touched, as many as are needed. */
extern const struct arena_source pages_source;
/* For what is freed again soon: chunks grow with their arena, and those of some megabytes are of
 * huge pages where the kernel has them, of which the last one may be all but empty. */
extern const struct arena_source pages_brief_source;

#endif
