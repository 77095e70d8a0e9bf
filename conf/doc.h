/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_DOC_H
#define RINGGATE_CONF_DOC_H

/* A document as a neutral tree: maps, lists and scalars, each with its place
 * in the file. YAML is read by libyaml's event interface; JSON is read as the
 * YAML that it is, because that keeps positions and finds duplicate keys.
 * Untrusted text: every size and depth has a cap. Any thread; no state. */

#include "base/err.h"
#include "conf/kinds.h"

#define DOC_FILE_SIZE_MAX (64u << 20)
#define DOC_SIZE_MAX (4u << 20)
#define DOC_DEPTH_MAX 32
#define DOC_NODES_MAX 200000

enum doc_type { DOC_SCALAR, DOC_MAP, DOC_LIST };

/* What an unquoted scalar means in YAML 1.1, as Kubernetes reads it. */
enum doc_tag { DOC_TAG_STRING, DOC_TAG_BOOL, DOC_TAG_INT, DOC_TAG_FLOAT, DOC_TAG_NULL };

struct doc_node {
    enum doc_type type;
    bool is_plain; /* a scalar without quotes, not a block scalar, not tagged !!str */
    unsigned count; /* children */
    struct conf_pos pos, key_pos;
    struct span key; /* children of maps */
    struct span text; /* scalars */
    struct doc_node *first, *next; /* children in the order of the file */
};

/* A file while it is cut into documents. */
struct doc_cut {
    struct span text;
    size_t offset; /* what was cut off before */
    uint32_t line; /* number of the line that stands there; 1 at first */
};

/* At the beginning of a file, after its byte order mark. */
struct doc_cut doc_cut_begin(struct span text);
/* Cuts the next document off. A line that begins with "---" begins a document; no scalar can hold
 * such a line. *ret_line: line number of the piece's first line. false: the end. Pieces without
 * content are skipped. */
bool doc_split(struct doc_cut *cut, struct span *ret, uint32_t *ret_line);
/* Whether a piece whose bytes, as many as size, were once cut off by doc_split would be so from
 * this text, if it begins with them. size: 1 .. rest.len. */
bool doc_ends_at(struct span rest, size_t size);

/* Parses one piece. line: number of its first line. Everything of the tree lives in the arena.
 * 0, *ret may be NULL: nothing but comments; -EINVAL: syntax, control characters, invalid UTF-8,
 * unknown tag; -EEXIST: a key twice; -ELOOP: an alias; -E2BIG: a cap. reterr has the position. */
MUST_CHECK int doc_parse(struct arena *arena, struct span text, uint32_t line,
                         struct doc_node **ret, struct err *reterr);

/* The child of a map; NULL: none, or node is no map. */
const struct doc_node *doc_find(const struct doc_node *node, const char *key);
/* What a scalar is; quoted ones are strings. node is a scalar. */
enum doc_tag doc_tag_of(const struct doc_node *node);
bool doc_is_null(const struct doc_node *node);
/* "a map", "a list", "a string", "a number", "a boolean", "null". */
const char *doc_describe(const struct doc_node *node);
/* How many characters findings underline, with quotes, at most some 200; 0: no scalar, or empty. */
unsigned doc_width(const struct doc_node *node);
/* The same for the key of a map's child. */
unsigned doc_key_width(const struct doc_node *node);
/* Of the content; positions, quotes and comments do not count. */
uint64_t doc_hash(const struct doc_node *node, uint64_t seed);

#endif
