/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/check.h"
#include "gateway/control.h"
#include "gateway/demo.h"
#include "gateway/run.h"

#define EXIT_USAGE 2

static const char main_usage[] =
    "Usage: ringgate COMMAND [OPTION]...\n"
    "\n"
    "  run      serve Gateway API objects from files\n"
    "             --config PATH        file or directory, may repeat (/etc/ringgate/conf.d)\n"
    "             --workers N          threads (one a core)\n"
    "             --io ENGINE          auto, uring or epoll (auto)\n"
    "             --admin ADDRESS      ADDR:PORT or unix:PATH (127.0.0.1:15021)\n"
    "             --access-log WHERE   off, a file or - (-)\n"
    "             --access-log-format  text or json (text)\n"
    "             --status-dir DIR     write the status of each object there\n"
    "             --state-dir DIR      keep there what is to outlive the process\n"
    "             --settings FILE      of lines NAME = VALUE (/etc/ringgate/ringgate.conf)\n"
    "             --set NAME=VALUE     a setting, may repeat; see ringgate(8)\n"
    "  check    tell everything that is wrong with files: check [--output text|json]\n"
    "             [--strict] [--settings FILE] [--set NAME=VALUE] PATH...\n"
    "  demo     a working gateway with backends of its own, for a first look\n"
    "  version  print the version\n"
    "\n"
    "Signals to run: TERM drains and stops, HUP reloads, USR1 reopens the access log.\n";

static int main_run(int argc, char **argv)
{
    struct run_options options;
    struct err err;

    run_options_init(&options);
    int rc = EXIT_USAGE;
    int parsed = run_options_parse(&options, argc, argv, &err);
    if (parsed == 0)
        rc = run_gateway(&options);
    else if (parsed == -EBADMSG)
        rc = CONTROL_EXIT_CONFIG;
    else
        fprintf(stderr, "ringgate run: %s\n", err.text);
    run_options_fini(&options);
    return rc;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "run") == 0)
        return main_run(argc - 1, argv + 1);
    if (strcmp(command, "check") == 0)
        return check_run(argc - 1, argv + 1);
    if (strcmp(command, "demo") == 0)
        return demo_run(argc - 1, argv + 1);
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        puts("ringgate " RINGGATE_VERSION);
        return 0;
    }
    bool help = strcmp(command, "help") == 0 || strcmp(command, "--help") == 0;
    fputs(main_usage, help ? stdout : stderr);
    return help ? 0 : EXIT_USAGE;
}
