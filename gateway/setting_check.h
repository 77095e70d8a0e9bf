/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_SETTING_CHECK_H
#define RINGGATE_GATEWAY_SETTING_CHECK_H

/* Settings whose value is a text that means something: read the same way by `check`, at the start
 * and for use. */

#include "conf/diag.h"
#include "conf/settings.h"
#include "io/addr.h"

#define SETTINGS_FILE_DEFAULT "/etc/ringgate/ringgate.conf"

/* For settings.check. 0; -EINVAL with reterr. */
MUST_CHECK int setting_check(const char *name, const char *value, struct err *reterr);
/* Address ranges separated by commas, on the heap. 0; -EINVAL with reterr. */
MUST_CHECK int setting_ranges(const char *value, struct addr_range **ret, unsigned *ret_count,
                              struct err *reterr);
/* The settings file: path, or the default one, which may be missing, for NULL, or none for "". 0;
 * -EINVAL: diags tell. *ret_source as settings_load_file. */
MUST_CHECK int setting_load_file(struct settings *settings, const char *path, struct diags *diags,
                                 struct conf_source **ret_source);

#endif
