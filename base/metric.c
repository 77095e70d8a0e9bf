/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/metric.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/hmap.h"
#include "base/panic.h"

#define CACHE_LINE 64
/* Bytes of the label text of one series; more reads "other" too. */
#define LABELS_SIZE_MAX (64 * 1024)

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };

struct metric_info {
    const char *name, *help;
    const char *labels; /* names with commas between; NULL: none */
    enum metric_type type;
};

static const struct metric_info plain_info[METRIC_COUNT] = {
#define METRIC(id, name_, type_, help_)                                                            \
    [METRIC_##id] = {.name = (name_), .help = (help_), .type = METRIC_TYPE_##type_},
#define METRIC_LABELED(id, name, type, labels, help)
#include "base/metrics.tbl"
#undef METRIC
#undef METRIC_LABELED
};

static const struct metric_info family_info[METRIC_FAMILY_COUNT] = {
#define METRIC(id, name, type, help)
#define METRIC_LABELED(id, name_, type_, labels_, help_)                                           \
    [METRIC_FAMILY_##id] = {                                                                       \
        .name = (name_), .help = (help_), .labels = (labels_), .type = METRIC_TYPE_##type_},
#include "base/metrics.tbl"
#undef METRIC
#undef METRIC_LABELED
};

/* Upper bounds; the last bucket has none. */
static const struct {
    uint64_t ns;
    const char *text;
} bounds[METRIC_BUCKETS - 1] = {
    {UINT64_C(5000000), "0.005"},  {UINT64_C(10000000), "0.01"},  {UINT64_C(25000000), "0.025"},
    {UINT64_C(50000000), "0.05"},  {UINT64_C(75000000), "0.075"}, {UINT64_C(100000000), "0.1"},
    {UINT64_C(250000000), "0.25"}, {UINT64_C(500000000), "0.5"},  {UINT64_C(750000000), "0.75"},
    {UINT64_C(1000000000), "1"},   {UINT64_C(2500000000), "2.5"}, {UINT64_C(5000000000), "5"},
    {UINT64_C(7500000000), "7.5"}, {UINT64_C(10000000000), "10"},
};

/* One series lives until the process ends, so readers need no lock: they
 * follow `next` from a head that was published whole. */
struct metric_series {
    struct hmap_node node; /* key: labels */
    struct metric_series *next;
    const char *labels; /* rendered: a="x",b="y" */
    enum metric_type type;
    bool is_other;
    int64_t value;
    uint64_t sum_ns;
    uint64_t buckets[]; /* METRIC_BUCKETS of them in a histogram, not cumulative */
};

#define METRIC_HIDDEN INT64_MIN /* a gauge that has no value now */

struct family_state {
    struct hmap series; /* control thread only */
    struct metric_series *first; /* published with release */
};

static uint64_t slot_shared[METRIC_COUNT];
static uint64_t *slots[METRIC_THREADS_MAX] = {slot_shared};
static unsigned slots_count = 1;
static struct family_state families[METRIC_FAMILY_COUNT];

__thread uint64_t *metric_slot;

void metric_thread_init(void)
{
    if (metric_slot != NULL)
        return;
    unsigned index = __atomic_fetch_add(&slots_count, 1, __ATOMIC_RELAXED);
    if (index >= METRIC_THREADS_MAX)
        return; /* shares slot 0 */
    size_t size = (sizeof(slot_shared) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    uint64_t *slot = aligned_alloc(CACHE_LINE, size);
    if (slot == NULL)
        panic(__FILE__, __LINE__, "out of memory for the counters of a thread");
    memset(slot, 0, size);
    /* Release: a reader that sees the pointer sees the zeroes. The slot stays
     * when its thread ends, because its counts still count. */
    __atomic_store_n(&slots[index], slot, __ATOMIC_RELEASE);
    metric_slot = slot;
}

void metric_add_shared(enum metric_id id, int64_t value)
{
    __atomic_fetch_add(&slot_shared[id], (uint64_t)value, __ATOMIC_RELAXED);
}

void metric_set(enum metric_id id, int64_t value)
{
    ASSERT(plain_info[id].type == METRIC_TYPE_GAUGE);
    uint64_t *slot = metric_slot != NULL ? metric_slot : slot_shared;
    __atomic_store_n(&slot[id], (uint64_t)value, __ATOMIC_RELAXED);
}

int64_t metric_get(enum metric_id id)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < METRIC_THREADS_MAX; i++) {
        const uint64_t *slot = __atomic_load_n(&slots[i], __ATOMIC_ACQUIRE);
        if (slot != NULL)
            sum += __atomic_load_n(&slot[id], __ATOMIC_RELAXED);
    }
    return (int64_t)sum;
}

/* Escapes as the exposition format asks; control characters become '_'. */
static void label_value_add(struct buf *out, const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\\' || *c == '"') {
            buf_add_char(out, '\\');
            buf_add_char(out, *c);
        } else if (*c == '\n') {
            buf_add_str(out, "\\n");
        } else {
            buf_add_char(out, (unsigned char)*c < 0x20 || *c == 0x7f ? '_' : *c);
        }
    }
}

