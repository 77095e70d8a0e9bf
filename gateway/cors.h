/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_CORS_H
#define RINGGATE_GATEWAY_CORS_H

/* The CORS filter of a rule (GEP-1767): which origins' scripts may read its
 * responses, told to browsers in the fields of the Fetch standard (3.2). The
 * filter has the last word: what a backend says of CORS is taken out. Part of a snapshot. */

#include "conf/kinds.h"
#include "conf/origin.h"
#include "http/message.h"

struct cors_policy {
    struct origin *origins;
    unsigned origins_count;
    bool any_origin, any_method, any_header, credentials;
    struct span methods, headers, expose, max_age; /* values of fields; empty: no field */
};

/* Compiles into the arena. The spans of conf are borrowed. */
void cors_compile(struct cors_policy *policy, const struct conf_cors *conf, struct arena *arena);

/* A preflight: OPTIONS with Origin and Access-Control-Request-Method (Fetch 3.2.2). *ret: the
 * method of the request that it asks for. */
bool cors_is_preflight(const struct http_head *request, struct span *ret);
/* The Origin of a request; empty: none. */
struct span cors_origin(const struct http_head *request);

/* Puts the fields for this origin (may be empty) into a response. Origins that are not allowed get
 * none, and Vary: Origin. False: out of memory. */
MUST_CHECK bool cors_allow(const struct cors_policy *policy, struct span origin,
                           struct http_head *response);
/* The same for the answer to a preflight, with what else it must say. */
MUST_CHECK bool cors_allow_preflight(const struct cors_policy *policy,
                                     const struct http_head *request, struct http_head *response);

#endif
