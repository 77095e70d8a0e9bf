/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/resolver.h"

#include <ares.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/metric.h"
#include "base/panic.h"

/* c-ares keeps the sockets and the retries; it checks that an answer comes from the server that was
 * asked and repeats id and question. This file is its loop, and the cache.
 *
 * c-ares may call back before ares_getaddrinfo returns (for /etc/hosts) and from within its own
 * work, so entry_on_answer only notes the result; who waits is told from a task of the loop. An
 * entry is kept while c-ares works on it (asking), somebody waits for it, or its answer is being
 * handed out (pinned); the others may be evicted, least recently used first. A question that
 * outlives those who waited for it ends by itself (ASK_TRIES) and fills the cache.
 *
 * next_ns says when to ask again. stale_ns and useless_ns count from the end of the TTL of the
 * answer and are not moved by failures. */

#define TIMEOUT_NS (2 * NS_PER_S)
#define TTL_NS_MIN (1 * NS_PER_S)
#define TTL_NS_MAX (300 * NS_PER_S)
#define REFRESH_NS (30 * NS_PER_S) /* after the TTL: served while the new answer is fetched */
#define STALE_NS (24 * 3600 * NS_PER_S) /* after the TTL: served while there is no new one */
#define NAMES_MAX 1024u
#define NAME_SIZE 254u
#define SERVERS_MAX 8u
#define ASK_TRIES 2 /* c-ares doubles its patience with each: 1/3 and 2/3 of the time */
#define DNS_PORT 53u
#define UDP_SIZE 1232 /* fits an IPv6 packet of 1280 bytes; more comes by TCP */

struct resolver_entry {
    struct hmap_node node; /* key: name */
    struct resolver *resolver;
    struct dlist lru; /* in resolver->lru, last used first */
    struct dlist done_link; /* in resolver->done: has news for its waiters */
    struct dlist waiters; /* struct resolver_query.link */
    struct timer patience; /* of the waiters */
    uint64_t next_ns, stale_ns, useless_ns;
    uint64_t asked_ns; /* last time */
    int error; /* when answer.count is 0 */
    bool asking, pinned, failed; /* failed: the last question was not answered */
    struct resolver_answer answer;
    char name[NAME_SIZE];
};

struct resolver_socket {
    struct watch watch;
    struct resolver *resolver;
    struct dlist link;
};

struct resolver {
    struct loop *loop;
    ares_channel channel; /* NULL while it is being made and ended */
    struct hmap entries;
    struct dlist lru, done, sockets;
    struct loop_task delivery;
    struct timer timer; /* of c-ares */
    uint64_t timeout_ns, ttl_min_ns, ttl_max_ns;
    unsigned names_max;
    bool has_ipv6;
};

/* --- c-ares on the loop ------------------------------------------------------ */

static void timer_update(struct resolver *resolver)
{
    struct timeval tv;
    if (resolver->channel == NULL || ares_timeout(resolver->channel, NULL, &tv) == NULL) {
        loop_disarm(resolver->loop, &resolver->timer);
        return;
    }
    /* Its clock is a little ahead of the loop's: a millisecond more saves a turn in vain. */
    loop_arm(resolver->loop, &resolver->timer,
             (uint64_t)tv.tv_sec * NS_PER_S + (uint64_t)tv.tv_usec * NS_PER_US + NS_PER_MS);
}

static void on_timer(struct timer *timer)
{
    struct resolver *resolver = container_of(timer, struct resolver, timer);
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    timer_update(resolver);
}

static void on_socket(struct watch *watch, unsigned revents)
{
    struct resolver_socket *sock = container_of(watch, struct resolver_socket, watch);
    struct resolver *resolver = sock->resolver;
    const unsigned broken = POLLERR | POLLHUP;
    bool can_write = (watch->events & POLLOUT) != 0 && (revents & (POLLOUT | broken)) != 0;
    bool can_read = (revents & (POLLIN | broken)) != 0;

    /* May end and free the socket. */
    ares_process_fd(resolver->channel, can_read ? watch->fd : ARES_SOCKET_BAD,
                    can_write ? watch->fd : ARES_SOCKET_BAD);
    timer_update(resolver);
}

