/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "http/uri.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct path_case {
    const char *path, *normal; /* NULL: refused */
};

static const struct path_case path_cases[] = {
    {"", NULL},
    {"a", NULL},
    {"*", NULL},
    {"/", "/"},
    {"//", "//"},
    {"///", "///"},
    {"/a", "/a"},
    {"/a/", "/a/"},
    {"/a//b", "/a//b"},
    {"//a", "//a"},
    {"/a/b/c", "/a/b/c"},
    {"/.", "/"},
    {"/./", "/"},
    {"/..", "/"},
    {"/../", "/"},
    {"/../..", "/"},
    {"/.../", "/.../"},
    {"/./.", "/"},
    {"/././", "/"},
    {"/a/.", "/a/"},
    {"/a/./", "/a/"},
    {"/a/./b", "/a/b"},
    {"/a/..", "/"},
    {"/a/../", "/"},
    {"/a/../b", "/b"},
    {"/a/b/..", "/a/"},
    {"/a/b/../", "/a/"},
    {"/a/b/../c", "/a/c"},
    {"/a/b/../../c", "/c"},
    {"/a/b/../../../c", "/c"},
    {"/a/../../../../c", "/c"},
    {"/a//../b", "/a/b"},
    {"/a//..", "/a/"},
    {"//..", "/"},
    {"//../", "/"},
    {"//../a", "/a"},
    {"/..//a", "//a"},
    {"/a/...", "/a/..."},
    {"/a/..b", "/a/..b"},
    {"/a/b..", "/a/b.."},
    {"/a/.b", "/a/.b"},
    {"/.a", "/.a"},
    {"/a.", "/a."},
    {"/.well-known/x", "/.well-known/x"},
    {"/..a/b", "/..a/b"},
    {"/%2e", "/"},
    {"/%2E", "/"},
    {"/%2e/", "/"},
    {"/%2e%2e", "/"},
    {"/%2e.", "/"},
    {"/.%2e", "/"},
    {"/a/%2e%2e/b", "/b"},
    {"/a/%2E%2E/b", "/b"},
    {"/a/.%2e/b", "/b"},
    {"/a/%2e/b", "/a/b"},
    {"/a/%2e%2e%2e", "/a/..."},
    {"/%41", "/A"},
    {"/%7e", "/~"},
    {"/%7E", "/~"},
    {"/%2d%5f", "/-_"},
    {"/%61%62", "/ab"},
    {"/%30", "/0"},
    {"/%2a", "/%2A"},
    {"/%c3%a9", "/%C3%A9"},
    {"/%C3%A9", "/%C3%A9"},
    {"/%3a", "/%3A"},
    {"/%40", "/%40"},
    {"/%20", "/%20"},
    {"/%0d%0a", "/%0D%0A"},
    {"/%7f", "/%7F"},
    {"/%ff", "/%FF"},
    {"/%c0%ae", "/%C0%AE"},
    {"/%c0%af", "/%C0%AF"},
    {"/%25", "/%25"},
    {"/%252e", "/%252e"},
    {"/%252E%252e", "/%252E%252e"},
    {"/%252f", "/%252f"},
    {"/%25%32%65", "/%252e"},
    {"/%3b", "/%3B"},
    {"/%3f", "/%3F"},
    {"/%23", "/%23"},
    {"/%00", NULL},
    {"/a%00b", NULL},
    {"/%2f", NULL},
    {"/%2F", NULL},
    {"/a%2fb", NULL},
    {"/%5c", NULL},
    {"/%5C", NULL},
    {"/a\\b", NULL},
    {"\\a", NULL},
    {"/..\\", NULL},
    {"/%", NULL},
    {"/%a", NULL},
    {"/%g0", NULL},
    {"/%0g", NULL},
    {"/%zz", NULL},
    {"/a%", NULL},
    {"/%%41", NULL},
    {"/%4", NULL},
    {"/%u002e", NULL},
    {"/%+1", NULL},
    {"/% 1", NULL},
    {"/a b", NULL},
    {"/a\tb", NULL},
    {"/a\x01", NULL},
    {"/a\x7f", NULL},
    {"/\x80", NULL},
    {"/\xc3\xa9", NULL},
    {"/\xff", NULL},
    {"/a#b", NULL},
    {"/#", NULL},
    {"/a?b", NULL},
    {"/\"", NULL},
    {"/<", NULL},
    {"/>", NULL},
    {"/[", NULL},
    {"/]", NULL},
    {"/{", NULL},
    {"/}", NULL},
    {"/|", NULL},
    {"/^", NULL},
    {"/`", NULL},
    {"/;", "/;"},
    {"/a;b", "/a;b"},
    {"/a;b=c/d", "/a;b=c/d"},
    {"/a.;b", "/a.;b"},
    {"/.;", NULL},
    {"/..;", NULL},
    {"/.;x", NULL},
    {"/..;x", NULL},
    {"/a/..;/b", NULL},
    {"/a/.;/b", NULL},
    {"/..;x/b", NULL},
    {"/%2e;", NULL},
    {"/%2e%2e;a", NULL},
    {"/.%2e;/", NULL},
    {"/..%3b", NULL},
    {"/..%3B/a", NULL},
    {"/.%3bx", NULL},
    {"/...;x", "/...;x"},
    {"/a..;x", "/a..;x"},
    {"/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~"},
    {"/a:b@c", "/a:b@c"},
    {"/a=b&c", "/a=b&c"},
    {"/a/b/./../c/%2e%2e/d", "/a/d"},
    {"/a/./b/../../", "/"},
    {"/a/b/c/./../../g", "/a/g"},
    {"/mid/content=5/../6", "/mid/6"},
    {"/%2e%2e/%2e%2e/etc", "/etc"},
    {"/static/..%2f..%2fetc", NULL},
    {"/static/%2e%2e%5cetc", NULL},
};

