/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

#include "base/clock.h"

/* BackendTLSPolicy (gateway.networking.k8s.io/v1, GEP-1897) and our own
 * RateLimitPolicy and RateLimitStore (ringgate.dev/v1alpha1). */

#define REQUESTS_MAX 1000000000u

/* --- BackendTLSPolicy --- */

static const char *is_uri(struct span text)
{
    struct span scheme, rest;
    bool is_absolute = span_split(text, ':', &scheme, &rest) && scheme.len > 0 && rest.len > 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        is_absolute = is_absolute && c > ' ' && c < 0x7f;
    }
    return is_absolute ? NULL : "be an absolute URI, as spiffe://example.org/ns/shop/sa/api";
}

static void san_type_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const words[] = {"Hostname", "URI", NULL};
    ((struct conf_san *)out)->is_uri = schema_word(decode, node, words) == 1;
}

static void san_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_san *san = out;
    bool has_hostname = !doc_is_null(doc_find(node, "hostname"));
    bool has_uri = !doc_is_null(doc_find(node, "uri"));
    if (has_hostname == san->is_uri)
        schema_rule(decode, node, "hostname", "must be there if and only if type is Hostname");
    if (has_uri != san->is_uri)
        schema_rule(decode, node, "uri", "must be there if and only if type is URI");
}

static const struct decode_field san_fields[] = {
    {.name = "type", .type = DECODE_FN, .required = true, .fn = san_type_decode},
    {.name = "hostname",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_san, value),
     .min = 1,
     .max = SCHEMA_NAME_MAX,
     .check = schema_is_hostname},
    {.name = "uri",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_san, value),
     .min = 1,
     .max = 253,
     .check = is_uri},
};
static const struct decode_table san_table = DECODE_TABLE(san_fields, .check = san_check);

static const char *const well_known_words[] = {"System", NULL};

static void tls_validation_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_backend_tls_policy *policy = out;
    bool has_refs = policy->ca_refs_count > 0, has_well_known = policy->well_known_ca.len > 0;
    if (has_refs == has_well_known)
        schema_rule(decode, node, NULL,
                    "needs either caCertificateRefs or wellKnownCACertificates, not %s",
                    has_refs ? "both" : "neither");
}

static const struct decode_field tls_validation_fields[] = {
    {.name = "caCertificateRefs",
     .type = DECODE_LIST,
     .at = DECODE_AT(conf_backend_tls_policy, ca_refs),
     .at_count = DECODE_AT(conf_backend_tls_policy, ca_refs_count),
     .max = 8,
     .item_size = sizeof(struct conf_ref),
     .table = &schema_target_ref},
    {.name = "wellKnownCACertificates",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_backend_tls_policy, well_known_ca),
     .words = well_known_words},
    {.name = "hostname",
     .type = DECODE_STR,
     .required = true,
     .at = DECODE_AT(conf_backend_tls_policy, hostname),
     .min = 1,
     .max = SCHEMA_NAME_MAX,
     .check = schema_is_precise_hostname},
    {.name = "subjectAltNames",
     .type = DECODE_LIST,
     .at = DECODE_AT(conf_backend_tls_policy, sans),
     .at_count = DECODE_AT(conf_backend_tls_policy, sans_count),
     .max = 5,
     .item_size = sizeof(struct conf_san),
     .table = &san_table},
};
static const struct decode_table tls_validation_table =
    DECODE_TABLE(tls_validation_fields, .check = tls_validation_check);

static void tls_policy_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_backend_tls_policy *policy = out;
    schema_targets_unique(decode, node, policy->targets, policy->targets_count);
}

/* targetRefs is the first: schema_targets_keep. */
static const struct decode_field tls_policy_spec_fields[] = {
    {.name = "targetRefs",
     .type = DECODE_LIST,
     .required = true,
     .at = DECODE_AT(conf_backend_tls_policy, targets),
     .at_count = DECODE_AT(conf_backend_tls_policy, targets_count),
     .min = 1,
     .max = 16,
     .item_size = sizeof(struct conf_ref),
     .table = &schema_target_ref},
    {.name = "validation",
     .type = DECODE_OBJECT,
     .required = true,
     .at = DECODE_HERE,
     .table = &tls_validation_table},
    {.name = "options", .type = DECODE_UNSERVED},
};
static const struct decode_table tls_policy_spec =
    DECODE_TABLE(tls_policy_spec_fields, .check = tls_policy_check);

static const struct decode_field tls_policy_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(tls_policy_spec)};
const struct decode_table schema_backend_tls_policy = DECODE_TABLE(tls_policy_fields);

