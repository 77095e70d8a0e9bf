/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "t/unit/ratelimit/redis_server.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

bool redis_server_is_here(void)
{
    const char *path = getenv("PATH");
    char *copy = strdup(path != NULL ? path : "/usr/bin:/bin"), *rest = copy, *dir;
    bool is_here = false;
    while (!is_here && (dir = strsep(&rest, ":")) != NULL) {
        char name[512];
        snprintf(name, sizeof(name), "%s/redis-server", dir);
        is_here = access(name, X_OK) == 0;
    }
    free(copy);
    return is_here;
}

void redis_server_init(struct redis_server *server)
{
    *server = (struct redis_server){.dir = "/tmp/ringgate-redis-XXXXXX"};
    assert_non_null(mkdtemp(server->dir));
    snprintf(server->socket, sizeof(server->socket), "%s/s", server->dir);
}

static int dial(const struct redis_server *server)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", server->socket);
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
        return fd;
    close(fd);
    return -1;
}

void redis_server_start(struct redis_server *server)
{
    assert_int_equal(server->pid, 0);
    unlink(server->socket);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        /* No orphan when a test aborts. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->socket,
               "--save", "", "--appendonly", "no", "--dir", server->dir, "--logfile", "log",
               "--enable-debug-command", "yes", (char *)NULL);
        _exit(127);
    }
    /* Bounded by count, not by time: a loaded machine may take long. */
    for (int i = 0; i < 2000; i++) {
        int fd = dial(server);
        if (fd >= 0) {
            close(fd);
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail_msg("redis-server does not start");
}

void redis_server_kill(struct redis_server *server)
{
    if (server->pid == 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void redis_server_signal(struct redis_server *server, int signal_number)
{
    assert_int_equal(kill(server->pid, signal_number), 0);
}

void redis_server_fini(struct redis_server *server)
{
    char name[128];
    redis_server_kill(server);
    unlink(server->socket);
    snprintf(name, sizeof(name), "%s/log", server->dir);
    unlink(name);
    snprintf(name, sizeof(name), "%s/dump.rdb", server->dir);
    unlink(name);
    rmdir(server->dir);
}

void redis_server_command(struct redis_server *server, const char *words, char *reply, size_t size)
{
    char line[512];
    int fd = dial(server);
    assert_true(fd >= 0);
    int len = snprintf(line, sizeof(line), "%s\r\n", words);
    assert_int_equal(write(fd, line, (size_t)len), len);
    ssize_t n = read(fd, reply, size - 1);
    assert_true(n > 0);
    reply[n] = 0;
    close(fd);
}

void redis_server_expect(struct redis_server *server, const char *words, const char *expected)
{
    char reply[4096];
    redis_server_command(server, words, reply, sizeof(reply));
    if (strncmp(reply, expected, strlen(expected)) != 0)
        fail_msg("%s: %s", words, reply);
}
