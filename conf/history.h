/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_HISTORY_H
#define RINGGATE_CONF_HISTORY_H

/* What a cluster would remember of objects and files do not say: when each was seen first, and its
 * generation, which goes up when the spec changes. Kept in a text file over restarts, so that "the
 * oldest wins" and observedGeneration mean the same before and after. Control thread. */

#include "base/err.h"
#include "conf/objects.h"

struct history;

struct history *history_new(void);
void history_free(struct history *history); /* NULL is ignored */
/* Sets generation and, when the document gives none, creation time (now_s) of a decoded object that
 * is not in use yet. last: its version in use, or NULL. */
void history_number(const struct history *history, struct conf_object *object,
                    const struct conf_object *last, uint64_t now_s);
/* Takes over what the sealed set holds, and a reference. keep_gone: objects that it lacks may only
 * be unreadable now: they are remembered, up to HISTORY_GONE_MAX of them. */
#define HISTORY_GONE_MAX 10000u
void history_update(struct history *history, struct objects *set, bool keep_gone);

/* Reads what history_save wrote, into an empty history. 0, also when there is no file; -EBADMSG:
 * the file is not whole or not ours, nothing is taken from it; else -errno; with reterr. */
MUST_CHECK int history_load(struct history *history, const char *path, struct err *reterr);
/* Writes the file when something changed since it was read or written. 0; -errno with reterr. */
MUST_CHECK int history_save(struct history *history, const char *path, struct err *reterr);

#endif
