/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* The load client of the benchmark, one thread. Says READY when every connection had its first
 * answer, begins to count when it reads a line, says what it counted as a line of JSON, and holds
 * its connections until its input ends: opening and closing them are not measured.
 *
 *   load [-s] [-R] [-p] [-c CONNS] [-m STREAMS] [-t SECONDS] [-r RATE] [-n HOSTS] MODE PORT [PATH]
 *
 * MODE  http       keep-alive requests, one at a time on a connection, with -m on many streams
 *       handshake  a new connection for each request; -R resumes the TLS session
 *       idle       one request on each connection
 *       ping       64 bytes there and back over TCP; websocket: the same as frames after an upgrade
 *       bulk       one byte there, then receives
 * -s TLS 1.3. -p polls instead of sleeping. -r requests are due at a fixed rate, whatever
 * the answers do, and latency counts from when they were due. -n hosts and five paths at random.
 * PATH may be several, with commas between them: then each is as probable. */

#define EVENTS 256
#define PING_SIZE 64
#define READY_NS (120 * NS_PER_S)
#define FAILED_MAX 1000u

static char junk[256 * 1024];
/* Also a masked binary frame with 58 bytes. */
static const char ping[PING_SIZE] = {(char)0x82, (char)(0x80 | 58)};

static void client_start(struct load *load, struct slot *slot, uint64_t due_ns);

static void record(struct load *load, uint64_t ns)
{
    ns = MAX(ns, UINT64_C(64));
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    unsigned at = (power - 6) * 32 + (unsigned)(ns >> (power - 5)) - 32;
    load->histogram[MIN(at, (unsigned)ARRAY_COUNT(load->histogram) - 1)]++;
}

/* Microseconds. */
static double quantile(const struct load *load, double q)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < ARRAY_COUNT(load->histogram); i++)
        total += load->histogram[i];
    for (size_t i = 0; i < ARRAY_COUNT(load->histogram); i++) {
        seen += load->histogram[i];
        if (seen > 0 && (double)seen >= q * (double)total)
            return ((double)(i % 32) + 32.5) * (double)(UINT64_C(1) << (i / 32 + 1)) / 1000;
    }
    return 0;
}

const struct request *load_request(struct load *load)
{
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return &load->requests[load->random % load->requests_count];
}

/* The path with that number in a list. */
static void path_copy(const char *list, unsigned number, char out[64])
{
    for (; number > 0; number--)
        list = strchr(list, ',') + 1;
    snprintf(out, 64, "%.*s", (int)strcspn(list, ","), list);
}

static void requests_make(struct load *load)
{
    const struct load_options *options = &load->options;
    unsigned paths = 1;
    for (const char *at = options->path; (at = strchr(at, ',')); at++)
        paths++;
    load->requests_count = options->hosts ? options->hosts * 5 : paths;
    load->requests = calloc(load->requests_count, sizeof(*load->requests));
    for (unsigned i = 0; load->requests && i < load->requests_count; i++) {
        struct request *request = &load->requests[i];
        snprintf(request->host, sizeof(request->host), "h%u.bench.test",
                 options->hosts ? i / 5 : 0);
        if (options->hosts)
            snprintf(request->path, sizeof(request->path), "/p%u%s", i % 5, options->path);
        else
            path_copy(options->path, i, request->path);
        int n = asprintf(&request->bytes,
                         "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: */*\r\n%s\r\n",
                         request->path, request->host,
                         options->mode == MODE_WEBSOCKET
                             ? "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             : "");
        if (n < 0)
            wire_die("asprintf");
        request->len = (size_t)n;
    }
    if (!load->requests)
        wire_die("calloc");
}

static void client_open(struct load *load, struct client *client)
{
    SSL_SESSION *session = load->options.resume ? load->session : NULL;
    wire_connect(&client->wire, load->options.port, load->tls, session);
    client->upgraded = false;
    if (load->options.streams)
        load_h2_begin(load, client);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = client};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->wire.fd, &event) < 0)
        wire_die("epoll_ctl");
}

/* How many slots of a connection are used. */
static unsigned slots_used(const struct load *load)
{
    return load->options.mode == MODE_IDLE ? 1 : MAX(load->options.streams, 1u);
}

static void client_reopen(struct load *load, struct client *client)
{
    load_h2_end(client);
    wire_close(&client->wire);
    client->out_len = 0;
    client_open(load, client);
    uint64_t now = clock_mono_ns();
    for (unsigned i = 0; i < slots_used(load); i++) {
        dlist_remove(&client->slots[i].link);
        client_start(load, &client->slots[i], now);
    }
}

void load_failed(struct load *load)
{
    if (++load->failed > FAILED_MAX) {
        fprintf(stderr, "more than %u errors\n", FAILED_MAX);
        exit(1);
    }
}

static void client_fail(struct load *load, struct client *client)
{
    load_failed(load);
    client_reopen(load, client);
}

static int client_flush(struct client *client)
{
    return client->h2 ? load_h2_flush(client)
                      : wire_flush(&client->wire, &client->out, &client->out_len);
}

