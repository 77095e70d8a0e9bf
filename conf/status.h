/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_STATUS_H
#define RINGGATE_CONF_STATUS_H

/* The status of each object as the Gateway API words it, as plain data, and
 * its text form (YAML of the API's status stanza). */

#include "base/buf.h"
#include "base/err.h"
#include "conf/diag.h"
#include "conf/objects.h"

struct status_condition {
    const char *type, *reason; /* static */
    struct span message;
    bool is_true;
};

struct status_conditions {
    struct status_condition *items; /* in the arena of the statuses */
    unsigned count, cap;
};
/* Adds or replaces by type. */
void status_set(struct arena *arena, struct status_conditions *conditions,
                const struct status_condition *condition);
const struct status_condition *status_find(const struct status_conditions *conditions,
                                           const char *type);

struct status_listener {
    struct span name;
    const char *supported_kinds[4]; /* "HTTPRoute" ...; group gateway.networking.k8s.io */
    unsigned supported_kinds_count, attached_routes;
    struct status_conditions conditions;
};

struct status_parent { /* routes: parents[]; policies: ancestors[] */
    struct conf_ref ref; /* verbatim after defaulting */
    struct status_conditions conditions;
};

struct status {
    const struct conf_object *object; /* all conditions were observed at its generation */
    struct status_conditions conditions; /* GatewayClass, Gateway, store */
    struct status_listener *listeners;
    unsigned listeners_count;
    struct status_parent *parents;
    unsigned parents_count;
    struct span *addresses;
    unsigned addresses_count;
};

struct statuses {
    struct arena arena;
    struct status *items;
    unsigned count;
    struct objects *objects, *refused; /* references held */
};

void statuses_free(struct statuses *statuses); /* NULL is ignored */
/* NULL: none. */
struct status *statuses_find(const struct statuses *statuses, enum conf_kind kind, struct span ns,
                             struct span name);

/* Adds `Valid=False` for each object that could not be decoded, with what diags say of it: to the
 * status of its last good version, or else to one that also says Accepted=False. Once. */
void statuses_add_refused(struct statuses *statuses, struct objects *refused,
                          const struct diags *diags);
/* What only later layers find out about a listener; message is copied. Each also brings the
 * Gateway's own conditions up to date. Unknown names are ignored. */
struct status_listener_id {
    struct span gateway_ns, gateway, listener;
};
/* Key and certificate do not match, or cannot be read: ResolvedRefs=False InvalidCertificateRef. It
 * is no longer Programmed when is_served is false. */
void statuses_set_listener_cert_invalid(struct statuses *statuses,
                                        const struct status_listener_id *id, bool is_served,
                                        struct span message);
/* Its socket could not be bound: Programmed=False, reason Invalid; AddressNotUsable on a Gateway
 * that has no other. */
void statuses_set_listener_unbound(struct statuses *statuses, const struct status_listener_id *id,
                                   struct span message);
/* YAML document with apiVersion, kind, metadata and status. previous: an older document of the same
 * object, or empty; lastTransitionTime is kept from it where the condition's status did not change,
 * and is now_iso elsewhere. */
void status_format(const struct status *status, const char *now_iso, struct span previous,
                   struct buf *out);
/* Writes DIR/<group>_<kind>/<namespace>/<name>.yaml for each ("core", "cluster" where the API has
 * none), atomically, only where it changed, and removes files of objects that are gone. 0 or -errno
 * of the first failure with reterr; goes on after a failure. Blocks on disk: control thread. */
MUST_CHECK int statuses_write(const struct statuses *statuses, const char *dir, struct err *reterr);

#endif
