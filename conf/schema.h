/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_SCHEMA_H
#define RINGGATE_CONF_SCHEMA_H

/* From a parsed document to an API object: kind, metadata and the kind's own
 * tables (conf/schema_*.c), which hold what the CRDs demand in types, ranges,
 * patterns and CEL rules. An object is decoded twice: once into scratch memory
 * to find mistakes and to measure it, once into memory of exactly its size. */

#include "conf/decode.h"

struct schema_input {
    const struct doc_node *root;
    const struct conf_source *source; /* the object takes a reference */
    uint64_t digest; /* of the document */
    struct diags *diags;
    const struct decode_files *files; /* NULL: data files are errors */
};

struct schema_output {
    struct conf_object *object; /* one reference; its name is empty when it is not known */
    bool is_good; /* else object only says which one was refused (and a policy's targets) */
    bool has_files; /* content came from data files */
};

/* 0: see *ret; -ENOENT: kind is none of ours, nothing reported; -EINVAL: no Kubernetes object,
 * reported. Control thread. */
MUST_CHECK int schema_decode(const struct schema_input *input, struct schema_output *ret);
/* A policy of which only the kind is known, and maybe the namespace: one reference. */
struct conf_object *schema_unread(enum conf_kind kind, struct span ns,
                                  const struct conf_source *source, uint32_t line);
/* Drops the reference. */
void schema_output_fini(struct schema_output *output);

#endif
