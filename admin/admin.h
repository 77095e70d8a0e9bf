/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ADMIN_ADMIN_H
#define RINGGATE_ADMIN_ADMIN_H

/* The admin listener: small GET handlers on the control loop. Loopback or a
 * Unix socket by default; no handler changes anything. */

#include "base/buf.h"
#include "base/err.h"
#include "io/addr.h"
#include "io/loop.h"

/* Fills body (starts empty) and may change *content_type (static text); returns the status. */
typedef unsigned admin_handler(void *user, struct buf *body, const char **content_type);

struct admin_route {
    const char *path; /* exact, as "/metrics" */
    admin_handler *handler;
};

struct admin;

struct admin_options {
    const char *address; /* "ADDR:PORT" or "unix:PATH" */
    const struct admin_route *routes; /* ended by a NULL path; borrowed, as user */
    void *user;
};

/* A Unix socket file that nobody listens on is replaced, any other file is an error; the new one's
 * mode is 0660, and it is removed at the end unless another took its place. Waits up to 2 s for
 * an address that is in use. 0; -errno with reterr. */
MUST_CHECK int admin_start(struct admin **ret, struct loop *loop,
                           const struct admin_options *options, struct err *reterr);
void admin_stop(struct admin *admin); /* NULL is ignored */

#endif
