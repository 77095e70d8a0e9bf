/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_METRIC_H
#define RINGGATE_BASE_METRIC_H

/* Counters, gauges and histograms. Every thread adds to a slot array of its
 * own with relaxed stores (no locked instruction); a reader sums all slots.
 * The plain ones are listed in metrics.tbl; those with labels (by route,
 * cluster ...) are made by whoever owns the label values and found by handle. */

#include "base/buf.h"

enum metric_id {
#define METRIC(id, name, type, help) METRIC_##id,
#define METRIC_LABELED(id, name, type, labels, help)
#include "base/metrics.tbl"
#undef METRIC
#undef METRIC_LABELED
    METRIC_COUNT
};

enum metric_family_id {
#define METRIC(id, name, type, help)
#define METRIC_LABELED(id, name, type, labels, help) METRIC_FAMILY_##id,
#include "base/metrics.tbl"
#undef METRIC
#undef METRIC_LABELED
    METRIC_FAMILY_COUNT
};

#define METRIC_THREADS_MAX 130
/* Seconds; the OpenTelemetry HTTP buckets, plus infinity. */
#define METRIC_BUCKETS 15

/* Gives the calling thread a slot; once per thread, before its first metric. Threads that never
 * call it share slot 0 through atomic adds. */
void metric_thread_init(void);

extern __thread uint64_t *metric_slot;
void metric_add_shared(enum metric_id id, int64_t value);

/* Any thread. For gauges the value may be negative. */
static inline void metric_add(enum metric_id id, int64_t value)
{
    if (LIKELY(metric_slot != NULL)) {
        uint64_t v = __atomic_load_n(&metric_slot[id], __ATOMIC_RELAXED);
        __atomic_store_n(&metric_slot[id], v + (uint64_t)value, __ATOMIC_RELAXED);
        return;
    }
    metric_add_shared(id, value);
}

static inline void metric_inc(enum metric_id id)
{
    metric_add(id, 1);
}

/* Sets a gauge that only one thread writes. */
void metric_set(enum metric_id id, int64_t value);
int64_t metric_get(enum metric_id id); /* sum over threads; for tests, admin */

/* A labelled series. The handle lives until process end: at most METRIC_SERIES_MAX per family, then
 * all further ones share the series whose labels read "other". label_values: as many as the
 * family's labels, copied. Any thread, but it locks: keep the handle. Same values give the same
 * handle. */
#define METRIC_SERIES_MAX 4096
struct metric_series;
struct metric_series *metric_series_get(enum metric_family_id family,
                                        const char *const *label_values);
/* Whether it stands for all that came when its family was full. */
bool metric_series_is_other(const struct metric_series *series);
/* Counter or gauge. Any thread; relaxed atomic add. */
void metric_series_add(struct metric_series *series, int64_t value);
/* Gauge: the value from now on. Hidden: not shown until it is set again. Any thread, but one at a
 * time for a series. */
void metric_series_set(struct metric_series *series, int64_t value);
void metric_series_hide(struct metric_series *series);
/* Histogram families (type HISTOGRAM), value in nanoseconds, shown in seconds. */
void metric_series_observe(struct metric_series *series, uint64_t value_ns);

/* Prometheus text format 0.0.4 of everything. Any thread. */
void metric_expose(struct buf *out);

#endif
