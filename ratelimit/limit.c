/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limit.h"

#include <endian.h>
#include <stdlib.h>

#include "base/metric.h"
#include "base/panic.h"
#include "io/addr.h"

static const char *const decision_names[LIMIT_DECISION_COUNT] = {
    [LIMIT_DECISION_OK] = "ok",
    [LIMIT_DECISION_LIMITED] = "limited",
    [LIMIT_DECISION_SHADOW] = "shadow",
    [LIMIT_DECISION_FALLBACK_OK] = "fallback_ok",
    [LIMIT_DECISION_FALLBACK_LIMITED] = "fallback_limited",
    [LIMIT_DECISION_STORE_ERROR] = "store_error",
};

/* Part of every shared key: changing it forgets all shared buckets. */
static const struct hash_key salt = {
    {'r', 'i', 'n', 'g', 'g', 'a', 't', 'e', '-', 'l', 'i', 'm', 'i', 't', '-', '1'},
};

static void series_init(struct limit *limit)
{
    char *policy = xasprintf("%.*s", SPAN_ARG(limit->model->policy));
    char *rule = xasprintf("%.*s", SPAN_ARG(limit->model->rule->name));
    for (unsigned i = 0; i < LIMIT_DECISION_COUNT; i++) {
        const char *labels[] = {policy, rule, decision_names[i]};
        limit->decisions[i] = metric_series_get(METRIC_FAMILY_RATELIMIT_DECISIONS, labels);
    }
    free(rule);
    free(policy);
}

static void names_init(struct limit *limit)
{
    const struct conf_limit_rule *rule = limit->model->rule;
    size_t size = 1, at = 0;
    for (unsigned i = 0; i < rule->keys_count; i++)
        size += rule->keys[i].name.len;
    limit->names = xmalloc(size);
    for (unsigned i = 0; i < rule->keys_count; i++) {
        span_lower_to(rule->keys[i].name, limit->names + at);
        at += rule->keys[i].name.len;
    }
}

void limit_init(struct limit *limit, const struct model_limit *model, bool has_store,
                struct span prefix)
{
    const struct conf_limit_rule *rule = model->rule;

    *limit = (struct limit){
        .model = model,
        .has_store = has_store,
        .is_synced = rule->on_store_failure == CONF_LIMIT_FAILURE_LOCAL,
    };
    gcra_init(&limit->gcra, rule->requests, rule->period_ns, rule->burst);
    struct hash_key key = *hash_process_key();
    if (has_store)
        hash_sip128(&salt, prefix, key.bytes);
    /* The scope goes into the key, so that a lookup hashes the values only. */
    hash_sip128(&key, model->scope_id, limit->key.bytes);
    limit->overflow = hash_sip(hash_process_key(), model->scope_id);
    names_init(limit);
    series_init(limit);
    if (has_store)
        remote_command_init(&limit->command, prefix, &limit->gcra);
}

void limit_fini(struct limit *limit)
{
    if (limit->has_store)
        remote_command_fini(&limit->command);
    free(limit->names);
    limit->names = NULL;
}

/* Key values in one piece: per part its kind, its length and its bytes, so that
 * no two lists of values read the same. */
#define VALUE_MAX 1024u
#define IMAGE_SIZE 4096u

struct image {
    const struct hash_key *key;
    size_t len;
    uint8_t bytes[IMAGE_SIZE];
};

static void image_digest(struct image *image)
{
    hash_sip128(image->key, span_make(image->bytes, image->len), image->bytes);
    image->len = 16;
}

static void image_add(struct image *image, uint8_t kind, struct span value)
{
    uint8_t digest[16];
    if (value.len > VALUE_MAX) {
        hash_sip128(image->key, value, digest);
        value = span_make(digest, sizeof(digest));
        kind |= 0x80;
    }
    if (image->len + 3 + value.len > sizeof(image->bytes))
        image_digest(image);
    image->bytes[image->len++] = kind;
    image->bytes[image->len++] = (uint8_t)(value.len >> 8);
    image->bytes[image->len++] = (uint8_t)value.len;
    if (value.len > 0)
        memcpy(image->bytes + image->len, value.ptr, value.len);
    image->len += value.len;
}

/* The client's network; false: it has no IP. */
static bool client_network(const struct conf_limit_key *key, const struct addr *client,
                           uint8_t ip[16], struct span *ret)
{
    if (client == NULL || client->len == 0)
        return false;
    struct addr addr = *client;
    addr_unmap(&addr);
    size_t len = addr_ip_bytes(&addr, ip);
    if (len == 0)
        return false;
    unsigned bits =
        len == 4 ? MIN((unsigned)key->v4_prefix, 32u) : MIN((unsigned)key->v6_prefix, 128u);
    for (unsigned i = 0; i < len; i++) {
        unsigned kept = bits > i * 8 ? MIN(bits - i * 8, 8u) : 0;
        ip[i] &= (uint8_t)(0xff00u >> kept);
    }
    *ret = span_make(ip, len);
    return true;
}

/* false: missing. storage: 16 bytes. */
static bool part_value(const struct conf_limit_key *key, struct span name,
                       const struct limit_query *query, uint8_t *storage, struct span *ret)
{
    switch (key->type) {
    case CONF_LIMIT_KEY_CLIENT_IP:
        return client_network(key, query->client, storage, ret);
    case CONF_LIMIT_KEY_HEADER:
        return query->header != NULL && query->header(query->user, name, ret);
    case CONF_LIMIT_KEY_PATH:
        *ret = query->path;
        return true;
    case CONF_LIMIT_KEY_SPIFFE_ID:
        *ret = query->spiffe_id;
        return ret->len > 0;
    }
    UNREACHABLE();
}

enum limit_match limit_match(const struct limit *limit, const struct limit_query *query,
                             struct local_limit_id *ret)
{
    const struct conf_limit_rule *rule = limit->model->rule;
    struct image image UNFILLED;
    size_t name_at = 0;

    if (rule->unlimited)
        return LIMIT_MATCH_SKIPPED;
    image.key = &limit->key;
    image.len = 0;
    for (unsigned i = 0; i < rule->keys_count; i++) {
        const struct conf_limit_key *key = &rule->keys[i];
        struct span name = span_make(limit->names + name_at, key->name.len), value = SPAN_NONE;
        uint8_t storage[16];
        name_at += key->name.len;
        if (part_value(key, name, query, storage, &value)) {
            image_add(&image, (uint8_t)(1 + key->type), value);
            continue;
        }
        if (key->on_missing == CONF_LIMIT_MISSING_SKIP)
            return LIMIT_MATCH_SKIPPED;
        if (key->on_missing == CONF_LIMIT_MISSING_DENY)
            return LIMIT_MATCH_REFUSED;
        image_add(&image, 0, SPAN_NONE); /* Empty: one bucket for all without */
    }
    image_digest(&image);
    /* Big endian: the words, and so the text in the store, are the same on every machine. */
    memcpy(ret->words, image.bytes, sizeof(ret->words));
    ret->words[0] = be64toh(ret->words[0]);
    ret->words[1] = be64toh(ret->words[1]);
    ret->overflow = limit->overflow;
    return LIMIT_MATCH_APPLIES;
}

void limit_count(const struct limit *limit, enum limit_decision decision)
{
    metric_series_add(limit->decisions[decision], 1);
}