static struct resolver_socket *socket_find(struct resolver *resolver, int fd)
{
    dlist_foreach(it, next, &resolver->sockets)
    {
        struct resolver_socket *sock = dlist_entry(it, struct resolver_socket, link);
        if (sock->watch.fd == fd)
            return sock;
    }
    return NULL;
}

static void socket_free(struct resolver_socket *sock)
{
    dlist_remove(&sock->link);
    free(sock);
}

/* Neither wanted: c-ares closes fd next. Without memory the socket is not heard and the question
 * times out. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = data;
    struct resolver_socket *sock = socket_find(resolver, fd);
    unsigned events = (readable ? POLLIN : 0u) | (writable ? POLLOUT : 0u);

    if (sock != NULL) {
        if (sock->watch.events == events)
            return;
        watch_stop(&sock->watch);
        if (events == 0) {
            socket_free(sock);
            return;
        }
    } else {
        if (events == 0)
            return;
        sock = calloc(1, sizeof(*sock));
        if (sock == NULL)
            return;
        sock->resolver = resolver;
        dlist_push_back(&resolver->sockets, &sock->link);
    }
    if (watch_start(&sock->watch, resolver->loop, fd, events, on_socket) != 0)
        socket_free(sock);
}

/* --- answers ------------------------------------------------------------------ */

static int error_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return -ENOENT;
    case ARES_ETIMEOUT:
        return -ETIMEDOUT;
    case ARES_ENOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static bool ip_is_usable(const struct resolver_ip *ip)
{
    static const uint8_t zero[16];
    if (ip->is_v6)
        return ip->ip[0] != 0xff && memcmp(ip->ip, zero, 16) != 0;
    /* 0.0.0.0/8 is "this host", from 224.0.0.0 on come multicast and broadcast (RFC 6890). */
    return ip->ip[0] != 0 && ip->ip[0] < 224;
}

static bool ip_is_loopback_v6(const struct resolver_ip *ip)
{
    return ip->is_v6 && memcmp(ip->ip, &in6addr_loopback, 16) == 0;
}

static void answer_add(struct resolver_answer *answer, const struct resolver_ip *ip)
{
    if (answer->count == RESOLVER_IPS_MAX || !ip_is_usable(ip))
        return;
    for (unsigned i = 0; i < answer->count; i++)
        if (answer->ips[i].is_v6 == ip->is_v6 && memcmp(answer->ips[i].ip, ip->ip, 16) == 0)
            return;
    answer->ips[answer->count++] = *ip;
}

static void answer_drop_unreachable(struct resolver_answer *answer)
{
    unsigned kept = 0, v4 = 0;
    for (unsigned i = 0; i < answer->count; i++)
        v4 += !answer->ips[i].is_v6;
    if (v4 == 0)
        return;
    for (unsigned i = 0; i < answer->count; i++)
        if (!answer->ips[i].is_v6 || ip_is_loopback_v6(&answer->ips[i]))
            answer->ips[kept++] = answer->ips[i];
    answer->count = kept;
}

/* 0 and the TTL of the shortest-lived part, in seconds; -EIO: too many aliases; -ENOENT. */
static int answer_read(const struct resolver *resolver, const struct ares_addrinfo *info,
                       struct resolver_answer *answer, uint64_t *ttl_s)
{
    unsigned aliases = 0;
    int ttl = INT32_MAX;

