/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "base/buf.h"
#include "http/chunk.h"
#include "t/fuzz/fuzz.h"

/* A chunked body: the same bytes come out and the same end is found however it arrives. First byte:
 * size of the pieces; second: how much is wanted at a time. */

static void decode(struct span data, size_t step, size_t wanted, struct buf *body, int *ret_event)
{
    struct chunk chunk;
    struct span out;
    size_t at = 0, seen = 0, used;
    chunk_init(&chunk, 4096);
    *ret_event = CHUNK_MORE;
    while (*ret_event == CHUNK_MORE && (seen < data.len || at < seen)) {
        seen = MIN(seen + step, data.len);
        int event;
        do {
            size_t before = at;
            char *copy = fuzz_copy((const uint8_t *)data.ptr + at, seen - at);
            event = chunk_decode(&chunk, span_make(copy, seen - at), wanted, &used, &out);
            if (event == CHUNK_DATA) {
                ASSERT(out.len > 0 && out.len <= wanted && out.ptr >= copy);
                ASSERT(out.ptr + out.len <= copy + used);
                buf_add_span(body, out);
            }
            free(copy);
            if (event < 0)
                break;
            ASSERT(used <= seen - at);
            at += used;
            ASSERT(event != CHUNK_DATA || at > before);
        } while (event == CHUNK_DATA);
        if (event != CHUNK_MORE)
            *ret_event = event;
        else if (seen == data.len)
            return;
    }
    if (*ret_event == CHUNK_END)
        buf_printf(body, "|%zu", at);
}

const uint64_t fuzz_rounds = 300000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, split;
    int whole_event, split_event;
    if (size < 2)
        return 0;
    struct span bytes = span_make((const char *)data + 2, size - 2);
    buf_init(&whole, 1u << 20);
    buf_init(&split, 1u << 20);
    decode(bytes, bytes.len + 1, SIZE_MAX, &whole, &whole_event);
    decode(bytes, data[0] % 16u + 1, data[1] % 16u + 1, &split, &split_event);
    ASSERT(whole_event == split_event);
    ASSERT(span_equal(buf_span(&whole), buf_span(&split)));
    buf_fini(&whole);
    buf_fini(&split);
    return 0;
}
