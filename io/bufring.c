/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/bufring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <liburing.h>

#include "base/panic.h"

/* The tail lives in the 16 bits that end the first slot (struct io_uring_buf_ring). */
_Static_assert(sizeof(struct io_uring_buf) == 16, "kernel interface");
_Static_assert(offsetof(struct io_uring_buf, resv) == 14, "kernel interface");

static void slot_fill(struct bufring *bufring, unsigned id)
{
    struct io_uring_buf *slot = &bufring->slots[bufring->tail & bufring->mask];
    slot->addr = (uint64_t)(uintptr_t)(bufring->buffers + (size_t)id * BUFRING_BUFFER_SIZE);
    slot->len = BUFRING_BUFFER_SIZE;
    slot->bid = (uint16_t)id;
    bufring->tail++;
}

int bufring_init(struct bufring *bufring, int ring_fd, unsigned count)
{
    ASSERT(count > 0 && count <= 32768 && (count & (count - 1)) == 0);
    size_t slots_size = (count * sizeof(struct io_uring_buf) + 4095) & ~(size_t)4095;
    size_t size = slots_size + (size_t)count * BUFRING_BUFFER_SIZE;
    uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -ENOMEM;
    *bufring = (struct bufring){
        .slots = (struct io_uring_buf *)map,
        .buffers = map + slots_size,
        .taken = calloc((count + 63) / 64, sizeof(uint64_t)),
        .map_size = size,
        .count = count,
        .mask = count - 1,
    };
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)map,
        .ring_entries = count,
        .bgid = BUFRING_GROUP,
    };
    int rc = bufring->taken ? 0 : -ENOMEM;
    if (rc == 0 &&
        syscall(__NR_io_uring_register, ring_fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0)
        rc = -errno;
    if (rc < 0) {
        bufring_fini(bufring);
        return rc;
    }
    for (unsigned id = 0; id < count; id++)
        slot_fill(bufring, id);
    bufring_publish(bufring);
    return 0;
}

void bufring_fini(struct bufring *bufring)
{
    if (bufring->slots)
        (void)munmap(bufring->slots, bufring->map_size); /* fails only on bad arguments */
    free(bufring->taken);
    *bufring = (struct bufring){0};
}

uint8_t *bufring_take(struct bufring *bufring, unsigned id)
{
    ASSERT(id < bufring->count);
    uint64_t bit = UINT64_C(1) << (id % 64);
    ASSERT((bufring->taken[id / 64] & bit) == 0);
    bufring->taken[id / 64] |= bit;
    return bufring->buffers + (size_t)id * BUFRING_BUFFER_SIZE;
}

void bufring_return(struct bufring *bufring, unsigned id)
{
    uint64_t bit = UINT64_C(1) << (id % 64);
    ASSERT(id < bufring->count && (bufring->taken[id / 64] & bit) != 0);
    bufring->taken[id / 64] &= ~bit;
    slot_fill(bufring, id);
}

void bufring_publish(struct bufring *bufring)
{
    if (bufring->published == bufring->tail)
        return;
    bufring->published = bufring->tail;
    /* Pairs with the kernel's acquire: slots are written before the tail says so. */
    __atomic_store_n(&bufring->slots[0].resv, bufring->tail, __ATOMIC_RELEASE);
}
