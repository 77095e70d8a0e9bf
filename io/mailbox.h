/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_MAILBOX_H
#define RINGGATE_IO_MAILBOX_H

/* Messages from any thread to one loop: bounded, in order per sender, woken
 * by eventfd. Messages are embedded in the sender's objects; ownership passes
 * with the message. */

#include "io/loop.h"

struct mail {
    struct mail *next;
    void (*on_mail)(struct mail *mail); /* runs on the receiving loop's thread */
};

struct mailbox;
/* In the thread of the loop. capacity: messages waiting at most. */
MUST_CHECK int mailbox_new(struct mailbox **ret, struct loop *loop, unsigned capacity);
void mailbox_free(struct mailbox *box); /* runs what is left first */
/* Any thread. 0; -ENOSPC: full, the message stays the caller's. */
MUST_CHECK int mailbox_send(struct mailbox *box, struct mail *mail);

#endif
