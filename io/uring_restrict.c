/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/uring.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Seccomp does not see what goes through a ring: whoever gets to write to one could open files by
 * it. So a ring takes only what the files uring*.c submit; the rest completes with -EACCES. Raw
 * calls, because Debian 12's shared liburing does not export these two. */

static const uint8_t sqe_ops[] = {
    IORING_OP_POLL_ADD, IORING_OP_ACCEPT,  IORING_OP_CONNECT, IORING_OP_RECV,
    IORING_OP_SEND,     IORING_OP_SENDMSG, IORING_OP_CLOSE,   IORING_OP_ASYNC_CANCEL,
};
/* The probe at the start, and what liburing does at the end. */
static const uint8_t register_ops[] = {
    IORING_REGISTER_PROBE,
    IORING_UNREGISTER_RING_FDS,
};
#define SQE_FLAGS (IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS | IOSQE_BUFFER_SELECT)

static bool is_off;

void uring_restrict_off(void)
{
    is_off = true;
}

static int restrict_ring(const struct io_uring *ring)
{
    struct io_uring_restriction list[ARRAY_COUNT(sqe_ops) + ARRAY_COUNT(register_ops) + 1] = {0};
    unsigned n = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(sqe_ops); i++, n++) {
        list[n].opcode = IORING_RESTRICTION_SQE_OP;
        list[n].sqe_op = sqe_ops[i];
    }
    for (unsigned i = 0; i < ARRAY_COUNT(register_ops); i++, n++) {
        list[n].opcode = IORING_RESTRICTION_REGISTER_OP;
        list[n].register_op = register_ops[i];
    }
    list[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    list[n++].sqe_flags = SQE_FLAGS;
    long rc = syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, list, n);
    return rc < 0 ? -errno : 0;
}

int uring_restrict_and_enable(const struct io_uring *ring, bool *ret_restricted)
{
    *ret_restricted = !is_off && restrict_ring(ring) == 0;
    long rc = syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return rc < 0 ? -errno : 0;
}
