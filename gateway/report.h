/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_REPORT_H
#define RINGGATE_GATEWAY_REPORT_H

/* What a configuration serves, for people: the listeners and a table of the
 * routes. Control thread. */

#include <stdio.h>

#include "gateway/snapshot.h"

/* One row a match; more than that are counted, not shown. */
#define REPORT_ROWS_MAX 200

/* Prints a line for each listener, then ROUTE, RULE, MATCH, BACKEND and POLICIES of every rule.
 * Bytes that are not printable ASCII are shown as '?'. */
void report_print(const struct snapshot *snapshot, FILE *out);

#endif
