/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/client_count.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/panic.h"

struct client_count {
    uint64_t total, total_max, address_max;
    uint32_t slots[2][CLIENT_COUNT_SLOTS];
};

struct client_count *client_count_new(uint64_t total_max, uint64_t address_max)
{
    struct client_count *count = xcalloc(1, sizeof(*count));
    count->total_max = total_max;
    count->address_max = address_max;
    return count;
}

void client_count_free(struct client_count *count)
{
    free(count);
}

/* Nothing else depends on the counters: relaxed. */
bool client_count_enter(struct client_count *count, struct client_hold *hold)
{
    uint64_t total = __atomic_add_fetch(&count->total, 1, __ATOMIC_RELAXED);
    *hold = (struct client_hold){.entered = true};
    if (total <= count->total_max)
        return true;
    client_count_leave(count, hold);
    return false;
}

/* The bytes that name a client; 0: it is not counted. */
static size_t client_bytes(const struct addr *addr, uint8_t ip[16])
{
    static const uint8_t loopback[16] = {[15] = 1};
    size_t len = addr_ip_bytes(addr, ip);
    if (len == 4)
        return ip[0] == 127 ? 0 : 4;
    if (len == 16)
        return memcmp(ip, loopback, 16) == 0 ? 0 : 8;
    return 0;
}

bool client_count_address(struct client_count *count, struct client_hold *hold,
                          const struct addr *addr)
{
    uint8_t ip[16];
    size_t len = client_bytes(addr, ip);

    ASSERT(hold->entered && !hold->has_address);
    if (len == 0 || count->address_max == 0)
        return true;
    uint64_t hash = hash_sip(hash_process_key(), span_make((const char *)ip, len));
    uint32_t at[2] = {(uint32_t)hash % CLIENT_COUNT_SLOTS,
                      (uint32_t)(hash >> 32) % CLIENT_COUNT_SLOTS};
    uint32_t first = __atomic_add_fetch(&count->slots[0][at[0]], 1, __ATOMIC_RELAXED);
    uint32_t second = __atomic_add_fetch(&count->slots[1][at[1]], 1, __ATOMIC_RELAXED);
    hold->slots[0] = at[0];
    hold->slots[1] = at[1];
    hold->has_address = true;
    if (MIN(first, second) <= count->address_max)
        return true;
    client_count_leave(count, &(struct client_hold){{at[0], at[1]}, false, true});
    hold->has_address = false;
    return false;
}

void client_count_leave(struct client_count *count, struct client_hold *hold)
{
    if (hold->entered)
        (void)__atomic_sub_fetch(&count->total, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2 && hold->has_address; i++)
        (void)__atomic_sub_fetch(&count->slots[i][hold->slots[i]], 1, __ATOMIC_RELAXED);
    *hold = (struct client_hold){0};
}
