/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/header.h"

#include "base/panic.h"

static const struct span header_names[HTTP_HEADER_COUNT] = {
#define HEADER(id, text, flags) [HTTP_HEADER_##id] = {text, sizeof(text) - 1},
#include "http/headers.tbl"
#undef HEADER
};

/* Most of those of one length differ in their first letter. */
#define TRY(id)                                                                                    \
    if ((name.ptr[0] | 0x20) == header_names[HTTP_HEADER_##id].ptr[0] &&                           \
        span_equal_fold(header_names[HTTP_HEADER_##id], name))                                     \
    return HTTP_HEADER_##id

/* A name's length leaves at most four candidates, which differ early. The unit
 * test asks for every line of headers.tbl, so a new one cannot be forgotten here. */
static enum http_header_id header_find_long(struct span name)
{
    switch (name.len) {
    case 13:
        TRY(AUTHORIZATION);
        break;
    case 14:
        TRY(CONTENT_LENGTH);
        TRY(HTTP2_SETTINGS);
        break;
    case 15:
        TRY(X_FORWARDED_FOR);
        break;
    case 16:
        TRY(X_FORWARDED_HOST);
        TRY(X_FORWARDED_PORT);
        TRY(PROXY_CONNECTION);
        TRY(RATELIMIT_POLICY);
        break;
    case 17:
        TRY(TRANSFER_ENCODING);
        TRY(X_FORWARDED_PROTO);
        break;
    case 18:
        TRY(PROXY_AUTHENTICATE);
        break;
    case 19:
        TRY(PROXY_AUTHORIZATION);
        break;
    case 23:
        TRY(X_FORWARDED_CLIENT_CERT);
        break;
    default:
        break;
    }
    return HTTP_HEADER_OTHER;
}

enum http_header_id http_header_find(struct span name)
{
    switch (name.len) {
    case 2:
        TRY(TE);
        break;
    case 3:
        TRY(VIA);
        break;
    case 4:
        TRY(HOST);
        TRY(DATE);
        break;
    case 5:
        TRY(PROXY);
        break;
    case 6:
        TRY(COOKIE);
        TRY(SERVER);
        TRY(EXPECT);
        break;
    case 7:
        TRY(UPGRADE);
        TRY(TRAILER);
        break;
    case 8:
        TRY(LOCATION);
        break;
    case 9:
        TRY(X_REAL_IP);
        TRY(FORWARDED);
        TRY(RATELIMIT);
        break;
    case 10:
        TRY(CONNECTION);
        TRY(USER_AGENT);
        TRY(SET_COOKIE);
        TRY(KEEP_ALIVE);
        break;
    case 11:
        TRY(RETRY_AFTER);
        TRY(GRPC_STATUS);
        break;
    case 12:
        TRY(CONTENT_TYPE);
        TRY(X_REQUEST_ID);
        TRY(GRPC_TIMEOUT);
        TRY(GRPC_MESSAGE);
        break;
    default:
        return header_find_long(name);
    }
    return HTTP_HEADER_OTHER;
}

struct span http_header_name(enum http_header_id id)
{
    ASSERT(id < HTTP_HEADER_COUNT);
    return header_names[id];
}
