/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "routing/cluster.h"

/* Clusters from words: "10.0.0.1:80" is host 10.0.0.1, port 80. */
struct world {
    struct cluster_set *set;
    struct rand_state rand;
    unsigned born, gone;
};

struct spec {
    const char *id;
    const char *hosts[4]; /* all on port 80 */
};

static void *on_new(void *owner, const struct model_cluster *cluster,
                    const struct cluster_endpoint *endpoint)
{
    struct world *world = owner;
    world->born++;
    assert_true(cluster->id.len > 0);
    assert_int_equal(endpoint->port, 80);
    return world;
}

static void on_gone(void *owner, void *user)
{
    struct world *world = owner;
    assert_ptr_equal(user, world);
    world->gone++;
}

/* The model is dead afterwards; only what is copied may be used. */
static void apply(struct world *world, const struct spec *specs, unsigned count)
{
    struct model_cluster clusters[4] = {{.port = 0}};
    struct model_endpoint endpoints[4][4];
    assert_true(count <= 4);
    for (unsigned i = 0; i < count; i++) {
        clusters[i].id = span_str(specs[i].id);
        clusters[i].endpoints = endpoints[i];
        for (unsigned k = 0; k < 4 && specs[i].hosts[k] != NULL; k++) {
            endpoints[i][k] =
                (struct model_endpoint){.host = span_str(specs[i].hosts[k]), .port = 80};
            clusters[i].endpoints_count = k + 1;
        }
    }
    const struct model model = {.clusters = clusters, .clusters_count = count};
    assert_int_equal(cluster_set_apply(world->set, &model, NULL), 0);
}

static void world_init(struct world *world)
{
    *world =
        (struct world){.set = cluster_set_new(&(struct cluster_owner){world, on_new, on_gone})};
    rand_seed(&world->rand, 11);
    assert_non_null(world->set);
}

static void world_fini(struct world *world)
{
    cluster_set_free(world->set);
    assert_int_equal(world->born, world->gone);
}

static const char *pick_and_end(struct world *world, struct cluster *cluster,
                                enum cluster_result result, uint64_t now_ns)
{
    struct cluster_endpoint *endpoint = cluster_pick(cluster, NULL, now_ns, &world->rand);
    assert_non_null(endpoint);
    (void)cluster_release(cluster, endpoint, result, now_ns, &world->rand);
    return endpoint->host;
}

static void test_round_robin(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    apply(&world, (struct spec[]){{"a", {"h1", "h2", "h3", "h2"}}}, 1);
    assert_int_equal(world.born, 3);
    struct cluster *cluster = cluster_at(world.set, 0);
    assert_ptr_equal(cluster_find(world.set, SPAN_LIT("a")), cluster);
    assert_null(cluster_find(world.set, SPAN_LIT("b")));
    unsigned seen[3] = {0};
    for (unsigned i = 0; i < 30; i++)
        seen[pick_and_end(&world, cluster, CLUSTER_RESULT_OK, 1)[1] - '1']++;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(seen[i], 10);
    /* A retry goes elsewhere, if there is an elsewhere. */
    struct cluster_endpoint *first = cluster_pick(cluster, NULL, 1, &world.rand);
    for (unsigned i = 0; i < 10; i++) {
        struct cluster_endpoint *other = cluster_pick(cluster, first, 1, &world.rand);
        assert_ptr_not_equal(other, first);
        (void)cluster_release(cluster, other, CLUSTER_RESULT_OK, 1, &world.rand);
    }
    assert_int_equal(first->active, 1);
    (void)cluster_release(cluster, first, CLUSTER_RESULT_OK, 1, &world.rand);
    apply(&world, (struct spec[]){{"a", {"h1"}}, {"empty", {NULL}}}, 2);
    first = cluster_pick(cluster_at(world.set, 0), NULL, 1, &world.rand);
    assert_ptr_equal(cluster_pick(cluster_at(world.set, 0), first, 1, &world.rand), first);
    (void)cluster_release(cluster_at(world.set, 0), first, CLUSTER_RESULT_OK, 1, &world.rand);
    (void)cluster_release(cluster_at(world.set, 0), first, CLUSTER_RESULT_OK, 1, &world.rand);
    assert_null(cluster_pick(cluster_at(world.set, 1), NULL, 1, &world.rand));
    world_fini(&world);
}

