/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/message.h"

#include "http/field.h"

#define MESSAGE_FIELDS_MAX 4096u

struct http_head *http_head_new(struct arena *arena, unsigned fields_cap)
{
    ASSERT(arena != NULL);
    struct http_head *head = arena_new(arena, struct http_head);
    if (head == NULL)
        return NULL;
    head->arena = arena;
    head->version_major = 1;
    head->version_minor = 1;
    if (fields_cap == 0)
        return head;
    head->fields = arena_alloc(arena, fields_cap * sizeof(*head->fields));
    if (head->fields == NULL)
        return NULL;
    head->fields_cap = fields_cap;
    return head;
}

const char *http_head_protocol(const struct http_head *head)
{
    if (head->version_major == 2)
        return "HTTP/2";
    return head->version_minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

struct http_head *http_head_copy(const struct http_head *head, struct arena *arena)
{
    struct http_head *copy = arena_alloc(arena, sizeof(*copy));
    struct http_field *fields = arena_array(arena, struct http_field, head->fields_count);
    if (copy == NULL || fields == NULL)
        return NULL;
    *copy = *head;
    copy->arena = arena;
    copy->fields = fields;
    copy->fields_cap = head->fields_count;
    copy->fields_count = 0;
    for (unsigned i = 0; i < head->fields_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->removed && field->id != HTTP_HEADER_TE)
            continue;
        fields[copy->fields_count] = *field;
        fields[copy->fields_count].name = arena_copy(arena, field->name);
        fields[copy->fields_count++].value = arena_copy(arena, field->value);
    }
    struct span *texts[] = {&copy->method_text, &copy->target, &copy->path,   &copy->query,
                            &copy->authority,   &copy->host,   &copy->scheme, &copy->upgrade};
    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++)
        *texts[i] = arena_copy(arena, *texts[i]);
    return arena_ok(arena) ? copy : NULL;
}

static bool message_grow(struct http_head *head)
{
    unsigned cap = MAX(head->fields_cap * 2, 8u);
    cap = MIN(cap, MESSAGE_FIELDS_MAX);
    if (cap <= head->fields_count)
        return false;
    struct http_field *fields = arena_alloc(head->arena, cap * sizeof(*fields));
    if (fields == NULL)
        return false;
    if (head->fields_count > 0)
        memcpy(fields, head->fields, head->fields_count * sizeof(*fields));
    head->fields = fields;
    head->fields_cap = cap;
    return true;
}

static bool message_add(struct http_head *head, struct span name, struct span value,
                        enum http_header_id id)
{
    if (head->fields_count == head->fields_cap && !message_grow(head))
        return false;
    head->fields[head->fields_count++] =
        (struct http_field){.name = name, .value = value, .id = id};
    head->ids |= http_header_bit(id, true);
    return true;
}

bool http_head_add(struct http_head *head, struct span name, struct span value)
{
    return message_add(head, name, value, http_header_find(name));
}

bool http_head_add_found(struct http_head *head, enum http_header_id id, struct span name,
                         struct span value)
{
    return message_add(head, name, value, id);
}

bool http_head_add_id(struct http_head *head, enum http_header_id id, struct span value)
{
    ASSERT(id != HTTP_HEADER_OTHER);
    return message_add(head, http_header_name(id), value, id);
}

static inline bool message_is(const struct http_field *field, enum http_header_id id,
                              struct span name)
{
    if (LIKELY(field->id != id) || field->removed)
        return false;
    return id != HTTP_HEADER_OTHER || span_equal_fold(field->name, name);
}

static struct http_field *message_find(const struct http_head *head, enum http_header_id id,
                                       struct span name)
{
    if (!http_head_may_have(head, http_header_bit(id, true)))
        return NULL;
    for (unsigned i = 0; i < head->fields_count; i++)
        if (message_is(&head->fields[i], id, name))
            return &head->fields[i];
    return NULL;
}

static unsigned message_remove(struct http_head *head, enum http_header_id id, struct span name)
{
    unsigned count = 0;
    if (!http_head_may_have(head, http_header_bit(id, true)))
        return 0;
    for (unsigned i = 0; i < head->fields_count; i++) {
        if (!message_is(&head->fields[i], id, name))
            continue;
        head->fields[i].removed = true;
        count++;
    }
    return count;
}

static bool message_set(struct http_head *head, struct span name, struct span value,
                        enum http_header_id id)
{
    struct http_field *field = message_find(head, id, name);
    if (field == NULL)
        return message_add(head, name, value, id);
    (void)message_remove(head, id, name); /* how many there were does not matter */
    field->removed = false;
    field->value = value;
    return true;
}

