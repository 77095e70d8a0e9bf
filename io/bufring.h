/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_BUFRING_H
#define RINGGATE_IO_BUFRING_H

/* The ring of buffers that io_uring receives into (kernel 5.19,
 * io_uring_register(2): IORING_REGISTER_PBUF_RING). Buffers come back right after the
 * callback that saw them; all returned since the last publish become visible
 * to the kernel together. */

#include "base/base.h"

#define BUFRING_BUFFER_SIZE 4096u
#define BUFRING_GROUP 0

struct bufring {
    struct io_uring_buf *slots; /* shared with the kernel */
    uint8_t *buffers;
    uint64_t *taken; /* bit per buffer: with us, for the assertion that none is returned twice */
    size_t map_size;
    unsigned count, mask;
    uint16_t tail, published;
};

/* Registers count (a power of two, <= 32768) buffers with the ring. 0; -ENOMEM, -EINVAL and what
 * the registration gives. */
MUST_CHECK int bufring_init(struct bufring *bufring, int ring_fd, unsigned count);
void bufring_fini(struct bufring *bufring); /* after the ring was closed */
/* The buffer that a completion named. */
uint8_t *bufring_take(struct bufring *bufring, unsigned id);
void bufring_return(struct bufring *bufring, unsigned id);
/* Shows what was returned to the kernel. */
void bufring_publish(struct bufring *bufring);

#endif
