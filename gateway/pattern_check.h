/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_PATTERN_CHECK_H
#define RINGGATE_GATEWAY_PATTERN_CHECK_H

/* Tells the translator which regular expressions compile, so that the statuses
 * of routes say what is served. Each text is compiled once, however many routes
 * and reloads have it. Control thread. */

#include "base/hmap.h"
#include "conf/validate.h"

struct pattern_check {
    struct validate_patterns patterns; /* for translate_options; points to its owner */
    struct hmap seen;
    unsigned round;
};

/* check must not move afterwards. */
void pattern_check_init(struct pattern_check *check);
void pattern_check_fini(struct pattern_check *check);
/* Forgets the texts that were not asked for since the last time, and so bounds memory by what one
 * configuration holds. Sentences for them go, too: after each translation. */
void pattern_check_sweep(struct pattern_check *check);

#endif
