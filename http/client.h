/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_CLIENT_H
#define RINGGATE_HTTP_CLIENT_H

/* A client session of any version of HTTP, as the upstream pool sees it:
 * h1_client_start and h2_client_start make them. One request at a time (h1) or
 * many (h2): http_client_room says how many more may begin now. */

#include "http/server.h"

struct http_client;

struct http_client_owner;
struct http_client_owner_ops {
    /* A request is over: http_client_room and http_client_active may have changed. Comes after the
     * stream's last callback, from the loop. Also when the peer changed how much room there is, and
     * (h2) when its first SETTINGS have come: from then on http_client_can_tunnel is to be
     * believed. */
    void (*on_room)(struct http_client_owner *owner, struct http_client *client);
    /* The session is gone (its streams got on_reset or on_end before). Once, always last, also
     * after http_client_close. */
    void (*on_closed)(struct http_client_owner *owner, struct http_client *client,
                      enum http_error error);
};
struct http_client_owner {
    const struct http_client_owner_ops *ops;
};

struct http_client_ops {
    const char *protocol; /* "HTTP/1.1", "HTTP/2": for logs */
    struct http_stream *(*request)(struct http_client *client, struct http_head *head,
                                   struct arena *arena, struct http_stream_user *user, bool end);
    unsigned (*room)(const struct http_client *client);
    unsigned (*active)(const struct http_client *client);
    bool (*can_tunnel)(const struct http_client *client);
    void (*drain)(struct http_client *client);
    void (*close)(struct http_client *client);
    struct conn *(*conn)(const struct http_client *client);
};

struct http_client {
    const struct http_client_ops *ops;
    /* Why the last request got no stream: HEAD_TOO_LARGE for this peer (h2); NO_MEMORY; CLOSED: no
     * room, or the session just failed (on_closed follows). */
    enum http_error refusal;
};

/* Sends a request head; returns its stream, or NULL: client->refusal says why. The response head is
 * put in arena (the exchange's). end: no body follows. head->upgrade, when set, asks for a tunnel:
 * h1 Upgrade, h2 extended CONNECT (RFC 8441); the answer is a head of status 101 whatever the
 * version, after which the bytes of both directions are the bodies (http/stream.h). */
static inline struct http_stream *http_client_request(struct http_client *client,
                                                      struct http_head *head, struct arena *arena,
                                                      struct http_stream_user *user, bool end)
{
    return client->ops->request(client, head, arena, user, end);
}

/* Requests that may begin now: 0 when busy (h1), at the peer's limit or after its GOAWAY (h2). */
static inline unsigned http_client_room(const struct http_client *client)
{
    return client->ops->room(client);
}

/* Requests in progress. */
static inline unsigned http_client_active(const struct http_client *client)
{
    return client->ops->active(client);
}

/* A request with head->upgrade may be sent (h2: the peer allows extended CONNECT). */
static inline bool http_client_can_tunnel(const struct http_client *client)
{
    return client->ops->can_tunnel(client);
}

/* No more requests; closes when those in progress are over. */
static inline void http_client_drain(struct http_client *client)
{
    client->ops->drain(client);
}

/* Ends it at once: requests in progress get on_reset(GONE), then on_closed follows before it
 * returns; inside the session's own callbacks, after them. */
static inline void http_client_close(struct http_client *client)
{
    client->ops->close(client);
}

static inline struct conn *http_client_conn(const struct http_client *client)
{
    return client->ops->conn(client);
}

#endif
