/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>

#include "gateway/exchange_int.h"
#include "gateway/forwarded.h"
#include "gateway/local_reply.h"

/* Filters. On the way to the backend those of the rule come first, then those of the backendRef,
 * each list in its order; on the way back the backendRef's come first. */

/* Location as HTTPRequestRedirectFilter says: what is not given comes from the request, the port
 * from the scheme when that is given, else from the listener; default ports are left out. */
static struct span redirect_location(struct exchange *ex, const struct url_program *url)
{
    const struct http_head *request = ex->request;
    struct span scheme = url->scheme.len > 0 ? url->scheme : request->scheme;
    struct span host = url->hostname.len > 0 ? url->hostname : request->host;
    bool https = span_equal_str(scheme, "https");
    unsigned port = url->port;
    char port_text[8] = "";

    if (port == 0)
        port = url->scheme.len > 0 ? (https ? 443 : 80) : ex->port->listener->port;
    if (port != (https ? 443u : 80u))
        snprintf(port_text, sizeof(port_text), ":%u", port);
    struct span path = rule_url_path(url, &ex->arena, request->path, &ex->match.prefix_len);
    /* Only HTTP/1.0 comes without a host: then the reference stays relative. */
    struct span origin = host.len == 0 ? SPAN_NONE
                                       : arena_printf(&ex->arena, "%.*s://%.*s%s", SPAN_ARG(scheme),
                                                      SPAN_ARG(host), port_text);
    return arena_printf(&ex->arena, "%.*s%.*s%s%.*s", SPAN_ARG(origin), SPAN_ARG(path),
                        request->has_query ? "?" : "", SPAN_ARG(request->query));
}

static void redirect(struct exchange *ex, const struct url_program *url)
{
    struct span location = redirect_location(ex, url);
    if (!arena_ok(&ex->arena)) {
        exchange_fail(ex, OUTCOME_OVERLOAD);
        return;
    }
    ex->outcome = OUTCOME_REDIRECTED;
    exchange_goto(ex, EXCHANGE_STEP_FINISH);
    local_reply_redirect(ex, url->status, location);
}

static bool rewrite(struct exchange *ex, const struct url_program *url)
{
    if (url->hostname.len > 0)
        ex->request->authority = url->hostname;
    ex->request->path = rule_url_path(url, &ex->arena, ex->request->path, &ex->match.prefix_len);
    return arena_ok(&ex->arena);
}

bool exchange_filter_request(struct exchange *ex, const struct filter_program *program)
{
    for (unsigned i = 0; i < program->count; i++) {
        const struct filter_step *step = &program->steps[i];
        bool ok = true;
        switch (step->type) {
        case MODEL_FILTER_REQUEST_HEADERS:
            ok = rule_headers_apply(&step->headers, ex->request);
            break;
        case MODEL_FILTER_REWRITE:
            ok = rewrite(ex, &step->url);
            break;
        case MODEL_FILTER_REDIRECT:
            redirect(ex, &step->url);
            return false;
        case MODEL_FILTER_MIRROR:
            mirror_start(ex, &step->mirror);
            break;
        case MODEL_FILTER_RESPONSE_HEADERS:
        case MODEL_FILTER_CORS:
            break;
        }
        if (!ok) {
            exchange_fail(ex, OUTCOME_OVERLOAD);
            return false;
        }
    }
    return true;
}

static bool filter_response(struct exchange *ex, const struct filter_program *program,
                            struct http_head *response)
{
    for (unsigned i = 0; i < program->count; i++) {
        const struct filter_step *step = &program->steps[i];
        if (step->type == MODEL_FILTER_RESPONSE_HEADERS &&
            !rule_headers_apply(&step->headers, response))
            return false;
        if (step->type == MODEL_FILTER_CORS && !cors_allow(&step->cors, ex->origin, response))
            return false;
    }
    return true;
}

bool exchange_filter_response(struct exchange *ex, struct http_head *response)
{
    return (ex->backend_filters == NULL || filter_response(ex, ex->backend_filters, response)) &&
           filter_response(ex, &ex->rule->filters->all, response);
}

enum exchange_verdict exchange_answer_preflight(struct exchange *ex)
{
    ex->outcome = OUTCOME_CORS_PREFLIGHT;
    exchange_goto(ex, EXCHANGE_STEP_FINISH);
    local_reply_preflight(ex);
    return EXCHANGE_NEXT;
}

enum exchange_verdict exchange_step_filter_request(struct exchange *ex)
{
    http_head_remove_hop_by_hop(ex->request);
    if (!forwarded_write(ex))
        exchange_fail(ex, OUTCOME_OVERLOAD);
    else if (exchange_filter_request(ex, &ex->rule->filters->all))
        exchange_goto(ex, EXCHANGE_STEP_PICK);
    return EXCHANGE_NEXT;
}
