/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limiter.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/metric.h"
#include "t/unit/ratelimit/bench.h"

/* Decisions with a store that fails in every way we know. */

static void test_failure_modes(struct bench *bench)
{
    struct ask ask;
    bench->rules[1].on_store_failure = CONF_LIMIT_FAILURE_OPEN;
    bench->rules[2].on_store_failure = CONF_LIMIT_FAILURE_CLOSED;
    bench_up(bench);
    bench_await_store(bench, true);
    redis_server_kill(&bench->server);
    bench_await_store(bench, false);
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(bench_ask_rule(bench, &ask, 0, "/f"),
                         i < 10 ? LIMIT_RESULT_OK : LIMIT_RESULT_LIMITED);
        assert_true(ask.check.fallback);
        assert_int_equal(bench_ask_rule(bench, &ask, 1, "/f"), LIMIT_RESULT_OK);
        assert_true(ask.check.fallback);
        assert_int_equal(bench_ask_rule(bench, &ask, 2, "/f"), LIMIT_RESULT_STORE_CLOSED);
        assert_ptr_equal(ask.check.limit, &bench->limits[2]);
    }
    redis_server_start(&bench->server);
    bench_await_store(bench, true);
    assert_int_equal(bench_ask_rule(bench, &ask, 2, "/f"), LIMIT_RESULT_OK);
}

