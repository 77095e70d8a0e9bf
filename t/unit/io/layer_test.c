/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io_fixture.h"

#include "io/layer.h"

static void write_all(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Upper-cases downwards and upwards; opens after the peer's first byte, which it swallows. */
struct upper_layer {
    struct layer layer;
    bool open;
    int *frees;
};

static void upper_on_open(struct layer *layer)
{
    (void)layer;
}

static void upper_on_data(struct layer *layer, struct span data)
{
    struct upper_layer *upper = container_of(layer, struct upper_layer, layer);
    if (!upper->open) {
        upper->open = true;
        data = span_skip(data, 1);
        layer_up_open(layer);
    }
    char out[16];
    while (data.len > 0) {
        size_t n = MIN(data.len, sizeof(out));
        for (size_t i = 0; i < n; i++)
            out[i] = (char)(data.ptr[i] & ~0x20);
        layer_up_data(layer, span_make(out, n));
        data = span_skip(data, n);
    }
}

static void upper_on_end(struct layer *layer)
{
    layer_up_end(layer);
}

static int upper_write(struct layer *layer, const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i++) {
        char copy[64];
        assert_true(iov[i].iov_len <= sizeof(copy));
        for (size_t at = 0; at < iov[i].iov_len; at++)
            copy[at] = (char)(((const char *)iov[i].iov_base)[at] & ~0x20);
        struct iovec out = {.iov_base = copy, .iov_len = iov[i].iov_len};
        int rc = layer_down_write(layer, &out, 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void upper_shutdown(struct layer *layer)
{
    struct iovec bye = {.iov_base = (char[]){"."}, .iov_len = 1};
    assert_int_equal(layer_down_write(layer, &bye, 1), 0);
    layer_down_shutdown(layer);
}

static void upper_free(struct layer *layer)
{
    struct upper_layer *upper = container_of(layer, struct upper_layer, layer);
    (*upper->frees)++;
    free(upper);
}

static const struct layer_ops upper_ops = {
    .name = "upper",
    .on_open = upper_on_open,
    .on_data = upper_on_data,
    .on_end = upper_on_end,
    .write = upper_write,
    .shutdown = upper_shutdown,
    .free = upper_free,
};

static struct layer *upper_new(int *frees)
{
    struct upper_layer *upper = xcalloc(1, sizeof(*upper));
    *upper = (struct upper_layer){.layer = {.ops = &upper_ops}, .frees = frees};
    return &upper->layer;
}

static void layered_accept(struct acceptor *acceptor, struct conn *conn, void *user)
{
    static int frees;
    conn_push_layer(conn, upper_new(&frees));
    recorder_accept(acceptor, conn, user);
}

static void test_layer(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop(engine);
        struct addr addr;
        int fd = fixture_listen(&addr);
        struct recorder rec;
        recorder_init(&rec);
        struct acceptor *acceptor = acceptor_start(loop, fd, layered_accept, &rec);
        int client = fixture_connect(&addr);
        FIXTURE_UNTIL(loop, rec.conn);
        assert_false(conn_is_plain(rec.conn));
        assert_non_null(conn_find_layer(rec.conn, &upper_ops));
        assert_int_equal(conn_write_span(rec.conn, SPAN_LIT("early")), -ENOTCONN);
        write_all(client, "?some words to be shouted back", 30);
        FIXTURE_UNTIL(loop, rec.len == 29);
        assert_int_equal(rec.opens, 1);
        assert_memory_equal(rec.data, "SOME", 4);
        uint8_t *room = conn_reserve(rec.conn, 100);
        memcpy(room, "loud", 4);
        assert_int_equal(conn_commit(rec.conn, 4), 0);
        conn_close(rec.conn, false);
        rec.conn = NULL;
        FIXTURE_UNTIL(loop, loop->conns == 0);
        loop_turn(loop, 0);
        char in[16];
        assert_int_equal(recv(client, in, sizeof(in), MSG_WAITALL), 5);
        assert_memory_equal(in, "LOUD.", 5);
        (void)close(client);
        recorder_fini(&rec);
        fixture_end(loop, acceptor);
    }
}

/* An owner that reads a header and pushes a layer over the rest, as the PROXY protocol does. */
struct upgrader {
    struct recorder rec;
    int frees;
};

static void upgrader_on_data(struct conn_owner *owner, struct conn *conn)
{
    struct upgrader *up = container_of(owner, struct upgrader, rec.owner);
    assert_memory_equal(conn_input(conn).ptr, "HDR", 3);
    conn_consume(conn, 3);
    conn_set_owner(conn, &up->rec.owner);
    up->rec.owner.ops = &recorder_ops;
    conn_push_layer(conn, upper_new(&up->frees));
    assert_int_equal(conn_input(conn).len, 0);
}

static void test_layer_pushed_over_input(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        struct conn_owner_ops first = recorder_ops;
        first.on_data = upgrader_on_data;
        struct loop *loop = fixture_loop(engine);
        struct upgrader up = {.frees = 0};
        recorder_init(&up.rec);
        up.rec.owner.ops = &first;
        int client;
        struct acceptor *acceptor = fixture_accept(loop, &up.rec, &client);
        write_all(client, "HDR?rest", 8);
        FIXTURE_UNTIL(loop, up.rec.len == 4);
        assert_int_equal(up.rec.opens, 1);
        assert_memory_equal(up.rec.data, "REST", 4);
        write_all(client, "more", 4);
        FIXTURE_UNTIL(loop, up.rec.len == 8);
        assert_memory_equal(up.rec.data, "RESTMORE", 8);
        assert_int_equal(block_in_use(loop->blocks), 0);
        (void)close(client);
        recorder_fini(&up.rec);
        fixture_end(loop, acceptor);
        assert_int_equal(up.frees, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer),
        cmocka_unit_test(test_layer_pushed_over_input),
        cmocka_unit_test(test_no_helper_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