    answer->count = 0;
    for (const struct ares_addrinfo_cname *it = info->cnames; it != NULL; it = it->next) {
        if (it->alias == NULL)
            continue;
        if (++aliases > RESOLVER_ALIASES_MAX)
            return -EIO;
        ttl = MIN(ttl, it->ttl);
    }
    for (const struct ares_addrinfo_node *it = info->nodes; it != NULL; it = it->ai_next) {
        struct resolver_ip ip = {.is_v6 = it->ai_family == AF_INET6};
        if (it->ai_family == AF_INET)
            memcpy(ip.ip, &((const struct sockaddr_in *)(const void *)it->ai_addr)->sin_addr, 4);
        else if (it->ai_family == AF_INET6)
            memcpy(ip.ip, &((const struct sockaddr_in6 *)(const void *)it->ai_addr)->sin6_addr, 16);
        else
            continue;
        ttl = MIN(ttl, it->ai_ttl);
        answer_add(answer, &ip);
    }
    if (!resolver->has_ipv6)
        answer_drop_unreachable(answer);
    *ttl_s = (uint64_t)MAX(ttl, 0);
    return answer->count > 0 ? 0 : -ENOENT;
}

static void entry_fail(struct resolver_entry *entry, int error, uint64_t now)
{
    entry->next_ns = now + entry->resolver->ttl_min_ns;
    entry->failed = true;
    /* That the name is gone is an answer, and replaces the old one (RFC 8767 4). */
    if (error == -ENOENT || now >= entry->useless_ns)
        entry->answer.count = 0;
    if (entry->answer.count == 0)
        entry->error = error;
}

static void entry_on_answer(void *arg, int status, int timeouts UNUSED, struct ares_addrinfo *info)
{
    struct resolver_entry *entry = arg;
    struct resolver *resolver = entry->resolver;
    uint64_t now = resolver->loop->clock.mono_ns, ttl_s = 0;
    struct resolver_answer answer;

    entry->asking = false;
    int rc =
        status == ARES_SUCCESS ? answer_read(resolver, info, &answer, &ttl_s) : error_of(status);
    if (info != NULL)
        ares_freeaddrinfo(info);
    if (resolver->channel == NULL)
        return; /* resolver_free */
    if (rc == 0) {
        uint64_t ttl_ns = MIN(MAX(ttl_s * NS_PER_S, resolver->ttl_min_ns), resolver->ttl_max_ns);
        entry->answer = answer;
        entry->error = 0;
        entry->failed = false;
        entry->next_ns = now + ttl_ns;
        entry->stale_ns = entry->next_ns + REFRESH_NS;
        entry->useless_ns = entry->next_ns + STALE_NS;
    } else {
        metric_inc(METRIC_DNS_ERRORS);
        entry_fail(entry, rc, now);
    }
    if (!dlist_is_empty(&entry->waiters) && !dlist_is_linked(&entry->done_link)) {
        dlist_push_back(&resolver->done, &entry->done_link);
        loop_defer(resolver->loop, &resolver->delivery);
    }
}

/* --- waiting ------------------------------------------------------------------- */

static void entry_deliver(struct resolver_entry *entry)
{
    struct dlist waiters, *link;
    int error = entry->answer.count > 0 ? 0 : entry->error;

    loop_disarm(entry->resolver->loop, &entry->patience);
    dlist_take(&waiters, &entry->waiters);
    entry->pinned = true;
    while ((link = dlist_pop_front(&waiters)) != NULL) {
        struct resolver_query *query = dlist_entry(link, struct resolver_query, link);
        query->entry = NULL;
        query->on_done(query, error, error == 0 ? &entry->answer : NULL);
    }
    entry->pinned = false;
}

static void on_delivery(struct loop_task *task)
{
    struct resolver *resolver = container_of(task, struct resolver, delivery);
    struct dlist *link;
    while ((link = dlist_pop_front(&resolver->done)) != NULL)
        entry_deliver(dlist_entry(link, struct resolver_entry, done_link));
}

/* The question may still be under way: whoever asks in the next second does not wait for it. */
static void on_impatience(struct timer *timer)
{
    struct resolver_entry *entry = container_of(timer, struct resolver_entry, patience);
    if (dlist_is_linked(&entry->done_link))
        return; /* the answer has come, this very turn */
    entry_fail(entry, -ETIMEDOUT, entry->resolver->loop->clock.mono_ns);
    entry_deliver(entry);
}

