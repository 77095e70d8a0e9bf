/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_TRANSLATE_INT_H
#define RINGGATE_CONF_TRANSLATE_INT_H

/* State of one translation, shared by the translate_*.c files, each of which
 * handles one noun. Everything here dies with the call of translate(), except
 * what the model and the statuses point to in their own arenas. */

#include "conf/attach.h"
#include "conf/diag.h"
#include "conf/refs.h"
#include "conf/translate.h"
#include "conf/validate.h"

/* First reference of an object that does not resolve. When all do, the message may say that one
 * leads to a version that is not the newest. */
struct tr_unresolved {
    const char *reason; /* of ResolvedRefs=False; NULL: all resolve */
    struct span message;
};

/* A route on a listener, before routes have their final place. */
struct tr_attachment {
    unsigned route; /* index into the model's routes */
    struct span *hostnames;
    unsigned hostnames_count;
};

/* A listener of one of our Gateways. */
struct tr_listener {
    struct tr_gateway *gateway;
    const struct conf_listener *conf;
    struct span hostname; /* lower case */
    const char *rejected; /* reason of Accepted=False, or NULL */
    struct span rejected_message;
    enum validate_conflict conflict;
    bool overlaps; /* OverlappingTLSConfig */
    struct tr_unresolved unresolved;
    struct model_cert *certs;
    unsigned certs_count;
    struct model_frontend frontend;
    unsigned attached; /* routes with Accepted=True */
    const struct conf_object *last_attached; /* so that two parentRefs count once */
    struct tr_attachment *attachments;
    unsigned attachments_count, attachments_cap;
    const struct model_tcp_route *tcp;
    struct tr_limit_policy *limits; /* RateLimitPolicy of this listener, or NULL */
};

/* Client certificate validation of a Gateway, resolved at first use. */
struct tr_frontend {
    bool is_resolved;
    struct span ca_pem;
    struct tr_unresolved unresolved;
};

/* One of our Gateways. */
struct tr_gateway {
    const struct conf_object *object; /* key of the node */
    struct hmap_node node;
    struct tr_listener *listeners;
    unsigned listeners_count;
    struct span *addresses;
    unsigned addresses_count;
    const char *rejected; /* reason of Accepted=False for the whole Gateway, or NULL */
    const char *unusable; /* reason of Programmed=False for the whole Gateway, or NULL */
    struct span message; /* for either */
    struct tr_unresolved unresolved;
    struct tr_frontend *frontends; /* the default, then one a port */
    bool insecure_fallback;
    bool wants_client_cert, has_client_cert;
    struct model_cert client_cert;
    struct tr_limit_policy *limits; /* RateLimitPolicy of the Gateway, or NULL */
};

#define TR_ANCESTORS_MAX 16

/* Gateways a policy takes effect through; beyond the cap the API has no place for more. */
struct tr_ancestors {
    struct {
        const struct tr_gateway *gateway;
        const char *lost; /* reason why no target is affected, or NULL: one at least is */
    } items[TR_ANCESTORS_MAX];
    unsigned count;
};

/* A BackendTLSPolicy, resolved. */
struct tr_tls_policy {
    const struct conf_object *object;
    bool is_lost; /* refused, and rejected for that */
    struct hmap_node ns_node; /* when it is lost and its targets are not known */
    struct tr_ancestors ancestors;
    const char *rejected; /* reason of Accepted=False for all ancestors, or NULL */
    struct span rejected_message;
    struct tr_unresolved unresolved;
    struct span lost_message; /* for ancestors of targets that it lost */
    struct span ca_pem; /* empty: the system's */
};

/* One targetRef of a BackendTLSPolicy; chained by Service, oldest first. */
struct tr_tls_target {
    struct hmap_node node; /* of the first in the chain; key: service */
    const struct conf_object *service;
    struct tr_tls_target *next;
    struct tr_tls_policy *policy;
    struct span port_name; /* empty: all ports */
    const char *lost; /* why the policy does not affect it, or NULL */
};

/* A target that a RateLimitPolicy does not affect. */
struct tr_lost_target {
    const struct conf_ref *ref;
    const char *reason;
    struct span message;
};

/* A RateLimitPolicy, resolved: the indexes of its limits in the model. */
struct tr_limit_policy {
    const struct conf_object *object;
    struct tr_ancestors ancestors;
    struct tr_unresolved unresolved; /* its store */
    struct tr_lost_target *lost;
    unsigned lost_count;
    unsigned *limits;
    unsigned limits_count;
};

/* One target of a RateLimitPolicy. Key: address of the route or Gateway, then the section's name.
 */
struct tr_limit_target {
    struct hmap_node node;
    struct tr_limit_policy *policy;
};

/* A RateLimitStore. */
struct tr_store {
    const struct conf_object *object;
    struct tr_unresolved unresolved;
    struct model_store model;
    int index; /* in the model; -1: not used yet */
};