/* --- RateLimitPolicy: keys --- */

static const struct decode_field client_ip_fields[] = {
    {.name = "v4Prefix",
     .type = DECODE_INT,
     .at = DECODE_AT(conf_limit_key, v4_prefix),
     .width = 1,
     .min = 1,
     .max = 32},
    {.name = "v6Prefix",
     .type = DECODE_INT,
     .at = DECODE_AT(conf_limit_key, v6_prefix),
     .width = 1,
     .min = 1,
     .max = 128},
};
static const struct decode_table client_ip_table = DECODE_TABLE(client_ip_fields);

static const struct decode_field header_key_field = {
    .name = "name",
    .type = DECODE_STR,
    .required = true,
    .at = DECODE_AT(conf_limit_key, name),
    .min = 1,
    .max = 256,
    .check = schema_is_header_name,
};
static const struct decode_table header_key_table = {.fields = &header_key_field, .count = 1};

/* {name: x-api-key} or just x-api-key. */
static void header_key_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    if (node->type == DOC_MAP)
        decode_table(decode, &header_key_table, node, out);
    else
        decode_field(decode, &header_key_field, node, out);
}

static const struct decode_table no_fields = {0};

static const char *const missing_words[] = {
    [CONF_LIMIT_MISSING_SKIP] = "Skip",
    [CONF_LIMIT_MISSING_EMPTY] = "Empty",
    [CONF_LIMIT_MISSING_DENY] = "Deny",
    NULL,
};

static void key_check(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const names[] = {
        [CONF_LIMIT_KEY_CLIENT_IP] = "clientIP",
        [CONF_LIMIT_KEY_HEADER] = "header",
        [CONF_LIMIT_KEY_PATH] = "path",
        [CONF_LIMIT_KEY_SPIFFE_ID] = "spiffeID",
    };
    struct conf_limit_key *key = out;
    unsigned found = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        if (doc_is_null(doc_find(node, names[i])))
            continue;
        found++;
        key->type = (enum conf_limit_key_type)i;
    }
    if (found != 1)
        schema_rule(decode, node, NULL, "needs exactly one of clientIP, header, path and spiffeID");
    if (key->v4_prefix == 0)
        key->v4_prefix = 32;
    if (key->v6_prefix == 0)
        key->v6_prefix = 64;
}

static const struct decode_field key_fields[] = {
    {.name = "clientIP", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &client_ip_table},
    {.name = "header", .type = DECODE_FN, .fn = header_key_decode},
    {.name = "path", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &no_fields},
    {.name = "spiffeID", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &no_fields},
    {.name = "onMissing",
     .type = DECODE_ENUM,
     .at = DECODE_AT(conf_limit_key, on_missing),
     .words = missing_words},
    {.name = "jwtClaim", .type = DECODE_REFUSED},
};
static const struct decode_table key_table = DECODE_TABLE(key_fields, .check = key_check);

/* --- RateLimitPolicy: rules --- */

static const struct decode_field rate_fields[] = {
    {.name = "requests",
     .type = DECODE_INT,
     .required = true,
     .at = DECODE_AT(conf_limit_rule, requests),
     .width = 8,
     .min = 1,
     .max = REQUESTS_MAX},
    {.name = "period",
     .type = DECODE_DURATION,
     .required = true,
     .at = DECODE_AT(conf_limit_rule, period_ns),
     .min = NS_PER_S,
     .max = 3600 * NS_PER_S},
    {.name = "burst",
     .type = DECODE_INT,
     .at = DECODE_AT(conf_limit_rule, burst),
     .width = 8,
     .min = 1,
     .max = REQUESTS_MAX},
};
static const struct decode_table rate_table = DECODE_TABLE(rate_fields);

static void scope_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const words[] = {"Global", "Instance", NULL};
    ((struct conf_limit_rule *)out)->is_global = schema_word(decode, node, words) == 0;
}

static void mode_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const words[] = {"Enforce", "Shadow", NULL};
    ((struct conf_limit_rule *)out)->shadow = schema_word(decode, node, words) == 1;
}

static void precision_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const words[] = {"Strict", "Standard", "High", NULL};
    unsigned index = schema_word(decode, node, words);
    (void)out;
    if (index == 0)
        return;
    struct diag *diag = decode_report(decode, DIAG_PRECISION, node, NULL);
    diag_message(diag,
                 "%s is not served by this version: Strict is used, one round trip a decision",
                 words[index]);
}

/* Without quotes Off is a boolean in YAML; everybody writes it so, and it can mean nothing else. */
static bool is_off(const struct doc_node *node)
{
    return node->type == DOC_SCALAR && span_equal_fold(node->text, SPAN_LIT("off"));
}

