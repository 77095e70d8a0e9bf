/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/stream.h"

#include "base/panic.h"

static const struct {
    unsigned status;
    const char *text;
} stream_errors[HTTP_ERROR_COUNT] = {
#define X(id, status, text) [HTTP_ERROR_##id] = {status, text},
    HTTP_ERRORS(X)
#undef X
};

unsigned http_error_status(enum http_error error)
{
    ASSERT(error < HTTP_ERROR_COUNT);
    return stream_errors[error].status;
}

const char *http_error_text(enum http_error error)
{
    ASSERT(error < HTTP_ERROR_COUNT);
    return stream_errors[error].text;
}

/* Kept by hand rather than made from the identifiers, which are upper case. */
static const char *const stream_names[] = {
    "none",         "bad_request", "bad_host",       "bad_target",
    "bad_framing",  "bad_chunk",   "method",         "request_timeout",
    "uri_too_long", "expectation", "head_too_large", "trailers_too_large",
    "coding",       "version",     "bad_response",   "truncated",
    "closed",       "reset",       "write_timeout",  "no_memory",
    "tls",          "gone",        "refused",        "cancelled",
    "protocol",     "flood",       "not_http",
};
_Static_assert(ARRAY_COUNT(stream_names) == HTTP_ERROR_COUNT, "one name for each error");

const char *http_error_name(enum http_error error)
{
    ASSERT(error < HTTP_ERROR_COUNT);
    return stream_names[error];
}
