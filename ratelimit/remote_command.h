/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_RATELIMIT_REMOTE_COMMAND_H
#define RINGGATE_RATELIMIT_REMOTE_COMMAND_H

/* The request for one decision: EVALSHA (or EVAL) of gcra.lua. It is formatted once per limit and
 * worker; a decision only writes the digest, the bucket's id and a number over the last one's, so
 * it is one piece and allocates nothing. Key: "<prefix>:1:{<id>}". One thread. */

#include "ratelimit/gcra.h"
#include "ratelimit/local_limit.h"

/* Arguments of EVALSHA and EVAL, name included. */
#define REMOTE_COMMAND_ARGS 7u
#define REMOTE_COMMAND_TAKE_MAX 99999u
struct remote_command {
    char *text; /* heap: an EVALSHA, the last one's */
    size_t len, id_at, take_at; /* offsets */
};

/* Times become ticks of 100 ns, rounded against the client: rates that do not divide and are above
 * some 100,000/s lose up to 1 %. Control path: allocates. */
void remote_command_init(struct remote_command *command, struct span prefix,
                         const struct gcra *gcra);
void remote_command_fini(struct remote_command *command);

/* What one decision is about. */
struct remote_question {
    struct local_limit_id id;
    /* 1 and what passed without asking, at most REMOTE_COMMAND_TAKE_MAX; or 0 to give one back. */
    unsigned take;
};
/* EVALSHA of that digest (40 characters). The result is the command's until its next use. */
struct span remote_command_by_digest(const struct remote_command *command,
                                     const struct remote_question *question, const char *sha);
/* What an EVAL has behind the script (redis_conn_eval_head); the same. */
struct span remote_command_after_script(const struct remote_command *command,
                                        const struct remote_question *question);

#endif
