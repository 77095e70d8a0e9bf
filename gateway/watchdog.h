/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_WATCHDOG_H
#define RINGGATE_GATEWAY_WATCHDOG_H

/* Tells the service manager that the process works, as long as it does: the
 * control thread runs and every worker has turned since it was told last. A
 * process that hangs is then ended and started again (WatchdogSec= in
 * systemd.service(5), sd_watchdog_enabled(3)). Control thread. */

#include "gateway/worker.h"

struct watchdog {
    struct loop *loop;
    const struct worker *workers;
    unsigned workers_count;
    uint64_t *seen; /* of each worker, worker.beats when the manager was told last */
    uint64_t period_ns;
    struct timer timer;
};

/* Does nothing unless $WATCHDOG_USEC asks for it. workers: borrowed until watchdog_stop. */
void watchdog_start(struct watchdog *watchdog, struct loop *loop, const struct worker *workers,
                    unsigned workers_count);
void watchdog_stop(struct watchdog *watchdog); /* also when it was never started, but zeroed */

#endif
