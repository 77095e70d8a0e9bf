/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/websocket.h"

#include "tls/digest.h"

#define WS_KEY SPAN_LIT("sec-websocket-key")
#define WS_ACCEPT SPAN_LIT("sec-websocket-accept")
#define WS_VERSION SPAN_LIT("sec-websocket-version")
#define KEY_SIZE 24u /* 16 bytes in base64 */
#define ACCEPT_SIZE 28u /* SHA-1 in base64 */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* With padding; (len + 2) / 3 * 4 characters. */
static void base64_write(const uint8_t *in, size_t len, char *out)
{
    for (size_t i = 0; i < len; i += 3) {
        uint32_t word = (uint32_t)in[i] << 16;
        word |= i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0;
        word |= i + 2 < len ? in[i + 2] : 0;
        for (unsigned digit = 0; digit < 4; digit++)
            *out++ = i + digit > len ? '=' : base64_digits[word >> (18 - 6 * digit) & 63];
    }
}

/* The value of the only field of that name; ptr NULL: none, or several. */
static struct span only_value(const struct http_head *head, struct span name)
{
    struct span value = SPAN_NONE;
    for (unsigned i = 0; i < head->fields_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->removed || !span_equal_fold(field->name, name))
            continue;
        if (value.ptr != NULL)
            return SPAN_NONE;
        value = field->value;
    }
    return value;
}

static bool is_key(struct span key)
{
    if (key.len != KEY_SIZE || key.ptr[22] != '=' || key.ptr[23] != '=')
        return false;
    for (unsigned i = 0; i < 22; i++)
        if (key.ptr[i] == '\0' || strchr(base64_digits, key.ptr[i]) == NULL)
            return false;
    return true;
}

unsigned websocket_check(const struct http_head *request)
{
    bool h2 = request->version_major == 2;
    if (request->method != HTTP_METHOD_GET || (!h2 && !is_key(only_value(request, WS_KEY))))
        return 400;
    return span_equal_str(only_value(request, WS_VERSION), "13") ? 0 : 426;
}

bool websocket_write_request(struct http_head *request, bool h2, struct rand_state *rand,
                             struct span *key)
{
    if (request->version_major == 2 && key->len == 0)
        http_head_remove(request, WS_KEY); /* the client's own, which proves nothing there */
    struct span sent = only_value(request, WS_KEY);
    if (sent.len > 0)
        *key = sent;
    request->upgrade = SPAN_LIT("websocket"); /* :protocol is compared with case */
    if (h2) {
        http_head_remove(request, WS_KEY); /* a retry may find none */
        return true;
    }
    if (key->len > 0)
        return sent.len > 0 || http_head_set(request, WS_KEY, *key);
    uint64_t nonce[2] = {rand_u64(rand), rand_u64(rand)};
    char *text = arena_alloc_aligned(request->arena, KEY_SIZE, 1);
    if (text == NULL)
        return false;
    base64_write((const uint8_t *)nonce, sizeof(nonce), text);
    *key = span_make(text, KEY_SIZE);
    return http_head_set(request, WS_KEY, *key);
}

/* RFC 6455 4.2.2. */
static void make_accept(struct span key, char out[ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t bytes[KEY_SIZE + sizeof(guid) - 1], hash[DIGEST_SHA1_SIZE];
    memcpy(bytes, key.ptr, KEY_SIZE);
    memcpy(bytes + KEY_SIZE, guid, sizeof(guid) - 1);
    digest_sha1(span_make((char *)bytes, sizeof(bytes)), hash);
    base64_write(hash, sizeof(hash), out);
}

bool websocket_write_response(struct http_head *response, struct span key, bool h2_backend,
                              bool h2_client)
{
    char accept[ACCEPT_SIZE];
    if (key.len == KEY_SIZE)
        make_accept(key, accept);
    struct span proof = span_make(accept, key.len == KEY_SIZE ? ACCEPT_SIZE : 0);
    if (!h2_backend && (proof.len == 0 || !span_equal(only_value(response, WS_ACCEPT), proof)))
        return false;
    http_head_remove(response, WS_ACCEPT); /* there may be none */
    if (h2_client)
        return true;
    proof = arena_copy(response->arena, proof);
    return proof.len > 0 && http_head_add(response, WS_ACCEPT, proof);
}
