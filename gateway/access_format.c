/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/access_format.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/json_out.h"

#define FIELD_MAX 1024u /* bytes of one untrusted value */

/* A line under construction; room for the end is always kept. */
struct line {
    char *at, *end;
};

static void line_put(struct line *line, const char *text, size_t len)
{
    size_t room = (size_t)(line->end - line->at);
    len = MIN(len, room);
    memcpy(line->at, text, len);
    line->at += len;
}

static void line_str(struct line *line, const char *text)
{
    line_put(line, text, strlen(text));
}

static PRINTF_LIKE(2, 3) void line_printf(struct line *line, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    line_put(line, text, MIN((size_t)MAX(len, 0), sizeof(text) - 1));
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

static const char *addr_text(const struct addr *addr, char out[ADDR_TEXT_SIZE])
{
    if (addr == NULL || addr->len == 0)
        return "-";
    addr_format(addr, out);
    return out;
}

static void text_pair(struct line *line, const char *key, struct span value)
{
    if (value.len == 0)
        return;
    line_printf(line, " %s=\"", key);
    line_escaped(line, value);
    line_str(line, "\"");
}

static void text_quoted(struct line *line, struct span value)
{
    line_str(line, "\"");
    line_escaped(line, or_dash(value));
    line_str(line, "\" ");
}

static void text_rule(struct line *line, const struct access_record *r)
{
    const struct route_rule *rule = r->rule;
    if (rule == NULL) {
        text_pair(line, "listener", r->listener_id.len ? r->listener_id : span_str(r->listener));
        return;
    }
    text_pair(line, "listener", rule->listener->id);
    line_printf(line, " route=\"%.*s/%.*s/%.*s\"", SPAN_ARG(rule->route->ns),
                SPAN_ARG(rule->route->name), SPAN_ARG(rule->conf->name));
}

static void line_text(struct line *line, const struct access_record *r)
{
    char time[CLOCK_ISO_SIZE], client[ADDR_TEXT_SIZE], upstream[ADDR_TEXT_SIZE];
    const struct http_head *q = r->request;

    clock_iso(r->start_ns, time);
    line_printf(line, "[%s] \"", time);
    if (r->kind == ACCESS_REQUEST) {
        line_escaped(line, q != NULL ? or_dash(q->method_text) : SPAN_LIT("-"));
        line_str(line, " ");
        line_escaped(line, q != NULL ? or_dash(q->target) : SPAN_LIT("-"));
        line_printf(line, " %s\" ", r->protocol != NULL ? r->protocol : "-");
    } else {
        line_str(line, r->kind == ACCESS_TCP ? "- - TCP\" " : "- - -\" ");
    }
    line_printf(line, "%u %s %llu %llu %llu ", r->status, outcome_flag(r->outcome),
                (unsigned long long)r->bytes_in, (unsigned long long)r->bytes_out,
                (unsigned long long)(r->duration_ns / NS_PER_MS));
    if (r->upstream_ns > 0)
        line_printf(line, "%llu ", (unsigned long long)(r->upstream_ns / NS_PER_MS));
    else
        line_str(line, "- ");
    line_printf(line, "\"%s\" ", addr_text(r->client, client));
    text_quoted(line, header_of(r, HTTP_HEADER_USER_AGENT));
    text_quoted(line, r->request_id);
    text_quoted(line, q != NULL ? q->authority : SPAN_NONE);
    line_printf(line, "\"%s\" details=\"%s\"", addr_text(r->upstream, upstream),
                r->detail != NULL ? r->detail : outcome_name(r->outcome));
    text_rule(line, r);
    text_pair(line, "cluster", r->cluster);
    text_pair(line, "upstream_protocol", span_str(r->upstream_protocol));
    text_pair(line, "sni", r->server_name);
    text_pair(line, "peer", r->spiffe_id);
    text_pair(line, "rl_policy", r->limit_policy);
    text_pair(line, "rl_rule", r->limit_rule);
    text_pair(line, "grpc_status", r->grpc_status);
}

static void json_key(struct line *line, const char *key)
{
    line_printf(line, ",\"%s\":", key);
}

static void json_span(struct line *line, const char *key, struct span value)
{
    if (value.len == 0)
        return;
    json_key(line, key);
    line_str(line, "\"");
    line_escaped(line, value);
    line_str(line, "\"");
}

static void json_text(struct line *line, const char *key, const char *value)
{
    json_span(line, key, span_str(value));
}

static void json_number(struct line *line, const char *key, uint64_t value)
{
    json_key(line, key);
    line_printf(line, "%llu", (unsigned long long)value);
}

static void json_request(struct line *line, const struct access_record *r)
{
    const struct http_head *q = r->request;
    if (q != NULL) {
        json_span(line, "method", q->method_text);
        json_span(line, "path", q->target);
        json_span(line, "authority", q->authority);
    }
    json_text(line, "protocol", r->protocol);
    json_number(line, "response_code", r->status);
    json_span(line, "grpc_status", r->grpc_status);
    json_span(line, "user_agent", header_of(r, HTTP_HEADER_USER_AGENT));
    json_span(line, "x_forwarded_for", header_of(r, HTTP_HEADER_X_FORWARDED_FOR));
    json_span(line, "request_id", r->request_id);
}

static void json_rule(struct line *line, const struct access_record *r)
{
    const struct route_rule *rule = r->rule;
    if (rule == NULL) {
        json_span(line, "listener", r->listener_id.len ? r->listener_id : span_str(r->listener));
        return;
    }
    json_span(line, "listener", rule->listener->id);
    json_span(line, "gateway", rule->listener->gateway);
    json_span(line, "route_namespace", rule->route->ns);
    json_span(line, "route", rule->route->name);
    json_span(line, "rule", rule->conf->name);
}

static void line_json(struct line *line, const struct access_record *r)
{
    static const char *const kinds[] = {"request", "connection", "tcp"};
    char text[ADDR_TEXT_SIZE];

    clock_iso(r->start_ns, text);
    line_printf(line, "{\"start_time\":\"%s\",\"kind\":\"%s\"", text, kinds[r->kind]);
    if (r->kind == ACCESS_REQUEST)
        json_request(line, r);
    json_text(line, "response_flags", outcome_flag(r->outcome));
    json_text(line, "outcome", outcome_name(r->outcome));
    json_text(line, "response_code_details", r->detail);
    json_number(line, "bytes_received", r->bytes_in);
    json_number(line, "bytes_sent", r->bytes_out);
    json_number(line, "duration", r->duration_ns / NS_PER_MS);
    if (r->upstream_ns > 0)
        json_number(line, "upstream_service_time", r->upstream_ns / NS_PER_MS);
    json_text(line, "downstream_remote_address", addr_text(r->client, text));
    if (r->upstream != NULL)
        json_text(line, "upstream_host", addr_text(r->upstream, text));
    json_text(line, "upstream_protocol", r->upstream_protocol);
    json_rule(line, r);
    json_span(line, "upstream_cluster", r->cluster);
    json_span(line, "requested_server_name", r->server_name);
    json_span(line, "downstream_peer_uri", r->spiffe_id);
    json_span(line, "rl_policy", r->limit_policy);
    json_span(line, "rl_rule", r->limit_rule);
    if (r->attempts > 1)
        json_number(line, "attempts", r->attempts);
    line_str(line, "}");
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
