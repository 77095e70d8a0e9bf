/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limiter.h"

#include "base/clock.h"
#include "base/hash.h"

#define PARAMETERS_SIZE (2 * (3 + SPAN_U64_SIZE))

static char *parameter_add(char *at, char key, uint64_t value)
{
    char digits[SPAN_U64_SIZE];
    struct span number = span_from_u64(value, digits);
    *at++ = ';';
    *at++ = key;
    *at++ = '=';
    memcpy(at, number.ptr, number.len);
    return at + number.len;
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
        check->result == LIMIT_RESULT_STORE_CLOSED)
        return false;
    size_t name_len = check->limit->rule->name.len + 2; /* in quotes */
    if (name_len + PARAMETERS_SIZE > size)
        return false;
    memcpy(buffer, check->limit->item.ptr, name_len);
    char *end = parameter_add(buffer + name_len, 'r', check->remaining);
    end = parameter_add(end, 't', reset_s);
    ret->policy = check->limit->item;
    ret->limit = span_make(buffer, (size_t)(end - buffer));
    return true;
}
