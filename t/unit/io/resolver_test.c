/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io_fixture.h"

#include <poll.h>

#include "base/metric.h"
#include "io/resolver.h"

/* A DNS server on the same loop. What it answers depends on the name. */
struct server {
    struct watch watch;
    int fd;
    struct addr addr;
    unsigned questions; /* seen */
    uint8_t last; /* byte of change.test's address */
    bool away;
};

struct packet {
    uint8_t bytes[2048];
    size_t len;
};

static void put(struct packet *packet, const void *bytes, size_t len)
{
    assert_true(packet->len + len <= sizeof(packet->bytes));
    memcpy(packet->bytes + packet->len, bytes, len);
    packet->len += len;
}

static void put16(struct packet *packet, unsigned value)
{
    put(packet, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

/* Owner: the question's name. */
static void put_record(struct packet *packet, unsigned type, unsigned ttl, const void *data,
                       unsigned len)
{
    put16(packet, 0xc00c);
    put16(packet, type);
    put16(packet, 1);
    put16(packet, 0);
    put16(packet, ttl);
    put16(packet, len);
    put(packet, data, len);
    packet->bytes[7]++;
}

static void put_a(struct packet *packet, uint8_t last)
{
    put_record(packet, 1, 0, (uint8_t[]){127, 0, 0, last}, 4);
}

/* False: no answer. */
static bool respond(struct server *server, const char *name, unsigned type, struct packet *out)
{
    bool v4 = type == 1;
    if (strcmp(name, "a.test") == 0 && v4) {
        put_a(out, 1);
        put_a(out, 2);
        put_a(out, 1);
    } else if (strcmp(name, "six.test") == 0 && !v4) {
        put_record(out, 28, 0, &in6addr_loopback, 16);
    } else if (strcmp(name, "both.test") == 0 && v4) {
        put_a(out, 1);
    } else if (strcmp(name, "both.test") == 0) {
        put_record(out, 28, 0, &in6addr_loopback, 16);
    } else if (strcmp(name, "change.test") == 0 && v4) {
        put_a(out, server->last);
    } else if (strcmp(name, "long.test") == 0 && v4) {
        put_record(out, 1, 65535, (uint8_t[]){127, 0, 0, 1}, 4);
    } else if (strcmp(name, "none.test") == 0) {
        out->bytes[3] |= 3;
    } else if (strcmp(name, "fail.test") == 0) {
        out->bytes[3] |= 2;
    } else if (strcmp(name, "unusable.test") == 0 && v4) {
        put_record(out, 1, 60, (uint8_t[]){0, 0, 0, 0}, 4);
        put_record(out, 1, 60, (uint8_t[]){224, 0, 0, 1}, 4);
        put_record(out, 1, 60, (uint8_t[]){255, 255, 255, 255}, 4);
    } else if (strcmp(name, "many.test") == 0 && v4) {
        for (uint8_t i = 1; i <= 40; i++)
            put_a(out, i);
    } else if (strcmp(name, "aliases.test") == 0 && v4) {
        for (unsigned i = 0; i < RESOLVER_ALIASES_MAX + 1; i++)
            put_record(out, 5, 60, "\xc0\x0c", 2);
        put_a(out, 1);
    } else if (strcmp(name, "wrongid.test") == 0) {
        put_a(out, 1);
        out->bytes[0] ^= 1;
    } else if (strcmp(name, "wrongname.test") == 0) {
        put_a(out, 1);
        out->bytes[13] ^= 1;
    } else if (strcmp(name, "short.test") == 0) {
        put_a(out, 1);
        out->len -= 3;
    } else if (strcmp(name, "liar.test") == 0) { /* counts records that are not there */
        out->bytes[6] = 0xff;
    } else if (strcmp(name, "loop.test") == 0) { /* a name that points at itself */
        put16(out, 0xc000 | (unsigned)out->len);
        out->bytes[7] = 1;
    } else if (strcmp(name, "tiny.test") == 0) {
        out->len = 5;
    } else if (strcmp(name, "silent.test") == 0 || strncmp(name, "silent", 6) == 0) {
        return false;
    }
    return true;
}

static void server_on_ready(struct watch *watch, unsigned revents)
{
    (void)revents;
    struct server *server = container_of(watch, struct server, watch);
    struct addr from = {.len = sizeof(from.un)};
    uint8_t in[512];
    char name[256] = "";
    size_t at = 12, len = 0;

    ssize_t n = recvfrom(server->fd, in, sizeof(in), MSG_DONTWAIT, &from.sa, &from.len);
    if (n < 17)
        return;
    while (in[at] != 0) {
        assert_true(at + in[at] + 6u <= (size_t)n && len + in[at] + 1 < sizeof(name));
        memcpy(name + len, in + at + 1, in[at]);
        len += in[at] + 1u;
        name[len - 1] = '.';
        at += in[at] + 1u;
    }
    name[len > 0 ? len - 1 : 0] = 0;
    server->questions++;
    struct packet out = {.len = 0};
    put(&out, in, at + 5);
    out.bytes[2] = 0x81; /* a response; one question, nothing more yet */
    out.bytes[3] = 0x80;
    memset(out.bytes + 6, 0, 6);
    if (!server->away && respond(server, name, in[at + 2], &out))
        (void)sendto(server->fd, out.bytes, out.len, 0, &from.sa, from.len);
}

static void server_start(struct server *server, struct loop *loop)
{
    *server = (struct server){.last = 1};
    assert_int_equal(addr_parse(SPAN_LIT("127.0.0.1:0"), &server->addr), 0);
    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(server->fd >= 0);
    assert_int_equal(bind(server->fd, &server->addr.sa, server->addr.len), 0);
    assert_int_equal(getsockname(server->fd, &server->addr.sa, &server->addr.len), 0);
    assert_int_equal(watch_start(&server->watch, loop, server->fd, POLLIN, server_on_ready), 0);
}

static void server_stop(struct server *server)
{
    watch_stop(&server->watch);
    (void)close(server->fd);
}

struct bench {
    struct loop *loop;
    struct server server;
    struct resolver *resolver;
};

static void bench_start(struct bench *bench, enum loop_engine engine, unsigned names_max)
{
    char servers[ADDR_TEXT_SIZE];
    struct err err = {0};
    bench->loop = fixture_loop(engine);
    server_start(&bench->server, bench->loop);
    (void)addr_format(&bench->server.addr, servers);
    struct resolver_options options = {.servers = servers,
                                       .timeout_ns = 150 * NS_PER_MS,
                                       .ttl_min_ns = 20 * NS_PER_MS,
                                       .ttl_max_ns = 40 * NS_PER_MS,
                                       .names_max = names_max};
    bench->resolver = resolver_new(bench->loop, &options, &err);
    if (bench->resolver == NULL)
        fail_msg("%s", err.text);
}

static void bench_end(struct bench *bench)
{
    resolver_free(bench->resolver);
    server_stop(&bench->server);
    loop_free(bench->loop);
}

struct asker {
    struct resolver_query query;
    unsigned dones;
    int error;
    struct resolver_answer answer;
};

static void asker_on_done(struct resolver_query *query, int error,
                          const struct resolver_answer *answer)
{
    struct asker *asker = container_of(query, struct asker, query);
    asker->dones++;
    asker->error = error;
    assert_int_equal(answer != NULL, error == 0);
    if (answer != NULL)
        asker->answer = *answer;
}

/* True: decided now. */
static bool ask(struct bench *bench, struct asker *asker, const char *name)
{
    const struct resolver_answer *answer = NULL;
    *asker = (struct asker){.query = {.on_done = asker_on_done}};
    int rc = resolver_lookup(bench->resolver, &asker->query, span_str(name), &answer);
    if (rc == -EINPROGRESS)
        return false;
    asker_on_done(&asker->query, rc, answer);
    return true;
}

static int resolve(struct bench *bench, struct asker *asker, const char *name)
{
    if (!ask(bench, asker, name))
        FIXTURE_UNTIL(bench->loop, asker->dones > 0);
    assert_int_equal(asker->dones, 1);
    return asker->error;
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int error;
        unsigned count;
        const char *first;
    } cases[] = {
        {"a.test", 0, 2, "127.0.0.1:80"},
        {"A.TEST", 0, 2, "127.0.0.1:80"},
        {"six.test", 0, 1, "[::1]:80"},
        {"both.test", 0, 2, NULL},
        {"many.test", 0, RESOLVER_IPS_MAX, "127.0.0.1:80"},
        {"localhost", 0, 0, NULL}, /* of /etc/hosts, or by RFC 6761 */
        {"none.test", -ENOENT, 0, NULL},
        {"empty.test", -ENOENT, 0, NULL},
        {"unusable.test", -ENOENT, 0, NULL},
        {"fail.test", -EIO, 0, NULL},
        {"silent.test", -ETIMEDOUT, 0, NULL},
        {"wrongid.test", -ETIMEDOUT, 0, NULL},
        {"wrongname.test", -ETIMEDOUT, 0, NULL},
        {"tiny.test", -ETIMEDOUT, 0, NULL},
        {"aliases.test", -EIO, 0, NULL},
        {"short.test", -EIO, 0, NULL},
        {"liar.test", -EIO, 0, NULL},
        {"loop.test", -EIO, 0, NULL},
        {"", -EINVAL, 0, NULL},
        {".", -EINVAL, 0, NULL},
        {"a b.test", -EINVAL, 0, NULL},
        {"a\\.test", -EINVAL, 0, NULL},
    };
    FIXTURE_EACH_ENGINE(engine)
    {
        struct bench bench;
        bench_start(&bench, engine, 0);
        for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
            struct asker asker;
            struct addr addr;
            char text[ADDR_TEXT_SIZE];
            int error = resolve(&bench, &asker, cases[i].name);
            /* Half a header is broken to newer c-ares; older waits for a better answer. */
            if (error == -EIO && strcmp(cases[i].name, "tiny.test") == 0)
                continue;
            if (error != cases[i].error)
                fail_msg("%s: %d, not %d", cases[i].name, error, cases[i].error);
            assert_string_not_equal(resolver_error_text(error), "");
            if (cases[i].count > 0)
                assert_int_equal(asker.answer.count, cases[i].count);
            if (cases[i].first == NULL)
                continue;
            resolver_answer_addr(&asker.answer, asker.answer.count * 3, 80, &addr);
            (void)addr_format(&addr, text);
            assert_string_equal(text, cases[i].first);
        }
        bench_end(&bench);
    }
}

