/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "admin/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dlist.h"
#include "http/h1_server.h"
#include "io/acceptor.h"

#define ADMIN_CONNS_MAX 64u
#define ADMIN_LISTEN_PERIOD_MS 50
#define ADMIN_LISTEN_TRIES 40
#define ADMIN_BODY_MAX (64u << 20) /* a large metrics page */

struct admin {
    struct loop *loop;
    struct acceptor *acceptor;
    struct h1_server_pool *pool;
    struct http_limits limits;
    const struct admin_route *routes;
    void *user;
    struct dlist conns;
    unsigned conns_count;
    char *unix_path; /* NULL: TCP, or not to be removed */
    struct stat unix_stat; /* of the socket file that was bound */
};

/* One connection; one request at a time, so one arena and one stream. */
struct admin_conn {
    struct http_server_owner owner;
    struct http_stream_user stream_user;
    struct admin *admin;
    struct http_server *session;
    struct http_stream *stream;
    struct buf body;
    size_t sent;
    struct dlist link;
    struct arena arena;
};

static void admin_send_more(struct admin_conn *c)
{
    while (c->sent < c->body.len && !http_stream_is_congested(c->stream)) {
        struct iovec iov = {c->body.data + c->sent, MIN(c->body.len - c->sent, (size_t)BLOCK_SIZE)};
        c->sent += iov.iov_len;
        if (http_stream_send_body(c->stream, &iov, 1) != 0)
            return; /* on_reset follows */
    }
    if (c->sent < c->body.len)
        return;
    struct http_stream *stream = c->stream;
    c->stream = NULL;
    buf_fini(&c->body);
    if (http_stream_end(stream, NULL) != 0)
        return;
}

static unsigned admin_answer(struct admin_conn *c, const struct http_head *head,
                             const char **content_type)
{
    if (head->method != HTTP_METHOD_GET && head->method != HTTP_METHOD_HEAD) {
        buf_add_str(&c->body, "only GET is served here\n");
        return 405;
    }
    for (const struct admin_route *r = c->admin->routes; r->path != NULL; r++)
        if (span_equal_str(head->path, r->path))
            return r->handler(c->admin->user, &c->body, content_type);
    buf_add_str(&c->body, "no such page; there are:\n");
    for (const struct admin_route *r = c->admin->routes; r->path != NULL; r++)
        buf_printf(&c->body, "  %s\n", r->path);
    return 404;
}

static void admin_on_request(struct http_server_owner *owner, struct http_stream *stream,
                             struct http_head *head)
{
    struct admin_conn *c = container_of(owner, struct admin_conn, owner);
    const char *type = "text/plain; charset=utf-8";

    stream->user = &c->stream_user;
    c->stream = stream;
    c->sent = 0;
    buf_init(&c->body, ADMIN_BODY_MAX);
    unsigned status = admin_answer(c, head, &type);
    struct http_head *reply = http_head_new(&c->arena, 4);
    if (reply == NULL || !http_head_add_id(reply, HTTP_HEADER_CONTENT_TYPE, span_str(type))) {
        c->stream = NULL;
        http_stream_reset(stream, HTTP_ERROR_NO_MEMORY);
        return;
    }
    reply->is_response = true;
    reply->version_minor = 1;
    reply->keep_alive = true;
    reply->status = (uint16_t)status;
    reply->content_length = (int64_t)c->body.len;
    reply->has_body = c->body.len > 0;
    bool end = head->method == HTTP_METHOD_HEAD || c->body.len == 0;
    if (http_stream_send_head(stream, reply, end) != 0)
        return;
    if (end)
        c->stream = NULL;
    else
        admin_send_more(c);
}

static void admin_on_head(struct http_stream_user *user UNUSED, struct http_stream *stream UNUSED,
                          struct http_head *head UNUSED)
{
    UNREACHABLE();
}

static void admin_on_body(struct http_stream_user *user UNUSED, struct http_stream *stream,
                          struct span data)
{
    http_stream_grant(stream, data.len);
}

static void admin_on_end(struct http_stream_user *user UNUSED, struct http_stream *stream UNUSED,
                         struct http_head *trailers UNUSED)
{
}

static void admin_on_drain(struct http_stream_user *user, struct http_stream *stream UNUSED)
{
    struct admin_conn *c = container_of(user, struct admin_conn, stream_user);
    if (c->stream != NULL)
        admin_send_more(c);
}

static void admin_on_reset(struct http_stream_user *user, struct http_stream *stream UNUSED,
                           enum http_error error UNUSED)
{
    struct admin_conn *c = container_of(user, struct admin_conn, stream_user);
    c->stream = NULL;
}

static const struct http_stream_user_ops admin_stream_ops = {
    .on_head = admin_on_head,
    .on_body = admin_on_body,
    .on_end = admin_on_end,
    .on_drain = admin_on_drain,
    .on_reset = admin_on_reset,
};

