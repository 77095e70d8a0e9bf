/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limiter.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"

/* Appends `"name"` as a structured-field string (RFC 9651 3.3.3): printable ASCII
 * only, quote and backslash escaped. Cut at 64 characters. */
static size_t name_add(struct span name, char *out)
{
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0; i < MIN(name.len, (size_t)64); i++) {
        char c = name.ptr[i];
        if (c < 0x20 || c > 0x7e)
            c = '?';
        if (c == '"' || c == '\\')
            out[n++] = '\\';
        out[n++] = c;
    }
    out[n++] = '"';
    return n;
}

static uint64_t seconds_up(uint64_t ns)
{
    return ns / NS_PER_S + (ns % NS_PER_S != 0);
}

bool limit_format_headers(const struct limit_check *check, char *buffer, size_t size,
                          struct limit_headers *ret)
{
    bool is_denied = check->result == LIMIT_RESULT_LIMITED;
    uint64_t reset_s = MAX(seconds_up(check->reset_ns), UINT64_C(1));
    char name[132];

    *ret = (struct limit_headers){0};
    if (is_denied || check->result == LIMIT_RESULT_STORE_CLOSED) {
        /* Up to a tenth more, so that those who were refused together do not come back
         * together; the wait itself is as good as random. */
        uint64_t salt = hash_fast(span_make(&check->reset_ns, sizeof(check->reset_ns)), 0);
        ret->retry_after_s =
            (uint32_t)MIN(reset_s + salt % (reset_s / 10 + 1), UINT64_C(86400) * 366);
    }
    /* Nothing to tell of rules that do not count for this answer. */
    if (check->limit == NULL || !check->limit->rule->headers || check->limit->rule->shadow ||
        check->result == LIMIT_RESULT_STORE_CLOSED || size < 256)
        return false;
    const struct conf_limit_rule *rule = check->limit->rule;
    size_t name_len = name_add(rule->name, name);
    int policy_len = snprintf(buffer, size, "%.*s;q=%llu;w=%llu", (int)name_len, name,
                              (unsigned long long)rule->requests,
                              (unsigned long long)MAX(seconds_up(rule->period_ns), UINT64_C(1)));
    int limit_len = snprintf(buffer + policy_len, size - (size_t)policy_len, "%.*s;r=%llu;t=%llu",
                             (int)name_len, name, (unsigned long long)check->remaining,
                             (unsigned long long)reset_s);
    if ((size_t)(policy_len + limit_len) >= size)
        return false;
    ret->policy = span_make(buffer, (size_t)policy_len);
    ret->limit = span_make(buffer + policy_len, (size_t)limit_len);
    return true;
}
