/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_PAGES_H
#define RINGGATE_BASE_PAGES_H

/* Chunks of an arena straight from the kernel, for what is large, made at once and freed at once:
 * pages are there before they are touched (one fault each costs more than filling them), and go
 * back to the kernel whatever the heap looks like. No state; any thread. */

#include "base/arena.h"

extern const struct arena_source pages_source;

#endif
