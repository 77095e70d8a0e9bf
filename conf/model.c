/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/model.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/panic.h"
#include "conf/translate.h"

void model_free(struct model *model)
{
    if (!model)
        return;
    arena_fini(&model->arena);
    objects_unref(model->objects);
    free(model);
}

static const char *protocol_name(enum model_protocol protocol)
{
    switch (protocol) {
    case MODEL_PROTOCOL_HTTP:
        return "HTTP";
    case MODEL_PROTOCOL_HTTPS:
        return "HTTPS";
    case MODEL_PROTOCOL_TCP:
        return "TCP";
    }
    return "?";
}

static const char *match_name(enum conf_match_type type)
{
    switch (type) {
    case CONF_MATCH_EXACT:
        return "Exact";
    case CONF_MATCH_PREFIX:
        return "PathPrefix";
    case CONF_MATCH_REGEX:
        return "RegularExpression";
    }
    return "?";
}

/* An id without the digest of its TLS part, which differs from process to process. */
static struct span stable_id(const struct model_cluster *cluster)
{
    struct span head, rest;
    (void)span_split(cluster->id, '+', &head, &rest);
    return head;
}

static void dump_listener(const struct model_listener *listener, struct buf *out)
{
    buf_printf(out, "listener %.*s %s port %u hostname \"%.*s\"\n", SPAN_ARG(listener->id),
               protocol_name(listener->protocol), listener->port, SPAN_ARG(listener->hostname));
    buf_add_str(out, "  addresses");
    for (unsigned i = 0; i < listener->addresses_count; i++)
        buf_printf(out, " %.*s", SPAN_ARG(listener->addresses[i]));
    buf_add_str(out, listener->proxy_protocol ? " proxy-protocol\n" : "\n");
    for (unsigned i = 0; i < listener->certs_count; i++)
        buf_printf(out, "  certificate %.*s\n", SPAN_ARG(listener->certs[i].id));
    if (listener->frontend.validate)
        buf_printf(out, "  client certificates: %s, %zu bytes of CA\n",
                   listener->frontend.insecure_fallback ? "AllowInsecureFallback"
                                                        : "AllowValidOnly",
                   listener->frontend.ca_pem.len);
    for (unsigned i = 0; i < listener->http_count; i++) {
        const struct model_attachment *attachment = &listener->http[i];
        buf_printf(out, "  route %.*s/%.*s for", SPAN_ARG(attachment->route->ns),
                   SPAN_ARG(attachment->route->name));
        for (unsigned j = 0; j < attachment->hostnames_count; j++)
            buf_printf(out, " \"%.*s\"", SPAN_ARG(attachment->hostnames[j]));
        buf_add_char(out, '\n');
    }
}

static void dump_header_mod(const struct conf_header_mod *mod, struct buf *out)
{
    for (unsigned i = 0; i < mod->set_count; i++)
        buf_printf(out, " set %.*s=%.*s", SPAN_ARG(mod->set[i].key), SPAN_ARG(mod->set[i].value));
    for (unsigned i = 0; i < mod->add_count; i++)
        buf_printf(out, " add %.*s=%.*s", SPAN_ARG(mod->add[i].key), SPAN_ARG(mod->add[i].value));
    for (unsigned i = 0; i < mod->remove_count; i++)
        buf_printf(out, " remove %.*s", SPAN_ARG(mod->remove[i]));
}

static void dump_list(const char *what, const struct span *items, unsigned count, struct buf *out)
{
    for (unsigned i = 0; i < count; i++)
        buf_printf(out, "%s%.*s", i == 0 ? what : ",", SPAN_ARG(items[i]));
}

static void dump_cors(const struct conf_cors *cors, struct buf *out)
{
    dump_list(" origins ", cors->origins, cors->origins_count, out);
    dump_list(" methods ", cors->methods, cors->methods_count, out);
    dump_list(" headers ", cors->headers, cors->headers_count, out);
    dump_list(" expose ", cors->expose, cors->expose_count, out);
    buf_printf(out, "%s max-age %u s", cors->allow_credentials ? " credentials" : "",
               cors->max_age_s);
}