static void test_same_name_is_asked_once(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct bench bench;
        struct asker askers[5], again;
        bench_start(&bench, engine, 0);
        for (unsigned i = 0; i < 5; i++)
            assert_false(ask(&bench, &askers[i], i % 2 ? "a.test" : "A.test"));
        resolver_cancel(&askers[2].query);
        resolver_cancel(&askers[2].query);
        FIXTURE_UNTIL(bench.loop, askers[4].dones > 0);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(askers[i].dones, i != 2);
        assert_int_equal(bench.server.questions, 2); /* A and AAAA */
        assert_true(ask(&bench, &again, "a.test")); /* a hit */
        assert_int_equal(again.error, 0);
        assert_int_equal(bench.server.questions, 2);
        bench_end(&bench);
    }
}

static void test_change_is_followed(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct bench bench;
        struct asker asker;
        bench_start(&bench, engine, 0);
        assert_int_equal(resolve(&bench, &asker, "change.test"), 0);
        assert_int_equal(asker.answer.ips[0].ip[3], 1);
        bench.server.last = 2;
        /* Old answers come at once, never after a wait, until the new one is there. */
        do {
            loop_turn(bench.loop, NS_PER_MS);
            assert_true(ask(&bench, &asker, "change.test"));
            assert_int_equal(asker.error, 0);
        } while (asker.answer.ips[0].ip[3] == 1);
        assert_int_equal(asker.answer.ips[0].ip[3], 2);
        /* A long TTL is cut to ttl_max_ns. */
        assert_int_equal(resolve(&bench, &asker, "long.test"), 0);
        unsigned questions = bench.server.questions;
        do {
            loop_turn(bench.loop, NS_PER_MS);
            assert_true(ask(&bench, &asker, "long.test"));
        } while (bench.server.questions == questions);
        bench_end(&bench);
    }
}

