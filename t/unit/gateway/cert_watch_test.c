/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/cert_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/metric.h"
#include "tls/cert.h"
#include "tls/selfsign.h"
#include "tls/tls_server.h"

#define HOUR_S INT64_C(3600)

/* A certificate of a day, and a model that serves it. */
struct world {
    struct selfsign_ca *ca;
    struct buf cert, key;
    struct cert_info info;
    struct model_cert pair;
    struct model_listener listener;
    struct model model;
    struct cert_watch *watch;
};

static void issue(struct world *world)
{
    struct err err;
    buf_reset(&world->cert);
    buf_reset(&world->key);
    assert_int_equal(selfsign_issue(world->ca, "DNS:a.test", &world->cert, &world->key, &err), 0);
    world->pair.cert_pem = buf_span(&world->cert);
    world->pair.key_pem = buf_span(&world->key);
    assert_int_equal(cert_validity(world->pair.cert_pem, &world->info), 0);
}

static void setup(struct world *world, const char *id)
{
    struct err err;
    *world = (struct world){.pair.id = span_str(id)};
    buf_init(&world->cert, 65536);
    buf_init(&world->key, 65536);
    assert_int_equal(selfsign_ca_new(&world->ca, "ca", &err), 0);
    issue(world);
    world->listener.certs = &world->pair;
    world->listener.certs_count = 1;
    world->model.listeners = &world->listener;
    world->model.listeners_count = 1;
    world->watch = cert_watch_new();
}

static void teardown(struct world *world)
{
    cert_watch_free(world->watch);
    selfsign_ca_free(world->ca);
    buf_fini(&world->cert);
    buf_fini(&world->key);
}

static bool is_shown(const char *name, int64_t value)
{
    struct buf text;
    char line[200];
    buf_init(&text, 1 << 20);
    metric_expose(&text);
    snprintf(line, sizeof(line),
             "ringgate_tls_certs_not_after{kind=\"Secret\",namespace=\"ns\",name=\"%s\"}", name);
    const char *at = strstr(buf_str(&text), line);
    snprintf(line, sizeof(line), "} %lld\n", (long long)value);
    bool shown = at != NULL && (value == 0 || strncmp(strchr(at, '}'), line, strlen(line)) == 0);
    buf_fini(&text);
    return shown;
}

static void shows_when_it_ends(void **state UNUSED)
{
    struct world world;
    struct model none = {0};
    setup(&world, "Secret/ns/shown");
    cert_watch_apply(world.watch, &world.model, world.info.not_before);
    assert_true(is_shown("shown", world.info.not_after));
    cert_watch_apply(world.watch, &none, world.info.not_before);
    assert_false(is_shown("shown", 0));
    cert_watch_apply(world.watch, &world.model, world.info.not_before);
    assert_true(is_shown("shown", world.info.not_after));
    world.pair.cert_pem = SPAN_LIT("no certificate");
    cert_watch_apply(world.watch, &world.model, world.info.not_before);
    assert_false(is_shown("shown", 0));
    assert_int_equal(cert_watch_look(world.watch, world.info.not_after), 0);
    teardown(&world);
}

/* Its life is a day, so the warning comes in its last third, and then the end. */
static void warns_once(void **state UNUSED)
{
    struct world world;
    setup(&world, "Secret/ns/warned");
    int64_t end = world.info.not_after, third = (end - world.info.not_before) / 3;
    cert_watch_apply(world.watch, &world.model, world.info.not_before);
    assert_int_equal(cert_watch_look(world.watch, end - third - 1), 0);
    assert_int_equal(cert_watch_look(world.watch, end - third), 1);
    assert_int_equal(cert_watch_look(world.watch, end - third + HOUR_S), 0);
    cert_watch_apply(world.watch, &world.model, end - HOUR_S);
    assert_int_equal(cert_watch_look(world.watch, end - 1), 0);
    assert_int_equal(cert_watch_look(world.watch, end), 1);
    assert_int_equal(cert_watch_look(world.watch, end + HOUR_S), 0);
    /* Renewed: as new. */
    do
        issue(&world);
    while (world.info.not_after == end);
    cert_watch_apply(world.watch, &world.model, world.info.not_before);
    assert_int_equal(cert_watch_look(world.watch, world.info.not_after), 1);
    teardown(&world);
}

int main(void)
{
    tls_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_when_it_ends),
        cmocka_unit_test(warns_once),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
