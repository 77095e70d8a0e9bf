/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_CONTROL_H
#define RINGGATE_GATEWAY_CONTROL_H

/* The control thread: reads configuration, builds and publishes snapshots,
 * answers signals, drains. Runs on the main thread. */

#include "base/err.h"
#include "conf/settings.h"
#include "gateway/snapshot.h"
#include "io/loop.h"
#include "io/mailbox.h"

/* EX_CONFIG of sysexits.h: the unit does not restart on it. */
#define CONTROL_EXIT_CONFIG 78

struct control;

struct control_options {
    const struct settings *settings;
    const char *const *config; /* files and directories */
    unsigned config_count;
    enum loop_engine engine; /* resolved */
    unsigned workers;
    const char *access_log; /* path, "-", or NULL: off */
    const char *status_dir; /* NULL: none is written */
    const char *state_dir; /* what is to outlive the process; NULL: status_dir */
    /* Told on the control loop after each publish; for the admin server and for start-up output. */
    void (*on_published)(void *user, struct control *control);
    void *user;
};

MUST_CHECK int control_new(struct control **ret, const struct control_options *options,
                           struct err *reterr);
/* Loads the first configuration, starts workers, serves until told to stop. Returns the process's
 * exit code: 0; 78 when the first configuration serves nothing and holds errors. */
int control_run(struct control *control);
void control_free(struct control *control);

struct loop *control_loop(struct control *control);
bool control_is_ready(
    const struct control *control); /* the first configuration serves and we do not drain */
bool control_is_draining(const struct control *control);
const struct snapshot *control_snapshot(const struct control *control); /* newest; control thread */

/* For workers, any thread. */
void control_send(struct control *control, struct mail *mail);
void control_ack(struct control *control, uint64_t generation);
void control_worker_ended(struct control *control);

#endif
