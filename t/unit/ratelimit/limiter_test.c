/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limiter.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/metric.h"
#include "t/unit/ratelimit/bench.h"

/* Decisions with a store that works. */

static void test_burst_then_limited(struct bench *bench)
{
    struct ask ask;
    bench_up(bench);
    bench_await_store(bench, true);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(bench_ask_rule(bench, &ask, 0, "/a"), LIMIT_RESULT_OK);
        assert_int_equal(ask.check.remaining, 9 - i);
        assert_false(ask.check.fallback);
        assert_ptr_equal(ask.check.limit, &bench->limits[0]);
    }
    assert_int_equal(bench_ask_rule(bench, &ask, 0, "/a"), LIMIT_RESULT_LIMITED);
    assert_true(ask.check.reset_ns > 0 && ask.check.reset_ns <= 360 * NS_PER_S);
    /* Another value is another bucket, another rule too. */
    assert_int_equal(bench_ask_rule(bench, &ask, 0, "/b"), LIMIT_RESULT_OK);
    assert_int_equal(bench_ask_rule(bench, &ask, 1, "/a"), LIMIT_RESULT_OK);
}

static void test_keys_hide_values(struct bench *bench)
{
    struct ask ask;
    char reply[4096];
    bench_up(bench);
    bench_await_store(bench, true);
    bench_ask_rule(bench, &ask, 0, "/secret-token");
    redis_server_command(&bench->server, "KEYS *", reply, sizeof(reply));
    assert_null(strstr(reply, "secret"));
    assert_non_null(strstr(reply, "rgrl:1:{"));
    redis_server_expect(&bench->server, "DBSIZE", ":");
}

static void test_two_limiters_share(struct bench *bench)
{
    struct ask ask;
    bench_up(bench);
    struct local_limit *local = local_limit_new(64);
    struct limiter *first = bench->limiter;
    struct limiter *second =
        limiter_new(&(struct limiter_options){.loop = bench->loop, .local = local});
    limiter_apply(second, &bench->model);
    bench_await_store(bench, true);
    bench->limiter = second;
    bench_await_store(bench, true);
    unsigned passed = 0;
    for (unsigned i = 0; i < 30; i++) {
        bench->limiter = i % 2 ? first : second;
        passed += bench_ask_rule(bench, &ask, 0, "/shared") == LIMIT_RESULT_OK;
        assert_false(ask.check.fallback);
    }
    assert_int_equal(passed, 10);
    bench->limiter = first;
    limiter_free(second);
    local_limit_free(local);
}

static void test_pipeline_and_window(struct bench *bench)
{
    enum { ASKS = 600 };
    struct ask *asks = calloc(ASKS, sizeof(*asks));
    unsigned rule = 0, decided_by_store = 0;
    assert_non_null(asks);
    bench_up(bench);
    bench_await_store(bench, true);
    for (unsigned i = 0; i < ASKS; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/p%u", i % 300);
        bench_ask_start(bench, &asks[i], &rule, 1, path);
    }
    for (unsigned i = 0; i < ASKS; i++) {
        bench_wait(bench, &asks[i]);
        assert_int_equal(asks[i].check.result, LIMIT_RESULT_OK);
        decided_by_store += !asks[i].check.fallback;
    }
    /* What does not fit into the window is decided here. */
    assert_int_equal(decided_by_store, 256);
    free(asks);
}

static void test_refused_costs_nothing_elsewhere(struct bench *bench)
{
    static const unsigned all[] = {0, 1, 2};
    struct ask ask;
    bench->rules[0].is_global = false; /* in process */
    bench->rules[1].burst = bench->rules[1].requests = 3;
    bench_up(bench);
    bench_await_store(bench, true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(bench_ask_many(bench, &ask, all, 3, "/m"), LIMIT_RESULT_OK);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(bench_ask_many(bench, &ask, all, 3, "/m"), LIMIT_RESULT_LIMITED);
        assert_ptr_equal(ask.check.limit, &bench->limits[1]);
    }
    bench_turns(bench, 5); /* give-backs arrive */
    assert_int_equal(bench_ask_rule(bench, &ask, 0, "/m"), LIMIT_RESULT_OK);
    assert_int_equal(ask.check.remaining, 6);
    assert_int_equal(bench_ask_rule(bench, &ask, 2, "/m"), LIMIT_RESULT_OK);
    assert_int_equal(ask.check.remaining, 6);
}

