/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limiter.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <cmocka.h>

#include "base/metric.h"
#include "io/loop.h"
#include "t/unit/ratelimit/redis_server.h"

/* Against a real redis-server, on a real loop; every test runs on each engine that
 * this machine has. Waits are bounded by loop turns; no test asserts a time. */

#define RULES 4u

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
    struct model_limit limits[RULES];
    struct conf_limit_rule rules[RULES];
    struct conf_limit_key key;
};

struct ask {
    struct limit_check check;
    bool is_done;
};

static void bench_rules(struct bench *bench)
{
    static const char *const names[RULES] = {"r0", "r1", "r2", "r3"};
    bench->key = (struct conf_limit_key){.type = CONF_LIMIT_KEY_PATH};
    for (unsigned i = 0; i < RULES; i++) {
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
    bench->model.limits_count = RULES;
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

static void bench_up(struct bench *bench)
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

static void turns(struct bench *bench, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        loop_turn(bench->loop, 5 * NS_PER_MS);
}

static void ask_wait(struct bench *bench, struct ask *ask)
{
    for (unsigned i = 0; !ask->is_done && i < 100000; i++)
        loop_turn(bench->loop, 5 * NS_PER_MS);
    assert_true(ask->is_done);
}

static void ask_start(struct bench *bench, struct ask *ask, const unsigned *indexes, unsigned count,
                      const char *path)
{
    struct limit_query query = {.path = span_str(path)};
    *ask = (struct ask){.check.on_done = ask_done};
    ask->is_done = limit_check_start(bench->limiter, &ask->check, indexes, count, &query);
}

static enum limit_result ask_many(struct bench *bench, struct ask *ask, const unsigned *indexes,
                                  unsigned count, const char *path)
{
    ask_start(bench, ask, indexes, count, path);
    ask_wait(bench, ask);
    return ask->check.result;
}

static enum limit_result ask_rule(struct bench *bench, struct ask *ask, unsigned rule,
                                  const char *path)
{
    return ask_many(bench, ask, &rule, 1, path);
}

/* Asks (for a key of its own) until the store decides. Bounded. */
static void await_store(struct bench *bench, bool is_wanted)
{
    struct ask ask;
    for (unsigned i = 0; i < 2000; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/await%u", i);
        ask_rule(bench, &ask, 3, path);
        if (!ask.check.fallback == is_wanted)
            return;
        turns(bench, 2);
    }
    fail_msg("%s", is_wanted ? "the store does not come back" : "the store does not go away");
}

static void test_burst_then_limited(struct bench *bench)
{
    struct ask ask;
    bench_up(bench);
    await_store(bench, true);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(ask_rule(bench, &ask, 0, "/a"), LIMIT_RESULT_OK);
        assert_int_equal(ask.check.remaining, 9 - i);
        assert_false(ask.check.fallback);
        assert_ptr_equal(ask.check.limit, &bench->limits[0]);
    }
    assert_int_equal(ask_rule(bench, &ask, 0, "/a"), LIMIT_RESULT_LIMITED);
    assert_true(ask.check.reset_ns > 0 && ask.check.reset_ns <= 360 * NS_PER_S);
    /* Another value is another bucket, another rule too. */
    assert_int_equal(ask_rule(bench, &ask, 0, "/b"), LIMIT_RESULT_OK);
    assert_int_equal(ask_rule(bench, &ask, 1, "/a"), LIMIT_RESULT_OK);
}

static void test_keys_hide_values(struct bench *bench)
{
    struct ask ask;
    char reply[4096];
    bench_up(bench);
    await_store(bench, true);
    ask_rule(bench, &ask, 0, "/secret-token");
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
    await_store(bench, true);
    bench->limiter = second;
    await_store(bench, true);
    unsigned passed = 0;
    for (unsigned i = 0; i < 30; i++) {
        bench->limiter = i % 2 ? first : second;
        passed += ask_rule(bench, &ask, 0, "/shared") == LIMIT_RESULT_OK;
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
    await_store(bench, true);
    for (unsigned i = 0; i < ASKS; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/p%u", i % 300);
        ask_start(bench, &asks[i], &rule, 1, path);
    }
    for (unsigned i = 0; i < ASKS; i++) {
        ask_wait(bench, &asks[i]);
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
    await_store(bench, true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask_many(bench, &ask, all, 3, "/m"), LIMIT_RESULT_OK);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(ask_many(bench, &ask, all, 3, "/m"), LIMIT_RESULT_LIMITED);
        assert_ptr_equal(ask.check.limit, &bench->limits[1]);
    }
    turns(bench, 5); /* give-backs arrive */
    assert_int_equal(ask_rule(bench, &ask, 0, "/m"), LIMIT_RESULT_OK);
    assert_int_equal(ask.check.remaining, 6);
    assert_int_equal(ask_rule(bench, &ask, 2, "/m"), LIMIT_RESULT_OK);
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
    await_store(bench, true);
    assert_int_equal(ask_rule(bench, &ask, 0, "/s"), LIMIT_RESULT_OK);
    assert_int_equal(ask_rule(bench, &ask, 0, "/s"), LIMIT_RESULT_SHADOW);
    assert_int_equal(ask_rule(bench, &ask, 1, "/s"), LIMIT_RESULT_OK);
    assert_null(ask.check.limit);
    assert_int_equal(ask_rule(bench, &ask, 2, "/s"), LIMIT_RESULT_LIMITED);
    bench->key.type = CONF_LIMIT_KEY_SPIFFE_ID;
    bench->key.on_missing = CONF_LIMIT_MISSING_DENY;
    assert_int_equal(ask_rule(bench, &ask, 3, "/s"), LIMIT_RESULT_LIMITED);
    bench->key.on_missing = CONF_LIMIT_MISSING_SKIP;
    assert_int_equal(ask_rule(bench, &ask, 3, "/s"), LIMIT_RESULT_OK);
    assert_null(ask.check.limit);
}

static void test_failure_modes(struct bench *bench)
{
    struct ask ask;
    bench->rules[1].on_store_failure = CONF_LIMIT_FAILURE_OPEN;
    bench->rules[2].on_store_failure = CONF_LIMIT_FAILURE_CLOSED;
    bench_up(bench);
    await_store(bench, true);
    redis_server_kill(&bench->server);
    await_store(bench, false);
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(ask_rule(bench, &ask, 0, "/f"),
                         i < 10 ? LIMIT_RESULT_OK : LIMIT_RESULT_LIMITED);
        assert_true(ask.check.fallback);
        assert_int_equal(ask_rule(bench, &ask, 1, "/f"), LIMIT_RESULT_OK);
        assert_true(ask.check.fallback);
        assert_int_equal(ask_rule(bench, &ask, 2, "/f"), LIMIT_RESULT_STORE_CLOSED);
        assert_ptr_equal(ask.check.limit, &bench->limits[2]);
    }
    redis_server_start(&bench->server);
    await_store(bench, true);
    assert_int_equal(ask_rule(bench, &ask, 2, "/f"), LIMIT_RESULT_OK);
}

static void test_killed_in_flight(struct bench *bench)
{
    struct ask asks[20];
    unsigned rule = 0;
    bench_up(bench);
    await_store(bench, true);
    redis_server_signal(&bench->server, SIGSTOP);
    for (unsigned i = 0; i < 20; i++)
        ask_start(bench, &asks[i], &rule, 1, "/k");
    redis_server_kill(&bench->server);
    unsigned passed = 0;
    for (unsigned i = 0; i < 20; i++) {
        ask_wait(bench, &asks[i]);
        assert_true(asks[i].check.fallback);
        passed += asks[i].check.result == LIMIT_RESULT_OK;
    }
    assert_int_equal(passed, 10); /* the local bucket holds the limit */
}

static void test_paused(struct bench *bench)
{
    struct ask ask;
    bench->store_conf.deadline_ns = 20 * NS_PER_MS;
    bench_up(bench);
    await_store(bench, true);
    redis_server_signal(&bench->server, SIGSTOP);
    for (unsigned i = 0; i < 50; i++) {
        ask_rule(bench, &ask, 0, "/paused");
        assert_true(ask.check.fallback);
    }
    /* The breaker is open by now: decided at once. */
    ask_start(bench, &ask, (unsigned[]){0}, 1, "/paused");
    assert_true(ask.is_done);
    turns(bench, 60); /* the silent connection is given up meanwhile */
    redis_server_signal(&bench->server, SIGCONT);
    await_store(bench, true);
}

static void test_cancelled(struct bench *bench)
{
    struct ask *asks = calloc(20, sizeof(*asks));
    unsigned rules[] = {0, 1};
    assert_non_null(asks);
    bench_up(bench);
    await_store(bench, true);
    for (unsigned i = 0; i < 20; i++)
        ask_start(bench, &asks[i], rules, 2, "/c");
    for (unsigned i = 0; i < 20; i++)
        limit_check_cancel(bench->limiter, &asks[i].check);
    free(asks); /* a late callback would be seen */
    await_store(bench, true);
}

static void test_script_flush(struct bench *bench)
{
    struct ask ask;
    bench_up(bench);
    await_store(bench, true);
    int64_t before = metric_get(METRIC_RATELIMIT_SCRIPT_RELOADS);
    unsigned passed = 0;
    for (unsigned i = 0; i < 20; i++) {
        redis_server_expect(&bench->server, "SCRIPT FLUSH", "+OK");
        passed += ask_rule(bench, &ask, 0, "/flush") == LIMIT_RESULT_OK;
        assert_false(ask.check.fallback);
    }
    assert_int_equal(passed, 10);
    assert_true(metric_get(METRIC_RATELIMIT_SCRIPT_RELOADS) - before >= 20);
}

static void test_readonly(struct bench *bench)
{
    bench_up(bench);
    await_store(bench, true);
    redis_server_expect(&bench->server, "REPLICAOF 127.0.0.1 1", "+OK");
    await_store(bench, false);
    turns(bench, 100);
    redis_server_expect(&bench->server, "REPLICAOF NO ONE", "+OK");
    await_store(bench, true);
}

static void test_out_of_memory(struct bench *bench)
{
    struct ask ask;
    bench_up(bench);
    await_store(bench, true);
    int64_t connects = metric_get(METRIC_RATELIMIT_STORE_CONNECTS);
    redis_server_expect(&bench->server, "CONFIG SET maxmemory 1", "+OK");
    await_store(bench, false);
    for (unsigned i = 0; i < 100; i++) {
        ask_rule(bench, &ask, 0, "/oom");
        assert_true(ask.check.fallback); /* probes do not let a store pass that refuses writes */
        turns(bench, 1);
    }
    redis_server_expect(&bench->server, "CONFIG SET maxmemory 0", "+OK");
    await_store(bench, true);
    assert_int_equal(metric_get(METRIC_RATELIMIT_STORE_CONNECTS), connects);
}

static void test_busy_script(struct bench *bench)
{
    struct ask ask;
    bench->store_conf.deadline_ns = 20 * NS_PER_MS;
    bench_up(bench);
    await_store(bench, true);
    for (unsigned i = 0; i < 3; i++) {
        char reply[64];
        redis_server_command(&bench->server, "PING", reply, sizeof(reply));
        redis_server_expect(&bench->server, "DEBUG SLEEP 0.1", "+OK");
        ask_rule(bench, &ask, 0, "/sleep");
        await_store(bench, true);
    }
}

static void test_password(struct bench *bench)
{
    struct model second = bench->model;
    struct model_store store = bench->store;
    bench_up(bench);
    await_store(bench, true);
    redis_server_expect(&bench->server, "CONFIG SET requirepass hunter2", "+OK");
    redis_server_kill(&bench->server);
    redis_server_start(&bench->server);
    redis_server_expect(&bench->server, "CONFIG SET requirepass hunter2", "+OK");
    /* Connections made in between are still good in Redis; these are not. */
    struct limiter *first = bench->limiter;
    bench->limiter =
        limiter_new(&(struct limiter_options){.loop = bench->loop, .local = bench->local});
    limiter_apply(bench->limiter, &bench->model);
    turns(bench, 50);
    await_store(bench, false);
    store.password = SPAN_LIT("wrong");
    second.stores = &store;
    limiter_apply(bench->limiter, &second);
    turns(bench, 50);
    await_store(bench, false);
    struct model third = bench->model;
    struct model_store right = bench->store;
    right.password = SPAN_LIT("hunter2");
    third.stores = &right;
    limiter_apply(bench->limiter, &third);
    await_store(bench, true);
    limiter_free(first);
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
    await_store(bench, true);
    unsigned passed = 0;
    for (unsigned i = 0; i < 20; i++) {
        passed += ask_rule(bench, &ask, 0, "/acl") == LIMIT_RESULT_OK;
        assert_false(ask.check.fallback);
    }
    assert_int_equal(passed, 10);
}

static void test_no_right_to_write(struct bench *bench)
{
    redis_server_expect(&bench->server,
                        "ACL SETUSER gw on >pw ~rgrl:* resetchannels -@all +auth +select +role "
                        "+client|setname +eval +evalsha +script|load +time +get",
                        "+OK");
    bench->store.username = SPAN_LIT("gw");
    bench->store.password = SPAN_LIT("pw");
    bench_up(bench);
    turns(bench, 100);
    await_store(bench, false);
}

static void test_foreign_value(struct bench *bench)
{
    struct ask ask;
    char keys[4096], line[256];
    bench_up(bench);
    await_store(bench, true);
    ask_rule(bench, &ask, 0, "/foreign");
    redis_server_command(&bench->server, "KEYS rgrl:1:*", keys, sizeof(keys));
    /* Every bucket becomes a list: WRONGTYPE for the decisions, one after the other. */
    for (char *key = strstr(keys, "rgrl:"); key != NULL; key = strstr(key + 1, "rgrl:")) {
        snprintf(line, sizeof(line), "DEL %.35s", key);
        redis_server_expect(&bench->server, line, ":"); /* the probe's may have expired */
        snprintf(line, sizeof(line), "RPUSH %.35s x", key);
        redis_server_expect(&bench->server, line, ":1");
    }
    assert_int_equal(ask_rule(bench, &ask, 0, "/foreign"), LIMIT_RESULT_OK);
    assert_true(ask.check.fallback);
}

static void test_reload_keeps_connection(struct bench *bench)
{
    struct ask ask;
    bench_up(bench);
    await_store(bench, true);
    int64_t connects = metric_get(METRIC_RATELIMIT_STORE_CONNECTS);
    struct model next = bench->model;
    struct model_store same = bench->store;
    struct conf_limit_rule rule = bench->rules[0];
    struct model_limit limits[RULES];
    memcpy(limits, bench->limits, sizeof(limits));
    rule.burst = rule.requests = 4;
    limits[0].rule = &rule;
    next.stores = &same;
    next.limits = limits;
    struct ask flying;
    ask_start(bench, &flying, (unsigned[]){0}, 1, "/r");
    limiter_apply(bench->limiter, &next);
    ask_wait(bench, &flying);
    assert_int_equal(flying.check.result, LIMIT_RESULT_OK);
    unsigned passed = 0;
    for (unsigned i = 0; i < 10; i++) {
        passed += ask_rule(bench, &ask, 0, "/new") == LIMIT_RESULT_OK;
        assert_false(ask.check.fallback);
    }
    assert_int_equal(passed, 4);
    assert_int_equal(metric_get(METRIC_RATELIMIT_STORE_CONNECTS), connects);
    /* A store that goes takes the questions in flight with it: decided here. */
    ask_start(bench, &flying, (unsigned[]){0, 2}, 2, "/gone");
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
    await_store(bench, true);
}

static void test_broken_server(struct bench *bench)
{
    struct ask ask;
    /* Something that is not Redis behind the socket is the resp tests' business; here a
     * wrong database number, which the handshake refuses. */
    bench->store_conf.database = 999;
    bench_up(bench);
    turns(bench, 100);
    assert_int_equal(ask_rule(bench, &ask, 0, "/x"), LIMIT_RESULT_OK);
    assert_true(ask.check.fallback);
}

static const struct {
    const char *name;
    void (*run)(struct bench *bench);
} cases[] = {
    {"burst, then limited", test_burst_then_limited},
    {"no key value in the store", test_keys_hide_values},
    {"two limiters share one limit", test_two_limiters_share},
    {"pipelining and its window", test_pipeline_and_window},
    {"a refused request costs nothing elsewhere", test_refused_costs_nothing_elsewhere},
    {"shadow, unlimited, blocking, missing parts", test_shadow_and_missing},
    {"Local, Open, Closed and recovery after kill -9", test_failure_modes},
    {"killed with questions in flight", test_killed_in_flight},
    {"SIGSTOP and SIGCONT", test_paused},
    {"cancelled checks", test_cancelled},
    {"SCRIPT FLUSH before every decision", test_script_flush},
    {"READONLY", test_readonly},
    {"OOM", test_out_of_memory},
    {"DEBUG SLEEP", test_busy_script},
    {"password missing, wrong, right", test_password},
    {"least privilege", test_least_privilege},
    {"no right to write", test_no_right_to_write},
    {"a foreign value under our key", test_foreign_value},
    {"reload", test_reload_keeps_connection},
    {"a refused handshake", test_broken_server},
};

static void run_case(void **state)
{
    size_t index = *(const size_t *)*state;
    for (int engine = LOOP_ENGINE_URING; engine <= LOOP_ENGINE_EPOLL; engine++) {
        enum loop_engine chosen;
        char reason[256];
        if (loop_engine_choose((enum loop_engine)engine, &chosen, reason, sizeof(reason)) != 0) {
            print_message("# without io_uring: %s\n", reason);
            continue;
        }
        struct bench *bench = bench_new(chosen);
        cases[index].run(bench);
        bench_free(bench);
    }
}

static void skip_all(void **state)
{
    (void)state;
    print_message("# redis-server is not installed\n");
    skip();
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_COUNT(cases)];
    size_t indexes[ARRAY_COUNT(cases)];
    bool is_here = redis_server_is_here();

    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        indexes[i] = i;
        tests[i] = (struct CMUnitTest){.name = cases[i].name,
                                       .test_func = is_here ? run_case : skip_all,
                                       .initial_state = &indexes[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
