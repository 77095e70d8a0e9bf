/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_guard.h"

#include <nghttp2/nghttp2.h>

#include "base/clock.h"

#define GUARD_SETTINGS_COST 10u
#define GUARD_SENT_CREDIT 4u
#define GUARD_UPDATE_BYTES 512u /* of DATA, for which two WINDOW_UPDATE may come */

static const char guard_resets[] = "too many stream resets";
static const char guard_control[] = "too many control frames";
static const char guard_empties[] = "too many empty DATA frames";
static const char guard_block[] = "header block too large";

void h2_guard_init(struct h2_guard *guard, const struct http_limits *limits, uint64_t now_ns)
{
    *guard = (struct h2_guard){
        .limits = limits,
        .resets = {.filled_ns = now_ns, .tokens = limits->h2_resets_burst},
        .control = {.filled_ns = now_ns, .tokens = limits->h2_control_burst},
    };
}

/* Whole tokens for the time that has passed; the rest of the time stays for later. */
static void guard_fill(struct h2_guard_bucket *bucket, uint32_t burst, uint32_t rate,
                       uint64_t now_ns)
{
    uint64_t passed_ns = now_ns - bucket->filled_ns;
    if (rate == 0 || bucket->tokens >= burst || passed_ns >= burst * NS_PER_S / rate) {
        if (rate > 0)
            bucket->tokens = burst;
        bucket->filled_ns = now_ns;
        return;
    }
    uint64_t tokens = passed_ns * rate / NS_PER_S;
    bucket->filled_ns += tokens * NS_PER_S / rate;
    bucket->tokens = MIN(burst, bucket->tokens + (uint32_t)tokens);
}

static bool guard_take(struct h2_guard_bucket *bucket, uint32_t cost)
{
    if (bucket->tokens < cost)
        return false;
    bucket->tokens -= cost;
    return true;
}

static const char *guard_control_frame(struct h2_guard *guard, uint32_t cost, uint64_t now_ns)
{
    guard_fill(&guard->control, guard->limits->h2_control_burst, guard->limits->h2_control_rate,
               now_ns);
    return guard_take(&guard->control, cost) ? NULL : guard_control;
}

const char *h2_guard_on_reset(struct h2_guard *guard, uint64_t now_ns)
{
    guard_fill(&guard->resets, guard->limits->h2_resets_burst, guard->limits->h2_resets_rate,
               now_ns);
    return guard_take(&guard->resets, 1) ? NULL : guard_resets;
}

static const char *guard_update(struct h2_guard *guard, uint64_t now_ns)
{
    if (guard->updates == 0)
        return guard_control_frame(guard, 1, now_ns);
    guard->updates--;
    return NULL;
}

static const char *guard_data(struct h2_guard *guard, uint8_t flags, uint32_t length,
                              uint64_t now_ns)
{
    if (length > 0 || (flags & NGHTTP2_FLAG_END_STREAM)) {
        guard->empties = 0;
        return NULL;
    }
    if (guard->empties >= guard->limits->h2_empties_max)
        return guard_empties;
    guard->empties++;
    return guard_control_frame(guard, 1, now_ns);
}

/* length: of HEADERS, PUSH_PROMISE, which begin a block, or CONTINUATION. */
static const char *guard_header(struct h2_guard *guard, bool begins, uint32_t length,
                                uint64_t now_ns)
{
    if (begins)
        guard->block_bytes = 0;
    /* No overflow: a frame has at most 2^24 bytes, head_bytes_max is far below 2^30. */
    guard->block_bytes += length;
    if (guard->block_bytes > 2 * guard->limits->head_bytes_max)
        return guard_block;
    return begins || length > 0 ? NULL : guard_control_frame(guard, 1, now_ns);
}

const char *h2_guard_on_frame(struct h2_guard *guard, uint8_t type, uint8_t flags, uint32_t length,
                              uint64_t now_ns)
{
    switch (type) {
    case NGHTTP2_DATA:
        return guard_data(guard, flags, length, now_ns);
    case NGHTTP2_HEADERS:
    case NGHTTP2_PUSH_PROMISE:
        return guard_header(guard, true, length, now_ns);
    case NGHTTP2_CONTINUATION:
        return guard_header(guard, false, length, now_ns);
    case NGHTTP2_RST_STREAM:
        return h2_guard_on_reset(guard, now_ns);
    case NGHTTP2_WINDOW_UPDATE:
        return guard_update(guard, now_ns);
    case NGHTTP2_SETTINGS:
        return guard_control_frame(guard, flags & NGHTTP2_FLAG_ACK ? 1 : GUARD_SETTINGS_COST,
                                   now_ns);
    default:
        return guard_control_frame(guard, 1, now_ns);
    }
}

const char *h2_guard_on_late_reset(struct h2_guard *guard, uint64_t now_ns)
{
    return guard_control_frame(guard, 1, now_ns);
}

void h2_guard_on_sent(struct h2_guard *guard, size_t data_bytes)
{
    guard->updates += 2 * ((data_bytes + GUARD_UPDATE_BYTES - 1) / GUARD_UPDATE_BYTES);
    guard->control.tokens =
        MIN(guard->limits->h2_control_burst, guard->control.tokens + GUARD_SENT_CREDIT);
}

bool h2_guard_forgive(struct h2_guard *guard)
{
    if (guard->forgiven || guard->block_bytes > 2 * guard->limits->head_bytes_max)
        return false;
    guard->forgiven = true;
    guard->resets.tokens = guard->limits->h2_resets_burst;
    guard->control.tokens = guard->limits->h2_control_burst;
    guard->empties = 0;
    return true;
}
