/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/server.h"

#include "base/clock.h"

void http_limits_default(struct http_limits *limits)
{
    *limits = (struct http_limits){
        .head_bytes_max = 32768,
        .request_line_max = 8192,
        .field_bytes_max = 16384,
        .fields_max = 100,
        .trailer_bytes_max = 8192,
        .trailers_max = 32,
        .chunk_ext_bytes_max = 4096,
        .interims_max = 16,
        .requests_max = 10000,
        .head_timeout_ns = 10 * NS_PER_S,
        .idle_timeout_ns = 75 * NS_PER_S,
        .body_timeout_ns = 30 * NS_PER_S,
        .h2_streams_max = 100,
        .h2_requests_max = 10000,
        .h2_window_bytes = 1u << 20,
        .h2_resets_burst = 100,
        .h2_resets_rate = 10,
        .h2_control_burst = 1000,
        .h2_control_rate = 100,
        .h2_empties_max = 16,
        .h2_idle_timeout_ns = 180 * NS_PER_S,
    };
}
