/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/panic.h"

/* A cluster is found by what asks for it, without a name being composed; two
 * askers that mean the same cluster meet at its id. */

#define H2C "kubernetes.io/h2c"

struct cluster_entry {
    struct hmap_node node;
    uintptr_t key[5]; /* object, port, policy, Gateway when it has a client certificate, is_h2 */
    int index;
};

struct cluster_id {
    struct hmap_node node;
    int index;
};

/* Endpoints of one cluster while they are gathered. */
struct gathering {
    struct model_endpoint *items;
    unsigned count, cap;
    struct hmap seen; /* "host port" */
};

struct endpoint_seen {
    struct hmap_node node;
};

static void gather_add(struct translation *tr, struct gathering *all, struct span host,
                       uint16_t port)
{
    struct span key = arena_printf(&tr->scratch, "%.*s %u", SPAN_ARG(host), port);
    if (hmap_find(&all->seen, key))
        return;
    struct endpoint_seen *seen = arena_new(&tr->scratch, struct endpoint_seen);
    ASSERT(seen);
    hmap_insert(&all->seen, &seen->node, key);
    all->items = translate_grow(all->items, all->count, &all->cap, sizeof(*all->items));
    all->items[all->count++] = (struct model_endpoint){host, port};
}

/* Link-local and loopback addresses mean something else on every node of a cluster; its API refuses
 * them too. In files they are this host's. */
static bool is_local(int family, const unsigned char *bytes)
{
    if (family == AF_INET)
        return bytes[0] == 127 || (bytes[0] == 169 && bytes[1] == 254);
    return IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)bytes) ||
           (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
}

/* NULL: the address can be used. */
static const char *address_problem(const struct translation *tr, struct span type,
                                   struct span address)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in6_addr bytes;
    int family = span_equal_str(type, "IPv6") ? AF_INET6 : AF_INET;
    if (address.len >= sizeof(text))
        return "is not an address";
    memcpy(text, address.ptr, address.len);
    text[address.len] = '\0';
    if (inet_pton(family, text, &bytes) != 1)
        return family == AF_INET6 ? "is not an IPv6 address" : "is not an IPv4 address";
    if (!tr->options->from_files && is_local(family, (const unsigned char *)&bytes))
        return "is a loopback or link-local address";
    return NULL;
}

static void gather_endpoint(struct translation *tr, const struct conf_object *slice, unsigned index,
                            uint16_t port, struct gathering *all)
{
    const struct conf_endpoint *endpoint = &slice->endpoint_slice->endpoints[index];
    for (unsigned i = 0; i < endpoint->addresses_count; i++) {
        struct span address = endpoint->addresses[i];
        const char *problem = address_problem(tr, slice->endpoint_slice->address_type, address);
        if (!problem) {
            gather_add(tr, all, address, port);
            continue;
        }
        struct diag *diag =
            translate_diag(tr, DIAG_ENDPOINT_REFUSED, slice, endpoint->pos, SPAN_NONE);
        diag_field(diag, "endpoints[%u].addresses[%u]", index, i);
        diag_message(diag, "\"%.*s\" %s", SPAN_ARG(address), problem);
        diag_consequence(diag, "this endpoint is not used");
    }
}

/* The number of the port that the Service's port means in this slice; 0: none. */
static uint16_t slice_port(const struct conf_endpoint_slice *slice,
                           const struct conf_service_port *port)
{
    for (unsigned i = 0; i < slice->ports_count; i++) {
        if (span_equal(slice->ports[i].name, port->name))
            return slice->ports[i].port > 0 ? slice->ports[i].port : port->port;
    }
    return 0;
}

/* Ready ones; when there is none, those that finish but still serve, as kube-proxy does. */
static void gather_slices(struct translation *tr, const struct conf_object *service,
                          const struct conf_service_port *port, struct gathering *all)
{
    unsigned count;
    const struct conf_object *const *slices =
        objects_slices(tr->objects, service->ns, service->name, &count);
    for (unsigned pass = 0; pass < 2 && all->count == 0; pass++) {
        for (unsigned i = 0; i < count; i++) {
            const struct conf_endpoint_slice *slice = slices[i]->endpoint_slice;
            uint16_t number = slice_port(slice, port);
            bool is_fqdn = span_equal_str(slice->address_type, "FQDN");
            for (unsigned j = 0; j < slice->endpoints_count && number > 0 && !is_fqdn; j++) {
                const struct conf_endpoint *endpoint = &slice->endpoints[j];
                bool is_last_resort =
                    !endpoint->ready && endpoint->serving && endpoint->terminating;
                if (pass == 0 ? endpoint->ready : is_last_resort)
                    gather_endpoint(tr, slices[i], j, number, all);
            }
            if (pass > 0 || !is_fqdn)
                continue;
            struct diag *diag = translate_diag(tr, DIAG_ENDPOINT_REFUSED, slices[i],
                                               (struct conf_place){0}, SPAN_NONE);
            diag_field(diag, "addressType");
            diag_message(diag, "address type FQDN is not served; name hosts in an XBackend");
            diag_consequence(diag, "the endpoints of this slice are not used");
        }
    }
}

