/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "conf/decode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* Nobody corrects more than this many mistakes of one object at a time. */
#define FINDINGS_MAX 50

void decode_enter(struct decode *decode, struct decode_path *frame, struct span name, int index)
{
    *frame = (struct decode_path){.up = decode->path, .name = name, .index = index};
    decode->path = frame;
}

void decode_leave(struct decode *decode)
{
    ASSERT(decode->path != NULL);
    decode->path = decode->path->up;
}

static void path_format(const struct decode_path *path, const char *name, char *out, size_t size)
{
    const struct decode_path *frames[DOC_DEPTH_MAX * 2];
    unsigned count = 0;
    for (; path != NULL && count < ARRAY_COUNT(frames); path = path->up)
        frames[count++] = path;
    size_t at = 0;
    out[0] = '\0';
    while (count > 0 && at < size) {
        const struct decode_path *frame = frames[--count];
        int n = frame->index >= 0
                    ? snprintf(out + at, size - at, "[%d]", frame->index)
                    : snprintf(out + at, size - at, "%s%.*s", at > 0 ? "." : "",
                               (int)MIN(frame->name.len, (size_t)80), frame->name.ptr);
        at += (size_t)MAX(n, 0);
    }
    if (name != NULL && at < size)
        (void)snprintf(out + at, size - at, "%s%s", at > 0 ? "." : "", name);
}

struct diag *decode_report(struct decode *decode, enum diag_code code, const struct doc_node *node,
                           const char *name)
{
    struct diags *diags = decode->diags;
    if (diag_code_severity(code) == DIAG_ERROR)
        decode->errors++;
    if (diags != NULL && diags->count >= FINDINGS_MAX)
        diags = NULL;
    struct diag *diag = diags_add(diags, code, decode->object, node->pos);
    path_format(decode->path, name, diag->field, sizeof(diag->field));
    diag->object_pos = (struct conf_pos){0};
    diag->length = doc_width(node);
    return diag;
}

struct conf_place decode_place(const struct decode *decode, struct conf_pos pos)
{
    struct conf_pos first = decode->object->pos;
    if (pos.line < first.line || pos.line - first.line >= UINT16_MAX)
        return (struct conf_place){0};
    uint32_t column = pos.line == first.line ? pos.column - first.column + 1 : pos.column;
    return (struct conf_place){
        .line = (uint16_t)(pos.line - first.line + 1),
        .column = column <= UINT16_MAX ? (uint16_t)column : 0,
    };
}

static void put_place(const struct decode *decode, const struct doc_node *node, char *out,
                      uint16_t at)
{
    if (at != 0)
        *(struct conf_place *)(void *)(out + at - 1) = decode_place(decode, node->pos);
}

static void check_full(struct decode *decode)
{
    if (arena_ok(decode->arena) || decode->is_full)
        return;
    decode->is_full = true;
    decode->errors++;
    struct diag *diag = diags_add(decode->diags, DIAG_TOO_BIG, decode->object, decode->object->pos);
    diag_message(diag, "object needs more than %zu MiB of memory", decode->arena->cap >> 20);
}

void *decode_array(struct decode *decode, size_t count, size_t size)
{
    void *array = arena_calloc(decode->arena, count, size);
    check_full(decode);
    return array;
}

struct span decode_copy(struct decode *decode, struct span text)
{
    struct span copy = arena_copy(decode->arena, text);
    check_full(decode);
    return copy;
}

static void report_type(struct decode *decode, const struct doc_node *node, const char *wanted)
{
    struct diag *diag = decode_report(decode, DIAG_TYPE, node, NULL);
    diag_message(diag, "must be %s, not %s", wanted, doc_describe(node));
}

bool decode_is_map(struct decode *decode, const struct doc_node *node)
{
    if (node->type == DOC_MAP)
        return true;
    report_type(decode, node, "a map");
    return false;
}

bool decode_is_list(struct decode *decode, const struct doc_node *node)
{
    if (node->type == DOC_LIST)
        return true;
    report_type(decode, node, "a list");
    return false;
}

bool decode_is_string(struct decode *decode, const struct doc_node *node)
{
    if (node->type != DOC_SCALAR) {
        report_type(decode, node, "a string");
        return false;
    }
    enum doc_tag tag = doc_tag_of(node);
    if (tag == DOC_TAG_STRING)
        return true;
    struct diag *diag = decode_report(decode, DIAG_TYPE, node, NULL);
    diag_message(diag, "must be a string, but without quotes %.*s is %s",
                 (int)MIN(node->text.len, (size_t)60), node->text.len > 0 ? node->text.ptr : "",
                 doc_describe(node));
    diag_hint(diag, "write \"%.*s\"", (int)MIN(node->text.len, (size_t)60),
              node->text.len > 0 ? node->text.ptr : "");
    return false;
}

