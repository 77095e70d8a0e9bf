/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/schema_int.h"

#include <stdio.h>

/* HTTPHeaderFilter: what RequestHeaderModifier and ResponseHeaderModifier change. */

static const char *is_header_value(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return "not contain control characters";
    }
    return NULL;
}

static const struct decode_field pair_fields[] = {
    {.name = "name", .type = DECODE_STR, .required = true, .at = DECODE_AT(conf_pair, key),
     .min = 1, .max = 256, .check = schema_is_header_name},
    {.name = "value", .type = DECODE_STR, .required = true, .at = DECODE_AT(conf_pair, value),
     .min = 1, .max = 4096, .check = is_header_value},
};
static const struct decode_table pair_table = DECODE_TABLE(pair_fields);

static const struct decode_field mod_fields[] = {
    {.name = "set", .type = DECODE_LIST, .at = DECODE_AT(conf_header_mod, set),
     .at_count = DECODE_AT(conf_header_mod, set_count), .max = 16,
     .item_size = sizeof(struct conf_pair), .table = &pair_table},
    {.name = "add", .type = DECODE_LIST, .at = DECODE_AT(conf_header_mod, add),
     .at_count = DECODE_AT(conf_header_mod, add_count), .max = 16,
     .item_size = sizeof(struct conf_pair), .table = &pair_table},
    {.name = "remove", .type = DECODE_STRS, .at = DECODE_AT(conf_header_mod, remove),
     .at_count = DECODE_AT(conf_header_mod, remove_count), .max = 16,
     .check = schema_is_header_name},
};

/* A list of a header filter. An item begins with its name: a conf_pair, or the name alone. */
struct name_list {
    struct decode *decode;
    const struct doc_node *node; /* of the filter */
    const char *name; /* "set" */
    const char *member; /* of an item in the document, "name"; NULL: the item itself */
    void *items;
    size_t item_size;
    unsigned *count;
};
_Static_assert(offsetof(struct conf_pair, key) == 0, "the name comes first");

static struct span *name_at(const struct name_list *list, unsigned index)
{
    return (struct span *)(void *)((char *)list->items + index * list->item_size);
}

/* A finding at an item's name. */
static struct diag *report(const struct name_list *list, enum diag_code code, unsigned index)
{
    char field[32];
    const struct doc_node *item = schema_child(list->node, list->name)->first;
    for (unsigned i = 0; i < index; i++)
        item = item->next;
    if (list->member != NULL)
        item = schema_child(item, list->member);
    snprintf(field, sizeof(field), "%s[%u]%s%s", list->name, index, list->member ? "." : "",
             list->member ? list->member : "");
    return decode_report(list->decode, code, item, field);
}

/* What the sessions write themselves, whatever the head says (http/headers.tbl). */
static const struct {
    const char *name;
    bool is_of_requests; /* only */
    const char *remedy;
} own_headers[] = {
    {"host", true, "use a URLRewrite filter with hostname"},
    {"expect", true, NULL},
    {"content-length", false, NULL},
    {"transfer-encoding", false, NULL},
    {"connection", false, NULL},
    {"keep-alive", false, NULL},
    {"te", false, NULL},
    {"upgrade", false, NULL},
    {"http2-settings", false, NULL},
    {"proxy", false, NULL},
    {"proxy-authenticate", false, NULL},
    {"proxy-authorization", false, NULL},
    {"proxy-connection", false, NULL},
};

static void check_own(const struct name_list *list, unsigned index, bool is_request)
{
    struct span name = *name_at(list, index);
    for (unsigned i = 0; i < ARRAY_COUNT(own_headers); i++) {
        if (!span_equal_fold(name, span_str(own_headers[i].name)) ||
            (own_headers[i].is_of_requests && !is_request))
            continue;
        struct diag *diag = report(list, DIAG_HEADER_FIXED, index);
        diag_message(diag, "\"%.*s\" is written by the gateway, no filter changes it",
                     SPAN_ARG(name));
        diag_hint(diag, "%s", own_headers[i].remedy ? own_headers[i].remedy : "leave it out");
        diag_consequence(diag, "this entry has no effect, others are unaffected");
    }
}

/* Names of a list are unique as they are written, says the CRD; of those that differ only in case
 * the first one counts (HTTPHeaderFilter.set). */
static bool is_new(const struct name_list *list, unsigned index, unsigned kept)
{
    struct span name = *name_at(list, index);
    for (unsigned i = 0; i < kept; i++) {
        struct span before = *name_at(list, i);
        if (!span_equal_fold(name, before))
            continue;
        bool is_same = span_equal(name, before);
        struct diag *diag =
            report(list, is_same ? DIAG_DUPLICATE_ITEM : DIAG_HEADER_TWICE, index);
        diag_message(diag, "\"%.*s\" is there before as \"%.*s\"", SPAN_ARG(name),
                     SPAN_ARG(before));
        if (!is_same)
            diag_consequence(diag, "the first entry counts, this one has no effect");
        return false;
    }
    return true;
}

static void names_check(const struct name_list *list, bool is_request)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < *list->count; i++) {
        check_own(list, i, is_request);
        if (!is_new(list, i, kept))
            continue;
        if (kept < i)
            memcpy(name_at(list, kept), name_at(list, i), list->item_size);
        kept++;
    }
    *list->count = kept;
}

static void mod_check(struct decode *decode, const struct doc_node *node,
                      struct conf_header_mod *mod, bool is_request)
{
    const struct name_list lists[] = {
        {decode, node, "set", "name", mod->set, sizeof(*mod->set), &mod->set_count},
        {decode, node, "add", "name", mod->add, sizeof(*mod->add), &mod->add_count},
        {decode, node, "remove", NULL, mod->remove, sizeof(*mod->remove), &mod->remove_count},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(lists); i++)
        names_check(&lists[i], is_request);
}

static void request_check(struct decode *decode, const struct doc_node *node, void *out)
{
    mod_check(decode, node, out, true);
}

static void response_check(struct decode *decode, const struct doc_node *node, void *out)
{
    mod_check(decode, node, out, false);
}

const struct decode_table schema_request_headers =
    DECODE_TABLE(mod_fields, .check = request_check);
const struct decode_table schema_response_headers =
    DECODE_TABLE(mod_fields, .check = response_check);
