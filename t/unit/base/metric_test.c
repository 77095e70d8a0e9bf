/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/metric.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void expose(struct buf *buf)
{
    buf_init(buf, 16 * 1024 * 1024);
    metric_expose(buf);
    assert_true(buf_ok(buf));
}

static void *counting_main(void *arg)
{
    if (arg != NULL)
        metric_thread_init();
    for (unsigned i = 0; i < 100000; i++)
        metric_inc(METRIC_CONNECTIONS_TOTAL);
    metric_add(METRIC_CONNECTIONS_OPEN, 5);
    metric_add(METRIC_CONNECTIONS_OPEN, -7);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    /* Some with a slot of their own, some without; the counts outlive them. */
    pthread_t threads[4];
    static int own;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, counting_main, i < 2 ? &own : NULL), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(metric_get(METRIC_CONNECTIONS_TOTAL), 400000);
    assert_int_equal(metric_get(METRIC_CONNECTIONS_OPEN), -8);
    metric_set(METRIC_CONFIG_GENERATION, 7);
    metric_set(METRIC_CONFIG_GENERATION, 3);
    assert_int_equal(metric_get(METRIC_CONFIG_GENERATION), 3);
    struct buf buf;
    expose(&buf);
    assert_non_null(strstr(buf_str(&buf), "\nringgate_downstream_connections_total 400000\n"));
    assert_non_null(strstr(buf_str(&buf), "\nringgate_downstream_connections_open -8\n"));
    assert_non_null(strstr(buf_str(&buf), "# TYPE ringgate_config_generation gauge\n"
                                          "ringgate_config_generation 3\n"));
    buf_fini(&buf);
}

static void test_labels(void **state)
{
    (void)state;
    const char *odd[] = {"a\"b\\c\nd\x01"};
    const char *plain[] = {"ok"};
    struct metric_series *first = metric_series_get(METRIC_FAMILY_OUTCOMES, odd);
    struct metric_series *second = metric_series_get(METRIC_FAMILY_OUTCOMES, plain);
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(first, metric_series_get(METRIC_FAMILY_OUTCOMES, odd));
    metric_series_add(first, 2);
    metric_series_add(second, 3);
    struct buf buf;
    expose(&buf);
    assert_non_null(strstr(buf_str(&buf),
                           "# TYPE ringgate_outcomes_total counter\n"
                           "ringgate_outcomes_total{outcome=\"a\\\"b\\\\c\\nd_\"} 2\n"
                           "ringgate_outcomes_total{outcome=\"ok\"} 3\n"));
    /* A family without a series is not shown. */
    assert_null(strstr(buf_str(&buf), "ringgate_build_info"));
    buf_fini(&buf);
}

static void test_histogram(void **state)
{
    (void)state;
    const char *labels[] = {"g", "l", "n", "r", "0"};
    struct metric_series *series = metric_series_get(METRIC_FAMILY_REQUEST_SECONDS, labels);
    static const uint64_t values[] = {
        0, 5000000, 5000001, UINT64_C(10000000000), UINT64_C(10000000001),
    };
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        metric_series_observe(series, values[i]);
    struct buf buf;
    expose(&buf);
    const char *text = strstr(buf_str(&buf), "# TYPE ringgate_http_request_duration_seconds");
    assert_non_null(text);
#define NAME "ringgate_http_request_duration_seconds"
#define LABELS "gateway=\"g\",listener=\"l\",route_namespace=\"n\",route=\"r\",rule=\"0\""
    assert_non_null(strstr(text, "\n" NAME "_bucket{" LABELS ",le=\"0.005\"} 2\n"));
    assert_non_null(strstr(text, "\n" NAME "_bucket{" LABELS ",le=\"0.01\"} 3\n"));
    assert_non_null(strstr(text, "\n" NAME "_bucket{" LABELS ",le=\"10\"} 4\n"));
    assert_non_null(strstr(text, "\n" NAME "_bucket{" LABELS ",le=\"+Inf\"} 5\n"));
    assert_non_null(strstr(text, "\n" NAME "_sum{" LABELS "} 20.010000002\n"));
    assert_non_null(strstr(text, "\n" NAME "_count{" LABELS "} 5\n"));
    buf_fini(&buf);
}