static void test_paths(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096, 0, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(path_cases); i++) {
        const struct path_case *c = &path_cases[i];
        struct span normal = SPAN_NONE, again = SPAN_NONE;
        int error = uri_normalize_path(&arena, span_str(c->path), &normal);
        if (error != (c->normal != NULL ? 0 : -EINVAL))
            fail_msg("\"%s\": %d", c->path, error);
        if (error < 0)
            continue;
        if (!span_equal_str(normal, c->normal))
            fail_msg("\"%s\": \"%.*s\"", c->path, SPAN_ARG(normal));
        assert_int_equal(uri_normalize_path(&arena, normal, &again), 0);
        assert_ptr_equal(again.ptr, normal.ptr); /* nothing to do, nothing copied */
        assert_int_equal(again.len, normal.len);
    }
    arena_fini(&arena);
}

/* All strings over an alphabet of troublesome pieces: whatever is accepted is in normal form, and
 * holds no dot segment. */
static void test_idempotence(void **state)
{
    (void)state;
    static const char *const pieces[] = {"/",  ".", "..", "%2e", "%2E", "%41", "%25",
                                         "2e", "a", ";",  "%3b", "%c3", "%5c", "//"};
    struct arena arena;
    arena_init(&arena, 65536, 0, NULL);
    for (unsigned n = 0; n < 14 * 14 * 14 * 14; n++) {
        char text[64] = "/";
        size_t len = 1;
        for (unsigned i = 0, left = n; i < 4; i++, left /= 14) {
            size_t size = strlen(pieces[left % 14]);
            memcpy(text + len, pieces[left % 14], size);
            len += size;
        }
        struct span normal = SPAN_NONE, again = SPAN_NONE;
        if (uri_normalize_path(&arena, span_make(text, len), &normal) < 0)
            continue;
        assert_int_equal(uri_normalize_path(&arena, normal, &again), 0);
        if (!span_equal(normal, again))
            fail_msg("%.*s", (int)len, text);
        for (struct span rest = span_skip(normal, 1), segment; rest.len > 0;) {
            (void)span_split(rest, '/', &segment, &rest);
            assert_false(span_equal_str(segment, ".") || span_equal_str(segment, ".."));
        }
        if (n % 512 == 0)
            arena_reset(&arena);
    }
    arena_fini(&arena);
}

