/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_LOG_H
#define RINGGATE_BASE_LOG_H

/* The program's own log (not the access log): one line an event on stderr,
 * text "key=value" or JSON, rate-limited per call site. Values are escaped, so
 * untrusted text cannot forge a line. Any thread; one write(2) a line. Workers
 * log only what happens rarely: stderr may block. */

#include "base/span.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
/* TEXT: human, as on a terminal; JOURNAL: the same with a "<N>" priority prefix instead of time and
 * level, which the journal keeps by itself; JSON: one object a line. */
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JOURNAL, LOG_FORMAT_JSON };

/* Start-up, before threads. fd is borrowed. Without it: stderr, INFO, TEXT. */
void log_setup(int fd, enum log_level level, enum log_format format);

struct log_site {
    uint64_t window_start_ns;
    unsigned count, suppressed;
};

/* At most this many lines of one call site in a window; the first line of the next window tells how
 * many were left out as suppressed=N. */
#define LOG_SITE_LINES_MAX 20
#define LOG_SITE_WINDOW_NS (UINT64_C(10) * 1000 * 1000 * 1000)

/* A line ends at 4096 bytes, a value at 1024: longer ones end with "...". message: a short fixed
 * sentence. Then pairs made by the LOG_* field macros, ended by LOG_END. */
void log_write(struct log_site *site, enum log_level level, const char *message, ...);

enum log_field_kind {
    LOG_FIELD_END,
    LOG_FIELD_STR,
    LOG_FIELD_SPAN,
    LOG_FIELD_INT,
    LOG_FIELD_ERRNO
};
/* Field pairs. The text may be NULL (left out). err is a negative errno. */
#define LOG_STR(key, text) LOG_FIELD_STR, (key), (const char *)(text)
#define LOG_SPAN(key, s) LOG_FIELD_SPAN, (key), (int)(s).len, (s).ptr
#define LOG_INT(key, value) LOG_FIELD_INT, (key), (long long)(value)
#define LOG_ERRNO(err) LOG_FIELD_ERRNO, "error", (int)(err)
#define LOG_END LOG_FIELD_END

/* log_event(LOG_LEVEL_INFO, "listening", LOG_STR("address", text)); at least one field. */
#define log_event(level, message, ...)                                                             \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        log_write(&log_site_, (level), (message), __VA_ARGS__, LOG_END);                           \
    } while (0)

#endif
