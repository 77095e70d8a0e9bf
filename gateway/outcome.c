/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/outcome.h"

#include "base/metric.h"
#include "base/panic.h"

static const struct {
    const char *flag, *name;
    unsigned status;
} outcomes[] = {
#define OUTCOME(id, flag, name, status, help) {flag, name, status},
#include "gateway/outcomes.tbl"
#undef OUTCOME
};

static struct metric_series *outcome_series[OUTCOME_COUNT];

const char *outcome_flag(enum outcome outcome)
{
    ASSERT(outcome < OUTCOME_COUNT);
    return outcomes[outcome].flag;
}

const char *outcome_name(enum outcome outcome)
{
    ASSERT(outcome < OUTCOME_COUNT);
    return outcomes[outcome].name;
}

unsigned outcome_status(enum outcome outcome)
{
    ASSERT(outcome < OUTCOME_COUNT);
    return outcomes[outcome].status;
}

void outcome_count(enum outcome outcome)
{
    ASSERT(outcome < OUTCOME_COUNT);
    metric_series_add(outcome_series[outcome], 1);
}

void outcome_init(void)
{
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        const char *values[] = {outcomes[i].name};
        outcome_series[i] = metric_series_get(METRIC_FAMILY_OUTCOMES, values);
    }
}