static void warn_empty(struct translation *tr, const struct tr_cluster_request *request)
{
    const struct conf_object *object = request->object;
    struct diag *diag =
        translate_diag(tr, DIAG_NO_ENDPOINTS, object, (struct conf_place){0}, SPAN_NONE);
    diag_consequence(diag, "requests for it are answered with 503");
    if (!request->port) {
        diag_message(diag, "the backend has no endpoint");
        return;
    }
    unsigned count, with_port = 0;
    const struct conf_object *const *slices =
        objects_slices(tr->objects, object->ns, object->name, &count);
    for (unsigned i = 0; i < count; i++)
        with_port += slice_port(slices[i]->endpoint_slice, request->port) > 0;
    if (count == 0)
        diag_message(diag,
                     "no EndpointSlice in namespace \"%.*s\" has the label "
                     "kubernetes.io/service-name: %.*s",
                     SPAN_ARG(object->ns), SPAN_ARG(object->name));
    else if (with_port == 0)
        diag_message(diag, "no EndpointSlice of the Service has a port named \"%.*s\" for port %u",
                     SPAN_ARG(request->port->name), request->port->port);
    else
        diag_message(diag, "port %u has no ready endpoint", request->port->port);
}

static void set_endpoints(struct translation *tr, const struct tr_cluster_request *request,
                          struct model_cluster *cluster)
{
    struct gathering all = {0};
    hmap_init(&all.seen, 0);
    if (request->port) {
        gather_slices(tr, request->object, request->port, &all);
    } else {
        const struct conf_xbackend *backend = request->object->xbackend;
        for (unsigned i = 0; i < backend->endpoints_count; i++)
            gather_add(tr, &all, backend->endpoints[i].host, backend->endpoints[i].port);
    }
    hmap_fini(&all.seen);
    if (all.count == 0)
        warn_empty(tr, request);
    cluster->endpoints = translate_settle(tr, all.items, all.count, sizeof(*all.items));
    cluster->endpoints_count = all.count;
}

static void hash_add(struct buf *buf, struct span s)
{
    buf_printf(buf, "%zu:", s.len);
    buf_add_span(buf, s);
}

/* Connections and sessions are shared by equal ids only, so all that makes an identity goes in.
 * The key of the hash is this process' own: ids cannot be made to meet. */
