/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/last_good.h"

#include <stdlib.h>

#include "base/hmap.h"
#include "tls/cert.h"

/* What an object may hold that only tls/ can judge. */
enum { PART_PAIR = 1, PART_CA = 2 };

struct good_object {
    struct hmap_node node; /* key: "Kind/namespace/name", in `key` */
    struct conf_object *object;
    char *key;
    unsigned parts; /* that are good in it */
    bool seen; /* in the set that is looked at */
};

struct last_good {
    struct hmap objects;
    struct objects *kept; /* of the last set: broken ones that others stand for */
};

struct last_good *last_good_new(void)
{
    struct last_good *keeper = xcalloc(1, sizeof(*keeper));
    hmap_init(&keeper->objects, 0);
    keeper->kept = objects_new();
    objects_seal(keeper->kept);
    return keeper;
}

static void good_drop(struct last_good *keeper, struct good_object *good)
{
    hmap_remove(&keeper->objects, &good->node);
    conf_object_unref(good->object);
    free(good->key);
    free(good);
}

void last_good_free(struct last_good *keeper)
{
    if (keeper == NULL)
        return;
    for (struct hmap_node *node; (node = hmap_next(&keeper->objects, NULL)) != NULL;)
        good_drop(keeper, container_of(node, struct good_object, node));
    hmap_fini(&keeper->objects);
    objects_unref(keeper->kept);
    free(keeper);
}

const struct objects *last_good_kept(const struct last_good *keeper)
{
    return keeper->kept;
}

/* NULL: there is no such key. */
static const struct conf_pair *data_find(const struct conf_object *object, const char *key)
{
    bool is_secret = object->kind == CONF_KIND_SECRET;
    const struct conf_pair *data = is_secret ? object->secret->data : object->config_map->data;
    unsigned count = is_secret ? object->secret->data_count : object->config_map->data_count;
    for (unsigned i = 0; i < count; i++) {
        if (span_equal_str(data[i].key, key))
            return &data[i];
    }
    return NULL;
}

static struct span data_value(const struct conf_object *object, const char *key)
{
    const struct conf_pair *pair = data_find(object, key);
    return pair != NULL ? pair->value : SPAN_NONE;
}

static bool is_tls_secret(const struct conf_object *object)
{
    return object->kind == CONF_KIND_SECRET &&
           (span_equal_str(object->secret->type, "kubernetes.io/tls") ||
            data_value(object, "tls.key").len > 0);
}

/* The set's own references are const; an object is immutable but for its count. */
static struct conf_object *object_ref(const struct conf_object *object)
{
    return conf_object_ref((struct conf_object *)(uintptr_t)object);
}

/* What of an object is good and what is not; what it does not have is neither. */
struct judgement {
    unsigned good, broken;
    struct err pair_err, ca_err;
};

static void judge(const struct conf_object *object, struct judgement *ret)
{
    *ret = (struct judgement){0};
    const struct conf_pair *ca = data_find(object, "ca.crt");
    if (is_tls_secret(object)) {
        int r = cert_check_pair(data_value(object, "tls.crt"), data_value(object, "tls.key"), NULL,
                                &ret->pair_err);
        *(r == 0 ? &ret->good : &ret->broken) |= PART_PAIR;
    }
    if (ca != NULL) {
        int r = cert_check_bundle(ca->value, NULL, &ret->ca_err);
        *(r == 0 ? &ret->good : &ret->broken) |= PART_CA;
    }
}

/* Takes the key over when good is NULL. */
static struct good_object *good_keep(struct last_good *keeper, struct good_object *good,
                                     const struct conf_object *object, char **key)
{
    if (good == NULL) {
        good = xcalloc(1, sizeof(*good));
        good->key = *key;
        *key = NULL;
        hmap_insert(&keeper->objects, &good->node, span_str(good->key));
    } else {
        conf_object_unref(good->object);
    }
    good->object = object_ref(object);
    return good;
}

