/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_EXCHANGE_INT_H
#define RINGGATE_GATEWAY_EXCHANGE_INT_H

/* Shared by the files of exchange only. */

#include "gateway/access_log.h"
#include "gateway/body_pace.h"
#include "gateway/downstream.h"
#include "gateway/exchange.h"
#include "gateway/grpc.h"
#include "gateway/kept_body.h"
#include "gateway/outcome.h"
#include "gateway/upstream.h"

enum exchange_step {
    EXCHANGE_STEP_ADMIT,
    EXCHANGE_STEP_ROUTE,
    EXCHANGE_STEP_LIMIT,
    EXCHANGE_STEP_FILTER_REQUEST,
    EXCHANGE_STEP_BACKOFF,
    EXCHANGE_STEP_PICK,
    EXCHANGE_STEP_CONNECT,
    EXCHANGE_STEP_SEND,
    EXCHANGE_STEP_HEAD_BACK,
    EXCHANGE_STEP_RELAY,
    EXCHANGE_STEP_FINISH,
};

enum exchange_verdict { EXCHANGE_NEXT, EXCHANGE_WAIT };

struct exchange {
    struct arena arena;
    struct worker *worker;
    struct downstream *downstream;
    struct view *view;
    enum exchange_step step;
    enum outcome outcome;
    bool running; /* the driver is on the stack */

    struct http_stream *down, *up; /* NULL: gone */
    struct http_stream_user down_user, up_user;
    struct http_head *request, *response;
    bool grpc; /* answered in the way of gRPC, and in no hurry but its own */
    struct span grpc_status; /* as the client got it; empty: it did not, or not of gRPC */
    enum grpc_status reset_status; /* of the backend's RST_STREAM; 0: it sent none */
    struct http_head *request_trailers; /* came after its body; NULL: none, or not yet */

    const struct snapshot_port *port;
    struct rule *rule;
    struct route_match match;
    unsigned target; /* 1 + number of the chosen backend's cluster in the model; 0: none chosen */
    const struct filter_program *backend_filters; /* of the chosen backend, or NULL */

    struct span origin; /* as it came, of a rule with a CORS filter; empty: none */

    struct dlist mirrors; /* copies of the request that are to get its body */

    struct limit_check limit;
    bool limit_pending, limit_done;

    struct cluster *cluster;
    struct cluster_endpoint *endpoint, *tried; /* in use; failed before (only compared) */
    struct upstream *upstream; /* from CONNECT to SEND: what the request is sent on */
    struct upstream *session; /* of up, valid with it */
    uint64_t session_bytes; /* it had received before the request */
    struct upstream_waiter waiter;
    bool dialling, reused;
    struct span websocket_key; /* that the backend answers to; empty: none */
    int connect_error;
    const char *upstream_protocol; /* of the last try that was sent; NULL: none */
    const char *upstream_text; /* why it failed; static */
    unsigned attempts, retries; /* retries: of the rule's policy */
    struct kept_body kept; /* while keeps_body: all of the request's body that came */
    bool keeps_body;
    bool safe_retried; /* once, without a policy */
    bool wants_fresh; /* a kept-alive connection died under the last attempt */

    bool request_ended; /* all of it was received */
    bool request_sent; /* all of it was sent to the backend */
    bool response_begun; /* a final head was sent to the client */
    bool response_ended; /* all of it was received from the backend */
    bool response_sent; /* all of it was handed to the client's session */
    bool head_ready; /* response head waits for HEAD_BACK */
    bool local; /* we answer ourselves */
    bool tunnel; /* upgraded: ended when both directions have */
    bool body_asked; /* the client may send the body now: no retry without keeps_body */
    size_t request_debt, response_debt; /* body bytes not granted back yet */
    struct body_pace pace; /* of the request's body; not of gRPC's, which may rest */

    struct timer timer;
    uint64_t start_ns, upstream_start_ns, upstream_head_ns;
    uint64_t total_deadline_ns, attempt_deadline_ns, head_deadline_ns, activity_ns;
    uint64_t retry_at_ns; /* end of BACKOFF */
    uint64_t bytes_in, bytes_out; /* body bytes */
    unsigned status; /* sent to the client */
    char request_id[40];
    struct span request_id_span;
    struct addr client; /* trusted client address */
    struct addr upstream_addr;
};

/* The chosen backend's cluster, from the view it began with: the newest model may have dropped it;
 * NULL: none chosen. */
