/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/settings_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/panic.h"
#include "conf/objects.h"

#define FILE_SIZE_MAX (1u << 20)
#define VALUE_SIZE 8192 /* the longest text of a setting has half of it */

struct loading {
    struct settings *settings;
    struct diags *diags;
    const struct conf_source *source;
    uint32_t lines[SETTINGS_COUNT]; /* where each was set; 0: not yet */
    unsigned findings;
};

static struct diag *report(struct loading *loading, uint32_t line, struct span text,
                           struct span part)
{
    struct conf_pos pos = {line, (uint32_t)(part.ptr - text.ptr) + 1};
    struct diag *diag = diags_add(loading->diags, DIAG_SETTING, NULL, pos);
    diag->source = loading->source;
    diag->length = (unsigned)MIN(part.len, (size_t)200);
    diag_consequence(diag, "the gateway does not start with it");
    loading->findings++;
    return diag;
}

/* A copy with a NUL; false: longer than any. */
static bool to_string(struct span s, char *out, size_t size)
{
    if (s.len >= size || memchr(s.ptr, '\0', s.len) != NULL)
        return false;
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return true;
}

static struct span unquote(struct span value)
{
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        return span_make(value.ptr + 1, value.len - 2);
    return value;
}

static void report_unknown(struct loading *loading, uint32_t line, struct span text,
                           struct span name)
{
    const char *names[SETTINGS_COUNT];
    for (unsigned i = 0; i < SETTINGS_COUNT; i++)
        names[i] = settings_name(i);
    struct diag *diag = report(loading, line, text, name);
    diag_message(diag, "there is no setting \"%.*s\"", (int)MIN(name.len, (size_t)100), name.ptr);
    const char *near = diag_did_you_mean(name, names, SETTINGS_COUNT);
    if (near != NULL)
        diag_hint(diag, "did you mean \"%s\"?", near);
    else
        diag_hint(diag, "ringgate(8) lists them");
}

/* text: the whole line. */
static void load_line(struct loading *loading, uint32_t line, struct span text)
{
    struct span trimmed = span_trim(text), name, value;
    char name_text[64], value_text[VALUE_SIZE];
    struct err err = {0};

    if (trimmed.len == 0 || trimmed.ptr[0] == '#')
        return;
    if (!span_split(trimmed, '=', &name, &value)) {
        diag_message(report(loading, line, text, trimmed), "must be NAME = VALUE");
        return;
    }
    name = span_trim(name);
    value = span_trim(value);
    int index = to_string(name, name_text, sizeof(name_text)) ? settings_find(name_text) : -1;
    if (index < 0) {
        report_unknown(loading, line, text, name.len > 0 ? name : trimmed);
        return;
    }
    if (loading->lines[index] != 0) {
        diag_message(report(loading, line, text, name), "setting %s is given in line %u already",
                     name_text, loading->lines[index]);
        return;
    }
    loading->lines[index] = line;
    if (!to_string(unquote(value), value_text, sizeof(value_text)))
        err_set(&err, -ERANGE, "setting %s: longer than any value", name_text);
    else if (settings_set(loading->settings, name_text, value_text, &err) == 0)
        return;
    diag_message(report(loading, line, text, value.len > 0 ? value : name), "%s", err.text);
}

static int report_unreadable(struct loading *loading, int result)
{
    struct diag *diag = diags_add(loading->diags, DIAG_FILE_UNREADABLE, NULL, (struct conf_pos){0});
    diag->source = loading->source;
    diag_message(diag, "cannot be read: %s", strerror(-result));
    return result;
}

int settings_load_file(struct settings *settings, const char *path, struct diags *diags,
                       struct conf_source **ret_source)
{
    struct loading loading = {.settings = settings, .diags = diags};
    struct buf buf;

    buf_init(&buf, FILE_SIZE_MAX);
    int result = file_read(AT_FDCWD, path, 0, &buf);
    *ret_source = NULL;
    if (result == -ENOENT) {
        buf_fini(&buf);
        return result;
    }
    char *copy = xmalloc(buf.len + 1);
    memcpy(copy, buf_str(&buf), buf.len);
    copy[buf.len] = '\0';
    struct conf_source *source = conf_source_new(path, copy, buf.len);
    *ret_source = source;
    loading.source = source;
    struct span rest = span_make(copy, buf.len), line;
    buf_fini(&buf);
    if (result != 0)
        return report_unreadable(&loading, result);
    for (uint32_t number = 1; rest.len > 0; number++) {
        (void)span_split(rest, '\n', &line, &rest);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        load_line(&loading, number, line);
    }
    return loading.findings > 0 ? -EINVAL : 0;
}
