/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io_fixture.h"

#include <fcntl.h>

#include "io/uring.h"

/* What a ring of ours answers to operations that no engine submits. */

struct asked {
    struct op op;
    int res;
    bool done;
};

static void on_done(struct op *op, int res, uint32_t flags UNUSED)
{
    struct asked *asked = container_of(op, struct asked, op);
    asked->res = res;
    asked->done = true;
}

static void prep_nop(struct io_uring_sqe *sqe)
{
    io_uring_prep_nop(sqe);
}

static void prep_openat(struct io_uring_sqe *sqe)
{
    io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
}

static void prep_unlinkat(struct io_uring_sqe *sqe)
{
    io_uring_prep_unlinkat(sqe, AT_FDCWD, "/nonexistent/file", 0);
}

static void prep_async_poll(struct io_uring_sqe *sqe)
{
    io_uring_prep_poll_add(sqe, 0, 0);
    sqe->flags = IOSQE_ASYNC;
}

static const struct {
    const char *name;
    void (*prep)(struct io_uring_sqe *sqe);
} refused[] = {{"nop", prep_nop},
               {"openat", prep_openat},
               {"unlinkat", prep_unlinkat},
               {"a flag that nobody sets", prep_async_poll}};

static int ask(struct loop *loop, void (*prep)(struct io_uring_sqe *))
{
    struct asked asked = {.op.on_done = on_done};
    struct io_uring_sqe *sqe = uring_sqe(uring_of(loop->engine), &asked.op);
    prep(sqe);
    io_uring_sqe_set_data(sqe, &asked.op);
    for (unsigned i = 0; i < 1000 && !asked.done; i++)
        loop_turn(loop, 10 * NS_PER_MS);
    assert_true(asked.done);
    return asked.res;
}

static bool has_uring(void)
{
    enum loop_engine chosen;
    char reason[256];
    bool has = loop_engine_choose(LOOP_ENGINE_URING, &chosen, reason, sizeof(reason)) == 0;
    if (!has)
        print_message("io_uring is not tested: %s\n", reason);
    else
        assert_non_null(strstr(reason, "restricted"));
    return has;
}

static void refuses_what_is_not_used(void **state UNUSED)
{
    if (!has_uring())
        skip();
    struct loop *loop = fixture_loop(LOOP_ENGINE_URING);
    bool restricted = uring_of(loop->engine)->restricted;
    for (unsigned i = 0; i < ARRAY_COUNT(refused) && restricted; i++) {
        int res = ask(loop, refused[i].prep);
        if (res != -EACCES)
            fail_msg("%s: %d", refused[i].name, res);
    }
    /* Registering is over too. */
    int fd = STDIN_FILENO;
    if (restricted)
        assert_int_equal(io_uring_register_files(&uring_of(loop->engine)->ring, &fd, 1), -EACCES);
    loop_free(loop);
    if (!restricted)
        skip();
}

/* Last: it counts for the rest of the process. */
static void works_without(void **state UNUSED)
{
    if (!has_uring())
        skip();
    uring_restrict_off();
    struct loop *loop = fixture_loop(LOOP_ENGINE_URING);
    assert_false(uring_of(loop->engine)->restricted);
    assert_int_equal(ask(loop, prep_nop), 0);
    loop_free(loop);
    assert_true(has_uring());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_not_used),
        cmocka_unit_test(works_without),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
