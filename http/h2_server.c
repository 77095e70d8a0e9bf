/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h2_server.h"

#include <stdlib.h>

#include "base/panic.h"
#include "http/h2_session.h"
#include "http/h2_stream.h"

#define STREAMS_PER_SESSION 16u /* of all a worker's sessions, on average */
#define STREAMS_MIN 1024u

struct h2_server_pool {
    struct pool pool;
    struct h2_shared shared;
};

struct h2_server {
    struct http_server base;
    struct h2_session session;
    struct h2_server_pool *pool;
    struct http_server_owner *owner;
};

struct h2_server_pool *h2_server_pool_new(struct loop *loop, unsigned sessions_max)
{
    struct h2_server_pool *pool = xcalloc(1, sizeof(*pool));
    pool_init(&pool->pool, "h2_server", sizeof(struct h2_server), sessions_max);
    h2_shared_init(&pool->shared, loop, sessions_max * STREAMS_PER_SESSION + STREAMS_MIN);
    return pool;
}

void h2_server_pool_free(struct h2_server_pool *pool)
{
    if (pool == NULL)
        return;
    pool_fini(&pool->pool);
    h2_shared_fini(&pool->shared);
    free(pool);
}

void h2_server_pool_relieve(struct h2_server_pool *pool)
{
    h2_shared_relieve(&pool->shared);
}

static struct h2_server *server_of(struct h2_session *session)
{
    return container_of(session, struct h2_server, session);
}

static struct arena *server_request_arena(struct h2_session *session)
{
    struct http_server_owner *owner = server_of(session)->owner;
    return owner->ops->request_arena(owner);
}

static void server_release_arena(struct h2_session *session, struct arena *arena)
{
    struct http_server_owner *owner = server_of(session)->owner;
    owner->ops->release_arena(owner, arena);
}

static void server_on_request(struct h2_session *session, struct h2_stream *stream,
                              struct http_head *head)
{
    struct http_server_owner *owner = server_of(session)->owner;
    if (++session->requests >= session->limits->h2_requests_max)
        h2_session_drain(session);
    owner->ops->on_request(owner, &stream->stream, head);
}

static void server_on_refused(struct h2_session *session, enum http_error error,
                              const struct http_head *head)
{
    struct http_server_owner *owner = server_of(session)->owner;
    owner->ops->on_refused(owner, error, head);
}

static void server_on_closed(struct h2_session *session, enum http_error error,
                             const char *error_text)
{
    struct h2_server *server = server_of(session);
    server->base.error_text = error_text;
    server->owner->ops->on_closed(server->owner, error);
    pool_put(&server->pool->pool, server);
}

static const struct h2_role server_role = {
    .server = true,
    .request_arena = server_request_arena,
    .release_arena = server_release_arena,
    .on_request = server_on_request,
    .on_refused = server_on_refused,
    .on_closed = server_on_closed,
};

static struct h2_session *session_of(const struct http_server *server)
{
    return &container_of(server, struct h2_server, base)->session;
}

static void server_drain(struct http_server *server)
{
    h2_session_drain(session_of(server));
}

static void server_abort(struct http_server *server)
{
    h2_session_abort(session_of(server));
}

static bool server_is_idle(const struct http_server *server)
{
    return h2_session_is_idle(session_of(server));
}

static const struct http_server_ops server_ops = {
    .drain = server_drain,
    .abort = server_abort,
    .is_idle = server_is_idle,
};

struct http_server *h2_server_start(struct h2_server_pool *pool, struct conn *conn,
                                    const struct h2_server_options *options,
                                    struct http_server_owner *owner)
{
    struct h2_server *server = pool_get_zero(&pool->pool);
    if (server == NULL)
        return NULL;
    server->base.ops = &server_ops;
    server->pool = pool;
    server->owner = owner;
    if (h2_session_init(&server->session, &pool->shared, &server_role, conn, options->limits) < 0) {
        pool_put(&pool->pool, server);
        return NULL;
    }
    server->session.secure = options->secure;
    server->session.any_scheme = options->any_scheme;
    return &server->base;
}

int h2_server_detect(struct span input)
{
    struct span preface = SPAN_LIT(NGHTTP2_CLIENT_MAGIC);
    size_t n = MIN(input.len, preface.len);
    if (n > 0 && memcmp(input.ptr, preface.ptr, n) != 0)
        return -1;
    return n == preface.len;
}
