/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/ticket.h"

#include <pthread.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/rand.h"

/* The keys are words under a sequence lock rather than an array behind a pointer: a retired array
 * could be freed only after a grace period of all workers, while words are overwritten at once, which is what
 * forward secrecy wants. Every access is atomic. A reader copies all words between two reads of
 * the sequence; word stores are releases and word loads are acquires, so a reader that saw a
 * word of a later rotation also sees the later sequence and tries again. */
#define TICKET_WORDS (TICKET_KEYS * sizeof(struct ticket_key) / sizeof(uint64_t))
_Static_assert(sizeof(struct ticket_key) % sizeof(uint64_t) == 0, "keys are whole words");

/* A rotation writes 30 words; a reader that waits longer than this meets a stopped writer. */
#define TICKET_TRIES_MAX 100000

static pthread_mutex_t ticket_writer = PTHREAD_MUTEX_INITIALIZER;
static uint64_t ticket_words[TICKET_WORDS];
static unsigned ticket_sequence; /* odd during a rotation, 0 before the first */

static void ticket_store(const struct ticket_key keys[TICKET_KEYS])
{
    uint64_t words[TICKET_WORDS];
    unsigned sequence = __atomic_load_n(&ticket_sequence, __ATOMIC_RELAXED);

    memcpy(words, keys, sizeof(words));
    __atomic_store_n(&ticket_sequence, sequence + 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < TICKET_WORDS; i++)
        __atomic_store_n(&ticket_words[i], words[i], __ATOMIC_RELEASE);
    __atomic_store_n(&ticket_sequence, sequence + 2, __ATOMIC_RELEASE);
    OPENSSL_cleanse(words, sizeof(words));
}

static bool ticket_load(struct ticket_key keys[TICKET_KEYS])
{
    uint64_t words[TICKET_WORDS];
    bool ok = false;

    for (unsigned i = 0; i < TICKET_TRIES_MAX && !ok; i++) {
        unsigned sequence = __atomic_load_n(&ticket_sequence, __ATOMIC_ACQUIRE);
        if (sequence == 0)
            return false;
        if (sequence & 1)
            continue;
        for (size_t w = 0; w < TICKET_WORDS; w++)
            words[w] = __atomic_load_n(&ticket_words[w], __ATOMIC_ACQUIRE);
        ok = __atomic_load_n(&ticket_sequence, __ATOMIC_RELAXED) == sequence;
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
    ticket_store(keys);
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
