/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/metric.h"
#include "base/panic.h"
#include "io/loop_int.h"
#include "io/sock.h"

#define BACKOFF_NS (100 * NS_PER_MS)

/* After acceptor_stop only the engine holds it, until the accept operation's last
 * completion; then it waits for the end of the turn like a conn. */
struct acceptor {
    struct listener listener;
    acceptor_fn *fn; /* NULL: stopped */
    void *user;
    struct timer backoff;
    struct loop_task grave;
};

static void grave_run(struct loop_task *task)
{
    struct acceptor *acceptor = container_of(task, struct acceptor, grave);
    acceptor->listener.loop->holds--;
    free(acceptor);
}

static void on_released(struct listener *listener)
{
    struct acceptor *acceptor = container_of(listener, struct acceptor, listener);
    loop_bury(listener->loop, &acceptor->grave);
}

static void on_accept(struct listener *listener, int fd)
{
    struct acceptor *acceptor = container_of(listener, struct acceptor, listener);
    struct loop *loop = listener->loop;
    if (fd < 0) {
        metric_inc(METRIC_ACCEPT_ERRORS);
        loop_arm(loop, &acceptor->backoff, BACKOFF_NS);
        return;
    }
    if (!acceptor->fn) {
        (void)close(fd); /* came after the stop */
        return;
    }
    struct conn *conn = conn_new(loop, fd);
    if (conn)
        acceptor->fn(acceptor, conn, acceptor->user);
    else /* closed at the cap */
        metric_inc(METRIC_CONNECTIONS_REFUSED);
}

static void on_backoff(struct timer *timer)
{
    struct acceptor *acceptor = container_of(timer, struct acceptor, backoff);
    struct loop *loop = acceptor->listener.loop;
    loop->engine->ops->accept_start(&acceptor->listener);
}

int acceptor_listen(const struct addr *addr, const struct acceptor_options *options,
                    struct err *reterr)
{
    ASSERT(addr->len > 0);
    return sock_listen(addr, options, reterr);
}

struct acceptor *acceptor_start(struct loop *loop, int fd, acceptor_fn *fn, void *user)
{
    ASSERT(fd >= 0 && fn);
    struct acceptor *acceptor = calloc(1, sizeof(*acceptor));
    if (!acceptor)
        return NULL;
    *acceptor = (struct acceptor){
        .listener = {.loop = loop, .fd = fd, .on_accept = on_accept, .on_released = on_released},
        .fn = fn,
        .user = user,
        .grave = {.run = grave_run},
    };
    dlist_init(&acceptor->grave.link);
    timer_init(&acceptor->backoff, on_backoff);
    loop->holds++;
    loop->engine->ops->accept_start(&acceptor->listener);
    return acceptor;
}

void acceptor_stop(struct acceptor *acceptor)
{
    if (!acceptor)
        return;
    struct loop *loop = acceptor->listener.loop;
    loop_disarm(loop, &acceptor->backoff);
    bool released = loop->engine->ops->accept_close(&acceptor->listener);
    acceptor->fn = NULL;
    if (released)
        on_released(&acceptor->listener);
}

int acceptor_fd(const struct acceptor *acceptor)
{
    return acceptor->listener.fd;
}
