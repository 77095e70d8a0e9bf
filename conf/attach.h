/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_ATTACH_H
#define RINGGATE_CONF_ATTACH_H

/* Whether and under which host names a route reaches a listener. Pure. Host
 * names are lower case without a trailing dot; "" is any, "*.x" one or more
 * labels before ".x". */

#include "conf/refs.h"

/* The name as the functions below want it; copied to the arena only where it must change. */
struct span attach_hostname(struct arena *arena, struct span name);

/* What both allow (Gateway API, HTTPRouteSpec.hostnames): false when nothing. *ret: one of them. */
bool attach_intersect(struct span listener, struct span route, struct span *ret);

/* allowedRoutes.namespaces: owner_ns is the namespace of the object that owns the listener. */
bool attach_is_namespace_allowed(const struct refs *refs, const struct conf_listener *listener,
                                 struct span owner_ns, struct span route_ns);

/* allowedRoutes.kinds: none allows all kinds of the protocol. */
bool attach_is_kind_allowed(const struct conf_listener *listener, enum conf_kind kind);

/* Kinds of routes that are served on a protocol, all of group gateway.networking.k8s.io; how many:
 * 0, the protocol is not served. */
unsigned attach_protocol_kinds(enum conf_protocol protocol, const enum conf_kind **ret);
bool attach_is_kind_served(enum conf_protocol protocol, enum conf_kind kind);

#endif
