/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "routing/predicate.h"

#include <errno.h>

struct predicate_field {
    struct span name; /* of a header: lower case */
    struct span value; /* when pattern is NULL */
    const struct pattern *pattern;
};

/* The parts of "/service/method" that no Exact or prefix path can stand for. */
struct predicate_rpc {
    const struct pattern *service, *method_pattern;
    struct span method; /* when method_pattern is NULL; empty: any */
};

struct predicate {
    struct span method; /* empty: any */
    const struct predicate_rpc *rpc; /* NULL: none */
    struct predicate_field *headers, *parameters;
    uint32_t headers_count, parameters_count;
};

int predicate_pattern_add(struct predicate_patterns *list, struct arena *arena, struct span source,
                          const struct pattern **ret, struct err *reterr)
{
    struct predicate_pattern *item = arena_new(arena, struct predicate_pattern);
    if (item == NULL)
        return err_set(reterr, -ENOMEM, "no memory for a regular expression");
    int r = pattern_compile(source, &item->pattern, reterr);
    if (r < 0)
        return r;
    item->next = list->first;
    list->first = item;
    list->memory += pattern_memory(item->pattern);
    *ret = item->pattern;
    return 0;
}

void predicate_patterns_free(struct predicate_patterns *list)
{
    for (struct predicate_pattern *item = list->first; item != NULL; item = item->next)
        pattern_free(item->pattern);
    *list = (struct predicate_patterns){0};
}

static bool has_name(const struct predicate_field *fields, int count, struct span name)
{
    for (int i = 0; i < count; i++) {
        if (span_equal(fields[i].name, name))
            return true;
    }
    return false;
}

struct build {
    struct arena *arena;
    struct predicate_patterns *patterns;
    bool lower; /* names of headers */
};

/* The number of fields, or an error. */
static int fields_compile(const struct build *build, const struct conf_kv_match *from,
                          unsigned count, struct predicate_field *fields, struct err *reterr)
{
    int n = 0;
    for (unsigned i = 0; i < count; i++) {
        struct span name = from[i].name;
        if (build->lower) {
            char *copy = arena_alloc_aligned(build->arena, name.len, 1);
            if (copy == NULL)
                return err_set(reterr, -ENOMEM, "no memory for a header match");
            span_lower_to(name, copy);
            name.ptr = copy;
        }
        if (has_name(fields, n, name))
            continue;
        struct predicate_field *field = &fields[n];
        *field = (struct predicate_field){.name = name, .value = from[i].value};
        if (from[i].type == CONF_MATCH_REGEX) {
            int r = predicate_pattern_add(build->patterns, build->arena, from[i].value,
                                          &field->pattern, reterr);
            if (r < 0)
                return r;
        }
        n++;
    }
    return n;
}

/* *ret stays NULL when the path tells all. */
static int rpc_compile(const struct build *build, const struct conf_rpc_match *from,
                       const struct predicate_rpc **ret, struct err *reterr)
{
    bool is_regex = from->type == CONF_MATCH_REGEX;
    if (!is_regex && from->service.len > 0)
        return 0;
    struct predicate_rpc *rpc = arena_new(build->arena, struct predicate_rpc);
    if (rpc == NULL)
        return err_set(reterr, -ENOMEM, "no memory for a match");
    int r = 0;
    if (!is_regex)
        rpc->method = from->method;
    if (is_regex && from->service.len > 0)
        r = predicate_pattern_add(build->patterns, build->arena, from->service, &rpc->service,
                                  reterr);
    if (is_regex && from->method.len > 0 && r == 0)
        r = predicate_pattern_add(build->patterns, build->arena, from->method, &rpc->method_pattern,
                                  reterr);
    *ret = rpc;
    return r;
}

