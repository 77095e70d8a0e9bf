/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_REFS_H
#define RINGGATE_CONF_REFS_H

/* Who may refer to whom: ReferenceGrants, and label selectors of Namespaces.
 * Built once per translation; lookups cost one hash. Control thread. */

#include "base/hmap.h"
#include "conf/objects.h"

struct refs {
    const struct objects *objects; /* borrowed */
    struct hmap grants; /* every (from, to) pair of every grant */
    struct arena arena;
};

/* objects: sealed, outlives refs. */
void refs_init(struct refs *refs, const struct objects *objects);
void refs_fini(struct refs *refs);

/* One end of a reference. */
struct refs_party {
    struct span group, kind, ns;
};

/* Whether an object of `from` may refer to `name` of `to`: same namespace, or a ReferenceGrant in
 * to->ns allows it (Gateway API, ReferenceGrant: any pair of any grant suffices, no wildcards). */
bool refs_is_permitted(const struct refs *refs, const struct refs_party *from,
                       const struct refs_party *to, struct span name);

/* Whether the labels of namespace ns meet all requirements. Every Namespace has the label
 * kubernetes.io/metadata.name; one that is no object has only that. */
bool refs_namespace_matches(const struct refs *refs, struct span ns,
                            const struct conf_requirement *requirements, unsigned count);

#endif
