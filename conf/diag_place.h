/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_CONF_DIAG_PLACE_H
#define RINGGATE_CONF_DIAG_PLACE_H

/* Where the field that a finding names stands. Objects keep few positions,
 * since rules are many and findings few: the document of a finding is parsed
 * again and the field looked up by its path. Control thread. */

#include "conf/diag.h"

/* Sorts findings (diags_sort) and moves those that are not exact to the fields they name: to the
 * value, or to the key of a map or list. A field that the document does not have, or whose file's
 * text is not there, leaves a finding where it is. */
void diag_place_all(struct diags *diags);

#endif
