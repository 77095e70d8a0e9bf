/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_DIGEST_H
#define RINGGATE_TLS_DIGEST_H

/* SHA-256 over a sequence of parts, each with its length, so that moving a
 * boundary changes the digest. Control plane: panics without memory. */

#include "base/span.h"

#define DIGEST_SIZE 32
#define DIGEST_SHA1_SIZE 20

struct digest {
    void *state;
};

void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, struct span part);
void digest_end(struct digest *digest, uint8_t out[DIGEST_SIZE]);
/* SHA-1 of the bytes, for protocols that ask for it and no secret (RFC 6455 4.2.2). Any thread. */
void digest_sha1(struct span bytes, uint8_t out[DIGEST_SHA1_SIZE]);
/* 2 * count lower-case digits, not terminated. */
void digest_hex(const uint8_t *bytes, unsigned count, char *out);

#endif
