/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_DIGEST_H
#define RINGGATE_TLS_DIGEST_H

/* SHA-256 over a sequence of parts, each with its length, so that moving a
 * boundary changes the digest. Control plane: panics without memory. */

#include "base/span.h"

#define DIGEST_SIZE 32

struct digest {
    void *state;
};

void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, struct span part);
void digest_end(struct digest *digest, uint8_t out[DIGEST_SIZE]);
/* 2 * count lower-case digits, not terminated. */
void digest_hex(const uint8_t *bytes, unsigned count, char *out);

#endif