/* The word's index, or -1 after a finding that names the words. */
static int find_word(struct decode *decode, const char *const *words, const struct doc_node *node)
{
    char list[200];
    size_t at = 0;
    unsigned count = 0;
    for (; words[count] != NULL; count++) {
        if (span_equal_str(node->text, words[count]))
            return (int)count;
    }
    list[0] = '\0';
    for (unsigned i = 0; i < count && at < sizeof(list); i++) {
        int n = snprintf(list + at, sizeof(list) - at, "%s%s",
                         i == 0 ? "" : (i + 1 == count ? " or " : ", "), words[i]);
        at += (size_t)MAX(n, 0);
    }
    struct diag *diag = decode_report(decode, DIAG_ENUM, node, NULL);
    diag_message(diag, "\"%.*s\" is not allowed: must be %s", (int)MIN(node->text.len, (size_t)60),
                 node->text.ptr, list);
    const char *near = diag_did_you_mean(node->text, words, count);
    if (near != NULL)
        diag_hint(diag, "did you mean \"%s\"?", near);
    return -1;
}

static bool check_string(struct decode *decode, const struct decode_field *field,
                         const struct doc_node *node)
{
    if (!decode_is_string(decode, node))
        return false;
    size_t len = node->text.len;
    if (len < field->min || (field->max > 0 && len > field->max)) {
        struct diag *diag = decode_report(decode, DIAG_RANGE, node, NULL);
        if (len == 0)
            diag_message(diag, "must not be empty");
        else
            diag_message(diag, "is %zu bytes long: allowed are %" PRIu64 " to %" PRIu64, len,
                         field->min, field->max);
        return false;
    }
    const char *wanted = field->check != NULL ? field->check(node->text) : NULL;
    if (wanted == NULL)
        return true;
    struct diag *diag = decode_report(decode, DIAG_FORMAT, node, NULL);
    diag_message(diag, "\"%.*s\" must %s", (int)MIN(len, (size_t)100),
                 len > 0 ? node->text.ptr : "", wanted);
    return false;
}

static void field_str(struct decode *decode, const struct decode_field *field,
                      const struct doc_node *node, char *out)
{
    if (!check_string(decode, field, node))
        return;
    struct span *value = (struct span *)(void *)(out + field->at - 1);
    if (field->words != NULL) {
        /* The word itself is constant: no copy. */
        int index = find_word(decode, field->words, node);
        *value = index >= 0 ? span_str(field->words[index]) : SPAN_NONE;
        return;
    }
    *value = decode_copy(decode, node->text);
}

static void field_word(struct decode *decode, const struct decode_field *field,
                       const struct doc_node *node, char *out)
{
    ASSERT(field->check != NULL);
    if (!check_string(decode, field, node))
        return;
    bool is_default = field->def != NULL && span_equal_str(node->text, field->def);
    *(const char **)(void *)(out + field->at - 1) =
        is_default ? field->def : decode_copy(decode, node->text).ptr;
}

static void put_int(const struct decode_field *field, char *out, uint64_t value)
{
    char *at = out + field->at - 1;
    if (field->type == DECODE_BOOL)
        *(bool *)at = value != 0;
    else if (field->type == DECODE_ENUM)
        *(unsigned *)(void *)at = (unsigned)value;
    else if (field->type == DECODE_DURATION || field->width == 8)
        *(uint64_t *)(void *)at = value;
    else if (field->width == 4)
        *(uint32_t *)(void *)at = (uint32_t)value;
    else if (field->width == 1)
        *(uint8_t *)at = (uint8_t)value;
    else
        *(uint16_t *)(void *)at = (uint16_t)value;
}

static void report_int_range(struct decode *decode, const struct decode_field *field,
                             const struct doc_node *node)
{
    struct diag *diag = decode_report(decode, DIAG_RANGE, node, NULL);
    diag_message(diag, "%.*s is out of range: allowed are %" PRIu64 " to %" PRIu64,
                 (int)MIN(node->text.len, (size_t)60), node->text.ptr, field->min, field->max);
}

