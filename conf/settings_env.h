/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_SETTINGS_ENV_H
#define RINGGATE_CONF_SETTINGS_ENV_H

/* Settings from the environment: RINGGATE_<NAME>, in capitals. Control thread. */

#include "conf/diag.h"
#include "conf/settings.h"

/* A wrong value becomes a finding RG024 and is left out. A variable that begins with RINGGATE_ and
 * is no setting is only warned of (RG028): in Kubernetes those of a Service called ringgate do. 0;
 * -EINVAL: a value is wrong. */
MUST_CHECK int settings_env_load(struct settings *settings, struct diags *diags);

#endif
