/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_CHECK_H
#define RINGGATE_GATEWAY_CHECK_H

/* `ringgate check`: reads files as `run` would, binds nothing and tells
 * everything that is wrong with them at once. */

#define CHECK_EXIT_WARNINGS 1 /* with --strict */
#define CHECK_EXIT_USAGE 2
#define CHECK_EXIT_ERRORS 78 /* EX_CONFIG */

/* argv[0] is "check". Prints to standard output, usage errors to standard error; returns the
 * process' exit status. */
int check_run(int argc, char **argv);

#endif
