/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_TICKET_H
#define RINGGATE_TLS_TICKET_H

/* Session-ticket keys of the process: the current one seals, it and the two
 * before it open (RFC 5077 4). All workers share them, so a session resumes on any
 * worker. Reading takes no lock; a key that is pushed out is overwritten. */

#include "base/base.h"

#define TICKET_KEYS 3
#define TICKET_NAME_SIZE 16

struct ticket_key {
    uint8_t name[TICKET_NAME_SIZE]; /* travels in the ticket */
    uint8_t cipher[32]; /* AES-256-CBC */
    uint8_t mac[32]; /* HMAC-SHA-256 */
};

/* Makes a new current key. Any thread. */
void ticket_rotate(void);
/* The key to seal with. false: none yet, or (never in practice) rotations without end. Any
 * thread; the caller wipes the copy. */
bool ticket_current(struct ticket_key *ret);
/* The key with this name; *ret_is_current tells whether the ticket should be renewed. */
bool ticket_find(const uint8_t name[TICKET_NAME_SIZE], struct ticket_key *ret,
                 bool *ret_is_current);

#endif