static struct span tls_id(struct translation *tr, const struct model_backend_tls *tls)
{
    struct buf buf;
    uint8_t digest[16];
    char hex[33];
    buf_init(&buf, 64u << 20);
    hash_add(&buf, tls->server_name);
    hash_add(&buf, tls->ca_pem);
    for (unsigned i = 0; i < tls->sans_count; i++) {
        buf_add_char(&buf, tls->sans[i].is_uri ? 'u' : 'h');
        hash_add(&buf, tls->sans[i].value);
    }
    hash_add(&buf, tls->has_client_cert ? tls->client_cert.cert_pem : SPAN_NONE);
    hash_add(&buf, tls->has_client_cert ? tls->client_cert.key_pem : SPAN_NONE);
    hash_add(&buf, tls->invalid_reason);
    ASSERT(buf_ok(&buf));
    hash_sip128(hash_process_key(), buf_span(&buf), digest);
    explicit_bzero(buf.data, buf.len);
    buf_fini(&buf);
    for (unsigned i = 0; i < sizeof(digest); i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    return arena_copy(tr->arena, span_make(hex, 32));
}

static void set_tls(struct translation *tr, const struct tr_cluster_request *request,
                    struct model_cluster *cluster)
{
    const struct conf_backend_tls_policy *conf = request->policy->object->backend_tls_policy;
    struct model_backend_tls *tls = &cluster->tls;
    cluster->has_tls = true;
    *tls = (struct model_backend_tls){
        .server_name = conf->hostname,
        .ca_pem = request->policy->ca_pem,
        .sans = conf->sans,
        .sans_count = conf->sans_count,
        .has_client_cert = request->gateway->has_client_cert,
        .client_cert = request->gateway->client_cert,
    };
    if (request->policy->rejected) {
        const struct conf_object *object = request->policy->object;
        bool is_named = object->name.len > 0;
        tls->invalid_reason =
            arena_printf(tr->arena, "BackendTLSPolicy %.*s%s%.*s: %.*s", SPAN_ARG(object->ns),
                         is_named ? "/" : "?", SPAN_ARG(object->name),
                         SPAN_ARG(request->policy->rejected_message));
    } else if (request->gateway->wants_client_cert && !request->gateway->has_client_cert) {
        tls->invalid_reason = arena_copy(tr->arena, request->gateway->unresolved.message);
    }
    tls->invalid = tls->invalid_reason.len > 0;
    tls->id = tls_id(tr, tls);
}

/* Without a demand a backend with TLS chooses. */
static enum model_cluster_protocol protocol_of(const struct tr_cluster_request *request,
                                               struct span app_protocol)
{
    static const char *const http1[] = {"kubernetes.io/ws", "kubernetes.io/wss", "http/1.1"};
    if (request->is_h2 || span_equal_str(app_protocol, H2C))
        return MODEL_CLUSTER_H2;
    for (size_t i = 0; i < ARRAY_COUNT(http1); i++)
        if (span_equal_str(app_protocol, http1[i]))
            return MODEL_CLUSTER_HTTP1;
    return request->policy ? MODEL_CLUSTER_EITHER : MODEL_CLUSTER_HTTP1;
}

static int build(struct translation *tr, const struct tr_cluster_request *request)
{
    const struct conf_object *object = request->object;
    const struct conf_service_port *port = request->port;
    struct span protocol = port ? port->app_protocol : object->xbackend->app_protocol;
    struct model_cluster cluster = {
        .ns = object->ns,
        .service = object->name,
        .port = port ? port->port : 0,
        .retry = translate_traffic_retry(tr, object),
        .protocol = protocol_of(request, protocol),
    };
    if (request->policy)
        set_tls(tr, request, &cluster);
    if (port)
        cluster.id = arena_printf(tr->arena, "%.*s/%.*s:%u", SPAN_ARG(object->ns),
                                  SPAN_ARG(object->name), port->port);
    else
        cluster.id = arena_printf(tr->arena, "%.*s/%.*s:xbackend", SPAN_ARG(object->ns),
                                  SPAN_ARG(object->name));
    if (request->is_h2 && !span_equal_str(protocol, H2C))
        cluster.id = arena_printf(tr->arena, "%.*s/h2", SPAN_ARG(cluster.id));
    if (cluster.has_tls)
        cluster.id =
            arena_printf(tr->arena, "%.*s+%.*s", SPAN_ARG(cluster.id), SPAN_ARG(cluster.tls.id));
    struct hmap_node *node = hmap_find(&tr->cluster_ids, cluster.id);
    if (node)
        return container_of(node, struct cluster_id, node)->index;
    set_endpoints(tr, request, &cluster);
    struct model *model = tr->model;
    model->clusters = translate_grow(model->clusters, model->clusters_count, &tr->clusters_cap,
                                     sizeof(*model->clusters));
    struct cluster_id *id = arena_new(&tr->scratch, struct cluster_id);
    ASSERT(id);
    id->index = (int)model->clusters_count;
    hmap_insert(&tr->cluster_ids, &id->node, cluster.id);
    model->clusters[model->clusters_count++] = cluster;
    return id->index;
}

int translate_cluster(struct translation *tr, const struct tr_cluster_request *request)
{
    bool is_per_gateway = request->policy && request->gateway->wants_client_cert;
    uintptr_t key[5] = {(uintptr_t)request->object, (uintptr_t)request->port,
                        (uintptr_t)request->policy,
                        is_per_gateway ? (uintptr_t)request->gateway : 0, request->is_h2};
    struct hmap_node *node = hmap_find(&tr->cluster_map, span_make(key, sizeof(key)));
    if (node)
        return container_of(node, struct cluster_entry, node)->index;
    struct cluster_entry *entry = arena_new(&tr->scratch, struct cluster_entry);
    ASSERT(entry);
    memcpy(entry->key, key, sizeof(key));
    entry->index = build(tr, request);
    hmap_insert(&tr->cluster_map, &entry->node, span_make(entry->key, sizeof(entry->key)));
    return entry->index;
}
