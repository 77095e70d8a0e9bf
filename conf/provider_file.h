/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_PROVIDER_FILE_H
#define RINGGATE_CONF_PROVIDER_FILE_H

/* Reads Kubernetes documents (YAML or JSON, multi-document, kind List) from
 * files and directory trees and notices changes. Unchanged documents are not
 * decoded again. What is wrong costs only itself: a file or document that
 * cannot be read or parsed keeps its last good objects. Control thread; no event
 * loop of its own: the caller watches provider_file_fd. */

#include "base/err.h"
#include "conf/diag.h"
#include "conf/history.h"
#include "conf/objects.h"

struct provider_file;

/* paths: files or directories, copied. They need not exist yet (a diagnostic says so). */
MUST_CHECK int provider_file_new(struct provider_file **ret, const char *const *paths,
                                 unsigned count, struct err *reterr);
void provider_file_free(struct provider_file *provider);
/* Readable when something may have changed (inotify). */
int provider_file_fd(const struct provider_file *provider);
/* Call when the descriptor is readable. True when a reload is wanted; the caller calls
 * provider_file_load after *ret_delay_ns (20 ms since the last write, 2 ms for a single file that
 * was closed or moved here, at most 200 ms since the first), or polls again when there is more to
 * read, which moves the time. */
bool provider_file_poll(struct provider_file *provider, uint64_t now_ns, uint64_t *ret_delay_ns);
/* -errno of a directory that the kernel does not watch for us, in the last load, or 0. -ENOSPC: the
 * user's limit of watches. */
int provider_file_watch_error(const struct provider_file *provider);
/* Whether a file or directory could not be read or watched: call provider_file_retry each second
 * then. */
bool provider_file_is_waiting(const struct provider_file *provider);
/* True when a load is wanted: what could not be read may be now, or fails in another way; or, if
 * something is not watched, the last load was PROVIDER_FILE_LOOK_NS ago. */
bool provider_file_retry(struct provider_file *provider, uint64_t now_ns);
#define PROVIDER_FILE_LOOK_NS (5 * NS_PER_S)
/* Where objects that come without a creation time get it and their generation; borrowed, may change
 * between loads. Without one, objects are as old as their first load. */
void provider_file_set_history(struct provider_file *provider, const struct history *history);
/* The next load looks at every file, whatever events said: the answer to SIGHUP. */
void provider_file_walk(struct provider_file *provider);
/* Reads what changed: the files that events told of, or, when more than the text of files changed,
 * those whose time, size or number did. *ret: a sealed set (new reference) with everything that is
 * good. diags (may be NULL): all findings of all files, not only of the changed ones; they borrow
 * from the provider until its next load. Returns whether the set differs
 * from the last one, or the findings do, if diags are given, or the text while there are findings.
 *
 * An object with an error, or one that is defined twice, stays as it was in the last set; so does
 * what a document defined that cannot be parsed any more, and all below a directory, root or link
 * that cannot be read; what is no longer in a directory that can be read is gone. Objects are
 * immutable but for their positions, which move with the text before them.
 *
 * Data files (annotation ringgate.dev/files, passwordFile) are relative to the configuration
 * directory: the root itself, its parent if it is named conf.d, the file's directory if the root is
 * a file. There, tls/<namespace>/<name>/ with tls.crt and tls.key, or fullchain.pem and
 * privkey.pem, is a Secret of type kubernetes.io/tls (roots that are directories only). */
bool provider_file_load(struct provider_file *provider, struct diags *diags, struct objects **ret);
/* Objects of the last load that have errors or are defined twice: only what names them is known.
 * Sealed; until the next load. */
struct objects *provider_file_refused(const struct provider_file *provider);
/* Policies of the last load that would protect (BackendTLSPolicy, RateLimitPolicy) but cannot be
 * used, while no good version of them is in force: name, namespace and targets may be empty, that
 * is, not known. Until the next load. */
const struct conf_object *const *provider_file_lost(const struct provider_file *provider,
                                                    unsigned *ret_count);
/* Frees the texts of all files once their excerpts were printed. */
void provider_file_forget_text(struct provider_file *provider);

#endif
