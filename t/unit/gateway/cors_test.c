/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/cors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buf.h"

static struct span two_origins[] = {SPAN_LIT("https://a.test"), SPAN_LIT("https://*.b.test")};
static struct span two_methods[] = {SPAN_LIT("GET"), SPAN_LIT("PUT")};
static struct span two_headers[] = {SPAN_LIT("X-One"), SPAN_LIT("X-Two")};
static struct span any[] = {SPAN_LIT("*")};

static const struct conf_cors listed = {two_origins, two_methods, two_headers, two_headers, 2,
                                        2,           2,           2,           true,        60};
static const struct conf_cors plain = {.origins = two_origins, .origins_count = 2, .max_age_s = 5};
static const struct conf_cors open_all = {any, any, any, any, 1, 1, 1, 1, false, 5};
static const struct conf_cors open_credentials = {any, any, any, any, 1, 1, 1, 1, true, 5};
static struct span any_and_one[] = {SPAN_LIT("*"), SPAN_LIT("X-One")};
static struct span two_and_any[] = {SPAN_LIT("X-One"), SPAN_LIT("*"), SPAN_LIT("X-Two")};
static const struct conf_cors expose_one = {any, any, any, any_and_one, 1, 1, 1, 2, true, 5};
static const struct conf_cors expose_two = {any, any, any, two_and_any, 1, 1, 1, 3, true, 5};
static const struct conf_cors expose_all = {any, any, any, any_and_one, 1, 1, 1, 2, false, 5};
static const struct conf_cors nobody = {.max_age_s = 5};

struct cors_case {
    const struct conf_cors *conf;
    const char *origin, *wanted_headers; /* NULL: absent */
    const char *backend; /* field of the backend's response, or NULL */
    bool is_preflight;
    const char *expected; /* fields of the response, one a line */
};

static const struct cors_case cases[] = {
    {&listed, "https://a.test", NULL, NULL, false,
     "vary: Origin\naccess-control-allow-origin: https://a.test\n"
     "access-control-allow-credentials: true\naccess-control-expose-headers: X-One, X-Two\n"},
    {&listed, "https://A.test:443", NULL, NULL, false,
     "vary: Origin\naccess-control-allow-origin: https://A.test:443\n"
     "access-control-allow-credentials: true\naccess-control-expose-headers: X-One, X-Two\n"},
    {&plain, "https://x.y.b.test", NULL, NULL, false,
     "vary: Origin\naccess-control-allow-origin: https://x.y.b.test\n"},
    {&plain, "https://b.test", NULL, NULL, false, "vary: Origin\n"},
    {&plain, "null", NULL, NULL, false, "vary: Origin\n"},
    {&plain, NULL, NULL, NULL, false, "vary: Origin\n"},
    {&nobody, "https://a.test", NULL, NULL, false, "vary: Origin\n"},
    {&open_all, "https://any.test:1", NULL, NULL, false,
     "access-control-allow-origin: *\naccess-control-expose-headers: *\n"},
    {&open_all, NULL, NULL, NULL, false, ""},
    {&open_credentials, "https://any.test:1", NULL, NULL, false,
     "vary: Origin\naccess-control-allow-origin: https://any.test:1\n"
     "access-control-allow-credentials: true\n"},
    {&expose_one, "https://a.test", NULL, NULL, false,
     "vary: Origin\naccess-control-allow-origin: https://a.test\n"
     "access-control-allow-credentials: true\naccess-control-expose-headers: X-One\n"},
    {&expose_two, "https://a.test", NULL, NULL, false,
     "vary: Origin\naccess-control-allow-origin: https://a.test\n"
     "access-control-allow-credentials: true\naccess-control-expose-headers: X-One, X-Two\n"},
    {&expose_all, "https://a.test", NULL, NULL, false,
     "access-control-allow-origin: *\naccess-control-expose-headers: *, X-One\n"},
    /* The backend has no say, and its Vary stays. */
    {&plain, "https://c.test", NULL, "Access-Control-Allow-Origin: *", false, "vary: Origin\n"},
    {&plain, "https://a.test", NULL, "ACCESS-control-allow-origin: https://c.test", false,
     "vary: Origin\naccess-control-allow-origin: https://a.test\n"},
    {&plain, "https://c.test", NULL, "Vary: Accept, ORIGIN", false, "Vary: Accept, ORIGIN\n"},
    {&plain, "https://c.test", NULL, "Vary: *", false, "Vary: *\n"},
    {&plain, "https://c.test", NULL, "Vary: Accept", false, "Vary: Accept\nvary: Origin\n"},
    /* Preflights. */
    {&listed, "https://a.test", "x-one", NULL, true,
     "vary: Origin\naccess-control-allow-origin: https://a.test\n"
     "access-control-allow-credentials: true\naccess-control-expose-headers: X-One, X-Two\n"
     "access-control-allow-methods: GET, PUT\naccess-control-allow-headers: X-One, X-Two\n"
     "access-control-max-age: 60\n"},
    {&listed, "https://a.test", NULL, NULL, true,
     "vary: Origin\naccess-control-allow-origin: https://a.test\n"
     "access-control-allow-credentials: true\naccess-control-expose-headers: X-One, X-Two\n"
     "access-control-allow-methods: GET, PUT\naccess-control-max-age: 60\n"},
    {&listed, "https://c.test", "x-one", NULL, true, "vary: Origin\n"},
    {&plain, "https://a.test", "x-one", NULL, true,
     "vary: Origin\naccess-control-allow-origin: https://a.test\naccess-control-max-age: 5\n"},
    {&open_all, "https://c.test", "authorization,x", NULL, true,
     "access-control-allow-origin: *\naccess-control-expose-headers: *\n"
     "access-control-allow-methods: DELETE\naccess-control-allow-headers: authorization,x\n"
     "access-control-max-age: 5\n"},
    {&open_credentials, "https://c.test", "x", NULL, true,
     "vary: Origin\naccess-control-allow-origin: https://c.test\n"
     "access-control-allow-credentials: true\naccess-control-allow-methods: DELETE\n"
     "access-control-allow-headers: x\naccess-control-max-age: 5\n"},
};

