/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "t/unit/routing/fixture.h"

/* Tables and requests after the core tests of the Gateway API conformance
 * suite (named in each set), then the corners it leaves open. */
struct request_case {
    struct fixture_request request;
    const char *expect; /* "route/rule", "404", "421" */
    const char *sni;
};

struct table_case {
    const char *name;
    const char *listeners[8];
    struct fixture_route routes[8];
    struct request_case requests[24];
};

#define GET(h, p) .request = {.host = (h), .path = (p)}
#define GETH(h, p, fields) .request = {.host = (h), .path = (p), .headers = (fields)}
#define GETQ(p, q) .request = {.host = "a.test", .path = (p), .query = (q)}
#define ASK(m, p, fields)                                                                          \
    .request = {.method = (m), .host = "a.test", .path = (p), .headers = (fields)}

static const struct table_case cases[] = {
    {"SimpleSameNamespace",
     {"any"},
     {{"r", {{0, "any"}}, {"P:/"}, 0}},
     {{GET("x.test", "/"), "r/0", NULL},
      {GET("", "/"), "r/0", NULL},
      {GET("x.test", "/a/b"), "r/0", NULL},
      {GET("x.test", "*"), "404", NULL}}},

    {"Matching",
     {"any"},
     {{"r", {{0, "any"}}, {"P:/ | h=version:one", "P:/v2 | h=version:two"}, 0}},
     {{GET("a.test", "/"), "r/0", NULL},
      {GET("a.test", "/example"), "r/0", NULL},
      {GETH("a.test", "/", "Version:one"), "r/0", NULL},
      {GET("a.test", "/v2"), "r/1", NULL},
      {GET("a.test", "/v2/"), "r/1", NULL},
      {GET("a.test", "/v2/example"), "r/1", NULL},
      {GETH("a.test", "/", "Version:two"), "r/1", NULL},
      {GET("a.test", "/v2example"), "r/0", NULL},
      {GET("a.test", "/foo/v2/example"), "r/0", NULL}}},

    {"MatchingAcrossRoutes",
     {"any"},
     {{"one", {{0, "example.com example.net"}}, {"P:/ | h=version:one"}, 0},
      {"two", {{0, "example.com"}}, {"P:/v2 | h=version:two"}, 0}},
     {{GET("example.com", "/"), "one/0", NULL},
      {GET("example.com", "/example"), "one/0", NULL},
      {GET("example.net", "/example"), "one/0", NULL},
      {GETH("example.com", "/example", "version:one"), "one/0", NULL},
      {GET("example.com", "/v2"), "two/0", NULL},
      {GETH("example.com", "/", "version:two"), "two/0", NULL},
      {GET("example.net", "/v2"), "one/0", NULL},
      {GETH("example.net", "/", "version:two"), "one/0", NULL}}},

    {"ExactPathMatching",
     {"any"},
     {{"r", {{0, "any"}}, {"E:/one", "E:/two"}, 0}},
     {{GET("a.test", "/one"), "r/0", NULL},
      {GET("a.test", "/two"), "r/1", NULL},
      {GET("a.test", "/"), "404", NULL},
      {GET("a.test", "/one/example"), "404", NULL},
      {GET("a.test", "/two/"), "404", NULL},
      {GET("a.test", "/Two"), "404", NULL}}},

    {"PathMatchOrder",
     {"any"},
     {{"r",
       {{0, "any"}},
       {"P:/match", "E:/match", "P:/match/prefix", "P:/match/prefix/one", "E:/match/exact/one",
        "P:/match/exact"},
       0}},
     {{GET("a.test", "/match/exact/one"), "r/4", NULL},
      {GET("a.test", "/match/exact"), "r/5", NULL},
      {GET("a.test", "/match"), "r/1", NULL},
      {GET("a.test", "/match/prefix/one/any"), "r/3", NULL},
      {GET("a.test", "/match/prefix/any"), "r/2", NULL},
      {GET("a.test", "/match/any"), "r/0", NULL},
      {GET("a.test", "/match/prefix-x"), "r/0", NULL}}},

    {"HeaderMatching",
     {"any"},
     {{"r",
       {{0, "any"}},
       {"h=version:one", "h=version:two", "h=version:two h=color:orange",
        "h=color:blue | h=color:green", "h=color:red | h=color:yellow"},
       0}},
     {{GETH("a.test", "/", "Version:one"), "r/0", NULL},
      {GETH("a.test", "/", "vErsion:two"), "r/1", NULL},
      {GETH("a.test", "/", "Version:two; Color:orange"), "r/2", NULL},
      {GETH("a.test", "/", "Color:blue"), "r/3", NULL},
      {GETH("a.test", "/", "Color:green"), "r/3", NULL},
      {GETH("a.test", "/", "Color:red"), "r/4", NULL},
      {GETH("a.test", "/", "Color:yellow"), "r/4", NULL},
      {GETH("a.test", "/", "Color:purple"), "404", NULL},
      {GETH("a.test", "/", "Color:orange"), "404", NULL},
      {GETH("a.test", "/", "Some:thing"), "404", NULL},
      {GETH("a.test", "/", "Color:Blue"), "404", NULL}}},

    {"HostnameIntersection",
     {"very.specific.com", "*.wildcard.io", "*.anotherwildcard.io"},
     {{"specific", {{0, "very.specific.com"}}, {"P:/s1"}, 0},
      {"wildcard", {{0, "very.specific.com"}}, {"P:/s3"}, 0},
      {"exacts", {{1, "foo.wildcard.io bar.wildcard.io foo.bar.wildcard.io"}}, {"P:/s2"}, 0},
      {"wide", {{2, "*.anotherwildcard.io"}}, {"P:/s4"}, 0}},
     {{GET("very.specific.com", "/s1"), "specific/0", NULL},
      {GET("very.specific.com", "/s3"), "wildcard/0", NULL},
      {GET("foo.specific.com", "/s1"), "404", NULL},
      {GET("very.specific.com", "/non-match"), "404", NULL},
      {GET("foo.wildcard.io", "/s2"), "exacts/0", NULL},
      {GET("foo.bar.wildcard.io", "/s2"), "exacts/0", NULL},
      {GET("wildcard.io", "/s2"), "404", NULL},
      {GET("baz.wildcard.io", "/s2"), "404", NULL},
      {GET("one.anotherwildcard.io", "/s4"), "wide/0", NULL},
      {GET("one.two.three.anotherwildcard.io", "/s4"), "wide/0", NULL},
      {GET("anotherwildcard.io", "/s4"), "404", NULL},
      {GET("other.com", "/s4"), "404", NULL}}},

    {"ListenerHostnameMatching",
     {"bar.com", "foo.bar.com", "*.bar.com", "*.foo.com"},
     {{"v1", {{0, "bar.com"}}, {"P:/"}, 0},
      {"v2", {{1, "foo.bar.com"}}, {"P:/"}, 0},
      {"v3", {{2, "*.bar.com"}, {3, "*.foo.com"}}, {"P:/"}, 0}},
     {{GET("bar.com", "/"), "v1/0", NULL},
      {GET("foo.bar.com", "/"), "v2/0", NULL},
      {GET("baz.bar.com", "/"), "v3/0", NULL},
      {GET("boo.bar.com", "/"), "v3/0", NULL},
      {GET("multiple.prefixes.bar.com", "/"), "v3/0", NULL},
      {GET("multiple.prefixes.foo.com", "/"), "v3/0", NULL},
      {GET("foo.com", "/"), "404", NULL},
      {GET("no.matching.host", "/"), "404", NULL},
      {GET(".bar.com", "/"), "404", NULL}}},

    {"isolation",
     {"any", "*.example.com", "*.foo.example.com", "abc.foo.example.com"},
     {{"empty", {{0, "any"}}, {"P:/empty"}, 0},
      {"wild", {{1, "*.example.com"}}, {"P:/wild"}, 0},
      {"foo", {{2, "*.foo.example.com"}}, {"P:/foo"}, 0},
      {"abc", {{3, "abc.foo.example.com"}}, {"P:/abc"}, 0}},
     {{GET("bar.com", "/empty"), "empty/0", NULL},
      {GET("bar.com", "/wild"), "404", NULL},
      {GET("bar.example.com", "/wild"), "wild/0", NULL},
      {GET("bar.example.com", "/empty"), "404", NULL},
      {GET("bar.foo.example.com", "/foo"), "foo/0", NULL},
      {GET("bar.foo.example.com", "/wild"), "404", NULL},
      {GET("abc.foo.example.com", "/abc"), "abc/0", NULL},
      {GET("abc.foo.example.com", "/foo"), "404", NULL},
      {GET("foo.example.com", "/wild"), "wild/0", NULL}}},

    {"misdirected requests",
     {"any", "second-example.org", "*.wildcard.org", "fourth-example.wildcard.org"},
     {{"first", {{0, "example.org"}}, {"P:/"}, 0},
      {"second", {{1, "second-example.org"}}, {"P:/"}, 0},
      {"third", {{2, "third-example.wildcard.org fith-example.wildcard.org"}}, {"P:/"}, 0},
      {"fourth", {{3, "fourth-example.wildcard.org"}}, {"P:/"}, 0}},
     {{GET("example.org", "/"), "first/0", "example.org"},
      {GET("second-example.org", "/"), "421", "example.org"},
      {GET("unknown.org", "/"), "404", "example.org"},
      {GET("second-example.org", "/"), "second/0", "second-example.org"},
      {GET("example.org", "/"), "421", "second-example.org"},
      {GET("unknown.org", "/"), "421", "second-example.org"},
      {GET("third-example.wildcard.org", "/"), "third/0", "third-example.wildcard.org"},
      {GET("fith-example.wildcard.org", "/"), "third/0", "third-example.wildcard.org"},
      {GET("fourth-example.wildcard.org", "/"), "421", "third-example.wildcard.org"},
      {GET("second-example.org", "/"), "421", "third-example.wildcard.org"},
      {GET("unknown.org", "/"), "421", "third-example.wildcard.org"},
      {GET("fourth-example.wildcard.org", "/"), "fourth/0", "fourth-example.wildcard.org"},
      {GET("fith-example.wildcard.org", "/"), "421", "fourth-example.wildcard.org"},
      {GET("example.org", "/"), "first/0", "unknown.org"},
      {GET("unknown.org", "/"), "404", "unknown.org"},
      {GET("example.org", "/"), "first/0", ""}}},

    {"MethodMatching",
     {"any"},
     {{"r",
       {{0, "any"}},
       {"m=POST", "m=GET", "P:/path1 m=GET", "P:/path2 m=PUT | P:/path2 m=POST h=version:two"},
       0}},
     {{ASK("POST", "/", NULL), "r/0", NULL},
      {ASK("GET", "/", NULL), "r/1", NULL},
      {ASK("HEAD", "/", NULL), "404", NULL},
      {ASK("get", "/", NULL), "404", NULL},
      {ASK("GET", "/path1/x", NULL), "r/2", NULL},
      {ASK("POST", "/path2", NULL), "r/0", NULL},
      {ASK("POST", "/path2", "version:two"), "r/3", NULL},
      {ASK("PUT", "/path2", NULL), "r/3", NULL}}},

    {"QueryParamMatching",
     {"any"},
     {{"r",
       {{0, "any"}},
       {"q=animal:whale", "q=animal:dolphin", "q=animal:dolphin q=color:blue",
        "P:/path1 q=animal:whale", "q=a:x%20y", "q=a:x|y z"},
       0}},
     {{GETQ("/", "animal=whale"), "r/0", NULL},
      {GETQ("/", "animal=dolphin"), "r/1", NULL},
      {GETQ("/", "animal=dolphin&color=blue"), "r/2", NULL},
      {GETQ("/", "color=blue&animal=dolphin&x"), "r/2", NULL},
      {GETQ("/path1", "animal=whale"), "r/3", NULL},
      {GETQ("/", "animal=dog"), "404", NULL},
      {GETQ("/", "Animal=whale"), "404", NULL},
      {GETQ("/", "animal=wh%61le"), "r/0", NULL},
      {GETQ("/", "animal=dog&animal=whale"), "404", NULL},
      {GETQ("/", "animal=whale&animal=dog"), "r/0", NULL},
      {GETQ("/", ""), "404", NULL},
      {GETQ("/", "anima%6c=whale"), "r/0", NULL},
      {GETQ("/", "animal=whalee"), "404", NULL},
      {GETQ("/", "animal"), "404", NULL},
      {GETQ("/", "a=x%2520y"), "r/4", NULL}}},

    {"host before path",
     {"any"},
     {{"exact", {{0, "a.test"}}, {"P:/"}, 0},
      {"long", {{0, "*.b.test"}}, {"P:/deep"}, 0},
      {"wild", {{0, "*.test"}}, {"E:/x", "P:/deep/er"}, 0},
      {"any", {{0, "any"}}, {"E:/y", "E:/x"}, 0}},
     {{GET("a.test", "/x"), "exact/0", NULL},
      {GET("a.b.test", "/deep/er"), "long/0", NULL},
      {GET("a.b.test", "/x"), "wild/0", NULL},
      {GET("b.test", "/x"), "wild/0", NULL},
      /* Less specific host names of the same listener are consulted. */
      {GET("a.b.test", "/y"), "any/0", NULL},
      {GET("other", "/x"), "any/1", NULL},
      {GET("a.b.test", "/z"), "404", NULL}}},

    {"precedence at one path",
     {"any"},
     {{"young", {{0, "any"}}, {"P:/p", "P:/h h=a:1 q=x:1", "P:/m m=GET"}, 9},
      {"old", {{0, "any"}}, {"P:/p/", "P:/h h=a:1", "P:/m h=a:1 h=b:1", "P:/h h=a:1 h=A:1"}, 3}},
     {{GET("a.test", "/p"), "old/0", NULL},
      {.request = {.host = "h", .path = "/h", .query = "x=1", .headers = "a:1"}, "young/1", NULL},
      {GETH("a.test", "/h", "a:1"), "old/1", NULL},
      {GETH("a.test", "/m", "a:1; b:1"), "young/2", NULL}}},

    {"exact that fails falls through",
     {"any"},
     {{"r", {{0, "any"}}, {"E:/a h=x:1", "R:/a.* h=x:2", "P:/a h=x:3", "P:/ h=x:4", "P:/"}, 0}},
     {{GETH("t", "/a", "x:1"), "r/0", NULL},
      {GETH("t", "/a", "x:2"), "r/1", NULL},
      {GETH("t", "/a", "x:3"), "r/2", NULL},
      {GETH("t", "/a", "x:4"), "r/3", NULL},
      {GET("t", "/a"), "r/4", NULL}}},

    {"regular expressions",
     {"any"},
     {{"r",
       {{0, "any"}},
       {"P:/files/deep", "R:/files/[0-9]+", "E:/files/7", "R:/f.*\\.php m=GET",
        "H=agent:.*curl.* P:/ua", "Q=n:[0-9]{1,3} P:/qs"},
       0}},
     {{GET("t", "/files/12"), "r/1", NULL},
      {GET("t", "/files/7"), "r/2", NULL},
      {GET("t", "/files/12x"), "404", NULL},
      {GET("t", "/x/files/12"), "404", NULL},
      {GET("t", "/files/deep/a.php"), "r/3", NULL},
      {GET("t", "/files/deep/a"), "r/0", NULL},
      {GETH("t", "/ua", "Agent:a curl b"), "r/4", NULL},
      {GETH("t", "/ua", "Agent:b"), "404", NULL},
      {GETH("t", "/ua", "Agent:cu; Agent:rl"), "404", NULL},
      {GETH("t", "/ua", "Agent:x; Agent:curl; Agent:y"), "r/4", NULL},
      {GETQ("/qs", "n=%31%32"), "r/5", NULL},
      {GETQ("/qs", "n=1234"), "404", NULL}}},

    {"a rule with a bad pattern is left out whole",
     {"any"},
     {{"r", {{0, "any"}}, {"P:/ok", "P:/gone | R:/(?=x)", "P:/also | H=a:["}, 0}},
     {{GET("t", "/ok"), "r/0", NULL},
      {GET("t", "/gone"), "404", NULL},
      {GET("t", "/also"), "404", NULL}}},

    {"repeated headers",
     {"any"},
     {{"r", {{0, "any"}}, {"h=a:1,2", "h=b:1,2,3,4,5,6", "h=c:"}, 0}},
     {{GETH("t", "/", "a:1; a:2"), "r/0", NULL},
      {GETH("t", "/", "a:1,2"), "r/0", NULL},
      {GETH("t", "/", "a:2; a:1"), "404", NULL},
      {GETH("t", "/", "a:1; a:2; a:3"), "404", NULL},
      {GETH("t", "/", "b:1; b:2; b:3; b:4; b:5; b:6"), "r/1", NULL},
      {GETH("t", "/", "b:1; b:2; b:3; b:4; b:5; b:7"), "404", NULL},
      {GETH("t", "/", "c:"), "r/2", NULL},
      {GETH("t", "/", "d:"), "404", NULL}}},

    {"prefixes around other bytes",
     {"any"},
     {{"r", {{0, "any"}}, {"P:/a", "P:/a-b", "P:/a/b", "E:/a/b/", "P:/a/b/c", "P:/a!"}, 0}},
     {{GET("t", "/a"), "r/0", NULL},
      {GET("t", "/a/x"), "r/0", NULL},
      {GET("t", "/a-b"), "r/1", NULL},
      {GET("t", "/a-b/c"), "r/1", NULL},
      {GET("t", "/a-c"), "404", NULL},
      {GET("t", "/a/b/"), "r/3", NULL},
      {GET("t", "/a/b"), "r/2", NULL},
      {GET("t", "/a/bb"), "r/0", NULL},
      {GET("t", "/a/b/d"), "r/2", NULL},
      {GET("t", "/a/b/c/d"), "r/4", NULL},
      {GET("t", "/a//"), "r/0", NULL},
      {GET("t", "/"), "404", NULL},
      {GET("t", ""), "404", NULL}}},

    {"no routes", {"any"}, {{NULL, {{0, NULL}}, {NULL}, 0}}, {{GET("t", "/"), "404", NULL}}},

    {"GRPCExactMethodMatching",
     {"any"},
     {{"r", {{0, "any"}}, {"c=e.GrpcEcho/Echo", "c=e.GrpcEcho/EchoTwo"}, 0}},
     {{GET("a.test", "/e.GrpcEcho/Echo"), "r/0", NULL},
      {GET("a.test", "/e.GrpcEcho/EchoTwo"), "r/1", NULL},
      {GET("a.test", "/e.GrpcEcho/EchoThree"), "404", NULL},
      {GET("a.test", "/e.GrpcEcho/echo"), "404", NULL},
      {GET("a.test", "/E.GrpcEcho/Echo"), "404", NULL},
      {GET("a.test", "/e.GrpcEcho"), "404", NULL}}},

    {"GRPCRouteHeaderMatching",
     {"any"},
     {{"r",
       {{0, "any"}},
       {"h=version:one", "h=version:two", "h=version:two h=color:orange",
        "h=color:blue | h=color:green", "c=a.S/M H=color:r.*"},
       0}},
     {{GETH("a.test", "/a.S/M", "version:one"), "r/0", NULL},
      {GETH("a.test", "/a.S/M", "version:two"), "r/1", NULL},
      {GETH("a.test", "/a.S/M", "version:two; color:orange"), "r/2", NULL},
      {GETH("a.test", "/a.S/M", "color:blue"), "r/3", NULL},
      {GETH("a.test", "/a.S/M", "color:green"), "r/3", NULL},
      {GETH("a.test", "/a.S/M", "version:one; color:red"), "r/4", NULL},
      {GETH("a.test", "/a.S/N", "color:red"), "404", NULL},
      {GETH("a.test", "/a.S/M", "color:orange"), "404", NULL}}},

    {"GRPC precedence: characters of the service, of the method, headers, age",
     {"any"},
     {{"any",
       {{0, "any"}},
       {"h=h:1 h=i:1", "c=/M h=h:1", "C=/M+", "C=a[.]S/", "c=a.S/", "C=a.S/M.*"},
       0},
      {"late", {{0, "any"}}, {"c=a.S/M", "c=a.S/M h=h:1", "c=a.S/", "P:/"}, 0}},
     {{GETH("a.test", "/a.S/M", "h:1; i:1"), "late/1", NULL},
      {GET("a.test", "/a.S/M"), "late/0", NULL},
      {GET("a.test", "/a.S/MM"), "any/5", NULL},
      {GET("a.test", "/a.S/Other"), "any/4", NULL},
      {GETH("a.test", "/a.S/Other", "h:1; i:1"), "any/4", NULL},
      {GETH("a.test", "/b.T/M", "h:1"), "any/1", NULL},
      {GET("a.test", "/b.T/M"), "any/2", NULL},
      {GET("a.test", "/b.T/MM"), "any/2", NULL},
      {GETH("a.test", "/b.T/X", "h:1; i:1"), "any/0", NULL},
      {GET("a.test", "/b.T/X"), "late/3", NULL}}},

    {"GRPC patterns: whole names of exactly two elements",
     {"any"},
     {{"r", {{0, "any"}}, {"C=[a-z]+[.]S/Get.*", "C=x.*/", "C=/Put", "c=/Post"}, 0}},
     {{GET("a.test", "/abc.S/GetOne"), "r/0", NULL},
      {GET("a.test", "/abc.S/DoGet"), "404", NULL},
      {GET("a.test", "/abc.S/Get/x"), "404", NULL},
      {GET("a.test", "/abc.ST/Get"), "404", NULL},
      {GET("a.test", "/xyz/Anything"), "r/1", NULL},
      {GET("a.test", "/xyz"), "404", NULL},
      {GET("a.test", "/xyz/"), "404", NULL},
      {GET("a.test", "//Put"), "404", NULL},
      {GET("a.test", "/s/Put"), "r/2", NULL},
      {GET("a.test", "/s/Post"), "r/3", NULL},
      {GET("a.test", "/s/Post/"), "404", NULL},
      {GET("a.test", "/s/post"), "404", NULL}}},

    {"GRPC host names go before services",
     {"any"},
     {{"wild", {{0, "*.test"}}, {"c=a.S/M"}, 0}, {"exact", {{0, "a.test"}}, {"c=a.S/"}, 0}},
     {{GET("a.test", "/a.S/M"), "exact/0", NULL}, {GET("b.test", "/a.S/M"), "wild/0", NULL}}},
};