/* A failure to send shows as the connection's event. */
static void client_start(struct load *load, struct slot *slot, uint64_t due_ns)
{
    struct client *client = slot->client;
    slot->due_ns = due_ns;
    client->head_len = 0;
    client->in_body = false;
    bool raw = load->options.mode == MODE_PING || load->options.mode == MODE_BULK;
    if (client->h2) {
        if (load_h2_start(slot) < 0)
            load_failed(load);
        return; /* flushed with others */
    }
    if (raw || client->upgraded) {
        bool bulk = load->options.mode == MODE_BULK;
        client->out = ping;
        client->out_len = bulk ? 1 : PING_SIZE;
        client->in_body = true;
        client->missing = bulk ? SIZE_MAX : PING_SIZE;
    } else {
        const struct request *request = load_request(load);
        client->out = request->bytes;
        client->out_len = request->len;
    }
    (void)client_flush(client);
}

static void client_ready(struct load *load, struct client *client)
{
    load->ready += !client->ready;
    client->ready = true;
}

void load_done(struct load *load, struct slot *slot)
{
    uint64_t now = clock_mono_ns();
    struct client *client = slot->client;
    client_ready(load, client);
    if (load->options.mode == MODE_WEBSOCKET && !client->upgraded) {
        client->upgraded = true;
    } else {
        record(load, now - slot->due_ns);
        load->done++;
    }
    if (load->options.rate > 0)
        dlist_push_back(&load->waiting, &slot->link);
    else if (load->options.mode != MODE_HANDSHAKE && load->options.mode != MODE_IDLE)
        client_start(load, slot, now);
}

/* The head is whole: how many bytes of body follow. */
static int head_done(struct load *load, struct client *client, char *end)
{
    *end = '\0';
    const char *length = strcasestr(client->head, "\ncontent-length:");
    size_t early = client->head_len - (size_t)(end + 4 - client->head);
    client->in_body = true;
    if (load->options.mode == MODE_WEBSOCKET && strncmp(client->head + 9, "101", 3) == 0) {
        client->missing = 0;
    } else if (strncmp(client->head + 9, "200", 3) == 0 && length) {
        client->missing = strtoul(length + 16, NULL, 10) - early;
    } else {
        fprintf(stderr, "not the expected response: %s\n", client->head);
        return -EPIPE;
    }
    return 0;
}

/* Bytes of a response. 1: it is whole. */
static int response_bytes(struct load *load, struct client *client, const char *data, size_t len)
{
    if (client->in_body) {
        client->missing -= MIN(len, client->missing);
        return client->missing == 0;
    }
    size_t room = sizeof(client->head) - 1 - client->head_len, n = MIN(len, room);
    memcpy(client->head + client->head_len, data, n);
    client->head_len += n;
    client->head[client->head_len] = '\0';
    char *end = strstr(client->head, "\r\n\r\n");
    if (!end)
        return n < len ? -EPIPE : 0;
    if (head_done(load, client, end) < 0)
        return -EPIPE;
    client->missing -= MIN(len - n, client->missing);
    return client->missing == 0;
}

static int client_received(struct load *load, struct client *client, const char *data, size_t len)
{
    if (client->h2)
        return load_h2_received(client, (const uint8_t *)data, len);
    load->bytes += len;
    if (load->options.mode == MODE_BULK)
        client_ready(load, client);
    int rc = response_bytes(load, client, data, len);
    if (rc <= 0)
        return rc;
    load_done(load, client->slots);
    if (load->options.mode == MODE_HANDSHAKE) {
        load->resumed += client->wire.ssl && SSL_session_reused(client->wire.ssl);
        client_reopen(load, client);
        return 1;
    }
    return 0;
}

static void client_event(struct load *load, struct client *client)
{
    if (client_flush(client) < 0) {
        client_fail(load, client);
        return;
    }
    for (;;) {
        ssize_t n = wire_read(&client->wire, junk, sizeof(junk));
        if (n == -EAGAIN)
            break;
        int rc = n > 0 ? client_received(load, client, junk, (size_t)n) : -EPIPE;
        if (rc < 0)
            client_fail(load, client);
        if (rc != 0)
            return; /* it is another connection now */
        if (!client->wire.ssl && (size_t)n < sizeof(junk))
            break;
    }
    /* The end of the handshake may be what sending waited for. */
    if (client_flush(client) < 0)
        client_fail(load, client);
}

/* At a fixed rate: starts what is due; nanoseconds until the next is. */
static uint64_t start_due(struct load *load, uint64_t now)
{
    double gap = 1e9 / load->options.rate;
    for (;;) {
        uint64_t due = load->start_ns + (uint64_t)((double)load->issued * gap);
        if (due > now)
            return due - now;
        struct dlist *link = dlist_pop_front(&load->waiting);
        if (!link)
            return NS_PER_S; /* late: the next answer starts it */
        load->issued++;
        struct slot *slot = dlist_entry(link, struct slot, link);
        client_start(load, slot, due);
        (void)client_flush(slot->client);
    }
}

