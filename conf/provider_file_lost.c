/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/provider_file_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A policy that protects is missed when it cannot be used: backends would be spoken to without
 * TLS, requests pass without a limit. So what was to be protected is looked for even in documents
 * that cannot be parsed, and the translator and the author of the files are told. */

static const enum conf_kind kinds[PROVIDER_POLICIES] = {CONF_KIND_BACKEND_TLS_POLICY,
                                                        CONF_KIND_RATE_LIMIT_POLICY};

/* The index into kinds; PROVIDER_POLICIES: none of them. */
static unsigned policy_of(const struct conf_object *obj)
{
    unsigned i = 0;
    while (i < PROVIDER_POLICIES && kinds[i] != obj->kind)
        i++;
    return i;
}

/* --- the text of a broken document --- */

static bool is_word(char c)
{
    unsigned char lower = ascii_lower((unsigned char)c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
}

static size_t skip_blanks(struct span text, size_t at)
{
    while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\t'))
        at++;
    return at;
}

static size_t skip_quote(struct span text, size_t at)
{
    return at < text.len && (text.ptr[at] == '"' || text.ptr[at] == '\'') ? at + 1 : at;
}

static bool is_comment(struct span text, size_t at)
{
    while (at > 0 && text.ptr[at - 1] != '\n')
        at--;
    at = skip_blanks(text, at);
    return at < text.len && text.ptr[at] == '#';
}

/* The next value of a key from *at on, in YAML or JSON: a word, or empty when it is none. */
static bool next_value(struct span text, size_t *at, struct span key, struct span *ret)
{
    for (;;) {
        const char *found = memmem(text.ptr + *at, text.len - *at, key.ptr, key.len);
        if (found == NULL)
            return false;
        size_t begin = (size_t)(found - text.ptr), end;
        *at = begin + key.len;
        if ((begin > 0 && is_word(found[-1])) || is_comment(text, begin))
            continue;
        end = skip_blanks(text, skip_quote(text, *at));
        if (end == text.len || text.ptr[end] != ':')
            continue;
        begin = end = skip_quote(text, skip_blanks(text, end + 1));
        while (end < text.len && is_word(text.ptr[end]))
            end++;
        *at = end;
        *ret = span_make(text.ptr + begin, end - begin);
        return true;
    }
}

/* The one namespace that the text names; empty: none, or not for sure. */
static struct span find_namespace(struct span text)
{
    struct span found = SPAN_NONE, value;
    for (size_t at = 0; next_value(text, &at, SPAN_LIT("namespace"), &value);) {
        if (value.len == 0 || (found.len > 0 && !span_equal(found, value)))
            return SPAN_NONE;
        found = value;
    }
    return found;
}

void provider_file_find_policies(struct provider_doc *doc, const struct conf_source *source,
                                 struct span text)
{
    struct span value;
    for (unsigned i = 0; i < PROVIDER_POLICIES; i++) {
        /* BackendTLSPolicyList is one, too. */
        for (size_t at = 0; next_value(text, &at, SPAN_LIT("kind"), &value);)
            doc->mentions[i] += span_starts_with(value, span_str(conf_kind_name(kinds[i])));
        if (doc->mentions[i] == 0)
            continue;
        struct schema_output *item = provider_file_doc_item(doc);
        item->object = schema_unread(kinds[i], find_namespace(text), source, doc->line);
    }
}

/* --- the policies that are lost --- */

static void lose(struct provider_file *provider, struct conf_object *obj)
{
    size_t size = (provider->lost_count + 1) * sizeof(provider->lost[0]);
    provider->lost = xrealloc(provider->lost, size);
    provider->lost[provider->lost_count++] = conf_object_ref(obj);
}

static bool is_in(const struct objects *set, const struct conf_object *obj)
{
    return set != NULL && objects_find(set, obj->kind, obj->ns, obj->name) != NULL;
}

/* Whether a version of the object, or of what a broken document mentions, is in force. kept: by
 * kind, policies of broken documents of the file; each stands for one that a text mentions. */
static bool is_in_force(const struct provider_doc *doc, const struct conf_object *obj,
                        const struct objects *set, unsigned *kept)
{
    unsigned kind = policy_of(obj);
    if (!doc->is_broken)
        return obj->name.len > 0 && is_in(set, obj);
    if (doc->mentions[kind] > kept[kind])
        return false;
    kept[kind] -= doc->mentions[kind];
    return true;
}

void provider_file_find_lost(struct provider_file *provider, const struct objects *set,
                             const struct objects *twice)
{
    provider_file_drop_lost(provider);
    for (unsigned i = 0; i < provider->sources_count; i++) {
        const struct provider_source *source = provider->sources[i];
        unsigned kept[PROVIDER_POLICIES + 1] = {0};
        for (unsigned j = 0; j < source->stale_count; j++)
            kept[policy_of(source->stale[j])]++;
        for (unsigned j = 0; j < source->docs_count; j++) {
            const struct provider_doc *doc = source->docs[j];
            for (unsigned k = 0; k < doc->items_count; k++) {
                struct conf_object *obj = doc->items[k].object;
                bool is_used = doc->items[k].is_good && !is_in(twice, obj);
                if (!is_used && policy_of(obj) < PROVIDER_POLICIES &&
                    !is_in_force(doc, obj, set, kept))
                    lose(provider, obj);
            }
        }
    }
}

void provider_file_drop_lost(struct provider_file *provider)
{
    for (unsigned i = 0; i < provider->lost_count; i++)
        conf_object_unref(provider->lost[i]);
    free(provider->lost);
    provider->lost = NULL;
    provider->lost_count = 0;
}

bool provider_file_is_lost(const struct provider_file *provider, const struct conf_object *obj)
{
    for (unsigned i = 0; i < provider->lost_count; i++) {
        if (provider->lost[i] == obj)
            return true;
    }
    return false;
}

/* --- what that means --- */

static void tell_limits(const struct conf_rate_limit_policy *policy, struct diag *diag)
{
    char more[32] = "";
    if (policy->targets_count == 0) {
        diag_consequence(diag, "requests that it is for are NOT limited");
        return;
    }
    const struct conf_ref *first = &policy->targets[0];
    if (policy->targets_count > 1)
        (void)snprintf(more, sizeof(more), " and %u more", policy->targets_count - 1);
    diag_consequence(diag, "requests of %s \"%.*s\"%s are NOT limited", first->kind,
                     SPAN_ARG(first->name), more);
}

void provider_file_tell_lost(const struct conf_object *obj, struct diag *diag)
{
    if (obj->kind == CONF_KIND_RATE_LIMIT_POLICY)
        tell_limits(obj->rate_limit_policy, diag);
    else if (obj->kind != CONF_KIND_BACKEND_TLS_POLICY)
        diag_consequence(diag, "the object is left out; others are unaffected");
    else if (obj->backend_tls_policy->targets_count > 0)
        diag_consequence(diag, "backends that it targets answer 503, never without TLS");
    else if (obj->ns.len > 0)
        diag_consequence(diag,
                         "its targets are not known: Services of namespace \"%.*s\" without "
                         "another policy answer 503",
                         SPAN_ARG(obj->ns));
    else
        diag_consequence(diag, "its targets are not known: all Services without another "
                               "BackendTLSPolicy answer 503");
}
