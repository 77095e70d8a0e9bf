/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/watchdog.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/panic.h"
#include "gateway/notify.h"

#define WATCHDOG_LOOKS 4 /* in the time that the manager waits */

static bool workers_have_turned(const struct watchdog *watchdog)
{
    for (unsigned i = 0; i < watchdog->workers_count; i++)
        if (__atomic_load_n(&watchdog->workers[i].beats, __ATOMIC_RELAXED) == watchdog->seen[i])
            return false;
    return true;
}

static void watchdog_on_timer(struct timer *timer)
{
    struct watchdog *watchdog = container_of(timer, struct watchdog, timer);

    loop_arm(watchdog->loop, timer, watchdog->period_ns);
    if (!workers_have_turned(watchdog))
        return;
    for (unsigned i = 0; i < watchdog->workers_count; i++)
        watchdog->seen[i] = __atomic_load_n(&watchdog->workers[i].beats, __ATOMIC_RELAXED);
    notify_send("WATCHDOG=1");
}

/* A decimal number of the environment; 0: none. */
static uint64_t env_number(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

void watchdog_start(struct watchdog *watchdog, struct loop *loop, const struct worker *workers,
                    unsigned workers_count)
{
    uint64_t pid = env_number("WATCHDOG_PID"), usec = env_number("WATCHDOG_USEC");

    *watchdog = (struct watchdog){.loop = loop, .workers = workers, .workers_count = workers_count};
    timer_init(&watchdog->timer, watchdog_on_timer);
    if (usec == 0 || usec > UINT64_MAX / NS_PER_US || (pid != 0 && pid != (uint64_t)getpid()))
        return;
    watchdog->seen = xcalloc(workers_count, sizeof(*watchdog->seen));
    watchdog->period_ns = usec * NS_PER_US / WATCHDOG_LOOKS;
    loop_arm(loop, &watchdog->timer, watchdog->period_ns);
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog->loop != NULL)
        loop_disarm(watchdog->loop, &watchdog->timer);
    free(watchdog->seen);
    *watchdog = (struct watchdog){0};
}
