/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/uring.h"

#include <errno.h>
#include <fcntl.h>

static bool accept_is_over(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

static void on_accept(struct op *op, int res, uint32_t flags)
{
    struct listener *listener = container_of(op, struct listener, op);
    if (listener->closing) {
        if (res >= 0)
            listener->on_accept(listener, res);
        if (!(flags & OP_MORE))
            listener->on_released(listener);
        return;
    }
    if (res >= 0 || accept_is_over(res))
        listener->on_accept(listener, res);
    if (!(flags & OP_MORE) && !listener->closing && !accept_is_over(res))
        uring_accept_start(listener);
}

void uring_accept_start(struct listener *listener)
{
    if (listener->op.armed)
        return;
    listener->op.on_done = on_accept;
    struct io_uring_sqe *sqe = uring_sqe(uring_of(listener->loop->engine), &listener->op);
    io_uring_prep_multishot_accept(sqe, listener->fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, &listener->op);
}

static void collect_accepted(struct listener *listener, struct io_uring_cqe *cqe)
{
    if (cqe->user_data != (uint64_t)(uintptr_t)&listener->op || cqe->res < 0)
        return;
    int fd = cqe->res;
    cqe->res = -ECANCELED; /* dispatched as usual, it has nothing more to say */
    listener->on_accept(listener, fd);
}

bool uring_accept_close(struct listener *listener)
{
    struct uring *uring = uring_of(listener->loop->engine);
    /* Connections that the kernel accepted and dispatch has not come to. */
    uring_put_aside(uring);
    for (unsigned i = uring->batch_at; i < uring->batch_count; i++)
        collect_accepted(listener, &uring->batch[i]);
    for (unsigned i = 0; i < uring->aside_count; i++)
        collect_accepted(listener, &uring->aside[i]);
    /* And those of the backlog. */
    int flags = fcntl(listener->fd, F_GETFL);
    (void)fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK);
    (void)engine_sys_accept(listener, 65536); /* its end is the aim, whichever error it is */
    listener->closing = true;
    uring_close_fd(uring, listener->fd, listener->op.armed);
    listener->fd = -1;
    return !listener->op.armed;
}
