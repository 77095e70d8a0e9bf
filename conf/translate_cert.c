/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/translate_int.h"

#include "base/panic.h"

static struct span data_find(const struct conf_pair *data, unsigned count, const char *key)
{
    for (unsigned i = 0; i < count; i++) {
        if (span_equal_str(data[i].key, key))
            return data[i].value;
    }
    return SPAN_NONE;
}

static void name_field(struct diag *diag, const struct tr_cert_request *request, unsigned index,
                       const char *member)
{
    if (request->is_list)
        diag_field(diag, "%s[%u].%s", request->field, index, member);
    else
        diag_field(diag, "%s.%s", request->field, member);
}

/* A finding about one reference of a request; the first becomes the condition. */
static struct diag *fail(struct translation *tr, const struct tr_cert_request *request,
                         unsigned index, const char *reason, struct tr_unresolved *unresolved)
{
    const struct conf_ref *ref = &request->refs[index];
    bool is_grant = strcmp(reason, "RefNotPermitted") == 0;
    enum diag_code code = is_grant ? DIAG_REF_NOT_PERMITTED : request->code;
    struct diag *diag = translate_diag(tr, code, request->from, ref->pos, ref->name);
    name_field(diag, request, index, is_grant ? "namespace" : "name");
    diag_condition(diag, "ResolvedRefs=False, %s", reason);
    diag_consequence(diag, "%s", request->consequence);
    if (!unresolved->reason)
        *unresolved = (struct tr_unresolved){.reason = reason};
    return diag;
}

static void fail_end(struct translation *tr, const struct diag *diag,
                     struct tr_unresolved *unresolved)
{
    if (unresolved->message.len == 0)
        unresolved->message = translate_message(tr, diag);
}

static bool is_in(const struct objects *set, const struct conf_object *object)
{
    return set && objects_find(set, object->kind, object->ns, object->name);
}

/* The condition is good, but its message says that what is used is not the newest. */
static void note_kept(struct translation *tr, const struct conf_object *object,
                      struct tr_unresolved *unresolved)
{
    if (unresolved->message.len > 0 ||
        (!is_in(tr->options->kept, object) && !is_in(tr->options->refused, object)))
        return;
    unresolved->message =
        arena_printf(&tr->statuses->arena,
                     "%s \"%.*s\" in namespace \"%.*s\" cannot be used as it is now: its last "
                     "good version is",
                     conf_kind_name(object->kind), SPAN_ARG(object->name), SPAN_ARG(object->ns));
}

/* The object of a reference, of the wanted kind, or NULL with a finding. */
static const struct conf_object *find(struct translation *tr, const struct tr_cert_request *request,
                                      unsigned index, enum conf_kind wanted,
                                      struct tr_unresolved *unresolved)
{
    const struct conf_ref *ref = &request->refs[index];
    struct span ns = request->is_local ? request->from->ns : translate_ref_ns(ref, request->from);
    struct refs_party from = {span_str(conf_kind_group(request->from->kind)),
                              span_str(conf_kind_name(request->from->kind)), request->from->ns};
    struct refs_party to = {span_str(ref->group), span_str(ref->kind), ns};
    struct diag *diag;
    if (conf_ref_kind(ref) != wanted) {
        diag = fail(tr, request, index, request->kind_reason, unresolved);
        name_field(diag, request, index, "kind");
        diag_message(diag, "kind \"%s\" of group \"%s\" is not served here, it must be a %s",
                     ref->kind, ref->group, conf_kind_name(wanted));
    } else if (!refs_is_permitted(&tr->refs, &from, &to, ref->name)) {
        diag = fail(tr, request, index, "RefNotPermitted", unresolved);
        diag_message(diag,
                     "no ReferenceGrant in namespace \"%.*s\" lets kind %s of \"%.*s\" use %s "
                     "\"%.*s\"",
                     SPAN_ARG(ns), conf_kind_name(request->from->kind), SPAN_ARG(from.ns),
                     conf_kind_name(wanted), SPAN_ARG(ref->name));
    } else {
        const struct conf_object *object = objects_find(tr->objects, wanted, ns, ref->name);
        if (object)
            return object;
        diag = fail(tr, request, index, request->reason, unresolved);
        /* Saying it is missing, not forbidden, is safe: the grant was checked before. */
        if (diag->code == DIAG_CERTIFICATE_INVALID)
            diag->code = DIAG_CERTIFICATE_NOT_FOUND;
        diag_message(diag, "no %s \"%.*s\" in namespace \"%.*s\"", conf_kind_name(wanted),
                     SPAN_ARG(ref->name), SPAN_ARG(ns));
        translate_suggest(tr, diag, wanted, ns, ref->name);
    }
    fail_end(tr, diag, unresolved);
    return NULL;
}