struct authority_case {
    const char *text, *host; /* NULL: refused */
    unsigned port;
};

static const struct authority_case authority_cases[] = {
    {"a", "a", 0},
    {"A", "a", 0},
    {"Example.COM", "example.com", 0},
    {"a.b.", "a.b", 0},
    {"A.B.:80", "a.b", 80},
    {"a:", "a", 0},
    {"a:1", "a", 1},
    {"a:65535", "a", 65535},
    {"a:0080", "a", 80},
    {"a:0", NULL, 0},
    {"a:65536", NULL, 0},
    {"a:-1", NULL, 0},
    {"a:+1", NULL, 0},
    {"a:1x", NULL, 0},
    {"a: 1", NULL, 0},
    {"a:1:2", NULL, 0},
    {"", NULL, 0},
    {".", NULL, 0},
    {"..", NULL, 0},
    {".a", NULL, 0},
    {"a..b", NULL, 0},
    {"a..", NULL, 0},
    {":80", NULL, 0},
    {"a b", NULL, 0},
    {" a", NULL, 0},
    {"a,b", NULL, 0},
    {"u@a", NULL, 0},
    {"a/b", NULL, 0},
    {"a?b", NULL, 0},
    {"a#b", NULL, 0},
    {"a%41", NULL, 0},
    {"a\\b", NULL, 0},
    {"\xc3\xa9", NULL, 0},
    {"a_b~c-d", "a_b~c-d", 0},
    {"a!b", NULL, 0},
    {"a*b", NULL, 0},
    {"127.0.0.1:8080", "127.0.0.1", 8080},
    {"[::1]", "[::1]", 0},
    {"[::1]:443", "[::1]", 443},
    {"[::1]:", "[::1]", 0},
    {"[0:0::1]", "[::1]", 0},
    {"[2001:DB8::A]:1", "[2001:db8::a]", 1},
    {"[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", 0},
    {"[fe80::1%25eth0]", NULL, 0},
    {"[fe80::1%eth0]", NULL, 0},
    {"[]", NULL, 0},
    {"[", NULL, 0},
    {"[::1", NULL, 0},
    {"::1", NULL, 0},
    {"[::1]x", NULL, 0},
    {"[::1]80", NULL, 0},
    {"[v1.x]", NULL, 0},
    {"[1.2.3.4]", NULL, 0},
    {"a[::1]", NULL, 0},
};

static void test_authorities(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096, 0, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(authority_cases); i++) {
        const struct authority_case *c = &authority_cases[i];
        struct span host = SPAN_NONE;
        uint16_t port = 7;
        int error = uri_parse_authority(&arena, span_str(c->text), &host, &port);
        if (error != (c->host != NULL ? 0 : -EINVAL))
            fail_msg("\"%s\": %d", c->text, error);
        if (error < 0)
            continue;
        if (!span_equal_str(host, c->host) || port != c->port)
            fail_msg("\"%s\": \"%.*s\" %u", c->text, SPAN_ARG(host), port);
    }
    char name[300];
    memset(name, 'a', sizeof(name));
    struct span host;
    uint16_t port;
    assert_int_equal(uri_parse_authority(&arena, span_make(name, 253), &host, &port), 0);
    assert_int_equal(uri_parse_authority(&arena, span_make(name, 254), &host, &port), -EINVAL);
    arena_fini(&arena);
}

static void test_queries(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"", true},      {"a=b&c", true}, {"?/:@", true},    {"%20%zz", false}, {"%", false},
        {"%4", false},   {"%41", true},   {"[]|{}^`", true}, {"a b", false},    {"#", false},
        {"\x01", false}, {"\x7f", false}, {"\x80", false},   {"\"", false},     {"<", false},
        {"\\", false},   {"%00", true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(uri_is_query(span_str(cases[i].text)), cases[i].good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_idempotence),
        cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
