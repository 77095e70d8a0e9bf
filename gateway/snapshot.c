/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/pages.h"
#include "conf/translate.h"
#include "gateway/cert_report.h"
#include "routing/cluster.h"
#include "tls/cert.h"

/* Listeners are grouped by what is bound: first every address:port with the
 * listeners that want it, then groups with the same listeners become one port
 * with several addresses (0.0.0.0 and :: as a rule), so that tables are
 * compiled once. */
struct port_group {
    struct addr addr;
    const struct model_listener **listeners;
    unsigned count;
};

struct snapshot_builder {
    struct snapshot *snapshot;
    struct diags *diags;
    struct statuses *statuses;
    struct cert_report certs;
    struct port_group *groups;
    unsigned groups_count, groups_cap;
};

static struct port_group *builder_group(struct snapshot_builder *b, const struct addr *addr)
{
    for (unsigned i = 0; i < b->groups_count; i++)
        if (addr_equal(&b->groups[i].addr, addr))
            return &b->groups[i];
    if (b->groups_count == b->groups_cap) {
        b->groups_cap = b->groups_cap ? b->groups_cap * 2 : 16;
        b->groups = xrealloc(b->groups, b->groups_cap * sizeof(*b->groups));
    }
    struct port_group *group = &b->groups[b->groups_count++];
    *group = (struct port_group){.addr = *addr};
    return group;
}

static void builder_add_listener(struct snapshot_builder *b, const struct model_listener *listener)
{
    for (unsigned i = 0; i < listener->addresses_count; i++) {
        struct addr addr;
        if (addr_from_ip(listener->addresses[i], listener->port, &addr) != 0)
            continue; /* the translator has reported it */
        struct port_group *group = builder_group(b, &addr);
        group->listeners =
            xrealloc(group->listeners, (group->count + 1) * sizeof(*group->listeners));
        group->listeners[group->count++] = listener;
    }
}

static bool group_matches_port(const struct port_group *group, const struct snapshot_port *port)
{
    return port->listeners_count == group->count &&
           memcmp(port->listeners, group->listeners, group->count * sizeof(*group->listeners)) == 0;
}

static void snapshot_bad_cert(void *user, const struct model_listener *listener,
                              const struct err *err)
{
    struct snapshot_builder *b = user;
    struct status_listener_id id = {listener->gateway_ns, listener->gateway, listener->name};
    bool is_served = false;
    for (unsigned i = 0; i < listener->certs_count; i++) {
        const struct model_cert *cert = &listener->certs[i];
        struct err ignored;
        is_served =
            is_served || cert_check_pair(cert->cert_pem, cert->key_pem, NULL, &ignored) == 0;
        cert_report_pair(&b->certs, cert, "InvalidCertificateRef",
                         "listeners do without this certificate");
    }
    if (listener->frontend.validate) {
        struct err ignored;
        is_served = is_served && cert_check_bundle(listener->frontend.ca_pem, NULL, &ignored) == 0;
        cert_report_authority(&b->certs, listener->frontend.ca_pem, "no client is trusted");
    }
    statuses_set_listener_cert_invalid(b->statuses, &id, is_served, span_str(err->text));
}

static void port_compile(struct snapshot_builder *b, struct snapshot_port *port)
{
    port->listener = port->listeners[0];
    port->protocol = port->listener->protocol;
    port->proxy_protocol = port->listener->proxy_protocol;
    if (port->protocol == MODEL_PROTOCOL_TCP) {
        port->cursors_count = 1;
        return;
    }
    /* No rule is refused: the translator has left out those that cannot be compiled. */
    port->routes = route_table_compile(port->listeners, port->listeners_count, NULL, NULL);
    if (port->routes == NULL)
        panic(__FILE__, __LINE__, "out of memory while compiling routes");
    if (port->protocol == MODEL_PROTOCOL_HTTPS)
        port->tls =
            tls_server_compile(port->listeners, port->listeners_count, snapshot_bad_cert, b);
    port->rules = rules_compile(port->routes, &b->snapshot->arena, &port->cursors_count);
}

static void builder_port(struct snapshot_builder *b, const struct port_group *group)
{
    struct snapshot *s = b->snapshot;
    for (unsigned i = 0; i < s->ports_count; i++) {
        if (!group_matches_port(group, &s->ports[i]))
            continue;
        s->ports[i].addrs[s->ports[i].addrs_count++] = group->addr;
        return;
    }
    struct snapshot_port *port = &s->ports[s->ports_count++];
    port->addrs = arena_array(&s->arena, struct addr, b->groups_count);
    port->addrs[port->addrs_count++] = group->addr;
    port->listeners = arena_array(&s->arena, const struct model_listener *, group->count);
    memcpy(port->listeners, group->listeners, group->count * sizeof(*group->listeners));
    port->listeners_count = group->count;
    port_compile(b, port);
}