static bool pair_load(struct translation *tr, const struct conf_object *object,
                      struct model_cert *ret, const char **ret_problem)
{
    const struct conf_secret *secret = object->secret;
    *ret = (struct model_cert){
        .cert_pem = data_find(secret->data, secret->data_count, "tls.crt"),
        .key_pem = data_find(secret->data, secret->data_count, "tls.key"),
    };
    *ret_problem = NULL;
    if (ret->cert_pem.len == 0)
        *ret_problem = "has no tls.crt";
    else if (ret->key_pem.len == 0)
        *ret_problem = "has no tls.key";
    else if (!validate_pem(ret->cert_pem, "CERTIFICATE"))
        *ret_problem = "has a tls.crt without a PEM certificate";
    else if (!validate_pem(ret->key_pem, "PRIVATE KEY"))
        *ret_problem = "has a tls.key without a PEM private key";
    if (*ret_problem)
        return false;
    ret->id =
        arena_printf(tr->arena, "Secret/%.*s/%.*s", SPAN_ARG(object->ns), SPAN_ARG(object->name));
    return true;
}

unsigned translate_cert_pairs(struct translation *tr, const struct tr_cert_request *request,
                              struct model_cert **ret, struct tr_unresolved *unresolved)
{
    struct model_cert *certs = arena_array(tr->arena, struct model_cert, request->count);
    unsigned count = 0;
    ASSERT(certs);
    for (unsigned i = 0; i < request->count; i++) {
        const char *problem;
        const struct conf_object *object = find(tr, request, i, CONF_KIND_SECRET, unresolved);
        if (!object)
            continue;
        if (pair_load(tr, object, &certs[count], &problem)) {
            note_kept(tr, object, unresolved);
            count++;
            continue;
        }
        struct diag *diag = fail(tr, request, i, request->reason, unresolved);
        diag_message(diag, "Secret \"%.*s\" in namespace \"%.*s\" %s", SPAN_ARG(object->name),
                     SPAN_ARG(object->ns), problem);
        fail_end(tr, diag, unresolved);
    }
    *ret = certs;
    return count;
}

/* Two files put together must not join the last line of one with the first of the other. */
static struct span pem_append(struct translation *tr, struct span have, struct span more)
{
    if (have.len == 0)
        return more;
    return arena_printf(tr->arena, "%.*s\n%.*s", SPAN_ARG(have), SPAN_ARG(more));
}

static struct span ca_of(const struct conf_object *object)
{
    if (object->kind == CONF_KIND_SECRET)
        return data_find(object->secret->data, object->secret->data_count, "ca.crt");
    return data_find(object->config_map->data, object->config_map->data_count, "ca.crt");
}

struct span translate_cert_ca(struct translation *tr, const struct tr_cert_request *request,
                              struct tr_unresolved *unresolved)
{
    struct span pem = SPAN_NONE;
    for (unsigned i = 0; i < request->count; i++) {
        bool is_secret = request->accepts_secret && strcmp(request->refs[i].kind, "Secret") == 0;
        enum conf_kind wanted = is_secret ? CONF_KIND_SECRET : CONF_KIND_CONFIG_MAP;
        const struct conf_object *object = find(tr, request, i, wanted, unresolved);
        if (!object)
            continue;
        struct span ca = ca_of(object);
        if (validate_pem(ca, "CERTIFICATE")) {
            note_kept(tr, object, unresolved);
            pem = pem_append(tr, pem, ca);
            continue;
        }
        struct diag *diag = fail(tr, request, i, request->reason, unresolved);
        diag_message(diag, "%s \"%.*s\" in namespace \"%.*s\" has %s", conf_kind_name(wanted),
                     SPAN_ARG(object->name), SPAN_ARG(object->ns),
                     ca.len == 0 ? "no ca.crt" : "a ca.crt without a PEM certificate");
        fail_end(tr, diag, unresolved);
    }
    return pem;
}
