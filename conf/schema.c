/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "conf/objects.h"
#include "conf/schema_int.h"

/* An object may be as big as the biggest document makes it, with room. */
#define OBJECT_SIZE_MAX (64u << 20)
#define SCRATCH_CHUNK 65536

static const struct kind_schema {
    const struct decode_table *table;
    size_t size;
    const char *versions[5];
} kind_schemas[CONF_KIND_COUNT] = {
    [CONF_KIND_GATEWAY_CLASS] = {&schema_gateway_class,
                                 sizeof(struct conf_gateway_class),
                                 {"v1", "v1beta1"}},
    [CONF_KIND_GATEWAY] = {&schema_gateway, sizeof(struct conf_gateway), {"v1", "v1beta1"}},
    [CONF_KIND_HTTP_ROUTE] = {&schema_http_route,
                              sizeof(struct conf_http_route),
                              {"v1", "v1beta1"}},
    [CONF_KIND_GRPC_ROUTE] = {&schema_grpc_route, sizeof(struct conf_http_route), {"v1"}},
    [CONF_KIND_TCP_ROUTE] = {&schema_tcp_route,
                             sizeof(struct conf_tcp_route),
                             {"v1", "v1beta1", "v1alpha2"}},
    [CONF_KIND_REFERENCE_GRANT] = {&schema_reference_grant,
                                   sizeof(struct conf_reference_grant),
                                   {"v1", "v1beta1", "v1alpha2"}},
    [CONF_KIND_BACKEND_TLS_POLICY] = {&schema_backend_tls_policy,
                                      sizeof(struct conf_backend_tls_policy),
                                      {"v1", "v1alpha3"}},
    [CONF_KIND_TRAFFIC_POLICY] = {&schema_traffic_policy,
                                  sizeof(struct conf_traffic_policy),
                                  {"v1alpha1"}},
    [CONF_KIND_SERVICE] = {&schema_service, sizeof(struct conf_service), {"v1"}},
    [CONF_KIND_ENDPOINT_SLICE] = {&schema_endpoint_slice,
                                  sizeof(struct conf_endpoint_slice),
                                  {"v1"}},
    [CONF_KIND_XBACKEND] = {&schema_xbackend, sizeof(struct conf_xbackend), {"v1alpha1"}},
    [CONF_KIND_SECRET] = {&schema_secret, sizeof(struct conf_secret), {"v1"}},
    [CONF_KIND_CONFIG_MAP] = {&schema_config_map, sizeof(struct conf_config_map), {"v1"}},
    [CONF_KIND_NAMESPACE] = {&schema_namespace, 8, {"v1"}},
    [CONF_KIND_RATE_LIMIT_POLICY] = {&schema_rate_limit_policy,
                                     sizeof(struct conf_rate_limit_policy),
                                     {"v1alpha1"}},
    [CONF_KIND_RATE_LIMIT_STORE] = {&schema_rate_limit_store,
                                    sizeof(struct conf_rate_limit_store),
                                    {"v1alpha1"}},
};

/* --- metadata --- */

/* Two digits at text[at]; -1: none. */
static int two_digits(struct span text, size_t at)
{
    uint64_t value;
    if (at + 2 > text.len || span_to_u64(span_make(text.ptr + at, 2), 99, &value) != 0)
        return -1;
    return (int)value;
}

/* RFC 3339 in UTC, as the API writes it: 2026-11-23T05:48:46Z. */
static int parse_timestamp(struct span text, uint64_t *ret_s)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    if (text.len != sizeof(shape) - 1)
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        bool is_digit = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        if (shape[i] == 'd' ? !is_digit : text.ptr[i] != shape[i])
            return -EINVAL;
    }
    struct tm tm = {
        .tm_year = two_digits(text, 0) * 100 + two_digits(text, 2) - 1900,
        .tm_mon = two_digits(text, 5) - 1,
        .tm_mday = two_digits(text, 8),
        .tm_hour = two_digits(text, 11),
        .tm_min = two_digits(text, 14),
        .tm_sec = two_digits(text, 17),
    };
    time_t seconds = timegm(&tm);
    if (seconds < 0 || tm.tm_mon != two_digits(text, 5) - 1)
        return -EINVAL;
    *ret_s = (uint64_t)seconds;
    return 0;
}

