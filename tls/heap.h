/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_HEAP_H
#define RINGGATE_TLS_HEAP_H

/* OpenSSL's memory. A handshake takes and frees some 350 pieces, the same sizes each time and many
 * at once, which is more than malloc keeps at hand for a thread. So a thread that shakes hands has
 * lists of free pieces by size; what does not fit into them goes to malloc, as all does that other
 * threads ask for. A piece may be freed by another thread than the one that took it. */

#include "base/base.h"

/* Process-wide, before OpenSSL's first allocation. Later, when somebody else has its allocation in
 * hand, and under a sanitizer it does nothing. */
void heap_init(void);
/* The calling thread keeps free pieces from now on, HEAP_KEPT_MAX bytes at most; begins and ends
 * are counted. end frees what is kept. */
void heap_begin(void);
void heap_end(void);
/* Bytes that the calling thread keeps. */
size_t heap_kept(void);

#define HEAP_KEPT_MAX ((size_t)1 << 20)

#endif
