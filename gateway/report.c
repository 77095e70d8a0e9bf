/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/report.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"

/* Rows are gathered first, since the widths of the columns come from all of
 * them. A cell is text in the arena of the report. */

#define REPORT_CELL_MAX 512
#define REPORT_WIDTH_MAX 48 /* columns; a longer cell pushes what follows to the right */

enum report_column {
    REPORT_ROUTE,
    REPORT_RULE,
    REPORT_MATCH,
    REPORT_BACKEND,
    REPORT_POLICIES,
    REPORT_COLUMNS
};

struct report_row {
    struct span cells[REPORT_COLUMNS];
};

struct report {
    const struct model *model;
    struct arena arena;
    struct report_row rows[REPORT_ROWS_MAX];
    unsigned count, left_out;
};

static const char *const report_titles[REPORT_COLUMNS] = {"ROUTE", "RULE", "MATCH", "BACKEND",
                                                          "POLICIES"};

/* A copy of what was built, safe for a terminal; the buf is empty again. "-" for nothing. */
static struct span report_cell(struct report *report, struct buf *text)
{
    if (text->len == 0)
        buf_add_char(text, '-');
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] < ' ' || text->data[i] > '~')
            text->data[i] = '?';
    struct span cell = arena_copy(&report->arena, buf_span(text));
    buf_reset(text);
    return cell;
}

static struct report_row *report_row(struct report *report)
{
    if (report->count == REPORT_ROWS_MAX) {
        report->left_out++;
        return NULL;
    }
    return &report->rows[report->count++];
}

static void report_separator(struct buf *text)
{
    if (text->len > 0)
        buf_add_str(text, ", ");
}

static void report_add_kv(struct buf *text, const char *what, const struct conf_kv_match *kv)
{
    const char *sign = kv->type == CONF_MATCH_REGEX ? "~" : "=";
    buf_printf(text, " %s %.*s%s%.*s", what, SPAN_ARG(kv->name), sign, SPAN_ARG(kv->value));
}

/* Under which names a route is reached: those of the first listener that has it. */
static void report_add_hosts(const struct report *report, const struct model_http_route *route,
                             struct buf *text)
{
    for (unsigned i = 0; i < report->model->listeners_count; i++) {
        const struct model_listener *listener = &report->model->listeners[i];
        for (unsigned j = 0; j < listener->http_count; j++) {
            const struct model_attachment *attached = &listener->http[j];
            if (attached->route != route)
                continue;
            if (attached->hostnames[0].len > 0)
                buf_printf(text, "%.*s ", SPAN_ARG(attached->hostnames[0]));
            if (attached->hostnames_count > 1)
                buf_printf(text, "(+%u) ", attached->hostnames_count - 1);
            return;
        }
    }
}

static struct span or_star(struct span name)
{
    return name.len > 0 ? name : SPAN_LIT("*");
}

static void report_add_match(struct buf *text, const struct conf_http_match *match)
{
    static const char *const types[] = {
        [CONF_MATCH_EXACT] = "Exact",
        [CONF_MATCH_PREFIX] = "PathPrefix",
        [CONF_MATCH_REGEX] = "RegularExpression",
    };
    const struct conf_match_more *more = conf_match_more(match);
    if (more->rpc != NULL)
        buf_printf(text, "%s %.*s/%.*s", types[more->rpc->type],
                   SPAN_ARG(or_star(more->rpc->service)), SPAN_ARG(or_star(more->rpc->method)));
    else
        buf_printf(text, "%s %.*s", types[match->path_type], SPAN_ARG(match->path));
    if (more->method.len > 0)
        buf_printf(text, " %.*s", SPAN_ARG(more->method));
    for (unsigned i = 0; i < more->headers_count; i++)
        report_add_kv(text, "header", &more->headers[i]);
    for (unsigned i = 0; i < more->queries_count; i++)
        report_add_kv(text, "query", &more->queries[i]);
}

static void report_add_backends(const struct report *report, const struct model_backend *backends,
                                unsigned count, struct buf *text)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += backends[i].weight;
    for (unsigned i = 0; i < count; i++) {
        const struct model_backend *backend = &backends[i];
        report_separator(text);
        if (count > 1 && total > 0)
            buf_printf(text, "%" PRIu64 "%% ", backend->weight * 100 / total);
        if (backend->cluster < 0) {
            buf_add_str(text, "none (500)");
            continue;
        }
        const struct model_cluster *cluster = &report->model->clusters[backend->cluster];
        buf_printf(text, "%.*s/%.*s:%u", SPAN_ARG(cluster->ns), SPAN_ARG(cluster->service),
                   cluster->port);
        if (cluster->endpoints_count == 0)
            buf_add_str(text, " (no endpoint)");
    }
}