static void created_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_object *obj = out;
    if (!decode_is_string(decode, node) || parse_timestamp(node->text, &obj->created_s) == 0)
        return;
    struct diag *diag = decode_report(decode, DIAG_FORMAT, node, NULL);
    diag_message(diag, "\"%.*s\" must be a time in UTC, as 2026-11-23T05:48:46Z",
                 (int)MIN(node->text.len, (size_t)60), node->text.ptr);
}

static const struct decode_field metadata_fields[] = {
    {.name = "name",
     .type = DECODE_STR,
     .required = true,
     .at = DECODE_AT(conf_object, name),
     .min = 1,
     .max = SCHEMA_NAME_MAX,
     .check = schema_is_subdomain},
    {.name = "namespace",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_object, ns),
     .min = 1,
     .max = SCHEMA_LABEL_MAX,
     .check = schema_is_label},
    {.name = "labels",
     .type = DECODE_PAIRS,
     .at = DECODE_AT(conf_object, labels),
     .at_count = DECODE_AT(conf_object, labels_count),
     .max = 1000},
    {.name = "annotations",
     .type = DECODE_PAIRS,
     .at = DECODE_AT(conf_object, annotations),
     .at_count = DECODE_AT(conf_object, annotations_count),
     .max = 1000},
    {.name = "creationTimestamp", .type = DECODE_FN, .fn = created_decode},
    {.name = "uid", .type = DECODE_SKIP},
    {.name = "generation", .type = DECODE_SKIP},
    {.name = "resourceVersion", .type = DECODE_SKIP},
    {.name = "generateName", .type = DECODE_SKIP},
    {.name = "selfLink", .type = DECODE_SKIP},
    {.name = "managedFields", .type = DECODE_SKIP},
    {.name = "ownerReferences", .type = DECODE_SKIP},
    {.name = "finalizers", .type = DECODE_SKIP},
    {.name = "deletionTimestamp", .type = DECODE_SKIP},
    {.name = "deletionGracePeriodSeconds", .type = DECODE_SKIP},
};
static const struct decode_table metadata_table = DECODE_TABLE(metadata_fields);

static void decode_metadata(struct decode *decode, const struct doc_node *root)
{
    struct conf_object *obj = decode->object;
    const struct doc_node *node = doc_find(root, "metadata");
    struct decode_path frame;
    if (node == NULL) {
        struct diag *diag = decode_report(decode, DIAG_REQUIRED, root, "metadata");
        diag_message(diag, "is missing: an object needs a name");
        return;
    }
    decode_enter(decode, &frame, SPAN_LIT("metadata"), -1);
    decode_table(decode, &metadata_table, node, obj);
    decode_leave(decode);
    if (!conf_kind_is_namespaced(obj->kind))
        obj->ns = SPAN_NONE;
    else if (obj->ns.len == 0)
        obj->ns = SPAN_LIT("default");
}

/* --- the object --- */

/* Reads everything of the object into decode->arena. */
static void decode_object(struct decode *decode, const struct doc_node *root)
{
    struct conf_object *obj = decode->object;
    const struct kind_schema *schema = &kind_schemas[obj->kind];
    decode_metadata(decode, root);
    schema_annotations_check(decode, root);
    obj->api_version = decode_copy(decode, doc_find(root, "apiVersion")->text);
    obj->spec = decode_array(decode, 1, schema->size);
    if (obj->spec != NULL)
        decode_table(decode, schema->table, root, obj->spec);
}

static uint64_t pairs_hash(const struct conf_pair *pairs, unsigned count, uint64_t hash)
{
    for (unsigned i = 0; i < count; i++)
        hash = hash_fast(pairs[i].value, hash_fast(pairs[i].key, hash));
    return hash;
}

/* What data files hold is part of the object. */
static uint64_t files_hash(const struct conf_object *obj, uint64_t hash)
{
    if (obj->kind == CONF_KIND_SECRET)
        return pairs_hash(obj->secret->data, obj->secret->data_count, hash);
    if (obj->kind == CONF_KIND_CONFIG_MAP)
        return pairs_hash(obj->config_map->data, obj->config_map->data_count, hash);
    if (obj->kind == CONF_KIND_RATE_LIMIT_STORE)
        return hash_fast(obj->rate_limit_store->password,
                         hash_fast(obj->rate_limit_store->username, hash));
    return hash;
}

static uint64_t spec_hash(const struct doc_node *root)
{
    uint64_t hash = 1;
    for (const struct doc_node *child = root->first; child != NULL; child = child->next) {
        if (!span_equal(child->key, SPAN_LIT("metadata")) &&
            !span_equal(child->key, SPAN_LIT("status")))
            hash = doc_hash(child, hash);
    }
    return hash;
}