static void field_int(struct decode *decode, const struct decode_field *field,
                      const struct doc_node *node, char *out)
{
    if (node->type != DOC_SCALAR || doc_tag_of(node) != DOC_TAG_INT) {
        report_type(decode, node, "a whole number");
        return;
    }
    uint64_t value;
    struct span text = node->text;
    int r = text.len > 1 && text.ptr[0] == '0' ? -EINVAL : span_to_u64(text, UINT64_MAX, &value);
    if (r == -EINVAL && text.ptr[0] != '-') {
        struct diag *diag = decode_report(decode, DIAG_FORMAT, node, NULL);
        diag_message(diag, "%.*s must be decimal digits without leading zeros",
                     (int)MIN(text.len, (size_t)60), text.ptr);
        return;
    }
    if (r != 0 || value < field->min || (field->max > 0 && value > field->max)) {
        report_int_range(decode, field, node);
        return;
    }
    put_int(field, out, value);
}

static void field_bool(struct decode *decode, const struct decode_field *field,
                       const struct doc_node *node, char *out)
{
    if (node->type != DOC_SCALAR || doc_tag_of(node) != DOC_TAG_BOOL) {
        report_type(decode, node, "true or false");
        return;
    }
    bool is_true = span_equal_fold(node->text, SPAN_LIT("true"));
    if (!is_true && !span_equal_fold(node->text, SPAN_LIT("false"))) {
        struct diag *diag = decode_report(decode, DIAG_TYPE, node, NULL);
        diag_message(diag, "must be true or false, not \"%.*s\"", SPAN_ARG(node->text));
        return;
    }
    put_int(field, out, is_true);
}

int decode_duration(struct span text, uint64_t *ret_ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"ms", NS_PER_MS}, {"h", 3600 * NS_PER_S}, {"m", 60 * NS_PER_S}, {"s", NS_PER_S}};
    uint64_t total = 0;
    unsigned parts = 0;
    while (text.len > 0) {
        size_t digits = 0;
        uint64_t value, unit_ns = 0;
        while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
            digits++;
        if (digits == 0 || digits > 5 || ++parts > 4)
            return -EINVAL;
        int r = span_to_u64(span_make(text.ptr, digits), 99999, &value);
        if (r != 0)
            return -EINVAL;
        text = span_skip(text, digits);
        for (unsigned i = 0; i < ARRAY_COUNT(units) && unit_ns == 0; i++) {
            if (span_starts_with(text, span_str(units[i].unit))) {
                unit_ns = units[i].ns;
                text = span_skip(text, strlen(units[i].unit));
            }
        }
        if (unit_ns == 0)
            return -EINVAL;
        total += value * unit_ns; /* at most 4 * 99999 hours: 1.4e18 */
    }
    if (parts == 0)
        return -EINVAL;
    *ret_ns = total;
    return 0;
}

/* "1h", "90s" or "1500ms": in the largest unit that needs no second one. */
static void duration_format(uint64_t ns, char out[32])
{
    if (ns != 0 && ns % (3600 * NS_PER_S) == 0)
        (void)snprintf(out, 32, "%" PRIu64 "h", ns / (3600 * NS_PER_S));
    else if (ns % NS_PER_S == 0)
        (void)snprintf(out, 32, "%" PRIu64 "s", ns / NS_PER_S);
    else
        (void)snprintf(out, 32, "%" PRIu64 "ms", ns / NS_PER_MS);
}

static void field_duration(struct decode *decode, const struct decode_field *field,
                           const struct doc_node *node, char *out)
{
    uint64_t ns;
    if (!decode_is_string(decode, node))
        return;
    if (decode_duration(node->text, &ns) != 0) {
        struct diag *diag = decode_report(decode, DIAG_FORMAT, node, NULL);
        diag_message(diag, "\"%.*s\" must be a duration: numbers with unit h, m, s or ms, as 1m30s",
                     (int)MIN(node->text.len, (size_t)60),
                     node->text.len > 0 ? node->text.ptr : "");
        return;
    }
    if (ns < field->min || (field->max > 0 && ns > field->max)) {
        struct diag *diag = decode_report(decode, DIAG_RANGE, node, NULL);
        char min[32], max[32];
        duration_format(field->min, min);
        duration_format(field->max, max);
        diag_message(diag, "%.*s is out of range: allowed are %s to %s", SPAN_ARG(node->text), min,
                     max);
        return;
    }
    put_int(field, out, ns);
}