int predicate_compile(const struct conf_http_match *match, struct arena *arena,
                      struct predicate_patterns *patterns, const struct predicate **ret,
                      struct err *reterr)
{
    struct build build = {.arena = arena, .patterns = patterns, .lower = true};
    const struct predicate_rpc *rpc = NULL;
    const struct conf_match_more *more = match->more;
    *ret = NULL;
    if (more == NULL)
        return 0;
    int r = more->rpc != NULL ? rpc_compile(&build, more->rpc, &rpc, reterr) : 0;
    if (r < 0)
        return r;
    if (more->method.len == 0 && more->headers_count == 0 && more->queries_count == 0 &&
        rpc == NULL)
        return 0;
    struct predicate *predicate = arena_new(arena, struct predicate);
    size_t count = (size_t)more->headers_count + more->queries_count;
    struct predicate_field *fields = arena_array(arena, struct predicate_field, count);
    if (predicate == NULL || fields == NULL)
        return err_set(reterr, -ENOMEM, "no memory for a match");
    predicate->method = more->method;
    predicate->rpc = rpc;
    predicate->headers = fields;
    predicate->parameters = fields + more->headers_count;
    int n = fields_compile(&build, more->headers, more->headers_count, predicate->headers, reterr);
    if (n < 0)
        return n;
    predicate->headers_count = (uint32_t)n;
    build.lower = false;
    n = fields_compile(&build, more->queries, more->queries_count, predicate->parameters, reterr);
    if (n < 0)
        return n;
    predicate->parameters_count = (uint32_t)n;
    *ret = predicate;
    return 0;
}

uint64_t predicate_priority(const struct predicate *predicate)
{
    if (predicate == NULL)
        return 0;
    const struct predicate_rpc *rpc = predicate->rpc;
    uint64_t called = 0;
    if (rpc != NULL)
        called = (rpc->service != NULL ? 4u : 0u) + (rpc->method.len > 0 ? 2u : 0u) +
                 (rpc->method_pattern != NULL ? 1u : 0u);
    return called << 52 | (uint64_t)(predicate->method.len > 0) << 48 |
           (uint64_t)predicate->headers_count << 24 | predicate->parameters_count;
}

/* Whether the values joined by "," are `whole`, without joining them. */
static bool joined_equal(const struct span *values, unsigned count, struct span whole)
{
    for (unsigned i = 0; i < count; i++) {
        if (i > 0) {
            if (whole.len == 0 || whole.ptr[0] != ',')
                return false;
            whole = span_skip(whole, 1);
        }
        if (!span_starts_with(whole, values[i]))
            return false;
        whole = span_skip(whole, values[i].len);
    }
    return whole.len == 0;
}

/* The values joined by "," in dst; their length, or -1: longer than size. */
static ssize_t join(const struct span *values, unsigned count, char *dst, size_t size)
{
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t comma = i > 0;
        if (values[i].len + comma > size - len)
            return -1;
        if (i > 0)
            dst[len++] = ',';
        if (values[i].len > 0)
            memcpy(dst + len, values[i].ptr, values[i].len);
        len += values[i].len;
    }
    return (ssize_t)len;
}

static bool values_hold(const struct predicate_field *field, const struct span *values,
                        unsigned count)
{
    if (field->pattern == NULL)
        return joined_equal(values, count, field->value);
    if (count == 1)
        return values[0].len <= PREDICATE_SUBJECT_MAX && pattern_matches(field->pattern, values[0]);
    char joined[PREDICATE_SUBJECT_MAX];
    ssize_t len = join(values, count, joined, sizeof(joined));
    return len >= 0 && pattern_matches(field->pattern, span_make(joined, (size_t)len));
}

/* Apart, so that its large array costs nothing where a header stands once or twice. */
static COLD bool header_many_holds(const struct predicate_field *field,
                                   const struct route_query *query)
{
    struct span values[PREDICATE_VALUES_MAX];
    unsigned count = query->header(query->user, field->name, values, PREDICATE_VALUES_MAX);
    return count <= PREDICATE_VALUES_MAX && values_hold(field, values, count);
}