/* --- cache ---------------------------------------------------------------------- */

static void entry_free(struct resolver_entry *entry)
{
    hmap_remove(&entry->resolver->entries, &entry->node);
    loop_disarm(entry->resolver->loop, &entry->patience);
    dlist_remove(&entry->lru);
    dlist_remove(&entry->done_link);
    free(entry);
}

static bool evict(struct resolver *resolver)
{
    for (struct dlist *it = resolver->lru.prev; it != &resolver->lru; it = it->prev) {
        struct resolver_entry *entry = dlist_entry(it, struct resolver_entry, lru);
        if (entry->asking || entry->pinned || !dlist_is_empty(&entry->waiters))
            continue;
        entry_free(entry);
        return true;
    }
    return false;
}

static int entry_new(struct resolver *resolver, struct span name, struct resolver_entry **ret)
{
    if (resolver->entries.count >= resolver->names_max && !evict(resolver))
        return -ENOBUFS;
    struct resolver_entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return -ENOMEM;
    entry->resolver = resolver;
    memcpy(entry->name, name.ptr, name.len);
    dlist_init(&entry->done_link);
    dlist_init(&entry->waiters);
    timer_init(&entry->patience, on_impatience);
    dlist_push_front(&resolver->lru, &entry->lru);
    hmap_insert(&resolver->entries, &entry->node, span_make(entry->name, name.len));
    *ret = entry;
    return 0;
}

static void entry_ask(struct resolver_entry *entry)
{
    const struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT, /* sorting opens a socket an address */
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    struct resolver *resolver = entry->resolver;

    metric_inc(METRIC_DNS_QUERIES);
    entry->asking = true;
    entry->asked_ns = resolver->loop->clock.mono_ns;
    ares_getaddrinfo(resolver->channel, entry->name, NULL, &hints, entry_on_answer, entry);
    timer_update(resolver);
}

