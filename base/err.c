/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts text that did not fit so that no UTF-8 character stays half, and takes
 * line ends out: an error is one line wherever it is shown. */
static void text_tidy(char *text, size_t size, int wanted)
{
    size_t len = strlen(text);
    if (wanted >= 0 && (size_t)wanted >= size) {
        size_t start = len;
        while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
            start--;
        if (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0xc0) {
            unsigned char lead = (unsigned char)text[start - 1];
            size_t needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
            if (len - (start - 1) < needed)
                text[start - 1] = '\0';
        }
    }
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    }
}

static void err_fill(struct err *err, const char *format, va_list args) PRINTF_LIKE(2, 0);
static void err_fill(struct err *err, const char *format, va_list args)
{
    /* Through a copy: an argument may be the old text. */
    char text[sizeof(err->text)];
    int wanted = vsnprintf(text, sizeof(text), format, args);
    text_tidy(text, sizeof(text), wanted);
    memcpy(err->text, text, sizeof(text));
}

int err_set(struct err *err, int code, const char *format, ...)
{
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, format);
    err_fill(err, format, args);
    va_end(args);
    err->code = code;
    err->line = err->column = 0;
    return code;
}

int err_set_at(struct err *err, int code, unsigned line, unsigned column, const char *format, ...)
{
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, format);
    err_fill(err, format, args);
    va_end(args);
    err->code = code;
    err->line = line;
    err->column = column;
    return code;
}

void err_prefix(struct err *err, const char *format, ...)
{
    if (err == NULL)
        return;
    char before[sizeof(err->text)], both[sizeof(err->text)];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(before, sizeof(before), format, args);
    va_end(args);
    text_tidy(before, sizeof(before), wanted);
    wanted = snprintf(both, sizeof(both), "%s: %s", before, err->text);
    text_tidy(both, sizeof(both), wanted);
    memcpy(err->text, both, sizeof(both));
}
