/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/record.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "base/dlist.h"
#include "base/panic.h"
#include "tls/aead.h"

/* A record of TLS 1.3 is header | AEAD(plaintext | type | padding) | tag, with the header as
 * additional data; one of TLS 1.2 is header | [8 bytes of nonce] | AEAD(plaintext) | tag, with
 * sequence number, type, version and length of the plaintext as additional data. */

#define EXPLICIT_NONCE_SIZE 8u /* TLS 1.2 with AES-GCM, RFC 5288 3 */
#define SMALL_RECORD 2048u /* up to here a copy costs less than one more call */

struct record_slot {
    struct dlist link; /* in pool->queue */
    struct record_pool *pool;
    struct record_side *side; /* whose key it has; NULL: nobody's */
    const struct aead *aead;
    void *ctx; /* of aead; NULL: none */
    bool used; /* since it was looked at last */
};

struct record_pool {
    struct aead aeads[RECORD_SUITE_COUNT];
    /* struct record_slot; taken from the end. One that was used goes to the front once more, which
     * is as good as an order by last use, and costs a record nothing. */
    struct dlist queue;
    unsigned slots, slots_max;
};

static const struct {
    const char *name;
    size_t key_size;
} record_suites[RECORD_SUITE_COUNT] = {
    [RECORD_AES_128_GCM] = {"AES-128-GCM", 16},
    [RECORD_AES_256_GCM] = {"AES-256-GCM", 32},
    [RECORD_CHACHA20_POLY1305] = {"ChaCha20-Poly1305", 32},
};

struct record_pool *record_pool_new(OSSL_LIB_CTX *lib, unsigned slots_max)
{
    struct record_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    dlist_init(&pool->queue);
    pool->slots_max = slots_max;
    for (unsigned i = 0; i < RECORD_SUITE_COUNT; i++) {
        if (!aead_init(&pool->aeads[i], lib, record_suites[i].name)) {
            record_pool_free(pool);
            return NULL;
        }
    }
    return pool;
}

static void slot_drop_ctx(struct record_slot *slot)
{
    if (slot->ctx)
        aead_ctx_free(slot->aead, slot->ctx);
    slot->ctx = NULL;
}

static void slot_free(struct record_slot *slot)
{
    dlist_remove(&slot->link);
    slot_drop_ctx(slot);
    free(slot);
}

void record_pool_free(struct record_pool *pool)
{
    if (!pool)
        return;
    while (!dlist_is_empty(&pool->queue)) {
        struct record_slot *slot = container_of(pool->queue.next, struct record_slot, link);
        ASSERT(!slot->side);
        slot_free(slot);
    }
    for (unsigned i = 0; i < RECORD_SUITE_COUNT; i++)
        aead_fini(&pool->aeads[i]);
    free(pool);
}

static struct record_slot *slot_new(struct record_pool *pool)
{
    struct record_slot *slot = calloc(1, sizeof(*slot));
    if (!slot)
        return NULL;
    dlist_init(&slot->link);
    slot->pool = pool;
    pool->slots++;
    dlist_push_front(&pool->queue, &slot->link);
    return slot;
}

/* Makes the slot nobody's, without a key, and the first to be taken. */
static void slot_clear(struct record_slot *slot)
{
    slot->side->slot = NULL;
    slot->side = NULL;
    slot_drop_ctx(slot);
    dlist_remove(&slot->link);
    dlist_push_back(&slot->pool->queue, &slot->link);
}

static void queue_move_front(struct record_slot *slot)
{
    dlist_remove(&slot->link);
    dlist_push_front(&slot->pool->queue, &slot->link);
}

static struct record_slot *queue_last(struct record_pool *pool)
{
    return container_of(pool->queue.prev, struct record_slot, link);
}

/* A slot without a user, or one that was not used for long; it is nobody's. NULL: no memory. */
static struct record_slot *slot_take(struct record_pool *pool)
{
    bool any = !dlist_is_empty(&pool->queue);
    if (pool->slots < pool->slots_max && (!any || queue_last(pool)->side)) {
        struct record_slot *slot = slot_new(pool);
        if (slot)
            return slot;
    }
    if (!any)
        return NULL;
    struct record_slot *last;
    while (last = queue_last(pool), last->side && last->used) {
        last->used = false;
        queue_move_front(last);
    }
    queue_move_front(last);
    if (last->side)
        last->side->slot = NULL;
    last->side = NULL;
    return last;
}