static void dump_filters(const struct model *model, const struct model_filter *filters,
                         unsigned count, const char *indent, struct buf *out)
{
    static const char *const names[] = {"request-headers", "response-headers", "redirect",
                                        "rewrite",         "mirror",           "cors"};
    static const char *const mods[] = {"keep", "full", "prefix"};
    for (unsigned i = 0; i < count; i++) {
        const struct conf_filter *conf = filters[i].conf;
        buf_printf(out, "%sfilter %s", indent, names[filters[i].type]);
        if (filters[i].type == MODEL_FILTER_REDIRECT)
            buf_printf(out, " status %u scheme \"%.*s\" port %u", conf->url.status,
                       SPAN_ARG(conf->url.scheme), conf->url.port);
        if (filters[i].type == MODEL_FILTER_REDIRECT || filters[i].type == MODEL_FILTER_REWRITE)
            buf_printf(out, " hostname \"%.*s\" path %s \"%.*s\"", SPAN_ARG(conf->url.hostname),
                       mods[conf->url.path_mod], SPAN_ARG(conf->url.path));
        else if (filters[i].type == MODEL_FILTER_MIRROR)
            buf_printf(out, " %.*s %u of %u",
                       SPAN_ARG(stable_id(&model->clusters[filters[i].cluster])),
                       conf->mirror.numerator, conf->mirror.denominator);
        else if (filters[i].type == MODEL_FILTER_CORS)
            dump_cors(&conf->cors, out);
        else
            dump_header_mod(&conf->headers, out);
        buf_add_char(out, '\n');
    }
}

static void dump_backends(const struct model *model, const struct model_backend *backends,
                          unsigned count, struct buf *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (backends[i].cluster < 0)
            buf_printf(out, "    backend invalid weight %u\n", backends[i].weight);
        else
            buf_printf(out, "    backend %.*s weight %u\n",
                       SPAN_ARG(stable_id(&model->clusters[backends[i].cluster])),
                       backends[i].weight);
        dump_filters(model, backends[i].filters, backends[i].filters_count, "      ", out);
    }
}

static void dump_pairs(const char *what, const struct conf_kv_match *pairs, unsigned count,
                       struct buf *out)
{
    for (unsigned i = 0; i < count; i++)
        buf_printf(out, " %s %.*s %s \"%.*s\"", what, SPAN_ARG(pairs[i].name),
                   match_name(pairs[i].type), SPAN_ARG(pairs[i].value));
}

static void dump_retry(const struct conf_retry *retry, struct buf *out)
{
    buf_printf(out, "    retry attempts %u backoff %llu ms", retry->attempts,
               (unsigned long long)(retry->backoff_ns / NS_PER_MS));
    for (unsigned code = CONF_RETRY_CODE_MIN; code <= CONF_RETRY_CODE_MAX; code++) {
        unsigned bit = code - CONF_RETRY_CODE_MIN;
        if (retry->codes[bit / 64] >> bit % 64 & 1)
            buf_printf(out, " %u", code);
    }
    buf_add_char(out, '\n');
}

static void dump_rule(const struct model *model, const struct model_http_route *route,
                      const struct model_rule *rule, struct buf *out)
{
    const struct conf_rule_rare *rare = rule->rare;
    buf_printf(out, "  rule %u %.*s", rule->index, SPAN_ARG(rule->name));
    if (rare->has_request_timeout)
        buf_printf(out, " request-timeout %llu ms",
                   (unsigned long long)(rare->request_timeout_ns / NS_PER_MS));
    if (rare->backend_timeout_ns > 0)
        buf_printf(out, " backend-timeout %llu ms",
                   (unsigned long long)(rare->backend_timeout_ns / NS_PER_MS));
    if (route->has_idle_timeout)
        buf_printf(out, " idle-timeout %llu ms",
                   (unsigned long long)(route->idle_timeout_ns / NS_PER_MS));
    buf_add_char(out, '\n');
    for (unsigned i = 0; i < rule->matches_count; i++) {
        const struct conf_http_match *match = &rule->matches[i];
        const struct conf_match_more *more = conf_match_more(match);
        if (more->rpc)
            buf_printf(out, "    match %s service \"%.*s\" method \"%.*s\"",
                       match_name(more->rpc->type), SPAN_ARG(more->rpc->service),
                       SPAN_ARG(more->rpc->method));
        else
            buf_printf(out, "    match %s \"%.*s\"", match_name(match->path_type),
                       SPAN_ARG(match->path));
        if (more->method.len > 0)
            buf_printf(out, " method %.*s", SPAN_ARG(more->method));
        dump_pairs("header", more->headers, more->headers_count, out);
        dump_pairs("query", more->queries, more->queries_count, out);
        buf_add_char(out, '\n');
    }
    dump_filters(model, rule->filters, rule->filters_count, "    ", out);
    if (rare->has_retry)
        dump_retry(&rare->retry, out);
    dump_backends(model, rule->backends, rule->backends_count, out);
    for (unsigned i = 0; i < rule->limits_count; i++)
        buf_printf(out, "    limit %.*s\n", SPAN_ARG(model->limits[rule->limits[i]].scope_id));
}

