/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/access_format.h"

static struct http_head *hostile_head(struct arena *arena, struct span bytes)
{
    struct http_head *head = http_head_new(arena, 4);
    head->method_text = SPAN_LIT("GET");
    head->target = bytes;
    head->authority = bytes;
    return head;
}

/* Whatever bytes a client sends, a line stays one line, and in JSON one object. */
static void escapes_every_byte(void **state UNUSED)
{
    char bytes[256], line[ACCESS_LINE_SIZE];
    struct arena arena;

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    arena_init(&arena, 4096, 0, NULL);
    struct access_record record = {
        .kind = ACCESS_REQUEST,
        .outcome = OUTCOME_NO_ROUTE,
        .status = 404,
        .request = hostile_head(&arena, span_make(bytes, sizeof(bytes))),
        .protocol = "HTTP/1.1",
        .listener = "127.0.0.1:80",
    };
    for (int format = ACCESS_TEXT; format <= ACCESS_JSON; format++) {
        size_t len = access_format_line((enum access_format)format, &record, line, sizeof(line));
        assert_true(len > 0 && len < sizeof(line));
        assert_ptr_equal(memchr(line, '\n', len), line + len - 1);
        for (size_t i = 0; i + 1 < len; i++)
            assert_true((unsigned char)line[i] >= 0x20);
    }
    size_t len = access_format_line(ACCESS_JSON, &record, line, sizeof(line));
    json_error_t error;
    json_t *object = json_loadb(line, len, JSON_ALLOW_NUL, &error);
    assert_non_null(object);
    assert_int_equal(json_integer_value(json_object_get(object, "response_code")), 404);
    assert_string_equal(json_string_value(json_object_get(object, "response_flags")), "NR");
    json_decref(object);
    arena_fini(&arena);
}

/* Too long a value is cut; the line still ends. */
static void cuts_long_values(void **state UNUSED)
{
    static char bytes[100000];
    char line[ACCESS_LINE_SIZE];
    struct arena arena;

    memset(bytes, 'a', sizeof(bytes));
    arena_init(&arena, 4096, 0, NULL);
    struct access_record record = {
        .kind = ACCESS_REQUEST,
        .request = hostile_head(&arena, span_make(bytes, sizeof(bytes))),
        .listener = "x",
    };
    for (size_t size = 3; size < sizeof(line); size = size * 2 + 1) {
        size_t len = access_format_line(ACCESS_TEXT, &record, line, size);
        assert_true(len < size);
        assert_int_equal(line[len - 1], '\n');
    }
    arena_fini(&arena);
}

static void assert_line(enum access_format format, const struct access_record *record,
                        const char *wanted)
{
    char line[ACCESS_LINE_SIZE];
    size_t len = access_format_line(format, record, line, sizeof(line));
    line[len] = '\0';
    assert_string_equal(line, wanted);
}

static struct access_record full_record(struct http_head *head, const struct route_rule *rule,
                                        const struct addr *client, const struct addr *upstream)
{
    return (struct access_record){
        .kind = ACCESS_REQUEST,
        .outcome = OUTCOME_OK,
        .start_ns = UINT64_C(1700000000123456789),
        .duration_ns = 12 * NS_PER_MS,
        .upstream_ns = 7 * NS_PER_MS,
        .client = client,
        .upstream = upstream,
        .request = head,
        .status = 200,
        .bytes_in = 10,
        .bytes_out = UINT64_C(20000000000),
        .request_id = SPAN_LIT("id-1"),
        .server_name = SPAN_LIT("sni.test"),
        .cluster = SPAN_LIT("apps/shop:80"),
        .spiffe_id = SPAN_LIT("spiffe://a/b"),
        .rule = rule,
        .detail = "because",
        .limit_policy = SPAN_LIT("apps/limit"),
        .limit_rule = SPAN_LIT("per-user"),
        .grpc_status = SPAN_LIT("0"),
        .protocol = "HTTP/2",
        .upstream_protocol = "HTTP/1.1",
        .attempts = 2,
    };
}

