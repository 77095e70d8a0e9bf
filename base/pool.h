/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_POOL_H
#define RINGGATE_BASE_POOL_H

/* Free list of equally sized objects of one thread, grown in slabs up to a
 * cap and never shrunk below what is in use. Freed objects are poisoned
 * under ASan. With RINGGATE_POOL_MALLOC every object is a malloc of its own. */

#include "base/dlist.h"
#include "base/panic.h"

struct pool {
    const char *name;
    size_t object_size; /* bytes, rounded up to 16 */
    unsigned in_use, total, total_max; /* objects */
    void *free_list, *slabs;
    struct dlist link; /* all pools of the thread that made it */
    unsigned trim_pause, trim_wait; /* rounds of pool_trim_all to leave out, and left of them */
};

/* objects_max: hard cap on objects alive. In the thread that will use it, and end it. */
void pool_init(struct pool *pool, const char *name, size_t object_size, unsigned objects_max);
/* All objects must have been returned (asserted). */
void pool_fini(struct pool *pool);
/* Uninitialised object, 16-byte aligned; NULL: cap reached or no memory. */
void *pool_get(struct pool *pool);
void *pool_get_zero(struct pool *pool);
void pool_put(struct pool *pool, void *object); /* NULL is ignored */
/* Frees memory that is wholly unused; takes time for each free object. Returns the bytes. */
size_t pool_trim(struct pool *pool);
/* The same for all pools of this thread that are more than half empty, now and then: one that gave
 * nothing is left in peace for longer and longer. Returns the bytes. */
size_t pool_trim_all(void);

#endif
