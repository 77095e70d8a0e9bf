/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_POOL_H
#define RINGGATE_BASE_POOL_H

/* Free list of equally sized objects of one thread, grown in slabs up to a
 * cap and never shrunk below what is in use. Freed objects are poisoned
 * under ASan. With RINGGATE_POOL_MALLOC every object is a malloc of its own. */

#include "base/panic.h"

struct pool {
    const char *name;
    size_t object_size; /* bytes, rounded up to 16 */
    unsigned in_use, total, total_max; /* objects */
    void *free_list, *slabs;
};

/* objects_max: hard cap on objects alive. */
void pool_init(struct pool *pool, const char *name, size_t object_size, unsigned objects_max);
/* All objects must have been returned (asserted). */
void pool_fini(struct pool *pool);
/* Uninitialised object, 16-byte aligned; NULL: cap reached or no memory. */
void *pool_get(struct pool *pool);
void *pool_get_zero(struct pool *pool);
void pool_put(struct pool *pool, void *object); /* NULL is ignored */
/* Gives wholly unused memory back to the system; call rarely (after a storm). */
void pool_trim(struct pool *pool);

#endif
