# SPDX-License-Identifier: Apache-2.0
"""Filters of HTTPRoutes beyond header changes: redirects and rewrites of backendRefs, CORS."""
import json

import pytest

import manifests as m
from manifests import field, redirect, replace_prefix, rewrite
from origin import http_answer, read_request
from wire import Stream, connect, request


def replace_full(path):
    return {"path": {"type": "ReplaceFullPath", "replaceFullPath": path}}


def response_headers(**changes):
    return {"type": "ResponseHeaderModifier", "responseHeaderModifier": changes}


def cors(*origins, **what):
    return {"type": "CORS", "cors": {"allowOrigins": list(origins), **what}}


def seen(response):
    assert response.status == 200, (response.status, response.body)
    return json.loads(response.body)


def own_cors(sock, _origin):
    stream = Stream(sock)
    while True:
        read_request(stream)
        http_answer(sock, b"body", fields=["Access-Control-Allow-Origin: https://own.test",
                                           "Access-Control-Max-Age: 1", "Vary: Accept"])


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    one, two = (module_origins(name=n) for n in ("one", "two"))
    gateway = module_gateways()
    rules = [
        m.rule("/full", [m.backend("one", filters=[rewrite(**replace_full("/rewritten-full"))])]),
        m.rule("/prefix", [m.backend("one", filters=[
            rewrite(hostname="inner.test", **replace_prefix("/rewritten-prefix"))])]),
        m.rule("/both", [m.backend("one", filters=[rewrite(**replace_prefix("/b"))])],
               filters=[rewrite(hostname="inner.test", **replace_prefix("/much/longer"))]),
        m.rule("/redirect-full", [m.backend("one", filters=[
            redirect(**replace_full("/redirected-full"))])]),
        m.rule("/redirect-prefix", [m.backend("one", filters=[
            redirect(statusCode=301, **replace_prefix("/redirected-prefix")),
            response_headers(set=[field("x-backend", "b")])])],
               filters=[response_headers(set=[field("x-rule", "r")])]),
        m.rule("/share", [m.backend("one", 1, filters=[redirect(hostname="other.test")]),
                          m.backend("two", 1)]),
        m.rule("/escaped", ["one"], filters=[rewrite(**replace_full("/%c3%a9%61"))]),
        m.rule("/cases", ["one"], filters=[
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {
                "set": [field("X-Set", "first"), field("x-set", "second"),
                        field("Host", "evil.test"), field("Content-Length", "5"),
                        field("Transfer-Encoding", "chunked")],
                "add": [field("x-add", "first"), field("X-ADD", "second")]}},
            response_headers(set=[field("content-length", "7")])]),
        m.rule("/dead", ["empty"], filters=[response_headers(set=[field("x-rule", "r")])]),
    ]
    listed = cors("https://www.foo.test", "https://*.bar.test", allowMethods=["GET", "PUT"],
                  allowHeaders=["x-one", "x-two"], exposeHeaders=["x-left"],
                  allowCredentials=True, maxAge=600)
    cors_rules = [
        m.rule("/listed", ["own-cors"], filters=[listed]),
        m.rule("/open", ["one"], filters=[cors("*", allowMethods=["*"], allowHeaders=["*"])]),
        m.rule("/plain", ["one"]),
        {"matches": [{**m.prefix("/method"), "method": "PUT"},
                     {**m.prefix("/method"), "headers": [field("x-token", "1")]}],
         "backendRefs": [m.backend("one")], "filters": [listed]},
        m.rule("/method", ["two"]),
        m.rule("/error", ["empty"], filters=[listed]),
        {**m.rule("/limited", ["one"], filters=[listed]), "name": "limited"},
        m.rule("/moved", filters=[listed, redirect(hostname="other.test")]),
        m.rule("/order", ["one"], filters=[listed, response_headers(
            set=[field("access-control-allow-origin", "changed")])]),
    ]
    objects = [m.gateway([m.listener("http", gateway.port)]),
               m.http_route("filters", rules, ["a.test"]),
               m.http_route("cors", cors_rules, ["a.test"]),
               m.limit("limit", "cors", 1, period="1h")]
    objects[-1]["spec"]["targetRefs"][0]["sectionName"] = "limited"
    objects += m.service("own-cors", module_origins(own_cors).port)
    objects += m.service("one", one.port) + m.service("two", two.port) + m.service("empty")
    gateway.write(objects)
    return gateway.start()


def test_backend_rewrite(gw):
    assert seen(request(gw.port, "/full/original"))["target"] == "/rewritten-full"
    got = seen(request(gw.port, "/prefix/original?q=1"))
    assert got["target"] == "/rewritten-prefix/original?q=1"
    assert ["Host", "inner.test"] in [[n.title(), v] for n, v in got["fields"]]


def test_rewrite_has_normal_form(gw):
    assert seen(request(gw.port, "/escaped/x"))["target"] == "/%C3%A9a"


def test_header_filters(gw):
    """The first of equivalent names counts; what the gateway writes itself is not changed."""
    response = request(gw.port, "/cases", "POST", body=b"body of 15 byte")
    got = seen(response)
    fields = [(n.lower(), v) for n, v in got["fields"]]
    assert [v for n, v in fields if n in ("x-set", "x-add")] == ["first", "first"]
    assert ("host", "a.test") in fields and ("content-length", "15") in fields
    assert "transfer-encoding" not in dict(fields)
    assert int(response.get("content-length")) == len(response.body)
    assert "RG025" in gw.errors() and "RG026" in gw.errors()


