/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "http/uri.h"
#include "t/fuzz/fuzz.h"

/* Paths, authorities, queries: a normal form is one, and nothing climbs out of the root. */

static void check_path(struct arena *arena, struct span text)
{
    struct span path, again;
    if (uri_normalize_path(arena, text, &path) != 0)
        return;
    ASSERT(path.len > 0 && path.ptr[0] == '/' && path.len <= text.len);
    ASSERT(uri_normalize_path(arena, path, &again) == 0 && span_equal(path, again));
    ASSERT(span_find_char(path, '\\') < 0 && span_find_char(path, '\0') < 0);
    for (struct span rest = span_skip(path, 1), segment; rest.len > 0;) {
        (void)span_split(rest, '/', &segment, &rest);
        ASSERT(!span_equal_str(segment, "..") && !span_equal_str(segment, "."));
    }
}

static void check_authority(struct arena *arena, struct span text)
{
    struct span host, again;
    uint16_t port, port_again;
    if (uri_parse_authority(arena, text, &host, &port) != 0)
        return;
    ASSERT(host.len > 0 && span_find_char(host, '@') < 0 && span_find_char(host, '/') < 0);
    ASSERT(uri_parse_authority(arena, host, &again, &port_again) == 0);
    ASSERT(span_equal(host, again) && port_again == 0);
}

const uint64_t fuzz_rounds = 200000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(data, size);
    struct span text = span_make(copy, size);
    struct arena arena;
    arena_init(&arena, 4096, 256 * 1024, NULL);
    check_path(&arena, text);
    check_authority(&arena, text);
    (void)uri_is_query(text);
    arena_fini(&arena);
    free(copy);
    return 0;
}