static bool fail_once(struct world *world, struct cluster *cluster, uint64_t now_ns)
{
    struct cluster_endpoint *endpoint = cluster_pick(cluster, NULL, now_ns, &world->rand);
    return cluster_release(cluster, endpoint, CLUSTER_RESULT_CONNECT_FAILED, now_ns, &world->rand);
}

static void test_ejection_grows(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    apply(&world, (struct spec[]){{"a", {"h1"}}}, 1);
    struct cluster *cluster = cluster_at(world.set, 0);
    struct cluster_endpoint *endpoint = cluster_pick(cluster, NULL, 0, &world.rand);
    uint64_t now = NS_PER_S;
    for (unsigned round = 0; round < 9; round++) {
        uint64_t base = MIN(NS_PER_S << round, 30 * NS_PER_S);
        assert_false(fail_once(&world, cluster, now));
        assert_false(fail_once(&world, cluster, now));
        assert_true(fail_once(&world, cluster, now));
        assert_in_range(endpoint->ejected_until_ns - now, base / 10 * 8, base / 10 * 12);
        /* Failures while it is out (nothing else is there, so it is used) add nothing. */
        uint64_t until = endpoint->ejected_until_ns;
        for (unsigned i = 0; i < 5; i++)
            assert_false(fail_once(&world, cluster, now + 1));
        assert_true(endpoint->ejected_until_ns == until);
        now = until;
    }
    /* One success forgets it all; a reset changes nothing. */
    assert_false(fail_once(&world, cluster, now));
    assert_false(fail_once(&world, cluster, now));
    (void)pick_and_end(&world, cluster, CLUSTER_RESULT_RESET, now);
    assert_int_equal(endpoint->failures, 2);
    (void)pick_and_end(&world, cluster, CLUSTER_RESULT_OK, now);
    assert_int_equal(endpoint->failures, 0);
    assert_int_equal(endpoint->ejections, 0);
    (void)cluster_release(cluster, endpoint, CLUSTER_RESULT_OK, now, &world.rand);
    world_fini(&world);
}

static void test_ejected_is_skipped(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    apply(&world, (struct spec[]){{"a", {"h1", "h2"}}}, 1);
    struct cluster *cluster = cluster_at(world.set, 0);
    struct cluster_endpoint *bad = cluster_pick(cluster, NULL, 1, &world.rand);
    bad->ejected_until_ns = 100;
    for (unsigned i = 0; i < 6; i++) {
        /* Even when the healthy one is to be avoided. */
        struct cluster_endpoint *good = cluster_pick(cluster, NULL, 99, &world.rand);
        assert_ptr_not_equal(good, bad);
        assert_ptr_equal(cluster_pick(cluster, good, 99, &world.rand), good);
        (void)cluster_release(cluster, good, CLUSTER_RESULT_RESET, 99, &world.rand);
        (void)cluster_release(cluster, good, CLUSTER_RESULT_RESET, 99, &world.rand);
    }
    unsigned back = 0;
    for (unsigned i = 0; i < 6; i++)
        back += pick_and_end(&world, cluster, CLUSTER_RESULT_RESET, 100) == bad->host;
    assert_int_equal(back, 3);
    (void)cluster_release(cluster, bad, CLUSTER_RESULT_RESET, 100, &world.rand);
    world_fini(&world);
}

