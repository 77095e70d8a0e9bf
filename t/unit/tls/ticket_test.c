/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "tls/ticket.h"

static void test_rotation_keeps_three(void **state)
{
    struct ticket_key keys[TICKET_KEYS + 1], found;
    bool current = true;
    (void)state;
    assert_false(ticket_current(&found));
    assert_false(ticket_find((const uint8_t *)"0123456789abcdef", &found, &current));
    for (unsigned i = 0; i <= TICKET_KEYS; i++) {
        ticket_rotate();
        assert_true(ticket_current(&keys[i]));
        for (unsigned j = 0; j < i; j++) {
            assert_memory_not_equal(keys[i].name, keys[j].name, sizeof(keys[i].name));
            assert_memory_not_equal(keys[i].cipher, keys[j].cipher, sizeof(keys[i].cipher));
            assert_memory_not_equal(keys[i].mac, keys[j].mac, sizeof(keys[i].mac));
        }
    }
    for (unsigned i = 0; i <= TICKET_KEYS; i++) {
        assert_int_equal(ticket_find(keys[i].name, &found, &current), i > 0);
        if (i > 0) {
            assert_memory_equal(&found, &keys[i], sizeof(found));
            assert_int_equal(current, i == TICKET_KEYS);
        }
    }
}

#define ROTATIONS 2000

static bool done;

/* A key that was read is whole: its name finds the same key or none, never a mixture. */
static void *reader(void *user)
{
    size_t *reads = user;
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE) || *reads == 0) {
        struct ticket_key key, again;
        bool current;
        if (!ticket_current(&key))
            return NULL;
        if (ticket_find(key.name, &again, &current) && memcmp(&key, &again, sizeof(key)) != 0)
            return NULL;
        ++*reads;
    }
    return user;
}

static void test_readers_see_whole_keys(void **state)
{
    pthread_t threads[2];
    size_t reads[2] = {0, 0};
    (void)state;
    ticket_rotate();
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &reads[i]), 0);
    for (unsigned i = 0; i < ROTATIONS; i++)
        ticket_rotate();
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 2; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, &reads[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotation_keeps_three),
        cmocka_unit_test(test_readers_see_whole_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
