/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_SETTINGS_H
#define RINGGATE_CONF_SETTINGS_H

/* Settings of the process (conf/settings.tbl): defaults, then the settings file, then the
 * environment (RINGGATE_<NAME>), then --set. Read once at start. */

#include "base/clock.h"
#include "base/err.h"

enum {
#define SETTING(member, type, value, min, max, help) SETTINGS_INDEX_##member,
#include "conf/settings.tbl"
#undef SETTING
    SETTINGS_COUNT
};

struct settings {
    /* What else must hold of a text; NULL: nothing. 0; -EINVAL with reterr that names the setting.
     */
    int (*check)(const char *name, const char *value, struct err *reterr);
#define SETTING_MEMBER_INT(member) uint64_t member
#define SETTING_MEMBER_SIZE(member) uint64_t member
#define SETTING_MEMBER_TIME(member) uint64_t member
#define SETTING_MEMBER_BOOL(member) uint64_t member
#define SETTING_MEMBER_TEXT(member) char *member
#define SETTING(member, type, value, min, max, help) SETTING_MEMBER_##type(member);
#include "conf/settings.tbl"
#undef SETTING
};

void settings_init(struct settings *settings); /* defaults */
void settings_fini(struct settings *settings);
/* 0; -EINVAL or -ERANGE with reterr that names setting, value and what is allowed. */
MUST_CHECK int settings_set(struct settings *settings, const char *name, const char *value,
                            struct err *reterr);
/* By name: 0 to SETTINGS_COUNT - 1, or -1. */
int settings_find(const char *name);
const char *settings_name(unsigned index);
/* "name=value". */
MUST_CHECK int settings_set_pair(struct settings *settings, const char *pair, struct err *reterr);

#endif
