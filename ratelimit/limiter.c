/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limiter.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/panic.h"
#include "io/loop.h"
#include "ratelimit/limiter_int.h"

#define SETTINGS_BYTES_MAX (8u << 20)

struct limiter *limiter_new(const struct limiter_options *options)
{
    ASSERT(options->loop != NULL && options->local != NULL);
    struct limiter *limiter = xcalloc(1, sizeof(*limiter));
    limiter->options = *options;
    dlist_init(&limiter->sets);
    limit_check_pools_init(limiter);
    return limiter;
}

void limiter_set_unref(struct limit_set *set)
{
    ASSERT(set->refs > 0);
    if (--set->refs > 0)
        return;
    dlist_remove(&set->link);
    for (unsigned i = 0; i < set->count; i++)
        limit_fini(&set->limits[i]);
    free(set->limits);
    free(set);
}

/* Nobody may ask this store any more, not even checks on older models. */
static void remote_forget(struct limiter *limiter, struct remote_limit *remote)
{
    dlist_foreach(link, next, &limiter->sets)
    {
        struct limit_set *set = dlist_entry(link, struct limit_set, link);
        for (unsigned i = 0; i < set->count; i++) {
            if (set->limits[i].remote == remote)
                set->limits[i].remote = NULL;
        }
    }
    remote_limit_free(remote);
}

static void settings_add(struct buf *out, struct span s)
{
    buf_add(out, &s.len, sizeof(s.len));
    buf_add_span(out, s);
}

/* Two stores with the same digest may share a connection. */
static void store_digest(const struct model_store *store, uint8_t out[16])
{
    const struct conf_rate_limit_store *conf = store->conf;
    const uint64_t numbers[] = {conf->has_tls, store->has_client_cert, conf->database,
                                conf->connect_timeout_ns, conf->deadline_ns};
    struct buf text;

    buf_init(&text, SETTINGS_BYTES_MAX);
    settings_add(&text, store->id);
    for (unsigned i = 0; i < conf->endpoints_count; i++)
        settings_add(&text, conf->endpoints[i]);
    settings_add(&text, store->username);
    settings_add(&text, store->password);
    settings_add(&text, store->ca_pem);
    settings_add(&text, store->client_cert.cert_pem);
    settings_add(&text, store->client_cert.key_pem);
    settings_add(&text, conf->server_name);
    settings_add(&text, conf->key_prefix);
    settings_add(&text, span_make(numbers, sizeof(numbers)));
    hash_sip128(hash_process_key(), buf_span(&text), out);
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    buf_fini(&text);
}

static struct remote_limit *store_take(struct limiter *limiter, const uint8_t digest[16])
{
    for (unsigned i = 0; i < limiter->stores_count; i++) {
        struct limiter_store *store = &limiter->stores[i];
        if (store->remote == NULL || memcmp(store->digest, digest, 16) != 0)
            continue;
        struct remote_limit *remote = store->remote;
        store->remote = NULL;
        return remote;
    }
    return NULL;
}

static struct limiter_store *stores_build(struct limiter *limiter, const struct model *model)
{
    struct limiter_store *stores = xcalloc(model->stores_count + 1, sizeof(*stores));
    for (unsigned i = 0; i < model->stores_count; i++) {
        const struct model_store *store = &model->stores[i];
        struct remote_limit_options options = {
            .loop = limiter->options.loop,
            .store = store,
            .make_tls = limiter->options.make_tls,
            .user = limiter->options.user,
            .resolver = limiter->options.resolver,
        };
        store_digest(store, stores[i].digest);
        stores[i].remote = store_take(limiter, stores[i].digest);
        if (stores[i].remote != NULL)
            remote_limit_set_store(stores[i].remote, store);
        else
            stores[i].remote = remote_limit_new(&options);
    }
    return stores;
}

static struct limit_set *set_build(struct limiter *limiter, const struct model *model)
{
    struct limit_set *set = xcalloc(1, sizeof(*set));
    set->refs = 1;
    set->count = model->limits_count;
    set->limits = xcalloc(set->count + 1, sizeof(*set->limits));
    for (unsigned i = 0; i < set->count; i++) {
        const struct model_limit *limit = &model->limits[i];
        bool has_store = limit->rule->is_global && limit->store != MODEL_STORE_NONE;
        bool is_lost = limit->store < 0;
        ASSERT(limit->store < (int)model->stores_count);
        struct span prefix =
            has_store && !is_lost ? model->stores[limit->store].conf->key_prefix : SPAN_NONE;
        limit_init(&set->limits[i], limit, has_store, prefix);
        if (has_store && !is_lost)
            set->limits[i].remote = limiter->stores[limit->store].remote;
    }
    dlist_push_back(&limiter->sets, &set->link);
    return set;
}

static void stores_drop(struct limiter *limiter, struct limiter_store *stores, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (stores[i].remote != NULL)
            remote_forget(limiter, stores[i].remote);
    }
    free(stores);
}

void limiter_apply(struct limiter *limiter, const struct model *model)
{
    struct limiter_store *old_stores = limiter->stores;
    unsigned old_count = limiter->stores_count;
    struct limit_set *old_set = limiter->set;

    limiter->stores = stores_build(limiter, model);
    limiter->stores_count = model->stores_count;
    limiter->set = set_build(limiter, model);
    stores_drop(limiter, old_stores, old_count);
    if (old_set != NULL)
        limiter_set_unref(old_set);
}

void limiter_free(struct limiter *limiter)
{
    if (limiter == NULL)
        return;
    struct limiter_store *stores = limiter->stores;
    unsigned count = limiter->stores_count;
    limiter->stores = NULL;
    limiter->stores_count = 0;
    stores_drop(limiter, stores, count);
    if (limiter->set != NULL)
        limiter_set_unref(limiter->set);
    limiter->set = NULL;
    ASSERT(dlist_is_empty(&limiter->sets));
    limit_check_pools_fini(limiter);
    free(limiter);
}
