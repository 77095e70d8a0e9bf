/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/digest.h"

#include <openssl/evp.h>

#include "base/panic.h"

void digest_begin(struct digest *digest)
{
    digest->state = EVP_MD_CTX_new();
    ASSERT(digest->state != NULL);
    int ok = EVP_DigestInit_ex(digest->state, EVP_sha256(), NULL);
    ASSERT(ok == 1);
}

void digest_add(struct digest *digest, struct span part)
{
    uint64_t len = part.len;
    int ok = EVP_DigestUpdate(digest->state, &len, sizeof(len));
    ASSERT(ok == 1);
    ok = EVP_DigestUpdate(digest->state, part.ptr, part.len);
    ASSERT(ok == 1);
}

void digest_end(struct digest *digest, uint8_t out[DIGEST_SIZE])
{
    int ok = EVP_DigestFinal_ex(digest->state, out, NULL);
    ASSERT(ok == 1);
    EVP_MD_CTX_free(digest->state);
    digest->state = NULL;
}

void digest_sha1(struct span bytes, uint8_t out[DIGEST_SHA1_SIZE])
{
    int ok = EVP_Digest(bytes.ptr, bytes.len, out, NULL, EVP_sha1(), NULL);
    ASSERT(ok == 1);
}

void digest_hex(const uint8_t *bytes, unsigned count, char *out)
{
    for (unsigned i = 0; i < count; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}
