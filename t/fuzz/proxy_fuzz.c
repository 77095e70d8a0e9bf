/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "io/proxy_protocol.h"
#include "t/fuzz/fuzz.h"

/* PROXY headers: every shorter piece of a good one wants more, and bytes after it change nothing.
 */

static ssize_t parse(const uint8_t *data, size_t size, struct proxy_header *ret)
{
    char *copy = fuzz_copy(data, size);
    ssize_t n = proxy_protocol_parse(span_make(copy, size), ret);
    free(copy);
    return n;
}

const uint64_t fuzz_rounds = 300000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header header, again;
    ssize_t n = parse(data, size, &header);
    ASSERT(n <= (ssize_t)MIN(size, (size_t)PROXY_PROTOCOL_SIZE_MAX));
    if (n <= 0)
        return 0;
    for (ssize_t i = 0; i < n; i++)
        ASSERT(parse(data, (size_t)i, &again) == 0);
    ASSERT(parse(data, (size_t)n, &again) == n && header.local == again.local);
    if (!header.local)
        ASSERT(addr_equal(&header.source, &again.source) &&
               addr_equal(&header.destination, &again.destination));
    return 0;
}