static void load_turn(struct load *load, uint64_t wait_ns)
{
    static struct epoll_event events[EVENTS];
    if (load->options.poll)
        wait_ns = 0;
    struct timespec wait = {.tv_nsec = (long)MIN(wait_ns, 100 * NS_PER_MS)};
    int n = epoll_pwait2(load->epoll, events, EVENTS, &wait, NULL);
    if (load->options.poll && n == 0)
        (void)sched_yield(); /* the backend runs on this core as well */
    for (int i = 0; i < n; i++)
        client_event(load, events[i].data.ptr);
}

static void clients_open(struct load *load)
{
    unsigned slots = slots_used(load);
    load->clients = calloc(load->options.conns, sizeof(*load->clients));
    struct slot *slot = calloc((size_t)load->options.conns * slots, sizeof(*slot));
    if (!load->clients || !slot)
        wire_die("calloc");
    for (unsigned i = 0; i < load->options.conns; i++) {
        struct client *client = &load->clients[i];
        client->slots = slot;
        client_open(load, client);
        for (unsigned k = 0; k < slots; k++) {
            slot[k].client = client;
            dlist_init(&slot[k].link);
            client_start(load, &slot[k], clock_mono_ns());
        }
        slot += slots;
        /* Gently: a listener's queue is not what is measured. */
        while (load->options.mode == MODE_IDLE && load->ready + 128 < i)
            load_turn(load, NS_PER_MS);
    }
}

static void warm_up(struct load *load)
{
    uint64_t end = clock_mono_ns() + READY_NS;
    while (load->ready < load->options.conns && clock_mono_ns() < end)
        load_turn(load, NS_PER_MS);
    load->done = load->failed = load->resumed = load->bytes = 0;
    memset(load->histogram, 0, sizeof(load->histogram));
    printf("READY %u\n", load->ready);
    (void)fflush(stdout); /* nobody reads: nothing to do about it */
}

static void run(struct load *load)
{
    load->start_ns = clock_mono_ns();
    uint64_t end = load->start_ns + (uint64_t)(load->options.seconds * 1e9);
    for (uint64_t now = load->start_ns; now < end; now = clock_mono_ns()) {
        uint64_t wait = load->options.rate > 0 ? start_due(load, now) : NS_PER_S;
        load_turn(load, wait);
    }
    double seconds = (double)(clock_mono_ns() - load->start_ns) / 1e9;
    printf("{\"done\":%lu,\"failed\":%lu,\"resumed\":%lu,\"bytes\":%lu,\"seconds\":%.4f,"
           "\"p50\":%.1f,\"p99\":%.1f}\n",
           (unsigned long)load->done, (unsigned long)load->failed, (unsigned long)load->resumed,
           (unsigned long)load->bytes, seconds, quantile(load, 0.5), quantile(load, 0.99));
    (void)fflush(stdout); /* as above */
}

static struct load load = {.options = {.path = "/1k", .conns = 64, .seconds = 5},
                           .random = UINT64_C(88172645463325252)};

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(load.session);
    load.session = session;
    return 1; /* ours now */
}

static int options_read(struct load_options *options, int argc, char **argv)
{
    static const char *const modes[] = {"http", "handshake", "idle", "ping", "websocket", "bulk"};
    int option;
    while ((option = getopt(argc, argv, "sRpc:m:t:r:n:")) != -1) {
        switch (option) {
        case 's':
            options->tls = true;
            break;
        case 'R':
            options->resume = true;
            break;
        case 'p':
            options->poll = true;
            break;
        case 'c':
            options->conns = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'm':
            options->streams = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            options->seconds = strtod(optarg, NULL);
            break;
        case 'r':
            options->rate = strtod(optarg, NULL);
            break;
        case 'n':
            options->hosts = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            return -EINVAL;
        }
    }
    if (argc - optind < 2 || options->conns == 0)
        return -EINVAL;
    options->port = (uint16_t)strtoul(argv[optind + 1], NULL, 10);
    if (argc - optind > 2)
        options->path = argv[optind + 2];
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++)
        if (strcmp(argv[optind], modes[i]) == 0) {
            options->mode = (enum mode)i;
            return 0;
        }
    return -EINVAL;
}

int main(int argc, char **argv)
{
    if (options_read(&load.options, argc, argv) < 0) {
        fprintf(stderr, "usage: load [-s] [-R] [-p] [-c CONNS] [-m STREAMS] [-t SECONDS] [-r RATE]"
                        " [-n HOSTS] MODE PORT [PATH]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    (void)prctl(PR_SET_TIMERSLACK, 1000); /* a coarser one only costs precision */
    requests_make(&load);
    dlist_init(&load.waiting);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load.epoll < 0)
        wire_die("epoll_create1");
    if (load.options.tls) {
        load.tls = wire_client_tls(load.options.streams ? "\x02h2" : "\x08http/1.1");
        if (load.options.resume)
            SSL_CTX_sess_set_new_cb(load.tls, on_session);
    }
    clients_open(&load);
    warm_up(&load);
    char byte;
    if (load.options.mode != MODE_IDLE && read(STDIN_FILENO, &byte, 1) >= 0)
        run(&load);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}
