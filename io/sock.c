/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/sock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/acceptor.h"

#define BACKLOG 4096
#define KEEPALIVE_IDLE_S 60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_PROBES 4
#define USER_TIMEOUT_MS 60000u

static int set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* On a listener accepted sockets inherit them. */
static void set_options(int fd, int family)
{
    if (family != AF_INET && family != AF_INET6)
        return;
    /* Each is an improvement only; a kernel that lacks one serves without it. */
    (void)set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    (void)set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    (void)set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    (void)set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    (void)set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
    (void)set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)USER_TIMEOUT_MS);
}

int sock_open(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    set_options(fd, family);
    return fd;
}

static int set_congestion(int fd, const char *name)
{
    socklen_t len = (socklen_t)strlen(name);
    return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, len) < 0 ? -errno : 0;
}

int sock_check_congestion(const char *name, struct err *reterr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    int rc = set_congestion(fd, name);
    (void)close(fd);
    if (rc != -ENOENT && rc != -EPERM)
        return 0;
    return err_set(reterr, -EINVAL, "the kernel %s \"%s\"; see %s",
                   rc == -ENOENT ? "has no" : "does not allow", name,
                   rc == -ENOENT ? "/proc/sys/net/ipv4/tcp_available_congestion_control"
                                 : "/proc/sys/net/ipv4/tcp_allowed_congestion_control");
}

/* Removes a socket file that nobody listens on any more. */
static void remove_stale(const struct addr *addr)
{
    struct stat st;
    if (lstat(addr->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    /* A listener whose backlog is full is one that lives: it must not make us wait. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, &addr->sa, addr->len) < 0 && errno == ECONNREFUSED)
        (void)unlink(addr->un.sun_path); /* bind says so when it is still there */
    (void)close(fd);
}

static int listen_options(int fd, const struct addr *addr, const struct acceptor_options *options)
{
    int rc = 0;
    if (addr->sa.sa_family != AF_UNIX) {
        rc = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (rc == 0 && options->reuse_port)
            rc = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (rc == 0 && addr->sa.sa_family == AF_INET6)
        rc = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, options->v6_only);
    if (rc == 0 && options->congestion)
        rc = set_congestion(fd, options->congestion);
    set_options(fd, addr->sa.sa_family);
    return rc;
}

/* What keeps bind from a path that exists. */
static const char *path_remedy(const struct addr *addr)
{
    struct stat st;
    if (lstat(addr->un.sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return "; a file that is no socket is there: move it or choose another path";
    return "; another process listens there: stop it or choose another path";
}

static int listen_error(const struct addr *addr, int error, const char *step, struct err *reterr)
{
    char text[ADDR_TEXT_SIZE];
    (void)addr_format(addr, text);
    const char *remedy = "";
    if (error == -EADDRINUSE && addr->sa.sa_family == AF_UNIX)
        remedy = path_remedy(addr);
    else if (error == -EADDRINUSE)
        remedy = "; another process listens there: stop it or choose another port";
    else if (error == -EACCES)
        remedy = "; ports below 1024 need CAP_NET_BIND_SERVICE, socket files a writable directory";
    else if (error == -EADDRNOTAVAIL)
        remedy = "; the address is not one of this machine";
    else if (error == -EMFILE)
        remedy = "; raise the limit of open files (LimitNOFILE)";
    return err_set(reterr, error, "cannot listen on %s: %s: %s%s", text, step, strerror(-error),
                   remedy);
}

int sock_listen(const struct addr *addr, const struct acceptor_options *options, struct err *reterr)
{
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return listen_error(addr, -errno, "socket", reterr);
    const char *step = "socket options";
    int rc = listen_options(fd, addr, options);
    if (rc == 0) {
        step = "bind";
        if (addr->sa.sa_family == AF_UNIX)
            remove_stale(addr);
        rc = bind(fd, &addr->sa, addr->len) < 0 ? -errno : 0;
    }
    if (rc == 0) {
        step = "listen";
        rc = listen(fd, options->backlog ? options->backlog : BACKLOG) < 0 ? -errno : 0;
    }
    if (rc < 0) {
        (void)close(fd); /* the first failure is the one to tell */
        return listen_error(addr, rc, step, reterr);
    }
    return fd;
}