def test_rule_and_backend_rewrite(gw):
    """The backend's filter replaces what the rule's put in the place of the prefix."""
    got = seen(request(gw.port, "/both/x"))
    assert got["target"] == "/b/x"
    assert ["Host", "inner.test"] in [[n.title(), v] for n, v in got["fields"]]


def test_backend_redirect(gw):
    port = gw.port
    got = request(port, "/redirect-full/original")
    assert (got.status, got.get("location")) == (302, f"http://a.test:{port}/redirected-full")
    got = request(port, "/redirect-prefix/original")
    assert got.status == 301
    assert got.get("location") == f"http://a.test:{port}/redirected-prefix/original"


def test_response_headers_of_redirects(gw):
    """Redirects get the response fields that answers of the backend would; errors do not."""
    got = request(gw.port, "/redirect-prefix/original")
    assert (got.get("x-rule"), got.get("x-backend")) == ("r", "b")
    got = request(gw.port, "/dead")
    assert (got.status, got.get("x-rule")) == (503, None)


def test_backend_redirect_share(gw):
    statuses = [request(gw.port, "/share").status for _ in range(40)]
    assert 15 <= statuses.count(302) <= 25 and statuses.count(302) + statuses.count(200) == 40


FOO = "https://www.foo.test"


def access(response):
    """The fields of CORS, without their prefix."""
    return {n.lower()[15:]: v for n, v in response.fields
            if n.lower().startswith("access-control-")}


def preflight(gw, path, origin=FOO, method="PUT", headers=None, **more):
    fields = [("Origin", origin), ("Access-Control-Request-Method", method)]
    if headers:
        fields.append(("Access-Control-Request-Headers", headers))
    return request(gw.port, path, "OPTIONS", fields=fields, **more)


LISTED = {"allow-origin": FOO, "allow-credentials": "true", "expose-headers": "x-left"}


@pytest.mark.parametrize("origin", [FOO, "https://x.bar.test", "https://y.x.bar.test",
                                    "https://WWW.foo.test:443"])
def test_cors_preflight(gw, origin):
    got = preflight(gw, "/listed", origin, headers="x-one")
    assert (got.status, got.body, got.get("vary")) == (204, b"", "Origin")
    assert access(got) == {**LISTED, "allow-origin": origin, "allow-methods": "GET, PUT",
                           "allow-headers": "x-one, x-two", "max-age": "600"}
    assert "allow-headers" not in access(preflight(gw, "/listed", origin))
    gw.log(outcome="cors_preflight", response_code=204)


@pytest.mark.parametrize("origin", ["https://foo.test", "http://www.foo.test", "https://bar.test",
                                    "https://www.foo.test:8443", "null", "nonsense"])
def test_cors_other_origins(gw, origin):
    got = preflight(gw, "/listed", origin)
    assert (got.status, access(got), got.get("vary")) == (204, {}, "Origin")
    got = request(gw.port, "/listed", fields=[("Origin", origin)])
    assert (got.status, got.body, access(got)) == (200, b"body", {})


def test_cors_any(gw):
    got = preflight(gw, "/open", "https://any.test:12345", method="PATCH",
                    headers="authorization,x-y")
    assert access(got) == {"allow-origin": "*", "allow-methods": "PATCH",
                           "allow-headers": "authorization,x-y", "max-age": "5"}
    got = request(gw.port, "/open", fields=[("Origin", "https://any.test")])
    assert access(got) == {"allow-origin": "*"} and got.get("vary") is None


def test_cors_response(gw):
    """The gateway has the last word, and leaves other fields alone."""
    got = request(gw.port, "/listed", fields=[("Origin", FOO)])
    assert (got.status, got.body, access(got)) == (200, b"body", LISTED)
    assert got.all("vary") == ["Accept", "Origin"]
    got = request(gw.port, "/listed")
    assert (access(got), got.all("vary")) == ({}, ["Accept", "Origin"])


def test_cors_order(gw):
    """Filters of responses run in the order of their list."""
    got = request(gw.port, "/order", fields=[("Origin", FOO)])
    assert access(got)["allow-origin"] == "changed"


def test_cors_preflight_finds_the_rule(gw):
    """By the method it asks for, whatever headers the request will have."""
    assert access(preflight(gw, "/method", method="PUT"))["allow-origin"] == FOO
    assert access(preflight(gw, "/method", method="GET"))["allow-origin"] == FOO
    assert seen(request(gw.port, "/method"))["origin"] == "two"
    # Without the filter, and without both fields, OPTIONS is a request like any other.
    assert seen(preflight(gw, "/plain"))["method"] == "OPTIONS"
    got = request(gw.port, "/open", "OPTIONS", fields=[("Origin", FOO)])
    assert seen(got)["method"] == "OPTIONS" and access(got) == {"allow-origin": "*"}


def test_cors_on_answers_of_our_own(gw):
    fields = [("Origin", FOO)]
    got = request(gw.port, "/error", fields=fields)
    assert (got.status, access(got)) == (503, LISTED)
    statuses = set()
    for _ in range(3):
        assert preflight(gw, "/limited").status == 204  # costs nothing
        got = request(gw.port, "/limited", fields=fields)
        statuses.add(got.status)
        assert access(got) == LISTED
    assert statuses == {200, 429}
    got = request(gw.port, "/moved", fields=fields)
    assert (got.status, access(got)) == (302, LISTED)


def test_cors_preflight_keeps_the_connection(gw):
    with connect(gw.port) as sock:
        for _ in range(3):
            fields = [("Origin", FOO), ("Access-Control-Request-Method", "PUT")]
            got = request(gw.port, "/listed", "OPTIONS", fields=fields, sock=sock)
            assert got.status == 204 and got.get("connection") is None