static void outcome(const struct route_table *table, int r, const struct route_match *match,
                    char text[64])
{
    if (r == 0) {
        const struct route_rule *rule = route_table_rule(table, match->rule);
        (void)snprintf(text, 64, "%.*s/%u", SPAN_ARG(rule->route->name), rule->conf->index);
        return;
    }
    (void)snprintf(text, 64, "%s", r == -ENOENT ? "404" : r == -EXDEV ? "421" : "?");
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct table_case *c = &cases[i];
        struct fixture fixture;
        fixture_init(&fixture, c->listeners, c->routes);
        for (size_t k = 0; k < ARRAY_COUNT(c->requests) && c->requests[k].expect != NULL; k++) {
            const struct request_case *q = &c->requests[k];
            struct route_match match = {0};
            char got[64];
            int r = fixture_find(fixture.table, &q->request, q->sni, &match);
            outcome(fixture.table, r, &match, got);
            if (strcmp(got, q->expect) != 0)
                fail_msg("%s: request %zu to %s%s gives %s, not %s", c->name, k, q->request.host,
                         q->request.path, got, q->expect);
        }
        fixture_fini(&fixture);
    }
}

static void test_prefix_length(void **state)
{
    (void)state;
    static const char *const listeners[] = {"any", NULL};
    static const struct fixture_route routes[] = {
        {"r", {{0, "any"}}, {"P:/", "P:/abc/", "E:/abc/e", "R:/abc/r.*"}, 0},
        {.name = NULL},
    };
    static const struct {
        const char *path;
        bool is_prefix;
        uint32_t len;
    } expect[] = {
        {"/x", true, 0},      {"/abc", true, 4},     {"/abc/d", true, 4},
        {"/abc/e", false, 0}, {"/abc/rr", false, 0},
    };
    struct fixture fixture;
    fixture_init(&fixture, listeners, routes);
    for (size_t i = 0; i < ARRAY_COUNT(expect); i++) {
        struct route_match match;
        const struct fixture_request request = {.host = "t", .path = expect[i].path};
        assert_int_equal(fixture_find(fixture.table, &request, NULL, &match), 0);
        assert_int_equal(match.is_prefix, expect[i].is_prefix);
        assert_int_equal(match.prefix_len, expect[i].len);
    }
    fixture_fini(&fixture);
}

