/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "io/addr.h"

struct header {
    const char *name, *value;
};

static bool header_find(const void *user, struct span name, struct span *ret)
{
    const struct header *header = user;
    if (header == NULL || !span_equal_str(name, header->name))
        return false;
    *ret = span_str(header->value);
    return true;
}

struct request {
    const char *ip, *path, *spiffe_id;
    struct header header;
};

static enum limit_match match(const struct limit *limit, const struct request *request,
                              struct local_limit_id *ret)
{
    struct addr addr = {.len = 0};
    struct limit_query query = {
        .path = span_str(request->path != NULL ? request->path : "/"),
        .spiffe_id = span_str(request->spiffe_id),
        .header = header_find,
        .user = request->header.name != NULL ? &request->header : NULL,
    };
    if (request->ip != NULL) {
        assert_int_equal(addr_from_ip(span_str(request->ip), 1234, &addr), 0);
        query.client = &addr;
    }
    return limit_match(limit, &query, ret);
}

static struct conf_limit_rule rule_of(struct conf_limit_key *keys, unsigned count)
{
    return (struct conf_limit_rule){.name = SPAN_LIT("rule"),
                                    .keys = keys,
                                    .keys_count = count,
                                    .requests = 10,
                                    .burst = 10,
                                    .period_ns = NS_PER_S};
}

/* The name of a bucket in the store is an interface between gateways of all versions: these
 * values change only together with the salt and the key's version. */
static void test_golden(void **state)
{
    struct conf_limit_key keys[] = {
        {.type = CONF_LIMIT_KEY_CLIENT_IP, .v4_prefix = 24, .v6_prefix = 64},
        {.type = CONF_LIMIT_KEY_HEADER, .name = SPAN_LIT("X-Api-Key")},
    };
    struct conf_limit_rule rule = rule_of(keys, 2), bare = rule_of(NULL, 0);
    static const struct {
        bool has_keys;
        struct request request;
        const char *id;
    } cases[] = {
        {false, {.path = "/"}, "uiq5zrxmhyyzel5sga2kqsraeu"},
        {true, {.ip = "192.0.2.1", .header = {"x-api-key", "abc"}}, "m23srl5nrwngxa2fv2bhlibraq"},
        {true, {.ip = "192.0.2.255", .header = {"x-api-key", "abc"}}, "m23srl5nrwngxa2fv2bhlibraq"},
        {true,
         {.ip = "::ffff:192.0.2.7", .header = {"x-api-key", "abc"}},
         "m23srl5nrwngxa2fv2bhlibraq"},
        {true, {.ip = "2001:db8::1", .header = {"x-api-key", "abc"}}, "saso2nfaiffg4uthkyqyij7jpq"},
        {true,
         {.ip = "2001:db8::ffff:1", .header = {"x-api-key", "abc"}},
         "saso2nfaiffg4uthkyqyij7jpq"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct model_limit model = {.policy = SPAN_LIT("ns/p"),
                                    .scope_id = SPAN_LIT("ns/p/rule"),
                                    .rule = cases[i].has_keys ? &rule : &bare};
        struct limit limit;
        struct local_limit_id id;
        limit_init(&limit, &model, true, SPAN_LIT("rgrl"));
        assert_int_equal(match(&limit, &cases[i].request, &id), LIMIT_MATCH_APPLIES);
        const struct remote_question question = {.id = id};
        struct span text = remote_command_after_script(&limit.command, &question);
        struct span key = span_skip(text, strlen("$1\r\n1\r\n$35\r\nrgrl:1:{"));
        assert_true(span_starts_with(key, span_str(cases[i].id)));
        limit_fini(&limit);
    }
}

/* Requests of one bucket, and requests of others. */
static void test_distinct(void **state)
{
    struct conf_limit_key keys[] = {
        {.type = CONF_LIMIT_KEY_PATH},
        {.type = CONF_LIMIT_KEY_SPIFFE_ID, .on_missing = CONF_LIMIT_MISSING_EMPTY},
        {.type = CONF_LIMIT_KEY_HEADER,
         .name = SPAN_LIT("h"),
         .on_missing = CONF_LIMIT_MISSING_EMPTY},
    };
    static const struct request requests[] = {
        {.path = "/a"},
        {.path = "/b"},
        {.path = "/a", .spiffe_id = "spiffe://td/x"},
        {.path = "/a", .header = {"h", ""}},
        {.path = "/a", .header = {"h", "v"}},
        {.path = "/a", .spiffe_id = "v"},
        {.path = "/a", .spiffe_id = "v", .header = {"h", "w"}},
        {.path = "/a", .spiffe_id = "vw", .header = {"h", ""}},
        {.path = "/av"},
    };
    struct conf_limit_rule rule = rule_of(keys, 3);
    struct model_limit model = {.scope_id = SPAN_LIT("s"), .rule = &rule};
    struct local_limit_id ids[ARRAY_COUNT(requests)];
    struct limit limit, other;
    (void)state;
    limit_init(&limit, &model, true, SPAN_LIT("rgrl"));
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        assert_int_equal(match(&limit, &requests[i], &ids[i]), LIMIT_MATCH_APPLIES);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(ids[i].words, ids[k].words, 16);
    }
    /* Another prefix, another scope, no store: other buckets. */
    struct model_limit renamed = {.scope_id = SPAN_LIT("t"), .rule = &rule};
    struct local_limit_id id;
    limit_init(&other, &model, true, SPAN_LIT("else"));
    match(&other, &requests[0], &id);
    assert_memory_not_equal(id.words, ids[0].words, 16);
    limit_fini(&other);
    limit_init(&other, &renamed, true, SPAN_LIT("rgrl"));
    match(&other, &requests[0], &id);
    assert_memory_not_equal(id.words, ids[0].words, 16);
    limit_fini(&other);
    limit_init(&other, &model, false, SPAN_NONE);
    match(&other, &requests[0], &id);
    assert_memory_not_equal(id.words, ids[0].words, 16);
    limit_fini(&other);
    limit_fini(&limit);
}