/* Lower case in `out`; false: not a name. */
static bool name_fold(struct span name, char out[NAME_SIZE], struct span *ret)
{
    if (name.len == 0 || name.len >= NAME_SIZE || name.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = (char)ascii_lower((unsigned char)name.ptr[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
        out[i] = c;
    }
    *ret = span_make(out, name.len);
    return true;
}

static struct resolver_entry *entry_find(struct resolver *resolver, struct span name)
{
    struct hmap_node *node = hmap_find(&resolver->entries, name);
    return node != NULL ? container_of(node, struct resolver_entry, node) : NULL;
}

static int entry_result(const struct resolver_entry *entry, const struct resolver_answer **ret)
{
    if (entry->answer.count == 0)
        return entry->error;
    *ret = &entry->answer;
    return 0;
}

int resolver_lookup(struct resolver *resolver, struct resolver_query *query, struct span name,
                    const struct resolver_answer **ret)
{
    uint64_t now = resolver->loop->clock.mono_ns;
    char text[NAME_SIZE];

    if (!name_fold(name, text, &name))
        return -EINVAL;
    struct resolver_entry *entry = entry_find(resolver, name);
    if (entry == NULL) {
        int rc = entry_new(resolver, name, &entry);
        if (rc != 0)
            return rc;
    }
    dlist_remove(&entry->lru);
    dlist_push_front(&resolver->lru, &entry->lru);
    if (now < entry->next_ns)
        return entry_result(entry, ret);
    if (!entry->asking)
        entry_ask(entry);
    if (now < entry->next_ns) /* answered at once */
        return entry_result(entry, ret);
    if (entry->answer.count > 0 && now < entry->useless_ns &&
        (now < entry->stale_ns || entry->failed))
        return entry_result(entry, ret);
    if (!timer_is_armed(&entry->patience))
        loop_arm(resolver->loop, &entry->patience, resolver->timeout_ns);
    query->entry = entry;
    dlist_push_back(&entry->waiters, &query->link);
    return -EINPROGRESS;
}

void resolver_cancel(struct resolver_query *query)
{
    struct resolver_entry *entry = query->entry;
    if (entry == NULL)
        return;
    query->entry = NULL;
    dlist_remove(&query->link);
    if (dlist_is_empty(&entry->waiters))
        loop_disarm(entry->resolver->loop, &entry->patience);
}

void resolver_doubt(struct resolver *resolver, struct span name)
{
    uint64_t now = resolver->loop->clock.mono_ns;
    char text[NAME_SIZE];

    if (!name_fold(name, text, &name))
        return;
    struct resolver_entry *entry = entry_find(resolver, name);
    if (entry == NULL || entry->asking || entry->answer.count == 0)
        return;
    entry->next_ns = MIN(entry->next_ns, MAX(now, entry->asked_ns + resolver->ttl_min_ns));
}

void resolver_answer_addr(const struct resolver_answer *answer, unsigned index, uint16_t port,
                          struct addr *ret)
{
    ASSERT(answer->count > 0);
    const struct resolver_ip *ip = &answer->ips[index % answer->count];

    *ret = (struct addr){.len = 0};
    if (ip->is_v6) {
        ret->in6.sin6_family = AF_INET6;
        memcpy(&ret->in6.sin6_addr, ip->ip, 16);
        ret->len = sizeof(ret->in6);
    } else {
        ret->in.sin_family = AF_INET;
        memcpy(&ret->in.sin_addr, ip->ip, 4);
        ret->len = sizeof(ret->in);
    }
    addr_set_port(ret, port);
    addr_unmap(ret);
}

const char *resolver_error_text(int error)
{
    switch (error) {
    case -ENOENT:
        return "no such name, or it has no address";
    case -ETIMEDOUT:
        return "no answer of the DNS servers in time";
    case -EIO:
        return "the DNS servers fail, refuse or answer nonsense";
    case -EINVAL:
        return "not a DNS name";
    case -ENOBUFS:
        return "too many names are being looked up";
    default:
        return "out of memory";
    }
}

/* --- life ----------------------------------------------------------------------- */

static int servers_parse(const char *text, struct addr servers[SERVERS_MAX], unsigned *ret_count,
                         struct err *reterr)
{
    struct span rest = span_str(text), one;
    unsigned count = 0;
    bool more = rest.len > 0;

    while (more) {
        more = span_split(rest, ',', &one, &rest);
        one = span_trim(one);
        if (count == SERVERS_MAX)
            return err_set(reterr, -EINVAL, "DNS servers: more than %u", SERVERS_MAX);
        struct addr *addr = &servers[count++];
        if (addr_from_ip(one, DNS_PORT, addr) != 0 &&
            (addr_parse(one, addr) != 0 || addr->sa.sa_family == AF_UNIX || addr_port(addr) == 0))
            return err_set(reterr, -EINVAL, "DNS servers: \"%.*s\" is not IP, IP:PORT or [IP]:PORT",
                           SPAN_ARG(one));
    }
    *ret_count = count;
    return 0;
}

int resolver_check_servers(const char *servers, struct err *reterr)
{
    struct addr addrs[SERVERS_MAX];
    unsigned count;
    return servers_parse(servers, addrs, &count, reterr);
}

static int channel_set_servers(ares_channel channel, const struct addr *addrs, unsigned count)
{
    char list[SERVERS_MAX * (ADDR_TEXT_SIZE + 1)] = "";
    size_t len = 0;

    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            list[len++] = ',';
        len += addr_format(&addrs[i], list + len);
    }
    return ares_set_servers_ports_csv(channel, list);
}

static void library_init(void)
{
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        panic(__FILE__, __LINE__, "c-ares does not start");
}

static int channel_new(struct resolver *resolver, const struct addr *servers, unsigned count,
                       struct err *reterr)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char lookups[] = "fb", nowhere[] = "/dev/null";
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS,
        .ednspsz = UDP_SIZE,
        .timeout = (int)(resolver->timeout_ns / 3 / NS_PER_MS) + 1,
        .tries = ASK_TRIES,
        .lookups = lookups, /* files first, whatever nsswitch.conf says */
        .resolvconf_path = nowhere,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = resolver,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
               ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;

#ifdef ARES_OPT_QUERY_CACHE
    mask |= ARES_OPT_QUERY_CACHE; /* with a time of 0: our own cache is the only one */
#endif
    /* Without any domain the host's own would become the search list. */
    if (count > 0)
        mask |= ARES_OPT_RESOLVCONF | ARES_OPT_DOMAINS;
    (void)pthread_once(&once, library_init); /* cannot fail with a valid control */
    int status = ares_init_options(&resolver->channel, &options, mask);
    if (status == ARES_SUCCESS && count > 0)
        status = channel_set_servers(resolver->channel, servers, count);
    if (status != ARES_SUCCESS)
        return err_set(reterr, status == ARES_ENOMEM ? -ENOMEM : -EIO, "DNS cannot be set up: %s",
                       ares_strerror(status));
    return 0;
}

