/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/settings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/settings_env.h"

static void test_values(void **state)
{
    static const struct {
        const char *name, *value;
        int result;
    } cases[] = {
        {"head_bytes_max", "1024", 0},
        {"head_bytes_max", "64k", 0},
        {"head_bytes_max", "1023", -ERANGE},
        {"head_bytes_max", "65537", -ERANGE},
        {"head_bytes_max", "0", -ERANGE},
        {"head_bytes_max", "", -EINVAL},
        {"head_bytes_max", "-1", -EINVAL},
        {"header_timeout", "0", 0},
        {"header_timeout", "1h", 0},
        {"header_timeout", "1h1ms", -ERANGE},
        {"header_timeout", "10", -EINVAL},
        {"header_timeout", "10 s", -EINVAL},
        {"header_timeout", "4294967295h", -EINVAL}, /* more than 64 bits of nanoseconds */
        {"header_timeout", "", -EINVAL},
        {"trusted_hops", "16", 0},
        {"trusted_hops", "17", -ERANGE},
        {"trusted_hops", "x", -EINVAL},
        {"allow_underscores", "true", 0},
        {"allow_underscores", "yes", -EINVAL},
        {"tcp_congestion", "reno", 0},
        {"tcp_congestion", "a-name-that-is-too-long", -ERANGE},
        {"log_level", "debug", 0},
        {"log_level", "loud", -EINVAL},
        {"log_level", "warn,", -EINVAL},
        {"log_format", "", -EINVAL},
        {"access_log_format", "json", 0},
        {"access_log_format", "xml", -EINVAL},
        {"no_such_setting", "1", -EINVAL},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct settings settings;
        struct err err = {0};
        settings_init(&settings);
        int r = settings_set(&settings, cases[i].name, cases[i].value, &err);
        if (r != cases[i].result)
            fail_msg("%s=%s: %d %s", cases[i].name, cases[i].value, r, err.text);
        if (r != 0)
            assert_non_null(strstr(err.text, cases[i].name));
        settings_fini(&settings);
    }
}

static void test_sources(void **state)
{
    struct settings settings;
    struct err err = {0};
    (void)state;
    settings_init(&settings);
    assert_int_equal(settings.head_bytes_max, 32768);
    assert_int_equal(settings.header_timeout, 10 * NS_PER_S);
    struct diags diags;
    diags_init(&diags);
    assert_int_equal(setenv("RINGGATE_HEADER_TIMEOUT", "1m30s", 1), 0);
    assert_int_equal(settings_env_load(&settings, &diags), 0);
    assert_int_equal(diags.count, 0);
    assert_int_equal(settings.header_timeout, 90 * NS_PER_S);
    assert_int_equal(settings_set_pair(&settings, "header_timeout=500ms", &err), 0);
    assert_int_equal(settings.header_timeout, 500 * NS_PER_MS);
    assert_int_equal(settings_set_pair(&settings, "header_timeout", &err), -EINVAL);
    assert_int_equal(setenv("RINGGATE_HEADER_TIMEOUT", "soon", 1), 0);
    assert_int_equal(settings_env_load(&settings, &diags), -EINVAL);
    assert_int_equal(diags.count, 1);
    assert_int_equal(diags.items[0]->code, DIAG_SETTING);
    assert_string_equal(diags.items[0]->field, "RINGGATE_HEADER_TIMEOUT");
    assert_non_null(strstr(diags.items[0]->message, "header_timeout"));
    assert_int_equal(unsetenv("RINGGATE_HEADER_TIMEOUT"), 0);
    diags_fini(&diags);
    settings_fini(&settings);
}

static void test_unknown_variables(void **state)
{
    (void)state;
    static const struct {
        const char *name, *hint; /* NULL: not warned of */
    } cases[] = {
        {"RINGGATE_HEADER_TIMOUT", "did you mean RINGGATE_HEADER_TIMEOUT?"},
        {"RINGGATE_header_timeout", "did you mean RINGGATE_HEADER_TIMEOUT?"},
        {"RINGGATE_SERVICE_HOST", ""},
        {"RINGGATE_", ""},
        {"RINGGATE", NULL},
        {"OTHER_HEADER_TIMEOUT", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct settings settings;
        struct diags diags;
        settings_init(&settings);
        diags_init(&diags);
        assert_int_equal(setenv(cases[i].name, "5s", 1), 0);
        assert_int_equal(settings_env_load(&settings, &diags), 0);
        assert_int_equal(diags.count, cases[i].hint != NULL);
        if (diags.count > 0) {
            assert_int_equal(diags.items[0]->code, DIAG_ENVIRONMENT_UNKNOWN);
            assert_string_equal(diags.items[0]->field, cases[i].name);
            assert_string_equal(diags.items[0]->hint, cases[i].hint);
        }
        assert_int_equal(unsetenv(cases[i].name), 0);
        diags_fini(&diags);
        settings_fini(&settings);
    }
}

/* What runs the tests may have variables of that kind. */
static int forget_variables(void **state)
{
    (void)state;
    for (char **entry = environ; *entry != NULL;) {
        struct span name, value;
        char text[128];
        bool is_ours = span_split(span_str(*entry), '=', &name, &value) &&
                       span_starts_with(name, SPAN_LIT("RINGGATE_"));
        if (is_ours && name.len < sizeof(text)) {
            memcpy(text, name.ptr, name.len);
            text[name.len] = '\0';
            assert_int_equal(unsetenv(text), 0);
            entry = environ;
        } else {
            entry++;
        }
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_unknown_variables),
    };
    return cmocka_run_group_tests(tests, forget_variables, NULL);
}