static void report_add_redirect(const struct model_rule *rule, struct buf *text)
{
    for (unsigned i = 0; i < rule->filters_count; i++) {
        if (rule->filters[i].type != MODEL_FILTER_REDIRECT)
            continue;
        const struct conf_filter *conf = rule->filters[i].conf;
        buf_printf(text, "redirect %u", conf->url.status);
        if (conf->url.scheme.len > 0)
            buf_printf(text, " %.*s", SPAN_ARG(conf->url.scheme));
        if (conf->url.hostname.len > 0)
            buf_printf(text, " %.*s", SPAN_ARG(conf->url.hostname));
        if (conf->url.port != 0)
            buf_printf(text, " :%u", conf->url.port);
    }
}

static void report_add_period(struct buf *text, uint64_t period_ns)
{
    uint64_t seconds = period_ns / NS_PER_S;
    if (seconds == 0 || period_ns % NS_PER_S != 0)
        buf_printf(text, "%" PRIu64 "ms", period_ns / NS_PER_MS);
    else if (seconds % 3600 == 0)
        buf_printf(text, "%" PRIu64 "h", seconds / 3600);
    else if (seconds % 60 == 0)
        buf_printf(text, "%" PRIu64 "m", seconds / 60);
    else
        buf_printf(text, "%" PRIu64 "s", seconds);
}

static void report_add_limit(const struct model_limit *limit, struct buf *text)
{
    const struct conf_limit_rule *rule = limit->rule;

    report_separator(text);
    if (rule->unlimited) {
        buf_add_str(text, "RateLimit none");
        return;
    }
    buf_printf(text, "RateLimit %" PRIu64 "/", rule->requests);
    report_add_period(text, rule->period_ns);
    for (unsigned i = 0; i < rule->keys_count; i++) {
        buf_add_str(text, i == 0 ? " by " : " and ");
        switch (rule->keys[i].type) {
        case CONF_LIMIT_KEY_CLIENT_IP:
            buf_add_str(text, "client IP");
            break;
        case CONF_LIMIT_KEY_HEADER:
            buf_printf(text, "header %.*s", SPAN_ARG(rule->keys[i].name));
            break;
        case CONF_LIMIT_KEY_PATH:
            buf_add_str(text, "path");
            break;
        case CONF_LIMIT_KEY_SPIFFE_ID:
            buf_add_str(text, "SPIFFE id");
            break;
        }
    }
    const char *where = limit->store >= 0 ? "shared" : "no store";
    if (limit->store == MODEL_STORE_NONE)
        where = "this process";
    buf_printf(text, " (%s%s)", where, rule->shadow ? ", shadow" : "");
}

static void report_add_tls(const struct report *report, const struct model_backend *backends,
                           unsigned count, struct buf *text)
{
    for (unsigned i = 0; i < count; i++) {
        if (backends[i].cluster < 0)
            continue;
        const struct model_cluster *cluster = &report->model->clusters[backends[i].cluster];
        if (!cluster->has_tls)
            continue;
        report_separator(text);
        if (cluster->tls.invalid) {
            buf_add_str(text, "TLS invalid (503)");
            continue;
        }
        buf_add_str(text, cluster->tls.has_client_cert ? "mTLS " : "TLS ");
        struct span name =
            cluster->tls.sans_count > 0 ? cluster->tls.sans[0].value : cluster->tls.server_name;
        buf_add_span(text, name);
        return;
    }
}

static void report_rule(struct report *report, const struct model_http_route *route,
                        const struct model_rule *rule, struct buf *text)
{
    for (unsigned i = 0; i < rule->matches_count; i++) {
        struct report_row *row = report_row(report);
        if (row == NULL)
            return;
        report_add_hosts(report, route, text);
        report_add_match(text, &rule->matches[i]);
        row->cells[REPORT_MATCH] = report_cell(report, text);
        if (i > 0)
            continue; /* the same rule as the row above */
        buf_printf(text, "%.*s/%.*s", SPAN_ARG(route->ns), SPAN_ARG(route->name));
        row->cells[REPORT_ROUTE] = report_cell(report, text);
        buf_add_span(text, rule->name);
        row->cells[REPORT_RULE] = report_cell(report, text);
        report_add_redirect(rule, text);
        report_add_backends(report, rule->backends, rule->backends_count, text);
        row->cells[REPORT_BACKEND] = report_cell(report, text);
        report_add_tls(report, rule->backends, rule->backends_count, text);
        for (unsigned j = 0; j < rule->limits_count; j++)
            report_add_limit(&report->model->limits[rule->limits[j]], text);
        row->cells[REPORT_POLICIES] = report_cell(report, text);
    }
}