static bool check_count(struct decode *decode, const struct decode_field *field,
                        const struct doc_node *node)
{
    if (node->count >= field->min && (field->max == 0 || node->count <= field->max))
        return true;
    struct diag *diag = decode_report(decode, DIAG_COUNT, node, NULL);
    if (field->max == 0)
        diag_message(diag, "has %u entries: at least %" PRIu64 " must be there", node->count,
                     field->min);
    else
        diag_message(diag, "has %u entries: allowed are %" PRIu64 " to %" PRIu64, node->count,
                     field->min, field->max);
    return false;
}

static void field_pairs(struct decode *decode, const struct decode_field *field,
                        const struct doc_node *node, char *out)
{
    if (!decode_is_map(decode, node) || !check_count(decode, field, node))
        return;
    struct conf_pair *pairs = decode_array(decode, node->count, sizeof(*pairs));
    unsigned count = 0;
    for (const struct doc_node *child = node->first; child && pairs; child = child->next) {
        struct decode_path frame;
        decode_enter(decode, &frame, child->key, -1);
        /* An empty value of a label is legal; null is what an empty one looks like. */
        if (doc_is_null(child) || decode_is_string(decode, child)) {
            pairs[count].key = decode_copy(decode, child->key);
            pairs[count++].value =
                doc_is_null(child) ? SPAN_NONE : decode_copy(decode, child->text);
        }
        decode_leave(decode);
    }
    *(struct conf_pair **)(void *)(out + field->at - 1) = pairs;
    *(unsigned *)(void *)(out + field->at_count - 1) = count;
}

static void field_strs(struct decode *decode, const struct decode_field *field,
                       const struct doc_node *node, char *out)
{
    struct decode_field item = {
        .type = DECODE_STR, .at = DECODE_HERE, .check = field->check, .words = field->words};
    if (!decode_is_list(decode, node) || !check_count(decode, field, node))
        return;
    struct span *list = decode_array(decode, node->count, sizeof(*list));
    unsigned count = 0;
    for (const struct doc_node *child = node->first; child && list; child = child->next) {
        struct decode_path frame;
        decode_enter(decode, &frame, SPAN_NONE, (int)count);
        field_str(decode, &item, child, (char *)&list[count++]);
        decode_leave(decode);
    }
    *(struct span **)(void *)(out + field->at - 1) = list;
    *(unsigned *)(void *)(out + field->at_count - 1) = count;
}

static void field_list(struct decode *decode, const struct decode_field *field,
                       const struct doc_node *node, char *out)
{
    if (!decode_is_list(decode, node) || !check_count(decode, field, node))
        return;
    ASSERT(field->item_size > 0);
    char *list = decode_array(decode, node->count, field->item_size);
    unsigned count = 0;
    for (const struct doc_node *child = node->first; child && list; child = child->next) {
        struct decode_path frame;
        decode_enter(decode, &frame, SPAN_NONE, (int)count);
        decode_table(decode, field->table, child, list + (size_t)count * field->item_size);
        decode_leave(decode);
        count++;
    }
    *(void **)(void *)(out + field->at - 1) = list;
    *(unsigned *)(void *)(out + field->at_count - 1) = count;
}

static void field_enum(struct decode *decode, const struct decode_field *field,
                       const struct doc_node *node, char *out)
{
    if (!decode_is_string(decode, node))
        return;
    int index = find_word(decode, field->words, node);
    if (index >= 0)
        put_int(field, out, (uint64_t)index);
}

static void report_unserved(struct decode *decode, const struct decode_field *field,
                            const struct doc_node *node)
{
    bool is_error = field->type == DECODE_REFUSED;
    struct diag *diag =
        decode_report(decode, is_error ? DIAG_FIELD_REFUSED : DIAG_FIELD_UNSERVED, node, NULL);
    diag_message(diag, is_error ? "is not served by this version, and the object would mean "
                                  "something else without it"
                                : "is not served by this version and has no effect");
}

