/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/uring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

/* A watch's operation outlives the watch when it is stopped while armed. */
struct uring_watch {
    struct op op;
    struct uring *uring;
    struct watch *watch; /* NULL: stopped */
};

static void watch_arm(struct uring_watch *state)
{
    struct io_uring_sqe *sqe = uring_sqe(state->uring, &state->op);
    /* One shot, armed anew after each call: arming looks at the level. */
    io_uring_prep_poll_add(sqe, state->watch->fd, state->watch->events);
    io_uring_sqe_set_data(sqe, &state->op);
}

static void on_watch(struct op *op, int res, uint32_t flags)
{
    (void)flags;
    struct uring_watch *state = container_of(op, struct uring_watch, op);
    struct watch *watch = state->watch;
    if (watch && res != -ECANCELED)
        watch->on_ready(watch, res < 0 ? POLLERR : (unsigned)res);
    if (state->watch) {
        watch_arm(state);
        return;
    }
    state->uring->engine.loop->holds--;
    free(state);
}

int uring_watch_start(struct engine *engine, struct watch *watch)
{
    struct uring_watch *state = calloc(1, sizeof(*state));
    if (!state)
        return -ENOMEM;
    *state = (struct uring_watch){
        .op = {.on_done = on_watch}, .uring = uring_of(engine), .watch = watch};
    watch->engine_state = state;
    engine->loop->holds++;
    watch_arm(state);
    return 0;
}

void uring_watch_stop(struct engine *engine, struct watch *watch)
{
    struct uring_watch *state = watch->engine_state;
    state->watch = NULL;
    /* Not armed: it is being stopped from its own callback, which frees it. */
    uring_cancel(uring_of(engine), &state->op);
}