static void test_shadow_and_missing(struct bench *bench)
{
    struct ask ask;
    bench->rules[0].shadow = true;
    bench->rules[0].requests = bench->rules[0].burst = 1;
    bench->rules[1].unlimited = true;
    bench->rules[2].requests = 0; /* blocks */
    bench_up(bench);
    bench_await_store(bench, true);
    assert_int_equal(bench_ask_rule(bench, &ask, 0, "/s"), LIMIT_RESULT_OK);
    assert_int_equal(bench_ask_rule(bench, &ask, 0, "/s"), LIMIT_RESULT_SHADOW);
    assert_int_equal(bench_ask_rule(bench, &ask, 1, "/s"), LIMIT_RESULT_OK);
    assert_null(ask.check.limit);
    assert_int_equal(bench_ask_rule(bench, &ask, 2, "/s"), LIMIT_RESULT_LIMITED);
    bench->key.type = CONF_LIMIT_KEY_SPIFFE_ID;
    bench->key.on_missing = CONF_LIMIT_MISSING_DENY;
    assert_int_equal(bench_ask_rule(bench, &ask, 3, "/s"), LIMIT_RESULT_LIMITED);
    bench->key.on_missing = CONF_LIMIT_MISSING_SKIP;
    assert_int_equal(bench_ask_rule(bench, &ask, 3, "/s"), LIMIT_RESULT_OK);
    assert_null(ask.check.limit);
}

static void test_cancelled(struct bench *bench)
{
    struct ask *asks = calloc(20, sizeof(*asks));
    unsigned rules[] = {0, 1};
    assert_non_null(asks);
    bench_up(bench);
    bench_await_store(bench, true);
    for (unsigned i = 0; i < 20; i++)
        bench_ask_start(bench, &asks[i], rules, 2, "/c");
    for (unsigned i = 0; i < 20; i++)
        limit_check_cancel(bench->limiter, &asks[i].check);
    free(asks); /* a late callback would be seen */
    bench_await_store(bench, true);
}

static void test_least_privilege(struct bench *bench)
{
    struct ask ask;
    redis_server_expect(&bench->server,
                        "ACL SETUSER gw on >pw ~rgrl:* resetchannels -@all +auth +select +role "
                        "+client|setname +eval +evalsha +script|load +time +get +set +del",
                        "+OK");
    redis_server_expect(&bench->server, "ACL SETUSER default off", "+OK");
    bench->store.username = SPAN_LIT("gw");
    bench->store.password = SPAN_LIT("pw");
    bench->store_conf.database = 3;
    bench_up(bench);
    bench_await_store(bench, true);
    unsigned passed = 0;
    for (unsigned i = 0; i < 20; i++) {
        passed += bench_ask_rule(bench, &ask, 0, "/acl") == LIMIT_RESULT_OK;
        assert_false(ask.check.fallback);
    }
    assert_int_equal(passed, 10);
}

static void test_reload_keeps_connection(struct bench *bench)
{
    struct ask ask;
    bench_up(bench);
    bench_await_store(bench, true);
    int64_t connects = metric_get(METRIC_RATELIMIT_STORE_CONNECTS);
    struct model next = bench->model;
    struct model_store same = bench->store;
    struct conf_limit_rule rule = bench->rules[0];
    struct model_limit limits[BENCH_RULES];
    memcpy(limits, bench->limits, sizeof(limits));
    rule.burst = rule.requests = 4;
    limits[0].rule = &rule;
    next.stores = &same;
    next.limits = limits;
    struct ask flying;
    bench_ask_start(bench, &flying, (unsigned[]){0}, 1, "/r");
    limiter_apply(bench->limiter, &next);
    bench_wait(bench, &flying);
    assert_int_equal(flying.check.result, LIMIT_RESULT_OK);
    unsigned passed = 0;
    for (unsigned i = 0; i < 10; i++) {
        passed += bench_ask_rule(bench, &ask, 0, "/new") == LIMIT_RESULT_OK;
        assert_false(ask.check.fallback);
    }
    assert_int_equal(passed, 4);
    assert_int_equal(metric_get(METRIC_RATELIMIT_STORE_CONNECTS), connects);
    /* A store that goes takes the questions in flight with it: decided here. */
    bench_ask_start(bench, &flying, (unsigned[]){0, 2}, 2, "/gone");
    struct model none = next;
    struct conf_rate_limit_store moved = bench->store_conf;
    struct model_store elsewhere = {.id = SPAN_LIT("ns/store"), .conf = &moved};
    struct span name = SPAN_LIT("redis.example:6379");
    moved.endpoints = &name;
    none.stores = &elsewhere;
    limiter_apply(bench->limiter, &none);
    assert_true(flying.is_done);
    assert_true(flying.check.fallback);
    limiter_apply(bench->limiter, &bench->model);
    bench_await_store(bench, true);
}