/* Where a backendRef stands, for findings. */
struct tr_site {
    const struct conf_object *object; /* the route */
    const struct tr_gateway *gateway; /* through which it is reached */
    bool is_tcp;
    bool is_quiet; /* the findings were told already */
    unsigned rule, backend; /* indexes */
    bool is_only; /* the rule's only backend */
    bool is_mirror; /* the target of a mirror: */
    unsigned filter; /* its index among the filters */
    bool is_of_backend; /* of backendRefs[backend]; else of the rule */
};

/* The only reason that PartiallyInvalid has, whatever the rules that were left out have. */
#define TR_PARTIALLY_INVALID "UnsupportedValue"

/* What became of the rules of a route. */
struct tr_rules_outcome {
    unsigned invalid; /* rules that cannot be served */
    const char *reason; /* of the first */
    struct span message;
    struct tr_unresolved unresolved;
};

struct translation {
    struct objects *objects;
    const struct translate_options *options;
    struct diags *diags; /* may be NULL */
    struct model *model;
    struct statuses *statuses;
    struct arena *arena; /* the model's */
    struct arena scratch;
    struct refs refs;
    unsigned suggestions; /* how many names were compared with others */

    struct tr_gateway *gateways; /* oldest first */
    unsigned gateways_count;
    struct hmap gateway_map; /* by object */
    struct hmap address_map; /* "address port" and "address port host name" taken */

    struct tr_tls_policy *tls_policies;
    unsigned tls_policies_count;
    struct hmap tls_map; /* tr_tls_target by Service */
    struct hmap tls_ns_map; /* tr_tls_policy by namespace that it closes, "": all */

    struct traffic_policy *traffic_policies; /* translate_traffic.c */
    unsigned traffic_policies_count;
    struct hmap traffic_map; /* traffic_target by Service or XBackend */

    struct hmap claim_map; /* host names of listeners */
    bool has_claims; /* there are HTTPRoutes and GRPCRoutes */

    struct hmap cluster_map; /* by Service, port, TLS and Gateway */
    struct hmap cluster_ids; /* by id */
    unsigned clusters_cap;

    struct tr_limit_policy *limit_policies;
    unsigned limit_policies_count;
    struct hmap limit_map; /* tr_limit_target */
    struct tr_store *stores;
    unsigned stores_count;

    unsigned routes_cap, limits_cap, stores_cap;
};

/* translate.c: shared helpers */

/* A finding about object; value is what is underlined. */
struct diag *translate_diag(struct translation *tr, enum diag_code code,
                            const struct conf_object *object, struct conf_place place,
                            struct span value);
/* The finding's message for a condition, in the statuses' arena. */
struct span translate_message(struct translation *tr, const struct diag *diag);
/* Hint "did you mean ...?" from the names of a kind in a namespace, when one is near. */
void translate_suggest(struct translation *tr, struct diag *diag, enum conf_kind kind,
                       struct span ns, struct span wrong);
/* The field of a finding about a policy's target: by its code the kind, the name or all of it. */
void translate_target_field(struct diag *diag, unsigned index);
/* Room for one more item of size bytes in a heap array; NULL array to start. */
void *translate_grow(void *array, unsigned count, unsigned *cap, size_t size);
/* Makes a heap array part of the model's arena. */
void *translate_settle(struct translation *tr, void *array, unsigned count, size_t size);
/* A status of object, without conditions. */
struct status *translate_status(struct translation *tr, const struct conf_object *object);
/* Sets a condition: False with the reason, or True, named as the type, when reason is NULL. */
void translate_condition(struct translation *tr, struct status_conditions *conditions,
                         const char *type, const char *reason, struct span message);
/* The same for one that is True for another reason. */
void translate_condition_true(struct translation *tr, struct status_conditions *conditions,
                              const char *type, const char *reason, struct span message);
/* Adds to ancestors when not there; lost: a reason, or NULL, which stays. */
void translate_ancestor(struct tr_ancestors *ancestors, const struct tr_gateway *gateway,
                        const char *lost);
/* A Gateway as ancestorRef. */
struct conf_ref translate_ancestor_ref(const struct tr_gateway *gateway);
/* Namespace a reference leads to. */
struct span translate_ref_ns(const struct conf_ref *ref, const struct conf_object *from);

/* translate_cert.c: Secrets and ConfigMaps */

/* A reference to certificates, and how to tell what is wrong with it. */
struct tr_cert_request {
    const struct conf_object *from;
    const struct conf_ref *refs;
    unsigned count;
    const char *field; /* "spec.listeners[0].tls.certificateRefs" */
    bool is_list; /* field gets an index */
    bool is_local; /* a grant does not help: the API has no namespace there */
    bool accepts_secret; /* CA: a Secret's ca.crt too */
    enum diag_code code; /* of what is not a missing grant */
    const char *reason, *kind_reason; /* of conditions */
    const char *consequence;
};
/* Key pairs of Secrets; the good ones are returned, the first bad one tells why. */
unsigned translate_cert_pairs(struct translation *tr, const struct tr_cert_request *request,
                              struct model_cert **ret, struct tr_unresolved *unresolved);
