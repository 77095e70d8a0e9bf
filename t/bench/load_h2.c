/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#define WINDOW (16 * 1024 * 1024)
#define GATHER (32 * 1024)

struct load_h2 {
    struct load *load;
    struct client *client;
    nghttp2_session *session;
    size_t gathered; /* of out; client.out is what was not sent of it */
    char out[GATHER];
};

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)session;
    (void)frame;
    (void)flags;
    struct load_h2 *h2 = user;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0 &&
        (value_len != 3 || memcmp(value, "200", 3) != 0))
        load_failed(h2->load);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *user)
{
    (void)session;
    (void)flags;
    (void)stream;
    (void)data;
    struct load_h2 *h2 = user;
    h2->load->bytes += len;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error, void *user)
{
    struct load_h2 *h2 = user;
    struct slot *slot = nghttp2_session_get_stream_user_data(session, stream);
    if (error != NGHTTP2_NO_ERROR)
        load_failed(h2->load);
    load_done(h2->load, slot);
    return 0;
}

void load_h2_begin(struct load *load, struct client *client)
{
    struct load_h2 *h2 = calloc(1, sizeof(*h2));
    nghttp2_session_callbacks *callbacks;
    if (!h2 || nghttp2_session_callbacks_new(&callbacks) != 0)
        wire_die("nghttp2");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
    };
    *h2 = (struct load_h2){.load = load, .client = client};
    if (nghttp2_session_client_new(&h2->session, callbacks, h2) != 0 ||
        nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, ARRAY_COUNT(settings)) !=
            0 ||
        nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0)
        wire_die("nghttp2");
    nghttp2_session_callbacks_del(callbacks);
    client->h2 = h2;
}

void load_h2_end(struct client *client)
{
    if (!client->h2)
        return;
    nghttp2_session_del(client->h2->session);
    free(client->h2);
    client->h2 = NULL;
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

int load_h2_start(struct slot *slot)
{
    struct load_h2 *h2 = slot->client->h2;
    const struct request *request = load_request(h2->load);
    const nghttp2_nv fields[] = {
        field(":method", "GET"),
        field(":scheme", "https"),
        field(":authority", request->host),
        field(":path", request->path),
        field("accept", "*/*"),
        field("user-agent", "load"),
    };
    return nghttp2_submit_request(h2->session, NULL, fields, ARRAY_COUNT(fields), NULL, slot) < 0
               ? -EPIPE
               : 0;
}

int load_h2_flush(struct client *client)
{
    struct load_h2 *h2 = client->h2;
    for (;;) {
        if (wire_flush(&client->wire, &client->out, &client->out_len) < 0)
            return -EPIPE;
        if (client->out_len > 0)
            return 0;
        h2->gathered = 0;
        const uint8_t *data;
        ssize_t n;
        /* A frame is at most 16 KiB and ours are small. */
        while (h2->gathered < sizeof(h2->out) / 2 &&
               (n = nghttp2_session_mem_send(h2->session, &data)) > 0) {
            if ((size_t)n > sizeof(h2->out) - h2->gathered)
                return -EPIPE;
            memcpy(h2->out + h2->gathered, data, (size_t)n);
            h2->gathered += (size_t)n;
        }
        if (h2->gathered == 0)
            return 0;
        client->out = h2->out;
        client->out_len = h2->gathered;
    }
}

int load_h2_received(struct client *client, const uint8_t *data, size_t len)
{
    return nghttp2_session_mem_recv(client->h2->session, data, len) == (ssize_t)len ? 0 : -EPIPE;
}
