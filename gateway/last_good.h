/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_LAST_GOOD_H
#define RINGGATE_GATEWAY_LAST_GOOD_H

/* The last usable version of every TLS Secret: a certificate or key that was
 * replaced by something broken goes on being served as it was. Objects that do
 * not decode are kept by the provider in the same way; whether a certificate
 * and a key belong together only tls/ knows. Control thread. */

#include "conf/diag.h"
#include "conf/objects.h"

struct last_good;

struct last_good *last_good_new(void);
void last_good_free(struct last_good *keeper); /* NULL is ignored */

/* The set to translate: `set` itself, or a copy with the last good version in place of each broken
 * Secret that has one, told to diags. A new reference. */
struct objects *last_good_apply(struct last_good *keeper, struct objects *set, struct diags *diags);

#endif