static bool header_holds(const struct predicate_field *field, const struct route_query *query)
{
    struct span values[4];
    unsigned count = query->header(query->user, field->name, values, ARRAY_COUNT(values));
    if (count > ARRAY_COUNT(values))
        return header_many_holds(field, query);
    return count > 0 && values_hold(field, values, count);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    unsigned char lower = ascii_lower((unsigned char)c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The next byte of a form-encoded text, decoded; *s, not empty, moves past it. */
static char decode_next(struct span *s)
{
    char c = s->ptr[0];
    size_t used = 1;
    if (c == '+') {
        c = ' ';
    } else if (c == '%' && s->len >= 3) {
        int high = hex_digit(s->ptr[1]), low = hex_digit(s->ptr[2]);
        if (high >= 0 && low >= 0) {
            c = (char)(high << 4 | low);
            used = 3;
        }
    }
    *s = span_skip(*s, used);
    return c;
}

static bool decoded_equal(struct span encoded, struct span plain)
{
    for (; encoded.len > 0 && plain.len > 0; plain = span_skip(plain, 1)) {
        if (decode_next(&encoded) != plain.ptr[0])
            return false;
    }
    return encoded.len == 0 && plain.len == 0;
}

/* The first parameter of that name, its value still encoded. */
static bool parameter_find(struct span query, struct span name, struct span *ret_value)
{
    while (query.len > 0) {
        struct span item, key;
        (void)span_split(query, '&', &item, &query); /* the last one has none */
        (void)span_split(item, '=', &key, &item); /* no "=": an empty value */
        if ((key.len > 0 || item.len > 0) && decoded_equal(key, name)) {
            *ret_value = item;
            return true;
        }
    }
    return false;
}

ssize_t predicate_parameter(struct span query, struct span name, char *dst, size_t size)
{
    struct span value;
    if (!parameter_find(query, name, &value))
        return -1;
    size_t len = 0;
    while (value.len > 0) {
        if (len == size)
            return -1;
        dst[len++] = decode_next(&value);
    }
    return (ssize_t)len;
}

static bool parameter_holds(const struct predicate_field *field, const struct route_query *query)
{
    if (field->pattern == NULL) {
        struct span value;
        return parameter_find(query->query, field->name, &value) &&
               decoded_equal(value, field->value);
    }
    char decoded[PREDICATE_SUBJECT_MAX];
    ssize_t len = predicate_parameter(query->query, field->name, decoded, sizeof(decoded));
    return len >= 0 && pattern_matches(field->pattern, span_make(decoded, (size_t)len));
}

/* A path of exactly two elements (gRPC over HTTP/2, Requests). */
static bool rpc_holds(const struct predicate_rpc *rpc, struct span path)
{
    struct span service, method;
    if (path.len == 0 || path.len > PREDICATE_SUBJECT_MAX ||
        !span_split(span_skip(path, 1), '/', &service, &method) || service.len == 0 ||
        method.len == 0 || memchr(method.ptr, '/', method.len) != NULL)
        return false;
    if (rpc->service != NULL && !pattern_matches(rpc->service, service))
        return false;
    if (rpc->method_pattern != NULL)
        return pattern_matches(rpc->method_pattern, method);
    return rpc->method.len == 0 || span_equal(rpc->method, method);
}

bool predicate_holds(const struct predicate *predicate, const struct route_query *query)
{
    if (predicate == NULL)
        return true;
    if (predicate->rpc != NULL && !rpc_holds(predicate->rpc, query->path))
        return false;
    if (predicate->method.len > 0 && !span_equal(predicate->method, query->method))
        return false;
    for (uint32_t i = 0; query->header != NULL && i < predicate->headers_count; i++) {
        if (!header_holds(&predicate->headers[i], query))
            return false;
    }
    for (uint32_t i = 0; i < predicate->parameters_count; i++) {
        if (!parameter_holds(&predicate->parameters[i], query))
            return false;
    }
    return true;
}
