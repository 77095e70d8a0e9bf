/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/date.h"

#include <time.h>

#include "base/clock.h"
#include "base/panic.h"

static void date_digits(char *at, unsigned value, unsigned count)
{
    while (count-- > 0) {
        at[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Not strftime: its names of days and months follow the locale. */
static void date_format(char out[DATE_SIZE], uint64_t second)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)second;
    struct tm tm;
    ASSERT(gmtime_r(&t, &tm) != NULL);
    memcpy(out, "ddd, DD mmm YYYY HH:MM:SS GMT", DATE_SIZE);
    memcpy(out, days + 3 * tm.tm_wday, 3);
    date_digits(out + 5, (unsigned)tm.tm_mday, 2);
    memcpy(out + 8, months + 3 * tm.tm_mon, 3);
    date_digits(out + 12, (unsigned)tm.tm_year + 1900, 4);
    date_digits(out + 17, (unsigned)tm.tm_hour, 2);
    date_digits(out + 20, (unsigned)tm.tm_min, 2);
    date_digits(out + 23, (unsigned)tm.tm_sec, 2);
}

struct span date_cache_get(struct date_cache *cache, uint64_t wall_ns)
{
    uint64_t second = wall_ns / NS_PER_S;
    if (UNLIKELY(!cache->filled || cache->second != second)) {
        date_format(cache->text, second);
        cache->second = second;
        cache->filled = true;
    }
    return span_make(cache->text, DATE_SIZE);
}
