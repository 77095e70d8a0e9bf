/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/panic.h"

/* Senders push on a stack with compare-and-swap; the receiver takes all of it
 * at once and turns it round, which gives the order of the pushes. The sender that
 * finds the stack empty wakes the receiver, which empties the eventfd before it
 * takes the stack: a push after that finds it empty again and wakes again. */
struct mailbox {
    struct watch watch;
    int fd;
    unsigned capacity;
    unsigned waiting; /* atomic: messages sent and not yet run */
    struct mail *newest; /* atomic */
};

static void run_all(struct mailbox *box)
{
    /* Acquire: pairs with the senders' release, so the messages' content is seen. */
    struct mail *mail = __atomic_exchange_n(&box->newest, NULL, __ATOMIC_ACQUIRE);
    struct mail *oldest = NULL;
    while (mail) {
        struct mail *next = mail->next;
        mail->next = oldest;
        oldest = mail;
        mail = next;
    }
    while (oldest) {
        struct mail *next = oldest->next;
        /* Relaxed: a counter, nothing is published by it. */
        __atomic_sub_fetch(&box->waiting, 1, __ATOMIC_RELAXED);
        oldest->on_mail(oldest);
        oldest = next;
    }
}

static void on_wake(struct watch *watch, unsigned revents)
{
    (void)revents;
    struct mailbox *box = container_of(watch, struct mailbox, watch);
    uint64_t count;
    if (read(box->fd, &count, sizeof(count)) < 0)
        ASSERT(errno == EAGAIN || errno == EINTR);
    run_all(box);
}

int mailbox_new(struct mailbox **ret, struct loop *loop, unsigned capacity)
{
    ASSERT(capacity > 0);
    struct mailbox *box = calloc(1, sizeof(*box));
    if (!box)
        return -ENOMEM;
    box->capacity = capacity;
    box->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = box->fd < 0 ? -errno : watch_start(&box->watch, loop, box->fd, POLLIN, on_wake);
    if (rc < 0) {
        if (box->fd >= 0)
            (void)close(box->fd);
        free(box);
        return rc;
    }
    *ret = box;
    return 0;
}

void mailbox_free(struct mailbox *box)
{
    if (!box)
        return;
    run_all(box);
    watch_stop(&box->watch);
    (void)close(box->fd);
    free(box);
}

int mailbox_send(struct mailbox *box, struct mail *mail)
{
    ASSERT(mail->on_mail);
    if (__atomic_add_fetch(&box->waiting, 1, __ATOMIC_RELAXED) > box->capacity) {
        __atomic_sub_fetch(&box->waiting, 1, __ATOMIC_RELAXED);
        return -ENOSPC;
    }
    struct mail *newest = __atomic_load_n(&box->newest, __ATOMIC_RELAXED);
    do {
        mail->next = newest;
        /* Release: the message is complete before it can be seen. */
    } while (!__atomic_compare_exchange_n(&box->newest, &newest, mail, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    if (!newest) {
        const uint64_t one = 1;
        /* EAGAIN: the counter is full, so the receiver is awake. */
        if (write(box->fd, &one, sizeof(one)) < 0)
            ASSERT(errno == EAGAIN || errno == EINTR);
    }
    return 0;
}
