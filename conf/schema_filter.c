/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

#include "conf/origin.h"

/* Filters of HTTPRoute rules and backendRefs. Types that are not served are
 * decoded as such, never dropped: requests of their rule must not pass
 * unfiltered. */

/* --- redirect and rewrite --- */

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = memchr(digits, ascii_lower((unsigned char)c), 16);
    return at != NULL ? (int)(at - digits) : -1;
}

/* Whether text begins with c, as it is or escaped; then *text goes on after it. */
static bool skip_char(struct span *text, char c)
{
    size_t len = 0;
    if (text->len > 0 && text->ptr[0] == c)
        len = 1;
    else if (text->len >= 3 && text->ptr[0] == '%' &&
             hex_value(text->ptr[1]) * 16 + hex_value(text->ptr[2]) == c)
        len = 3;
    *text = span_skip(*text, len);
    return len > 0;
}

/* "." or "..", also with a parameter, which some servers cut off ("..;x"). */
static bool is_dots(struct span segment)
{
    if (!skip_char(&segment, '.'))
        return false;
    (void)skip_char(&segment, '.'); /* one or two */
    return segment.len == 0 || skip_char(&segment, ';');
}

/* What the path of a request may not be may not be put in its place either (http/uri.h). Without
 * a slash in front it would be the end of a redirect's host, or another form of a request line. */
static const char *is_path(struct span text)
{
    static const char marks[] = "-._~!$&'()*+,;=:@/%";
    struct span segment, rest = text;
    bool has_more = true;
    if (text.len > 0 && text.ptr[0] != '/')
        return "begin with \"/\"";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = ascii_lower((unsigned char)text.ptr[i]);
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_plain && memchr(marks, c, sizeof(marks) - 1) == NULL)
            return "be percent-encoded ASCII without query and fragment";
        if (c != '%')
            continue;
        int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
        int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
        if (high < 0 || low < 0)
            return "have two hexadecimal digits after each \"%\"";
        int byte = high * 16 + low;
        if (byte == '\0' || byte == '/' || byte == '\\')
            return "not contain %00, %2F or %5C";
    }
    while (has_more) {
        has_more = span_split(rest, '/', &segment, &rest);
        if (is_dots(segment))
            return "not contain the segments \".\" and \"..\"";
    }
    return NULL;
}

struct path_modifier {
    struct span full, prefix;
    bool has_full, has_prefix;
    unsigned type;
};

static const char *const path_mod_words[] = {"ReplaceFullPath", "ReplacePrefixMatch", NULL};

static const struct decode_field path_mod_fields[] = {
    {.name = "type", .type = DECODE_ENUM, .required = true, .at = DECODE_AT(path_modifier, type),
     .words = path_mod_words},
    {.name = "replaceFullPath", .type = DECODE_STR, .at = DECODE_AT(path_modifier, full),
     .at_has = DECODE_AT(path_modifier, has_full), .max = 1024, .check = is_path},
    {.name = "replacePrefixMatch", .type = DECODE_STR, .at = DECODE_AT(path_modifier, prefix),
     .at_has = DECODE_AT(path_modifier, has_prefix), .max = 1024, .check = is_path},
};

static void path_mod_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct path_modifier *mod = out;
    bool wants_full = mod->type == 0;
    if (wants_full != mod->has_full)
        schema_rule(decode, node, "replaceFullPath", "must be there if and only if type is %s",
                    path_mod_words[0]);
    if (wants_full == mod->has_prefix)
        schema_rule(decode, node, "replacePrefixMatch", "must be there if and only if type is %s",
                    path_mod_words[1]);
}

static const struct decode_table path_mod_table =
    DECODE_TABLE(path_mod_fields, .check = path_mod_check);

static void path_mod_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_filter *filter = out;
    struct path_modifier mod = {0};
    decode_table(decode, &path_mod_table, node, &mod);
    filter->url.path_mod = mod.type == 0 ? CONF_PATH_REPLACE_FULL : CONF_PATH_REPLACE_PREFIX;
    filter->url.path = mod.type == 0 ? mod.full : mod.prefix;
}

static const char *const schemes[] = {"http", "https", NULL};

static void redirect_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_filter *filter = out;
    unsigned status = filter->url.status;
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
        schema_rule(decode, node, "statusCode", "%u must be 301, 302, 303, 307 or 308", status);
}

static const struct decode_field redirect_fields[] = {
    {.name = "scheme", .type = DECODE_STR, .at = DECODE_AT(conf_filter, url.scheme),
     .words = schemes},
    {.name = "hostname", .type = DECODE_STR, .at = DECODE_AT(conf_filter, url.hostname), .min = 1,
     .max = SCHEMA_NAME_MAX, .check = schema_is_precise_hostname},
    {.name = "path", .type = DECODE_FN, .fn = path_mod_decode},
    {.name = "port", .type = DECODE_INT, .at = DECODE_AT(conf_filter, url.port), .min = 1,
     .max = 65535},
    {.name = "statusCode", .type = DECODE_INT, .at = DECODE_AT(conf_filter, url.status),
     .def_int = 302, .max = 65535},
};
static const struct decode_table redirect_table =
    DECODE_TABLE(redirect_fields, .check = redirect_check);

