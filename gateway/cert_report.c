/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/cert_report.h"

#include <string.h>

#include "base/clock.h"
#include "base/panic.h"
#include "conf/objects.h"
#include "tls/cert.h"

struct seen {
    struct hmap_node node;
    const char *text;
};

static bool is_seen(struct cert_report *report, struct span pem)
{
    struct seen *seen = arena_new(&report->arena, struct seen);
    ASSERT(seen);
    seen->text = pem.ptr;
    struct span key = span_make(&seen->text, sizeof(seen->text));
    if (hmap_find(&report->seen, key))
        return true;
    hmap_insert(&report->seen, &seen->node, key);
    return false;
}

/* The object one of whose values is this very text, or NULL. */
static const struct conf_object *find_owner(const struct model *model, enum conf_kind kind,
                                            struct span pem)
{
    unsigned count;
    const struct conf_object *const *list = objects_list(model->objects, kind, &count);
    for (unsigned i = 0; i < count; i++) {
        bool is_secret = kind == CONF_KIND_SECRET;
        const struct conf_pair *data =
            is_secret ? list[i]->secret->data : list[i]->config_map->data;
        unsigned data_count =
            is_secret ? list[i]->secret->data_count : list[i]->config_map->data_count;
        for (unsigned j = 0; j < data_count; j++) {
            if (data[j].value.ptr == pem.ptr)
                return list[i];
        }
    }
    return NULL;
}

static void tell_expired(struct cert_report *report, const struct conf_object *owner,
                         const char *key, int64_t not_after)
{
    bool is_pair = strcmp(key, "tls.crt") == 0;
    struct diag *diag =
        diags_add(report->diags, DIAG_CERTIFICATE_EXPIRED, owner, (struct conf_pos){0, 0});
    char when[CLOCK_ISO_SIZE];
    clock_iso(not_after > 0 ? (uint64_t)not_after * NS_PER_S : 0, when);
    diag_field(diag, "data[%s]", key);
    diag_message(diag, "%s expired on %.10s",
                 is_pair ? "the certificate" : "the last of the certificates", when);
    diag_consequence(diag, "%s",
                     is_pair ? "it is served, but peers refuse it"
                             : "nobody whom this authority signed is trusted");
}

void cert_report_pair(struct cert_report *report, const struct model_cert *cert, const char *reason,
                      const char *consequence)
{
    const struct conf_pos nowhere = {0, 0};
    struct cert_info info;
    struct err err;
    if (is_seen(report, cert->cert_pem))
        return;
    const struct conf_object *owner = find_owner(report->model, CONF_KIND_SECRET, cert->cert_pem);
    if (cert_check_pair(cert->cert_pem, cert->key_pem, &info, &err) < 0) {
        struct diag *diag = diags_add(report->diags, DIAG_KEY_MISMATCH, owner, nowhere);
        diag_field(diag, "data");
        diag_message(diag, "%s", err.text);
        diag_condition(diag, "ResolvedRefs=False, %s", reason);
        diag_consequence(diag, "%s", consequence);
    } else if (info.not_after < report->now_s) {
        tell_expired(report, owner, "tls.crt", info.not_after);
    }
}

void cert_report_authority(struct cert_report *report, struct span pem, const char *consequence)
{
    struct err err;
    if (pem.len == 0 || is_seen(report, pem))
        return;
    const struct conf_object *owner = find_owner(report->model, CONF_KIND_CONFIG_MAP, pem);
    int64_t not_after;
    if (!owner)
        owner = find_owner(report->model, CONF_KIND_SECRET, pem);
    if (cert_check_ca(pem, &err) == 0) {
        if (cert_check_bundle(pem, &not_after, &err) == 0 && not_after < report->now_s)
            tell_expired(report, owner, "ca.crt", not_after);
        return;
    }
    struct diag *diag = diags_add(report->diags, DIAG_CA_INVALID, owner, (struct conf_pos){0, 0});
    diag_field(diag, "data[ca.crt]");
    diag_message(diag, "%s", err.text);
    diag_condition(diag, "ResolvedRefs=False, InvalidCACertificateRef");
    diag_consequence(diag, "%s", consequence);
}

void cert_report_init(struct cert_report *report, const struct model *model, struct diags *diags,
                      int64_t now_s)
{
    *report = (struct cert_report){.model = model, .diags = diags, .now_s = now_s};
    hmap_init(&report->seen, 0);
    arena_init(&report->arena, 4096, 0, NULL);
}

void cert_report_fini(struct cert_report *report)
{
    arena_fini(&report->arena);
    hmap_fini(&report->seen);
}
