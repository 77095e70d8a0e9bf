/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_FILE_H
#define RINGGATE_BASE_FILE_H

/* Small whole files of the control plane. Blocks on disk: no worker. */

#include "base/buf.h"

/* Adds the text to out, up to its cap. dir_fd: as openat(2) takes it; flags: more of its flags,
 * such as O_NOFOLLOW. 0; -EFBIG: longer than the cap; else -errno. */
MUST_CHECK int file_read(int dir_fd, const char *path, int flags, struct buf *out);
/* Makes or replaces the file: a reader sees the old text or the new one, never a part. 0; -errno,
 * and the old file stays. */
MUST_CHECK int file_replace(int dir_fd, const char *path, struct span text);

#endif
