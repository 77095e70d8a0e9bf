/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "conf/objects.h"

/* Forms of names (RFC 1123 labels and subdomains as Kubernetes checks them,
 * Gateway API types Hostname, PreciseHostname, HeaderName, Kind, Group) and the
 * object references that all kinds share. */

void schema_rule(struct decode *decode, const struct doc_node *node, const char *name,
                 const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const struct doc_node *at = name != NULL ? schema_child(node, name) : node;
    struct diag *diag = decode_report(decode, DIAG_RULE, at, name);
    diag_message(diag, "%s", text);
}

const struct doc_node *schema_child(const struct doc_node *node, const char *name)
{
    const struct doc_node *child = doc_find(node, name);
    return child != NULL ? child : node;
}

unsigned schema_word(struct decode *decode, const struct doc_node *node, const char *const *words)
{
    unsigned index = 0;
    const struct decode_field field = {.type = DECODE_ENUM, .at = DECODE_HERE, .words = words};
    decode_field(decode, &field, node, &index);
    return index;
}

struct span schema_file(struct decode *decode, const struct doc_node *node, struct span path)
{
    struct err err = {0};
    struct span data = SPAN_NONE;
    int r = -EOPNOTSUPP;
    if (decode->files != NULL)
        r = decode->files->read(decode->files, path, decode->arena, &data, &err);
    else
        err_set(&err, r, "file \"%.*s\" is not read here", SPAN_ARG(path));
    if (r == 0)
        return data;
    struct diag *diag = decode_report(decode, DIAG_DATA_FILE, node, NULL);
    diag_message(diag, "%s", err.text);
    if (r == -EPERM)
        diag_hint(diag, "run: chmod 600 %.*s", SPAN_ARG(path));
    return SPAN_NONE;
}

static bool is_alnum_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_label(struct span s)
{
    if (s.len == 0 || s.len > SCHEMA_LABEL_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum_lower(s.ptr[i]) && s.ptr[i] != '-')
            return false;
    }
    return s.ptr[0] != '-' && s.ptr[s.len - 1] != '-';
}

static bool is_subdomain(struct span s)
{
    if (s.len == 0 || s.len > SCHEMA_NAME_MAX)
        return false;
    struct span head;
    bool more;
    do {
        more = span_split(s, '.', &head, &s);
        if (!is_label(head))
            return false;
    } while (more);
    return true;
}

const char *schema_is_label(struct span text)
{
    return is_label(text) ? NULL
                          : "be 1 to 63 of a-z, 0-9 and -, beginning and ending with a "
                            "letter or digit";
}

const char *schema_is_subdomain(struct span text)
{
    return is_subdomain(text) ? NULL
                              : "be labels of a-z, 0-9 and - separated by dots, "
                                "253 bytes at most";
}

const char *schema_is_group(struct span text)
{
    return text.len == 0 || is_subdomain(text) ? NULL
                                               : "be an API group such as "
                                                 "gateway.networking.k8s.io, or empty";
}

const char *schema_is_kind(struct span text)
{
    static const char wanted[] = "be a kind such as Service: 1 to 63 letters, digits and -";
    if (text.len == 0 || text.len > SCHEMA_LABEL_MAX)
        return wanted;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = ascii_lower((unsigned char)text.ptr[i]);
        bool is_digit = c >= '0' && c <= '9';
        if (!(c >= 'a' && c <= 'z') && !(i > 0 && (is_digit || c == '-')))
            return wanted;
    }
    return text.ptr[text.len - 1] == '-' ? wanted : NULL;
}

const char *schema_is_ip(struct span text)
{
    char copy[INET6_ADDRSTRLEN + 1];
    unsigned char address[16];
    static const char wanted[] = "be an IPv4 or IPv6 address";
    if (text.len == 0 || text.len >= sizeof(copy))
        return wanted;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    bool is_ip = inet_pton(AF_INET, copy, address) == 1 || inet_pton(AF_INET6, copy, address) == 1;
    return is_ip ? NULL : wanted;
}

const char *schema_is_precise_hostname(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z')
            return "be written in lower case";
    }
    if (!is_subdomain(text))
        return "be a DNS name: labels of a-z, 0-9 and - separated by dots, without port";
    return schema_is_ip(text) == NULL ? "be a DNS name, not an IP address" : NULL;
}