static void test_keep_new_drop(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    apply(&world, (struct spec[]){{"a", {"h1", "h2"}}, {"b", {"h1"}}}, 2);
    struct cluster *a = cluster_at(world.set, 0);
    struct cluster_endpoint *kept = cluster_pick(a, NULL, 1, &world.rand);
    kept->failures = 2;
    const char *other = kept->host[1] == '1' ? "h2" : "h1";
    const char *same = kept->host[1] == '1' ? "h1" : "h2";
    /* Position in the model moves, one endpoint goes, one comes. */
    apply(&world, (struct spec[]){{"c", {"h9"}}, {"a", {same, "h3"}}}, 2);
    assert_ptr_equal(cluster_at(world.set, 1), a);
    assert_int_equal(world.born, 5);
    assert_int_equal(world.gone, 2); /* `other`, and b's */
    assert_int_equal(kept->failures, 2);
    assert_null(cluster_find(world.set, SPAN_LIT("b")));
    /* The one in use leaves the list: it stays until it is released. */
    apply(&world, (struct spec[]){{"a", {other}}}, 1);
    assert_int_equal(world.gone, 4); /* h3 and h9 */
    assert_false(kept->listed);
    assert_string_equal(pick_and_end(&world, a, CLUSTER_RESULT_OK, 1), other);
    (void)cluster_release(a, kept, CLUSTER_RESULT_OK, 1, &world.rand);
    assert_int_equal(world.gone, 5);
    world_fini(&world);
}

/* Comes back while a request still holds it: the same endpoint, with its health. */
static void test_return_of_an_endpoint(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    apply(&world, (struct spec[]){{"a", {"h1"}}}, 1);
    struct cluster *a = cluster_at(world.set, 0);
    struct cluster_endpoint *endpoint = cluster_pick(a, NULL, 1, &world.rand);
    apply(&world, (struct spec[]){{"a", {"h2"}}}, 1);
    apply(&world, NULL, 0);
    assert_ptr_equal(cluster_find(world.set, SPAN_LIT("a")), a);
    assert_true(span_equal_str(cluster_id(a), "a"));
    apply(&world, (struct spec[]){{"a", {"h1"}}}, 1);
    assert_ptr_equal(cluster_at(world.set, 0), a);
    assert_int_equal(world.born, 2);
    assert_true(endpoint->listed);
    (void)cluster_release(a, endpoint, CLUSTER_RESULT_OK, 1, &world.rand);
    assert_string_equal(pick_and_end(&world, a, CLUSTER_RESULT_OK, 1), "h1");
    world_fini(&world);
}

static void test_dropped_clusters(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    apply(&world, (struct spec[]){{"busy", {"h1"}}, {"held", {"h1", "h2"}}}, 2);
    struct cluster *busy = cluster_at(world.set, 0), *held = cluster_at(world.set, 1);
    struct cluster_endpoint *endpoint = cluster_pick(busy, NULL, 1, &world.rand);
    cluster_ref(held);
    apply(&world, NULL, 0);
    assert_int_equal(world.gone, 0);
    assert_null(cluster_pick(busy, NULL, 1, &world.rand));
    (void)cluster_release(busy, endpoint, CLUSTER_RESULT_OK, 1, &world.rand);
    assert_int_equal(world.gone, 1);
    assert_null(cluster_find(world.set, SPAN_LIT("busy")));
    /* A referenced one goes on serving. */
    endpoint = cluster_pick(held, NULL, 1, &world.rand);
    assert_non_null(endpoint);
    cluster_unref(held);
    assert_int_equal(world.gone, 2);
    assert_null(cluster_pick(held, NULL, 1, &world.rand));
    /* What ejects it also ends it: nothing is left to tell about. */
    endpoint->failures = 2;
    assert_false(cluster_release(held, endpoint, CLUSTER_RESULT_CONNECT_FAILED, 1, &world.rand));
    assert_int_equal(world.gone, 3);
    cluster_unref(NULL);
    world_fini(&world);
}

static void test_long_hosts(void **state)
{
    (void)state;
    char longest[256], too_long[257];
    memset(longest, 'a', sizeof(longest));
    memset(too_long, 'a', sizeof(too_long));
    longest[255] = '\0';
    too_long[256] = '\0';
    struct world world;
    world_init(&world);
    apply(&world, (struct spec[]){{"a", {longest, too_long}}}, 1);
    assert_int_equal(world.born, 1);
    assert_string_equal(pick_and_end(&world, cluster_at(world.set, 0), CLUSTER_RESULT_OK, 1),
                        longest);
    world_fini(&world);
    cluster_set_free(NULL);
}

