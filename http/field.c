/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/field.h"

bool field_list_next(struct span *list, struct span *ret)
{
    while (list->len > 0) {
        struct span element, rest;
        (void)span_split(*list, ',', &element, &rest); /* no comma: the last element */
        *list = rest;
        element = span_trim(element);
        if (element.len == 0)
            continue;
        *ret = element;
        return true;
    }
    return false;
}

bool field_list_has(struct span list, struct span element)
{
    struct span each;
    while (field_list_next(&list, &each))
        if (span_equal_fold(each, element))
            return true;
    return false;
}

#define FIELD_ALIAS_MAX 32u /* longer than any name in headers.tbl */

bool field_is_alias(struct span name)
{
    char plain[FIELD_ALIAS_MAX];
    if (name.len > sizeof(plain))
        return false;
    bool changed = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool other = c == '_' || c == '.';
        plain[i] = other ? '-' : c;
        changed |= other;
    }
    if (!changed)
        return false;
    return http_header_find(span_make(plain, name.len)) != HTTP_HEADER_OTHER;
}

bool field_is_dropped(struct span name, bool underscores)
{
    bool under = memchr(name.ptr, '_', name.len) != NULL;
    if (under && !underscores)
        return true;
    if (!under && memchr(name.ptr, '.', name.len) == NULL)
        return false;
    return field_is_alias(name);
}