struct worker {
    struct bench bench;
    unsigned passed, fallbacks;
    pthread_t thread;
    /* No ring is made while another goes: ThreadSanitizer does not see the kernel unmap the memory
     * that the next one gets. */
    pthread_barrier_t *all;
};

static void *worker_run(void *arg)
{
    struct worker *worker = arg;
    struct bench *bench = &worker->bench;
    struct loop_options options = {.engine = bench->engine, .conns_max = 64, .rx_buffers = 16};
    struct ask ask;
    int r = loop_new(&bench->loop, &options, NULL);
    pthread_barrier_wait(worker->all);
    if (r != 0)
        return NULL;
    bench->limiter =
        limiter_new(&(struct limiter_options){.loop = bench->loop, .local = bench->local});
    limiter_apply(bench->limiter, &bench->model);
    bench_await_store(bench, true);
    for (unsigned i = 0; i < 30; i++) {
        /* r0 in the store, r1 in the table that the workers share */
        worker->passed += bench_ask_rule(bench, &ask, i % 2, "/workers") == LIMIT_RESULT_OK;
        worker->fallbacks += ask.check.fallback;
    }
    limiter_free(bench->limiter);
    pthread_barrier_wait(worker->all);
    loop_free(bench->loop);
    return arg;
}

static void test_workers(struct bench *bench)
{
    struct worker workers[3];
    unsigned passed = 0;
    pthread_barrier_t all;
    bench->rules[1].is_global = false;
    bench_up(bench);
    bench_await_store(bench, true);
    pthread_barrier_init(&all, NULL, 3);
    for (unsigned i = 0; i < 3; i++) {
        workers[i] = (struct worker){.bench = *bench, .all = &all};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        void *done;
        pthread_join(workers[i].thread, &done);
        assert_non_null(done);
        assert_int_equal(workers[i].fallbacks, 0);
        passed += workers[i].passed;
    }
    assert_int_equal(passed, 10 + 10);
    pthread_barrier_destroy(&all);
}

/* The upper bound holds whatever the machine does meanwhile. */
static void test_rate(struct bench *bench)
{
    struct ask ask;
    bench->rules[0].requests = 2000;
    bench->rules[0].period_ns = NS_PER_S;
    bench->rules[0].burst = 5;
    bench_up(bench);
    bench_await_store(bench, true);
    uint64_t start_ns = clock_mono_ns(), passed = 0;
    for (unsigned i = 0; i < 2000; i++)
        passed += bench_ask_rule(bench, &ask, 0, "/rate") == LIMIT_RESULT_OK;
    uint64_t elapsed_ns = clock_mono_ns() - start_ns;
    assert_false(ask.check.fallback);
    assert_true(passed >= 5);
    assert_true(passed <= 5 + elapsed_ns / (NS_PER_S / 2000) + 1);
}

static void test_tcp(struct bench *bench)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    struct ask ask;
    char words[64], text[32];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    close(fd);
    snprintf(words, sizeof(words), "CONFIG SET port %u", ntohs(in.sin_port));
    redis_server_expect(&bench->server, words, "+OK");
    snprintf(text, sizeof(text), "localhost:%u", ntohs(in.sin_port));
    bench->endpoint = span_str(text);
    bench_up(bench);
    bench_await_store(bench, true);
    for (unsigned i = 0; i < 11; i++)
        bench_ask_rule(bench, &ask, 0, "/tcp");
    assert_int_equal(ask.check.result, LIMIT_RESULT_LIMITED);
    assert_false(ask.check.fallback);
}

static const struct bench_case cases[] = {
    {"burst, then limited", test_burst_then_limited},
    {"no key value in the store", test_keys_hide_values},
    {"two limiters share one limit", test_two_limiters_share},
    {"pipelining and its window", test_pipeline_and_window},
    {"a refused request costs nothing elsewhere", test_refused_costs_nothing_elsewhere},
    {"shadow, unlimited, blocking, missing parts", test_shadow_and_missing},
    {"cancelled checks", test_cancelled},
    {"least privilege", test_least_privilege},
    {"reload", test_reload_keeps_connection},
    {"workers share what they should", test_workers},
    {"the rate", test_rate},
    {"TCP and localhost", test_tcp},
};

int main(void)
{
    return bench_run(cases, ARRAY_COUNT(cases));
}
