/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_DIAG_H
#define RINGGATE_CONF_DIAG_H

/* What is wrong with a configuration, told to its author: every finding of
 * every file, collected, sorted and printed as text or JSON. */

#include "base/json_out.h"
#include "conf/kinds.h"

enum diag_severity { DIAG_WARNING, DIAG_ERROR };

/* Stable codes, each documented in doc/codes.md; a row of the table is
 * DIAG_CODE(id, "RG101", severity, "short title"). */
enum diag_code {
#define DIAG_CODE(id, text, severity, title) DIAG_##id,
#include "conf/diag_codes.tbl"
#undef DIAG_CODE
    DIAG_CODE_COUNT
};

struct diag {
    enum diag_code code;
    const struct conf_source *source; /* borrowed; may be NULL */
    struct conf_pos pos;
    struct conf_pos
        object_pos; /* where its object begins; line 0: there is none, or pos is exact */
    unsigned length; /* characters to underline, 0 = one */
    char object[320]; /* "HTTPRoute shop/api" or "" */
    char field[160]; /* "spec.rules[0].backendRefs[0].name" or "" */
    char message[400]; /* one sentence with the value and what is allowed */
    char hint[200]; /* "did you mean \"echo\"?" or a remedy, or "" */
    char condition[160]; /* "ResolvedRefs=False, BackendNotFound" or "" */
    char consequence[160]; /* "this rule answers 500; others are unaffected" or "" */
};

/* Control thread. Borrows the sources: print before the objects go. */
struct diags {
    struct diag **items;
    unsigned count, errors, warnings, cap;
    unsigned dropped; /* beyond DIAGS_MAX */
    unsigned refused; /* objects that were only decoded, for their own errors: more may follow */
};
#define DIAGS_MAX 10000

void diags_init(struct diags *diags);
void diags_fini(struct diags *diags);
/* Adds one and returns it for the caller to complete; NULL diags, or full: returns a scratch that
 * the next such call overwrites (never NULL). object: gives the source and the name, and the
 * position when pos has none; may be NULL. */
struct diag *diags_add(struct diags *diags, enum diag_code code, const struct conf_object *object,
                       struct conf_pos pos);
void diag_field(struct diag *diag, const char *format, ...) PRINTF_LIKE(2, 3);
void diag_message(struct diag *diag, const char *format, ...) PRINTF_LIKE(2, 3);
void diag_hint(struct diag *diag, const char *format, ...) PRINTF_LIKE(2, 3);
void diag_condition(struct diag *diag, const char *format, ...) PRINTF_LIKE(2, 3);
void diag_consequence(struct diag *diag, const char *format, ...) PRINTF_LIKE(2, 3);
/* "RG103"; its severity; "backend does not exist". */
const char *diag_code_text(enum diag_code code);
enum diag_severity diag_code_severity(enum diag_code code);
const char *diag_code_title(enum diag_code code);
/* The nearest candidate within a third of its length (Damerau-Levenshtein, case does not
 * count), or NULL. */
const char *diag_did_you_mean(struct span wrong, const char *const *candidates, unsigned count);
/* Equal for lists that tell the same in the same order. */
uint64_t diags_digest(const struct diags *diags);
/* By file, line, column; findings of one place keep their order. */
void diags_sort(struct diags *diags);
/* file:line:column: error[RG103] object: field: message, excerpt with caret, hint, condition,
 * consequence; the last line counts errors and warnings;
 * the one before says so when objects were refused. Control characters are replaced; a line
 * of a Secret is never shown. */
void diags_print(const struct diags *diags, struct buf *out, bool color);
/* {"errors": 1, "warnings": 0, "dropped": 0, "refused": 0, "findings": [{...}]}; absent parts are
 * left out. */
void diags_json(const struct diags *diags, struct json_out *out);

#endif
