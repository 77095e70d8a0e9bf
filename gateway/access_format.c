/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/access_format.h"

#include "base/json_out.h"

#define FIELD_MAX 1024u /* bytes of one untrusted value */

/* A line under construction; room for the end is always kept. */
struct line {
    char *at, *end;
};

static inline void line_put(struct line *line, struct span text)
{
    text.len = MIN(text.len, (size_t)(line->end - line->at));
    if (text.len > 0)
        memcpy(line->at, text.ptr, text.len);
    line->at += text.len;
}

#define LINE_LIT(line, text) line_put(line, SPAN_LIT(text))

static void line_str(struct line *line, const char *text)
{
    line_put(line, span_str(text));
}

static void line_number(struct line *line, uint64_t value)
{
    char digits[SPAN_U64_SIZE];
    line_put(line, span_from_u64(value, digits));
}

static void line_escaped(struct line *line, struct span value)
{
    value.len = MIN(value.len, FIELD_MAX);
    line->at += json_out_escape(value, line->at, (size_t)(line->end - line->at));
}

static struct span header_of(const struct access_record *r, enum http_header_id id)
{
    struct http_field *field = r->request != NULL ? http_head_find_id(r->request, id) : NULL;
    return field != NULL ? field->value : SPAN_NONE;
}

static struct span or_dash(struct span s)
{
    return s.len > 0 ? s : SPAN_LIT("-");
}

static void line_addr(struct line *line, const struct addr *addr)
{
    char text[ADDR_TEXT_SIZE];
    if (addr == NULL || addr->len == 0)
        LINE_LIT(line, "-");
    else
        line_put(line, span_make(text, addr_format(addr, text)));
}

static void line_time(struct line *line, uint64_t wall_ns)
{
    char text[CLOCK_ISO_SIZE];
    clock_iso(wall_ns, text);
    line_put(line, span_make(text, sizeof(text) - 1));
}

static void text_pair(struct line *line, const char *key, struct span value)
{
    if (value.len == 0)
        return;
    LINE_LIT(line, " ");
    line_str(line, key);
    LINE_LIT(line, "=\"");
    line_escaped(line, value);
    LINE_LIT(line, "\"");
}

static void text_quoted(struct line *line, struct span value)
{
    LINE_LIT(line, "\"");
    line_escaped(line, or_dash(value));
    LINE_LIT(line, "\" ");
}

static void text_rule(struct line *line, const struct access_record *r)
{
    const struct route_rule *rule = r->rule;
    if (rule == NULL) {
        text_pair(line, "listener", r->listener_id.len ? r->listener_id : span_str(r->listener));
        return;
    }
    text_pair(line, "listener", rule->listener->id);
    LINE_LIT(line, " route=\"");
    line_put(line, rule->route->ns);
    LINE_LIT(line, "/");
    line_put(line, rule->route->name);
    LINE_LIT(line, "/");
    line_put(line, rule->conf->name);
    LINE_LIT(line, "\"");
}

static void text_request(struct line *line, const struct access_record *r)
{
    const struct http_head *q = r->request;
    line_escaped(line, q != NULL ? or_dash(q->method_text) : SPAN_LIT("-"));
    LINE_LIT(line, " ");
    line_escaped(line, q != NULL ? or_dash(q->target) : SPAN_LIT("-"));
    LINE_LIT(line, " ");
    line_str(line, r->protocol != NULL ? r->protocol : "-");
    LINE_LIT(line, "\" ");
}

static void text_numbers(struct line *line, const struct access_record *r)
{
    line_number(line, r->status);
    LINE_LIT(line, " ");
    line_str(line, outcome_flag(r->outcome));
    const uint64_t numbers[] = {r->bytes_in, r->bytes_out, r->duration_ns / NS_PER_MS};
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
        LINE_LIT(line, " ");
        line_number(line, numbers[i]);
    }
    LINE_LIT(line, " ");
    if (r->upstream_ns > 0)
        line_number(line, r->upstream_ns / NS_PER_MS);
    else
        LINE_LIT(line, "-");
}

static void line_text(struct line *line, const struct access_record *r)
{
    LINE_LIT(line, "[");
    line_time(line, r->start_ns);
    LINE_LIT(line, "] \"");
    if (r->kind == ACCESS_REQUEST)
        text_request(line, r);
    else
        line_str(line, r->kind == ACCESS_TCP ? "- - TCP\" " : "- - -\" ");
    text_numbers(line, r);
    LINE_LIT(line, " \"");
    line_addr(line, r->client);
    LINE_LIT(line, "\" ");
    text_quoted(line, header_of(r, HTTP_HEADER_USER_AGENT));
    text_quoted(line, r->request_id);
    text_quoted(line, r->request != NULL ? r->request->authority : SPAN_NONE);
    LINE_LIT(line, "\"");
    line_addr(line, r->upstream);
    LINE_LIT(line, "\" details=\"");
    line_str(line, r->detail != NULL ? r->detail : outcome_name(r->outcome));
    LINE_LIT(line, "\"");
    text_rule(line, r);
    text_pair(line, "cluster", r->cluster);
    text_pair(line, "upstream_protocol", span_str(r->upstream_protocol));
    text_pair(line, "sni", r->server_name);
    text_pair(line, "peer", r->spiffe_id);
    text_pair(line, "rl_policy", r->limit_policy);
    text_pair(line, "rl_rule", r->limit_rule);
    text_pair(line, "grpc_status", r->grpc_status);
}