/* NULL values: every label reads "other". */
static void labels_render(struct buf *out, const char *names, const char *const *values)
{
    struct span rest = span_str(names), name;
    bool more = true;
    for (unsigned i = 0; more; i++) {
        more = span_split(rest, ',', &name, &rest);
        if (i > 0)
            buf_add_char(out, ',');
        buf_add_span(out, name);
        buf_add_str(out, "=\"");
        label_value_add(out, values != NULL ? values[i] : "other");
        buf_add_char(out, '"');
    }
}

static struct metric_series *series_new(const struct metric_info *info, const char *labels)
{
    size_t buckets = info->type == METRIC_TYPE_HISTOGRAM ? METRIC_BUCKETS : 0;
    struct metric_series *series =
        xcalloc(1, sizeof(*series) + buckets * sizeof(series->buckets[0]));
    series->type = info->type;
    series->labels = xstrdup(labels);
    return series;
}

/* Making a series is rare (once a rule and class of status); finding one is not on any path. */
static pthread_mutex_t series_lock = PTHREAD_MUTEX_INITIALIZER;

static struct metric_series *series_get(enum metric_family_id family,
                                        const char *const *label_values)
{
    const struct metric_info *info = &family_info[family];
    struct family_state *state = &families[family];
    if (state->series.buckets == NULL)
        hmap_init(&state->series, 0);

    struct buf text;
    buf_init(&text, LABELS_SIZE_MAX);
    labels_render(&text, info->labels, label_values);
    struct hmap_node *node = NULL;
    if (buf_ok(&text))
        node = hmap_find(&state->series, buf_span(&text));
    bool is_other = node == NULL && (!buf_ok(&text) || state->series.count >= METRIC_SERIES_MAX);
    if (is_other) {
        buf_reset(&text);
        labels_render(&text, info->labels, NULL);
        node = hmap_find(&state->series, buf_span(&text));
    }
    struct metric_series *series;
    if (node != NULL) {
        series = container_of(node, struct metric_series, node);
    } else {
        series = series_new(info, buf_str(&text));
        series->is_other = is_other;
        hmap_insert(&state->series, &series->node, span_str(series->labels));
        series->next = state->first;
        __atomic_store_n(&state->first, series, __ATOMIC_RELEASE);
    }
    buf_fini(&text);
    return series;
}

struct metric_series *metric_series_get(enum metric_family_id family,
                                        const char *const *label_values)
{
    ASSERT(family < METRIC_FAMILY_COUNT);
    pthread_mutex_lock(&series_lock);
    struct metric_series *series = series_get(family, label_values);
    pthread_mutex_unlock(&series_lock);
    return series;
}

bool metric_series_is_other(const struct metric_series *series)
{
    return series->is_other;
}

void metric_series_add(struct metric_series *series, int64_t value)
{
    ASSERT(series->type != METRIC_TYPE_HISTOGRAM);
    __atomic_fetch_add(&series->value, value, __ATOMIC_RELAXED);
}

void metric_series_set(struct metric_series *series, int64_t value)
{
    ASSERT(series->type == METRIC_TYPE_GAUGE);
    __atomic_store_n(&series->value, value, __ATOMIC_RELAXED);
}

