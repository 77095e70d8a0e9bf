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
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/access_format.h"

#define RING_SIZE (1u << 20) /* bytes a worker; a power of two */
#define WRITER_PERIOD_MS 200
#define PIECE_SIZE 4096u /* what a pipe that is ready takes without a wait (PIPE_BUF) */
#define LOST_PERIOD_NS (60 * NS_PER_S)
#define STOP_NS (NS_PER_S / 2) /* for a reader, at the end */

/* Single producer (the worker), single consumer (the writer). head and tail
 * only grow; a release store of head publishes the bytes before it. */
struct access_log {
    struct access_sink *sink;
    uint64_t head; /* written by the worker */
    uint64_t tail __attribute__((aligned(64))); /* written by the writer */
    char *ring;
    char line[ACCESS_LINE_SIZE]; /* the worker's, of one call */
};

struct access_sink {
    char *path;
    int fd, wake_fd;
    mode_t type; /* of fd, as in st_mode */
    uint64_t stop_ns; /* monotonic time at which to give up; 0: not stopping */
    uint64_t lost_ns; /* monotonic time at which a loss was told; 0: never */
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
    if (log == NULL)
        return;
    char *line = log->line;
    size_t len = access_format_line(log->sink->format, record, line, ACCESS_LINE_SIZE);
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

/* Whether fd takes something now; waits for it for a while. A file always does. */
static bool sink_is_ready(const struct access_sink *sink)
{
    struct pollfd pfd = {.fd = sink->fd, .events = POLLOUT};
    uint64_t wait_ns = WRITER_PERIOD_MS * NS_PER_MS;
    if (S_ISREG(sink->type))
        return true;
    if (sink->stop_ns != 0) {
        uint64_t now_ns = clock_mono_ns();
        wait_ns = MIN(wait_ns, sink->stop_ns > now_ns ? sink->stop_ns - now_ns : 0);
    }
    return poll(&pfd, 1, (int)(wait_ns / NS_PER_MS)) > 0;
}

/* A pipe or socket is somebody else's too, so it stays blocking: pieces are small enough. */
static ssize_t sink_write(const struct access_sink *sink, const char *data, size_t len)
{
    if (S_ISREG(sink->type))
        return write(sink->fd, data, len);
    len = MIN(len, (size_t)PIECE_SIZE);
    if (S_ISSOCK(sink->type))
        return send(sink->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(sink->fd, data, len);
}

/* The reason of one loss, now and then: the metric counts them all. */
static void tell_loss(struct access_sink *sink, int error)
{
    uint64_t now_ns = clock_mono_ns();
    if (sink->lost_ns != 0 && now_ns - sink->lost_ns < LOST_PERIOD_NS)
        return;
    sink->lost_ns = now_ns;
    log_event(LOG_LEVEL_WARN, "access log lines are lost", LOG_STR("path", sink->path),
              LOG_STR("reason", strerror(error)));
}

/* Writes what is there. A file that does not take it loses it: counted. A reader that is slow finds
 * it next time, unless this is the last. */
static void log_drain(struct access_log *log)
{
    struct access_sink *sink = log->sink;
    uint64_t head = __atomic_load_n(&log->head, __ATOMIC_ACQUIRE);
    uint64_t tail = log->tail;
    while (tail < head) {
        size_t at = tail & (RING_SIZE - 1);
        size_t len = MIN((size_t)(head - tail), RING_SIZE - at);
        if (!sink_is_ready(sink)) {
            if (sink->stop_ns != 0)
                metric_inc(METRIC_ACCESS_LOG_DROPPED);
            return;
        }
        ssize_t n = sink_write(sink, log->ring + at, len);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0) {
            tell_loss(sink, n < 0 ? errno : EIO);
            metric_inc(METRIC_ACCESS_LOG_DROPPED);
            n = (ssize_t)len;
        }
        tail += (uint64_t)n;
        __atomic_store_n(&log->tail, tail, __ATOMIC_RELEASE);
    }
}

/* 0; -errno, and what there was stays. */
static int sink_open_file(struct access_sink *sink)
{
    struct stat info;
    int fd = strcmp(sink->path, "-") == 0
                 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                 : open(sink->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = fd;
    sink->type = fstat(fd, &info) == 0 ? info.st_mode : S_IFREG;
    return 0;
}

static void *sink_main(void *arg)
{
    struct access_sink *sink = arg;

    metric_thread_init();
    for (;;) {
        struct pollfd pfd = {.fd = sink->wake_fd, .events = POLLIN};
        uint64_t count;
        bool stop = __atomic_load_n(&sink->stop, __ATOMIC_ACQUIRE);
        if (stop)
            sink->stop_ns = clock_mono_ns() + STOP_NS;
        if (!stop && poll(&pfd, 1, WRITER_PERIOD_MS) > 0)
            (void)!read(sink->wake_fd, &count, sizeof(count));
        if (__atomic_exchange_n(&sink->reopen, false, __ATOMIC_ACQ_REL))
            (void)!sink_open_file(sink); /* the old file goes on, then */
        for (unsigned i = 0; i < sink->logs_count; i++)
            log_drain(&sink->logs[i]);
        if (stop)
            return NULL;
    }
}

int access_sink_open(struct access_sink **ret, const char *path, enum access_format format,
                     unsigned workers, struct err *reterr)
{
    struct access_sink *sink = xcalloc(1, sizeof(*sink));
    sink->path = xstrdup(path);
    sink->fd = -1;
    int rc = sink_open_file(sink);
    if (rc != 0) {
        free(sink->path);
        free(sink);
        return err_set(reterr, rc, "cannot open the access log %s: %s", path, strerror(-rc));
    }
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
    rc = pthread_create(&sink->thread, NULL, sink_main, sink);
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