static const char *cluster_protocol_text(enum model_cluster_protocol protocol)
{
    switch (protocol) {
    case MODEL_CLUSTER_HTTP1:
        return "";
    case MODEL_CLUSTER_H2:
        return " h2";
    case MODEL_CLUSTER_EITHER:
        return " h2,http/1.1";
    }
    UNREACHABLE();
}

static void dump_cluster(const struct model_cluster *cluster, struct buf *out)
{
    const struct model_backend_tls *tls = &cluster->tls;
    buf_printf(out, "cluster %.*s%s\n", SPAN_ARG(stable_id(cluster)),
               cluster_protocol_text(cluster->protocol));
    if (cluster->retry)
        buf_printf(out, "  retries %u %% in %llu ms, at least %u in %llu ms\n",
                   cluster->retry->percent,
                   (unsigned long long)(cluster->retry->interval_ns / NS_PER_MS),
                   cluster->retry->min_count,
                   (unsigned long long)(cluster->retry->min_interval_ns / NS_PER_MS));
    if (cluster->has_tls) {
        buf_printf(out, "  tls server name \"%.*s\" CA ", SPAN_ARG(tls->server_name));
        if (tls->ca_pem.len > 0)
            buf_printf(out, "%zu bytes", tls->ca_pem.len);
        else
            buf_add_str(out, "system");
        for (unsigned i = 0; i < tls->sans_count; i++)
            buf_printf(out, " %s %.*s", tls->sans[i].is_uri ? "URI" : "Hostname",
                       SPAN_ARG(tls->sans[i].value));
        if (tls->has_client_cert)
            buf_printf(out, " client certificate %.*s", SPAN_ARG(tls->client_cert.id));
        buf_add_char(out, '\n');
        if (tls->invalid)
            buf_printf(out, "  tls invalid: %.*s\n", SPAN_ARG(tls->invalid_reason));
    }
    for (unsigned i = 0; i < cluster->endpoints_count; i++)
        buf_printf(out, "  endpoint %.*s port %u\n", SPAN_ARG(cluster->endpoints[i].host),
                   cluster->endpoints[i].port);
}

static void dump_limits(const struct model *model, struct buf *out)
{
    for (unsigned i = 0; i < model->limits_count; i++) {
        const struct model_limit *limit = &model->limits[i];
        buf_printf(out, "limit %.*s %llu per %llu ms burst %llu%s", SPAN_ARG(limit->scope_id),
                   (unsigned long long)limit->rule->requests,
                   (unsigned long long)(limit->rule->period_ns / NS_PER_MS),
                   (unsigned long long)limit->rule->burst, limit->rule->shadow ? " shadow" : "");
        if (limit->store >= 0)
            buf_printf(out, " store %.*s", SPAN_ARG(model->stores[limit->store].id));
        else if (limit->store == MODEL_STORE_LOST)
            buf_add_str(out, " store lost");
        buf_add_char(out, '\n');
    }
    for (unsigned i = 0; i < model->stores_count; i++) {
        const struct model_store *store = &model->stores[i];
        buf_printf(out, "store %.*s%s%s\n", SPAN_ARG(store->id),
                   store->password.len > 0 ? " password" : "",
                   store->has_client_cert ? " client-certificate" : "");
    }
}

void model_dump(const struct model *model, struct buf *out)
{
    for (unsigned i = 0; i < model->listeners_count; i++) {
        const struct model_listener *listener = &model->listeners[i];
        dump_listener(listener, out);
        if (listener->tcp) {
            buf_printf(out, "  tcp route %.*s/%.*s %.*s\n", SPAN_ARG(listener->tcp->ns),
                       SPAN_ARG(listener->tcp->name), SPAN_ARG(listener->tcp->rule_name));
            dump_backends(model, listener->tcp->backends, listener->tcp->backends_count, out);
        }
    }
    for (unsigned i = 0; i < model->http_routes_count; i++) {
        const struct model_http_route *route = &model->http_routes[i];
        buf_printf(out, "route %.*s/%.*s rank %u%s\n", SPAN_ARG(route->ns), SPAN_ARG(route->name),
                   route->rank, route->is_grpc ? " gRPC" : "");
        for (unsigned j = 0; j < route->rules_count; j++)
            dump_rule(model, route, &route->rules[j], out);
    }
    for (unsigned i = 0; i < model->clusters_count; i++)
        dump_cluster(&model->clusters[i], out);
    dump_limits(model, out);
}
