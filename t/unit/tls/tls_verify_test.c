/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls_double.h"

/* Names: which host is served, who may come in, whose sessions resume, whom we trust. */

struct backend_case {
    const char *label;
    const struct fixture_pair *cert;
    const struct fixture_pair *ca;
    const char *server_name;
    struct conf_san sans[2];
    unsigned sans_count;
    const char *client_text, *server_text; /* NULL: it works */
};

#define VERIFY "TLS: certificate verify failed: "

static void test_backend_verification(void **state)
{
    const struct conf_san uri_good = {true, SPAN_LIT("spiffe://cluster.local/ns/x/sa/y")};
    const struct conf_san uri_bad = {true, SPAN_LIT("spiffe://cluster.local/ns/x/sa/z")};
    const struct conf_san dns_good = {false, SPAN_LIT("s.example")};
    const struct conf_san dns_bad = {false, SPAN_LIT("t.example")};
    const struct backend_case cases[] = {
        {"name", &fix.a_ec, &fix.ca, "a.example", {{0}}, 0, NULL, NULL},
        {"rsa", &fix.a_rsa, &fix.ca, "a.example", {{0}}, 0, NULL, NULL},
        {"wildcard", &fix.wild, &fix.ca, "x.wild.example", {{0}}, 0, NULL, NULL},
        {"wildcard is one label", &fix.wild, &fix.ca, "x.y.wild.example", {{0}}, 0,
         VERIFY "hostname mismatch", "TLS: peer alert: bad certificate"},
        {"common name does not count", &fix.b_ec, &fix.ca, "b_ec", {{0}}, 0,
         VERIFY "hostname mismatch", "TLS: peer alert: bad certificate"},
        {"wrong name", &fix.b_ec, &fix.ca, "a.example", {{0}}, 0, VERIFY "hostname mismatch",
         "TLS: peer alert: bad certificate"},
        {"other ca", &fix.a_ec, &fix.other_ca, "a.example", {{0}}, 0,
         VERIFY "unable to get local issuer certificate", "TLS: peer alert: unknown ca"},
        {"system cas", &fix.a_ec, NULL, "a.example", {{0}}, 0,
         VERIFY "unable to get local issuer certificate", "TLS: peer alert: unknown ca"},
        {"expired", &fix.expired, &fix.ca, "a.example", {{0}}, 0,
         VERIFY "certificate has expired", "TLS: peer alert: certificate expired"},
        {"purpose", &fix.client_only, &fix.ca, "a.example", {{0}}, 0,
         VERIFY "unsuitable certificate purpose", "TLS: peer alert: unsupported certificate"},
        {"uri san", &fix.spiffe, &fix.ca, "a.example", {uri_good}, 1, NULL, NULL},
        {"uri san wrong", &fix.spiffe, &fix.ca, "s.example", {uri_bad}, 1,
         VERIFY "no subjectAltName matches", "TLS: peer alert: bad certificate"},
        {"dns san", &fix.spiffe, &fix.ca, "a.example", {dns_good}, 1, NULL, NULL},
        {"dns san wrong", &fix.spiffe, &fix.ca, "s.example", {dns_bad}, 1,
         VERIFY "no subjectAltName matches", "TLS: peer alert: bad certificate"},
        {"any of two", &fix.spiffe, &fix.ca, "a.example", {uri_bad, dns_good}, 2, NULL, NULL},
        {"pinned certificate", &fix.a_ec, &fix.a_ec, "a.example", {{0}}, 0, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct backend_case *c = &cases[i];
        struct conf_san sans[2] = {c->sans[0], c->sans[1]};
        /* Listeners of their own: no session of the case before resumes. */
        struct tls_server_spec *server =
            server_make(&(struct listener_wish){c->label, "", {c->cert}, {0}, 0, 0}, 1, 0);
        struct tls_client_spec *client = client_make(&(struct model_backend_tls){
            .server_name = span_str(c->server_name),
            .ca_pem = c->ca ? c->ca->cert_pem : SPAN_NONE,
            .sans = sans,
            .sans_count = c->sans_count});
        struct pair pair;
        pair_begin(&pair, worker, server, client);
        conn_pump(&pair.client, &pair.server, 100000);
        print_message("# %s: %s\n", c->label, pair.client.text);
        if (!c->client_text) {
            assert_true(pair.client.open && pair.server.open);
        } else {
            assert_false(pair.client.open || pair.server.open);
            assert_int_equal(pair.client.error, -EPROTO);
            assert_string_equal(pair.client.text, c->client_text);
            assert_int_equal(pair.server.error, -EPROTO);
            assert_string_equal(pair.server.text, c->server_text);
            assert_int_equal(pair.client.in.len + pair.server.in.len, 0);
        }
        pair_end(&pair);
        tls_server_spec_free(server);
        tls_client_spec_free(client);
    }
}

struct frontend_case {
    const char *label;
    const struct fixture_pair *cert;
    bool fallback;
    bool open, verified;
    const char *server_text;
};

static void frontend_run(const struct frontend_case *c, const struct tls_server_spec *server,
                         int version)
{
    struct conn conn;
    struct raw raw;
    raw_init(&raw, version, c->cert);
    for (int round = 0; round < 2; round++) { /* the second time with the session of the first */
        raw_dial(&raw, &conn, worker, server, "a.example");
        print_message("# %s: %s\n", c->label, conn.text);
        assert_int_equal(conn.open, c->open);
        if (c->open) {
            const struct tls_info *info = tls_info_of(&conn);
            assert_int_equal(info->resumed, round);
            assert_int_equal(info->peer_cert, c->cert != NULL);
            assert_int_equal(info->peer_verified, c->verified);
            assert_true(span_equal_str(info->peer_spiffe_id,
                                       c->verified ? "spiffe://cluster.local/ns/c/sa/c" : ""));
            assert_true(span_equal_str(info->peer_subject, c->verified ? "CN=client" : ""));
            assert_true(span_equal_str(info->peer_uri, c->verified ? "https://other" : ""));
            assert_true(span_equal_str(info->peer_dns, c->verified ? "c.example" : ""));
            assert_int_equal(info->peer_hash.len, c->verified ? 64 : 0);
        } else {
            assert_int_equal(conn.error, -EPROTO);
            assert_string_equal(conn.text, c->server_text);
            assert_true(raw.error >= SSL_AD_REASON_OFFSET);
        }
        conn_end(&conn);
        raw_disconnect(&raw);
        if (!c->open)
            break;
    }
    raw_fini(&raw);
}

static void test_client_certificates(void **state)
{
    const struct frontend_case cases[] = {
        {"valid", &fix.client, false, true, true, NULL},
        {"none", NULL, false, false, false, "TLS: the peer sent no certificate"},
        {"other ca", &fix.client_other, false, false, false,
         VERIFY "unable to get local issuer certificate"},
        {"expired", &fix.client_expired, false, false, false, VERIFY "certificate has expired"},
        {"purpose", &fix.a_ec, false, false, false, VERIFY "unsuitable certificate purpose"},
        {"fallback, valid", &fix.client, true, true, true, NULL},
        {"fallback, none", NULL, true, true, false, NULL},
        {"fallback, other ca", &fix.client_other, true, true, false, NULL},
        {"fallback, expired", &fix.client_expired, true, true, false, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tls_server_spec *server =
            server_make(&(struct listener_wish){
                            "l", "", {&fix.a_ec}, fix.ca.cert_pem, true, cases[i].fallback},
                        1, 0);
        frontend_run(&cases[i], server, TLS1_3_VERSION);
        frontend_run(&cases[i], server, TLS1_2_VERSION);
        tls_server_spec_free(server);
    }
}

static void test_validation_without_ca_refuses(void **state)
{
    static const char *const broken[] = {"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END "
                                             "CERTIFICATE-----\n"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(broken); i++) {
        struct listener_wish wishes[] = {
            {"any", "", {&fix.a_ec}, {0}, false, false},
            {"strict", "a.example", {&fix.a_ec}, span_str(broken[i]), true, i == 1},
        };
        struct tls_server_spec *server = server_make(wishes, 2, 1);
        struct conn conn;
        struct raw raw;
        raw_init(&raw, TLS1_3_VERSION, &fix.client);
        raw_dial(&raw, &conn, worker, server, "a.example");
        assert_string_equal(conn.text, "TLS: client certificates cannot be verified");
        assert_int_equal(raw.error, SSL_AD_REASON_OFFSET + SSL_AD_ACCESS_DENIED);
        conn_end(&conn);
        raw_disconnect(&raw);
        raw_dial(&raw, &conn, worker, server, "b.example");
        assert_true(conn.open);
        conn_end(&conn);
        raw_fini(&raw);
        tls_server_spec_free(server);
    }
}

static void test_server_names(void **state)
{
    static const struct {
        const char *sni, *listener, *name;
    } cases[] = {
        {"a.example", "exact", "a.example"},
        {"A.Example", "exact", "a.example"},
        {"a.example.", "exact", "a.example"},
        {"x.wild.example", "wild", "x.wild.example"},
        {"X.Y.WILD.example.", "wild", "x.y.wild.example"},
        {"in.x.wild.example", "deep", "in.x.wild.example"},
        {"wild.example", NULL, NULL},
        {"b.example", NULL, NULL},
        {NULL, NULL, NULL},
    };
    struct listener_wish wishes[] = {
        {"wild", "*.wild.example", {&fix.wild}, {0}, false, false},
        {"exact", "a.example", {&fix.a_ec}, {0}, false, false},
        {"deep", "in.x.wild.example", {&fix.b_ec}, {0}, false, false},
        {"second", "a.example", {&fix.b_ec}, {0}, false, false},
    };
    (void)state;
    struct tls_server_spec *server = server_make(wishes, 4, 0);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION, NULL);
        raw_dial(&raw, &conn, worker, server, cases[i].sni);
        assert_int_equal(conn.open, cases[i].listener != NULL);
        if (conn.open) {
            assert_true(span_equal_str(tls_info_of(&conn)->listener_id, cases[i].listener));
            assert_true(span_equal_str(tls_info_of(&conn)->server_name, cases[i].name));
        } else {
            assert_int_equal(raw.error, SSL_AD_REASON_OFFSET + SSL_AD_UNRECOGNIZED_NAME);
            assert_string_equal(conn.text, "TLS: unrecognized server name");
        }
        conn_end(&conn);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

static void test_certificate_choice(void **state)
{
    const struct {
        const char *sni;
        char sigalgs[40];
        X509 *expected;
    } cases[] = {
        {"a.example", "ECDSA+SHA256:RSA-PSS+SHA256", fix.a_ec.cert},
        {"a.example", "ECDSA+SHA256", fix.a_ec.cert},
        {"a.example", "RSA-PSS+SHA256:RSA+SHA256", fix.a_rsa.cert},
        {"q.wild.example", "ECDSA+SHA256:RSA-PSS+SHA256", fix.wild.cert},
        {"other.example", "ECDSA+SHA256", fix.a_ec.cert},
    };
    (void)state;
    struct tls_server_spec *server = server_make(
        &(struct listener_wish){"l", "", {&fix.a_ec, &fix.a_rsa, &fix.wild}, {0}, 0, 0}, 1, 0);
    for (size_t i = 0; i < 2 * ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct raw raw;
        char sigalgs[sizeof(cases[0].sigalgs)];
        memcpy(sigalgs, cases[i / 2].sigalgs, sizeof(sigalgs));
        raw_init(&raw, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION, NULL);
        assert_int_equal(SSL_CTX_set1_sigalgs_list(raw.ctx, sigalgs), 1);
        raw_dial(&raw, &conn, worker, server, cases[i / 2].sni);
        assert_true(raw.open);
        assert_int_equal(X509_cmp(SSL_get0_peer_certificate(raw.ssl), cases[i / 2].expected), 0);
        conn_end(&conn);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

static void test_alpn(void **state)
{
    static const struct {
        const char *offer;
        bool open;
        const char *chosen;
    } cases[] = {
        {"", true, ""},
        {"\x08http/1.1", true, "http/1.1"},
        {"\x02h2\x08http/1.1", true, "h2"},
        {"\x08http/1.1\x02h2", true, "h2"},
        {"\x02h2", true, "h2"},
        {"\x03h2c", false, NULL},
        {"\x03"
         "ftp",
         false, NULL},
        {"\x07http/1.", false, NULL},
    };
    (void)state;
    struct tls_server_spec *server = server_plain();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, TLS1_3_VERSION, NULL);
        if (cases[i].offer[0])
            SSL_CTX_set_alpn_protos(raw.ctx, (const uint8_t *)cases[i].offer,
                                    (unsigned)strlen(cases[i].offer));
        raw_dial(&raw, &conn, worker, server, "a.example");
        assert_int_equal(conn.open, cases[i].open);
        if (conn.open) {
            assert_true(span_equal_str(tls_info_of(&conn)->alpn, cases[i].chosen));
        } else {
            assert_int_equal(raw.error, SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
            assert_string_equal(conn.text, "TLS: no application protocol in common");
        }
        conn_end(&conn);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

/* CVE-2025-23419's class: a session made with a host without client certificates never resumes
 * on one that asks for them, nor after its CA changed, nor on another listener. */
static void test_resumption_stays_with_its_host(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct listener_wish wishes[] = {
        {"a", "a.example", {&fix.a_ec}, {0}, false, false},
        {"b", "b.example", {&fix.b_ec}, fix.ca.cert_pem, true, false},
        {"c", "c.example", {&fix.a_ec}, {0}, false, false},
    };
    (void)state;
    struct tls_server_spec *server = server_make(wishes, 3, 0);
    struct span both = fixture_concat(fix.ca.cert_pem, fix.other_ca.cert_pem);
    wishes[1].ca_pem = both;
    struct tls_server_spec *changed = server_make(wishes, 3, 0);
    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, versions[i], NULL);
        raw_dial(&raw, &conn, worker, server, "a.example");
        assert_true(conn.open && raw.session);
        conn_end(&conn);
        raw_disconnect(&raw);
        SSL_SESSION *session = SSL_SESSION_dup(raw.session);

        raw_dial(&raw, &conn, worker, server, "b.example"); /* no certificate: not let in */
        assert_false(conn.open);
        assert_string_equal(conn.text, "TLS: the peer sent no certificate");
        conn_end(&conn);
        raw_disconnect(&raw);
        SSL_SESSION_free(raw.session);
        raw.session = session;

        raw_dial(&raw, &conn, worker, server, "c.example");
        assert_true(conn.open && !tls_info_of(&conn)->resumed);
        conn_end(&conn);
        raw_fini(&raw);

        raw_init(&raw, versions[i], &fix.client);
        raw_dial(&raw, &conn, worker, server, "b.example");
        assert_true(conn.open && tls_info_of(&conn)->peer_verified);
        conn_end(&conn);
        raw_disconnect(&raw);
        raw_dial(&raw, &conn, worker, server, "b.example");
        assert_true(conn.open && tls_info_of(&conn)->resumed);
        assert_true(tls_info_of(&conn)->peer_verified);
        conn_end(&conn);
        raw_disconnect(&raw);
        raw_dial(&raw, &conn, worker, changed, "b.example"); /* another CA set */
        assert_true(conn.open && !tls_info_of(&conn)->resumed);
        conn_end(&conn);
        raw_fini(&raw);
    }
    free((char *)(uintptr_t)both.ptr);
    tls_server_spec_free(server);
    tls_server_spec_free(changed);
}

static void test_resumption_across_workers_and_rotation(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;
    struct tls_server_spec *server = server_plain();
    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, versions[i], NULL);
        raw_dial(&raw, &conn, worker, server, "a.example");
        assert_true(conn.open && raw.session);
        conn_end(&conn);
        raw_disconnect(&raw);
        SSL_SESSION *first = raw.session;
        SSL_SESSION_up_ref(first);
        for (int rotations = 0; rotations <= TICKET_KEYS; rotations++) {
            SSL_SESSION_free(raw.session);
            raw.session = SSL_SESSION_dup(first); /* OpenSSL marks a session that was renewed */
            raw_dial(&raw, &conn, worker2, server, "a.example");
            assert_true(conn.open);
            assert_int_equal(tls_info_of(&conn)->resumed, rotations < TICKET_KEYS);
            conn_end(&conn);
            raw_disconnect(&raw);
            tls_ticket_rotate();
        }
        SSL_SESSION_free(first);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

static void test_client_resumes_by_spec(void **state)
{
    (void)state;
    struct tls_server_spec *server = server_plain();
    struct tls_client_spec *one = client_plain(), *two = client_plain();
    struct model_cert cert = fixture_model_cert(&fix.client);
    struct tls_client_spec *other =
        client_make(&(struct model_backend_tls){.server_name = SPAN_LIT("a.example"),
                                                .ca_pem = fix.ca.cert_pem,
                                                .has_client_cert = true,
                                                .client_cert = cert});
    assert_true(span_equal(tls_client_spec_id(one), tls_client_spec_id(two)));
    assert_false(span_equal(tls_client_spec_id(one), tls_client_spec_id(other)));
    const struct {
        struct tls_client_spec *spec;
        bool resumed;
    } steps[] = {{other, false}, {other, true}, {one, false}, {two, true}, {one, true}};
    tls_client_spec_free(client_plain());
    /* Contexts of earlier tests hold sessions of the same spec. */
    struct tls_worker *fresh = tls_worker_new(&loops[0], NULL);
    assert_non_null(fresh);
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        struct pair pair;
        conn_begin(&pair.server, tls_server_layer_new(worker, server, FIXTURE_ALPN));
        conn_begin(&pair.client,
                   tls_client_layer_new(fresh, steps[i].spec, SPAN_LIT("http/1.1")));
        conn_pump(&pair.client, &pair.server, 100000);
        assert_true(pair.client.open);
        assert_int_equal(tls_info_of(&pair.client)->resumed, steps[i].resumed);
        assert_true(tls_info_of(&pair.client)->peer_verified);
        assert_true(span_equal_str(tls_info_of(&pair.client)->peer_dns, "a.example"));
        pair_end(&pair);
    }
    tls_client_spec_free(one);
    tls_client_spec_free(two);
    tls_client_spec_free(other);
    tls_worker_sweep(fresh, NULL, 0);
    tls_worker_free(fresh);
    tls_server_spec_free(server);
}

static void test_client_certificate_to_backend(void **state)
{
    (void)state;
    struct model_cert cert = fixture_model_cert(&fix.client);
    struct tls_server_spec *server = server_make(
        &(struct listener_wish){"l", "", {&fix.a_ec}, fix.ca.cert_pem, true, false}, 1, 0);
    struct tls_client_spec *with =
        client_make(&(struct model_backend_tls){.server_name = SPAN_LIT("a.example"),
                                                .ca_pem = fix.ca.cert_pem,
                                                .has_client_cert = true,
                                                .client_cert = cert});
    struct tls_client_spec *without = client_plain();
    struct pair pair;
    pair_begin(&pair, worker, server, with);
    conn_pump(&pair.client, &pair.server, 100000);
    assert_true(pair.server.open && tls_info_of(&pair.server)->peer_verified);
    pair_end(&pair);
    pair_begin(&pair, worker, server, without);
    conn_pump(&pair.client, &pair.server, 100000);
    assert_false(pair.server.open);
    /* In TLS 1.3 the client is done before the server looks; the alert comes on the open conn. */
    assert_int_equal(pair.client.error, -EPROTO);
    assert_string_equal(pair.client.text, "TLS: peer alert: certificate required");
    pair_end(&pair);
    tls_client_spec_free(with);
    tls_client_spec_free(without);
    tls_server_spec_free(server);
}

static void test_bad_listeners_are_left_out(void **state)
{
    struct fixture_pair mixed = {.cert_pem = fix.a_ec.cert_pem, .key_pem = fix.b_ec.key_pem};
    struct listener_wish wishes[] = {
        {"mixed", "a.example", {&mixed}, {0}, false, false},
        {"empty", "c.example", {NULL}, {0}, false, false},
        {"half", "b.example", {&mixed, &fix.b_ec}, {0}, false, false},
    };
    (void)state;
    struct tls_server_spec *server = server_make(wishes, 3, 3);
    static const struct {
        const char *sni;
        bool open;
    } cases[] = {{"a.example", false}, {"c.example", false}, {"b.example", true}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct conn conn;
        struct raw raw;
        raw_init(&raw, TLS1_3_VERSION, NULL);
        raw_dial(&raw, &conn, worker, server, cases[i].sni);
        assert_int_equal(conn.open, cases[i].open);
        conn_end(&conn);
        raw_fini(&raw);
    }
    tls_server_spec_free(server);
}

static void test_bad_client_specs(void **state)
{
    struct model_cert mixed = {.id = SPAN_LIT("x"),
                               .cert_pem = fix.a_ec.cert_pem,
                               .key_pem = fix.b_ec.key_pem};
    struct model_backend_tls cases[] = {
        {.server_name = SPAN_LIT(""), .ca_pem = fix.ca.cert_pem},
        {.server_name = SPAN_LIT("a.example"), .ca_pem = SPAN_LIT("rubbish")},
        {.server_name = SPAN_LIT("a.example"), .has_client_cert = true, .client_cert = mixed},
        {.server_name = SPAN_LIT("a\0b")},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tls_client_spec *spec = NULL;
        struct err err = {0};
        assert_int_equal(tls_client_compile(&cases[i], &spec, &err), -EINVAL);
        assert_null(spec);
        assert_true(err.text[0] != '\0');
    }
}

static void test_sweep_keeps_live_contexts(void **state)
{
    (void)state;
    struct tls_server_spec *one = server_plain();
    struct tls_server_spec *two =
        server_make(&(struct listener_wish){"l", "", {&fix.b_ec}, {0}, 0, 0}, 1, 0);
    struct conn conn;
    struct raw raw;
    raw_init(&raw, TLS1_3_VERSION, NULL);
    raw_dial(&raw, &conn, worker, one, "a.example");
    const struct tls_server_spec *live[] = {two};
    tls_worker_sweep(worker, live, 1); /* the open conn keeps what it needs */
    tls_server_spec_free(one);
    conn_say(&conn, "still here");
    assert_true(conn.out.len > 0);
    conn_end(&conn);
    raw_disconnect(&raw);
    raw_dial(&raw, &conn, worker, two, "a.example");
    assert_true(conn.open);
    conn_end(&conn);
    raw_fini(&raw);
    tls_worker_sweep(worker, live, 1);
    tls_worker_sweep(worker, live, 0);
    tls_server_spec_free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backend_verification),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_validation_without_ca_refuses),
        cmocka_unit_test(test_server_names),
        cmocka_unit_test(test_certificate_choice),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_resumption_stays_with_its_host),
        cmocka_unit_test(test_resumption_across_workers_and_rotation),
        cmocka_unit_test(test_client_resumes_by_spec),
        cmocka_unit_test(test_client_certificate_to_backend),
        cmocka_unit_test(test_bad_listeners_are_left_out),
        cmocka_unit_test(test_bad_client_specs),
        cmocka_unit_test(test_sweep_keeps_live_contexts),
    };
    return cmocka_run_group_tests(tests, double_setup, double_teardown);
}