static void standard_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const words[] = {"Draft10", "Off", NULL};
    struct conf_limit_rule *rule = out;
    rule->headers = !is_off(node) && schema_word(decode, node, words) == 0;
}

static void legacy_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    (void)out;
    if (is_off(node))
        return;
    struct diag *diag = decode_report(decode, DIAG_FIELD_UNSERVED, node, NULL);
    diag_message(diag, "is not served by this version: only Off is, and it is the default");
}

static const struct decode_field headers_fields[] = {
    {.name = "standard", .type = DECODE_FN, .fn = standard_decode},
    {.name = "legacy", .type = DECODE_FN, .fn = legacy_decode},
};
static const struct decode_table headers_table = DECODE_TABLE(headers_fields);

static const char *const failure_words[] = {
    [CONF_LIMIT_FAILURE_LOCAL] = "Local",
    [CONF_LIMIT_FAILURE_OPEN] = "Open",
    [CONF_LIMIT_FAILURE_CLOSED] = "Closed",
    NULL,
};

static void limit_rule_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_limit_rule *rule = out;
    if ((rule->requests > 0) == rule->unlimited)
        schema_rule(decode, node, NULL, "needs either rate or unlimited: true, not %s",
                    rule->unlimited ? "both" : "neither");
    if (rule->burst == 0)
        rule->burst = rule->requests;
}

static const struct decode_field limit_rule_fields[] = {
    {.name = "name",
     .type = DECODE_STR,
     .required = true,
     .at = DECODE_AT(conf_limit_rule, name),
     .min = 1,
     .max = SCHEMA_LABEL_MAX,
     .check = schema_is_label},
    {.name = "key",
     .type = DECODE_LIST,
     .at = DECODE_AT(conf_limit_rule, keys),
     .at_count = DECODE_AT(conf_limit_rule, keys_count),
     .max = 8,
     .item_size = sizeof(struct conf_limit_key),
     .table = &key_table},
    {.name = "rate", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &rate_table},
    {.name = "scope", .type = DECODE_FN, .fn = scope_decode},
    {.name = "mode", .type = DECODE_FN, .fn = mode_decode},
    {.name = "onStoreFailure",
     .type = DECODE_ENUM,
     .at = DECODE_AT(conf_limit_rule, on_store_failure),
     .words = failure_words},
    {.name = "precision", .type = DECODE_FN, .fn = precision_decode},
    {.name = "headers", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &headers_table},
    {.name = "unlimited", .type = DECODE_BOOL, .at = DECODE_AT(conf_limit_rule, unlimited)},
    {.name = "matches", .type = DECODE_REFUSED},
    {.name = "quota", .type = DECODE_REFUSED},
    {.name = "concurrency", .type = DECODE_REFUSED},
    {.name = "cost", .type = DECODE_REFUSED},
    {.name = "overrides", .type = DECODE_REFUSED},
    {.name = "stopOnMatch", .type = DECODE_REFUSED},
};
static const struct decode_table limit_rule_table = DECODE_TABLE(
    limit_rule_fields, .at_pos = DECODE_AT(conf_limit_rule, pos), .check = limit_rule_check);

static void limit_rules_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_rate_limit_policy *policy = out;
    if (!decode_is_list(decode, node))
        return;
    if (node->count < 1 || node->count > 64) {
        struct diag *diag = decode_report(decode, DIAG_COUNT, node, NULL);
        diag_message(diag, "has %u entries: allowed are 1 to 64", node->count);
        return;
    }
    policy->rules = decode_array(decode, node->count, sizeof(*policy->rules));
    if (policy->rules == NULL)
        return;
    for (const struct doc_node *child = node->first; child != NULL; child = child->next) {
        struct conf_limit_rule *rule = &policy->rules[policy->rules_count];
        struct decode_path frame;
        rule->is_global = rule->headers = true;
        decode_enter(decode, &frame, SPAN_NONE, (int)policy->rules_count++);
        decode_table(decode, &limit_rule_table, child, rule);
        decode_leave(decode);
    }
}

/* --- RateLimitPolicy --- */

static const char *const merge_words[] = {"AtomicDefaults", NULL};

static void merge_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    (void)out;
    (void)schema_word(decode, node, merge_words);
}