static void report(const struct conf_object *object, const struct judgement *found, unsigned parts,
                   struct diags *diags)
{
    bool is_pair = (parts & PART_PAIR) != 0;
    struct diag *diag =
        diags_add(diags, is_pair ? DIAG_KEY_MISMATCH : DIAG_CA_INVALID, object, object->pos);
    diag_field(diag, "data[%s]", is_pair ? "tls.crt" : "ca.crt");
    diag_message(diag, "%s", is_pair ? found->pair_err.text : found->ca_err.text);
    diag_consequence(diag, "the last good %s stays in use; all else is unaffected",
                     is_pair ? "certificate" : "authority");
}

/* The last good version when `object` breaks what was good in it, else NULL. */
static struct conf_object *object_check(struct last_good *keeper, const struct conf_object *object,
                                        struct diags *diags)
{
    char *key = xasprintf("%s/%.*s/%.*s", conf_kind_name(object->kind), SPAN_ARG(object->ns),
                          SPAN_ARG(object->name));
    struct hmap_node *node = hmap_find(&keeper->objects, span_str(key));
    struct good_object *good = node != NULL ? container_of(node, struct good_object, node) : NULL;
    struct conf_object *instead = NULL;
    struct judgement found;

    if (good == NULL || good->object != object) {
        judge(object, &found);
        unsigned lost = good != NULL ? good->parts & found.broken : 0;
        if (lost != 0) {
            instead = good->object;
            report(object, &found, lost, diags);
        } else if (found.good != 0) {
            good = good_keep(keeper, good, object, &key);
            good->parts = found.good;
        } else {
            good = NULL; /* nothing that could be kept: what was there is forgotten */
        }
    }
    if (good != NULL)
        good->seen = true;
    free(key);
    return instead;
}

/* Objects that left the configuration are forgotten. */
static void last_good_sweep(struct last_good *keeper)
{
    for (struct hmap_node *node = hmap_next(&keeper->objects, NULL); node != NULL;) {
        struct good_object *good = container_of(node, struct good_object, node);
        node = hmap_next(&keeper->objects, node);
        if (!good->seen)
            good_drop(keeper, good);
        else
            good->seen = false;
    }
}

static void add(struct objects *set, const struct conf_object *object)
{
    struct conf_object *reference = object_ref(object);
    if (objects_add(set, reference, NULL) != 0)
        UNREACHABLE(); /* names were unique in the set it is from */
    conf_object_unref(reference);
}

/* The set with the last good versions of a kind in `instead`, where kept has the broken ones. */
static struct objects *replace(const struct objects *set, const struct objects *kept,
                               const struct objects *instead)
{
    struct objects *result = objects_new();
    for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
        unsigned count;
        const struct conf_object *const *list = objects_list(set, (enum conf_kind)kind, &count);
        for (unsigned i = 0; i < count; i++) {
            bool is_kept = objects_find(kept, list[i]->kind, list[i]->ns, list[i]->name) != NULL;
            add(result, is_kept ? objects_find(instead, list[i]->kind, list[i]->ns, list[i]->name)
                                : list[i]);
        }
    }
    objects_seal(result);
    return result;
}

struct objects *last_good_apply(struct last_good *keeper, struct objects *set, struct diags *diags)
{
    static const enum conf_kind kinds[] = {CONF_KIND_SECRET, CONF_KIND_CONFIG_MAP};
    struct objects *instead = objects_new(), *kept = objects_new();
    for (unsigned k = 0; k < ARRAY_COUNT(kinds); k++) {
        unsigned count;
        const struct conf_object *const *list = objects_list(set, kinds[k], &count);
        for (unsigned i = 0; i < count; i++) {
            const struct conf_object *other = object_check(keeper, list[i], diags);
            if (other == NULL)
                continue;
            add(instead, other);
            add(kept, list[i]);
        }
    }
    last_good_sweep(keeper);
    objects_seal(instead);
    objects_seal(kept);
    struct objects *result =
        objects_count(kept) > 0 ? replace(set, kept, instead) : objects_ref(set);
    objects_unref(instead);
    objects_unref(keeper->kept);
    keeper->kept = kept;
    return result;
}
