/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/hmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct item {
    char name[16];
    bool seen;
    struct hmap_node node;
};

static struct item *item_of(struct hmap_node *node)
{
    return container_of(node, struct item, node);
}

static void test_insert_find_remove(void **state)
{
    (void)state;
    enum { ITEMS = 3000 };
    struct item *items = calloc(ITEMS, sizeof(*items));
    struct hmap map;
    hmap_init(&map, 0);
    assert_null(hmap_find(&map, SPAN_LIT("0")));
    assert_null(hmap_next(&map, NULL));
    for (int i = 0; i < ITEMS; i++) {
        snprintf(items[i].name, sizeof(items[i].name), "%d", i);
        hmap_insert(&map, &items[i].node, span_str(items[i].name));
    }
    assert_int_equal(map.count, ITEMS);
    for (int i = 0; i < ITEMS; i++)
        assert_ptr_equal(item_of(hmap_find(&map, span_str(items[i].name))), &items[i]);
    assert_null(hmap_find(&map, SPAN_LIT("3000")));
    for (int i = 0; i < ITEMS; i += 2)
        hmap_remove(&map, &items[i].node);
    assert_int_equal(map.count, ITEMS / 2);
    for (int i = 0; i < ITEMS; i++)
        assert_int_equal(hmap_find(&map, span_str(items[i].name)) != NULL, i % 2);
    size_t seen = 0;
    for (struct hmap_node *it = hmap_next(&map, NULL); it != NULL; it = hmap_next(&map, it)) {
        assert_false(item_of(it)->seen);
        item_of(it)->seen = true;
        seen++;
    }
    assert_int_equal(seen, ITEMS / 2);
    hmap_fini(&map);
    hmap_fini(&map);
    assert_null(hmap_next(&map, NULL));
    free(items);
}

static void test_remove_while_walking(void **state)
{
    (void)state;
    static struct item items[100];
    struct hmap map;
    hmap_init(&map, 100);
    size_t mask = map.mask;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(items[i].name, sizeof(items[i].name), "%u", i);
        hmap_insert(&map, &items[i].node, span_str(items[i].name));
    }
    assert_int_equal(map.mask, mask); /* the hint sufficed */
    struct hmap_node *it = hmap_next(&map, NULL);
    while (it != NULL) {
        struct hmap_node *next = hmap_next(&map, it);
        hmap_remove(&map, it);
        it = next;
    }
    assert_int_equal(map.count, 0);
    hmap_fini(&map);
}

static void test_empty_key_and_bytes(void **state)
{
    (void)state;
    struct item empty = {.name = ""}, zero = {.name = ""};
    struct hmap map;
    hmap_init(&map, 0);
    hmap_insert(&map, &empty.node, SPAN_NONE);
    hmap_insert(&map, &zero.node, span_make("\0", 1));
    assert_ptr_equal(hmap_find(&map, SPAN_LIT("")), &empty.node);
    assert_ptr_equal(hmap_find(&map, span_make("\0", 1)), &zero.node);
    assert_null(hmap_find(&map, span_make("\0\0", 2)));
    hmap_fini(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_insert_find_remove),
        cmocka_unit_test(test_remove_while_walking),
        cmocka_unit_test(test_empty_key_and_bytes),
    };
    return cmocka_run_group_tests_name("hmap", tests, NULL, NULL);
}
