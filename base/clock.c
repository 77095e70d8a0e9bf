/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"

#include <time.h>

#include "base/panic.h"

static uint64_t clock_read_ns(clockid_t id)
{
    struct timespec now;
    int r = clock_gettime(id, &now);
    ASSERT(r == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return clock_read_ns(CLOCK_REALTIME);
}

void clock_cache_update(struct clock_cache *cache)
{
    cache->mono_ns = clock_mono_ns();
    cache->wall_ns = clock_wall_ns();
}

/* Two decimal digits. */
static void put_2(char *out, unsigned value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

/* Proleptic Gregorian calendar from a day number. Years are counted from
 * March, so the leap day is the last of its year, and months have a closed
 * form: (153 m + 2) / 5 days lie before month m of such a year. Written by hand
 * because gmtime_r and strftime cost more than the rest of a log line.
 * 64 bits of nanoseconds end in 2554, so the year has four digits. */
void clock_iso(uint64_t wall_ns, char out[CLOCK_ISO_SIZE])
{
    uint64_t seconds = wall_ns / NS_PER_S;
    unsigned ms = (unsigned)(wall_ns % NS_PER_S / NS_PER_MS);
    unsigned of_day = (unsigned)(seconds % 86400);
    /* Days since 0000-03-01; 1970-01-01 is day 719468. */
    unsigned days = (unsigned)(seconds / 86400) + 719468;
    unsigned era = days / 146097; /* 400 years */
    unsigned of_era = days % 146097;
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_from_march = (5 * of_year + 2) / 153;
    unsigned day = of_year - (153 * month_from_march + 2) / 5 + 1;
    unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    unsigned year = era * 400 + year_of_era + (month <= 2);

    put_2(out, year / 100);
    put_2(out + 2, year % 100);
    out[4] = '-';
    put_2(out + 5, month);
    out[7] = '-';
    put_2(out + 8, day);
    out[10] = 'T';
    put_2(out + 11, of_day / 3600);
    out[13] = ':';
    put_2(out + 14, of_day / 60 % 60);
    out[16] = ':';
    put_2(out + 17, of_day % 60);
    out[19] = '.';
    out[20] = (char)('0' + ms / 100);
    put_2(out + 21, ms % 100);
    out[23] = 'Z';
    out[24] = '\0';
}