/* Gives the slot the side's key. The same suite keeps the context's memory. */
static bool slot_key(struct record_slot *slot, const struct record_side *side)
{
    const struct aead *aead = &slot->pool->aeads[side->suite];
    if (slot->aead != aead)
        slot_drop_ctx(slot);
    slot->aead = aead;
    if (!slot->ctx)
        slot->ctx = aead_ctx_new(aead);
    return slot->ctx && aead_ctx_key(aead, slot->ctx, side->key,
                                     record_suites[side->suite].key_size, side->sealing);
}

/* The slot with the side's key. NULL: no memory. */
static struct record_slot *side_slot(struct record_side *side)
{
    struct record_slot *slot = side->slot;
    if (!slot) {
        slot = slot_take(side->pool);
        if (!slot || !slot_key(slot, side))
            return NULL;
        slot->side = side;
        side->slot = slot;
    }
    slot->used = true;
    return slot;
}

size_t record_key_size(enum record_suite suite)
{
    return record_suites[suite].key_size;
}

void record_side_rekeyed(struct record_side *side)
{
    if (side->slot)
        slot_clear(side->slot);
}

void record_side_wipe(struct record_side *side)
{
    record_side_rekeyed(side);
    OPENSSL_cleanse(side, sizeof(*side));
}

/* The next piece, at most max bytes; empty only when there is nothing more. */
static struct span pieces_next(struct record_pieces *pieces, size_t max)
{
    while (pieces->count > 0 && pieces->skip == pieces->iov->iov_len) {
        pieces->iov++;
        pieces->count--;
        pieces->skip = 0;
    }
    if (pieces->count == 0)
        return SPAN_NONE;
    size_t len = MIN(max, pieces->iov->iov_len - pieces->skip);
    const char *ptr = (const char *)pieces->iov->iov_base + pieces->skip;
    pieces->skip += len;
    return span_make(ptr, len);
}

static void pieces_skip(struct record_pieces *pieces, size_t len)
{
    while (len > 0) {
        struct span piece = pieces_next(pieces, len);
        ASSERT(piece.len > 0);
        len -= piece.len;
    }
}

void record_pieces_copy(struct record_pieces *pieces, void *to, size_t len)
{
    uint8_t *at = to;
    while (len > 0) {
        struct span piece = pieces_next(pieces, len);
        ASSERT(piece.len > 0);
        memcpy(at, piece.ptr, piece.len);
        at += piece.len;
        len -= piece.len;
    }
}

static void put_u64(uint8_t *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof(value));
}

static void put_u16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static bool has_explicit_nonce(const struct record_side *side)
{
    return !side->tls13 && side->suite != RECORD_CHACHA20_POLY1305;
}

static size_t prefix_size(const struct record_side *side)
{
    return RECORD_HEADER_SIZE + (has_explicit_nonce(side) ? EXPLICIT_NONCE_SIZE : 0);
}

size_t record_overhead(const struct record_side *side)
{
    return prefix_size(side) + (side->tls13 ? 1 : 0) + RECORD_TAG_SIZE;
}

/* IV xor sequence number (RFC 8446 5.3, RFC 7905 2). */
static void make_nonce(const struct record_side *side, uint8_t nonce[RECORD_IV_SIZE])
{
    uint64_t low;
    memcpy(nonce, side->iv, 4);
    memcpy(&low, side->iv + 4, sizeof(low));
    low ^= htobe64(side->seq);
    memcpy(nonce + 4, &low, sizeof(low));
}

/* The additional data. text_size: plaintext bytes, without the inner type. */
static bool add_data(const struct record_side *side, const uint8_t *head, size_t text_size)
{
    const struct record_slot *slot = side->slot;
    uint8_t data[8 + RECORD_HEADER_SIZE];
    if (side->tls13)
        return aead_data(slot->aead, slot->ctx, head, RECORD_HEADER_SIZE);
    put_u64(data, side->seq);
    memcpy(data + 8, head, 3);
    put_u16(data + 11, text_size);
    return aead_data(slot->aead, slot->ctx, data, sizeof(data));
}

static bool update_pieces(const struct record_slot *slot, uint8_t *out,
                          struct record_pieces *pieces, size_t len)
{
    while (len > 0) {
        struct span piece = pieces_next(pieces, len);
        ASSERT(piece.len > 0);
        if (!aead_text(slot->aead, slot->ctx, out, piece.ptr, piece.len))
            return false;
        out += piece.len;
        len -= piece.len;
    }
    return true;
}

/* Encrypts len bytes of pieces, and what stands behind their place at out already (the inner type
 * of TLS 1.3), total bytes in all; adds the tag. */
