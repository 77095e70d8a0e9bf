/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/settings_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "conf/objects.h"

struct file_case {
    const char *text;
    const char *findings; /* as printed without excerpts: "line:column message|..." */
};

static const struct file_case file_cases[] = {
    {"", ""},
    {"# nothing\n\n   \n\t# not this either", ""},
    {"idle_timeout=30s\n fields_max =  50 \ndns_servers = \"\"\n", ""},
    {"idle_timeout = 30s\r\n", ""},
    {"idle_timeout 30s\n", "1:1 must be NAME = VALUE"},
    {"\n  idle_timeot = 30s", "2:3 there is no setting \"idle_timeot\""},
    {" = 30s", "1:2 there is no setting \"= 30s\""},
    {"fields_max = many", "1:14 setting fields_max: \"many\" is not a number"},
    {"fields_max =", "1:1 setting fields_max: \"\" is not a number"},
    {"fields_max = 7\nfields_max = 2000\n", "1:14 setting fields_max: 7 is outside 8 to 1000|"
                                            "2:1 setting fields_max is given in line 1 already"},
    {"idle_timeout = \"30s", "1:16 setting idle_timeout: \"\"30s\" is not a time such as 10s, "
                             "500ms or 1h"},
    {"log_level = loud", "1:13 setting log_level: \"loud\" is not one of debug, info, warn, error"},
};

/* Loads text from a real file. */
static int load(struct settings *settings, struct diags *diags, struct span text,
                struct conf_source **source)
{
    char path[] = "/tmp/settings_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_replace(AT_FDCWD, path, text), 0);
    int rc = settings_load_file(settings, path, diags, source);
    unlink(path);
    return rc;
}

static void tells_every_line(void **state UNUSED)
{
    for (unsigned i = 0; i < ARRAY_COUNT(file_cases); i++) {
        const struct file_case *c = &file_cases[i];
        struct conf_source *source;
        struct settings settings;
        struct diags diags;
        struct buf out;
        settings_init(&settings);
        diags_init(&diags);
        buf_init(&out, 65536);
        int rc = load(&settings, &diags, span_str(c->text), &source);
        for (unsigned k = 0; k < diags.count; k++) {
            const struct diag *diag = diags.items[k];
            assert_int_equal(diag->code, DIAG_SETTING);
            buf_printf(&out, "%s%u:%u %s", k > 0 ? "|" : "", diag->pos.line, diag->pos.column,
                       diag->message);
        }
        if (!span_equal_str(buf_span(&out), c->findings))
            fail_msg("%s: %s", c->text, buf_str(&out));
        assert_int_equal(rc, c->findings[0] != '\0' ? -EINVAL : 0);
        buf_fini(&out);
        diags_fini(&diags);
        conf_source_unref(source);
        settings_fini(&settings);
    }
}

static void sets_what_is_right(void **state UNUSED)
{
    static const char text[] = "idle_timeout = 31s\nnonsense\ndns_servers = \"192.0.2.1\"\n";
    struct conf_source *source;
    struct settings settings;
    struct diags diags;
    struct buf out;
    settings_init(&settings);
    diags_init(&diags);
    assert_int_equal(load(&settings, &diags, span_str(text), &source), -EINVAL);
    assert_true(settings.idle_timeout == 31 * NS_PER_S);
    assert_string_equal(settings.dns_servers, "192.0.2.1");
    buf_init(&out, 65536);
    diags_print(&diags, &out, false);
    assert_non_null(strstr(buf_str(&out), "    2 | nonsense\n      | ^~~~~~~~"));
    buf_fini(&out);
    diags_fini(&diags);
    conf_source_unref(source);
    settings_fini(&settings);
}

static void tells_unreadable_files(void **state UNUSED)
{
    struct conf_source *source;
    struct settings settings;
    struct diags diags;
    char *big = calloc(1, 3u << 20);
    settings_init(&settings);
    diags_init(&diags);
    assert_int_equal(settings_load_file(&settings, "/nonexistent/x", &diags, &source), -ENOENT);
    assert_null(source);
    assert_int_equal(diags.count, 0);
    assert_int_equal(settings_load_file(&settings, "/tmp", &diags, &source), -EISDIR);
    conf_source_unref(source);
    memset(big, '\n', 3u << 20);
    assert_int_equal(load(&settings, &diags, span_make(big, 3u << 20), &source), -EFBIG);
    conf_source_unref(source);
    assert_int_equal(diags.errors, 2);
    free(big);
    diags_fini(&diags);
    settings_fini(&settings);
}

/* Any bytes: an answer, and no more findings than lines. */
static void survives_any_bytes(void **state UNUSED)
{
    unsigned seed = 1;
    for (unsigned i = 0; i < 300; i++) {
        char text[200];
        struct conf_source *source;
        struct settings settings;
        struct diags diags;
        for (unsigned k = 0; k < sizeof(text); k++)
            text[k] = "=\n\"# \0a_\xff"[rand_r(&seed) % 10];
        settings_init(&settings);
        diags_init(&diags);
        int rc = load(&settings, &diags, span_make(text, sizeof(text)), &source);
        assert_int_equal(rc, diags.count > 0 ? -EINVAL : 0);
        assert_true(diags.count <= sizeof(text));
        diags_fini(&diags);
        conf_source_unref(source);
        settings_fini(&settings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_every_line),
        cmocka_unit_test(sets_what_is_right),
        cmocka_unit_test(tells_unreadable_files),
        cmocka_unit_test(survives_any_bytes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
