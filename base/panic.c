/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/panic.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_MAX 64

static int panicking;

/* write(2) and nothing else: stdio may hold a lock or broken memory. */
static void text_write(const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, text, len);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

void panic(const char *file, int line, const char *format, ...)
{
    /* A second thread waits for the first to end the process, so that reports do not mix. */
    if (__atomic_exchange_n(&panicking, 1, __ATOMIC_SEQ_CST) != 0) {
        for (;;)
            pause();
    }

    char text[1024];
    int len = snprintf(text, sizeof(text), "panic: %s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    if (len > 0 && (size_t)len < sizeof(text) - 2)
        (void)vsnprintf(text + len, sizeof(text) - 1 - (size_t)len, format, args);
    va_end(args);
    size_t used = strlen(text);
    text[used++] = '\n';
    text_write(text, used);

    void *frames[FRAMES_MAX];
    int frames_count = backtrace(frames, FRAMES_MAX);
    backtrace_symbols_fd(frames, frames_count, STDERR_FILENO);
    abort();
}

static NORETURN COLD void out_of_memory(size_t size)
{
    panic(__FILE__, __LINE__, "out of memory: %zu bytes were asked for", size);
}

void *xmalloc(size_t size)
{
    void *ptr = malloc(MAX(size, (size_t)1));
    if (UNLIKELY(ptr == NULL))
        out_of_memory(size);
    return ptr;
}

void *xcalloc(size_t count, size_t size)
{
    /* calloc checks the product. */
    void *ptr = calloc(MAX(count, (size_t)1), MAX(size, (size_t)1));
    if (UNLIKELY(ptr == NULL))
        out_of_memory(size);
    return ptr;
}

void *xrealloc(void *ptr, size_t size)
{
    void *grown = realloc(ptr, MAX(size, (size_t)1));
    if (UNLIKELY(grown == NULL))
        out_of_memory(size);
    return grown;
}

char *xstrdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = xmalloc(size);
    memcpy(copy, text, size);
    return copy;
}

char *xasprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (UNLIKELY(len < 0))
        out_of_memory(0);
    return text;
}
