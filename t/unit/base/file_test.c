/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void replaces_and_reads(void **state UNUSED)
{
    static const char *const texts[] = {"first", "", "second and longer"};
    char dir[] = "/tmp/file_test_XXXXXX";
    assert_non_null(mkdtemp(dir));
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++) {
        struct buf text;
        buf_init(&text, 64);
        assert_int_equal(file_replace(fd, "x", span_str(texts[i])), 0);
        assert_int_equal(file_read(fd, "x", 0, &text), 0);
        assert_true(span_equal_str(buf_span(&text), texts[i]));
        buf_fini(&text);
    }
    struct buf small;
    buf_init(&small, 4);
    assert_int_equal(file_read(fd, "x", 0, &small), -EFBIG);
    buf_fini(&small);
    buf_init(&small, 4);
    assert_int_equal(file_read(fd, "missing", 0, &small), -ENOENT);
    assert_int_equal(symlinkat("x", fd, "link"), 0);
    assert_int_equal(file_read(fd, "link", O_NOFOLLOW, &small), -ELOOP);
    assert_int_equal(file_read(fd, "link", 0, &small), -EFBIG);
    buf_fini(&small);
    assert_int_equal(file_replace(fd, "no/x", SPAN_LIT("y")), -ENOENT);
    assert_int_equal(mkdirat(fd, "dir", 0700), 0);
    assert_true(file_replace(fd, "dir", SPAN_LIT("y")) < 0);
    assert_int_equal(unlinkat(fd, "dir", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(fd, "link", 0), 0);
    assert_int_equal(unlinkat(fd, "x", 0), 0);
    close(fd);
    assert_int_equal(rmdir(dir), 0); /* no temporary file stays */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(replaces_and_reads)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
