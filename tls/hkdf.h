/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_HKDF_H
#define RINGGATE_TLS_HKDF_H

/* HKDF (RFC 5869) and the labels that TLS 1.3 gives it (RFC 8446 7.1). A handshake derives some
 * thirty keys; what OpenSSL's EVP_KDF does around the hashing of each (objects, copies, look-ups by
 * name) costs ten times as much as that. This cannot fail. Any thread. */

#include "tls/hmac.h"

/* HkdfLabel: two lengths, a label of 255 bytes, a context of 255. */
#define HKDF_INFO_MAX (2 + 1 + 255 + 1 + 255)

/* HKDF-Extract: hmac_size bytes to out, which may be a place of the arguments. */
void hkdf_extract(enum hmac_hash hash, struct span salt, struct span key, uint8_t *out);
/* HKDF-Expand: len bytes (at most 255 * hmac_size) to out, which overlaps no argument. secret:
 * hmac_size bytes. */
void hkdf_expand(enum hmac_hash hash, const uint8_t *secret, struct span info, uint8_t *out,
                 size_t len);

/* What HKDF-Expand-Label expands with. */
struct hkdf_label {
    struct span prefix, name, context; /* prefix: "tls13 " */
};

/* At most 255 bytes of prefix and name, and of context. */
bool hkdf_label_fits(const struct hkdf_label *label);
/* HKDF-Expand-Label, with a label that fits; the rest as hkdf_expand. */
void hkdf_expand_label(enum hmac_hash hash, const uint8_t *secret, const struct hkdf_label *label,
                       uint8_t *out, size_t len);

#endif
