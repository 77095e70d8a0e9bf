/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_RUN_H
#define RINGGATE_GATEWAY_RUN_H

/* `ringgate run`: puts control thread, workers and admin server together. Also
 * what `ringgate demo` calls. */

#include "base/err.h"
#include "conf/settings.h"
#include "io/loop.h"

struct run_options {
    const char *settings_file; /* NULL: the default one, if it is there; "": none */
    struct settings settings;
    const char **config; /* files and directories */
    unsigned config_count;
    enum loop_engine engine; /* wish */
    unsigned workers; /* 0: one a core that we may run on */
    const char *admin; /* "ADDR:PORT" or "unix:PATH"; NULL: 127.0.0.1:15021 */
    const char *access_log; /* "off", a path, "-"; NULL: "-" */
    const char *status_dir; /* NULL: none */
    const char *state_dir; /* NULL: status_dir */
    bool show_table; /* print what is served as a table on standard output when ready, and after
                        each reload */
    void (*on_ready)(void *user); /* once, after the first configuration serves; may be NULL */
    void *user;
};

/* Fills the defaults. */
void run_options_init(struct run_options *options);
void run_options_fini(struct run_options *options);
/* Parses the words after `run`, after settings file and environment. 0; -EINVAL with reterr (usage:
 * exit 2); -EBADMSG: the settings file is wrong, which is told on standard error (exit 78). */
MUST_CHECK int run_options_parse(struct run_options *options, int argc, char **argv,
                                 struct err *reterr);
/* Serves until told to stop; the process's exit code. */
int run_gateway(const struct run_options *options);

#endif
