/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/forwarded.h"

static bool forwarded_is_listed(const struct worker *worker, const struct addr *addr)
{
    for (unsigned i = 0; i < worker->trusted_count; i++)
        if (addr_range_has(&worker->trusted[i], addr))
            return true;
    return false;
}

bool forwarded_is_proxy(const struct worker *worker, const struct addr *peer)
{
    return worker->settings->trusted_hops > 0 || forwarded_is_listed(worker, peer);
}

/* All X-Forwarded-For lines as one list, in order (RFC 9110 5.3). */
static struct span forwarded_chain(struct exchange *ex)
{
    struct span chain = SPAN_NONE;
    if (!http_head_may_have(ex->request, http_header_bit(HTTP_HEADER_X_FORWARDED_FOR, true)))
        return chain;
    for (unsigned i = 0; i < ex->request->fields_count; i++) {
        const struct http_field *field = &ex->request->fields[i];
        if (field->removed || field->id != HTTP_HEADER_X_FORWARDED_FOR || field->value.len == 0)
            continue;
        chain = chain.len == 0 ? field->value
                               : arena_printf(&ex->arena, "%.*s, %.*s", SPAN_ARG(chain),
                                              SPAN_ARG(field->value));
    }
    return chain;
}

static struct span forwarded_peer_text(struct exchange *ex)
{
    char *text = arena_alloc_aligned(&ex->arena, ADDR_SHORT_TEXT_SIZE, 1);
    return text != NULL ? span_make(text, addr_short_format_ip(&ex->downstream->client, text))
                        : SPAN_NONE;
}

/* Takes the last element off a comma-separated list. */
static struct span list_pop(struct span *list)
{
    size_t at = list->len;
    while (at > 0 && list->ptr[at - 1] != ',')
        at--;
    struct span last = span_trim(span_skip(*list, at));
    list->len = at > 0 ? at - 1 : 0;
    return last;
}

void forwarded_decide_client(struct exchange *ex)
{
    const struct settings *settings = ex->worker->settings;

    addr_expand(&ex->downstream->client, &ex->client);
    if (!forwarded_is_proxy(ex->worker, &ex->client))
        return;
    struct span list = forwarded_chain(ex);
    for (unsigned hop = 1; list.len > 0; hop++) {
        struct addr addr;
        if (addr_from_ip(list_pop(&list), 0, &addr) != 0)
            return; /* the last good one stands */
        addr_unmap(&addr);
        ex->client = addr;
        if (settings->trusted_hops > 0 ? hop >= settings->trusted_hops
                                       : !forwarded_is_listed(ex->worker, &addr))
            return;
    }
}

static void request_id_make(struct exchange *ex)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t bits[2] = {rand_u64(&ex->worker->loop->rand), rand_u64(&ex->worker->loop->rand)};
    uint8_t bytes[16];
    char *out = ex->request_id;

    memcpy(bytes, bits, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40); /* version 4 (RFC 9562 5.4) */
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = hex[bytes[i] >> 4];
        *out++ = hex[bytes[i] & 15];
    }
    ex->request_id_span = span_make(ex->request_id, 36);
}

/* Envoy's form: Hash, Subject, URI, DNS of the verified certificate only. */
static bool forwarded_client_cert(struct exchange *ex)
{
    const struct tls_info *tls = ex->downstream->tls;
    if (tls == NULL || !tls->peer_verified)
        return true;
    struct span subject = arena_copy(&ex->arena, tls->peer_subject);
    char *text = (char *)(uintptr_t)subject.ptr;
    for (size_t i = 0; i < subject.len; i++)
        if (text[i] == '"' || text[i] == '\\' || (unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '_';
    struct span value =
        arena_printf(&ex->arena, "Hash=%.*s;Subject=\"%.*s\"%s%.*s%s%.*s", SPAN_ARG(tls->peer_hash),
                     SPAN_ARG(subject), tls->peer_uri.len ? ";URI=" : "", SPAN_ARG(tls->peer_uri),
                     tls->peer_dns.len ? ";DNS=" : "", SPAN_ARG(tls->peer_dns));
    return arena_ok(&ex->arena) &&
           http_head_add_id(ex->request, HTTP_HEADER_X_FORWARDED_CLIENT_CERT, value);
}

bool forwarded_write(struct exchange *ex)
{
    struct http_head *head = ex->request;
    struct addr socket_peer;
    addr_expand(&ex->downstream->client, &socket_peer);
    bool trusted = forwarded_is_proxy(ex->worker, &socket_peer);

    bool any = http_head_may_have(head, http_header_ids(HTTP_HEADER_BY_PROXY));
    for (unsigned i = 0; any && i < head->fields_count; i++) {
        struct http_field *field = &head->fields[i];
        if (!http_header_has(field->id, HTTP_HEADER_BY_PROXY))
            continue;
        if (!trusted || field->id == HTTP_HEADER_X_FORWARDED_CLIENT_CERT)
            field->removed = true;
    }
    struct span peer = forwarded_peer_text(ex), chain = forwarded_chain(ex);
    struct span value =
        chain.len == 0 ? peer
                       : arena_printf(&ex->arena, "%.*s, %.*s", SPAN_ARG(chain), SPAN_ARG(peer));
    if (!arena_ok(&ex->arena) || !http_head_set_id(head, HTTP_HEADER_X_FORWARDED_FOR, value))
        return false;
    if (http_head_find_id(head, HTTP_HEADER_X_FORWARDED_PROTO) == NULL &&
        !http_head_add_id(head, HTTP_HEADER_X_FORWARDED_PROTO, head->scheme))
        return false;
    if (http_head_find_id(head, HTTP_HEADER_X_FORWARDED_HOST) == NULL &&
        !http_head_add_id(head, HTTP_HEADER_X_FORWARDED_HOST, head->authority))
        return false;
    struct http_field *id = http_head_find_id(head, HTTP_HEADER_X_REQUEST_ID);
    if (id != NULL && trusted) {
        ex->request_id_span = id->value;
    } else {
        request_id_make(ex);
        if (!http_head_set_id(head, HTTP_HEADER_X_REQUEST_ID, ex->request_id_span))
            return false;
    }
    return forwarded_client_cert(ex);
}
