/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_RATELIMIT_REDIS_SERVER_H
#define RINGGATE_T_UNIT_RATELIMIT_REDIS_SERVER_H

/* A real redis-server for tests, on a Unix socket in a directory of its own. Everything
 * blocks and asserts (cmocka): tests only. */

#include "base/base.h"

struct redis_server {
    char dir[64];
    char socket[96]; /* path */
    pid_t pid; /* 0: not running */
};

/* false: there is no redis-server on this machine. */
bool redis_server_is_here(void);
void redis_server_init(struct redis_server *server); /* makes the directory */
void redis_server_start(struct redis_server *server); /* and waits until it answers */
void redis_server_kill(struct redis_server *server); /* SIGKILL */
void redis_server_signal(struct redis_server *server, int signal_number);
void redis_server_fini(struct redis_server *server);
/* One command by a connection of its own; words are split at spaces. reply: the raw first line or
 * more, NUL-terminated. */
void redis_server_command(struct redis_server *server, const char *words, char *reply, size_t size);
/* The same with an expectation: the raw reply starts with `expected`. */
void redis_server_expect(struct redis_server *server, const char *words, const char *expected);

#endif
