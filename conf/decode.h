/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_DECODE_H
#define RINGGATE_CONF_DECODE_H

/* The table-driven decoder: a table lists the fields of one map of the API,
 * each with its name, type, default, range and place in a struct; the decoder
 * walks document and tables together, writes the struct and reports every
 * finding with the exact field path. Unknown fields are warnings, wrong ones
 * errors. Its recursion is as deep as the tables, never as the input. */

#include "conf/diag.h"
#include "conf/doc.h"

struct decode;
struct decode_table;

/* NULL: fine; else what the text must be, to follow "must ". */
typedef const char *decode_check_fn(struct span text);
/* A field or table that needs code. out: the struct of the map that has the field. */
typedef void decode_fn(struct decode *decode, const struct doc_node *node, void *out);

enum decode_type {
    DECODE_STR, /* struct span; min, max: bytes */
    DECODE_WORD, /* const char *; min, max: bytes; `check` allows no NUL */
    DECODE_INT, /* unsigned of `width` bytes; min, max: value */
    DECODE_BOOL,
    DECODE_DURATION, /* uint64_t nanoseconds from GEP-2257 text; min, max: nanoseconds */
    DECODE_ENUM, /* an enum; the index of the word in `words` */
    DECODE_PAIRS, /* map of strings: struct conf_pair * and count; max: entries */
    DECODE_STRS, /* list of strings: struct span * and count; min, max: entries */
    DECODE_OBJECT, /* map decoded by `table` into the struct at `at` */
    DECODE_LIST, /* list of maps decoded by `table`: pointer and count; min, max: entries */
    DECODE_FN, /* `fn` */
    DECODE_SKIP, /* of the API, without meaning for a gateway */
    DECODE_UNSERVED, /* of the API, not served yet: a warning, ignored */
    DECODE_REFUSED, /* of the API, not served yet, and ignoring it would be wrong: an error */
};

/* Places are 1 + offset, so that 0 means nowhere. */
#define DECODE_AT(type, member) ((uint16_t)(1 + offsetof(struct type, member)))
/* The same struct as the table's. */
#define DECODE_HERE 1

struct decode_field {
    const char *name;
    enum decode_type type;
    bool required;
    uint8_t width; /* INT, 0: 2 */
    uint16_t at, at_count, at_has, at_pos; /* value, length of the list, presence, position */
    uint16_t item_size; /* LIST */
    uint64_t min, max; /* max 0: no bound */
    const char *def; /* STR, WORD */
    uint64_t def_int; /* INT, BOOL, ENUM, DURATION */
    decode_check_fn *check; /* STR, WORD, STRS: each */
    const char *const *words; /* STR, ENUM: allowed, up to NULL */
    const struct decode_table *table;
    decode_fn *fn;
};

struct decode_table {
    const struct decode_field *fields;
    unsigned count;
    uint16_t at_pos; /* struct conf_place of the map itself */
    decode_fn *check; /* after the fields: rules over several of them; may be NULL */
    bool check_always; /* also when a field of it was wrong: the check takes care itself */
};
#define DECODE_TABLE(list, ...)                                                                    \
    {                                                                                              \
        .fields = (list), .count = ARRAY_COUNT(list), __VA_ARGS__                                  \
    }

/* Reads the files that Secrets and ConfigMaps name. *ret lives in the arena. 0 or -errno with
 * reterr; -EPERM: a private key that other users may read. */
struct decode_files {
    int (*read)(const struct decode_files *files, struct span path, struct arena *arena,
                struct span *ret, struct err *reterr);
};

struct decode_path {
    const struct decode_path *up;
    struct span name;
    int index; /* in a list; -1: not in one */
};

struct decode {
    struct arena *arena; /* of the object */
    struct conf_object *object;
    struct diags *diags; /* NULL: a second walk over what was found good */
    const struct decode_files *files; /* NULL: no files may be read */
    const struct decode_path *path;
    unsigned errors;
    bool is_full; /* the arena overflowed: reported once */
};

/* Decodes a map by its table into out, which is zeroed. */
void decode_table(struct decode *decode, const struct decode_table *table,
                  const struct doc_node *node, void *out);
/* One field that is there. For fields that are decoded by hand. */
void decode_field(struct decode *decode, const struct decode_field *field,
                  const struct doc_node *node, void *out);
/* pos as a place of the object. */
struct conf_place decode_place(const struct decode *decode, struct conf_pos pos);
/* Reports a finding at node. name: a field below the current path, NULL: none. Returns the diag for
 * message and hint. */
struct diag *decode_report(struct decode *decode, enum diag_code code, const struct doc_node *node,
                           const char *name);
/* Says that a string must be in quotes, a number must not, and so on. false: wrong type. */
bool decode_is_string(struct decode *decode, const struct doc_node *node);
bool decode_is_map(struct decode *decode, const struct doc_node *node);
bool decode_is_list(struct decode *decode, const struct doc_node *node);
/* Steps into a child of the current path; `frame` lives until decode_leave. */
void decode_enter(struct decode *decode, struct decode_path *frame, struct span name, int index);
void decode_leave(struct decode *decode);
/* arena_calloc and arena_copy that note when memory or the object's cap is used up; NULL then. */
void *decode_array(struct decode *decode, size_t count, size_t size);
struct span decode_copy(struct decode *decode, struct span text);

/* GEP-2257: up to four of <1 to 5 digits><h|m|s|ms>. */
MUST_CHECK int decode_duration(struct span text, uint64_t *ret_ns);
/* Standard base64 with padding; white space is skipped. */
MUST_CHECK int decode_base64(struct decode *decode, struct span text, struct span *ret);

#endif