void decode_field(struct decode *decode, const struct decode_field *field,
                  const struct doc_node *node, void *out_struct)
{
    char *out = out_struct;
    if (field->at_has != 0)
        *(bool *)(out + field->at_has - 1) = true;
    put_place(decode, node, out, field->at_pos);
    switch (field->type) {
    case DECODE_STR:
        field_str(decode, field, node, out);
        return;
    case DECODE_WORD:
        field_word(decode, field, node, out);
        return;
    case DECODE_INT:
        field_int(decode, field, node, out);
        return;
    case DECODE_BOOL:
        field_bool(decode, field, node, out);
        return;
    case DECODE_DURATION:
        field_duration(decode, field, node, out);
        return;
    case DECODE_ENUM:
        field_enum(decode, field, node, out);
        return;
    case DECODE_PAIRS:
        field_pairs(decode, field, node, out);
        return;
    case DECODE_STRS:
        field_strs(decode, field, node, out);
        return;
    case DECODE_OBJECT:
        decode_table(decode, field->table, node, out + field->at - 1);
        return;
    case DECODE_LIST:
        field_list(decode, field, node, out);
        return;
    case DECODE_FN:
        field->fn(decode, node, out);
        return;
    case DECODE_SKIP:
        return;
    case DECODE_UNSERVED:
    case DECODE_REFUSED:
        report_unserved(decode, field, node);
        return;
    }
    UNREACHABLE();
}

static void report_unknown(struct decode *decode, const struct decode_table *table,
                           const struct doc_node *node)
{
    const char *names[64];
    unsigned count = 0;
    for (; count < table->count && count < ARRAY_COUNT(names); count++)
        names[count] = table->fields[count].name;
    struct diag *diag = decode_report(decode, DIAG_UNKNOWN_FIELD, node, NULL);
    diag->pos = node->key_pos;
    diag->length = doc_key_width(node);
    diag_message(diag, "is not a field of the API and has no effect");
    const char *near = diag_did_you_mean(node->key, names, count);
    if (near != NULL)
        diag_hint(diag, "did you mean \"%s\"?", near);
}

static void apply_defaults(const struct decode_table *table, char *out)
{
    for (unsigned i = 0; i < table->count; i++) {
        const struct decode_field *field = &table->fields[i];
        if (field->type == DECODE_WORD)
            *(const char **)(void *)(out + field->at - 1) = field->def;
        else if (field->def != NULL)
            *(struct span *)(void *)(out + field->at - 1) = span_str(field->def);
        else if (field->def_int != 0)
            put_int(field, out, field->def_int);
    }
}

void decode_table(struct decode *decode, const struct decode_table *table,
                  const struct doc_node *node, void *out)
{
    ASSERT(table->count <= 64);
    uint64_t seen = 0;
    unsigned errors = decode->errors;
    put_place(decode, node, out, table->at_pos);
    if (!decode_is_map(decode, node))
        return;
    apply_defaults(table, out);
    /* Authors write fields in the order of the API: the search goes on where the last one ended. */
    unsigned at = 0;
    for (const struct doc_node *child = node->first; child != NULL; child = child->next) {
        unsigned tries = 0;
        while (tries < table->count && !span_equal_str(child->key, table->fields[at].name)) {
            at = at + 1 < table->count ? at + 1 : 0;
            tries++;
        }
        struct decode_path frame;
        decode_enter(decode, &frame, child->key, -1);
        if (tries == table->count) {
            report_unknown(decode, table, child);
        } else if (!doc_is_null(child)) {
            seen |= UINT64_C(1) << at;
            decode_field(decode, &table->fields[at], child, out);
        }
        decode_leave(decode);
    }
    for (unsigned i = 0; i < table->count; i++) {
        if (!table->fields[i].required || (seen >> i & 1) != 0)
            continue;
        struct diag *diag = decode_report(decode, DIAG_REQUIRED, node, table->fields[i].name);
        diag_message(diag, "is missing");
    }
    /* Rules over several fields make sense only when each of them does. */
    if (table->check != NULL && (table->check_always || decode->errors == errors))
        table->check(decode, node, out);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : (c == '/' ? 63 : -1);
}

int decode_base64(struct decode *decode, struct span text, struct span *ret)
{
    char *out = decode_array(decode, text.len / 4 * 3 + 4, 1);
    size_t len = 0;
    uint32_t bits = 0;
    unsigned digits = 0, padding = 0;
    if (out == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\n' || c == '\r' || c == ' ' || c == '\t')
            continue;
        int value = base64_value(c);
        if (c == '=' && digits % 4 >= 2 && padding < 2) {
            padding++;
            continue;
        }
        if (value < 0 || padding > 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)value;
        digits++;
        if (digits % 4 != 1)
            out[len++] = (char)(bits >> (digits % 4 == 0 ? 0 : (4 - digits % 4) * 2));
    }
    if (digits % 4 == 1 || (digits % 4 + padding) % 4 != 0)
        return -EINVAL;
    *ret = span_make(out, len);
    return 0;
}
