/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_CERT_WATCH_H
#define RINGGATE_GATEWAY_CERT_WATCH_H

/* When the certificates in use end: a metric for each (tls_certs_not_after), and one line in the
 * log 30, 7 and 1 days before, and when it has happened. Those with short lives (SPIFFE) are
 * renewed all the time: before the last third of its life none is spoken of. Control thread. */

#include "conf/model.h"

struct cert_watch;

struct cert_watch *cert_watch_new(void);
void cert_watch_free(struct cert_watch *watch); /* NULL is ignored */
/* Takes over the certificates that the model serves or shows, and looks at them. now_s: seconds
 * since 1970. */
void cert_watch_apply(struct cert_watch *watch, const struct model *model, int64_t now_s);
/* Looks again; a warning that was given is given again only after a renewal. Returns how many were
 * given. */
unsigned cert_watch_look(struct cert_watch *watch, int64_t now_s);

#endif