static size_t arena_bytes(const struct arena *arena)
{
    if (arena->chunks == NULL)
        return 0;
    if (arena->chunks->next == NULL)
        return (size_t)(arena->pos - (const char *)(arena->chunks + 1));
    return arena->used;
}

/* The second walk: the same calls in the same order, so the same bytes. */
static void decode_again(const struct schema_input *input, const struct decode *first,
                         struct schema_output *ret)
{
    struct conf_object *obj = ret->object;
    /* Sanitizer builds ask for the alignment of the last allocation on top. */
    size_t size = arena_bytes(first->arena) + sizeof(struct arena_chunk) + 16;
    arena_init(&obj->arena, MAX(size, (size_t)256), 0, NULL);
    struct decode decode = {
        .arena = &obj->arena,
        .object = obj,
        .files = input->files,
    };
    decode_object(&decode, input->root);
    /* Data files may have changed between the walks: then there may be more chunks and an error. */
    ret->is_good = decode.errors == 0;
}

/* What an object says that it is. */
struct head {
    enum conf_kind kind; /* CONF_KIND_NONE: no kind of ours is named */
    const struct doc_node *version_node; /* NULL or no text: apiVersion is missing */
    struct span version; /* without the group */
    bool is_known; /* the version is one that we read */
};

static bool is_text(const struct doc_node *node)
{
    return node != NULL && node->type == DOC_SCALAR && node->text.len > 0;
}

/* Without a group, or with a wrong one, the name of the kind has to do. */
static enum conf_kind kind_by_name(struct span name)
{
    for (unsigned i = 0; i < CONF_KIND_COUNT; i++) {
        if (span_equal_str(name, conf_kind_name((enum conf_kind)i)))
            return (enum conf_kind)i;
    }
    return CONF_KIND_NONE;
}

/* -ENOENT: a kind that is none of ours. */
static int read_head(const struct doc_node *root, struct head *ret)
{
    const struct doc_node *kind = doc_find(root, "kind");
    struct span group, rest;
    *ret = (struct head){.kind = CONF_KIND_NONE, .version_node = doc_find(root, "apiVersion")};
    if (!is_text(kind))
        return 0;
    if (!is_text(ret->version_node)) {
        ret->version_node = NULL;
        ret->kind = kind_by_name(kind->text);
        return 0;
    }
    if (!span_split(ret->version_node->text, '/', &group, &rest)) {
        rest = ret->version_node->text;
        group = SPAN_NONE;
    }
    ret->version = rest;
    ret->kind = conf_kind_find(group, kind->text);
    /* No other API has this kind, and to ignore it would be to speak to backends in clear. */
    if (ret->kind == CONF_KIND_NONE && kind_by_name(kind->text) == CONF_KIND_BACKEND_TLS_POLICY) {
        ret->kind = CONF_KIND_BACKEND_TLS_POLICY;
        ret->version = ret->version_node->text;
        return 0;
    }
    if (ret->kind == CONF_KIND_NONE)
        return -ENOENT;
    const char *const *versions = kind_schemas[ret->kind].versions;
    for (unsigned i = 0; versions[i] != NULL; i++)
        ret->is_known = ret->is_known || span_equal_str(rest, versions[i]);
    return 0;
}

/* object: NULL when its kind is not known. */
static void report_head(const struct schema_input *input, const struct head *head,
                        const struct conf_object *object)
{
    const struct doc_node *root = input->root;
    struct diag *diag;
    if (head->kind == CONF_KIND_NONE || head->version_node == NULL) {
        diag = diags_add(input->diags, DIAG_KIND_MISSING, object, root->pos);
        diag_message(diag, root->type == DOC_MAP
                               ? "a Kubernetes object needs apiVersion and kind"
                               : "a Kubernetes object is a map with apiVersion and kind");
    } else {
        diag = diags_add(input->diags, DIAG_API_VERSION, object, head->version_node->pos);
        diag_message(diag, "version \"%.*s\" of kind %s is not known: use %s",
                     (int)MIN(head->version.len, (size_t)60),
                     head->version.len > 0 ? head->version.ptr : "", conf_kind_name(head->kind),
                     kind_schemas[head->kind].versions[0]);
    }
    diag->source = input->source;
}

