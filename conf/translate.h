/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_TRANSLATE_H
#define RINGGATE_CONF_TRANSLATE_H

/* The one translator: objects in, model and statuses out. Pure and total: any
 * set of decoded objects gives conditions, never a failure, and a wrong object
 * costs only itself. Files and the Kubernetes API feed the same function. */

#include "conf/diag.h"
#include "conf/model.h"
#include "conf/objects.h"
#include "conf/status.h"
#include "conf/validate.h"

#define TRANSLATE_CONTROLLER "ringgate.dev/gateway-controller"
#define TRANSLATE_CLASS "ringgate" /* implicit class of files */

struct translate_options {
    bool from_files; /* loopback endpoints allowed, implicit class, default addresses */
    uint64_t generation; /* given to the model */
    const struct objects *refused; /* left out for their own errors, for hints; NULL: none */
    /* Secrets and ConfigMaps in whose place the last good version is translated; NULL: none */
    const struct objects *kept;
    const struct validate_patterns *patterns; /* NULL: every regular expression will do */
    /* Policies that are left out. Backends of a BackendTLSPolicy answer 503: those of its targets;
     * without targets all Services of its namespace; without a namespace all. */
    const struct conf_object *const *lost;
    unsigned lost_count;
};

/* objects: sealed; the model and the statuses keep a reference each. *ret_model: model_free.
 * *ret_statuses: statuses_free. diags: may be NULL; gets every condition that is not good, with its
 * position. Control thread. */
void translate(struct objects *objects, const struct translate_options *options,
               struct diags *diags, struct model **ret_model, struct statuses **ret_statuses);
void model_free(struct model *model); /* NULL is ignored */
/* The model as stable text, for golden tests and `check --dump`. No secrets. */
void model_dump(const struct model *model, struct buf *out);

#endif
