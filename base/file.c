/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define CHUNK_SIZE 16384
#define PATH_SIZE 4096

int file_read(int dir_fd, const char *path, int flags, struct buf *out)
{
    char chunk[CHUNK_SIZE];
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0)
        return -errno;
    int result = 0;
    for (ssize_t n = 1; n != 0 && result == 0;) {
        n = read(fd, chunk, sizeof(chunk));
        if (n > 0)
            buf_add(out, chunk, (size_t)n);
        if (n < 0 && errno != EINTR)
            result = -errno;
        else if (!buf_ok(out))
            result = -EFBIG;
    }
    close(fd);
    return result;
}

int file_replace(int dir_fd, const char *path, struct span text)
{
    char temporary[PATH_SIZE];
    int result = 0;
    if ((size_t)snprintf(temporary, sizeof(temporary), "%s.tmp", path) >= sizeof(temporary))
        return -ENAMETOOLONG;
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    for (size_t done = 0; done < text.len && result == 0;) {
        ssize_t n = write(fd, text.ptr + done, text.len - done);
        if (n < 0 && errno != EINTR)
            result = -errno;
        else if (n > 0)
            done += (size_t)n;
    }
    if (close(fd) < 0 && result == 0)
        result = -errno;
    if (result == 0 && renameat(dir_fd, temporary, dir_fd, path) < 0)
        result = -errno;
    if (result < 0)
        (void)unlinkat(dir_fd, temporary, 0); /* the failure is told already */
    return result;
}
