/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_FIELD_H
#define RINGGATE_HTTP_FIELD_H

/* Field values that are lists, and names that must not pass. Pure. */

#include "http/message.h"

/* The next element of a comma-separated list (RFC 9110 5.6.1) without quoted
 * strings: Connection, TE, Transfer-Encoding, Upgrade. *list is advanced; empty
 * elements are skipped. false: no more. */
bool field_list_next(struct span *list, struct span *ret);
/* The element is in the list; letters compare without case. */
bool field_list_has(struct span list, struct span element);
/* The name is another spelling of one that the gateway relies on: '_' or '.' where
 * that has '-' (X_Forwarded_For). Such fields are dropped: some servers make them one. */
bool field_is_alias(struct span name);
/* Whether a field with this valid name is to be dropped: an alias, or '_' when underscores are not
 * allowed. */
bool field_is_dropped(struct span name, bool underscores);

#endif
