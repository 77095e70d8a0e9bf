/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_VALIDATE_H
#define RINGGATE_CONF_VALIDATE_H

/* Rules of the API that concern one decoded object and that a schema cannot
 * say, with the reason Kubernetes would show. Pure. */

#include "conf/diag.h"

enum validate_conflict {
    VALIDATE_CONFLICT_NONE,
    VALIDATE_CONFLICT_HOSTNAME,
    VALIDATE_CONFLICT_PROTOCOL,
};

/* Whether two listeners of one Gateway are distinct (Gateway API, GatewaySpec.listeners). */
enum validate_conflict validate_listeners(const struct conf_listener *a,
                                          const struct conf_listener *b);

/* Who knows which regular expressions can be used (routing/pattern.h); conf/ does not. */
struct validate_patterns {
    /* What is wrong with the source, a sentence that stays until the next call; NULL: nothing. The
     * same source has the same answer. */
    const char *(*problem)(void *user, struct span source);
    void *user;
};

/* What is wrong with a rule, so that it must not be served. */
struct validate_finding {
    enum diag_code code;
    const char *reason; /* "UnsupportedValue" or "IncompatibleFilters" */
    struct conf_place pos;
    struct span value; /* may be empty */
    char field[96]; /* below "spec.rules[i]." */
    char text[256]; /* a sentence */
};

/* True: the rule can be served. patterns: NULL when every regular expression will do. */
bool validate_http_rule(const struct conf_http_rule *rule, const struct validate_patterns *patterns,
                        struct validate_finding *ret);

/* PEM with at least one block of that kind ("CERTIFICATE", "PRIVATE KEY") and a proper end line.
 * What is inside is for tls/ to judge. */
bool validate_pem(struct span text, const char *label);

#endif
