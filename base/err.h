/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_ERR_H
#define RINGGATE_BASE_ERR_H

/* An error of the control plane, told to a person: what, where, and what to
 * do. Passed last as `reterr`, filled only on failure, may be NULL. */

#include "base/base.h"

struct err {
    int code; /* negative errno-style value, the function's return value */
    unsigned line, column; /* 1-based position in the input; 0 = not known */
    char text[512]; /* one sentence, no newline; UTF-8; never a secret */
};

/* Fills err (when not NULL) and returns code, so `return err_set(...)` works. */
int err_set(struct err *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same with a position. */
int err_set_at(struct err *err, int code, unsigned line, unsigned column, const char *format, ...)
    PRINTF_LIKE(5, 6);
/* Puts "text: " before what err says. err may be NULL. */
void err_prefix(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
