/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_OUTCOME_H
#define RINGGATE_GATEWAY_OUTCOME_H

/* Why an exchange or connection ended (gateway/outcomes.tbl): one value, set
 * once, visible in the access log and in ringgate_outcomes_total. */

#include "base/base.h"

enum outcome {
#define OUTCOME(id, flag, name, status, help) OUTCOME_##id,
#include "gateway/outcomes.tbl"
#undef OUTCOME
    OUTCOME_COUNT
};

const char *outcome_flag(enum outcome outcome); /* "UF" */
const char *outcome_name(enum outcome outcome); /* "upstream_connect_failed" */
/* Status that the client is answered with; 0: none of its own. */
unsigned outcome_status(enum outcome outcome);
/* Counts it; any thread that has called outcome_init's process. */
void outcome_count(enum outcome outcome);
/* Makes the metric series; start-up. */
void outcome_init(void);

#endif
