/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "conf/translate_int.h"

static const char *const names[] = {
    "",
    "*.com",
    "*.example.com",
    "*.a.example.com",
    "example.com",
    "a.example.com",
    "b.a.example.com",
    "x.com",
    "com",
    "*.org",
    "a.org",
    "xample.com",
};

/* Any two names conflict exactly when what both allow is not empty, whichever came first. */
static void test_pairs(void **state)
{
    (void)state;
    struct conf_object http = {.kind = CONF_KIND_HTTP_ROUTE}, grpc = {.kind = CONF_KIND_GRPC_ROUTE};
    struct tr_listener listener, other;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct translation tr = {0};
        struct span claimed = span_str(names[i]), common;
        arena_init(&tr.scratch, 4096, 0, NULL);
        hmap_init(&tr.claim_map, 0);
        translate_claim_add(&tr, &listener, &grpc, claimed);
        for (size_t j = 0; j < ARRAY_COUNT(names); j++) {
            struct span asked = span_str(names[j]);
            const struct conf_object *expect =
                attach_intersect(claimed, asked, &common) ? &grpc : NULL;
            if (translate_claim_find(&tr, &listener, http.kind, asked) != expect)
                fail_msg("\"%s\" after \"%s\"", names[j], names[i]);
            assert_null(translate_claim_find(&tr, &listener, grpc.kind, asked));
            assert_null(translate_claim_find(&tr, &other, http.kind, asked));
        }
        hmap_fini(&tr.claim_map);
        arena_fini(&tr.scratch);
    }
}

static void test_oldest(void **state)
{
    (void)state;
    struct conf_object routes[2] = {{.kind = CONF_KIND_HTTP_ROUTE}, {.kind = CONF_KIND_HTTP_ROUTE}};
    struct tr_listener listener;
    struct translation tr = {0};
    arena_init(&tr.scratch, 4096, 0, NULL);
    hmap_init(&tr.claim_map, 0);
    translate_claim_add(&tr, &listener, &routes[0], SPAN_LIT("a.test"));
    translate_claim_add(&tr, &listener, &routes[1], SPAN_LIT("a.test"));
    translate_claim_add(&tr, &listener, &routes[1], SPAN_LIT("b.test"));
    assert_ptr_equal(translate_claim_find(&tr, &listener, CONF_KIND_GRPC_ROUTE, SPAN_LIT("a.test")),
                     &routes[0]);
    assert_ptr_equal(translate_claim_find(&tr, &listener, CONF_KIND_GRPC_ROUTE, SPAN_LIT("b.test")),
                     &routes[1]);
    assert_ptr_equal(translate_claim_find(&tr, &listener, CONF_KIND_GRPC_ROUTE, SPAN_LIT("*.test")),
                     &routes[0]);
    hmap_fini(&tr.claim_map);
    arena_fini(&tr.scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
