/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_PANIC_H
#define RINGGATE_BASE_PANIC_H

/* Assertions that stay on in production. They state what the programmer
 * guarantees; input from network, disk or API is never asserted on. */

#include "base/base.h"

/* Prints file, line, the failed expression and a backtrace to stderr, then aborts. Any thread; the
 * first one wins. */
NORETURN void panic(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);

#define ASSERT(cond)                                                                               \
    do {                                                                                           \
        if (UNLIKELY(!(cond)))                                                                     \
            panic(__FILE__, __LINE__, "assertion failed: %s", #cond);                              \
    } while (0)

/* Too expensive for production; on in sanitizer and maintainer builds. */
#ifdef RINGGATE_SLOW_ASSERTS
#define ASSERT_SLOW(cond) ASSERT(cond)
#else
#define ASSERT_SLOW(cond) ((void)sizeof(cond))
#endif

#define UNREACHABLE() panic(__FILE__, __LINE__, "unreachable code reached")

/* Control plane and start-up only: allocates or panics. The data plane uses
 * arenas and pools, which report exhaustion instead. */
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *ptr, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((returns_nonnull));

#endif
