/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_EXCHANGE_H
#define RINGGATE_GATEWAY_EXCHANGE_H

/* One request from its head to its log line. A state machine: exchange.c holds the table of steps,
 * exchange_steps.c the steps in order, exchange_relay.c the bodies. Callbacks record facts and run
 * the machine; only FINISH frees. */

#include "gateway/worker.h"

struct downstream;
struct exchange;

/* Memory for a request that is about to be parsed; the arena in it. NULL: at the cap. */
struct exchange *exchange_new(struct worker *worker);
struct arena *exchange_arena(struct exchange *exchange);
struct exchange *exchange_of_arena(struct arena *arena);
/* The arena was not needed after all. */
void exchange_discard(struct exchange *exchange);
/* Begins: the head is parsed. stream->user is set. The exchange frees itself. */
void exchange_begin(struct exchange *exchange, struct downstream *downstream,
                    struct http_stream *stream, struct http_head *head);

#endif
