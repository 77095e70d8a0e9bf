/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/layer.h"

#include "io/conn_int.h"

void layer_up_open(struct layer *layer)
{
    if (layer->above)
        layer->above->ops->on_open(layer->above);
    else
        conn_up_open(layer->conn);
}

void layer_up_data(struct layer *layer, struct span data)
{
    if (data.len == 0)
        return;
    if (layer->above)
        layer->above->ops->on_data(layer->above, data);
    else
        conn_up_data(layer->conn, data);
}

void layer_up_end(struct layer *layer)
{
    if (layer->above)
        layer->above->ops->on_end(layer->above);
    else
        conn_up_end(layer->conn);
}

int layer_down_write(struct layer *layer, const struct iovec *iov, int count)
{
    if (layer->below)
        return layer->below->ops->write(layer->below, iov, count);
    return conn_socket_write(layer->conn, iov, count);
}

void layer_down_shutdown(struct layer *layer)
{
    if (layer->below)
        layer->below->ops->shutdown(layer->below);
    else
        conn_socket_shutdown(layer->conn);
}
