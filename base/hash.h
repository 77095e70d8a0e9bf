/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_HASH_H
#define RINGGATE_BASE_HASH_H

/* Keyed hash for tables fed by strangers; fast hash for balancing and for
 * telling changed content apart. */

#include "base/span.h"

struct hash_key {
    uint8_t bytes[16];
};

/* Random key for this process, made at first use; never changes. Any thread. */
const struct hash_key *hash_process_key(void);

/* SipHash-1-3. Not guessable without the key: for tables. */
uint64_t hash_sip(const struct hash_key *key, struct span data);
/* SipHash-2-4 with 128-bit output: for identifiers that must not reveal data. */
void hash_sip128(const struct hash_key *key, struct span data, uint8_t out[16]);
/* XXH3 64 bit: not safe against chosen input. */
uint64_t hash_fast(struct span data, uint64_t seed);

#endif
