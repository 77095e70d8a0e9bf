/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_HTTP_VECTORS_H
#define RINGGATE_T_UNIT_HTTP_VECTORS_H

/* The byte strings of t/data/http1.json, for tests. */

#include "base/span.h"

#define VECTORS_MAX 256u
#define VECTORS_BYTES_MAX 1024u

struct vector {
    char name[64];
    bool is_response;
    unsigned status; /* 0: accepted */
    char bytes[VECTORS_BYTES_MAX];
    size_t len;
};

/* Reads the file, found below $abs_top_srcdir or the working directory, into a static table;
 * aborts the test when it cannot. How many there are. */
size_t vectors_load(const struct vector **ret);

#endif