bool http_head_set(struct http_head *head, struct span name, struct span value)
{
    return message_set(head, name, value, http_header_find(name));
}

bool http_head_set_id(struct http_head *head, enum http_header_id id, struct span value)
{
    ASSERT(id != HTTP_HEADER_OTHER);
    return message_set(head, http_header_name(id), value, id);
}

unsigned http_head_remove(struct http_head *head, struct span name)
{
    return message_remove(head, http_header_find(name), name);
}

unsigned http_head_remove_id(struct http_head *head, enum http_header_id id)
{
    ASSERT(id != HTTP_HEADER_OTHER);
    return message_remove(head, id, SPAN_NONE);
}

struct http_field *http_head_find(const struct http_head *head, struct span name)
{
    return message_find(head, http_header_find(name), name);
}

struct http_field *http_head_find_id(const struct http_head *head, enum http_header_id id)
{
    ASSERT(id != HTTP_HEADER_OTHER);
    return message_find(head, id, SPAN_NONE);
}

/* Connection may name a field away unless others rely on it: a client that
 * lists X-Forwarded-For or Host would otherwise make the backend see another request. */
static void message_remove_named(struct http_head *head, struct span list)
{
    struct span name;
    while (field_list_next(&list, &name)) {
        enum http_header_id id = http_header_find(name);
        if (id != HTTP_HEADER_OTHER && http_header_has(id, HTTP_HEADER_PINNED))
            continue;
        (void)message_remove(head, id, name); /* naming an absent field is allowed */
    }
}

void http_head_remove_hop_by_hop(struct http_head *head)
{
    if (!http_head_may_have(head, http_header_ids(HTTP_HEADER_HOP)))
        return;
    for (unsigned i = 0; i < head->fields_count; i++)
        if (head->fields[i].id == HTTP_HEADER_CONNECTION && !head->fields[i].removed)
            message_remove_named(head, head->fields[i].value);
    for (unsigned i = 0; i < head->fields_count; i++)
        if (http_header_has(head->fields[i].id, HTTP_HEADER_HOP))
            head->fields[i].removed = true;
}

static const struct {
    struct span text;
    enum http_method method;
} message_methods[] = {
    {{"GET", 3}, HTTP_METHOD_GET},         {{"POST", 4}, HTTP_METHOD_POST},
    {{"HEAD", 4}, HTTP_METHOD_HEAD},       {{"PUT", 3}, HTTP_METHOD_PUT},
    {{"DELETE", 6}, HTTP_METHOD_DELETE},   {{"PATCH", 5}, HTTP_METHOD_PATCH},
    {{"OPTIONS", 7}, HTTP_METHOD_OPTIONS}, {{"CONNECT", 7}, HTTP_METHOD_CONNECT},
    {{"TRACE", 5}, HTTP_METHOD_TRACE},
};

enum http_method http_method_from_span(struct span text)
{
    for (size_t i = 0; i < ARRAY_COUNT(message_methods); i++)
        if (span_equal(text, message_methods[i].text))
            return message_methods[i].method;
    return HTTP_METHOD_OTHER;
}

bool http_method_is_known(struct span text)
{
    static const struct span others[] = {
#define METHOD(text) {text, sizeof(text) - 1},
#include "http/methods.tbl"
#undef METHOD
    };
    if (http_method_from_span(text) != HTTP_METHOD_OTHER)
        return true;
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        if (span_equal(text, others[i]))
            return true;
    return false;
}

bool http_method_is_idempotent(enum http_method method)
{
    switch (method) {
    case HTTP_METHOD_GET:
    case HTTP_METHOD_HEAD:
    case HTTP_METHOD_PUT:
    case HTTP_METHOD_DELETE:
    case HTTP_METHOD_OPTIONS:
    case HTTP_METHOD_TRACE:
        return true;
    default:
        return false;
    }
}

bool http_method_announces_empty(enum http_method method)
{
    return method == HTTP_METHOD_POST || method == HTTP_METHOD_PUT || method == HTTP_METHOD_PATCH;
}

static const struct {
    uint16_t status;
    const char *text;
} message_statuses[] = {
#define STATUS(code, phrase) {code, phrase},
#include "http/status.tbl"
#undef STATUS
};

const char *http_status_text(unsigned status)
{
    for (size_t i = 0; i < ARRAY_COUNT(message_statuses); i++)
        if (message_statuses[i].status == status)
            return message_statuses[i].text;
    return "";
}

bool http_status_has_no_body(unsigned status)
{
    return status < 200 || status == 204 || status == 304;
}