/* All that there may be in a line, and the least. */
static void writes_every_field(void **state UNUSED)
{
    struct model_listener listener = {.id = SPAN_LIT("ns/gw/web"), .gateway = SPAN_LIT("gw")};
    struct model_http_route route = {.ns = SPAN_LIT("apps"), .name = SPAN_LIT("shop")};
    struct model_rule conf = {.name = SPAN_LIT("0")};
    struct route_rule rule = {.conf = &conf, .route = &route, .listener = &listener};
    struct addr client, upstream;
    struct arena arena;

    arena_init(&arena, 4096, 0, NULL);
    assert_int_equal(addr_parse(SPAN_LIT("[2001:db8::7]:50000"), &client), 0);
    assert_int_equal(addr_parse(SPAN_LIT("10.0.0.9:8080"), &upstream), 0);
    struct http_head *head = hostile_head(&arena, SPAN_LIT("/a?b=\"c\""));
    head->authority = SPAN_LIT("shop.test");
    assert_true(http_head_add(head, SPAN_LIT("User-Agent"), SPAN_LIT("curl/8")));
    assert_true(http_head_add(head, SPAN_LIT("X-Forwarded-For"), SPAN_LIT("1.2.3.4")));
    struct access_record record = full_record(head, &rule, &client, &upstream);
    assert_line(
        ACCESS_TEXT, &record,
        "[2023-11-14T22:13:20.123Z] \"GET /a?b=\\\"c\\\" HTTP/2\" 200 - 10 20000000000 12 7 "
        "\"[2001:db8::7]:50000\" \"curl/8\" \"id-1\" \"shop.test\" \"10.0.0.9:8080\" "
        "details=\"because\" listener=\"ns/gw/web\" route=\"apps/shop/0\" "
        "cluster=\"apps/shop:80\" upstream_protocol=\"HTTP/1.1\" sni=\"sni.test\" "
        "peer=\"spiffe://a/b\" rl_policy=\"apps/limit\" rl_rule=\"per-user\" "
        "grpc_status=\"0\"\n");
    assert_line(ACCESS_JSON, &record,
                "{\"start_time\":\"2023-11-14T22:13:20.123Z\",\"kind\":\"request\","
                "\"method\":\"GET\",\"path\":\"/a?b=\\\"c\\\"\",\"authority\":\"shop.test\","
                "\"protocol\":\"HTTP/2\",\"response_code\":200,\"grpc_status\":\"0\","
                "\"user_agent\":\"curl/8\",\"x_forwarded_for\":\"1.2.3.4\","
                "\"request_id\":\"id-1\",\"response_flags\":\"-\",\"outcome\":\"ok\","
                "\"response_code_details\":\"because\",\"bytes_received\":10,"
                "\"bytes_sent\":20000000000,\"duration\":12,\"upstream_service_time\":7,"
                "\"downstream_remote_address\":\"[2001:db8::7]:50000\","
                "\"upstream_host\":\"10.0.0.9:8080\",\"upstream_protocol\":\"HTTP/1.1\","
                "\"listener\":\"ns/gw/web\",\"gateway\":\"gw\",\"route_namespace\":\"apps\","
                "\"route\":\"shop\",\"rule\":\"0\",\"upstream_cluster\":\"apps/shop:80\","
                "\"requested_server_name\":\"sni.test\","
                "\"downstream_peer_uri\":\"spiffe://a/b\",\"rl_policy\":\"apps/limit\","
                "\"rl_rule\":\"per-user\",\"attempts\":2}\n");
    record = (struct access_record){.kind = ACCESS_CONNECTION, .outcome = OUTCOME_NO_ROUTE};
    assert_line(ACCESS_TEXT, &record,
                "[1970-01-01T00:00:00.000Z] \"- - -\" 0 NR 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" "
                "details=\"route_not_found\"\n");
    assert_line(ACCESS_JSON, &record,
                "{\"start_time\":\"1970-01-01T00:00:00.000Z\",\"kind\":\"connection\","
                "\"response_flags\":\"NR\",\"outcome\":\"route_not_found\","
                "\"bytes_received\":0,\"bytes_sent\":0,\"duration\":0,"
                "\"downstream_remote_address\":\"-\"}\n");
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_every_byte),
        cmocka_unit_test(cuts_long_values),
        cmocka_unit_test(writes_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
