/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/h1_scan.h"

#include "base/panic.h"
#include "http/chars.h"

/* Lines end with CR LF and with nothing else: a bare LF or CR is where two
 * parsers of one message disagree. A CR that is the last byte here is looked at
 * again when its successor has come. Folded lines (obs-fold) are refused by their
 * first byte, so a line is a field. */

static bool scan_is_first_line(struct span part, enum h1_scan_kind kind, bool begins)
{
    if (kind == H1_SCAN_RESPONSE)
        return (!begins || part.ptr[0] == 'H') && chars_is_value(part);
    return (!begins || chars_is(part.ptr[0], CHARS_TOKEN)) && chars_is_printable(part);
}

/* part: bytes of the current line from offset `at` on, without line end. */
static enum http_error scan_part(const struct h1_scan *scan, enum h1_scan_kind kind,
                                 struct span part, size_t at)
{
    bool begins = at == scan->line_start;
    if (part.len == 0)
        return HTTP_ERROR_NONE;
    if (scan->lines == 0 && kind != H1_SCAN_TRAILERS)
        return scan_is_first_line(part, kind, begins) ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_REQUEST;
    if (begins && !chars_is(part.ptr[0], CHARS_TOKEN))
        return HTTP_ERROR_BAD_REQUEST;
    return HTTP_ERROR_NONE;
}

/* The line that began at line_start has at least len bytes, line end not counted. */
static enum http_error scan_limits(const struct h1_scan *scan, enum h1_scan_kind kind, size_t len,
                                   const struct http_limits *limits)
{
    if (kind == H1_SCAN_TRAILERS) {
        bool many = len > 0 && scan->lines >= limits->trailers_max;
        bool large =
            len > limits->field_bytes_max || scan->line_start + len > limits->trailer_bytes_max;
        return many || large ? HTTP_ERROR_TRAILERS_TOO_LARGE : HTTP_ERROR_NONE;
    }
    if (scan->lines == 0 && len > limits->request_line_max)
        return HTTP_ERROR_URI_TOO_LONG;
    if (scan->lines > 0 && len > limits->field_bytes_max)
        return HTTP_ERROR_HEAD_TOO_LARGE;
    if (scan->line_start + len > limits->head_bytes_max)
        return HTTP_ERROR_HEAD_TOO_LARGE;
    if (len > 0 && scan->lines > limits->fields_max)
        return HTTP_ERROR_HEAD_TOO_LARGE;
    return HTTP_ERROR_NONE;
}

ssize_t h1_scan_run(struct h1_scan *scan, enum h1_scan_kind kind, struct span data,
                    const struct http_limits *limits)
{
    ASSERT(scan->scanned <= data.len);
    while (scan->scanned < data.len) {
        size_t at = scan->scanned;
        const char *from = data.ptr + at;
        const char *lf = memchr(from, '\n', data.len - at);
        const char *stop = lf != NULL ? lf : data.ptr + data.len;
        const char *cr = memchr(from, '\r', (size_t)(stop - from));
        if (lf != NULL ? cr != lf - 1 : cr != NULL && cr != stop - 1)
            return -(ssize_t)HTTP_ERROR_BAD_REQUEST;
        if (lf != NULL && cr == NULL)
            return -(ssize_t)HTTP_ERROR_BAD_REQUEST;
        const char *end = cr != NULL ? cr : stop;
        enum http_error error = scan_part(scan, kind, span_make(from, (size_t)(end - from)), at);
        size_t len = (size_t)(end - data.ptr) - scan->line_start;
        if (error == HTTP_ERROR_NONE)
            error = scan_limits(scan, kind, len, limits);
        if (error != HTTP_ERROR_NONE)
            return -(ssize_t)error;
        scan->scanned = (uint32_t)(end - data.ptr);
        if (lf == NULL)
            return 0;
        scan->scanned = (uint32_t)(lf + 1 - data.ptr);
        if (len == 0)
            return scan->lines == 0 && kind != H1_SCAN_TRAILERS ? -(ssize_t)HTTP_ERROR_BAD_REQUEST
                                                                : (ssize_t)scan->scanned;
        scan->line_start = scan->scanned;
        scan->lines++;
    }
    return 0;
}
