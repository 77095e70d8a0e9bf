/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_ROUTING_FIXTURE_H
#define RINGGATE_T_UNIT_ROUTING_FIXTURE_H

/* Route tables from a few words, for the tests of routing/. Not part of the program.
 *
 * A rule is text: matches separated by " | ", each made of words:
 *   E:/path  P:/path  R:regex     path (P:/ when there is none)
 *   m=GET  h=name:value  H=name:regex  q=name:value  Q=name:regex
 *   c=service/method  C=regex/regex     what gRPC calls; either side may be empty
 * Host names are separated by spaces; "any" stands for the empty name. */

#include "base/arena.h"
#include "conf/model.h"
#include "routing/route_table.h"

struct fixture_attachment {
    unsigned listener;
    const char *hostnames; /* NULL ends the list */
};

struct fixture_route {
    const char *name;
    struct fixture_attachment attachments[4];
    const char *rules[8];
    unsigned rank; /* 0: position in the list */
};

struct fixture {
    struct arena arena;
    struct model_listener *listeners;
    unsigned listeners_count;
    const struct model_listener **pointers;
    struct model_http_route *routes;
    unsigned bad_count; /* calls of bad() */
    struct route_table *table;
};

/* A request for the tests; headers is "name:value" separated by "; ". */
struct fixture_request {
    const char *method, *host, *path, *query, *headers;
};

/* hostnames of listeners, "any" for none; both lists end with NULL / a nameless route. */
void fixture_init(struct fixture *fixture, const char *const *listeners,
                  const struct fixture_route *routes);
void fixture_fini(struct fixture *fixture);
/* The words of one match, borrowed. */
void fixture_match(struct arena *arena, struct span text, struct conf_http_match *match);
/* route_table_find; sni NULL: plain HTTP. */
int fixture_find(const struct route_table *table, const struct fixture_request *request,
                 const char *sni, struct route_match *ret);

#endif