/* Connecting a datagram socket sends nothing; it fails when there is no route. */
static bool probe_ipv6(void)
{
    struct addr addr;
    if (addr_parse(SPAN_LIT("[2001:db8::1]:53"), &addr) != 0)
        return false;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool has_route = connect(fd, &addr.sa, addr.len) == 0;
    (void)close(fd); /* nothing to be done about a failure */
    return has_route;
}

struct resolver *resolver_new(struct loop *loop, const struct resolver_options *options,
                              struct err *reterr)
{
    struct addr servers[SERVERS_MAX];
    unsigned count = 0;

    if (options->servers != NULL && servers_parse(options->servers, servers, &count, reterr) != 0)
        return NULL;
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL) {
        (void)err_set(reterr, -ENOMEM, "no memory for a resolver"); /* told by NULL */
        return NULL;
    }
    resolver->loop = loop;
    resolver->timeout_ns = options->timeout_ns ? options->timeout_ns : TIMEOUT_NS;
    resolver->ttl_min_ns = options->ttl_min_ns ? options->ttl_min_ns : TTL_NS_MIN;
    resolver->ttl_max_ns =
        MAX(options->ttl_max_ns ? options->ttl_max_ns : TTL_NS_MAX, resolver->ttl_min_ns);
    resolver->names_max = options->names_max ? options->names_max : NAMES_MAX;
    resolver->has_ipv6 = probe_ipv6();
    dlist_init(&resolver->lru);
    dlist_init(&resolver->done);
    dlist_init(&resolver->sockets);
    dlist_init(&resolver->delivery.link);
    resolver->delivery.run = on_delivery;
    timer_init(&resolver->timer, on_timer);
    hmap_init(&resolver->entries, 16);
    if (channel_new(resolver, servers, count, reterr) != 0) {
        resolver_free(resolver);
        return NULL;
    }
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    ares_channel channel = resolver->channel;
    resolver->channel = NULL; /* entry_on_answer: do nothing with it */
    if (channel != NULL)
        ares_destroy(channel); /* ends all questions and sockets */
    ASSERT(dlist_is_empty(&resolver->sockets));
    loop_disarm(resolver->loop, &resolver->timer);
    loop_cancel(&resolver->delivery);
    for (struct hmap_node *node; (node = hmap_next(&resolver->entries, NULL)) != NULL;) {
        struct resolver_entry *entry = container_of(node, struct resolver_entry, node);
        dlist_foreach(it, next, &entry->waiters)
        {
            dlist_entry(it, struct resolver_query, link)->entry = NULL;
            dlist_remove(it);
        }
        entry_free(entry);
    }
    hmap_fini(&resolver->entries);
    free(resolver);
}