static const struct decode_field rewrite_fields[] = {
    {.name = "hostname", .type = DECODE_STR, .at = DECODE_AT(conf_filter, url.hostname), .min = 1,
     .max = SCHEMA_NAME_MAX, .check = schema_is_precise_hostname},
    {.name = "path", .type = DECODE_FN, .fn = path_mod_decode},
};
static const struct decode_table rewrite_table = DECODE_TABLE(rewrite_fields);

/* --- mirror --- */

struct mirror_share {
    struct conf_mirror mirror;
    uint32_t percent;
    bool has_percent, has_fraction;
};

static void fraction_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_mirror *mirror = out;
    if (mirror->numerator > mirror->denominator)
        schema_rule(decode, node, "numerator", "%u must not be larger than the denominator, %u",
                    mirror->numerator, mirror->denominator);
}

static const struct decode_field fraction_fields[] = {
    {.name = "numerator", .type = DECODE_INT, .required = true,
     .at = DECODE_AT(conf_mirror, numerator), .width = 4, .max = INT32_MAX},
    {.name = "denominator", .type = DECODE_INT, .at = DECODE_AT(conf_mirror, denominator),
     .width = 4, .min = 1, .max = INT32_MAX, .def_int = 100},
};
static const struct decode_table fraction_table =
    DECODE_TABLE(fraction_fields, .check = fraction_check);

static void mirror_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct mirror_share *share = out;
    if (share->has_percent && share->has_fraction)
        schema_rule(decode, node, "percent", "must not be there together with fraction");
    if (share->has_fraction)
        return;
    share->mirror.numerator = share->has_percent ? share->percent : 1;
    share->mirror.denominator = share->has_percent ? 100 : 1;
}

static const struct decode_field mirror_fields[] = {
    {.name = "backendRef", .type = DECODE_OBJECT, .required = true,
     .at = DECODE_AT(mirror_share, mirror.ref), .table = &schema_mirror_ref},
    {.name = "percent", .type = DECODE_INT, .at = DECODE_AT(mirror_share, percent),
     .at_has = DECODE_AT(mirror_share, has_percent), .width = 4, .max = 100},
    {.name = "fraction", .type = DECODE_OBJECT, .at = DECODE_AT(mirror_share, mirror),
     .at_has = DECODE_AT(mirror_share, has_fraction), .table = &fraction_table},
};
static const struct decode_table mirror_table = DECODE_TABLE(mirror_fields, .check = mirror_check);

static void mirror_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct mirror_share share = {0};
    struct conf_filter *filter = out;
    decode_table(decode, &mirror_table, node, &share);
    filter->mirror = share.mirror;
}

/* --- CORS --- */

static const char *is_allowed_origin(struct span text)
{
    struct origin origin;
    return span_equal_str(text, "*") || origin_parse(text, &origin)
               ? NULL
               : "be \"*\" or http(s)://host[:port], where host may be \"*\" or begin with \"*.\"";
}

static const char *is_allowed_method(struct span text)
{
    static const char *const methods[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                          "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"};
    for (unsigned i = 0; i < ARRAY_COUNT(methods); i++) {
        if (span_equal_str(text, methods[i]))
            return NULL;
    }
    return "be a method of HTTP in capitals, or \"*\"";
}

/* A set of the API. */
static void unique_check(struct decode *decode, const struct doc_node *node, const char *name,
                         const struct span *items, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (!span_equal(items[i], items[j]))
                continue;
            struct diag *diag =
                decode_report(decode, DIAG_DUPLICATE_ITEM, schema_child(node, name), name);
            diag_message(diag, "\"%.*s\" is there twice", SPAN_ARG(items[i]));
        }
    }
}

/* One where "*" stands for all of them, so that nothing may stand beside it. */
static void set_check(struct decode *decode, const struct doc_node *node, const char *name,
                      const struct span *items, unsigned count)
{
    for (unsigned i = 0; count > 1 && i < count; i++) {
        if (span_equal_str(items[i], "*"))
            schema_rule(decode, node, name, "\"*\" must stand alone");
    }
    unique_check(decode, node, name, items, count);
}

static void cors_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_cors *cors = out;
    set_check(decode, node, "allowOrigins", cors->origins, cors->origins_count);
    set_check(decode, node, "allowMethods", cors->methods, cors->methods_count);
    set_check(decode, node, "allowHeaders", cors->headers, cors->headers_count);
    unique_check(decode, node, "exposeHeaders", cors->expose, cors->expose_count);
}

