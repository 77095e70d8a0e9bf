/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_LAST_GOOD_H
#define RINGGATE_GATEWAY_LAST_GOOD_H

/* The last usable version of every TLS Secret and of every Secret or ConfigMap
 * with a ca.crt: a certificate, key or authority that was replaced by something
 * broken goes on being used as it was. Objects that do not decode are kept by
 * the provider in the same way; whether a certificate and a key belong together
 * and whether an authority can be read only tls/ knows. A value that was taken
 * away is gone. Control thread. */

#include "conf/diag.h"
#include "conf/objects.h"

struct last_good;

struct last_good *last_good_new(void);
void last_good_free(struct last_good *keeper); /* NULL is ignored */

/* The set to translate: `set` itself, or a copy with the last good version in place of each broken
 * object that has one, told to diags. A new reference. */
struct objects *last_good_apply(struct last_good *keeper, struct objects *set, struct diags *diags);
/* The broken objects of the last set that were replaced. Sealed; until the next call. */
const struct objects *last_good_kept(const struct last_good *keeper);

#endif
