/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/panic.h"
#include "io/proxy_protocol.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"

struct parse_case {
    const char *name;
    struct span data;
    ssize_t want;
    const char *source, *destination; /* NULL: local */
};

#define CASE(name, text, want, source, destination)                                                \
    {                                                                                              \
        name, SPAN_LIT(text), want, source, destination                                            \
    }

static const struct parse_case cases[] = {
    CASE("v1 tcp4", "PROXY TCP4 192.0.2.1 192.0.2.2 51234 443\r\nGET", 42, "192.0.2.1:51234",
         "192.0.2.2:443"),
    CASE("v1 tcp6", "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", 36, "[2001:db8::1]:1",
         "[::1]:65535"),
    CASE("v1 unknown", "PROXY UNKNOWN\r\n", 15, NULL, NULL),
    CASE("v1 unknown with text", "PROXY UNKNOWN ffff 1 2 3\r\n", 26, NULL, NULL),
    CASE("v1 family mismatch", "PROXY TCP4 ::1 ::1 1 2\r\n", -EPROTO, NULL, NULL),
    CASE("v1 udp", "PROXY UDP4 1.1.1.1 1.1.1.1 1 2\r\n", -EPROTO, NULL, NULL),
    CASE("v1 port too large", "PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n", -EPROTO, NULL, NULL),
    CASE("v1 leading zero", "PROXY TCP4 1.1.1.1 1.1.1.1 01 2\r\n", -EPROTO, NULL, NULL),
    CASE("v1 two spaces", "PROXY TCP4  1.1.1.1 1.1.1.1 1 2\r\n", -EPROTO, NULL, NULL),
    CASE("v1 trailing field", "PROXY TCP4 1.1.1.1 1.1.1.1 1 2 3\r\n", -EPROTO, NULL, NULL),
    CASE("v1 bare newline", "PROXY TCP4 1.1.1.1 1.1.1.1 1 2\n", -EPROTO, NULL, NULL),
    CASE("v1 lower case", "proxy TCP4 1.1.1.1 1.1.1.1 1 2\r\n", -EPROTO, NULL, NULL),
    CASE("v1 NUL", "PROXY TCP4 1.1.1.1\0 1.1.1.1 1 2\r\n", -EPROTO, NULL, NULL),
    CASE("not proxy", "GET / HTTP/1.1\r\n", -EPROTO, NULL, NULL),
    CASE("tls hello", "\x16\x03\x01", -EPROTO, NULL, NULL),
    CASE("empty", "", 0, NULL, NULL),
    CASE("one byte of v2", "\r", 0, NULL, NULL),
    CASE("v2 tcp4", SIG "\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x10\0\x01\xbb", 28,
         "1.2.3.4:4096", "5.6.7.8:443"),
    CASE("v2 tcp4 with TLV",
         SIG "\x21\x11\0\x10\x01\x02\x03\x04\x05\x06\x07\x08\x10\0\x01\xbb\x04\0\x01x", 32,
         "1.2.3.4:4096", "5.6.7.8:443"),
    CASE("v2 tcp6",
         SIG "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
             "\0\x50\0\x51",
         52, "[::1]:80", "[::2]:81"),
    CASE("v2 local", SIG "\x20\0\0\0", 16, NULL, NULL),
    CASE("v2 unix", SIG "\x21\x31\0\x04pads", 20, NULL, NULL),
    CASE("v2 unspecified", SIG "\x21\0\0\0", 16, NULL, NULL),
    CASE("v2 short addresses", SIG "\x21\x11\0\x04\x01\x02\x03\x04", -EPROTO, NULL, NULL),
    CASE("v2 version 1", SIG "\x11\x11\0\0", -EPROTO, NULL, NULL),
    CASE("v2 command 2", SIG "\x22\x11\0\0", -EPROTO, NULL, NULL),
    CASE("v2 family 4", SIG "\x21\x41\0\0", -EPROTO, NULL, NULL),
    CASE("v2 too long", SIG "\x21\x11\xff\xff", -EPROTO, NULL, NULL),
};

static void check_address(const struct addr *addr, const char *want)
{
    char text[ADDR_TEXT_SIZE];
    (void)addr_format(addr, text);
    assert_string_equal(text, want);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct parse_case *c = &cases[i];
        struct proxy_header header = {.local = true};
        ssize_t rc = proxy_protocol_parse(c->data, &header);
        if (rc != c->want)
            fail_msg("%s: %zd, not %zd", c->name, rc, c->want);
        if (rc <= 0)
            continue;
        assert_int_equal(header.local, c->source == NULL);
        if (c->source) {
            check_address(&header.source, c->source);
            check_address(&header.destination, c->destination);
        }
    }
}

/* Every prefix of a good header asks for more, from memory of exactly that size. */
static void test_prefixes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        for (size_t len = 0; cases[i].want > 0 && len < (size_t)cases[i].want; len++) {
            char *copy = xmalloc(len + 1);
            memcpy(copy, cases[i].data.ptr, len);
            struct proxy_header header;
            ssize_t rc = proxy_protocol_parse(span_make(copy, len), &header);
            if (rc != 0)
                fail_msg("%s: %zd at %zu bytes", cases[i].name, rc, len);
            free(copy);
        }
    }
}

static void test_endless_line(void **state)
{
    (void)state;
    char line[200];
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY ", 6);
    struct proxy_header header;
    assert_int_equal(proxy_protocol_parse(span_make(line, 106), &header), 0);
    assert_int_equal(proxy_protocol_parse(span_make(line, 107), &header), -EPROTO);
    assert_int_equal(proxy_protocol_parse(span_make(line, 200), &header), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_endless_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