static const struct decode_field cors_fields[] = {
    {.name = "allowOrigins", .type = DECODE_STRS, .at = DECODE_AT(conf_cors, origins),
     .at_count = DECODE_AT(conf_cors, origins_count), .max = 64, .check = is_allowed_origin},
    {.name = "allowCredentials", .type = DECODE_BOOL,
     .at = DECODE_AT(conf_cors, allow_credentials)},
    {.name = "allowMethods", .type = DECODE_STRS, .at = DECODE_AT(conf_cors, methods),
     .at_count = DECODE_AT(conf_cors, methods_count), .max = 9, .check = is_allowed_method},
    {.name = "allowHeaders", .type = DECODE_STRS, .at = DECODE_AT(conf_cors, headers),
     .at_count = DECODE_AT(conf_cors, headers_count), .max = 64, .check = schema_is_header_name},
    {.name = "exposeHeaders", .type = DECODE_STRS, .at = DECODE_AT(conf_cors, expose),
     .at_count = DECODE_AT(conf_cors, expose_count), .max = 64, .check = schema_is_header_name},
    {.name = "maxAge", .type = DECODE_INT, .at = DECODE_AT(conf_cors, max_age_s), .width = 4,
     .min = 1, .max = INT32_MAX, .def_int = 5},
};
static const struct decode_table cors_table = DECODE_TABLE(cors_fields, .check = cors_check);

/* --- the filter --- */

/* Each type has the field of its name. */
static const struct {
    const char *type, *field;
    enum conf_filter_type served_as;
} filter_types[] = {
    {"RequestHeaderModifier", "requestHeaderModifier", CONF_FILTER_REQUEST_HEADERS},
    {"ResponseHeaderModifier", "responseHeaderModifier", CONF_FILTER_RESPONSE_HEADERS},
    {"RequestRedirect", "requestRedirect", CONF_FILTER_REDIRECT},
    {"URLRewrite", "urlRewrite", CONF_FILTER_REWRITE},
    {"RequestMirror", "requestMirror", CONF_FILTER_MIRROR},
    {"CORS", "cors", CONF_FILTER_CORS},
    {"ExternalAuth", "externalAuth", CONF_FILTER_UNSUPPORTED},
    {"ExtensionRef", "extensionRef", CONF_FILTER_UNSUPPORTED},
};

static void filter_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_filter *filter = out;
    filter->type = CONF_FILTER_UNSUPPORTED;
    for (unsigned i = 0; i < ARRAY_COUNT(filter_types); i++) {
        bool is_type = span_equal_str(filter->type_text, filter_types[i].type);
        bool has_field = !doc_is_null(doc_find(node, filter_types[i].field));
        if (is_type)
            filter->type = filter_types[i].served_as;
        if (is_type != has_field)
            schema_rule(decode, node, filter_types[i].field,
                        "must be there if and only if type is %s", filter_types[i].type);
    }
}

static const struct decode_field filter_fields[] = {
    {.name = "type", .type = DECODE_STR, .required = true, .at = DECODE_AT(conf_filter, type_text),
     .min = 1, .max = 256},
    {.name = "requestHeaderModifier", .type = DECODE_OBJECT, .at = DECODE_AT(conf_filter, headers),
     .table = &schema_request_headers},
    {.name = "responseHeaderModifier", .type = DECODE_OBJECT, .at = DECODE_AT(conf_filter, headers),
     .table = &schema_response_headers},
    {.name = "requestRedirect", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &redirect_table},
    {.name = "urlRewrite", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &rewrite_table},
    {.name = "requestMirror", .type = DECODE_FN, .fn = mirror_decode},
    {.name = "cors", .type = DECODE_OBJECT, .at = DECODE_AT(conf_filter, cors),
     .table = &cors_table},
    {.name = "externalAuth", .type = DECODE_SKIP},
    {.name = "extensionRef", .type = DECODE_SKIP},
};
const struct decode_table schema_filter =
    DECODE_TABLE(filter_fields, .at_pos = DECODE_AT(conf_filter, pos), .check = filter_check);

/* A GRPCRoute has fewer filters (GRPCRouteFilter). */
static void grpc_filter_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_filter *filter = out;
    filter_check(decode, node, filter);
    if (filter->type != CONF_FILTER_REQUEST_HEADERS &&
        filter->type != CONF_FILTER_RESPONSE_HEADERS && filter->type != CONF_FILTER_MIRROR)
        filter->type = CONF_FILTER_UNSUPPORTED;
}

const struct decode_table schema_grpc_filter =
    DECODE_TABLE(filter_fields, .at_pos = DECODE_AT(conf_filter, pos), .check = grpc_filter_check);

void schema_filters_check(struct decode *decode, const struct doc_node *node,
                          const struct conf_filter *filters, unsigned count)
{
    unsigned seen[CONF_FILTER_UNSUPPORTED] = {0};
    for (unsigned i = 0; i < count; i++) {
        if (filters[i].type == CONF_FILTER_UNSUPPORTED || filters[i].type == CONF_FILTER_MIRROR)
            continue;
        if (++seen[filters[i].type] == 2)
            schema_rule(decode, node, NULL, "filter %.*s may be there once only",
                        SPAN_ARG(filters[i].type_text));
    }
}
