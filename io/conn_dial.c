/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/panic.h"
#include "io/conn_int.h"
#include "io/loop_int.h"
#include "io/sock.h"

void conn_dial_done(struct conn *conn, int error)
{
    if (conn->torn || conn->error)
        return;
    if (error < 0) {
        const char *meaning = strerrordesc_np(-error);
        conn_fail(conn, error, meaning != NULL ? meaning : "connect failed");
        return;
    }
    conn->started = true;
    if (conn->closing) {
        conn_teardown(conn, false);
        return;
    }
    conn_rx_update(conn);
    if (conn->bottom)
        conn->bottom->ops->on_open(conn->bottom);
    else
        conn_up_open(conn);
}

struct conn *conn_dial(struct loop *loop, const struct addr *peer, uint64_t timeout_ns,
                       struct conn_owner *owner, int *ret_error)
{
    ASSERT(owner && peer->len > 0 && timeout_ns > 0);
    if (loop->conns >= loop->conns_max) {
        *ret_error = -EMFILE;
        return NULL;
    }
    int fd = loop->engine->ops->open(loop->engine, peer->sa.sa_family);
    if (fd < 0) {
        *ret_error = fd;
        return NULL;
    }
    struct addr *dialled = pool_get_zero(&loop->pools->addrs);
    struct conn *conn = dialled ? conn_alloc(loop, fd) : NULL;
    if (!conn) {
        pool_put(&loop->pools->addrs, dialled);
        (void)close(fd); /* nothing to be done about a failure */
        *ret_error = -ENOMEM;
        return NULL;
    }
    conn_set_owner(conn, owner);
    *dialled = *peer;
    conn->dialled = dialled;
    conn->write_deadline_ns = loop->clock.mono_ns + timeout_ns;
    conn_timer_update(conn);
    loop->engine->ops->connect(&conn->sock, dialled);
    return conn;
}
