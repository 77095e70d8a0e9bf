/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

#include <stdio.h>

#include "conf/objects.h"

/* Annotations of our own, for what the API has no field for. */

#define PREFIX CONF_GROUP_OWN "/"
#define VALUE_SHOWN_MAX 100

/* Those that a kind has; NULL ends them. */
static const char *const known[CONF_KIND_COUNT][2] = {
    [CONF_KIND_GATEWAY] = {SCHEMA_ANNOTATION_PROXY},
    [CONF_KIND_HTTP_ROUTE] = {SCHEMA_ANNOTATION_IDLE},
    [CONF_KIND_GRPC_ROUTE] = {SCHEMA_ANNOTATION_IDLE},
    [CONF_KIND_SECRET] = {SCHEMA_ANNOTATION_FILES},
    [CONF_KIND_CONFIG_MAP] = {SCHEMA_ANNOTATION_FILES},
};

const struct doc_node *schema_annotation(const struct doc_node *root, const char *name)
{
    const struct doc_node *node =
        doc_find(doc_find(doc_find(root, "metadata"), "annotations"), name);
    bool is_string = node != NULL && node->type == DOC_SCALAR && doc_tag_of(node) == DOC_TAG_STRING;
    return is_string ? node : NULL; /* what else it may be is told with the other metadata */
}

struct diag *schema_annotation_report(struct decode *decode, enum diag_code code,
                                      const struct doc_node *node)
{
    char path[256];
    int len = snprintf(path, sizeof(path), "metadata.annotations[%.*s]",
                       (int)MIN(node->key.len, (size_t)200), node->key.ptr);
    struct decode_path frame;
    decode_enter(decode, &frame, span_make(path, (size_t)len), -1);
    struct diag *diag = decode_report(decode, code, node, NULL);
    decode_leave(decode);
    return diag;
}

/* Its kind, when another one has such an annotation. */
static const char *kind_of(struct span key)
{
    for (unsigned i = 0; i < CONF_KIND_COUNT; i++) {
        if (known[i][0] != NULL && span_equal_str(key, known[i][0]))
            return conf_kind_name((enum conf_kind)i);
    }
    return NULL;
}

static void warn_unknown(struct decode *decode, const struct doc_node *node)
{
    enum conf_kind kind = decode->object->kind;
    struct diag *diag = schema_annotation_report(decode, DIAG_ANNOTATION_UNKNOWN, node);
    diag->pos = node->key_pos;
    diag->length = doc_key_width(node);
    diag_message(diag, "is no annotation of kind %s and has no effect", conf_kind_name(kind));
    const char *near = diag_did_you_mean(node->key, known[kind], known[kind][0] != NULL ? 1 : 0);
    if (near != NULL)
        diag_hint(diag, "did you mean \"%s\"?", near);
    else if (kind_of(node->key) != NULL)
        diag_hint(diag, "kind %s has it", kind_of(node->key));
}

void schema_annotations_check(struct decode *decode, const struct doc_node *root)
{
    const struct doc_node *list = doc_find(doc_find(root, "metadata"), "annotations");
    if (list == NULL || list->type != DOC_MAP)
        return;
    for (const struct doc_node *node = list->first; node != NULL; node = node->next) {
        const char *own = known[decode->object->kind][0];
        if (span_starts_with(node->key, SPAN_LIT(PREFIX)) &&
            (own == NULL || !span_equal_str(node->key, own)))
            warn_unknown(decode, node);
    }
}

static void report_listener(struct decode *decode, const struct doc_node *node,
                            const struct conf_gateway *gateway, struct span name)
{
    const char *words[64 + 2] = {"true", "false"};
    unsigned count = 2;
    for (unsigned i = 0; i < gateway->listeners_count && count < ARRAY_COUNT(words); i++) {
        struct span listener = gateway->listeners[i].name;
        char *word = decode_array(decode, listener.len + 1, 1);
        if (word == NULL)
            return;
        if (listener.len > 0)
            memcpy(word, listener.ptr, listener.len);
        words[count++] = word;
    }
    struct diag *diag = schema_annotation_report(decode, DIAG_FORMAT, node);
    diag_message(diag,
                 "must be \"true\", \"false\" or names of listeners with commas between them: this "
                 "Gateway has no listener \"%.*s\"",
                 (int)MIN(name.len, (size_t)VALUE_SHOWN_MAX), name.ptr);
    const char *near = diag_did_you_mean(name, words, count);
    if (near != NULL)
        diag_hint(diag, "did you mean \"%s\"?", near);
}

/* A header comes before all else, so listeners of one port have it together. */
static void set_port(struct conf_gateway *gateway, uint16_t port)
{
    for (unsigned i = 0; i < gateway->listeners_count; i++)
        gateway->listeners[i].proxy_protocol |= gateway->listeners[i].port == port;
}

static bool set_listener(struct conf_gateway *gateway, struct span name)
{
    for (unsigned i = 0; i < gateway->listeners_count; i++) {
        if (!span_equal(gateway->listeners[i].name, name))
            continue;
        set_port(gateway, gateway->listeners[i].port);
        return true;
    }
    return false;
}

void schema_proxy_protocol(struct decode *decode, const struct doc_node *root, void *out)
{
    struct conf_gateway *gateway = out;
    const struct doc_node *node = schema_annotation(root, SCHEMA_ANNOTATION_PROXY);
    if (node == NULL || span_equal_str(node->text, "false"))
        return;
    struct span rest = node->text, name;
    bool is_all = span_equal_str(rest, "true"), more = true;
    for (unsigned i = 0; i < gateway->listeners_count && is_all; i++)
        gateway->listeners[i].proxy_protocol = true;
    while (more && !is_all) {
        more = span_split(rest, ',', &name, &rest);
        name = span_trim(name);
        if (!set_listener(gateway, name))
            report_listener(decode, node, gateway, name);
    }
}
