/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/limit_fields.h"

#define FIELDS_SIZE 128u

/* The least that the items of a RateLimit field leave (parameter r); 0 when one does not say. */
static uint64_t fields_remaining(struct span value)
{
    uint64_t least = UINT64_MAX, number;
    struct span item, parameter, list = value;

    while (list.len > 0) {
        bool said = false;
        (void)span_split(list, ',', &item, &list);
        while (item.len > 0) {
            (void)span_split(item, ';', &parameter, &item);
            parameter = span_trim(parameter);
            if (!span_starts_with(parameter, SPAN_LIT("r=")) ||
                span_to_u64(span_skip(parameter, 2), UINT64_MAX, &number) != 0)
                continue;
            least = MIN(least, number);
            said = true;
        }
        if (!said)
            return 0;
    }
    return least == UINT64_MAX ? 0 : least;
}

bool limit_fields_add(const struct limit_check *check, struct http_head *head)
{
    struct limit_headers fields;

    if (check->limit == NULL || !check->limit->rule->headers)
        return true;
    char *buffer = arena_alloc(head->arena, FIELDS_SIZE);
    if (buffer == NULL)
        return false;
    if (!limit_format_headers(check, buffer, FIELDS_SIZE, &fields))
        return true;
    const struct http_field *theirs = http_head_find_id(head, HTTP_HEADER_RATELIMIT);
    if (theirs != NULL && fields_remaining(theirs->value) <= check->remaining)
        return true;
    if (!http_head_set_id(head, HTTP_HEADER_RATELIMIT_POLICY, fields.policy))
        return false;
    return theirs == NULL ? http_head_add_id(head, HTTP_HEADER_RATELIMIT, fields.limit)
                          : http_head_set_id(head, HTTP_HEADER_RATELIMIT, fields.limit);
}
