/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_NOTIFY_H
#define RINGGATE_GATEWAY_NOTIFY_H

/* The service manager's notification protocol (sd_notify(3)) without its
 * library: one datagram to $NOTIFY_SOCKET. Nothing happens when it is not set. */

#include "base/base.h"

/* lines: "READY=1\nSTATUS=..." */
void notify_send(const char *lines);
/* RELOADING=1 with the monotonic time that the protocol asks for. */
void notify_reloading(void);

#endif
