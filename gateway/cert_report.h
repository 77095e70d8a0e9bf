/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_CERT_REPORT_H
#define RINGGATE_GATEWAY_CERT_REPORT_H

/* Findings about the certificates and authorities of a model, told of the
 * objects that they are from; the same for `check` and `run`. Each text is
 * looked at once. Control thread. */

#include "base/hmap.h"
#include "conf/diag.h"
#include "conf/model.h"

struct cert_report {
    const struct model *model;
    struct diags *diags;
    int64_t now_s; /* seconds since 1970: what is past its last day is told; 0: it is not */
    struct hmap seen; /* PEM texts that were looked at, by address */
    struct arena arena;
};

void cert_report_init(struct cert_report *report, const struct model *model, struct diags *diags,
                      int64_t now_s);
void cert_report_fini(struct cert_report *report);
/* Whether a certificate and its key can be used. reason: of ResolvedRefs=False. */
void cert_report_pair(struct cert_report *report, const struct model_cert *cert, const char *reason,
                      const char *consequence);
/* Whether the certificates of an authority can be used. */
void cert_report_authority(struct cert_report *report, struct span pem, const char *consequence);

#endif
