/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "tls/cert.h"
#include "tls/selfsign.h"

struct pair {
    struct buf cert, key;
};

static void pair_init(struct pair *pair)
{
    buf_init(&pair->cert, 65536);
    buf_init(&pair->key, 65536);
}

static void pair_fini(struct pair *pair)
{
    buf_fini(&pair->cert);
    buf_fini(&pair->key);
}

static struct selfsign_ca *ca_make(void)
{
    struct selfsign_ca *ca = NULL;
    struct err err = {0};
    assert_int_equal(selfsign_ca_new(&ca, "test", &err), 0);
    return ca;
}

static void test_ca(void **state UNUSED)
{
    struct selfsign_ca *ca = ca_make();
    struct buf pem;
    struct err err = {0};

    buf_init(&pem, 65536);
    assert_int_equal(selfsign_ca_pem(ca, &pem, &err), 0);
    assert_int_equal(cert_check_ca(buf_span(&pem), &err), 0);
    buf_fini(&pem);
    selfsign_ca_free(ca);
    selfsign_ca_free(NULL);
}

static void test_pair(void **state UNUSED)
{
    struct selfsign_ca *ca = ca_make();
    struct pair one, two;
    struct cert_info info;
    struct err err = {0};
    int64_t now = (int64_t)time(NULL);

    pair_init(&one);
    pair_init(&two);
    assert_int_equal(selfsign_issue(ca, "DNS:a.test,DNS:b.test,IP:::1", &one.cert, &one.key, &err),
                     0);
    assert_int_equal(selfsign_issue(ca, "URI:spiffe://test/a", &two.cert, &two.key, &err), 0);
    assert_int_equal(cert_check_pair(buf_span(&one.cert), buf_span(&one.key), &info, &err), 0);
    assert_int_equal(info.names_count, 2);
    assert_true(info.not_before < now && now < info.not_after);
    assert_true(info.not_after - now <= SELFSIGN_VALID_HOURS * 3600);
    assert_int_equal(cert_check_pair(buf_span(&two.cert), buf_span(&two.key), &info, &err), 0);
    assert_int_equal(info.names_count, 0);
    assert_int_equal(cert_check_pair(buf_span(&one.cert), buf_span(&two.key), &info, &err),
                     -EINVAL);
    pair_fini(&one);
    pair_fini(&two);
    selfsign_ca_free(ca);
}

static void test_refused(void **state UNUSED)
{
    static const char *const names[] = {"", "nonsense", "IP:300.1.1.1", "WHAT:a"};
    struct selfsign_ca *ca = ca_make();

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        struct pair pair;
        struct err err = {0};
        pair_init(&pair);
        assert_int_equal(selfsign_issue(ca, names[i], &pair.cert, &pair.key, &err), -EIO);
        assert_true(err.text[0] != '\0' && pair.cert.len == 0 && pair.key.len == 0);
        pair_fini(&pair);
    }
    selfsign_ca_free(ca);
}

/* A buffer that is too small is told, not cut. */
static void test_no_room(void **state UNUSED)
{
    struct selfsign_ca *ca = ca_make();
    struct buf small;
    struct err err = {0};

    buf_init(&small, 100);
    assert_int_equal(selfsign_ca_pem(ca, &small, &err), -EIO);
    buf_fini(&small);
    selfsign_ca_free(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ca),
        cmocka_unit_test(test_pair),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