static void test_series_set(void **state)
{
    (void)state;
    const char *labels[] = {"store", "open"};
    struct metric_series *series =
        metric_series_get(METRIC_FAMILY_RATELIMIT_STORE_STATE, labels);
    static const int64_t values[] = {5, -7, 0, INT64_MAX};
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        struct buf buf;
        char line[120];
        metric_series_set(series, values[i]);
        expose(&buf);
        snprintf(line, sizeof(line), "store_state{store=\"store\",state=\"open\"} %lld\n",
                 (long long)values[i]);
        assert_non_null(strstr(buf_str(&buf), line));
        buf_fini(&buf);
        metric_series_hide(series);
        expose(&buf);
        assert_null(strstr(buf_str(&buf), "store=\"store\""));
        buf_fini(&buf);
    }
}

static void test_series_cap(void **state)
{
    (void)state;
    char names[METRIC_SERIES_MAX + 3][16];
    struct metric_series *series[METRIC_SERIES_MAX + 3];
    for (unsigned i = 0; i < METRIC_SERIES_MAX + 3; i++) {
        snprintf(names[i], sizeof(names[i]), "%u", i);
        const char *labels[] = {"Service", "ns", names[i]};
        series[i] = metric_series_get(METRIC_FAMILY_CERT_NOT_AFTER, labels);
        metric_series_add(series[i], 1);
    }
    assert_ptr_not_equal(series[0], series[METRIC_SERIES_MAX - 1]);
    assert_ptr_not_equal(series[METRIC_SERIES_MAX - 1], series[METRIC_SERIES_MAX]);
    assert_ptr_equal(series[METRIC_SERIES_MAX], series[METRIC_SERIES_MAX + 1]);
    assert_ptr_equal(series[METRIC_SERIES_MAX], series[METRIC_SERIES_MAX + 2]);
    const char *known[] = {"Service", "ns", "0"};
    assert_ptr_equal(series[0], metric_series_get(METRIC_FAMILY_CERT_NOT_AFTER, known));
    struct buf buf;
    expose(&buf);
    assert_non_null(strstr(buf_str(&buf), "ringgate_tls_certs_not_after{kind=\"other\","
                                          "namespace=\"other\",name=\"other\"} 3\n"));
    buf_fini(&buf);
}

/* What a scraper relies on: every sample follows the HELP and TYPE of its
 * family, families are in order, and each line ends. */
static void test_exposition_is_well_formed(void **state)
{
    (void)state;
    struct buf buf;
    expose(&buf);
    struct span rest = buf_span(&buf), line;
    char family[128] = "", last[128] = "";
    unsigned families = 0;
    while (rest.len > 0) {
        assert_true(span_split(rest, '\n', &line, &rest));
        if (span_starts_with(line, SPAN_LIT("# HELP "))) {
            struct span name, help;
            assert_true(span_split(span_skip(line, 7), ' ', &name, &help));
            assert_true(help.len > 0);
            snprintf(family, sizeof(family), "%.*s", SPAN_ARG(name));
            assert_true(strcmp(last, family) < 0);
            snprintf(last, sizeof(last), "%s", family);
            families++;
            continue;
        }
        if (span_starts_with(line, SPAN_LIT("# TYPE "))) {
            assert_true(span_starts_with(span_skip(line, 7), span_str(family)));
            continue;
        }
        assert_true(span_starts_with(line, SPAN_LIT("ringgate_")));
        assert_true(span_starts_with(line, span_str(family)));
    }
    assert_true(families >= METRIC_COUNT);
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_series_set), cmocka_unit_test(test_series_cap),
        cmocka_unit_test(test_exposition_is_well_formed),
    };
    return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
