/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_RATELIMIT_BENCH_H
#define RINGGATE_T_UNIT_RATELIMIT_BENCH_H

/* A limiter on a real loop against a real redis-server. A test sets rules and store in the bench as
 * it wants them, then calls bench_up. Waits are bounded by loop turns; no test asserts a time. All
 * functions assert (cmocka). */

#include "base/clock.h"
#include "io/loop.h"
#include "ratelimit/limiter.h"
#include "t/unit/ratelimit/redis_server.h"

/* Rules r0 to r3: Global, by path, 10 requests at once and no refill while a test runs. */
#define BENCH_RULES 4u

struct bench {
    enum loop_engine engine;
    struct redis_server server;
    struct loop *loop;
    struct local_limit *local;
    struct limiter *limiter;
    struct model model;
    struct model_store store;
    struct conf_rate_limit_store store_conf;
    struct span endpoint;
    char endpoint_text[128];
    struct model_limit limits[BENCH_RULES];
    struct conf_limit_rule rules[BENCH_RULES];
    struct conf_limit_key key;
};

struct ask {
    struct limit_check check;
    bool is_done;
};

struct bench_case {
    const char *name;
    void (*run)(struct bench *bench);
};
/* Runs every case on each engine that this machine has; the server is running, the limiter is not
 * made yet. The program's exit status. Skips all where there is no redis-server. */
int bench_run(const struct bench_case *cases, size_t count);

/* Makes loop, table and limiter, and applies the model. */
void bench_up(struct bench *bench);
void bench_turns(struct bench *bench, unsigned count);
/* Asks (with a key of its own on r3) until the store decides, or until it does not. */
void bench_await_store(struct bench *bench, bool is_wanted);

void bench_ask_start(struct bench *bench, struct ask *ask, const unsigned *indexes, unsigned count,
                     const char *path);
void bench_wait(struct bench *bench, struct ask *ask);
/* Start and wait. */
enum limit_result bench_ask_many(struct bench *bench, struct ask *ask, const unsigned *indexes,
                                 unsigned count, const char *path);
enum limit_result bench_ask_rule(struct bench *bench, struct ask *ask, unsigned rule,
                                 const char *path);

#endif