const char *schema_is_hostname(struct span text)
{
    if (!span_starts_with(text, SPAN_LIT("*")))
        return schema_is_precise_hostname(text);
    if (!span_starts_with(text, SPAN_LIT("*.")) ||
        schema_is_precise_hostname(span_skip(text, 2)) != NULL)
        return "have the wildcard as its whole first label, as in *.example.com, in lower case";
    return NULL;
}

/* RFC 9110 5.6.2 token. */
const char *schema_is_header_name(struct span text)
{
    static const char wanted[] = "be a header name (RFC 9110): letters, digits and !#$%&'*+-.^_`|~";
    if (text.len == 0)
        return wanted;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i], lower = ascii_lower(c);
        if (!is_alnum_lower((char)lower) && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return wanted;
    }
    return NULL;
}

/* Weights come later in the struct: a reference alone is a prefix of a backend's. */
_Static_assert(offsetof(struct conf_backend_ref, ref) == 0, "tables share offsets");

static void ref_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_ref *ref = out;
    (void)node;
    if (!ref->has_ns)
        ref->ns = decode->object->ns;
}

#define REF_GROUP(...)                                                                             \
    {                                                                                              \
        .name = "group", .type = DECODE_WORD, .at = DECODE_AT(conf_ref, group),                    \
        .max = SCHEMA_NAME_MAX, .check = schema_is_group, __VA_ARGS__                              \
    }
#define REF_KIND(...)                                                                              \
    {                                                                                              \
        .name = "kind", .type = DECODE_WORD, .at = DECODE_AT(conf_ref, kind), .min = 1,            \
        .max = SCHEMA_LABEL_MAX, .check = schema_is_kind, __VA_ARGS__                              \
    }
#define REF_NAME                                                                                   \
    {                                                                                              \
        .name = "name", .type = DECODE_STR, .required = true, .at = DECODE_AT(conf_ref, name),     \
        .at_pos = DECODE_AT(conf_ref, pos), .min = 1, .max = SCHEMA_NAME_MAX                       \
    }
#define REF_NAMESPACE                                                                              \
    {                                                                                              \
        .name = "namespace", .type = DECODE_STR, .at = DECODE_AT(conf_ref, ns),                    \
        .at_has = DECODE_AT(conf_ref, has_ns), .min = 1, .max = SCHEMA_LABEL_MAX,                  \
        .check = schema_is_label                                                                   \
    }
#define REF_SECTION                                                                                \
    {                                                                                              \
        .name = "sectionName", .type = DECODE_WORD, .at = DECODE_AT(conf_ref, section_name),       \
        .min = 1, .max = SCHEMA_NAME_MAX, .check = schema_is_subdomain                             \
    }
#define REF_PORT                                                                                   \
    {                                                                                              \
        .name = "port", .type = DECODE_INT, .at = DECODE_AT(conf_ref, port), .min = 1,             \
        .max = 65535                                                                               \
    }

static const struct decode_field parent_fields[] = {
    REF_GROUP(.def = CONF_GROUP_GATEWAY),
    REF_KIND(.def = "Gateway"),
    REF_NAME,
    REF_NAMESPACE,
    REF_SECTION,
    REF_PORT,
};
const struct decode_table schema_parent_ref = DECODE_TABLE(parent_fields, .check = ref_check);

static const struct decode_field secret_fields[] = {
    REF_GROUP(.def = ""),
    REF_KIND(.def = "Secret"),
    REF_NAME,
    REF_NAMESPACE,
};
const struct decode_table schema_secret_ref = DECODE_TABLE(secret_fields, .check = ref_check);

static const struct decode_field ca_fields[] = {
    REF_GROUP(.required = true),
    REF_KIND(.required = true),
    REF_NAME,
    REF_NAMESPACE,
};
const struct decode_table schema_ca_ref = DECODE_TABLE(ca_fields, .check = ref_check);

static const struct decode_field store_ca_fields[] = {
    REF_GROUP(.def = ""),
    REF_KIND(.def = "ConfigMap"),
    REF_NAME,
    REF_NAMESPACE,
};
const struct decode_table schema_store_ca_ref = DECODE_TABLE(store_ca_fields, .check = ref_check);

static const struct decode_field store_fields[] = {
    REF_GROUP(.def = CONF_GROUP_OWN),
    REF_KIND(.def = "RateLimitStore"),
    REF_NAME,
    REF_NAMESPACE,
};
const struct decode_table schema_store_ref = DECODE_TABLE(store_fields, .check = ref_check);