static inline const struct model_cluster *exchange_target(const struct exchange *ex)
{
    return ex->target > 0 ? &ex->view->snapshot->model->clusters[ex->target - 1] : NULL;
}

/* Runs steps until one waits or the exchange is gone. */
void exchange_run(struct exchange *ex);
/* Sets the outcome (first wins) and goes to FINISH, with a local reply when the client can still be
 * answered. */
void exchange_fail(struct exchange *ex, enum outcome outcome);
/* Moves to a step; the driver goes on from there. */
void exchange_goto(struct exchange *ex, enum exchange_step step);
void exchange_arm(struct exchange *ex);

enum exchange_verdict exchange_step_admit(struct exchange *ex);
enum exchange_verdict exchange_step_route(struct exchange *ex);
enum exchange_verdict exchange_step_limit(struct exchange *ex);
enum exchange_verdict exchange_step_filter_request(struct exchange *ex);
enum exchange_verdict exchange_step_pick(struct exchange *ex);
enum exchange_verdict exchange_step_connect(struct exchange *ex);
enum exchange_verdict exchange_step_send(struct exchange *ex);
enum exchange_verdict exchange_step_head_back(struct exchange *ex);
enum exchange_verdict exchange_step_relay(struct exchange *ex);

/* exchange_retry.c */

/* What became of the attempt that is over. */
enum exchange_retry_cause {
    EXCHANGE_RETRY_UNPROCESSED, /* the backend says so (RFC 9113 8.7): safe, whatever it is */
    EXCHANGE_RETRY_UNSENT, /* nothing was sent, or an idempotent request on a connection that had
                            * died while idle: safe */
    EXCHANGE_RETRY_FAILED, /* the backend may have acted on it: for a rule with a retry policy */
};
/* Tries again when cause and rule allow it, nothing reached the client, and all of the request is
 * still there: the step is BACKOFF or PICK. A safe cause is good for one retry; with a policy only
 * an unprocessed request does not count as one of its own. When the budget of the backend does not
 * allow it, the client gets 503 and the step is FINISH (GEP-3388). False: nothing was done, and
 * what became of the attempt is for the client. */
MUST_CHECK bool exchange_retry(struct exchange *ex, enum exchange_retry_cause cause);
/* The same for a response with a code that the rule lists. */
MUST_CHECK bool exchange_retry_status(struct exchange *ex, unsigned status);
enum exchange_verdict exchange_step_backoff(struct exchange *ex);
/* A body is coming in while no backend takes it. */
bool exchange_is_between_attempts(const struct exchange *ex);
/* Keeps a piece of the body for a retry, if any is wanted. False: it is lost between attempts. */
MUST_CHECK bool exchange_keep_body(struct exchange *ex, struct span data);
void exchange_drop_body(struct exchange *ex);

/* exchange_filter.c */

/* Answers a CORS preflight by the rule's filter. */
enum exchange_verdict exchange_answer_preflight(struct exchange *ex);

/* Applies the request's side of a list of filters; false: the exchange has ended, answered by one
 * of them or failed. */
MUST_CHECK bool exchange_filter_request(struct exchange *ex, const struct filter_program *program);
/* Applies the response's side of the filters of the chosen backend, if any, and of the rule; false:
 * out of memory. */
MUST_CHECK bool exchange_filter_response(struct exchange *ex, struct http_head *response);

/* exchange_relay.c */
extern const struct http_stream_user_ops exchange_down_ops, exchange_up_ops;
void exchange_open_tunnel(struct exchange *ex);
/* Sends what is kept of the body of a request whose head was just sent, then lets the client send
 * (on). */
void exchange_send_body(struct exchange *ex);
/* Of a request whose last attempt the backend cut short. */
enum outcome exchange_reset_outcome(const struct exchange *ex);
/* The whole request is sent: arms the deadline of the response's head. */
void exchange_await_head(struct exchange *ex);
/* The request is complete: tells the backend's stream, which must be there and not have ended. */
void exchange_end_request(struct exchange *ex);

/* A request on an endpoint is over; tells the log when the result ejected it. */
void exchange_report_endpoint(struct worker *worker, struct cluster *cluster,
                              struct cluster_endpoint *endpoint, enum cluster_result result);
/* The endpoint is no longer used by this attempt. */
void exchange_release_endpoint(struct exchange *ex, enum cluster_result result);

#endif
