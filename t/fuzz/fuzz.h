/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_FUZZ_FUZZ_H
#define RINGGATE_T_FUZZ_FUZZ_H

/* A fuzz target is one function over any bytes. libFuzzer calls it (`make fuzz`), or driver.c,
 * which replays the corpus and a bounded number of seeded mutations of it (`make check`). */

#include "base/panic.h"
#include "base/span.h"

/* libFuzzer's name for it. Returns 0. A target that finds something wrong asserts. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Mutations that `make check` runs: about a second's worth. */
extern const uint64_t fuzz_rounds;

/* The input in a block of exactly its size, so that a sanitizer sees a read beyond it. */
static inline char *fuzz_copy(const uint8_t *data, size_t size)
{
    char *copy = xmalloc(size > 0 ? size : 1);
    memcpy(copy, data, size);
    return copy;
}

#endif
