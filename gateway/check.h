/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_CHECK_H
#define RINGGATE_GATEWAY_CHECK_H

/* `ringgate check`: reads files as `run` would, binds nothing and tells
 * everything that is wrong with them at once. */

#include "conf/diag.h"
#include "conf/model.h"

#define CHECK_EXIT_WARNINGS 1 /* with --strict */
#define CHECK_EXIT_USAGE 2
#define CHECK_EXIT_ERRORS 78 /* EX_CONFIG */

/* argv[0] is "check". Prints to standard output, usage errors to standard error; returns the
 * process' exit status. */
int check_run(int argc, char **argv);

/* What the translator cannot see for itself: key pairs and authorities (tls/), regular expressions
 * (routing/). model: made from its objects; diags gets findings. now_s: seconds since 1970, for
 * certificates that have expired. */
void check_model(const struct model *model, int64_t now_s, struct diags *diags);

#endif
