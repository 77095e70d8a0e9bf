/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_ACCESS_FORMAT_H
#define RINGGATE_GATEWAY_ACCESS_FORMAT_H

/* Access records as lines. TEXT follows Envoy's default line, so that tools
 * that read it go on working, and adds key=value pairs after it; JSON uses
 * Istio's keys and adds ours. Untrusted bytes are escaped; a line is one line. */

#include "gateway/access_log.h"

#define ACCESS_LINE_SIZE 8192u /* longer fields are cut */

/* Formats with the final newline; returns the length, < size. Pure. */
size_t access_format_line(enum access_format format, const struct access_record *record, char *line,
                          size_t size);

#endif
