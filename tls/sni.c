/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/sni.h"

#include <errno.h>

int sni_parse(struct span extension, struct span *ret)
{
    const unsigned char *p = (const unsigned char *)extension.ptr;
    /* ServerNameList length, NameType host_name, HostName length. */
    if (extension.len < 5)
        return -EINVAL;
    size_t list = (size_t)p[0] << 8 | p[1], name = (size_t)p[3] << 8 | p[4];
    if (list != extension.len - 2 || p[2] != 0 || name != list - 3 || name == 0)
        return -EINVAL;
    *ret = span_make(p + 5, name);
    return 0;
}

static bool sni_is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == ':';
}

int sni_canonical(struct span raw, char out[SNI_NAME_MAX + 1], struct span *ret)
{
    if (raw.len > 0 && raw.ptr[raw.len - 1] == '.')
        raw.len--;
    if (raw.len == 0 || raw.len > SNI_NAME_MAX)
        return -EINVAL;
    span_lower_to(raw, out);
    out[raw.len] = '\0';
    for (size_t i = 0; i < raw.len; i++) {
        if (sni_is_name_char(out[i]))
            continue;
        if (out[i] != '.' || i == 0 || i + 1 == raw.len || out[i - 1] == '.')
            return -EINVAL;
    }
    *ret = span_make(out, raw.len);
    return 0;
}

struct span sni_key(struct span hostname)
{
    return hostname.len >= 2 && hostname.ptr[0] == '*' ? span_skip(hostname, 1) : hostname;
}

struct hmap_node *sni_find(const struct hmap *map, struct span name)
{
    if (name.len > 0) {
        struct hmap_node *node = hmap_find(map, name);
        if (node)
            return node;
        for (size_t i = 1; i < name.len; i++) {
            if (name.ptr[i] == '.' && (node = hmap_find(map, span_skip(name, i))) != NULL)
                return node;
        }
    }
    return hmap_find(map, SPAN_LIT(""));
}

unsigned sni_cert_score(struct span pattern, struct span name)
{
    if (name.len == 0 || pattern.len == 0)
        return 0;
    if (span_equal_fold(pattern, name))
        return 2 * SNI_NAME_MAX;
    if (pattern.len < 3 || pattern.len > SNI_NAME_MAX || pattern.ptr[0] != '*' ||
        pattern.ptr[1] != '.')
        return 0;
    ssize_t dot = span_find_char(name, '.');
    if (dot <= 0 || !span_equal_fold(span_skip(pattern, 1), span_skip(name, (size_t)dot)))
        return 0;
    return (unsigned)pattern.len;
}
