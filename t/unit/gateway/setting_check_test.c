/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/setting_check.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void checks_texts(void **state UNUSED)
{
    static const struct {
        const char *name, *value;
        int result;
    } cases[] = {
        {"dns_servers", "", 0},
        {"dns_servers", "192.0.2.1, 192.0.2.2:5353", 0},
        {"dns_servers", "dns.example", -EINVAL},
        {"dns_servers", "192.0.2.1:99999", -EINVAL},
        {"trusted_cidrs", "", 0},
        {"trusted_cidrs", "10.0.0.0/8,::1, ", 0},
        {"trusted_cidrs", "10.0.0.1/8", -EINVAL},
        {"trusted_cidrs", "10.0.0.0/8 11.0.0.0/8", -EINVAL},
        {"tcp_congestion", "", 0},
        {"tcp_congestion", "reno", 0},
        {"tcp_congestion", "anything", -EINVAL},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct settings settings;
        struct err err = {0};
        settings_init(&settings);
        settings.check = setting_check;
        int rc = settings_set(&settings, cases[i].name, cases[i].value, &err);
        if (rc != cases[i].result)
            fail_msg("%s=%s: %d %s", cases[i].name, cases[i].value, rc, err.text);
        if (rc != 0)
            assert_non_null(strstr(err.text, cases[i].name));
        settings_fini(&settings);
    }
}

static void reads_ranges(void **state UNUSED)
{
    struct addr_range *ranges;
    unsigned count;
    struct addr addr;
    assert_int_equal(setting_ranges("10.0.0.0/8,,2001:db8::/32", &ranges, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(addr_from_ip(SPAN_LIT("2001:db8::5"), 0, &addr), 0);
    assert_true(addr_range_has(&ranges[1], &addr));
    assert_false(addr_range_has(&ranges[0], &addr));
    free(ranges);
}

static void finds_the_file(void **state UNUSED)
{
    struct settings settings;
    struct conf_source *source;
    struct diags diags;
    settings_init(&settings);
    diags_init(&diags);
    assert_int_equal(setting_load_file(&settings, "", &diags, &source), 0);
    assert_int_equal(setting_load_file(&settings, "/nonexistent/ringgate.conf", &diags, &source),
                     -EINVAL);
    assert_int_equal(diags.errors, 1);
    assert_non_null(strstr(diags.items[0]->message, "/nonexistent/ringgate.conf"));
    diags_fini(&diags);
    settings_fini(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_texts),
        cmocka_unit_test(reads_ranges),
        cmocka_unit_test(finds_the_file),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