void metric_series_hide(struct metric_series *series)
{
    metric_series_set(series, METRIC_HIDDEN);
}

void metric_series_observe(struct metric_series *series, uint64_t value_ns)
{
    ASSERT(series->type == METRIC_TYPE_HISTOGRAM);
    unsigned bucket = 0;
    while (bucket < METRIC_BUCKETS - 1 && value_ns > bounds[bucket].ns)
        bucket++;
    __atomic_fetch_add(&series->buckets[bucket], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&series->sum_ns, value_ns, __ATOMIC_RELAXED);
}

static void histogram_expose(struct buf *out, const char *name, const struct metric_series *series)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
        count += __atomic_load_n(&series->buckets[i], __ATOMIC_RELAXED);
        buf_printf(out, "ringgate_%s_bucket{%s,le=\"%s\"} %" PRIu64 "\n", name, series->labels,
                   i < METRIC_BUCKETS - 1 ? bounds[i].text : "+Inf", count);
    }
    uint64_t sum_ns = __atomic_load_n(&series->sum_ns, __ATOMIC_RELAXED);
    buf_printf(out, "ringgate_%s_sum{%s} %" PRIu64 ".%09" PRIu64 "\n", name, series->labels,
               sum_ns / 1000000000, sum_ns % 1000000000);
    buf_printf(out, "ringgate_%s_count{%s} %" PRIu64 "\n", name, series->labels, count);
}

static int series_order(const void *a, const void *b)
{
    const struct metric_series *x = *(struct metric_series *const *)a;
    const struct metric_series *y = *(struct metric_series *const *)b;
    return strcmp(x->labels, y->labels);
}

static void head_expose(struct buf *out, const struct metric_info *info)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    buf_printf(out, "# HELP ringgate_%s %s\n# TYPE ringgate_%s %s\n", info->name, info->help,
               info->name, types[info->type]);
}

static void family_expose(struct buf *out, enum metric_family_id family)
{
    const struct metric_info *info = &family_info[family];
    struct metric_series *first = __atomic_load_n(&families[family].first, __ATOMIC_ACQUIRE);
    if (first == NULL)
        return;
    size_t count = 0;
    for (struct metric_series *series = first; series != NULL; series = series->next)
        count++;
    struct metric_series **sorted = xcalloc(count, sizeof(struct metric_series *));
    size_t at = 0;
    for (struct metric_series *series = first; series != NULL; series = series->next)
        sorted[at++] = series;
    qsort(sorted, count, sizeof(struct metric_series *), series_order);
    head_expose(out, info);
    for (size_t i = 0; i < count; i++) {
        if (info->type == METRIC_TYPE_HISTOGRAM)
            histogram_expose(out, info->name, sorted[i]);
        else if (__atomic_load_n(&sorted[i]->value, __ATOMIC_RELAXED) != METRIC_HIDDEN)
            buf_printf(out, "ringgate_%s{%s} %" PRId64 "\n", info->name, sorted[i]->labels,
                       __atomic_load_n(&sorted[i]->value, __ATOMIC_RELAXED));
    }
    free(sorted);
}

static int info_order(const void *a, const void *b)
{
    const struct metric_info *x = *(const struct metric_info *const *)a;
    const struct metric_info *y = *(const struct metric_info *const *)b;
    return strcmp(x->name, y->name);
}

void metric_expose(struct buf *out)
{
    const struct metric_info *sorted[METRIC_COUNT + METRIC_FAMILY_COUNT];
    size_t count = 0;
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        sorted[count++] = &plain_info[i];
    for (unsigned i = 0; i < METRIC_FAMILY_COUNT; i++)
        sorted[count++] = &family_info[i];
    qsort(sorted, count, sizeof(sorted[0]), info_order);
    for (size_t i = 0; i < count; i++) {
        if (sorted[i]->labels != NULL) {
            family_expose(out, (enum metric_family_id)(sorted[i] - family_info));
            continue;
        }
        head_expose(out, sorted[i]);
        buf_printf(out, "ringgate_%s %" PRId64 "\n", sorted[i]->name,
                   metric_get((enum metric_id)(sorted[i] - plain_info)));
    }
}