static void test_killed_in_flight(struct bench *bench)
{
    struct ask asks[20];
    unsigned rule = 0;
    bench_up(bench);
    bench_await_store(bench, true);
    redis_server_signal(&bench->server, SIGSTOP);
    for (unsigned i = 0; i < 20; i++)
        bench_ask_start(bench, &asks[i], &rule, 1, "/k");
    redis_server_kill(&bench->server);
    unsigned passed = 0;
    for (unsigned i = 0; i < 20; i++) {
        bench_wait(bench, &asks[i]);
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
    bench_await_store(bench, true);
    redis_server_signal(&bench->server, SIGSTOP);
    for (unsigned i = 0; i < 50; i++) {
        bench_ask_rule(bench, &ask, 0, "/paused");
        assert_true(ask.check.fallback);
    }
    /* The breaker is open by now: decided at once. */
    bench_ask_start(bench, &ask, (unsigned[]){0}, 1, "/paused");
    assert_true(ask.is_done);
    bench_turns(bench, 60); /* the silent connection is given up meanwhile */
    redis_server_signal(&bench->server, SIGCONT);
    bench_await_store(bench, true);
}

/* The bucket here is where the store's was when it went away. */
static void test_goes_on_from_the_store(struct bench *bench)
{
    struct ask ask;
    unsigned passed = 0;
    bench_up(bench);
    bench_await_store(bench, true);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(bench_ask_rule(bench, &ask, 0, "/on"), LIMIT_RESULT_OK);
    redis_server_kill(&bench->server);
    bench_await_store(bench, false);
    for (unsigned i = 0; i < 8; i++)
        passed += bench_ask_rule(bench, &ask, 0, "/on") == LIMIT_RESULT_OK;
    assert_int_equal(passed, 2);
}

/* What passed while the store did not answer counts there in the end, once. */
static void test_store_is_told(struct bench *bench)
{
    struct ask ask;
    unsigned passed = 0;
    bench->store_conf.deadline_ns = 20 * NS_PER_MS;
    bench_up(bench);
    bench_await_store(bench, true);
    int64_t owed = metric_get(METRIC_RATELIMIT_STORE_OWED);
    redis_server_signal(&bench->server, SIGSTOP);
    for (unsigned i = 0; i < 7; i++) {
        passed += bench_ask_rule(bench, &ask, 0, "/told") == LIMIT_RESULT_OK;
        assert_true(ask.check.fallback);
    }
    assert_int_equal(passed, 7);
    redis_server_signal(&bench->server, SIGCONT);
    bench_await_store(bench, true);
    assert_true(metric_get(METRIC_RATELIMIT_STORE_OWED) - owed >=
                4); /* 3 misses, then none asked */
    for (unsigned i = 0; i < 10; i++)
        passed += bench_ask_rule(bench, &ask, 0, "/told") == LIMIT_RESULT_OK;
    /* The three that were asked count twice when the connection was given up meanwhile. */
    assert_true(passed <= 10 && passed >= 7);
    assert_int_equal(ask.check.result, LIMIT_RESULT_LIMITED);
    assert_false(ask.check.fallback);
}

/* Beyond an empty bucket the store remembers a debt, of one bucket at most. */
static void test_debt_is_bounded(struct bench *bench)
{
    struct ask ask;
    bench->rules[0].period_ns = 500 * NS_PER_MS;
    bench_up(bench);
    bench_await_store(bench, true);
    redis_server_kill(&bench->server);
    bench_await_store(bench, false);
    for (unsigned i = 0, passed = 0; passed < 40 && i < 100000; i++) {
        passed += bench_ask_rule(bench, &ask, 0, "/debt") == LIMIT_RESULT_OK;
        bench_turns(bench, 1);
    }
    redis_server_start(&bench->server);
    bench_await_store(bench, true);
    assert_int_equal(bench_ask_rule(bench, &ask, 0, "/debt"), LIMIT_RESULT_LIMITED);
    assert_true(ask.check.reset_ns <= 50 * NS_PER_MS); /* it was full, and has paid for ten */
}

static void test_script_flush(struct bench *bench)
{
    struct ask ask;
    bench_up(bench);
    bench_await_store(bench, true);
    int64_t before = metric_get(METRIC_RATELIMIT_SCRIPT_RELOADS);
    unsigned passed = 0;
    for (unsigned i = 0; i < 20; i++) {
        redis_server_expect(&bench->server, "SCRIPT FLUSH", "+OK");
        passed += bench_ask_rule(bench, &ask, 0, "/flush") == LIMIT_RESULT_OK;
        assert_false(ask.check.fallback);
    }
    assert_int_equal(passed, 10);
    assert_true(metric_get(METRIC_RATELIMIT_SCRIPT_RELOADS) - before >= 20);
    /* A whole pipeline that finds no script: each is sent once more, the script once. */
    struct ask asks[100];
    before = metric_get(METRIC_RATELIMIT_SCRIPT_RELOADS);
    redis_server_expect(&bench->server, "SCRIPT FLUSH", "+OK");
    for (unsigned i = 0; i < 100; i++)
        bench_ask_start(bench, &asks[i], (unsigned[]){0}, 1, "/pipeline");
    passed = 0;
    for (unsigned i = 0; i < 100; i++) {
        bench_wait(bench, &asks[i]);
        assert_false(asks[i].check.fallback);
        passed += asks[i].check.result == LIMIT_RESULT_OK;
    }
    assert_int_equal(passed, 10);
    assert_int_equal(metric_get(METRIC_RATELIMIT_SCRIPT_RELOADS), before + 1);
}

static void test_readonly(struct bench *bench)
{
    bench_up(bench);
    bench_await_store(bench, true);
    redis_server_expect(&bench->server, "REPLICAOF 127.0.0.1 1", "+OK");
    bench_await_store(bench, false);
    bench_turns(bench, 100);
    redis_server_expect(&bench->server, "REPLICAOF NO ONE", "+OK");
    bench_await_store(bench, true);
}

static void test_out_of_memory(struct bench *bench)
{
    struct ask ask;
    bench_up(bench);
    bench_await_store(bench, true);
    int64_t connects = metric_get(METRIC_RATELIMIT_STORE_CONNECTS);
    redis_server_expect(&bench->server, "CONFIG SET maxmemory 1", "+OK");
    bench_await_store(bench, false);
    for (unsigned i = 0; i < 100; i++) {
        bench_ask_rule(bench, &ask, 0, "/oom");
        assert_true(ask.check.fallback); /* probes do not let a store pass that refuses writes */
        bench_turns(bench, 1);
    }
    redis_server_expect(&bench->server, "CONFIG SET maxmemory 0", "+OK");
    bench_await_store(bench, true);
    assert_int_equal(metric_get(METRIC_RATELIMIT_STORE_CONNECTS), connects);
}

static void test_busy_script(struct bench *bench)
{
    struct ask ask;
    bench->store_conf.deadline_ns = 20 * NS_PER_MS;
    bench_up(bench);
    bench_await_store(bench, true);
    for (unsigned i = 0; i < 3; i++) {
        char reply[64];
        redis_server_command(&bench->server, "PING", reply, sizeof(reply));
        redis_server_expect(&bench->server, "DEBUG SLEEP 0.1", "+OK");
        bench_ask_rule(bench, &ask, 0, "/sleep");
        bench_await_store(bench, true);
    }
}

static void test_password(struct bench *bench)
{
    struct model second = bench->model;
    struct model_store store = bench->store;
    bench_up(bench);
    bench_await_store(bench, true);
    redis_server_expect(&bench->server, "CONFIG SET requirepass hunter2", "+OK");
    redis_server_kill(&bench->server);
    redis_server_start(&bench->server);
    redis_server_expect(&bench->server, "CONFIG SET requirepass hunter2", "+OK");
    /* Connections made in between are still good in Redis; these are not. */
    struct limiter *first = bench->limiter;
    bench->limiter =
        limiter_new(&(struct limiter_options){.loop = bench->loop, .local = bench->local});
    limiter_apply(bench->limiter, &bench->model);
    bench_turns(bench, 50);
    bench_await_store(bench, false);
    store.password = SPAN_LIT("wrong");
    second.stores = &store;
    limiter_apply(bench->limiter, &second);
    bench_turns(bench, 50);
    bench_await_store(bench, false);
    struct model third = bench->model;
    struct model_store right = bench->store;
    right.password = SPAN_LIT("hunter2");
    third.stores = &right;
    limiter_apply(bench->limiter, &third);
    bench_await_store(bench, true);
    limiter_free(first);
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
    bench_turns(bench, 100);
    bench_await_store(bench, false);
}

static void test_foreign_value(struct bench *bench)
{
    struct ask ask;
    char keys[4096], line[256];
    bench_up(bench);
    bench_await_store(bench, true);
    bench_ask_rule(bench, &ask, 0, "/foreign");
    redis_server_command(&bench->server, "KEYS rgrl:1:*", keys, sizeof(keys));
    /* Every bucket becomes a list: WRONGTYPE for the decisions, one after the other. */
    for (char *key = strstr(keys, "rgrl:"); key != NULL; key = strstr(key + 1, "rgrl:")) {
        snprintf(line, sizeof(line), "DEL %.35s", key);
        redis_server_expect(&bench->server, line, ":"); /* the probe's may have expired */
        snprintf(line, sizeof(line), "RPUSH %.35s x", key);
        redis_server_expect(&bench->server, line, ":1");
    }
    assert_int_equal(bench_ask_rule(bench, &ask, 0, "/foreign"), LIMIT_RESULT_OK);
    assert_true(ask.check.fallback);
}

static void test_broken_server(struct bench *bench)
{
    struct ask ask;
    /* Something that is not Redis behind the socket is the resp tests' business; here a
     * wrong database number, which the handshake refuses. */
    bench->store_conf.database = 999;
    bench_up(bench);
    bench_turns(bench, 100);
    assert_int_equal(bench_ask_rule(bench, &ask, 0, "/x"), LIMIT_RESULT_OK);
    assert_true(ask.check.fallback);
}

/* Something else behind the socket: takes a connection, answers the handshake, then says
 * `junk` to everything. */
struct impostor {
    char path[128];
    const char *greeting, *junk;
    int fd;
    pthread_t thread;
};

static void *impostor_run(void *arg)
{
    struct impostor *impostor = arg;
    int fd;
    while ((fd = accept(impostor->fd, NULL, NULL)) >= 0) {
        char in[4096];
        const char *out = impostor->greeting;
        while (read(fd, in, sizeof(in)) > 0) {
            if (write(fd, out, strlen(out)) < 0)
                break;
            out = impostor->junk;
        }
        close(fd);
    }
    return NULL;
}

static void impostor_start(struct impostor *impostor)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", impostor->path);
    impostor->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(impostor->fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(impostor->fd, 16), 0);
    assert_int_equal(pthread_create(&impostor->thread, NULL, impostor_run, impostor), 0);
}

