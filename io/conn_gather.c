/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/conn_int.h"

#include <string.h>

#include "base/panic.h"

/* What the owner of a conn with layers writes. Small pieces of one turn are gathered in a block
 * and go through the layers together, at the latest when the turn ends: a head and its
 * body are one record of TLS then, not two. */

static struct block_head *gather_head(struct conn *conn)
{
    return block_head(conn->sock.loop->blocks, conn->gathered);
}

size_t conn_gather_size(const struct conn *conn)
{
    return conn->gathered ? block_head(conn->sock.loop->blocks, conn->gathered)->end : 0;
}

static bool gather_has_room(struct conn *conn, size_t size)
{
    return conn->gathered && BLOCK_SIZE - gather_head(conn)->end >= size;
}

/* Writes what is gathered, and iov behind it. */
static int gather_pass(struct conn *conn, const struct iovec *iov, int count)
{
    struct block_pool *blocks = conn->sock.loop->blocks;
    uint8_t *block = conn->gathered;
    struct iovec all[1 + CONN_WRITE_IOV_MAX] = {{block, conn_gather_size(conn)}};
    int all_count = block != NULL;

    ASSERT(count <= CONN_WRITE_IOV_MAX);
    for (int i = 0; i < count; i++)
        all[all_count++] = iov[i];
    conn->gathered = NULL;
    int rc = conn->top->ops->write(conn->top, all, all_count);
    if (block)
        block_put(blocks, block);
    if (rc < 0)
        conn_fail(conn, rc, "write failed"); /* the layer's own report is first and wins */
    return rc;
}

static void gather_grew(struct conn *conn, size_t size)
{
    gather_head(conn)->end += (uint32_t)size;
    if (conn_queued(conn) >= CONN_HIGH_WATER)
        conn->congested = true;
    if (!dlist_is_linked(&conn->flush_link))
        dlist_push_back(&conn->sock.loop->flush, &conn->flush_link);
}

int conn_gather_write(struct conn *conn, const struct iovec *iov, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (total == 0)
        return 0;
    if (total > CONN_SMALL_WRITE)
        return gather_pass(conn, iov, count);
    if (!conn->gathered)
        conn->gathered = block_get(conn->sock.loop->blocks);
    if (!gather_has_room(conn, total))
        return gather_pass(conn, iov, count);
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > 0)
            memcpy(conn->gathered + gather_head(conn)->end, iov[i].iov_base, iov[i].iov_len);
        gather_grew(conn, iov[i].iov_len);
    }
    return 0;
}

uint8_t *conn_gather_room(struct conn *conn, size_t size)
{
    return gather_has_room(conn, size) ? conn->gathered + gather_head(conn)->end : NULL;
}

int conn_gather_commit(struct conn *conn, uint8_t *block, size_t size)
{
    if (block) {
        int rc = conn->gathered ? gather_pass(conn, NULL, 0) : 0;
        if (rc < 0) {
            block_put(conn->sock.loop->blocks, block);
            return rc;
        }
        conn->gathered = block;
    }
    gather_grew(conn, size);
    return 0;
}

void conn_gather_flush(struct conn *conn)
{
    if (conn->gathered && !conn->error && !conn->torn)
        (void)gather_pass(conn, NULL, 0); /* on_close tells of a failure */
}
