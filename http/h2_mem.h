/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H2_MEM_H
#define RINGGATE_HTTP_H2_MEM_H

/* Memory for nghttp2, which takes and gives back some five small pieces a request: free lists of a
 * few sizes, shared by the sessions of a loop. Private to http/h2_*. One thread. */

#include "base/pool.h"

#define H2_MEM_SIZES 4u

struct h2_mem {
    struct pool pools[H2_MEM_SIZES];
};

void h2_mem_init(struct h2_mem *mem);
void h2_mem_fini(struct h2_mem *mem); /* all pieces were given back (asserted) */
/* At least size bytes, also 0, 16-byte aligned, not initialized; NULL: no memory. */
void *h2_mem_get(struct h2_mem *mem, size_t size);
void h2_mem_put(struct h2_mem *mem, void *piece); /* not NULL */
/* Bytes that the piece has, at least what was asked for. */
size_t h2_mem_size(const void *piece);

#endif