/* CA certificates of ConfigMaps (key ca.crt), those that are good, concatenated. */
struct span translate_cert_ca(struct translation *tr, const struct tr_cert_request *request,
                              struct tr_unresolved *unresolved);

/* translate_gateway.c */
void translate_gateway_classes(struct translation *tr);
/* All of ours, with what their listeners need before routes come. */
void translate_gateways(struct translation *tr);
/* Conditions, and the model's listeners. */
void translate_gateways_finish(struct translation *tr);
/* NULL: not ours. */
struct tr_gateway *translate_gateway_find(const struct translation *tr,
                                          const struct conf_object *object);

/* translate_listener.c */
void translate_listeners(struct translation *tr, struct tr_gateway *gateway);
/* Binds the ports of a Gateway's listeners, unless an older Gateway has them. */
void translate_listener_ports(struct translation *tr, struct tr_gateway *gateway);
/* Accepted and with all it needs: it gets a socket. */
bool translate_listener_is_served(const struct tr_listener *listener);
void translate_listener_status(struct translation *tr, const struct tr_listener *listener,
                               struct status_listener *status);

/* translate_tls.c: BackendTLSPolicy */
void translate_tls_policies(struct translation *tr);
void translate_tls_policies_finish(struct translation *tr);
/* The policy of a Service's port, or NULL; notes the Gateway as an ancestor. */
const struct tr_tls_policy *translate_tls_find(struct translation *tr,
                                               const struct conf_object *service,
                                               const struct conf_service_port *port,
                                               const struct tr_gateway *gateway);
/* Whether there is one, also when its backends are closed; notes nothing. */
bool translate_tls_covers(const struct translation *tr, const struct conf_object *service,
                          const struct conf_service_port *port);

/* translate_traffic.c: XBackendTrafficPolicy */
void translate_traffic_policies(struct translation *tr);
void translate_traffic_policies_finish(struct translation *tr);
/* Notes that a Gateway leads to a backend, for the statuses of its policies. */
void translate_traffic_reach(struct translation *tr, const struct conf_object *backend,
                             const struct tr_gateway *gateway);
/* How many retries a Service or XBackend gets; NULL: no policy says. */
const struct conf_retry_constraint *translate_traffic_retry(const struct translation *tr,
                                                            const struct conf_object *backend);

/* translate_backend.c */

/* Index of the cluster a backendRef leads to, or -1; unresolved gets the first failure. */
int translate_backend(struct translation *tr, const struct conf_ref *ref,
                      const struct tr_site *site, struct tr_unresolved *unresolved);

/* translate_cluster.c */
struct tr_cluster_request {
    const struct conf_object *object; /* Service or XBackend */
    const struct conf_service_port *port; /* NULL: XBackend */
    const struct tr_tls_policy *policy; /* NULL: plaintext */
    const struct tr_gateway *gateway;
    bool is_h2; /* whatever its appProtocol */
};
/* Index of the cluster, made at first use. */
int translate_cluster(struct translation *tr, const struct tr_cluster_request *request);

/* translate_route.c: parentRefs */
void translate_routes(struct translation *tr);

/* translate_claim.c: HTTPRoutes and GRPCRoutes share no host name of a listener */

/* The route of the other kind that has the name, or one that intersects with it; NULL: none.
 * name: lower case, "" any. */
const struct conf_object *translate_claim_find(struct translation *tr,
                                               const struct tr_listener *listener,
                                               enum conf_kind kind, struct span name);
void translate_claim_add(struct translation *tr, const struct tr_listener *listener,
                         const struct conf_object *route, struct span name);

/* translate_rule.c */

static inline bool translate_rule_is_grpc(const struct tr_site *site)
{
    return site->object->kind == CONF_KIND_GRPC_ROUTE;
}
/* Rules of an HTTPRoute or GRPCRoute as reached through site->gateway. outer: the limits of the
 * listener or Gateway, or NULL. */
void translate_rules(struct translation *tr, struct tr_site *site, struct tr_limit_policy *outer,
                     struct model_http_route *route, struct tr_rules_outcome *ret);
struct model_backend *translate_rule_backends(struct translation *tr, struct tr_site *site,
                                              const struct conf_backend_ref *backends,
                                              unsigned count, struct tr_unresolved *unresolved);

/* translate_limit.c: RateLimitPolicy and RateLimitStore */
void translate_limits(struct translation *tr);
void translate_limits_finish(struct translation *tr);
/* The policy of a section (empty: the whole) of a route; NULL: none. */
struct tr_limit_policy *translate_limit_find(const struct translation *tr,
                                             const struct conf_object *object, struct span section);
/* Gives the rule the limits of a policy. */
void translate_limit_use(struct tr_limit_policy *policy, const struct tr_gateway *gateway,
                         struct model_rule *rule);

#endif