static const struct decode_field target_fields[] = {
    REF_GROUP(.required = true),
    REF_KIND(.required = true),
    REF_NAME,
    REF_SECTION,
};
const struct decode_table schema_target_ref = DECODE_TABLE(target_fields, .check = ref_check);

static void backend_ref_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_ref *ref = out;
    ref_check(decode, node, ref);
    if (conf_ref_kind(ref) == CONF_KIND_SERVICE && ref->port == 0)
        schema_rule(decode, node, "port", "is missing: a Service needs the port to connect to");
}

#define BACKEND_REF_FIELDS                                                                         \
    REF_GROUP(.def = ""), REF_KIND(.def = "Service"), REF_NAME, REF_NAMESPACE, REF_PORT

static const struct decode_field mirror_ref_fields[] = {BACKEND_REF_FIELDS};
const struct decode_table schema_mirror_ref =
    DECODE_TABLE(mirror_ref_fields, .check = backend_ref_check);

static void backend_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_backend_ref *backend = out;
    backend_ref_check(decode, node, &backend->ref);
    schema_filters_check(decode, schema_child(node, "filters"), backend->filters,
                         backend->filters_count);
}

#define BACKEND_FIELDS                                                                             \
    BACKEND_REF_FIELDS,                                                                            \
    {                                                                                              \
        .name = "weight", .type = DECODE_INT, .at = DECODE_AT(conf_backend_ref, weight),           \
        .width = 4, .max = 1000000, .def_int = 1                                                   \
    }

#define BACKEND_FILTERS(filter_table)                                                              \
    {                                                                                              \
        .name = "filters", .type = DECODE_LIST, .at = DECODE_AT(conf_backend_ref, filters),        \
        .at_count = DECODE_AT(conf_backend_ref, filters_count), .max = 16,                         \
        .item_size = sizeof(struct conf_filter), .table = (filter_table)                           \
    }

static const struct decode_field http_backend_fields[] = {
    BACKEND_FIELDS,
    BACKEND_FILTERS(&schema_filter),
};
const struct decode_table schema_http_backend =
    DECODE_TABLE(http_backend_fields, .check = backend_check);

static const struct decode_field grpc_backend_fields[] = {
    BACKEND_FIELDS,
    BACKEND_FILTERS(&schema_grpc_filter),
};
const struct decode_table schema_grpc_backend =
    DECODE_TABLE(grpc_backend_fields, .check = backend_check);

static const struct decode_field tcp_backend_fields[] = {BACKEND_FIELDS};
const struct decode_table schema_tcp_backend =
    DECODE_TABLE(tcp_backend_fields, .check = backend_check);

/* NULL, an absent one, is like the empty one. */
static bool is_same_word(const char *a, const char *b)
{
    return span_equal(span_str(a), span_str(b));
}

static bool is_same_parent(const struct conf_ref *a, const struct conf_ref *b)
{
    return a->name.len > 0 && span_equal(a->name, b->name) && span_equal(a->ns, b->ns) &&
           is_same_word(a->kind, b->kind) && is_same_word(a->group, b->group);
}

void schema_parents_check(struct decode *decode, const struct doc_node *node,
                          const struct conf_ref *parents, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            const struct conf_ref *a = &parents[j], *b = &parents[i];
            if (!is_same_parent(a, b))
                continue;
            if ((a->section_name == NULL && a->port == 0) ||
                (b->section_name == NULL && b->port == 0))
                schema_rule(decode, node, "parentRefs",
                            "[%u] and [%u] name the same parent: both need a sectionName or port",
                            j, i);
            else if (a->port == b->port && is_same_word(a->section_name, b->section_name))
                schema_rule(decode, node, "parentRefs", "[%u] and [%u] are the same", j, i);
        }
    }
}

void schema_targets_unique(struct decode *decode, const struct doc_node *node,
                           const struct conf_ref *targets, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            const struct conf_ref *a = &targets[j], *b = &targets[i];
            if (span_equal(a->name, b->name) && is_same_word(a->kind, b->kind) &&
                is_same_word(a->group, b->group) && is_same_word(a->section_name, b->section_name))
                schema_rule(decode, node, "targetRefs", "[%u] and [%u] are the same", j, i);
        }
    }
}
