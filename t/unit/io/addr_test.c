/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <arpa/inet.h>
#include <string.h>

#include "io/addr.h"

static void test_parse_and_format(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* NULL: refused */
        const char *ip;
    } cases[] = {
        {"1.2.3.4:80", "1.2.3.4:80", "1.2.3.4"},
        {"0.0.0.0:0", "0.0.0.0:0", "0.0.0.0"},
        {"[::1]:443", "[::1]:443", "::1"},
        {"[2001:DB8::1]:65535", "[2001:db8::1]:65535", "2001:db8::1"},
        {"9.99.100.255:1", "9.99.100.255:1", "9.99.100.255"},
        {"[::]:0", "[::]:0", "::"},
        {"[1::]:0", "[1::]:0", "1::"},
        {"[0:0:1::]:0", "[0:0:1::]:0", "0:0:1::"},
        {"[1:0:2:3:4:5:6:7]:0", "[1:0:2:3:4:5:6:7]:0", "1:0:2:3:4:5:6:7"},
        {"[1:0:0:2:0:0:3:4]:0", "[1::2:0:0:3:4]:0", "1::2:0:0:3:4"},
        {"[fe80:a0b:0c00::10:100:f00f]:0", "[fe80:a0b:c00::10:100:f00f]:0",
         "fe80:a0b:c00::10:100:f00f"},
        {"[::ffff:10.0.0.1]:1", "10.0.0.1:1", "10.0.0.1"},
        {"unix:/run/x.sock", "unix:/run/x.sock", "unix:/run/x.sock"},
        {"1.2.3.4", NULL, NULL},
        {"1.2.3.4:", NULL, NULL},
        {"1.2.3.4:65536", NULL, NULL},
        {"1.2.3.4:-1", NULL, NULL},
        {"1.2.3:80", NULL, NULL},
        {"::1:80", NULL, NULL},
        {"[::1]", NULL, NULL},
        {"[::1]80", NULL, NULL},
        {"[1.2.3.4]:80", NULL, NULL},
        {"[]:80", NULL, NULL},
        {"[::1", NULL, NULL},
        {"host:80", NULL, NULL},
        {":80", NULL, NULL},
        {"unix:", NULL, NULL},
        {"", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct addr addr;
        int rc = addr_parse(span_str(cases[i].text), &addr);
        if (rc != (cases[i].want ? 0 : -EINVAL))
            fail_msg("%s: %d", cases[i].text, rc);
        if (rc < 0)
            continue;
        char text[ADDR_TEXT_SIZE];
        assert_int_equal(addr_format(&addr, text), strlen(cases[i].want));
        assert_string_equal(text, cases[i].want);
        assert_int_equal(addr_format_ip(&addr, text), strlen(cases[i].ip));
        assert_string_equal(text, cases[i].ip);
    }
    char path[200];
    memset(path, 'p', sizeof(path));
    memcpy(path, "unix:", 5);
    struct addr addr;
    assert_int_equal(addr_parse(span_make(path, 5 + 107), &addr), 0);
    char text[ADDR_TEXT_SIZE];
    assert_int_equal(addr_format(&addr, text), 5 + 107);
    assert_int_equal(addr_parse(span_make(path, 5 + 108), &addr), -EINVAL);
    assert_int_equal(addr_format(&(struct addr){.len = 0}, text), 0);
}

/* The same text as inet_ntop, but for the deprecated ::a.b.c.d. */
static void test_v6_as_libc(void **state UNUSED)
{
    struct addr addr = {.len = sizeof(addr.in6)};
    uint8_t *ip = addr.in6.sin6_addr.s6_addr;
    addr.in6.sin6_family = AF_INET6;
    for (unsigned zeros = 0; zeros < 256; zeros++) { /* a bit a group */
        for (unsigned i = 0; i < 8; i++) {
            ip[2 * i] = (uint8_t)(zeros >> i & 1 ? 0 : i * zeros);
            ip[2 * i + 1] = (uint8_t)(zeros >> i & 1 ? 0 : 1 + i);
        }
        if ((zeros & 0x3f) == 0x3f && zeros != 0xff)
            continue;
        char text[ADDR_TEXT_SIZE], libc[INET6_ADDRSTRLEN];
        (void)addr_format_ip(&addr, text); /* as strlen says */
        assert_string_equal(text, inet_ntop(AF_INET6, ip, libc, sizeof(libc)));
    }
}

