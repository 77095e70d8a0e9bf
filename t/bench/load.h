/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BENCH_LOAD_H
#define RINGGATE_BENCH_LOAD_H

/* The load client from inside. A slot carries one request at a time: a
 * connection has one, with HTTP/2 as many as it has streams. A slot that is
 * done begins anew at once, or waits for the next request that is due. */

#include "wire.h"

#include "base/dlist.h"

enum mode { MODE_HTTP, MODE_HANDSHAKE, MODE_IDLE, MODE_PING, MODE_WEBSOCKET, MODE_BULK };

struct load_options {
    enum mode mode;
    uint16_t port;
    const char *path;
    unsigned conns, streams; /* streams: of a connection; 0: HTTP/1.1 */
    double seconds, rate; /* rate: requests a second; 0: as many as there are slots */
    unsigned hosts; /* n > 0: Host is h0.bench.test to hN-1, and the path begins with /p0 to /p4 */
    bool tls, resume, poll;
};

/* A request as bytes (HTTP/1.1) and as what HTTP/2 needs. */
struct request {
    char host[32], path[64];
    char *bytes;
    size_t len;
};

struct client;

struct slot {
    struct client *client;
    uint64_t due_ns; /* latency counts from here */
    struct dlist link; /* in load.waiting */
};

struct client {
    struct wire wire;
    struct slot *slots; /* options.streams of them, or one */
    struct load_h2 *h2; /* NULL: HTTP/1.1 or raw bytes */
    const char *out;
    size_t out_len;
    bool ready; /* it had its first answer */
    bool upgraded; /* MODE_WEBSOCKET: frames from now on */
    /* The response: head until it is whole, then how much is missing. */
    char head[4096];
    size_t head_len, missing;
    bool in_body;
};

struct load {
    struct load_options options;
    struct request *requests;
    unsigned requests_count;
    struct client *clients;
    SSL_CTX *tls;
    SSL_SESSION *session; /* to resume */
    int epoll;
    uint64_t random, start_ns;
    struct dlist waiting; /* slots without a request, at a fixed rate */
    uint64_t done, failed, resumed, bytes, issued;
    unsigned ready; /* connections */
    uint32_t histogram[64 * 32]; /* of latencies: 32 steps in each power of two of nanoseconds */
};

/* A request of the load's, at random. */
const struct request *load_request(struct load *load);
/* The slot's response was right (and its connection lives). */
void load_done(struct load *load, struct slot *slot);
/* Counts a failure; with too many of them the program ends. */
void load_failed(struct load *load);

/* load_h2.c */
void load_h2_begin(struct load *load, struct client *client);
void load_h2_end(struct client *client);
/* -EPIPE: the connection is broken. */
MUST_CHECK int load_h2_start(struct slot *slot);
MUST_CHECK int load_h2_flush(struct client *client);
MUST_CHECK int load_h2_received(struct client *client, const uint8_t *data, size_t len);

#endif