static void test_missing(void **state)
{
    static const struct {
        enum conf_limit_missing on_missing;
        enum limit_match match;
    } cases[] = {
        {CONF_LIMIT_MISSING_SKIP, LIMIT_MATCH_SKIPPED},
        {CONF_LIMIT_MISSING_EMPTY, LIMIT_MATCH_APPLIES},
        {CONF_LIMIT_MISSING_DENY, LIMIT_MATCH_REFUSED},
    };
    static const enum conf_limit_key_type types[] = {
        CONF_LIMIT_KEY_CLIENT_IP, CONF_LIMIT_KEY_HEADER, CONF_LIMIT_KEY_SPIFFE_ID};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases) * ARRAY_COUNT(types); i++) {
        struct conf_limit_key key = {
            .type = types[i / 3], .name = SPAN_LIT("h"), .on_missing = cases[i % 3].on_missing};
        struct conf_limit_rule rule = rule_of(&key, 1);
        struct model_limit model = {.rule = &rule};
        struct request empty = {.path = "/"};
        struct local_limit_id id;
        struct limit limit;
        limit_init(&limit, &model, false, SPAN_NONE);
        assert_int_equal(match(&limit, &empty, &id), cases[i % 3].match);
        limit_fini(&limit);
    }
}

/* Values of any length, as many as there are. */
static void test_long_values(void **state)
{
    struct conf_limit_key keys[12];
    struct conf_limit_rule rule = rule_of(keys, ARRAY_COUNT(keys));
    struct model_limit model = {.rule = &rule};
    struct limit limit;
    struct local_limit_id first, second;
    char *path = malloc(100001);
    (void)state;
    assert_non_null(path);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        keys[i] = (struct conf_limit_key){.type = CONF_LIMIT_KEY_PATH};
    limit_init(&limit, &model, false, SPAN_NONE);
    static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 100000};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        memset(path, 'p', sizes[i]);
        path[sizes[i]] = 0;
        struct request request = {.path = path};
        assert_int_equal(match(&limit, &request, &first), LIMIT_MATCH_APPLIES);
        assert_int_equal(match(&limit, &request, &second), LIMIT_MATCH_APPLIES);
        assert_memory_equal(first.words, second.words, 16);
        if (sizes[i] > 0) {
            path[sizes[i] - 1] = 'q';
            assert_int_equal(match(&limit, &request, &second), LIMIT_MATCH_APPLIES);
            assert_memory_not_equal(first.words, second.words, 16);
        }
    }
    limit_fini(&limit);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_distinct),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_long_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