static void add_if(struct http_head *head, const char *name, const char *value)
{
    if (value != NULL)
        assert_true(http_head_add(head, span_str(name), span_str(value)));
}

static void answers(void **state UNUSED)
{
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct cors_case *c = &cases[i];
        struct cors_policy policy;
        struct arena arena;
        struct buf out;
        arena_init(&arena, 8192, 0, NULL);
        buf_init(&out, 4096);
        struct http_head *request = http_head_new(&arena, 4);
        struct http_head *response = http_head_new(&arena, 1);
        add_if(request, "Origin", c->origin);
        add_if(request, "Access-Control-Request-Method", "DELETE");
        add_if(request, "Access-Control-Request-Headers", c->wanted_headers);
        if (c->backend != NULL) {
            struct span name, value;
            assert_true(span_split(span_str(c->backend), ':', &name, &value));
            assert_true(http_head_add(response, name, span_trim(value)));
        }
        cors_compile(&policy, c->conf, &arena);
        assert_true(c->is_preflight ? cors_allow_preflight(&policy, request, response)
                                    : cors_allow(&policy, cors_origin(request), response));
        for (unsigned j = 0; j < response->fields_count; j++) {
            if (!response->fields[j].removed)
                buf_printf(&out, "%.*s: %.*s\n", SPAN_ARG(response->fields[j].name),
                           SPAN_ARG(response->fields[j].value));
        }
        if (!span_equal_str(buf_span(&out), c->expected))
            fail_msg("case %u:\n%sexpected:\n%s", i, buf_str(&out), c->expected);
        buf_fini(&out);
        arena_fini(&arena);
    }
}

static void knows_preflights(void **state UNUSED)
{
    static const struct {
        enum http_method method;
        const char *origin, *wanted;
        bool expected;
    } requests[] = {
        {HTTP_METHOD_OPTIONS, "https://a.test", "PUT", true},
        {HTTP_METHOD_OPTIONS, "null", "PUT", true},
        {HTTP_METHOD_OPTIONS, "https://a.test", NULL, false},
        {HTTP_METHOD_OPTIONS, NULL, "PUT", false},
        {HTTP_METHOD_OPTIONS, "https://a.test", "", false},
        {HTTP_METHOD_GET, "https://a.test", "PUT", false},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(requests); i++) {
        struct arena arena;
        struct span method;
        arena_init(&arena, 4096, 0, NULL);
        struct http_head *request = http_head_new(&arena, 4);
        request->method = requests[i].method;
        add_if(request, "origin", requests[i].origin);
        add_if(request, "access-control-request-method", requests[i].wanted);
        assert_int_equal(cors_is_preflight(request, &method), requests[i].expected);
        if (requests[i].expected)
            assert_true(span_equal_str(method, requests[i].wanted));
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(knows_preflights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
