/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "t/unit/routing/fixture.h"

/* Random tables against the rules of precedence written down plainly: every
 * match of every route is tried, the best by a chain of comparisons wins. */
#define ROUNDS 1500
#define REQUESTS 60

static const char *const hosts[] = {"any", "*.t",   "*.a.t",   "*.b.a.t",
                                    "a.t", "b.a.t", "c.b.a.t", "t"};
static const char *const asked_hosts[] = {"t",   "a.t",   "b.a.t", "c.b.a.t", "d.c.b.a.t",
                                          "x.t", "x.a.t", "zz",    ""};
static const char *const paths[] = {"/",   "/a",   "/a/",   "/a/b", "/a/b/c", "/a-b",
                                    "/ab", "/a!b", "/a/b/", "/b",   "/a/bc",  "/a0"};
static const char *const expressions[] = {"R:/a.*", "R:/[ab]", "R:/a/b?c?", "R:.*c"};
static const char *const asked_paths[] = {"/",      "/a",  "/a/",   "/a/b",  "/a/b/",    "/a/b/c",
                                          "/a/b/d", "/ab", "/a-b",  "/a-b/", "/a-c",     "/a!b/x",
                                          "/b/c",   "/c",  "/a/bc", "/a0/1", "/a/b/c/d", "*"};
static const char *const words[] = {"m=GET", "m=PUT", "h=x:1", "h=X:2",
                                    "h=y:1", "q=k:1", "q=k:2", "q=K:1"};
static const char *const asked_headers[] = {"", "X:1", "x:2", "y:1", "x:1; y:1", "x:1; x:2"};
static const char *const asked_queries[] = {"", "k=1", "k=2&k=1", "K=1&k=1", "j=1"};

#define PICK(rand, list) (list)[rand_below((rand), ARRAY_COUNT(list))]

/* Static, because the fixture borrows the text. */
static char rule_texts[8][3][256];
static char host_texts[8][64];

static void make_rule(struct rand_state *rand, char *text, size_t size)
{
    size_t len = 0;
    unsigned matches = 1 + rand_below(rand, 3);
    for (unsigned m = 0; m < matches; m++) {
        if (m > 0)
            len += (size_t)snprintf(text + len, size - len, " | ");
        if (rand_below(rand, 6) == 0)
            len += (size_t)snprintf(text + len, size - len, "%s", PICK(rand, expressions));
        else
            len += (size_t)snprintf(text + len, size - len, "%c:%s",
                                    rand_below(rand, 2) ? 'E' : 'P', PICK(rand, paths));
        for (unsigned n = rand_below(rand, 3); n > 0; n--)
            len += (size_t)snprintf(text + len, size - len, " %s", PICK(rand, words));
    }
}

static void make_routes(struct rand_state *rand, unsigned count, unsigned listeners,
                        struct fixture_route *routes)
{
    memset(routes, 0, sizeof(*routes) * (count + 1));
    for (unsigned i = 0; i < count; i++) {
        routes[i].name = "r";
        routes[i].rank = 1 + (i * 5 + 3) % 8;
        unsigned rules = 1 + rand_below(rand, 3);
        for (unsigned k = 0; k < rules; k++) {
            make_rule(rand, rule_texts[i][k], sizeof(rule_texts[i][k]));
            routes[i].rules[k] = rule_texts[i][k];
        }
        (void)snprintf(host_texts[i], sizeof(host_texts[i]), "%s %s", PICK(rand, hosts),
                       PICK(rand, hosts));
        routes[i].attachments[0] =
            (struct fixture_attachment){rand_below(rand, listeners), host_texts[i]};
    }
}

/* --- the plain reading ------------------------------------------------------- */

/* Length of the name when it fits + 1, with exact names above wildcards; 0: does not fit. */
static unsigned host_score(struct span name, struct span host)
{
    if (name.len == 0)
        return 1;
    if (name.ptr[0] != '*')
        return span_equal(name, host) ? 100000 : 0;
    struct span suffix = span_skip(name, 1);
    return host.len > suffix.len && span_ends_with(host, suffix) ? 1 + (unsigned)name.len : 0;
}

static bool word_holds(const struct conf_kv_match *match, const char *list, const char *separator,
                       bool first_only, bool fold)
{
    char joined[128] = "";
    unsigned count = 0;
    char copy[128];
    (void)snprintf(copy, sizeof(copy), "%s", list);
    char *save = NULL;
    for (char *word = strtok_r(copy, separator, &save); word != NULL;
         word = strtok_r(NULL, separator, &save)) {
        struct span key, value;
        (void)span_split(span_str(word), fold ? ':' : '=', &key, &value);
        if (!(fold ? span_equal_fold(key, match->name) : span_equal(key, match->name)))
            continue;
        if (count > 0 && first_only)
            break;
        size_t len = strlen(joined);
        (void)snprintf(joined + len, sizeof(joined) - len, "%s%.*s", count > 0 ? "," : "",
                       SPAN_ARG(value));
        count++;
    }
    return count > 0 && span_equal_str(match->value, joined);
}

/* The number of different names; *ret_hold tells whether the first test of each holds. */
static unsigned fields_hold(const struct conf_kv_match *matches, unsigned count, const char *list,
                            bool is_header, bool *ret_hold)
{
    unsigned different = 0;
    for (unsigned i = 0; i < count; i++) {
        bool seen = false;
        for (unsigned k = 0; k < i; k++)
            seen |= is_header ? span_equal_fold(matches[k].name, matches[i].name)
                              : span_equal(matches[k].name, matches[i].name);
        if (seen)
            continue;
        different++;
        if (!word_holds(&matches[i], list, is_header ? "; " : "&", !is_header, is_header))
            *ret_hold = false;
    }
    return different;
}

