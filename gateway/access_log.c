/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/access_format.h"

#define RING_SIZE (1u << 20) /* bytes a worker; a power of two */
#define WRITER_PERIOD_MS 200

/* Single producer (the worker), single consumer (the writer). head and tail
 * only grow; a release store of head publishes the bytes before it. */
struct access_log {
    struct access_sink *sink;
    uint64_t head; /* written by the worker */
    uint64_t tail __attribute__((aligned(64))); /* written by the writer */
    char *ring;
};

struct access_sink {
    char *path;
    int fd, wake_fd;
    enum access_format format;
    unsigned logs_count;
    struct access_log *logs;
    pthread_t thread;
    bool stop, reopen; /* atomic */
};

static void sink_wake(const struct access_sink *sink)
{
    uint64_t one = 1;
    (void)!write(sink->wake_fd, &one, sizeof(one));
}

void access_log_write(struct access_log *log, const struct loop *loop UNUSED,
                      const struct access_record *record)
{
    char line[ACCESS_LINE_SIZE];

    if (log == NULL)
        return;
    size_t len = access_format_line(log->sink->format, record, line, sizeof(line));
    uint64_t head = log->head;
    uint64_t tail = __atomic_load_n(&log->tail, __ATOMIC_ACQUIRE);
    if (RING_SIZE - (head - tail) < len) {
        metric_inc(METRIC_ACCESS_LOG_DROPPED);
        return;
    }
    size_t at = head & (RING_SIZE - 1), first = MIN(len, RING_SIZE - at);
    memcpy(log->ring + at, line, first);
    memcpy(log->ring, line + first, len - first);
    __atomic_store_n(&log->head, head + len, __ATOMIC_RELEASE);
    /* The writer looks by itself every period; waking it is only for a ring that fills faster. */
    if (head - tail < RING_SIZE / 2 && head + len - tail >= RING_SIZE / 2)
        sink_wake(log->sink);
}

/* Writes what is there in at most two pieces. A file that does not take it loses it: counted. */
static void log_drain(struct access_log *log, int fd)
{
    uint64_t head = __atomic_load_n(&log->head, __ATOMIC_ACQUIRE);
    uint64_t tail = log->tail;
    while (tail < head) {
        size_t at = tail & (RING_SIZE - 1);
        size_t len = MIN((size_t)(head - tail), RING_SIZE - at);
        ssize_t n = write(fd, log->ring + at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            metric_inc(METRIC_ACCESS_LOG_DROPPED);
            n = (ssize_t)len;
        }
        tail += (uint64_t)n;
        __atomic_store_n(&log->tail, tail, __ATOMIC_RELEASE);
    }
}

static int sink_open_file(const char *path)
{
    if (strcmp(path, "-") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

static void *sink_main(void *arg)
{
    struct access_sink *sink = arg;

    metric_thread_init();
    for (;;) {
        struct pollfd pfd = {.fd = sink->wake_fd, .events = POLLIN};
        uint64_t count;
        bool stop = __atomic_load_n(&sink->stop, __ATOMIC_ACQUIRE);
        if (!stop && poll(&pfd, 1, WRITER_PERIOD_MS) > 0)
            (void)!read(sink->wake_fd, &count, sizeof(count));
        if (__atomic_exchange_n(&sink->reopen, false, __ATOMIC_ACQ_REL)) {
            int fd = sink_open_file(sink->path);
            if (fd >= 0) {
                close(sink->fd);
                sink->fd = fd;
            }
        }
        for (unsigned i = 0; i < sink->logs_count; i++)
            log_drain(&sink->logs[i], sink->fd);
        if (stop)
            return NULL;
    }
}

int access_sink_open(struct access_sink **ret, const char *path, enum access_format format,
                     unsigned workers, struct err *reterr)
{
    int fd = sink_open_file(path);
    if (fd < 0)
        return err_set(reterr, -errno, "cannot open the access log %s: %s", path, strerror(errno));
    struct access_sink *sink = xcalloc(1, sizeof(*sink));
    sink->path = xstrdup(path);
    sink->fd = fd;
    sink->format = format;
    sink->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sink->logs_count = workers;
    sink->logs = aligned_alloc(64, workers * sizeof(*sink->logs));
    if (sink->wake_fd < 0 || sink->logs == NULL)
        panic(__FILE__, __LINE__, "no memory for the access log");
    memset(sink->logs, 0, workers * sizeof(*sink->logs));
    for (unsigned i = 0; i < workers; i++) {
        sink->logs[i].sink = sink;
        sink->logs[i].ring = xmalloc(RING_SIZE);
    }
    int rc = pthread_create(&sink->thread, NULL, sink_main, sink);
    if (rc != 0)
        panic(__FILE__, __LINE__, "cannot start the log writer: error %d", rc);
    *ret = sink;
    return 0;
}

void access_sink_close(struct access_sink *sink)
{
    if (sink == NULL)
        return;
    __atomic_store_n(&sink->stop, true, __ATOMIC_RELEASE);
    sink_wake(sink);
    pthread_join(sink->thread, NULL);
    for (unsigned i = 0; i < sink->logs_count; i++)
        free(sink->logs[i].ring);
    close(sink->fd);
    close(sink->wake_fd);
    free(sink->logs);
    free(sink->path);
    free(sink);
}

void access_sink_reopen(struct access_sink *sink)
{
    __atomic_store_n(&sink->reopen, true, __ATOMIC_RELEASE);
    sink_wake(sink);
}

struct access_log *access_sink_log(struct access_sink *sink, unsigned worker)
{
    return sink != NULL ? &sink->logs[worker] : NULL;
}