static void test_servers_away(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct bench bench;
        struct asker asker;
        bench_start(&bench, engine, 0);
        assert_int_equal(resolve(&bench, &asker, "a.test"), 0);
        bench.server.away = true;
        unsigned questions = bench.server.questions;
        do { /* the old answer all the time, while it is asked for in vain */
            loop_turn(bench.loop, NS_PER_MS);
            assert_true(ask(&bench, &asker, "a.test"));
            assert_int_equal(asker.error, 0);
            assert_int_equal(asker.answer.count, 2);
        } while (bench.server.questions < questions + 8);
        assert_int_equal(resolve(&bench, &asker, "change.test"), -ETIMEDOUT);
        assert_true(ask(&bench, &asker, "change.test")); /* kept */
        assert_int_equal(asker.error, -ETIMEDOUT);
        bench.server.away = false;
        while (resolve(&bench, &asker, "change.test") != 0)
            loop_turn(bench.loop, NS_PER_MS);
        bench_end(&bench);
    }
}

static void test_doubt(void **state)
{
    (void)state;
    struct bench bench;
    struct asker asker;
    FIXTURE_EACH_ENGINE(engine)
    {
        bench_start(&bench, engine, 0);
        resolver_doubt(bench.resolver, SPAN_LIT("long.test")); /* not known: nothing */
        assert_int_equal(resolve(&bench, &asker, "long.test"), 0);
        resolver_doubt(bench.resolver, SPAN_LIT("long.test"));
        assert_true(ask(&bench, &asker, "long.test"));
        assert_int_equal(asker.error, 0);
        bench_end(&bench);
    }
}

