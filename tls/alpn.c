/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/alpn.h"

/* Takes the first name off the list. */
static struct span next_name(struct span *list)
{
    const char *comma = list->len > 0 ? memchr(list->ptr, ',', list->len) : NULL;
    size_t len = comma != NULL ? (size_t)(comma - list->ptr) : list->len;
    struct span name = span_make(list->ptr, len);
    *list = span_skip(*list, comma != NULL ? len + 1 : len);
    return name;
}

struct span alpn_find(struct span list, struct span protocol)
{
    while (list.len > 0) {
        struct span name = next_name(&list);
        if (name.len > 0 && span_equal(name, protocol))
            return name;
    }
    return SPAN_NONE;
}

static bool is_offered(struct span offer, struct span protocol)
{
    while (offer.len > 0) {
        size_t len = (uint8_t)offer.ptr[0];
        if (len >= offer.len)
            return false;
        if (span_equal(span_make(offer.ptr + 1, len), protocol))
            return true;
        offer = span_skip(offer, 1 + len);
    }
    return false;
}

struct span alpn_choose(struct span list, struct span offer)
{
    while (list.len > 0) {
        struct span name = next_name(&list);
        if (name.len > 0 && is_offered(offer, name))
            return name;
    }
    return SPAN_NONE;
}

size_t alpn_write(struct span list, uint8_t out[ALPN_SIZE])
{
    size_t used = 0;
    while (list.len > 0) {
        struct span name = next_name(&list);
        if (name.len == 0 || name.len > 255 || used + 1 + name.len > ALPN_SIZE)
            return 0;
        out[used++] = (uint8_t)name.len;
        memcpy(out + used, name.ptr, name.len);
        used += name.len;
    }
    return used;
}
