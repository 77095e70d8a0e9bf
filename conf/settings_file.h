/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_SETTINGS_FILE_H
#define RINGGATE_CONF_SETTINGS_FILE_H

/* Settings from a file: lines `name = value`, empty lines, and comments from # at the beginning of
 * a line. Blanks around name and value do not count; a value may stand in double quotes. */

#include "conf/diag.h"
#include "conf/settings.h"

/* Every line that is wrong becomes a finding RG024 and is left out. 0; -EINVAL: there are findings;
 * -ENOENT: no such file, without a finding; else -errno with one. *ret_source: what the findings
 * borrow, for conf_source_unref; NULL when there is no file. */
MUST_CHECK int settings_load_file(struct settings *settings, const char *path, struct diags *diags,
                                  struct conf_source **ret_source);

#endif