static void test_cache_is_bounded(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine)
    {
        struct bench bench;
        struct asker askers[4];
        bench_start(&bench, engine, 2);
        assert_int_equal(resolve(&bench, &askers[0], "a.test"), 0);
        assert_int_equal(resolve(&bench, &askers[0], "change.test"), 0);
        assert_int_equal(resolve(&bench, &askers[0], "both.test"), 0); /* a.test makes room */
        assert_false(ask(&bench, &askers[0], "silent1.test"));
        assert_false(ask(&bench, &askers[1], "silent2.test"));
        assert_true(ask(&bench, &askers[2], "silent3.test")); /* all are busy */
        assert_int_equal(askers[2].error, -ENOBUFS);
        resolver_cancel(&askers[0].query);
        bench_end(&bench); /* with a query that waits */
        assert_int_equal(askers[0].dones + askers[1].dones, 0);
    }
}

static void test_servers_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"", true},
        {"1.2.3.4", true},
        {"1.2.3.4:5353, [::1]:53,::1", true},
        {"1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5,6.6.6.6,7.7.7.7,8.8.8.8", true},
        {"1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5,6.6.6.6,7.7.7.7,8.8.8.8,9.9.9.9", false},
        {"1.2.3.4,", false},
        {"1.2.3.4:0", false},
        {"1.2.3.4:70000", false},
        {"dns.test", false},
        {"unix:/x", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct err err = {0};
        int rc = resolver_check_servers(cases[i].text, &err);
        if (rc != (cases[i].ok ? 0 : -EINVAL))
            fail_msg("\"%s\": %d %s", cases[i].text, rc, err.text);
        assert_int_equal(err.text[0] != 0, !cases[i].ok);
    }
}

int main(void)
{
    metric_thread_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_same_name_is_asked_once),
        cmocka_unit_test(test_change_is_followed),
        cmocka_unit_test(test_servers_away),
        cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_cache_is_bounded),
        cmocka_unit_test(test_servers_text),
        cmocka_unit_test(test_no_helper_threads),
    };
    return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