static bool expression_holds(struct span pattern, const char *path)
{
    size_t len = strlen(path);
    if (span_equal_str(pattern, "/a.*"))
        return strncmp(path, "/a", 2) == 0;
    if (span_equal_str(pattern, "/[ab]"))
        return strcmp(path, "/a") == 0 || strcmp(path, "/b") == 0;
    if (span_equal_str(pattern, "/a/b?c?"))
        return strcmp(path, "/a/") == 0 || strcmp(path, "/a/b") == 0 || strcmp(path, "/a/c") == 0 ||
               strcmp(path, "/a/bc") == 0;
    return len > 0 && path[len - 1] == 'c';
}

/* 0: does not hold; else larger is better. */
static unsigned path_score(const struct conf_http_match *match, const char *path)
{
    struct span want = match->path, got = span_str(path);
    if (match->path_type == CONF_MATCH_EXACT)
        return span_equal(want, got) ? 1000000 : 0;
    if (match->path_type == CONF_MATCH_REGEX)
        return expression_holds(want, path) ? 100000 : 0;
    while (want.len > 0 && want.ptr[want.len - 1] == '/')
        want.len--;
    if (!span_starts_with(got, want) || (got.len > want.len && got.ptr[want.len] != '/'))
        return 0;
    return 1 + (unsigned)want.len;
}

struct best {
    const struct model_rule *rule;
    uint64_t score[7]; /* compared from the first */
};

static void best_consider(struct best *best, const struct best *candidate)
{
    for (size_t i = 0; best->rule != NULL && i < ARRAY_COUNT(best->score); i++) {
        if (candidate->score[i] < best->score[i])
            return;
        if (candidate->score[i] > best->score[i])
            break;
    }
    *best = *candidate;
}

static void rule_consider(const struct fixture_request *request,
                          const struct model_http_route *route, unsigned host, unsigned r,
                          struct best *best)
{
    const struct model_rule *rule = &route->rules[r];
    for (unsigned m = 0; m < rule->matches_count; m++) {
        const struct conf_http_match *match = &rule->matches[m];
        const struct conf_match_more *more = conf_match_more(match);
        bool holds = more->method.len == 0 || span_equal_str(more->method, request->method);
        unsigned headers =
            fields_hold(more->headers, more->headers_count, request->headers, true, &holds);
        unsigned queries =
            fields_hold(more->queries, more->queries_count, request->query, false, &holds);
        unsigned path = path_score(match, request->path);
        if (!holds || path == 0)
            continue;
        struct best candidate = {
            .rule = rule,
            .score = {host, path, more->method.len > 0, headers, queries, 1000 - route->rank,
                      1000 - (r * 100 + m)},
        };
        best_consider(best, &candidate);
    }
}

static const struct model_rule *plain_find(const struct fixture *fixture,
                                           const struct fixture_request *request)
{
    const struct model_listener *listener = NULL;
    unsigned best_score = 0;
    for (unsigned i = 0; i < fixture->listeners_count; i++) {
        unsigned score = host_score(fixture->listeners[i].hostname, span_str(request->host));
        if (score > best_score) {
            best_score = score;
            listener = &fixture->listeners[i];
        }
    }
    struct best best = {0};
    for (unsigned i = 0; listener != NULL && i < listener->http_count; i++) {
        const struct model_attachment *attachment = &listener->http[i];
        unsigned host = 0;
        for (unsigned k = 0; k < attachment->hostnames_count; k++)
            host = MAX(host, host_score(attachment->hostnames[k], span_str(request->host)));
        for (unsigned r = 0; host > 0 && r < attachment->route->rules_count; r++) {
            /* Each fitting host name of a route stands for itself: a less specific one gives the
             * same rules a lower place, which never wins over the better. */
            rule_consider(request, attachment->route, host, r, &best);
        }
    }
    return best.rule;
}

static void test_random_tables(void **state)
{
    (void)state;
    static const char *const listener_sets[][4] = {
        {"any", NULL}, {"any", "*.a.t", NULL}, {"*.t", "b.a.t", "*.b.a.t", NULL}};
    struct rand_state rand;
    rand_seed(&rand, 7);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned set = rand_below(&rand, ARRAY_COUNT(listener_sets));
        unsigned listeners = set == 0 ? 1 : set + 1;
        struct fixture_route routes[9];
        make_routes(&rand, 1 + rand_below(&rand, 8), listeners, routes);
        struct fixture fixture;
        fixture_init(&fixture, listener_sets[set], routes);
        for (unsigned i = 0; i < REQUESTS; i++) {
            const struct fixture_request request = {
                .method = rand_below(&rand, 2) ? "GET" : "PUT",
                .host = PICK(&rand, asked_hosts),
                .path = PICK(&rand, asked_paths),
                .query = PICK(&rand, asked_queries),
                .headers = PICK(&rand, asked_headers),
            };
            struct route_match match = {0};
            int r = fixture_find(fixture.table, &request, NULL, &match);
            const struct model_rule *expect = plain_find(&fixture, &request);
            assert_int_equal(r, expect != NULL ? 0 : -ENOENT);
            const struct model_rule *got =
                r == 0 ? route_table_rule(fixture.table, match.rule)->conf : NULL;
            if (got != expect)
                fail_msg("round %u: %s %s%s?%s [%s] finds another rule", round, request.method,
                         request.host, request.path, request.query, request.headers);
        }
        fixture_fini(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