static void limit_policy_check(struct decode *decode, const struct doc_node *node, void *out)
{
    const struct conf_rate_limit_policy *policy = out;
    bool has_global = false;
    schema_targets_unique(decode, node, policy->targets, policy->targets_count);
    for (unsigned i = 0; i < policy->rules_count; i++) {
        has_global = has_global || policy->rules[i].is_global;
        for (unsigned j = 0; j < i; j++) {
            if (span_equal(policy->rules[i].name, policy->rules[j].name))
                schema_rule(decode, node, "rules", "[%u] and [%u] have the same name", j, i);
        }
    }
    if (policy->has_store && !has_global)
        schema_rule(decode, node, "storeRef",
                    "has no use: every rule has scope Instance and counts in this process");
}

/* targetRefs is the first: schema_targets_keep. */
static const struct decode_field limit_policy_spec_fields[] = {
    {.name = "targetRefs",
     .type = DECODE_LIST,
     .required = true,
     .at = DECODE_AT(conf_rate_limit_policy, targets),
     .at_count = DECODE_AT(conf_rate_limit_policy, targets_count),
     .min = 1,
     .max = 16,
     .item_size = sizeof(struct conf_ref),
     .table = &schema_target_ref},
    {.name = "mergeStrategy", .type = DECODE_FN, .fn = merge_decode},
    {.name = "storeRef",
     .type = DECODE_OBJECT,
     .at = DECODE_AT(conf_rate_limit_policy, store),
     .at_has = DECODE_AT(conf_rate_limit_policy, has_store),
     .table = &schema_store_ref},
    {.name = "rules", .type = DECODE_FN, .required = true, .fn = limit_rules_decode},
    {.name = "response", .type = DECODE_UNSERVED},
};
static const struct decode_table limit_policy_spec =
    DECODE_TABLE(limit_policy_spec_fields, .check = limit_policy_check);

static const struct decode_field limit_policy_fields[] = {SCHEMA_HEAD,
                                                          SCHEMA_SPEC(limit_policy_spec)};
const struct decode_table schema_rate_limit_policy = DECODE_TABLE(limit_policy_fields);

/* --- what a refused policy was to protect --- */

void schema_targets_keep(struct conf_object *obj, const struct doc_node *root)
{
    const struct decode_field *field = NULL;
    unsigned *count = NULL;
    struct decode decode = {.arena = &obj->arena, .object = obj};
    if (obj->kind == CONF_KIND_BACKEND_TLS_POLICY) {
        obj->backend_tls_policy = arena_new(&obj->arena, struct conf_backend_tls_policy);
        field = tls_policy_spec_fields;
        count = &obj->backend_tls_policy->targets_count;
    } else if (obj->kind == CONF_KIND_RATE_LIMIT_POLICY) {
        obj->rate_limit_policy = arena_new(&obj->arena, struct conf_rate_limit_policy);
        field = limit_policy_spec_fields;
        count = &obj->rate_limit_policy->targets_count;
    }
    const struct doc_node *node = doc_find(doc_find(root, "spec"), "targetRefs");
    if (field == NULL || node == NULL)
        return;
    decode_field(&decode, field, node, obj->spec);
    if (decode.errors > 0)
        *count = 0;
}

/* --- RateLimitStore --- */

static const char *is_endpoint(struct span text)
{
    static const char wanted[] = "be host:port, [address]:port or unix:/path";
    uint64_t port;
    size_t colon = text.len;
    if (span_starts_with(text, SPAN_LIT("unix:/")))
        return text.len < 100 ? NULL : "be shorter: a socket path has 100 bytes at most";
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon < 2 || span_to_u64(span_skip(text, colon), 65535, &port) != 0 || port == 0)
        return wanted;
    struct span host = span_make(text.ptr, colon - 1);
    if (host.ptr[0] == '[')
        return host.len > 2 && host.ptr[host.len - 1] == ']' &&
                       schema_is_ip(span_make(host.ptr + 1, host.len - 2)) == NULL
                   ? NULL
                   : wanted;
    return schema_is_ip(host) == NULL && span_find_char(host, ':') < 0
               ? NULL
               : (schema_is_precise_hostname(host) == NULL ? NULL : wanted);
}

static const char *is_key_prefix(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = ascii_lower((unsigned char)text.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return "be letters, digits, -, _ and .";
    }
    return NULL;
}

static struct span first_line(struct span text)
{
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    return text;
}

static void auth_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_rate_limit_store *store = out;
    bool has_files = store->username_file.len > 0 || store->password_file.len > 0;
    if (store->has_auth == has_files)
        schema_rule(decode, node, NULL, "needs either secretRef or passwordFile, not %s",
                    has_files ? "both" : "neither");
    if (store->username_file.len > 0)
        store->username = first_line(
            schema_file(decode, schema_child(node, "usernameFile"), store->username_file));
    if (store->password_file.len > 0)
        store->password = first_line(
            schema_file(decode, schema_child(node, "passwordFile"), store->password_file));
}

