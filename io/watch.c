/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/engine.h"

#include "base/panic.h"

int watch_start(struct watch *watch, struct loop *loop, int fd, unsigned events,
                void (*on_ready)(struct watch *, unsigned revents))
{
    ASSERT(fd >= 0 && events != 0 && on_ready);
    *watch = (struct watch){.loop = loop, .fd = fd, .events = events, .on_ready = on_ready};
    return loop->engine->ops->watch_start(loop->engine, watch);
}

void watch_stop(struct watch *watch)
{
    if (!watch->engine_state)
        return;
    watch->loop->engine->ops->watch_stop(watch->loop->engine, watch);
    watch->engine_state = NULL;
}
