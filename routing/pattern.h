/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_ROUTING_PATTERN_H
#define RINGGATE_ROUTING_PATTERN_H

/* Regular expressions over bytes with bounded work (PCRE2, no JIT: the unit
 * denies writable code). Look-around and back-references are refused so that patterns stay
 * portable to RE2. Matches must span the whole value (Envoy's reading). */

#include "base/err.h"
#include "base/span.h"

struct pattern;

#define PATTERN_SIZE_MAX 1024u /* bytes of source */

/* 0; -EINVAL with reterr and column; -E2BIG. */
MUST_CHECK int pattern_compile(struct span source, struct pattern **ret, struct err *reterr);
void pattern_free(struct pattern *pattern);
/* Any thread. Work over the limit counts as no match. */
bool pattern_matches(const struct pattern *pattern, struct span subject);
size_t pattern_memory(const struct pattern *pattern); /* bytes */

#endif