/* The same rule has one id through every listener, and stands for the first of them. */
static void test_rule_ids(void **state)
{
    (void)state;
    static const char *const listeners[] = {"a.test", "b.test", NULL};
    static const struct fixture_route routes[] = {
        {"x", {{0, "a.test"}, {1, "b.test"}}, {"P:/1", "P:/2"}, 0},
        {"y", {{1, "b.test"}}, {"P:/3", "R:/(?!bad)"}, 0},
        {.name = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, listeners, routes);
    assert_int_equal(fixture.bad_count, 1);
    assert_int_equal(route_table_rules_count(fixture.table), 4);
    struct route_match a, b;
    const struct fixture_request to_a = {.host = "a.test", .path = "/2"};
    const struct fixture_request to_b = {.host = "b.test", .path = "/2"};
    assert_int_equal(fixture_find(fixture.table, &to_a, NULL, &a), 0);
    assert_int_equal(fixture_find(fixture.table, &to_b, NULL, &b), 0);
    assert_int_equal(a.rule, b.rule);
    static const struct {
        unsigned route, rule, listener;
    } expect[] = {{0, 0, 0}, {0, 1, 0}, {1, 0, 1}, {1, 1, 1}};
    for (uint32_t id = 0; id < ARRAY_COUNT(expect); id++) {
        const struct route_rule *rule = route_table_rule(fixture.table, id);
        assert_ptr_equal(rule->route, &fixture.routes[expect[id].route]);
        assert_ptr_equal(rule->conf, &rule->route->rules[expect[id].rule]);
        assert_ptr_equal(rule->listener, &fixture.listeners[expect[id].listener]);
    }
    assert_true(route_table_memory(fixture.table) > 0);
    fixture_fini(&fixture);
}

static void test_listener(void **state)
{
    (void)state;
    static const char *const listeners[] = {"a.test", "*.test", "*.b.test", NULL};
    static const struct fixture_route routes[] = {{.name = NULL}};
    static const struct {
        const char *host, *expect;
    } expect[] = {
        {"a.test", "a.test"},
        {"x.test", "*.test"},
        {"x.a.test", "*.test"},
        {"x.b.test", "*.b.test"},
        {"b.test", "*.test"},
        {"test", NULL},
        {"", NULL},
        {".test", NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, listeners, routes);
    for (size_t i = 0; i < ARRAY_COUNT(expect); i++) {
        const struct route_listener *listener =
            route_table_listener(fixture.table, span_str(expect[i].host));
        assert_int_equal(listener != NULL, expect[i].expect != NULL);
        if (listener != NULL)
            assert_true(span_equal_str(route_listener_conf(listener)->id, expect[i].expect));
    }
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + sizeof(longest) - 6, ".test", 6);
    assert_null(route_table_listener(fixture.table, span_str(longest)));
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_prefix_length),
        cmocka_unit_test(test_rule_ids),
        cmocka_unit_test(test_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
