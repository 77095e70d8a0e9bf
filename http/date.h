/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_DATE_H
#define RINGGATE_HTTP_DATE_H

/* The Date field's value, made once a second (IMF-fixdate, RFC 9110 5.6.7). One thread a cache. */

#include "base/span.h"

#define DATE_SIZE 29u /* "Sun, 06 Nov 1994 08:49:37 GMT" */

struct date_cache {
    uint64_t second; /* since 1970, of text */
    char text[DATE_SIZE];
    bool filled;
};

/* wall_ns: nanoseconds since 1970, before the year 10000. Valid until the next call. */
struct span date_cache_get(struct date_cache *cache, uint64_t wall_ns);

#endif
