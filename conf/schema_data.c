/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

#include <string.h>

/* Secret and ConfigMap. Their data is written in base64, as text, or names
 * files: annotation ringgate.dev/files holds a JSON map from key to path. */

struct data_list {
    struct conf_pair *pairs;
    unsigned count, cap;
};

/* Room for that many more; the old array stays in the arena, which is soon as small as the rest. */
static bool list_reserve(struct decode *decode, struct data_list *list, unsigned more)
{
    if (list->count + more <= list->cap)
        return true;
    struct conf_pair *pairs = decode_array(decode, list->count + more, sizeof(*pairs));
    if (pairs == NULL)
        return false;
    if (list->count > 0)
        memcpy(pairs, list->pairs, list->count * sizeof(*pairs));
    list->pairs = pairs;
    list->cap = list->count + more;
    return true;
}

/* A key that is there already gets the new value: stringData over data, files over both. */
static void list_put(struct data_list *list, struct span key, struct span value)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (!span_equal(list->pairs[i].key, key))
            continue;
        list->pairs[i].value = value;
        return;
    }
    ASSERT(list->count < list->cap);
    list->pairs[list->count++] = (struct conf_pair){key, value};
}

static bool is_data_key(struct span key)
{
    if (key.len == 0 || key.len > SCHEMA_NAME_MAX)
        return false;
    for (size_t i = 0; i < key.len; i++) {
        unsigned char c = ascii_lower((unsigned char)key.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return true;
}

static bool check_key(struct decode *decode, const struct doc_node *child)
{
    if (is_data_key(child->key))
        return true;
    struct diag *diag = decode_report(decode, DIAG_FORMAT, child, NULL);
    diag_message(diag, "key must be 1 to 253 letters, digits, -, _ and .");
    return false;
}

static void data_value(struct decode *decode, struct data_list *list,
                         const struct doc_node *child, bool is_base64)
{
    struct span value = SPAN_NONE;
    if (!check_key(decode, child))
        return;
    if (!doc_is_null(child)) {
        if (!decode_is_string(decode, child))
            return;
        if (!is_base64) {
            value = decode_copy(decode, child->text);
        } else if (decode_base64(decode, child->text, &value) != 0) {
            struct diag *diag = decode_report(decode, DIAG_BASE64, child, NULL);
            diag_message(diag, "is not base64");
            diag_hint(diag, "put plain text under stringData");
            return;
        }
    }
    list_put(list, decode_copy(decode, child->key), value);
}

static void data_map(struct decode *decode, const struct doc_node *node, struct data_list *list,
                        bool is_base64)
{
    if (!decode_is_map(decode, node) || !list_reserve(decode, list, node->count))
        return;
    for (const struct doc_node *child = node->first; child != NULL; child = child->next) {
        struct decode_path frame;
        decode_enter(decode, &frame, child->key, -1);
        data_value(decode, list, child, is_base64);
        decode_leave(decode);
    }
}

/* map: the parsed annotation; node: the annotation itself, where findings stand. */
static void data_files(struct decode *decode, const struct doc_node *node,
                         const struct doc_node *map, struct data_list *list)
{
    if (map == NULL || map->type != DOC_MAP) {
        struct diag *diag = decode_report(decode, DIAG_FORMAT, node, NULL);
        diag_message(diag, "must be a JSON map from key to file path, as "
                           "{\"tls.crt\":\"tls/shop.pem\",\"tls.key\":\"tls/shop.key\"}");
        return;
    }
    if (!list_reserve(decode, list, map->count))
        return;
    for (const struct doc_node *child = map->first; child != NULL; child = child->next) {
        struct decode_path frame;
        decode_enter(decode, &frame, child->key, -1);
        if (child->type != DOC_SCALAR || child->text.len == 0) {
            struct diag *diag = decode_report(decode, DIAG_TYPE, node, NULL);
            diag_message(diag, "must be a file path");
        } else if (!is_data_key(child->key)) {
            (void)check_key(decode, child);
        } else {
            list_put(list, decode_copy(decode, child->key),
                     schema_file(decode, node, child->text));
        }
        decode_leave(decode);
    }
}

static void files_annotation(struct decode *decode, const struct doc_node *root,
                             struct data_list *list)
{
    struct arena arena;
    struct doc_node *map = NULL;
    struct err err = {0};
    struct decode_path frame;
    const struct doc_node *node = schema_annotation(root, SCHEMA_ANNOTATION_FILES);
    if (node == NULL)
        return;
    arena_init(&arena, 8192, 1 << 20, NULL);
    decode_enter(decode, &frame, SPAN_LIT("metadata.annotations[" SCHEMA_ANNOTATION_FILES "]"), -1);
    int r = doc_parse(&arena, node->text, 1, &map, &err);
    data_files(decode, node, r == 0 ? map : NULL, list);
    decode_leave(decode);
    arena_fini(&arena);
}

/* --- Secret --- */

static void data_part(struct decode *decode, const struct doc_node *root, const char *name,
                        struct data_list *list, bool is_base64)
{
    struct decode_path frame;
    const struct doc_node *node = doc_find(root, name);
    if (doc_is_null(node))
        return;
    decode_enter(decode, &frame, node->key, -1);
    data_map(decode, node, list, is_base64);
    decode_leave(decode);
}

static bool list_has(const struct data_list *list, const char *key)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (span_equal_str(list->pairs[i].key, key))
            return true;
    }
    return false;
}

static void secret_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_secret *secret = out;
    struct data_list list = {0};
    data_part(decode, node, "data", &list, true);
    data_part(decode, node, "stringData", &list, false);
    files_annotation(decode, node, &list);
    secret->data = list.pairs;
    secret->data_count = list.count;
    if (!span_equal(secret->type, SPAN_LIT("kubernetes.io/tls")) || decode->errors > 0)
        return;
    static const char *const keys[] = {"tls.crt", "tls.key"};
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++) {
        if (!list_has(&list, keys[i]))
            schema_rule(decode, node, NULL, "Secret of type kubernetes.io/tls has no \"%s\"",
                        keys[i]);
    }
}

static const struct decode_field secret_fields[] = {
    SCHEMA_HEAD,
    {.name = "type", .type = DECODE_STR, .at = DECODE_AT(conf_secret, type), .def = "Opaque",
     .max = SCHEMA_NAME_MAX},
    {.name = "data", .type = DECODE_SKIP}, /* by secret_check, in the order of their force */
    {.name = "stringData", .type = DECODE_SKIP},
    {.name = "immutable", .type = DECODE_SKIP},
};
const struct decode_table schema_secret =
    DECODE_TABLE(secret_fields, .check = secret_check, .check_always = true);

/* --- ConfigMap --- */

static void config_map_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_config_map *config_map = out;
    struct data_list list = {0};
    data_part(decode, node, "data", &list, false);
    data_part(decode, node, "binaryData", &list, true);
    files_annotation(decode, node, &list);
    config_map->data = list.pairs;
    config_map->data_count = list.count;
}

static const struct decode_field config_map_fields[] = {
    SCHEMA_HEAD,
    {.name = "data", .type = DECODE_SKIP},
    {.name = "binaryData", .type = DECODE_SKIP},
    {.name = "immutable", .type = DECODE_SKIP},
};
const struct decode_table schema_config_map =
    DECODE_TABLE(config_map_fields, .check = config_map_check, .check_always = true);