/* Only what names the object is kept of one that was refused, and what a policy was to protect. */
static void keep_name(struct conf_object *obj, const struct doc_node *root)
{
    const char *group = conf_kind_group(obj->kind);
    struct span ns = obj->ns, name = obj->name;
    struct arena arena;
    arena_init(&arena, 1024, 0, NULL);
    struct conf_object kept = {
        .kind = obj->kind,
        .generation = 1,
        .api_version = arena_printf(&arena, "%s%s%s", group, group[0] != '\0' ? "/" : "",
                                    kind_schemas[obj->kind].versions[0]),
        .ns = arena_copy(&arena, ns),
        .name = arena_copy(&arena, name),
        .source = obj->source,
        .pos = obj->pos,
        .refs = obj->refs,
        .digest = obj->digest,
    };
    kept.arena = arena;
    arena_fini(&obj->arena);
    *obj = kept;
    schema_targets_keep(obj, root);
}

/* The name as far as it can be read: findings of the first walk carry it. */
static void peek_name(struct conf_object *obj, const struct doc_node *root)
{
    const struct doc_node *metadata = doc_find(root, "metadata");
    const struct doc_node *name = doc_find(metadata, "name");
    const struct doc_node *ns = doc_find(metadata, "namespace");
    if (name != NULL && name->type == DOC_SCALAR)
        obj->name = span_make(name->text.ptr, MIN(name->text.len, (size_t)SCHEMA_NAME_MAX));
    if (!conf_kind_is_namespaced(obj->kind))
        return;
    obj->ns = SPAN_LIT("default");
    if (ns != NULL && ns->type == DOC_SCALAR && ns->text.len > 0)
        obj->ns = span_make(ns->text.ptr, MIN(ns->text.len, (size_t)SCHEMA_NAME_MAX));
}

/* Counts reads, so that the caller knows what depends on more than the document. */
struct counted_files {
    struct decode_files super;
    const struct decode_files *inner;
    unsigned *count;
};

static int counted_read(const struct decode_files *files, struct span path, struct arena *arena,
                        struct span *ret, struct err *reterr)
{
    const struct counted_files *counted = container_of(files, const struct counted_files, super);
    ++*counted->count;
    return counted->inner->read(counted->inner, path, arena, ret, reterr);
}

/* Both walks. False: the object has errors, and nothing of it may be used. */
static bool decode_twice(const struct schema_input *input, struct schema_output *ret)
{
    struct conf_object *obj = ret->object;
    unsigned reads = 0;
    struct counted_files counted = {{counted_read}, input->files, &reads};
    struct schema_input own = *input;
    own.files = input->files != NULL ? &counted.super : NULL;
    struct arena scratch;
    arena_init(&scratch, SCRATCH_CHUNK, OBJECT_SIZE_MAX, NULL);
    struct decode first = {
        .arena = &scratch, .object = obj, .diags = input->diags, .files = own.files};
    decode_object(&first, input->root);
    if (first.errors == 0)
        decode_again(&own, &first, ret);
    if (ret->is_good) {
        obj->spec_digest = files_hash(obj, spec_hash(input->root));
        obj->digest = reads > 0 ? files_hash(obj, obj->digest) : obj->digest;
    }
    ret->has_files = reads > 0;
    arena_fini(&scratch);
    return ret->is_good;
}

int schema_decode(const struct schema_input *input, struct schema_output *ret)
{
    struct head head;
    int r = read_head(input->root, &head);
    if (r != 0)
        return r;
    if (head.kind == CONF_KIND_NONE) {
        report_head(input, &head, NULL);
        return -EINVAL;
    }
    struct conf_object *obj = conf_object_new(head.kind);
    *ret = (struct schema_output){.object = obj};
    obj->source = conf_source_ref(input->source);
    obj->pos = input->root->pos;
    obj->digest = input->digest;
    obj->generation = 1;
    peek_name(obj, input->root);
    if (!head.is_known)
        report_head(input, &head, obj);
    if (!head.is_known || !decode_twice(input, ret)) {
        /* A name that broke the rules is still the name under which a good version may be known. */
        peek_name(obj, input->root);
        keep_name(obj, input->root);
    }
    return 0;
}

struct conf_object *schema_unread(enum conf_kind kind, struct span ns,
                                  const struct conf_source *source, uint32_t line)
{
    struct conf_object *obj = conf_object_new(kind);
    obj->source = conf_source_ref(source);
    obj->pos = (struct conf_pos){line, 1};
    obj->ns = ns;
    keep_name(obj, NULL);
    return obj;
}

void schema_output_fini(struct schema_output *output)
{
    conf_object_unref(output->object);
    *output = (struct schema_output){0};
}
