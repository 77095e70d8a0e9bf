/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_CONF_CONF_FIXTURE_H
#define RINGGATE_T_UNIT_CONF_CONF_FIXTURE_H

/* Objects from YAML text through the real reader and decoder, for tests of
 * what comes after them. */

#include "conf/diag.h"
#include "conf/objects.h"

struct conf_fixture {
    struct conf_source *source; /* a copy of the text */
    struct objects *objects; /* sealed */
    struct diags diags;
};

/* path: shown in findings. Documents that cannot be decoded are left out. */
void conf_fixture_init(struct conf_fixture *fixture, const char *path, struct span text);
void conf_fixture_fini(struct conf_fixture *fixture);
/* A whole file, with a NUL after it, on the heap; fails the test when it cannot be read. */
char *conf_fixture_read(const char *path, size_t *ret_len);
/* A file of the source tree. */
void conf_fixture_path(char *path, size_t size, const char *relative);

#endif