static bool seal_body(const struct record_slot *slot, struct record_pieces *pieces, size_t len,
                      uint8_t *out, size_t total)
{
    bool ok;
    if (total <= SMALL_RECORD) {
        record_pieces_copy(pieces, out, len);
        ok = total == 0 || aead_text(slot->aead, slot->ctx, out, out, total);
    } else {
        ok = update_pieces(slot, out, pieces, len);
        ok = ok &&
             (total == len || aead_text(slot->aead, slot->ctx, out + len, out + len, total - len));
    }
    return ok && aead_seal_end(slot->aead, slot->ctx, out + total);
}

ssize_t record_seal(struct record_side *side, enum record_type type, struct record_pieces *pieces,
                    size_t len, uint8_t *out)
{
    uint8_t nonce[RECORD_IV_SIZE];
    size_t prefix = prefix_size(side), overhead = record_overhead(side);

    ASSERT(len <= RECORD_PLAIN_MAX && side->sealing);
    if (side->seq == UINT64_MAX)
        return -EOVERFLOW;
    const struct record_slot *slot = side_slot(side);
    if (!slot)
        return -ENOMEM;
    out[0] = side->tls13 ? RECORD_DATA : (uint8_t)type;
    out[1] = out[2] = 3; /* 0x0303, also for TLS 1.3 */
    put_u16(out + 3, len + overhead - RECORD_HEADER_SIZE);
    if (has_explicit_nonce(side)) {
        memcpy(nonce, side->iv, 4);
        put_u64(nonce + 4, side->seq);
        memcpy(out + RECORD_HEADER_SIZE, nonce + 4, EXPLICIT_NONCE_SIZE);
    } else {
        make_nonce(side, nonce);
    }
    if (side->tls13)
        out[prefix + len] = (uint8_t)type;
    if (!aead_seal_begin(slot->aead, slot->ctx, nonce) || !add_data(side, out, len) ||
        !seal_body(slot, pieces, len, out + prefix, len + (side->tls13 ? 1 : 0)))
        return -ENOMEM;
    side->seq++;
    return (ssize_t)(len + overhead);
}

/* An alert that is not protected is nobody's: only what the keys protect counts. */
static bool type_is_good(const struct record_side *side, uint8_t type)
{
    return type == RECORD_DATA ||
           (!side->tls13 && (type == RECORD_ALERT || type == RECORD_HANDSHAKE));
}

ssize_t record_body_size(const struct record_side *side, const uint8_t head[RECORD_HEADER_SIZE])
{
    size_t size = (size_t)head[3] << 8 | head[4];
    size_t overhead = record_overhead(side) - RECORD_HEADER_SIZE;
    if (!type_is_good(side, head[0]))
        return -EPROTO;
    if (size > RECORD_PLAIN_MAX + overhead)
        return -EMSGSIZE;
    if (size < overhead)
        return -EBADMSG;
    return (ssize_t)size;
}

/* The end of a TLSInnerPlaintext: the last byte that is not zero is the type. */
static ssize_t inner_size(const uint8_t *text, size_t size, enum record_type *ret_type)
{
    while (size > 0 && text[size - 1] == 0)
        size--;
    if (size == 0)
        return -EPROTO;
    uint8_t type = text[--size];
    if (type != RECORD_DATA && type != RECORD_ALERT && type != RECORD_HANDSHAKE)
        return -EPROTO;
    *ret_type = type;
    return (ssize_t)size;
}

ssize_t record_open(struct record_side *side, const uint8_t head[RECORD_HEADER_SIZE],
                    struct record_pieces *pieces, uint8_t *out, enum record_type *ret_type)
{
    uint8_t nonce[RECORD_IV_SIZE], tag[RECORD_TAG_SIZE];
    ssize_t size = record_body_size(side, head);

    ASSERT(!side->sealing);
    if (size < 0)
        return size;
    if (side->seq == UINT64_MAX)
        return -EOVERFLOW;
    const struct record_slot *slot = side_slot(side);
    if (!slot)
        return -ENOMEM;
    size_t len = (size_t)size - RECORD_TAG_SIZE;
    if (has_explicit_nonce(side)) {
        memcpy(nonce, side->iv, 4);
        record_pieces_copy(pieces, nonce + 4, EXPLICIT_NONCE_SIZE);
        len -= EXPLICIT_NONCE_SIZE;
    } else {
        make_nonce(side, nonce);
    }
    struct record_pieces behind = *pieces;
    pieces_skip(&behind, len);
    record_pieces_copy(&behind, tag, sizeof(tag));
    if (!aead_open_begin(slot->aead, slot->ctx, nonce, tag) || !add_data(side, head, len) ||
        !update_pieces(slot, out, pieces, len) || !aead_open_end(slot->aead, slot->ctx))
        return -EBADMSG;
    side->seq++;
    if (side->tls13)
        return inner_size(out, len, ret_type);
    *ret_type = head[0];
    return (ssize_t)len;
}