/* A model of some of 24 clusters in their order, each with one to three of six endpoints. */
struct random_model {
    struct model model;
    struct model_cluster clusters[24];
    struct model_endpoint endpoints[24][3];
};

static void random_model(struct random_model *ret, struct rand_state *rand, unsigned kept_in)
{
    static char ids[24][8], hosts[6][8];
    struct random_model last = *ret;
    *ret = (struct random_model){.model = {.clusters_count = 0}};
    for (unsigned i = 0; i < 24; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "c%u", i);
        (void)snprintf(hosts[i % 6], sizeof(hosts[0]), "h%u", i % 6);
    }
    for (unsigned i = 0, old = 0; i < 24; i++) {
        bool was = old < last.model.clusters_count && span_equal_str(last.clusters[old].id, ids[i]);
        bool stays = was && rand_below(rand, kept_in) != 0;
        unsigned at = ret->model.clusters_count;
        if (stays)
            memcpy(ret->endpoints[at], last.endpoints[old], sizeof(last.endpoints[old]));
        ret->clusters[at] = (struct model_cluster){.id = span_str(ids[i])};
        ret->clusters[at].endpoints_count =
            stays ? last.clusters[old].endpoints_count : 1 + rand_below(rand, 3);
        for (unsigned k = 0; k < 3 && !stays; k++)
            ret->endpoints[at][k] =
                (struct model_endpoint){span_str(hosts[rand_below(rand, 6)]), 80};
        old += was;
        ret->model.clusters_count += stays || rand_below(rand, 2) == 0;
    }
}

static void random_model_link(struct random_model *model)
{
    model->model.clusters = model->clusters;
    for (unsigned i = 0; i < 24; i++)
        model->clusters[i].endpoints = model->endpoints[i];
}

/* Which of the six hosts a cluster picks. */
static unsigned hosts_of(struct world *world, struct cluster *cluster)
{
    unsigned hosts = 0;
    for (unsigned i = 0; i < 6; i++)
        hosts |= 1u << (pick_and_end(world, cluster, CLUSTER_RESULT_OK, 1)[1] - '0');
    return hosts;
}

/* What is known to be the same ends as what is looked at: endpoints, births and deaths. */
static void test_compare(void **state)
{
    (void)state;
    struct world plain, told;
    struct random_model last = {.model = {.clusters_count = 0}}, next = last;
    unsigned found = 0;
    world_init(&plain);
    world_init(&told);
    for (unsigned round = 0; round < 500; round++) {
        int32_t same[24];
        random_model(&next, &plain.rand, round % 2 ? 2 : 20);
        random_model_link(&next);
        random_model_link(&last);
        cluster_compare(&last.model, &next.model, same);
        assert_int_equal(cluster_set_apply(plain.set, &next.model, NULL), 0);
        assert_int_equal(cluster_set_apply(told.set, &next.model, same), 0);
        assert_int_equal(plain.born, told.born);
        assert_int_equal(plain.gone, told.gone);
        for (unsigned i = 0; i < next.model.clusters_count; i++) {
            struct cluster *cluster = cluster_at(told.set, i);
            found += same[i] >= 0;
            assert_ptr_equal(cluster, cluster_find(told.set, next.clusters[i].id));
            assert_int_equal(hosts_of(&told, cluster), hosts_of(&plain, cluster_at(plain.set, i)));
        }
        last = next;
    }
    assert_in_range(found, 500, 500 * 24);
    world_fini(&plain);
    world_fini(&told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_robin),
        cmocka_unit_test(test_ejection_grows),
        cmocka_unit_test(test_ejected_is_skipped),
        cmocka_unit_test(test_keep_new_drop),
        cmocka_unit_test(test_return_of_an_endpoint),
        cmocka_unit_test(test_dropped_clusters),
        cmocka_unit_test(test_long_hosts),
        cmocka_unit_test(test_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
