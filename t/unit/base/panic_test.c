/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/panic.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char report[64 * 1024];

static void child_asserts(void)
{
    int zero = 0;
    ASSERT(zero == 0);
    ASSERT(zero > 4);
}

static void child_unreachable(void)
{
    UNREACHABLE();
}

/* Runs body in a child and collects its stderr; the child must abort. */
static void child_run(void (*body)(void))
{
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none); /* a core file would only be litter */
        (void)signal(SIGABRT, SIG_DFL);
        if (dup2(fds[1], STDERR_FILENO) < 0)
            _exit(2);
        body();
        _exit(1);
    }
    close(fds[1]);
    size_t len = 0;
    ssize_t n;
    while ((n = read(fds[0], report + len, sizeof(report) - 1 - len)) > 0)
        len += (size_t)n;
    report[len] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_report(void **state)
{
    (void)state;
    child_run(child_asserts);
    assert_non_null(strstr(report, "panic_test.c:"));
    assert_non_null(strstr(report, "assertion failed: zero > 4\n"));
    assert_null(strstr(report, "zero == 0"));
}

static void test_unreachable(void **state)
{
    (void)state;
    child_run(child_unreachable);
    assert_non_null(strstr(report, "unreachable code reached"));
}

static void test_allocation(void **state)
{
    (void)state;
    char *empty = xmalloc(0), *zeroes = xcalloc(0, 8), *copy = xstrdup("copy");
    zeroes = xrealloc(zeroes, 100);
    memset(zeroes, 1, 100);
    char *text = xasprintf("%d-%s", 5, copy);
    assert_string_equal(text, "5-copy");
    free(empty);
    free(zeroes);
    free(copy);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_allocation),
    };
    return cmocka_run_group_tests_name("panic", tests, NULL, NULL);
}
