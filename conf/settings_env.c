/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/settings_env.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define PREFIX "RINGGATE_"
#define NAME_SIZE 80

/* "RINGGATE_IDLE_TIMEOUT" of "idle_timeout". */
static void variable_of(const char *setting, char out[NAME_SIZE])
{
    size_t at = (size_t)snprintf(out, NAME_SIZE, PREFIX "%s", setting);
    ASSERT(at < NAME_SIZE);
    for (char *p = out; *p != '\0'; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - ('a' - 'A') : *p);
}

/* Index of the setting, or -1. */
static int find_setting(struct span variable)
{
    char name[NAME_SIZE];
    for (unsigned i = 0; i < SETTINGS_COUNT; i++) {
        variable_of(settings_name(i), name);
        if (span_equal_str(variable, name))
            return (int)i;
    }
    return -1;
}

static struct diag *report(struct diags *diags, enum diag_code code, struct span variable)
{
    struct diag *diag = diags_add(diags, code, NULL, (struct conf_pos){0});
    (void)snprintf(diag->object, sizeof(diag->object), "environment");
    diag_field(diag, "%.*s", SPAN_ARG(variable));
    return diag;
}

static void warn_unknown(struct diags *diags, struct span variable)
{
    const char *names[SETTINGS_COUNT];
    char variables[SETTINGS_COUNT][NAME_SIZE];
    for (unsigned i = 0; i < SETTINGS_COUNT; i++) {
        variable_of(settings_name(i), variables[i]);
        names[i] = variables[i] + strlen(PREFIX); /* what all have in common is no likeness */
    }
    struct diag *diag = report(diags, DIAG_ENVIRONMENT_UNKNOWN, variable);
    diag_message(diag, "there is no such setting: the variable has no effect");
    const char *near =
        diag_did_you_mean(span_skip(variable, strlen(PREFIX)), names, SETTINGS_COUNT);
    if (near != NULL)
        diag_hint(diag, "did you mean %s%s?", PREFIX, near);
}

int settings_env_load(struct settings *settings, struct diags *diags)
{
    int result = 0;
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        struct span variable, value;
        struct err err = {0};
        if (!span_split(span_str(*entry), '=', &variable, &value) ||
            !span_starts_with(variable, SPAN_LIT(PREFIX)))
            continue;
        int index = find_setting(variable);
        if (index < 0) {
            warn_unknown(diags, variable);
            continue;
        }
        const char *text = *entry + variable.len + 1;
        if (settings_set(settings, settings_name((unsigned)index), text, &err) == 0)
            continue;
        struct diag *diag = report(diags, DIAG_SETTING, variable);
        diag_message(diag, "%s", err.text);
        diag_consequence(diag, "the gateway does not start with it");
        result = -EINVAL;
    }
    return result;
}
