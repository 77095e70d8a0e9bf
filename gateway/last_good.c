/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/last_good.h"

#include <stdlib.h>

#include "base/hmap.h"
#include "tls/cert.h"

struct good_secret {
    struct hmap_node node; /* key: "namespace/name", in `key` */
    struct conf_object *object;
    char *key;
    bool seen; /* in the set that is looked at */
};

struct last_good {
    struct hmap secrets;
};

struct last_good *last_good_new(void)
{
    struct last_good *keeper = xcalloc(1, sizeof(*keeper));
    hmap_init(&keeper->secrets, 0);
    return keeper;
}

static void good_secret_drop(struct last_good *keeper, struct good_secret *good)
{
    hmap_remove(&keeper->secrets, &good->node);
    conf_object_unref(good->object);
    free(good->key);
    free(good);
}

void last_good_free(struct last_good *keeper)
{
    if (keeper == NULL)
        return;
    for (struct hmap_node *node; (node = hmap_next(&keeper->secrets, NULL)) != NULL;)
        good_secret_drop(keeper, container_of(node, struct good_secret, node));
    hmap_fini(&keeper->secrets);
    free(keeper);
}

static struct span secret_data(const struct conf_object *object, const char *key)
{
    const struct conf_secret *secret = object->secret;
    for (unsigned i = 0; i < secret->data_count; i++)
        if (span_equal_str(secret->data[i].key, key))
            return secret->data[i].value;
    return SPAN_NONE;
}

static bool is_tls_secret(const struct conf_object *object)
{
    return span_equal_str(object->secret->type, "kubernetes.io/tls") ||
           secret_data(object, "tls.key").len > 0;
}

/* The set's own references are const; an object is immutable but for its count. */
static struct conf_object *object_ref(const struct conf_object *object)
{
    return conf_object_ref((struct conf_object *)(uintptr_t)object);
}

static void good_secret_keep(struct last_good *keeper, struct good_secret *good,
                             const struct conf_object *object, const char *key)
{
    if (good == NULL) {
        good = xcalloc(1, sizeof(*good));
        good->key = xstrdup(key);
        hmap_insert(&keeper->secrets, &good->node, span_str(good->key));
    } else {
        conf_object_unref(good->object);
    }
    good->object = object_ref(object);
    good->seen = true;
}

/* The last good version when `object` is broken and there is one, else NULL. */
static struct conf_object *secret_check(struct last_good *keeper, const struct conf_object *object,
                                        struct diags *diags)
{
    char *key = xasprintf("%.*s/%.*s", SPAN_ARG(object->ns), SPAN_ARG(object->name));
    struct hmap_node *node = hmap_find(&keeper->secrets, span_str(key));
    struct good_secret *good = node != NULL ? container_of(node, struct good_secret, node) : NULL;
    struct conf_object *instead = NULL;
    struct err err;

    if (good != NULL && good->object == object) {
        good->seen = true;
    } else if (cert_check_pair(secret_data(object, "tls.crt"), secret_data(object, "tls.key"), NULL,
                               &err) == 0) {
        good_secret_keep(keeper, good, object, key);
    } else if (good != NULL) {
        good->seen = true;
        instead = good->object;
        struct diag *diag = diags_add(diags, DIAG_CERTIFICATE_INVALID, object, object->pos);
        diag_message(diag, "%s", err.text);
        diag_condition(diag, "the last good certificate is still served, all else is unaffected");
    }
    free(key);
    return instead;
}

/* Secrets that left the configuration are forgotten. */
static void last_good_sweep(struct last_good *keeper)
{
    for (struct hmap_node *node = hmap_next(&keeper->secrets, NULL); node != NULL;) {
        struct good_secret *good = container_of(node, struct good_secret, node);
        node = hmap_next(&keeper->secrets, node);
        if (!good->seen)
            good_secret_drop(keeper, good);
        else
            good->seen = false;
    }
}

struct objects *last_good_apply(struct last_good *keeper, struct objects *set, struct diags *diags)
{
    unsigned count, replaced = 0;
    const struct conf_object *const *secrets = objects_list(set, CONF_KIND_SECRET, &count);
    struct conf_object **instead = xcalloc(count + 1, sizeof(struct conf_object *));

    for (unsigned i = 0; i < count; i++) {
        if (is_tls_secret(secrets[i]))
            instead[i] = secret_check(keeper, secrets[i], diags);
        replaced += instead[i] != NULL;
    }
    last_good_sweep(keeper);
    struct objects *result = set;
    if (replaced == 0) {
        objects_ref(set);
    } else {
        result = objects_new();
        for (unsigned kind = 0; kind < CONF_KIND_COUNT; kind++) {
            unsigned n;
            const struct conf_object *const *list = objects_list(set, (enum conf_kind)kind, &n);
            for (unsigned i = 0; i < n; i++) {
                bool other = kind == CONF_KIND_SECRET && instead[i] != NULL;
                struct conf_object *object = other ? object_ref(instead[i]) : object_ref(list[i]);
                if (objects_add(result, object, NULL) != 0)
                    UNREACHABLE(); /* names were unique in the set */
                conf_object_unref(object);
            }
        }
        objects_seal(result);
    }
    free(instead);
    return result;
}
