/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "t/unit/ratelimit/bench.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CASES_MAX 64u

static void bench_rules(struct bench *bench)
{
    static const char *const names[BENCH_RULES] = {"r0", "r1", "r2", "r3"};
    bench->key = (struct conf_limit_key){.type = CONF_LIMIT_KEY_PATH};
    for (unsigned i = 0; i < BENCH_RULES; i++) {
        bench->rules[i] = (struct conf_limit_rule){
            .name = span_str(names[i]),
            .keys = &bench->key,
            .keys_count = 1,
            .requests = 10,
            .burst = 10,
            .period_ns = 3600 * NS_PER_S, /* no refill while a test runs */
            .is_global = true,
            .headers = true,
        };
        bench->limits[i] = (struct model_limit){
            .policy = SPAN_LIT("ns/policy"),
            .rule = &bench->rules[i],
            .scope_id = span_str(names[i]),
        };
    }
    bench->model.limits = bench->limits;
    bench->model.limits_count = BENCH_RULES;
}

static void bench_store(struct bench *bench)
{
    snprintf(bench->endpoint_text, sizeof(bench->endpoint_text), "unix:%s", bench->server.socket);
    bench->endpoint = span_str(bench->endpoint_text);
    bench->store_conf = (struct conf_rate_limit_store){
        .endpoints = &bench->endpoint,
        .endpoints_count = 1,
        .connect_timeout_ns = NS_PER_S,
        /* A busy machine must not look like a broken store; tests of deadlines wait for them. */
        .deadline_ns = 400 * NS_PER_MS,
        .key_prefix = SPAN_LIT("rgrl"),
    };
    bench->store = (struct model_store){.id = SPAN_LIT("ns/store"), .conf = &bench->store_conf};
    bench->model.stores = &bench->store;
    bench->model.stores_count = 1;
}

void bench_up(struct bench *bench)
{
    struct loop_options options = {.engine = bench->engine, .conns_max = 64, .rx_buffers = 16};
    struct err err;
    if (loop_new(&bench->loop, &options, &err) != 0)
        fail_msg("%s", err.text);
    bench->local = local_limit_new(1024);
    assert_non_null(bench->local);
    bench->limiter =
        limiter_new(&(struct limiter_options){.loop = bench->loop, .local = bench->local});
    limiter_apply(bench->limiter, &bench->model);
}

static struct bench *bench_new(enum loop_engine engine)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    assert_non_null(bench);
    bench->engine = engine;
    redis_server_init(&bench->server);
    redis_server_start(&bench->server);
    bench_rules(bench);
    bench_store(bench);
    return bench;
}

static void bench_free(struct bench *bench)
{
    limiter_free(bench->limiter);
    local_limit_free(bench->local);
    loop_free(bench->loop);
    redis_server_fini(&bench->server);
    free(bench);
}

static void ask_done(struct limit_check *check)
{
    struct ask *ask = container_of(check, struct ask, check);
    assert_false(ask->is_done);
    ask->is_done = true;
}

void bench_turns(struct bench *bench, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        loop_turn(bench->loop, 5 * NS_PER_MS);
}

void bench_wait(struct bench *bench, struct ask *ask)
{
    for (unsigned i = 0; !ask->is_done && i < 100000; i++)
        loop_turn(bench->loop, 5 * NS_PER_MS);
    assert_true(ask->is_done);
}

void bench_ask_start(struct bench *bench, struct ask *ask, const unsigned *indexes, unsigned count,
                     const char *path)
{
    struct limit_query query = {.path = span_str(path)};
    *ask = (struct ask){.check.on_done = ask_done};
    ask->is_done = limit_check_start(bench->limiter, &ask->check, indexes, count, &query);
}

enum limit_result bench_ask_many(struct bench *bench, struct ask *ask, const unsigned *indexes,
                                 unsigned count, const char *path)
{
    bench_ask_start(bench, ask, indexes, count, path);
    bench_wait(bench, ask);
    return ask->check.result;
}

enum limit_result bench_ask_rule(struct bench *bench, struct ask *ask, unsigned rule,
                                 const char *path)
{
    return bench_ask_many(bench, ask, &rule, 1, path);
}

/* Asks (for a key of its own) until the store decides. Bounded. */
void bench_await_store(struct bench *bench, bool is_wanted)
{
    struct ask ask;
    for (unsigned i = 0; i < 2000; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/await%u", i);
        bench_ask_rule(bench, &ask, 3, path);
        if (!ask.check.fallback == is_wanted)
            return;
        bench_turns(bench, 2);
    }
    fail_msg("%s", is_wanted ? "the store does not come back" : "the store does not go away");
}

static void case_run(void **state)
{
    const struct bench_case *one = *state;
    for (int engine = LOOP_ENGINE_URING; engine <= LOOP_ENGINE_EPOLL; engine++) {
        enum loop_engine chosen;
        char reason[256];
        if (loop_engine_choose((enum loop_engine)engine, &chosen, reason, sizeof(reason)) != 0) {
            print_message("# without io_uring: %s\n", reason);
            continue;
        }
        struct bench *bench = bench_new(chosen);
        one->run(bench);
        bench_free(bench);
    }
}

static void case_skip(void **state)
{
    (void)state;
    print_message("# redis-server is not installed\n");
    skip();
}

int bench_run(const struct bench_case *cases, size_t count)
{
    struct CMUnitTest tests[CASES_MAX];
    bool is_here = redis_server_is_here();

    signal(SIGPIPE, SIG_IGN);
    if (count > CASES_MAX)
        return 1;
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){
            .name = cases[i].name,
            .test_func = is_here ? case_run : case_skip,
            .initial_state = (void *)(uintptr_t)&cases[i],
        };
    return _cmocka_run_group_tests("limiter", tests, count, NULL, NULL);
}
