/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_REMOTE_COMMAND_H
#define RINGGATE_RATELIMIT_REMOTE_COMMAND_H

/* The request for one decision: EVALSHA (or EVAL) of gcra.lua. It is formatted once per limit; a
 * decision only puts the digest, the bucket's id and a number between the fixed pieces, so it
 * allocates nothing. Key: "<prefix>:1:{<id>}". */

#include "ratelimit/gcra.h"
#include "ratelimit/local_limit.h"

#include <sys/uio.h>

/* Arguments of EVALSHA and EVAL, name included. */
#define REMOTE_COMMAND_ARGS 7u
#define REMOTE_COMMAND_IOV_MAX 8
#define REMOTE_COMMAND_TAKE_LEN 5u
#define REMOTE_COMMAND_TAKE_MAX 99999u
/* 128 bits as base32 (RFC 4648 6, lower case, no padding). */
#define REMOTE_COMMAND_ID_LEN 26u

struct remote_command {
    char *text; /* heap: an EVALSHA with blanks for digest and id */
    size_t len, id_at, take_at; /* offsets */
};

/* Times become ticks of 100 ns, rounded against the client: rates that do not divide and are above
 * some 100,000/s lose up to 1 %. Control path: allocates. */
void remote_command_init(struct remote_command *command, struct span prefix,
                         const struct gcra *gcra);
void remote_command_fini(struct remote_command *command);

struct remote_command_args {
    struct span eval_head; /* empty: EVALSHA; else see redis_conn_eval_head */
    const char *sha; /* 40 characters */
    const char *id; /* REMOTE_COMMAND_ID_LEN characters */
    const char *take; /* REMOTE_COMMAND_TAKE_LEN digits */
};
/* Borrows command and args' texts. Returns the number of pieces. */
int remote_command_fill(const struct remote_command *command,
                        const struct remote_command_args *args,
                        struct iovec iov[REMOTE_COMMAND_IOV_MAX]);

/* No NUL. */
void remote_command_format_id(const struct local_limit_id *id, char out[REMOTE_COMMAND_ID_LEN]);

/* take: 1 and what passed without asking, or 0 to give one back. No NUL. */
void remote_command_format_take(unsigned take, char out[REMOTE_COMMAND_TAKE_LEN]);

#endif