static void report_tcp(struct report *report, const struct model_listener *listener,
                       struct buf *text)
{
    const struct model_tcp_route *route = listener->tcp;
    struct report_row *row = route != NULL ? report_row(report) : NULL;

    if (row == NULL)
        return;
    buf_printf(text, "%.*s/%.*s", SPAN_ARG(route->ns), SPAN_ARG(route->name));
    row->cells[REPORT_ROUTE] = report_cell(report, text);
    buf_add_span(text, route->rule_name);
    row->cells[REPORT_RULE] = report_cell(report, text);
    buf_printf(text, "TCP port %u", listener->port);
    row->cells[REPORT_MATCH] = report_cell(report, text);
    report_add_backends(report, route->backends, route->backends_count, text);
    row->cells[REPORT_BACKEND] = report_cell(report, text);
    report_add_tls(report, route->backends, route->backends_count, text);
    row->cells[REPORT_POLICIES] = report_cell(report, text);
}

static void report_print_listeners(const struct snapshot *snapshot, FILE *out)
{
    static const char *const protocols[] = {
        [MODEL_PROTOCOL_HTTP] = "http",
        [MODEL_PROTOCOL_HTTPS] = "https",
        [MODEL_PROTOCOL_TCP] = "tcp",
    };
    char text[ADDR_TEXT_SIZE];

    for (unsigned i = 0; i < snapshot->ports_count; i++) {
        const struct snapshot_port *port = &snapshot->ports[i];
        for (unsigned j = 0; j < port->addrs_count; j++) {
            addr_format(&port->addrs[j], text);
            fprintf(out, "%-8s %-5s %s\n", i == 0 && j == 0 ? "listen" : "",
                    protocols[port->protocol], text);
        }
    }
}

static void report_print_rows(const struct report *report, FILE *out)
{
    size_t widths[REPORT_COLUMNS];

    for (unsigned c = 0; c < REPORT_COLUMNS; c++) {
        widths[c] = strlen(report_titles[c]);
        for (unsigned i = 0; i < report->count; i++)
            widths[c] = MAX(widths[c], MIN(report->rows[i].cells[c].len, (size_t)REPORT_WIDTH_MAX));
    }
    for (unsigned c = 0; c + 1 < REPORT_COLUMNS; c++)
        fprintf(out, "%-*s  ", (int)widths[c], report_titles[c]);
    fprintf(out, "%s\n", report_titles[REPORT_POLICIES]);
    for (unsigned i = 0; i < report->count; i++) {
        for (unsigned c = 0; c + 1 < REPORT_COLUMNS; c++) {
            struct span cell = report->rows[i].cells[c];
            int pad = cell.len < widths[c] ? (int)(widths[c] - cell.len) : 0;
            fprintf(out, "%.*s%*s  ", SPAN_ARG(cell), pad, "");
        }
        fprintf(out, "%.*s\n", SPAN_ARG(report->rows[i].cells[REPORT_POLICIES]));
    }
    if (report->left_out > 0)
        fprintf(out, "... and %u rules more\n", report->left_out);
}

void report_print(const struct snapshot *snapshot, FILE *out)
{
    const struct model *model = snapshot->model;
    struct report *report = xcalloc(1, sizeof(*report));
    struct buf text;

    report->model = model;
    arena_init(&report->arena, 16384, 0, NULL);
    buf_init(&text, REPORT_CELL_MAX);
    for (unsigned i = 0; i < model->http_routes_count; i++)
        for (unsigned j = 0; j < model->http_routes[i].rules_count; j++)
            report_rule(report, &model->http_routes[i], &model->http_routes[i].rules[j], &text);
    for (unsigned i = 0; i < model->listeners_count; i++)
        report_tcp(report, &model->listeners[i], &text);
    report_print_listeners(snapshot, out);
    report_print_rows(report, out);
    fflush(out);
    buf_fini(&text);
    arena_fini(&report->arena);
    free(report);
}
