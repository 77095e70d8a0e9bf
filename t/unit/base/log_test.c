/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Lines go to a file without a name; each test reads what it wrote. */
static int log_file;
static char content[1 << 20];

static size_t content_read(void)
{
    ssize_t n = pread(log_file, content, sizeof(content) - 1, 0);
    assert_true(n >= 0);
    content[n] = '\0';
    assert_int_equal(ftruncate(log_file, 0), 0);
    assert_int_equal(lseek(log_file, 0, SEEK_SET), 0);
    return (size_t)n;
}

static unsigned lines_count(void)
{
    unsigned count = 0;
    for (const char *c = content; *c != '\0'; c++)
        count += *c == '\n';
    return count;
}

static void all_kinds(void)
{
    log_event(LOG_LEVEL_WARN, "test line", LOG_STR("plain", "0.0.0.0:8443"),
              LOG_STR("spaced", "a \"b\"\n"), LOG_STR("absent", NULL), LOG_STR("empty", ""),
              LOG_SPAN("span", SPAN_LIT("x=y")), LOG_INT("number", -5), LOG_ERRNO(-ENOENT));
}

static void test_text(void **state)
{
    (void)state;
    log_setup(log_file, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    all_kinds();
    log_event(LOG_LEVEL_INFO, "listening", LOG_STR("address", "0.0.0.0:8443"));
    content_read();
    char *second = strchr(content, '\n') + 1;
    assert_int_equal(content[10], 'T');
    assert_int_equal(content[23], 'Z');
    static const char wanted[] =
        " warn  test line plain=0.0.0.0:8443 spaced=\"a \\\"b\\\"\\n\" empty=\"\" "
        "span=\"x=y\" number=-5 error=\"No such file or directory\"\n";
    assert_memory_equal(content + 24, wanted, sizeof(wanted) - 1);
    assert_string_equal(second + 24, " info  listening address=0.0.0.0:8443\n");
}

static void test_journal_and_json(void **state)
{
    (void)state;
    log_setup(log_file, LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    all_kinds();
    content_read();
    static const char wanted[] = "<4>test line plain=0.0.0.0:8443 spaced=";
    assert_memory_equal(content, wanted, sizeof(wanted) - 1);

    log_setup(log_file, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    all_kinds();
    content_read();
    assert_memory_equal(content, "{\"time\":\"", 9);
    assert_string_equal(content + 9 + 24,
                        "\",\"level\":\"warn\",\"message\":\"test line\","
                        "\"plain\":\"0.0.0.0:8443\",\"spaced\":\"a \\\"b\\\"\\n\",\"empty\":\"\","
                        "\"span\":\"x=y\",\"number\":-5,"
                        "\"error\":\"No such file or directory\"}\n");
}

static void test_level(void **state)
{
    (void)state;
    log_setup(log_file, LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    log_event(LOG_LEVEL_INFO, "not shown", LOG_INT("n", 1));
    log_event(LOG_LEVEL_DEBUG, "not shown", LOG_INT("n", 1));
    assert_int_equal(content_read(), 0);
    log_event(LOG_LEVEL_ERROR, "shown", LOG_INT("n", 1));
    assert_true(content_read() > 0);
}

static void test_long_values(void **state)
{
    (void)state;
    static char text[10000];
    memset(text, 'v', sizeof(text) - 1);
    static const enum log_format formats[] = {LOG_FORMAT_TEXT, LOG_FORMAT_JSON};
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
        log_setup(log_file, LOG_LEVEL_INFO, formats[i]);
        log_event(LOG_LEVEL_INFO, "long", LOG_STR("a", text), LOG_INT("after", 1));
        content_read();
        assert_non_null(strstr(content, "vvv..."));
        assert_non_null(strstr(content, "after"));
        assert_null(strstr(content, "truncated"));
        /* Seven of them are too long for a line: whole fields are left out. */
        log_event(LOG_LEVEL_INFO, "long", LOG_STR("a", text), LOG_STR("b", text),
                  LOG_STR("c", text), LOG_STR("d", text), LOG_STR("e", text), LOG_STR("f", text));
        size_t len = content_read();
        assert_in_range(len, 3000, 4096);
        assert_int_equal(content[len - 1], '\n');
        assert_int_equal(lines_count(), 1);
        assert_non_null(strstr(content, "truncated"));
        assert_null(strstr(content, " d="));
        assert_null(strstr(content, "\"d\":"));
    }
    log_setup(log_file, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    /* Bytes that each take six when escaped still leave a whole line. */
    memset(text, '\x01', sizeof(text) - 1);
    log_event(LOG_LEVEL_INFO, "long", LOG_STR("a", text), LOG_INT("after", 1));
    content_read();
    assert_int_equal(lines_count(), 1);
    assert_non_null(strstr(content, "truncated=true\n"));
}

static void test_rate_limit(void **state)
{
    (void)state;
    static struct log_site site;
    log_setup(log_file, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (unsigned i = 0; i < LOG_SITE_LINES_MAX + 7; i++)
        log_write(&site, LOG_LEVEL_INFO, "many", LOG_INT("n", i), LOG_END);
    content_read();
    assert_int_equal(lines_count(), LOG_SITE_LINES_MAX);
    assert_null(strstr(content, "suppressed"));
    /* The window ended: move its start back instead of waiting. */
    site.window_start_ns -= LOG_SITE_WINDOW_NS;
    log_write(&site, LOG_LEVEL_INFO, "many", LOG_INT("n", 99), LOG_END);
    log_write(&site, LOG_LEVEL_INFO, "many", LOG_INT("n", 100), LOG_END);
    content_read();
    assert_non_null(strstr(content, "n=99 suppressed=7\n"));
    assert_non_null(strstr(content, "n=100\n"));
}

static void *thread_main(void *arg)
{
    struct log_site sites[50] = {{0}};
    for (unsigned i = 0; i < 50 * LOG_SITE_LINES_MAX; i++)
        log_write(&sites[i % 50], LOG_LEVEL_INFO, "line", LOG_INT("n", i), LOG_END);
    return arg;
}

static void test_threads(void **state)
{
    (void)state;
    log_setup(log_file, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_main, NULL), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    content_read();
    assert_int_equal(lines_count(), 4 * 50 * LOG_SITE_LINES_MAX);
    for (char *line = content; *line != '\0'; line = strchr(line, '\n') + 1)
        assert_memory_equal(line + 23, "Z info  line n=", 15);
}

static int file_open(void **state)
{
    (void)state;
    char name[] = "/tmp/log_test_XXXXXX";
    log_file = mkstemp(name);
    if (log_file < 0)
        return -1;
    /* Appending, as a log is: lines of threads do not overwrite each other. */
    if (fcntl(log_file, F_SETFL, O_APPEND) != 0)
        return -1;
    return unlink(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),       cmocka_unit_test(test_journal_and_json),
        cmocka_unit_test(test_level),      cmocka_unit_test(test_long_values),
        cmocka_unit_test(test_rate_limit), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("log", tests, file_open, NULL);
}
