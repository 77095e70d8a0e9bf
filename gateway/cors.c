/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/cors.h"

#include "http/field.h"

#define PREFIX "access-control-"
#define REQUEST_METHOD SPAN_LIT(PREFIX "request-method")
#define REQUEST_HEADERS SPAN_LIT(PREFIX "request-headers")

static bool is_any(const struct span *items, unsigned count)
{
    return count == 1 && span_equal_str(items[0], "*");
}

/* Without "*" when there are credentials: it would name a field of that name (Fetch 3.2.4). */
static struct span join(struct arena *arena, const struct span *items, unsigned count,
                        bool credentials)
{
    struct span list = SPAN_NONE;
    for (unsigned i = 0; i < count; i++) {
        if (credentials && span_equal_str(items[i], "*"))
            continue;
        list = list.len == 0
                   ? items[i]
                   : arena_printf(arena, "%.*s, %.*s", SPAN_ARG(list), SPAN_ARG(items[i]));
    }
    return list;
}

void cors_compile(struct cors_policy *policy, const struct conf_cors *conf, struct arena *arena)
{
    *policy = (struct cors_policy){
        .origins = arena_array(arena, struct origin, conf->origins_count),
        .any_origin = is_any(conf->origins, conf->origins_count),
        .any_method = is_any(conf->methods, conf->methods_count),
        .any_header = is_any(conf->headers, conf->headers_count),
        .credentials = conf->allow_credentials,
        .methods = join(arena, conf->methods, conf->methods_count, conf->allow_credentials),
        .headers = join(arena, conf->headers, conf->headers_count, conf->allow_credentials),
        .expose = join(arena, conf->expose, conf->expose_count, conf->allow_credentials),
        .max_age = arena_printf(arena, "%u", conf->max_age_s),
    };
    for (unsigned i = 0; policy->origins != NULL && i < conf->origins_count; i++)
        policy->origins_count +=
            origin_parse(conf->origins[i], &policy->origins[policy->origins_count]);
}

static struct span value_of(const struct http_head *head, struct span name)
{
    const struct http_field *field = http_head_find(head, name);
    return field != NULL ? field->value : SPAN_NONE;
}

bool cors_is_preflight(const struct http_head *request, struct span *ret)
{
    if (request->method != HTTP_METHOD_OPTIONS || cors_origin(request).len == 0)
        return false;
    *ret = value_of(request, REQUEST_METHOD);
    return ret->len > 0;
}

struct span cors_origin(const struct http_head *request)
{
    return value_of(request, SPAN_LIT("origin"));
}

static bool is_allowed(const struct cors_policy *policy, struct span origin)
{
    struct origin parsed;
    if (policy->any_origin)
        return origin.len > 0;
    if (!origin_parse(origin, &parsed))
        return false;
    for (unsigned i = 0; i < policy->origins_count; i++) {
        if (origin_matches(&policy->origins[i], &parsed))
            return true;
    }
    return false;
}

static void remove_foreign(struct http_head *response)
{
    static const struct span prefix = SPAN_LIT(PREFIX);
    for (unsigned i = 0; i < response->fields_count; i++) {
        struct http_field *field = &response->fields[i];
        if (field->name.len > prefix.len &&
            span_equal_fold(span_make(field->name.ptr, prefix.len), prefix))
            field->removed = true;
    }
}

/* Caches must not give one origin's answer to another. */
static bool vary_by_origin(struct http_head *response)
{
    for (unsigned i = 0; i < response->fields_count; i++) {
        const struct http_field *field = &response->fields[i];
        if (!field->removed && span_equal_fold(field->name, SPAN_LIT("vary")) &&
            (field_list_has(field->value, SPAN_LIT("origin")) ||
             field_list_has(field->value, SPAN_LIT("*"))))
            return true;
    }
    return http_head_add(response, SPAN_LIT("vary"), SPAN_LIT("Origin"));
}

static bool add(struct http_head *response, struct span name, struct span value)
{
    return value.len == 0 || http_head_add(response, name, value);
}

bool cors_allow(const struct cors_policy *policy, struct span origin, struct http_head *response)
{
    /* The same for all of the world, unless the browser is to send who its user is. */
    bool is_public = policy->any_origin && !policy->credentials;

    remove_foreign(response);
    if (!is_public && !vary_by_origin(response))
        return false;
    if (!is_allowed(policy, origin))
        return true;
    return add(response, SPAN_LIT(PREFIX "allow-origin"), is_public ? SPAN_LIT("*") : origin) &&
           add(response, SPAN_LIT(PREFIX "allow-credentials"),
               policy->credentials ? SPAN_LIT("true") : SPAN_NONE) &&
           add(response, SPAN_LIT(PREFIX "expose-headers"), policy->expose);
}

bool cors_allow_preflight(const struct cors_policy *policy, const struct http_head *request,
                          struct http_head *response)
{
    struct span origin = cors_origin(request), wanted = value_of(request, REQUEST_HEADERS);

    if (!cors_allow(policy, origin, response))
        return false;
    if (!is_allowed(policy, origin))
        return true;
    /* "*" means nothing to a browser with credentials, and never covers Authorization: what was
     * asked for is always right. */
    return add(response, SPAN_LIT(PREFIX "allow-methods"),
               policy->any_method ? value_of(request, REQUEST_METHOD) : policy->methods) &&
           (wanted.len == 0 || add(response, SPAN_LIT(PREFIX "allow-headers"),
                                   policy->any_header ? wanted : policy->headers)) &&
           add(response, SPAN_LIT(PREFIX "max-age"), policy->max_age);
}