static void impostor_stop(struct impostor *impostor)
{
    shutdown(impostor->fd, SHUT_RDWR);
    pthread_join(impostor->thread, NULL);
    close(impostor->fd);
    unlink(impostor->path);
}

#define GREETING                                                                                   \
    "+OK\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n$40\r\n"                                             \
    "0123456789012345678901234567890123456789\r\n"

static void test_impostors(struct bench *bench)
{
    static const struct {
        const char *greeting, *junk;
    } junks[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "x"},
        {"-ERR max number of clients reached\r\n", "x"},
        {"+OK\r\n*3\r\n$5\r\nslave\r\n:0\r\n*0\r\n", "x"},
        {"+OK\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n$3\r\nabc\r\n", "x"},
        {GREETING, "*2\r\n:1\r\n:1\r\n"},
        {GREETING, "*3\r\n:1\r\n:-1\r\n:1\r\n"},
        {GREETING, "+OK\r\n"},
        {GREETING, "$1000000000\r\n"},
        {GREETING, "*3\r\n:1\r\n:1\r\n:1\r\n*3\r\n:1\r\n:1\r\n:1\r\n"},
        {GREETING, "-NOSCRIPT for ever\r\n"},
    };
    struct ask ask;
    bench->store_conf.deadline_ns = 20 * NS_PER_MS;
    bench_up(bench);
    for (size_t i = 0; i < ARRAY_COUNT(junks); i++) {
        struct impostor impostor = {.greeting = junks[i].greeting, .junk = junks[i].junk};
        struct conf_rate_limit_store conf = bench->store_conf;
        struct model_store store = {.id = SPAN_LIT("ns/store"), .conf = &conf};
        struct model model = bench->model;
        char text[160];
        snprintf(impostor.path, sizeof(impostor.path), "%s/i%zu", bench->server.dir, i);
        snprintf(text, sizeof(text), "unix:%s", impostor.path);
        struct span endpoint = span_str(text);
        conf.endpoints = &endpoint;
        model.stores = &store;
        impostor_start(&impostor);
        limiter_apply(bench->limiter, &model);
        for (unsigned k = 0; k < 30; k++) {
            bench_ask_rule(bench, &ask, 0, "/junk");
            bench_turns(bench, 2);
        }
        limiter_apply(bench->limiter, &bench->model);
        bench_turns(bench, 2); /* the connection is gone: the impostor can end */
        impostor_stop(&impostor);
    }
    bench_await_store(bench, true);
}

static const struct bench_case cases[] = {
    {"Local, Open, Closed and recovery after kill -9", test_failure_modes},
    {"killed with questions in flight", test_killed_in_flight},
    {"SIGSTOP and SIGCONT", test_paused},
    {"the bucket goes on where the store's was", test_goes_on_from_the_store},
    {"the store is told of what passed", test_store_is_told},
    {"a debt is bounded", test_debt_is_bounded},
    {"SCRIPT FLUSH before every decision", test_script_flush},
    {"READONLY", test_readonly},
    {"OOM", test_out_of_memory},
    {"DEBUG SLEEP", test_busy_script},
    {"password missing, wrong, right", test_password},
    {"no right to write", test_no_right_to_write},
    {"a foreign value under our key", test_foreign_value},
    {"a refused handshake", test_broken_server},
    {"impostors", test_impostors},
};

int main(void)
{
    return bench_run(cases, ARRAY_COUNT(cases));
}
