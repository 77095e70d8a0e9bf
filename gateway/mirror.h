/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_MIRROR_H
#define RINGGATE_GATEWAY_MIRROR_H

/* Copies of requests for other backends (RequestMirror). Sent and forgotten:
 * whatever becomes of a copy, the request itself neither waits for it nor
 * learns of it. A copy has the head as it was when its filter ran, gets the body as
 * it comes in, and lives on by itself, within its own time, when the request is over. What its
 * backend answers is read and dropped. Never retried. A request that asks for an upgrade is not
 * copied. One worker. */

#include "base/rand.h"
#include "conf/model.h"

struct exchange;
struct http_head;
struct worker;

/* A filter compiled. */
struct mirror_program {
    unsigned cluster; /* index into model.clusters */
    uint32_t numerator, denominator; /* of requests */
};

/* Whether this request is one to copy. */
bool mirror_is_chosen(const struct mirror_program *program, struct rand_state *rand);
/* Copies the request of an exchange as it is now, unless a cap is reached or blocks are scarce. */
void mirror_start(struct exchange *ex, const struct mirror_program *program);

/* To all copies of an exchange that are not complete: */

/* A piece of the body. A copy whose backend does not keep up is given up. */
void mirror_body(struct exchange *ex, struct span data);
/* The request is complete. trailers: or NULL. */
void mirror_end(struct exchange *ex, struct http_head *trailers);
/* It will never be: the copies are given up. */
void mirror_abandon(struct exchange *ex);

/* Ends all copies of a worker that comes to its end. */
void mirror_abort_all(struct worker *worker);
size_t mirror_object_size(void); /* of worker->mirrors */

#endif
