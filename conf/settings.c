/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/panic.h"
#include "base/span.h"

enum setting_type { SETTING_INT, SETTING_SIZE, SETTING_TIME, SETTING_BOOL, SETTING_TEXT };

struct setting_row {
    const char *name;
    enum setting_type type;
    size_t offset;
    uint64_t min, max; /* TEXT: max length */
};

static const struct setting_row setting_rows[] = {
#define SETTING(member, type, value, min, max, help)                                               \
    {#member, SETTING_##type, offsetof(struct settings, member), min, max},
#include "conf/settings.tbl"
#undef SETTING
};

void settings_init(struct settings *settings)
{
    settings->check = NULL;
#define SETTING_VALUE_INT(value) (value)
#define SETTING_VALUE_SIZE(value) (value)
#define SETTING_VALUE_TIME(value) (value)
#define SETTING_VALUE_BOOL(value) (value)
#define SETTING_VALUE_TEXT(value) xstrdup(value)
#define SETTING(member, type, value, min, max, help) settings->member = SETTING_VALUE_##type(value);
#include "conf/settings.tbl"
#undef SETTING
}

void settings_fini(struct settings *settings)
{
    for (unsigned i = 0; i < ARRAY_COUNT(setting_rows); i++)
        if (setting_rows[i].type == SETTING_TEXT)
            free(*(char **)(void *)((char *)settings + setting_rows[i].offset));
}

struct setting_unit {
    const char *name;
    uint64_t factor;
};

static const struct setting_unit time_units[] = {
    {"ms", NS_PER_MS}, {"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}};
static const struct setting_unit size_units[] = {
    {"k", 1024}, {"m", 1024 * 1024}, {"g", 1024 * 1024 * 1024}};

/* Number and unit, again and again: "1h30m". A bare number has the unit 1 (sizes) or must be 0. */
static int parse_units(struct span text, const struct setting_unit *units, unsigned count,
                       uint64_t *ret)
{
    uint64_t sum = 0;
    while (text.len > 0) {
        size_t digits = 0, letters;
        uint64_t number, factor = 0;
        while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
            digits++;
        if (span_to_u64(span_make(text.ptr, digits), UINT32_MAX, &number) != 0)
            return -EINVAL;
        text = span_skip(text, digits);
        for (letters = 0; letters < text.len; letters++)
            if (text.ptr[letters] >= '0' && text.ptr[letters] <= '9')
                break;
        for (unsigned i = 0; i < count; i++)
            if (span_equal_fold(span_make(text.ptr, letters), span_str(units[i].name)))
                factor = units[i].factor;
        if (letters == 0 && (number == 0 || units == size_units))
            factor = 1;
        if (factor == 0)
            return -EINVAL;
        if (__builtin_mul_overflow(number, factor, &number) ||
            __builtin_add_overflow(sum, number, &sum))
            return -EINVAL;
        text = span_skip(text, letters);
    }
    *ret = sum;
    return 0;
}

/* "10s", "500ms", "1h30m", "0" in nanoseconds. 0; -EINVAL. */
static int parse_time(const char *text, uint64_t *ret_ns)
{
    return text[0] == '\0'
               ? -EINVAL
               : parse_units(span_str(text), time_units, ARRAY_COUNT(time_units), ret_ns);
}

static int parse_bool(struct span text, uint64_t *ret)
{
    if (span_equal_str(text, "true") || span_equal_str(text, "1"))
        *ret = 1;
    else if (span_equal_str(text, "false") || span_equal_str(text, "0"))
        *ret = 0;
    else
        return -EINVAL;
    return 0;
}

static const char *setting_form(enum setting_type type)
{
    static const char *const forms[] = {
        [SETTING_INT] = "a number",
        [SETTING_SIZE] = "bytes such as 32768 or 32k",
        [SETTING_TIME] = "a time such as 10s, 500ms or 1h",
        [SETTING_BOOL] = "true or false",
        [SETTING_TEXT] = "a text",
    };
    return forms[type];
}

static int setting_range_error(const struct setting_row *row, const char *value, struct err *reterr)
{
    if (row->type == SETTING_TIME)
        return err_set(reterr, -ERANGE, "setting %s: %s is outside %" PRIu64 "ms to %" PRIu64 "s",
                       row->name, value, row->min / NS_PER_MS, row->max / NS_PER_S);
    return err_set(reterr, -ERANGE, "setting %s: %s is outside %" PRIu64 " to %" PRIu64, row->name,
                   value, row->min, row->max);
}

/* Texts that are one of a few words. */
static int check_choice(const char *name, struct span value, struct err *reterr)
{
    static const struct {
        const char *name, *words;
    } choices[] = {
        {"access_log_format", "text, json"},
        {"log_level", "debug, info, warn, error"},
        {"log_format", "text, journal, json, auto"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(choices); i++) {
        struct span list = span_str(choices[i].words), word;
        if (strcmp(name, choices[i].name) != 0)
            continue;
        while (list.len > 0) {
            (void)span_split(list, ',', &word, &list);
            if (span_equal(span_trim(word), value))
                return 0;
        }
        return err_set(reterr, -EINVAL, "setting %s: \"%.*s\" is not one of %s", name,
                       SPAN_ARG(value), choices[i].words);
    }
    return 0;
}

static int setting_assign(struct settings *settings, const struct setting_row *row,
                          const char *value, struct err *reterr)
{
    void *member = (char *)settings + row->offset;
    struct span text = span_str(value);
    uint64_t number = 0;
    int rc = 0;

    if (row->type == SETTING_TEXT) {
        if (text.len > row->max)
            return err_set(reterr, -ERANGE, "setting %s: longer than %" PRIu64 " characters",
                           row->name, row->max);
        rc = check_choice(row->name, text, reterr);
        if (rc == 0 && settings->check != NULL)
            rc = settings->check(row->name, value, reterr);
        if (rc != 0)
            return rc;
        char **slot = member;
        free(*slot);
        *slot = xstrdup(value);
        return 0;
    }
    if (row->type == SETTING_TIME)
        rc = parse_time(value, &number);
    else if (row->type == SETTING_SIZE && text.len > 0)
        rc = parse_units(text, size_units, ARRAY_COUNT(size_units), &number);
    else if (row->type == SETTING_BOOL)
        rc = parse_bool(text, &number);
    else
        rc = span_to_u64(text, UINT64_MAX, &number);
    if (rc != 0)
        return err_set(reterr, -EINVAL, "setting %s: \"%s\" is not %s", row->name, value,
                       setting_form(row->type));
    if (number < row->min || number > row->max)
        return setting_range_error(row, value, reterr);
    *(uint64_t *)member = number;
    return 0;
}

int settings_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(setting_rows); i++)
        if (strcmp(setting_rows[i].name, name) == 0)
            return (int)i;
    return -1;
}

const char *settings_name(unsigned index)
{
    ASSERT(index < ARRAY_COUNT(setting_rows));
    return setting_rows[index].name;
}

int settings_set(struct settings *settings, const char *name, const char *value, struct err *reterr)
{
    int index = settings_find(name);
    if (index >= 0)
        return setting_assign(settings, &setting_rows[index], value, reterr);
    return err_set(reterr, -EINVAL, "there is no setting \"%s\"; ringgate(8) lists them", name);
}

int settings_set_pair(struct settings *settings, const char *pair, struct err *reterr)
{
    struct span name, value;
    char text[64];

    if (!span_split(span_str(pair), '=', &name, &value) || name.len >= sizeof(text))
        return err_set(reterr, -EINVAL, "--set %s: must be NAME=VALUE", pair);
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    return settings_set(settings, text, value.ptr != NULL ? value.ptr : "", reterr);
}
