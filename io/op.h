/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_OP_H
#define RINGGATE_IO_OP_H

/* An operation that the kernel (or the simulator) is working on, embedded in
 * the object it belongs to. user_data of a submission is the op's address; 0
 * means that nobody waits for the completion.
 *
 * Life: armed when its submission is written; on_done runs for every
 * completion; the one without OP_MORE is the last and armed is false again
 * before the call. The owner's memory, and the buffers the op names, live
 * until then, whatever was cancelled or closed meanwhile: a cancellation's own
 * completion says nothing about its victim. */

#include "base/base.h"

/* flags of a completion: a provided buffer was used (IORING_CQE_F_BUFFER) */
#define OP_BUFFER (1u << 0)
#define OP_MORE (1u << 1) /* more completions follow (IORING_CQE_F_MORE) */

struct op {
    void (*on_done)(struct op *op, int res, uint32_t flags);
    bool armed;
    bool cancelling; /* a cancellation was submitted for this arming */
};

#endif
