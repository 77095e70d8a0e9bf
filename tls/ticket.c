/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/ticket.h"

#include <pthread.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/rand.h"

/* The keys are words in place rather than an array behind a pointer: a retired array could be
 * freed only after a grace period of all workers, while words are overwritten at once, which
 * is what forward secrecy wants. There are two banks with the same keys. A rotation writes the
 * bank that is not active, makes it active, then writes the other one, so a reader finds a
 * quiet bank at any moment, even if the writer is stopped half-way.
 *
 * Each bank is under a sequence lock of atomics. A reader copies all words between two reads of
 * the sequence; word stores are releases and word loads are acquires, so a reader that saw a
 * word of a later rotation also sees the later sequence, and tries again. */
#define TICKET_WORDS (TICKET_KEYS * sizeof(struct ticket_key) / sizeof(uint64_t))
_Static_assert(sizeof(struct ticket_key) % sizeof(uint64_t) == 0, "keys are whole words");

/* Each try that fails takes a rotation of its own; they are hours apart. */
#define TICKET_TRIES_MAX 1000

struct ticket_bank {
    unsigned sequence; /* odd while it is written, 0 before the first time */
    uint64_t words[TICKET_WORDS];
};

static pthread_mutex_t ticket_writer = PTHREAD_MUTEX_INITIALIZER;
static struct ticket_bank ticket_banks[2];
static unsigned ticket_active; /* index of the bank to read */

static void ticket_store(struct ticket_bank *bank, const struct ticket_key keys[TICKET_KEYS])
{
    uint64_t words[TICKET_WORDS];
    unsigned sequence = __atomic_load_n(&bank->sequence, __ATOMIC_RELAXED);

    memcpy(words, keys, sizeof(words));
    __atomic_store_n(&bank->sequence, sequence + 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < TICKET_WORDS; i++)
        __atomic_store_n(&bank->words[i], words[i], __ATOMIC_RELEASE);
    __atomic_store_n(&bank->sequence, sequence + 2, __ATOMIC_RELEASE);
    OPENSSL_cleanse(words, sizeof(words));
}

static bool ticket_load(struct ticket_key keys[TICKET_KEYS])
{
    uint64_t words[TICKET_WORDS];
    bool ok = false;

    for (unsigned i = 0; i < TICKET_TRIES_MAX && !ok; i++) {
        const struct ticket_bank *bank =
            &ticket_banks[__atomic_load_n(&ticket_active, __ATOMIC_ACQUIRE)];
        unsigned sequence = __atomic_load_n(&bank->sequence, __ATOMIC_ACQUIRE);
        if (sequence == 0)
            return false;
        if (sequence & 1)
            continue;
        for (size_t w = 0; w < TICKET_WORDS; w++)
            words[w] = __atomic_load_n(&bank->words[w], __ATOMIC_ACQUIRE);
        ok = __atomic_load_n(&bank->sequence, __ATOMIC_RELAXED) == sequence;
    }
    if (ok)
        memcpy(keys, words, sizeof(words));
    OPENSSL_cleanse(words, sizeof(words));
    return ok;
}

void ticket_rotate(void)
{
    struct ticket_key keys[TICKET_KEYS];

    pthread_mutex_lock(&ticket_writer);
    /* The first rotation fills all places: a place never holds a key that is guessable. */
    if (!ticket_load(keys))
        rand_secret(keys, sizeof(keys));
    memmove(&keys[1], &keys[0], (TICKET_KEYS - 1) * sizeof(keys[0]));
    rand_secret(&keys[0], sizeof(keys[0]));
    unsigned spare = !__atomic_load_n(&ticket_active, __ATOMIC_RELAXED);
    ticket_store(&ticket_banks[spare], keys);
    __atomic_store_n(&ticket_active, spare, __ATOMIC_RELEASE);
    ticket_store(&ticket_banks[!spare], keys);
    pthread_mutex_unlock(&ticket_writer);
    OPENSSL_cleanse(keys, sizeof(keys));
}

bool ticket_current(struct ticket_key *ret)
{
    struct ticket_key keys[TICKET_KEYS];
    bool ok = ticket_load(keys);
    if (ok)
        *ret = keys[0];
    OPENSSL_cleanse(keys, sizeof(keys));
    return ok;
}

bool ticket_find(const uint8_t name[TICKET_NAME_SIZE], struct ticket_key *ret,
                 bool *ret_is_current)
{
    struct ticket_key keys[TICKET_KEYS];
    bool found = false;

    if (!ticket_load(keys))
        return false;
    for (unsigned i = 0; i < TICKET_KEYS && !found; i++) {
        if (memcmp(keys[i].name, name, TICKET_NAME_SIZE) != 0)
            continue;
        *ret = keys[i];
        *ret_is_current = i == 0;
        found = true;
    }
    OPENSSL_cleanse(keys, sizeof(keys));
    return found;
}
