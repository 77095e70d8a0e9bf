/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_IO_LAYER_H
#define RINGGATE_IO_LAYER_H

/* A layer transforms the bytes of a conn between its owner and its transport
 * (TLS is the first). Layers are pushed on a conn; the newest is the top.
 *
 * The chaining law. Upwards, a layer is given bytes by on_data, takes all of
 * them, and passes what it makes of them on with layer_up_data(); the conn, not the layer, holds
 * bytes that the owner does not want yet, and stops the transport. Downwards, write takes
 * all bytes or fails, and passes on with layer_down_write(); limits are kept by the
 * conn's watermarks. A layer never calls the owner and never frees the conn; errors are
 * reported once with conn_fail(). A layer is open when it has called layer_up_open(). */

#include "base/span.h"

#include <sys/uio.h>

struct conn;
struct layer;

struct layer_ops {
    const char *name;
    /* The layer below is open: start the handshake, or call layer_up_open at once. */
    void (*on_open)(struct layer *layer);
    /* Bytes from below, borrowed for the call. */
    void (*on_data)(struct layer *layer, struct span data);
    /* The peer will send nothing more. Pass on with layer_up_end unless it is a truncation
     * (then conn_fail). */
    void (*on_end)(struct layer *layer);
    /* Bytes from above, borrowed for the call. 0; -errno. Only after open. */
    int (*write)(struct layer *layer, const struct iovec *iov, int count);
    /* The owner will write nothing more: say so to the peer (close_notify), then
     * layer_down_shutdown. */
    void (*shutdown)(struct layer *layer);
    /* Heap bytes it holds now, for accounting; may be NULL. */
    size_t (*memory)(const struct layer *layer);
    void (*free)(struct layer *layer);
};

struct layer {
    const struct layer_ops *ops;
    struct conn *conn;
    struct layer *below, *above; /* NULL below: the transport; NULL above: the owner */
};

/* For implementers of layers. */
void layer_up_open(struct layer *layer);
void layer_up_data(struct layer *layer, struct span data);
void layer_up_end(struct layer *layer);
MUST_CHECK int layer_down_write(struct layer *layer, const struct iovec *iov, int count);
void layer_down_shutdown(struct layer *layer);

#endif