/* What is before a value, in one piece. */
#define JSON_KEY(key) SPAN_LIT(",\"" key "\":")
#define JSON_STRING(key) SPAN_LIT(",\"" key "\":\"")

static void json_span(struct line *line, struct span key, struct span value)
{
    if (value.len == 0)
        return;
    line_put(line, key);
    line_escaped(line, value);
    LINE_LIT(line, "\"");
}

/* Text of our own, in which nothing is to be escaped. */
static void json_text(struct line *line, struct span key, const char *value)
{
    struct span text = span_str(value);
    if (text.len == 0)
        return;
    line_put(line, key);
    line_put(line, text);
    LINE_LIT(line, "\"");
}

static void json_number(struct line *line, struct span key, uint64_t value)
{
    line_put(line, key);
    line_number(line, value);
}

static void json_addr(struct line *line, struct span key, const struct addr *addr)
{
    line_put(line, key);
    line_addr(line, addr);
    LINE_LIT(line, "\"");
}

static void json_request(struct line *line, const struct access_record *r)
{
    const struct http_head *q = r->request;
    if (q != NULL) {
        json_span(line, JSON_STRING("method"), q->method_text);
        json_span(line, JSON_STRING("path"), q->target);
        json_span(line, JSON_STRING("authority"), q->authority);
    }
    json_text(line, JSON_STRING("protocol"), r->protocol);
    json_number(line, JSON_KEY("response_code"), r->status);
    json_span(line, JSON_STRING("grpc_status"), r->grpc_status);
    json_span(line, JSON_STRING("user_agent"), header_of(r, HTTP_HEADER_USER_AGENT));
    json_span(line, JSON_STRING("x_forwarded_for"), header_of(r, HTTP_HEADER_X_FORWARDED_FOR));
    json_span(line, JSON_STRING("request_id"), r->request_id);
}

static void json_rule(struct line *line, const struct access_record *r)
{
    const struct route_rule *rule = r->rule;
    if (rule == NULL) {
        json_span(line, JSON_STRING("listener"),
                  r->listener_id.len ? r->listener_id : span_str(r->listener));
        return;
    }
    json_span(line, JSON_STRING("listener"), rule->listener->id);
    json_span(line, JSON_STRING("gateway"), rule->listener->gateway);
    json_span(line, JSON_STRING("route_namespace"), rule->route->ns);
    json_span(line, JSON_STRING("route"), rule->route->name);
    json_span(line, JSON_STRING("rule"), rule->conf->name);
}

static void line_json(struct line *line, const struct access_record *r)
{
    static const char *const kinds[] = {"request", "connection", "tcp"};

    LINE_LIT(line, "{\"start_time\":\"");
    line_time(line, r->start_ns);
    LINE_LIT(line, "\"");
    json_text(line, JSON_STRING("kind"), kinds[r->kind]);
    if (r->kind == ACCESS_REQUEST)
        json_request(line, r);
    json_text(line, JSON_STRING("response_flags"), outcome_flag(r->outcome));
    json_text(line, JSON_STRING("outcome"), outcome_name(r->outcome));
    json_span(line, JSON_STRING("response_code_details"), span_str(r->detail));
    json_number(line, JSON_KEY("bytes_received"), r->bytes_in);
    json_number(line, JSON_KEY("bytes_sent"), r->bytes_out);
    json_number(line, JSON_KEY("duration"), r->duration_ns / NS_PER_MS);
    if (r->upstream_ns > 0)
        json_number(line, JSON_KEY("upstream_service_time"), r->upstream_ns / NS_PER_MS);
    json_addr(line, JSON_STRING("downstream_remote_address"), r->client);
    if (r->upstream != NULL)
        json_addr(line, JSON_STRING("upstream_host"), r->upstream);
    json_text(line, JSON_STRING("upstream_protocol"), r->upstream_protocol);
    json_rule(line, r);
    json_span(line, JSON_STRING("upstream_cluster"), r->cluster);
    json_span(line, JSON_STRING("requested_server_name"), r->server_name);
    json_span(line, JSON_STRING("downstream_peer_uri"), r->spiffe_id);
    json_span(line, JSON_STRING("rl_policy"), r->limit_policy);
    json_span(line, JSON_STRING("rl_rule"), r->limit_rule);
    if (r->attempts > 1)
        json_number(line, JSON_KEY("attempts"), r->attempts);
    LINE_LIT(line, "}");
}

size_t access_format_line(enum access_format format, const struct access_record *record, char *line,
                          size_t size)
{
    struct line out = {line, line + size - 2};

    if (format == ACCESS_JSON)
        line_json(&out, record);
    else
        line_text(&out, record);
    *out.at++ = '\n';
    return (size_t)(out.at - line);
}
