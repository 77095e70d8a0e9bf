/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_client.h"

#include <stdlib.h>

#include "base/panic.h"
#include "http/h2_stream.h"

/* A session of http/h2_session.h with the owner of a client; both ends of a
 * connection share all the rest. */

#define CLIENT_STREAMS 100u /* of one session, for the size of the pool of all */

struct h2_client_pool {
    struct pool sessions;
    struct h2_shared shared;
};

struct h2_client {
    struct http_client client;
    struct h2_session session;
    struct h2_client_pool *pool;
    struct http_client_owner *owner;
};

struct h2_client_pool *h2_client_pool_new(struct loop *loop, unsigned sessions_max)
{
    struct h2_client_pool *pool = xcalloc(1, sizeof(*pool));
    pool_init(&pool->sessions, "h2_client", sizeof(struct h2_client), sessions_max);
    h2_shared_init(&pool->shared, loop, sessions_max * CLIENT_STREAMS);
    return pool;
}

void h2_client_pool_free(struct h2_client_pool *pool)
{
    if (pool == NULL)
        return;
    h2_shared_fini(&pool->shared);
    pool_fini(&pool->sessions);
    free(pool);
}

static struct h2_client *client_of(const struct http_client *client)
{
    return container_of(client, struct h2_client, client);
}

static struct h2_client *client_of_session(struct h2_session *s)
{
    return container_of(s, struct h2_client, session);
}

static void client_on_room(struct h2_session *s)
{
    struct h2_client *c = client_of_session(s);
    c->owner->ops->on_room(c->owner, &c->client);
}

static void client_on_closed(struct h2_session *s, enum http_error error, const char *error_text)
{
    struct h2_client *c = client_of_session(s);
    (void)error_text; /* streams were told it */
    c->owner->ops->on_closed(c->owner, &c->client, error);
    pool_put(&c->pool->sessions, c);
}

static const struct h2_role client_role = {
    .on_room = client_on_room,
    .on_closed = client_on_closed,
};

static struct http_stream *client_request(struct http_client *client, struct http_head *head,
                                          struct arena *arena, struct http_stream_user *user,
                                          bool end)
{
    struct h2_session *s = &client_of(client)->session;
    struct http_stream *stream = h2_stream_request(s, head, arena, user, end);
    client->refusal = (enum http_error)s->refusal;
    return stream;
}

static unsigned client_room(const struct http_client *client)
{
    return h2_session_room(&client_of(client)->session);
}

static unsigned client_active(const struct http_client *client)
{
    return client_of(client)->session.streams_count;
}

static bool client_can_tunnel(const struct http_client *client)
{
    return h2_session_can_tunnel(&client_of(client)->session);
}

static void client_drain(struct http_client *client)
{
    h2_session_drain(&client_of(client)->session);
}

static void client_close(struct http_client *client)
{
    h2_session_abort(&client_of(client)->session);
}

static struct conn *client_conn(const struct http_client *client)
{
    return client_of(client)->session.conn;
}

static const struct http_client_ops client_ops = {
    .protocol = "HTTP/2",
    .request = client_request,
    .room = client_room,
    .active = client_active,
    .can_tunnel = client_can_tunnel,
    .drain = client_drain,
    .close = client_close,
    .conn = client_conn,
};

struct http_client *h2_client_start(struct h2_client_pool *pool, struct conn *conn,
                                    const struct http_limits *limits,
                                    struct http_client_owner *owner)
{
    struct h2_client *c = pool_get_zero(&pool->sessions);
    if (c == NULL)
        return NULL;
    c->client.ops = &client_ops;
    c->pool = pool;
    c->owner = owner;
    if (h2_session_init(&c->session, &pool->shared, &client_role, conn, limits) < 0) {
        pool_put(&pool->sessions, c);
        return NULL;
    }
    c->session.secure = !conn_is_plain(conn);
    return &c->client;
}
