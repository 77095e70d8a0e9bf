/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_ACCESS_LOG_H
#define RINGGATE_GATEWAY_ACCESS_LOG_H

/* One line for each request and each connection that carried none. A worker
 * formats a record into a bounded ring of its own; a writer thread moves rings
 * to the file, pipe or socket. A full ring drops the record and counts it: a worker never waits. */

#include "base/err.h"
#include "gateway/outcome.h"
#include "gateway/rule.h"
#include "io/addr.h"
#include "io/loop.h"

enum access_kind {
    ACCESS_REQUEST,
    ACCESS_CONNECTION, /* no request came of it */
    ACCESS_TCP, /* a TCP route's connection */
};

/* What a line is made of; borrowed for the call. NULL and 0: shown as "-" or left out of JSON. */
struct access_record {
    enum access_kind kind;
    enum outcome outcome;
    uint64_t start_ns; /* wall clock */
    uint64_t duration_ns, upstream_ns; /* upstream: to the response head */
    const struct addr *client, *upstream;
    const struct http_head *request;
    unsigned status;
    uint64_t bytes_in, bytes_out;
    struct span request_id, server_name, cluster, spiffe_id;
    const struct route_rule *rule;
    const char *listener; /* "addr:port", when there is no rule */
    struct span listener_id; /* "namespace/gateway/listener" */
    const char *detail; /* why, static text */
    struct span limit_policy, limit_rule;
    struct span grpc_status; /* empty: not gRPC, or ended without one */
    const char *protocol; /* http_head_protocol */
    const char *upstream_protocol; /* NULL: nothing was sent to a backend */
    unsigned attempts;
};

struct access_sink; /* the file and its writer thread */
struct access_log; /* one worker's ring */

enum access_format { ACCESS_TEXT, ACCESS_JSON };

/* path: a file, or "-" for standard output. 0; -errno with reterr. */
MUST_CHECK int access_sink_open(struct access_sink **ret, const char *path,
                                enum access_format format, unsigned workers, struct err *reterr);
/* Writes what is left, half a second at most when nobody reads it; the workers have ended. NULL is
 * ignored. */
void access_sink_close(struct access_sink *sink);
/* Opens the file again (log rotation). Any thread. */
void access_sink_reopen(struct access_sink *sink);
/* The ring of a worker; NULL sink gives NULL. */
struct access_log *access_sink_log(struct access_sink *sink, unsigned worker);

/* In the worker's thread. NULL log: does nothing. */
void access_log_write(struct access_log *log, const struct loop *loop,
                      const struct access_record *record);

#endif