static const struct decode_field auth_fields[] = {
    {.name = "secretRef",
     .type = DECODE_OBJECT,
     .at = DECODE_AT(conf_rate_limit_store, auth),
     .at_has = DECODE_AT(conf_rate_limit_store, has_auth),
     .table = &schema_secret_ref},
    {.name = "usernameFile",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_rate_limit_store, username_file),
     .min = 1,
     .max = 4096},
    {.name = "passwordFile",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_rate_limit_store, password_file),
     .min = 1,
     .max = 4096},
};
static const struct decode_table auth_table = DECODE_TABLE(auth_fields, .check = auth_check);

static const struct decode_field store_tls_fields[] = {
    {.name = "caRef",
     .type = DECODE_OBJECT,
     .at = DECODE_AT(conf_rate_limit_store, ca),
     .at_has = DECODE_AT(conf_rate_limit_store, has_ca),
     .table = &schema_store_ca_ref},
    {.name = "clientCertRef",
     .type = DECODE_OBJECT,
     .at = DECODE_AT(conf_rate_limit_store, client_cert),
     .at_has = DECODE_AT(conf_rate_limit_store, has_client_cert),
     .table = &schema_secret_ref},
    {.name = "serverName",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_rate_limit_store, server_name),
     .min = 1,
     .max = SCHEMA_NAME_MAX,
     .check = schema_is_precise_hostname},
};
static const struct decode_table store_tls_table = DECODE_TABLE(store_tls_fields);

static const struct decode_field timeouts_fields[] = {
    {.name = "connect",
     .type = DECODE_DURATION,
     .at = DECODE_AT(conf_rate_limit_store, connect_timeout_ns),
     .min = NS_PER_MS,
     .max = 60 * NS_PER_S},
    {.name = "deadline",
     .type = DECODE_DURATION,
     .at = DECODE_AT(conf_rate_limit_store, deadline_ns),
     .min = NS_PER_MS,
     .max = NS_PER_S},
};
static const struct decode_table timeouts_table = DECODE_TABLE(timeouts_fields);

static void store_mode_decode(struct decode *decode, const struct doc_node *node, void *out)
{
    static const char *const words[] = {"Single", NULL};
    (void)out;
    (void)schema_word(decode, node, words);
}

static const struct decode_field redis_fields[] = {
    {.name = "mode", .type = DECODE_FN, .fn = store_mode_decode},
    {.name = "endpoints",
     .type = DECODE_STRS,
     .required = true,
     .at = DECODE_AT(conf_rate_limit_store, endpoints),
     .at_count = DECODE_AT(conf_rate_limit_store, endpoints_count),
     .min = 1,
     .max = 1,
     .check = is_endpoint},
    {.name = "auth", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &auth_table},
    {.name = "tls",
     .type = DECODE_OBJECT,
     .at = DECODE_HERE,
     .at_has = DECODE_AT(conf_rate_limit_store, has_tls),
     .table = &store_tls_table},
    {.name = "database",
     .type = DECODE_INT,
     .at = DECODE_AT(conf_rate_limit_store, database),
     .width = 4,
     .max = 65535},
    {.name = "timeouts", .type = DECODE_OBJECT, .at = DECODE_HERE, .table = &timeouts_table},
    {.name = "masterName", .type = DECODE_REFUSED},
};
static const struct decode_table redis_table = DECODE_TABLE(redis_fields);

static void store_check(struct decode *decode, const struct doc_node *node, void *out)
{
    struct conf_rate_limit_store *store = out;
    (void)decode;
    (void)node;
    if (store->connect_timeout_ns == 0)
        store->connect_timeout_ns = NS_PER_S;
    if (store->deadline_ns == 0)
        store->deadline_ns = 5 * NS_PER_MS;
}

static const struct decode_field store_spec_fields[] = {
    {.name = "redis",
     .type = DECODE_OBJECT,
     .required = true,
     .at = DECODE_HERE,
     .table = &redis_table},
    {.name = "keyPrefix",
     .type = DECODE_STR,
     .at = DECODE_AT(conf_rate_limit_store, key_prefix),
     .min = 1,
     .max = 32,
     .def = "rgrl",
     .check = is_key_prefix},
};
static const struct decode_table store_spec = DECODE_TABLE(store_spec_fields, .check = store_check);

static const struct decode_field store_fields[] = {SCHEMA_HEAD, SCHEMA_SPEC(store_spec)};
const struct decode_table schema_rate_limit_store = DECODE_TABLE(store_fields);
