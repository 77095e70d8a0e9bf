/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/pattern_check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *problem(struct pattern_check *check, struct span source)
{
    return check->patterns.problem(check->patterns.user, source);
}

/* The same text has the same answer; it is looked at once, and forgotten when nobody asks. */
static void remembers_answers(void **state UNUSED)
{
    static const char again[] = "/a(";
    struct pattern_check check;
    pattern_check_init(&check);
    assert_null(problem(&check, SPAN_LIT("/a+")));
    const char *first = problem(&check, SPAN_LIT("/a("));
    assert_non_null(first);
    assert_null(problem(&check, SPAN_NONE));
    assert_non_null(problem(&check, SPAN_LIT("(?=a)")));
    assert_null(problem(&check, SPAN_LIT("/a+")));
    assert_ptr_equal(problem(&check, span_str(again)), first);
    assert_int_equal(check.seen.count, 4);
    pattern_check_sweep(&check);
    assert_ptr_equal(problem(&check, SPAN_LIT("/a(")), first);
    assert_int_equal(check.seen.count, 4);
    pattern_check_sweep(&check);
    assert_int_equal(check.seen.count, 1);
    assert_ptr_equal(problem(&check, SPAN_LIT("/a(")), first);
    assert_null(problem(&check, SPAN_LIT("/b")));
    pattern_check_fini(&check);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remembers_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
