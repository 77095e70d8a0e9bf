/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/hkdf.h"

#include <openssl/crypto.h>

#include "base/panic.h"

void hkdf_extract(enum hmac_hash hash, struct span salt, struct span key, uint8_t *out)
{
    struct hmac hmac;
    hmac_begin(&hmac, hash, salt);
    hmac_add(&hmac, key);
    hmac_end(&hmac, out);
}

void hkdf_expand(enum hmac_hash hash, const uint8_t *secret, struct span info, uint8_t *out,
                 size_t len)
{
    size_t size = hmac_size(hash), done = 0;
    uint8_t value[HMAC_SIZE_MAX];

    ASSERT(len <= 255 * size);
    for (uint8_t i = 1; done < len; i++) {
        struct hmac hmac;
        hmac_begin(&hmac, hash, span_make(secret, size));
        if (i > 1)
            hmac_add(&hmac, span_make(value, size));
        hmac_add(&hmac, info);
        hmac_add(&hmac, span_make(&i, 1));
        hmac_end(&hmac, value);
        size_t n = MIN(size, len - done);
        memcpy(out + done, value, n);
        done += n;
    }
    OPENSSL_cleanse(value, size);
}

static uint8_t *put(uint8_t *at, struct span bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

bool hkdf_label_fits(const struct hkdf_label *label)
{
    return label->prefix.len + label->name.len <= 255 && label->context.len <= 255;
}

void hkdf_expand_label(enum hmac_hash hash, const uint8_t *secret, const struct hkdf_label *label,
                       uint8_t *out, size_t len)
{
    uint8_t info[HKDF_INFO_MAX], *at = info;

    ASSERT(hkdf_label_fits(label));
    *at++ = (uint8_t)(len >> 8);
    *at++ = (uint8_t)len;
    *at++ = (uint8_t)(label->prefix.len + label->name.len);
    at = put(put(at, label->prefix), label->name);
    *at++ = (uint8_t)label->context.len;
    at = put(at, label->context);
    hkdf_expand(hash, secret, span_make(info, (size_t)(at - info)), out, len);
}
