/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/panic.h"

/* A pipe takes up to 4096 bytes whole, so lines of threads do not mix. */
#define LINE_SIZE 4096
/* Kept for the end of the line: " truncated=true", brackets and the newline. */
#define LINE_TAIL 32
#define VALUE_MAX 1024

static int log_fd = STDERR_FILENO;
static enum log_level log_level_min = LOG_LEVEL_INFO;
static enum log_format log_format = LOG_FORMAT_TEXT;

struct line {
    char text[LINE_SIZE];
    size_t len;
    bool full; /* a piece did not fit: the field is taken back */
};

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};
/* Priorities of syslog(3). */
static const char level_priorities[] = {'7', '6', '4', '3'};

void log_setup(int fd, enum log_level level, enum log_format format)
{
    ASSERT(fd >= 0);
    log_fd = fd;
    log_level_min = level;
    log_format = format;
}

static void line_add(struct line *line, const char *text, size_t len)
{
    if (line->full || len > sizeof(line->text) - LINE_TAIL - line->len) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void line_add_str(struct line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

/* Text that needs no quotes in the text format. */
static bool value_is_plain(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return value.len > 0;
}

static void line_add_quoted(struct line *line, struct span value)
{
    char escaped[VALUE_MAX * 6];
    size_t len = json_out_escape(value, escaped, sizeof(escaped));
    line_add(line, "\"", 1);
    line_add(line, escaped, len);
    line_add(line, "\"", 1);
}

static void line_add_key(struct line *line, const char *key)
{
    if (log_format == LOG_FORMAT_JSON) {
        line_add_str(line, ",\"");
        line_add_str(line, key);
        line_add_str(line, "\":");
    } else {
        line_add_str(line, " ");
        line_add_str(line, key);
        line_add_str(line, "=");
    }
}

/* Adds a field, or nothing at all when it does not fit. */
static void line_add_field(struct line *line, const char *key, struct span value)
{
    size_t before = line->len;
    char cut[VALUE_MAX];
    if (value.len > VALUE_MAX) {
        memcpy(cut, value.ptr, VALUE_MAX - 3);
        memcpy(cut + VALUE_MAX - 3, "...", 3);
        value = span_make(cut, VALUE_MAX);
    }
    line_add_key(line, key);
    if (log_format == LOG_FORMAT_JSON || !value_is_plain(value))
        line_add_quoted(line, value);
    else
        line_add(line, value.ptr, value.len);
    if (line->full)
        line->len = before;
}

static void line_add_int(struct line *line, const char *key, long long value)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%lld", value);
    size_t before = line->len;
    line_add_key(line, key);
    line_add(line, digits, (size_t)len);
    if (line->full)
        line->len = before;
}

static void line_begin(struct line *line, enum log_level level, const char *message)
{
    char time[CLOCK_ISO_SIZE];
    line->len = 0;
    line->full = false;
    switch (log_format) {
    case LOG_FORMAT_JOURNAL:
        line_add_str(line, "<");
        line_add(line, &level_priorities[level], 1);
        line_add_str(line, ">");
        line_add_str(line, message);
        break;
    case LOG_FORMAT_TEXT:
        clock_iso(clock_wall_ns(), time);
        line_add_str(line, time);
        line_add_str(line, " ");
        line_add_str(line, level_names[level]);
        line_add(line, "  ", 6 - strlen(level_names[level]));
        line_add_str(line, message);
        break;
    case LOG_FORMAT_JSON:
        clock_iso(clock_wall_ns(), time);
        line_add_str(line, "{\"time\":\"");
        line_add_str(line, time);
        line_add_str(line, "\",\"level\":\"");
        line_add_str(line, level_names[level]);
        line_add_str(line, "\",\"message\":");
        line_add_quoted(line, span_str(message));
        break;
    }
}

static void line_end(struct line *line)
{
    const char *tail = "\n";
    if (log_format == LOG_FORMAT_JSON)
        tail = line->full ? ",\"truncated\":true}\n" : "}\n";
    else if (line->full)
        tail = " truncated=true\n";
    size_t len = strlen(tail);
    ASSERT(len <= LINE_TAIL);
    memcpy(line->text + line->len, tail, len);
    line->len += len;
}

/* Counts the line against its site. false: over the limit. ret_suppressed gets
 * how many of the window before were left out. Threads may race at the turn of
 * a window; then a line more or less is written, which does no harm. */
static bool site_admit(struct log_site *site, unsigned *ret_suppressed)
{
    uint64_t now = clock_mono_ns();
    uint64_t start = __atomic_load_n(&site->window_start_ns, __ATOMIC_RELAXED);
    if ((start == 0 || now - start >= LOG_SITE_WINDOW_NS) &&
        __atomic_compare_exchange_n(&site->window_start_ns, &start, now, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        *ret_suppressed = __atomic_exchange_n(&site->suppressed, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&site->count, 1, __ATOMIC_RELAXED);
        return true;
    }
    *ret_suppressed = 0;
    if (__atomic_add_fetch(&site->count, 1, __ATOMIC_RELAXED) <= LOG_SITE_LINES_MAX)
        return true;
    __atomic_add_fetch(&site->suppressed, 1, __ATOMIC_RELAXED);
    return false;
}

static void fields_add(struct line *line, va_list fields)
{
    for (;;) {
        enum log_field_kind kind = (enum log_field_kind)va_arg(fields, int);
        if (kind == LOG_FIELD_END)
            return;
        const char *key = va_arg(fields, const char *);
        const char *text;
        char error[128];
        int len;
        switch (kind) {
        case LOG_FIELD_STR:
            text = va_arg(fields, const char *);
            if (text != NULL)
                line_add_field(line, key, span_str(text));
            break;
        case LOG_FIELD_SPAN:
            len = va_arg(fields, int);
            text = va_arg(fields, const char *);
            if (text != NULL)
                line_add_field(line, key, span_make(text, (size_t)MAX(len, 0)));
            break;
        case LOG_FIELD_INT:
            line_add_int(line, key, va_arg(fields, long long));
            break;
        case LOG_FIELD_ERRNO:
            text = strerror_r(-va_arg(fields, int), error, sizeof(error));
            line_add_field(line, key, span_str(text));
            break;
        case LOG_FIELD_END:
        default:
            UNREACHABLE();
        }
    }
}

void log_write(struct log_site *site, enum log_level level, const char *message, ...)
{
    unsigned suppressed;
    if (level < log_level_min || !site_admit(site, &suppressed))
        return;
    int saved_errno = errno;
    struct line line;
    line_begin(&line, level, message);
    va_list fields;
    va_start(fields, message);
    fields_add(&line, fields);
    va_end(fields);
    if (suppressed > 0)
        line_add_int(&line, "suppressed", suppressed);
    line_end(&line);
    ssize_t n;
    do {
        n = write(log_fd, line.text, line.len);
    } while (n < 0 && errno == EINTR);
    errno = saved_errno; /* a log that cannot be written is lost, and nobody else's concern */
}
