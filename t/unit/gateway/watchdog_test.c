/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "gateway/watchdog.h"
#include "io/loop.h"

#define LOOKS 8
#define USEC "40000" /* a look each 10 ms */

static struct loop *loop;
static struct worker workers[2];
static struct watchdog watchdog;
static int manager = -1;

static int setup(void **state UNUSED)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct loop_options options = {.engine = LOOP_ENGINE_EPOLL, .conns_max = 1};
    struct err err;

    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    /* An abstract name, chosen by the kernel. */
    socklen_t len = sizeof(un);
    assert_int_equal(bind(manager, (struct sockaddr *)&un, sizeof(un.sun_family)), 0);
    assert_int_equal(getsockname(manager, (struct sockaddr *)&un, &len), 0);
    char name[64];
    snprintf(name, sizeof(name), "@%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path) - 1),
             un.sun_path + 1);
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", USEC, 1);
    unsetenv("WATCHDOG_PID");
    assert_int_equal(loop_new(&loop, &options, &err), 0);
    memset(workers, 0, sizeof(workers));
    return 0;
}

static int teardown(void **state UNUSED)
{
    watchdog_stop(&watchdog);
    loop_free(loop);
    close(manager);
    return 0;
}

/* How often the manager is told while the watchdog looks that often, and the first of the workers,
 * as many as turn, turn before each. */
static unsigned told(unsigned looks, unsigned turning)
{
    unsigned count = 0;
    for (unsigned i = 0; i < looks; i++) {
        uint64_t due_ns = watchdog.timer.deadline_ns;
        for (unsigned k = 0; k < turning; k++)
            workers[k].beats++;
        while (watchdog.timer.deadline_ns == due_ns)
            loop_turn(loop, NS_PER_S);
        char text[32];
        ssize_t n = recv(manager, text, sizeof(text), 0);
        if (n < 0)
            continue;
        assert_int_equal(n, strlen("WATCHDOG=1"));
        assert_memory_equal(text, "WATCHDOG=1", (size_t)n);
        count++;
    }
    return count;
}

static void tells_while_all_turn(void **state UNUSED)
{
    watchdog_start(&watchdog, loop, workers, 2);
    assert_int_equal(told(LOOKS, 2), LOOKS);
    assert_int_equal(told(LOOKS, 1), 0);
    assert_int_equal(told(LOOKS, 0), 0);
    assert_int_equal(told(1, 2), 1);
}

static void is_off_unless_asked_for(void **state UNUSED)
{
    static const struct {
        const char *usec, *pid;
    } cases[] = {
        {NULL, NULL}, {"0", NULL}, {"", NULL}, {USEC, "1"}, {"18446744073709551615", NULL}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        unsetenv("WATCHDOG_USEC");
        if (cases[i].usec != NULL)
            setenv("WATCHDOG_USEC", cases[i].usec, 1);
        if (cases[i].pid != NULL)
            setenv("WATCHDOG_PID", cases[i].pid, 1);
        watchdog_start(&watchdog, loop, workers, 2);
        assert_false(timer_is_armed(&watchdog.timer));
        watchdog_stop(&watchdog);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_while_all_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(is_off_unless_asked_for, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