static void builder_cluster(struct snapshot_builder *b, unsigned index)
{
    const struct model_cluster *conf = &b->snapshot->model->clusters[index];
    struct snapshot_cluster *cluster = &b->snapshot->clusters[index];
    struct err err;

    if (!conf->has_tls)
        return;
    cluster->tls_invalid = conf->tls.invalid;
    if (cluster->tls_invalid || tls_client_compile(&conf->tls, &cluster->tls, &err) == 0)
        return;
    cluster->tls_invalid = true;
    unsigned told = b->diags->errors;
    cert_report_authority(&b->certs, conf->tls.ca_pem, "backends of it answer 503");
    if (conf->tls.has_client_cert)
        cert_report_pair(&b->certs, &conf->tls.client_cert, "InvalidClientCertificateRef",
                         "backends that are reached with it answer 503");
    if (b->diags->errors > told)
        return;
    struct diag *diag = diags_add(b->diags, DIAG_POLICY_CA_INVALID, NULL, (struct conf_pos){0});
    snprintf(diag->object, sizeof(diag->object), "Service %.*s/%.*s", SPAN_ARG(conf->ns),
             SPAN_ARG(conf->service));
    diag_message(diag, "TLS to this backend cannot be set up: %s", err.text);
    diag_consequence(diag, "requests to this backend answer 503, others are unaffected");
}

struct snapshot *snapshot_build(struct model *model, const struct snapshot *last,
                                struct diags *diags, struct statuses *statuses)
{
    struct snapshot *s = xcalloc(1, sizeof(*s));
    struct snapshot_builder b = {.snapshot = s, .diags = diags, .statuses = statuses};

    cert_report_init(&b.certs, model, diags, 0);
    s->generation = model->generation;
    s->model = model;
    s->refs = 1;
    arena_init(&s->arena, 65536, 0, &pages_source);
    s->clusters = arena_array(&s->arena, struct snapshot_cluster, model->clusters_count);
    for (unsigned i = 0; i < model->clusters_count; i++)
        builder_cluster(&b, i);
    if (last != NULL)
        s->same_clusters = arena_array(&s->arena, int32_t, model->clusters_count);
    if (s->same_clusters != NULL)
        cluster_compare(last->model, model, s->same_clusters);
    for (unsigned i = 0; i < model->listeners_count; i++)
        builder_add_listener(&b, &model->listeners[i]);
    s->ports = arena_array(&s->arena, struct snapshot_port, b.groups_count);
    for (unsigned i = 0; i < b.groups_count; i++) {
        builder_port(&b, &b.groups[i]);
        free(b.groups[i].listeners);
    }
    free(b.groups);
    cert_report_fini(&b.certs);
    if (!arena_ok(&s->arena))
        panic(__FILE__, __LINE__, "out of memory while building a snapshot");
    return s;
}

void snapshot_ref(struct snapshot *snapshot)
{
    __atomic_add_fetch(&snapshot->refs, 1, __ATOMIC_RELAXED);
}

bool snapshot_unref(struct snapshot *snapshot)
{
    /* Release: what this thread did with the snapshot comes before; acquire: the last one sees it.
     */
    return __atomic_sub_fetch(&snapshot->refs, 1, __ATOMIC_ACQ_REL) == 0;
}

void snapshot_free(struct snapshot *snapshot)
{
    ASSERT(snapshot->refs == 0);
    for (unsigned i = 0; i < snapshot->ports_count; i++) {
        uint32_t rules = snapshot->ports[i].routes != NULL
                             ? route_table_rules_count(snapshot->ports[i].routes)
                             : 0;
        for (uint32_t j = 0; j < rules; j++)
            rule_fini(&snapshot->ports[i].rules[j]);
        route_table_free(snapshot->ports[i].routes);
        tls_server_spec_free(snapshot->ports[i].tls);
    }
    for (unsigned i = 0; i < snapshot->model->clusters_count; i++)
        tls_client_spec_free(snapshot->clusters[i].tls);
    arena_fini(&snapshot->arena);
    model_free(snapshot->model);
    free(snapshot);
}
