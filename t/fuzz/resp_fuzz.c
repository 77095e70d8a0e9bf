/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "ratelimit/resp.h"
#include "t/fuzz/fuzz.h"

/* Replies of a store: the same ones are read however they arrive. First byte: size of the pieces.
 */

static void read_replies(struct span data, size_t step, struct buf *out)
{
    struct resp_reader *reader = resp_reader_new();
    const struct resp_reply *reply;
    int rc = 0;
    ASSERT(reader != NULL);
    for (size_t at = 0; at < data.len && rc >= 0; at += step) {
        size_t len = MIN(step, data.len - at);
        char *copy = fuzz_copy((const uint8_t *)data.ptr + at, len);
        rc = resp_reader_feed(reader, span_make(copy, len));
        free(copy);
        while (rc >= 0 && (rc = resp_reader_next(reader, &reply)) == 1) {
            ASSERT(reply->text_len <= RESP_TEXT_MAX && reply->ints_count <= RESP_INTS_MAX);
            buf_printf(out, "%d %u %u %lld %.*s\n", (int)reply->type, reply->elements,
                       reply->ints_count, reply->ints_count > 0 ? (long long)reply->ints[0] : 0,
                       (int)reply->text_len, reply->text);
        }
    }
    buf_add_str(out, rc < 0 ? "broken" : "more");
    resp_reader_free(reader);
}

const uint64_t fuzz_rounds = 100000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, split;
    if (size < 1)
        return 0;
    struct span bytes = span_make((const char *)data + 1, size - 1);
    buf_init(&whole, 16u << 20);
    buf_init(&split, 16u << 20);
    read_replies(bytes, bytes.len + 1, &whole);
    read_replies(bytes, data[0] % 16u + 1, &split);
    ASSERT(span_equal(buf_span(&whole), buf_span(&split)));
    buf_fini(&whole);
    buf_fini(&split);
    return 0;
}
