/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/cert_watch.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/hmap.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/panic.h"
#include "tls/cert.h"

#define DAY_S INT64_C(86400)

/* A certificate in use, by its object: "Secret/namespace/name". */
struct watched {
    struct hmap_node node;
    uint64_t digest; /* of the PEM text */
    int64_t not_after, life_s; /* of the leaf, seconds since 1970; from its beginning */
    unsigned warned; /* stages that were told */
    struct metric_series *series;
    bool is_seen;
    char id[];
};

struct cert_watch {
    struct hmap certs;
};

struct cert_watch *cert_watch_new(void)
{
    struct cert_watch *watch = xcalloc(1, sizeof(*watch));
    hmap_init(&watch->certs, 0);
    return watch;
}

static void watched_drop(struct cert_watch *watch, struct watched *cert)
{
    metric_series_hide(cert->series);
    hmap_remove(&watch->certs, &cert->node);
    free(cert);
}

void cert_watch_free(struct cert_watch *watch)
{
    if (watch == NULL)
        return;
    for (struct hmap_node *node; (node = hmap_next(&watch->certs, NULL)) != NULL;)
        watched_drop(watch, container_of(node, struct watched, node));
    hmap_fini(&watch->certs);
    free(watch);
}

static struct watched *watched_new(struct cert_watch *watch, struct span id)
{
    struct watched *cert = xcalloc(1, sizeof(*cert) + id.len + 1);
    struct span kind, ns, name;
    memcpy(cert->id, id.ptr, id.len);
    (void)span_split(span_str(cert->id), '/', &kind, &name);
    (void)span_split(name, '/', &ns, &name);
    char *kind_text = xasprintf("%.*s", SPAN_ARG(kind)), *ns_text = xasprintf("%.*s", SPAN_ARG(ns));
    const char *labels[] = {kind_text, ns_text, name.len > 0 ? name.ptr : ""};
    cert->series = metric_series_get(METRIC_FAMILY_CERT_NOT_AFTER, labels);
    hmap_insert(&watch->certs, &cert->node, span_make(cert->id, id.len));
    free(kind_text);
    free(ns_text);
    return cert;
}

static void watch_cert(struct cert_watch *watch, const struct model_cert *model)
{
    struct hmap_node *node = hmap_find(&watch->certs, model->id);
    struct watched *cert =
        node != NULL ? container_of(node, struct watched, node) : watched_new(watch, model->id);
    uint64_t digest = hash_fast(model->cert_pem, 1);
    struct cert_info info;

    cert->is_seen = true;
    if (cert->digest == digest)
        return;
    cert->digest = digest;
    if (cert_validity(model->cert_pem, &info) != 0) {
        metric_series_hide(cert->series); /* it is not served; a finding tells */
        cert->not_after = INT64_MAX;
        return;
    }
    if (info.not_after != cert->not_after)
        cert->warned = 0;
    cert->not_after = info.not_after;
    cert->life_s = info.not_after - info.not_before;
    metric_series_set(cert->series, info.not_after);
}

void cert_watch_apply(struct cert_watch *watch, const struct model *model, int64_t now_s)
{
    for (unsigned i = 0; i < model->listeners_count; i++)
        for (unsigned j = 0; j < model->listeners[i].certs_count; j++)
            watch_cert(watch, &model->listeners[i].certs[j]);
    for (unsigned i = 0; i < model->clusters_count; i++)
        if (model->clusters[i].has_tls && model->clusters[i].tls.has_client_cert)
            watch_cert(watch, &model->clusters[i].tls.client_cert);
    for (unsigned i = 0; i < model->stores_count; i++)
        if (model->stores[i].has_client_cert)
            watch_cert(watch, &model->stores[i].client_cert);
    for (struct hmap_node *node = hmap_next(&watch->certs, NULL); node != NULL;) {
        struct watched *cert = container_of(node, struct watched, node);
        node = hmap_next(&watch->certs, node);
        if (!cert->is_seen)
            watched_drop(watch, cert);
        else
            cert->is_seen = false;
    }
    (void)cert_watch_look(watch, now_s);
}

unsigned cert_watch_look(struct cert_watch *watch, int64_t now_s)
{
    static const int64_t days[] = {30, 7, 1, 0};
    unsigned told = 0;
    for (struct hmap_node *node = hmap_next(&watch->certs, NULL); node != NULL;
         node = hmap_next(&watch->certs, node)) {
        struct watched *cert = container_of(node, struct watched, node);
        int64_t left_s = cert->not_after - now_s;
        unsigned stage = 0;
        while (stage < ARRAY_COUNT(days) && left_s <= MIN(days[stage] * DAY_S, cert->life_s / 3))
            stage++;
        if (stage <= cert->warned)
            continue;
        cert->warned = stage;
        told++;
        if (left_s <= 0)
            log_event(LOG_LEVEL_ERROR, "a certificate in use has expired",
                      LOG_STR("object", cert->id));
        else
            log_event(LOG_LEVEL_WARN, "a certificate in use expires soon",
                      LOG_STR("object", cert->id), LOG_INT("hours", left_s / 3600));
    }
    return told;
}