static struct arena *admin_request_arena(struct http_server_owner *owner)
{
    struct admin_conn *c = container_of(owner, struct admin_conn, owner);
    arena_reset(&c->arena);
    return &c->arena;
}

static void admin_release_arena(struct http_server_owner *owner UNUSED, struct arena *arena)
{
    arena_reset(arena);
}

static void admin_on_refused(struct http_server_owner *owner UNUSED, enum http_error error UNUSED,
                             const struct http_head *head UNUSED)
{
}

static void admin_on_closed(struct http_server_owner *owner, enum http_error error UNUSED)
{
    struct admin_conn *c = container_of(owner, struct admin_conn, owner);
    dlist_remove(&c->link);
    c->admin->conns_count--;
    arena_fini(&c->arena);
    buf_fini(&c->body);
    free(c);
}

static const struct http_server_owner_ops admin_owner_ops = {
    .on_request = admin_on_request,
    .request_arena = admin_request_arena,
    .release_arena = admin_release_arena,
    .on_refused = admin_on_refused,
    .on_closed = admin_on_closed,
};

static void admin_on_accept(struct acceptor *acceptor UNUSED, struct conn *conn, void *user)
{
    struct admin *admin = user;
    struct h1_server_options options = {.limits = &admin->limits};
    struct admin_conn *c = admin->conns_count < ADMIN_CONNS_MAX ? calloc(1, sizeof(*c)) : NULL;

    if (c == NULL) {
        conn_abort(conn);
        return;
    }
    c->owner.ops = &admin_owner_ops;
    c->stream_user.ops = &admin_stream_ops;
    c->admin = admin;
    arena_init(&c->arena, 4096, 256u << 10, NULL);
    buf_init(&c->body, ADMIN_BODY_MAX);
    c->session = h1_server_start(admin->pool, conn, &options, &c->owner);
    if (c->session == NULL) {
        conn_abort(conn);
        free(c);
        return;
    }
    conn_start(conn);
    admin->conns_count++;
    dlist_push_back(&admin->conns, &c->link);
}

/* What a process that was killed left is free a moment after its end only: its rings have to go. */
static int listen_soon(const struct addr *addr, struct err *reterr)
{
    const struct acceptor_options listen = {.backlog = 64};
    const struct timespec period = {.tv_nsec = ADMIN_LISTEN_PERIOD_MS * (long)NS_PER_MS};
    int fd = acceptor_listen(addr, &listen, reterr);
    for (unsigned i = 0; fd == -EADDRINUSE && i < ADMIN_LISTEN_TRIES; i++) {
        (void)nanosleep(&period, NULL); /* a signal makes it shorter */
        fd = acceptor_listen(addr, &listen, reterr);
    }
    return fd;
}

/* The file is ours until another one takes its place. */
static void keep_path(struct admin *admin, const char *path)
{
    (void)chmod(path, 0660); /* a file system without modes is no reason to stop */
    if (lstat(path, &admin->unix_stat) == 0)
        admin->unix_path = xstrdup(path);
}

static void remove_path(const struct admin *admin)
{
    struct stat now;
    if (admin->unix_path != NULL && lstat(admin->unix_path, &now) == 0 &&
        now.st_dev == admin->unix_stat.st_dev && now.st_ino == admin->unix_stat.st_ino)
        (void)unlink(admin->unix_path); /* the next start removes it if this does not */
}

int admin_start(struct admin **ret, struct loop *loop, const struct admin_options *options,
                struct err *reterr)
{
    struct addr addr;

    if (addr_parse(span_str(options->address), &addr) != 0)
        return err_set(reterr, -EINVAL, "admin address \"%s\" is neither ADDR:PORT nor unix:PATH",
                       options->address);
    struct admin *admin = xcalloc(1, sizeof(*admin));
    admin->loop = loop;
    admin->routes = options->routes;
    admin->user = options->user;
    dlist_init(&admin->conns);
    http_limits_default(&admin->limits);
    int fd = listen_soon(&addr, reterr);
    if (fd < 0) {
        free(admin);
        return fd;
    }
    if (addr.sa.sa_family == AF_UNIX)
        keep_path(admin, addr.un.sun_path);
    admin->pool = h1_server_pool_new(loop, ADMIN_CONNS_MAX);
    admin->acceptor = acceptor_start(loop, fd, admin_on_accept, admin);
    if (admin->pool == NULL || admin->acceptor == NULL)
        panic(__FILE__, __LINE__, "no memory for the admin listener");
    *ret = admin;
    return 0;
}

void admin_stop(struct admin *admin)
{
    if (admin == NULL)
        return;
    acceptor_stop(admin->acceptor);
    dlist_foreach(it, next, &admin->conns)
        http_server_abort(dlist_entry(it, struct admin_conn, link)->session);
    h1_server_pool_free(admin->pool);
    remove_path(admin);
    free(admin->unix_path);
    free(admin);
}