static void test_short(void **state)
{
    (void)state;
    static const char *const texts[] = {"1.2.3.4:80", "255.255.255.255:65535", "[::1]:443",
                                        "[2001:db8::1]:1",
                                        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1"};
    struct addr addr, back;
    struct addr_short little;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_int_equal(addr_parse(span_str(texts[i]), &addr), 0);
        if (addr.sa.sa_family == AF_INET6)
            addr.in6.sin6_scope_id = 7;
        addr_shorten(&addr, &little);
        addr_expand(&little, &back);
        assert_true(addr_equal(&addr, &back));
        assert_int_equal(addr.len, back.len);
        char text[ADDR_TEXT_SIZE], brief[ADDR_SHORT_TEXT_SIZE];
        size_t len = addr_short_format_ip(&little, brief);
        assert_int_equal(len, addr_format_ip(&addr, text));
        assert_memory_equal(brief, text, len);
    }
    assert_int_equal(addr_parse(span_str("unix:/run/x.sock"), &addr), 0);
    addr_shorten(&addr, &little);
    addr_expand(&little, &back);
    assert_int_equal(back.len, 0);
    addr.len = 0;
    addr_shorten(&addr, &little);
    addr_expand(&little, &back);
    assert_int_equal(back.len, 0);
}

static void test_equal_and_unmap(void **state)
{
    (void)state;
    struct addr v4, mapped, other;
    assert_int_equal(addr_parse(SPAN_LIT("10.0.0.1:80"), &v4), 0);
    assert_int_equal(addr_parse(SPAN_LIT("[::ffff:10.0.0.1]:80"), &mapped), 0);
    assert_false(addr_equal(&v4, &mapped));
    addr_unmap(&mapped);
    assert_true(addr_equal(&v4, &mapped));
    other = v4;
    addr_set_port(&other, 81);
    assert_int_equal(addr_port(&other), 81);
    assert_false(addr_equal(&v4, &other));
    uint8_t ip[16];
    assert_int_equal(addr_ip_bytes(&v4, ip), 4);
    assert_memory_equal(ip, "\x0a\0\0\x01", 4);
    assert_int_equal(addr_from_ip(SPAN_LIT("::1%lo"), 1, &other), -EINVAL);
    assert_int_equal(addr_from_ip(SPAN_LIT("[::1]"), 1, &other), -EINVAL);
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *ip;
        int want; /* 1: has, 0: has not, -1: the range is refused */
    } cases[] = {
        {"10.0.0.0/8", "10.255.1.2", 1},
        {"10.0.0.0/8", "11.0.0.0", 0},
        {"10.0.0.0/8", "::ffff:10.1.1.1", 1},
        {"10.0.0.0/8", "::1", 0},
        {"192.0.2.128/25", "192.0.2.127", 0},
        {"192.0.2.128/25", "192.0.2.200", 1},
        {"192.0.2.1", "192.0.2.1", 1},
        {"192.0.2.1", "192.0.2.2", 0},
        {"0.0.0.0/0", "8.8.8.8", 1},
        {"::/0", "::1", 1},
        {"2001:db8::/33", "2001:db8:7fff::1", 1},
        {"2001:db8::/33", "2001:db8:8000::1", 0},
        {"10.0.0.1/8", "", -1},
        {"10.0.0.0/33", "", -1},
        {"10.0.0.0/", "", -1},
        {"::/129", "", -1},
        {"/8", "", -1},
        {"", "", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct addr_range range;
        int rc = addr_range_parse(span_str(cases[i].range), &range);
        if (rc != (cases[i].want < 0 ? -EINVAL : 0))
            fail_msg("%s: %d", cases[i].range, rc);
        if (rc < 0)
            continue;
        struct addr addr;
        assert_int_equal(addr_from_ip(span_str(cases[i].ip), 9, &addr), 0);
        if (addr_range_has(&range, &addr) != (cases[i].want == 1))
            fail_msg("%s in %s", cases[i].ip, cases[i].range);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format), cmocka_unit_test(test_equal_and_unmap),
        cmocka_unit_test(test_v6_as_libc),       cmocka_unit_test(test_short),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
